"""`make ship`: put the assessor of a finished run into the package, with its card and an example recording.

What must not matter for a recording is measured on dancers whom the assessor has not seen, the example among them
(``steadiness``), and is told to the user.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from dancemvp_core import datasets, files
from dancemvp_core.assess import assessment, assessor, card, example, shipped, timeline
from dancemvp_core.dance import music
from dancemvp_core.dance.sequences import DanceSequence, DataError
from dancemvp_core.runs import profiles, provenance

LARGEST_BYTES = 5_000_000
EACH = 2  # recordings of each choreography and level that are changed
EXAMPLE = ("k4", "expert")  # its choreography and level
FRAME_RATES = (24.0, 25.0, 30.0, 60.0, 120.0)
ANSWERS = ("level", "choreography", "unlike")
QUIETER, CONSTANT, HIGHER_RATE = 0.1, 0.05, 44100  # a tenth is -20 dB


def turned(motion: np.ndarray, degrees: float) -> np.ndarray:
    """The motion (3, T, V), y up, turned about the vertical axis."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    return np.einsum("ij,jtv->itv", turn, motion).astype(np.float32)


def at_rate(motion: np.ndarray, fps: float, other: float) -> np.ndarray:
    """The motion (3, T, V) at another frame rate: between two frames on a straight line."""
    at = np.arange(round(motion.shape[1] / fps * other)) * fps / other
    low = np.minimum(at.astype(int), motion.shape[1] - 1)
    high, part = np.minimum(low + 1, motion.shape[1] - 1), (at % 1)[:, None]
    return (motion[:, low] * (1 - part) + motion[:, high] * part).astype(np.float32)


def changed_motion(motion: np.ndarray, fps: float) -> list[tuple[str, np.ndarray, float]]:
    """(change, motion, fps) for every change of the motion in ``card.CHANGES``."""
    made = [("turned", turned(motion, degrees), fps) for degrees in (90, 200)] + [("scaled", 100 * motion, fps)]
    return made + [("frame rate", at_rate(motion, fps, other), other) for other in FRAME_RATES]


def changed_music(path: Path, folder: Path) -> dict[str, Path]:
    """The music file with every change in ``card.CHANGES``, as files in ``folder``."""
    import librosa

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    higher = librosa.resample(samples.T, orig_sr=rate, target_sr=HIGHER_RATE).T
    made = {
        "quieter": (QUIETER * samples, rate, "flac"),
        "constant": (0.5 * samples + CONSTANT, rate, "wav"),
        "44.1 kHz": (higher, HIGHER_RATE, "flac"),
        "ogg": (samples, rate, "ogg"),
    }
    paths = {}
    for name, (sound, hertz, suffix) in made.items():
        paths[name] = folder / f"{path.stem}-{name.replace(' ', '')}.{suffix}"
        soundfile.write(paths[name], sound, hertz)
    return paths


class Judge:
    """Asks the assessor about recordings; music is analysed once for each file and length."""

    def __init__(self, trained: assessor.Assessor):
        self.trained, self.heard = trained, {}

    def __call__(self, motion: np.ndarray, fps: float, track: Path, skeleton) -> dict:
        """{score, level, choreography, unlike} of a recording whose music starts with its file; the score is NaN if not given."""
        one = DanceSequence(motion, fps, skeleton, track)
        key = (track, round(one.duration_s, 1))
        if key not in self.heard:
            self.heard[key] = music.analyse(track, 0.0, clip_s=one.duration_s)
        heard = self.heard[key]
        grid = timeline.beat_grid(heard.beats_s, one.duration_s, self.trained.facts["longest_beat_s"])
        answer = assessment.recognise_and_score(one, heard, timeline.eights(grid, one.duration_s), self.trained, [])
        found = answer["recognition"]
        best = {name: found[name][0]["name"] for name in ("level", "choreography")} | {"unlike": found["unlike"]}
        return best | {"score": answer["score"]["mean"] if answer["score"] else np.nan}


def steadiness(trained: assessor.Assessor, recordings: list[tuple[np.ndarray, float, Path]], skeleton, folder: Path) -> dict:
    """What each change does to the answers: {change: {recordings, score (largest, points), level, choreography, unlike}}.

    The last three are the share in % whose answer changed. ``recordings`` are (motion, fps, music file). The score is compared
    where it is given with and without the change.
    """
    judge, rows = Judge(trained), []
    tracks = {track: changed_music(track, folder) for track in {track for _, _, track in recordings}}
    for number, (motion, fps, track) in enumerate(recordings):
        plain = judge(motion, fps, track, skeleton)
        others = [(name, judge(moved, rate, track, skeleton)) for name, moved, rate in changed_motion(motion, fps)]
        others += [(name, judge(motion, fps, other, skeleton)) for name, other in tracks[track].items()]
        for name, other in others:
            moved = {what: plain[what] != other[what] for what in ANSWERS}
            rows.append({"change": name, "recording": number, "score": abs(plain["score"] - other["score"])} | moved)
    table = pd.DataFrame(rows)
    said = {}
    for name in card.CHANGES:
        own = table[table["change"] == name]
        shares = {what: float(100 * own[what].mean()) for what in ANSWERS}
        said[name] = {"recordings": int(own["recording"].nunique()), "score": float(np.nan_to_num(own["score"].max()))} | shares
    return said


def recordings_of(dataset, folder: Path) -> list[tuple[np.ndarray, float, Path]]:
    """(motion, fps, music file) of performances of every choreography and level, on the clock of their music.

    The second of each has half the frames of the first.
    """
    made = []
    for choreography, level in dataset.index[["choreography", "level"]].drop_duplicates().itertuples(index=False):
        paths, track, fps = example.write(folder, dataset, choreography, level, EACH)
        made += [(np.load(path)[:, :: 1 + n], fps / (1 + n), track) for n, path in enumerate(paths)]
    return made


def write_example(dataset, folder: Path) -> None:
    """Write the example recording into the package: the motion at half its frame rate, its music as OGG, and the truth."""
    choreography, level = EXAMPLE
    (path,), track, fps = example.write(folder, dataset, choreography, level, 1)
    own = dataset.index.query("choreography == @choreography and level == @level").sort_values("trial").iloc[0]
    samples, rate = soundfile.read(track, dtype="float32")
    motion = np.load(path)
    with files.replacing(shipped.HERE / "example.npy") as temporary:
        np.save(temporary, motion[:, ::2])
    with files.replacing(shipped.HERE / "example.ogg") as temporary:
        soundfile.write(temporary, samples[: round((motion.shape[1] / fps + 1) * rate)], rate, format="OGG", subtype="VORBIS")
    said = (
        f"The truth of the example, which is synthetic: {own['genre']}, {choreography}, {level}, score "
        f"{dataset.sequences[int(own.name)].score:.0f}; a dancer whom the assessor has not seen."
    )
    truth = {"genre": own["genre"], "choreography": choreography, "level": level, "said": said}
    files.write_json(shipped.EXAMPLE, {"motion": "example.npy", "music": "example.ogg", "fps": fps / 2, "truth": truth})


def write_assessor(trained: assessor.Assessor, sidecar: dict) -> int:
    """Write the assessor and its card into the package; ``sidecar`` is that of its run. Returns the size in bytes."""
    files.write_tensors(shipped.ASSESSOR, *assessor.as_file(trained))
    shipped.ASSESSOR.chmod(0o644)  # safetensors writes for the owner alone, and a package is for everybody
    size = shipped.ASSESSOR.stat().st_size
    made = {"profile": trained.facts["profile"], "commit": sidecar["git"]["commit"], "torch": sidecar["versions"]["torch"]}
    files.write_text(shipped.CARD, card.markdown(trained, made | {"bytes": size}))
    return size


def main(arguments: list[str] | None = None) -> int:
    """Ship the assessor of a profile's run and print what was written; 2 for a run without one."""
    parser = argparse.ArgumentParser(description="The assessor of a run becomes that of the package.")
    parser.add_argument("--profile", default="study")
    parser.add_argument("--root", type=Path, default=profiles.project_root())
    options = parser.parse_args(arguments)
    try:
        profile = profiles.load(options.profile)
        paths = provenance.Paths(profile.name, profiles.SYNTHDANCE, options.root)
        trained = assessor.load(paths.build / "assessor.safetensors")
        dataset = datasets.load(profiles.unseen_dancers_root(options.root, profile.name, ""))
    except (profiles.ParameterError, DataError) as fault:
        print(f"ship: {fault}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_example(dataset, folder)
        known = shipped.example()
        recordings = [*recordings_of(dataset, folder), (np.load(known["motion"]), known["fps"], known["music"])]
        measured = steadiness(trained, recordings, dataset.skeleton, folder)
    sidecar = json.loads((paths.build / "assessor.safetensors.prov.json").read_text(encoding="utf-8"))
    size = write_assessor(replace(trained, facts=trained.facts | {"steadiness": measured}), sidecar)
    print(f"{shipped.HERE}: an assessor of {size / 1e6:.1f} MB (at most {LARGEST_BYTES / 1e6:.0f}), its card, and an example")
    return 0 if size <= LARGEST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
