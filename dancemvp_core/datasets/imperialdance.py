"""ImperialDance as published: one ``.npy`` per level, genre and choreography, with all trials of one dancer.

SynthDance is written in the same form and is read here too. The authors publish neither scores nor the labels of music
intensity. If scores.csv or music_intensity.csv is missing, the parts that need it are left out, and a note names them.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import weakref
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dancemvp_core.dance.sequences import LEVELS, DanceDataset, DataError
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.datasets import motionfiles, reading
from dancemvp_core.formats import npy, tables

FPS = 100.0
CLIP_S = 10.0
PRIMITIVES = 3  # of each clip, "Eight-Beats Primitive Segmentation"
LONGEST_CUT_S = 30.0  # an audio file up to this length is the window itself, a longer one is the full track

GENRES = {"b": "ballet", "k": "k-pop", "j": "jazz", "h": "hip-hop", "u": "urban"}
LEVEL_LETTERS = {"b": "beginner", "i": "intermediate", "e": "expert"}
CHOREOGRAPHIES = tuple("b0 b1 b2 b3 b4 k0 k1 k2 k3 k4 j0 j1 j2 j3 h0 h1 u0 u1 u2 u3".split())

# There is one test choreography per genre, and no track is in both pre-train and test. b3 shares its track with the test
# choreography b4; k3 and b2 share theirs with pre-train choreographies. All three are validation choreographies.
SPLIT = {
    name: split
    for split, names in {
        "pretrain": "h0 j0 j1 u0 u1 b0 b1 k0 k1 k2",
        "validation": "b2 b3 j2 k3 u2",
        "test": "b4 k4 j3 h1 u3",
    }.items()
    for name in names.split()
}


@dataclass(frozen=True)
class MusicSource:
    """Where a choreography's music is found (``source`` yt or bili), and its window in the track, in s."""

    source: str
    id: str
    title: str
    start_s: float
    stop_s: float

    @property
    def window_s(self) -> float:
        """Length of the window in s."""
        return self.stop_s - self.start_s

    @property
    def track(self) -> str:
        """The name of the track: its id, and its title if one upload contains several tracks."""
        return f"{self.source} {self.id} {self.title}".rstrip()

    @property
    def address(self) -> str:
        """The address of the page that publishes the track."""
        if self.source == "yt":
            return f"https://www.youtube.com/watch?v={self.id}"
        return f"https://www.bilibili.com/video/{self.id}"


MUSIC = {
    "b0": MusicSource("yt", "ZLxIM2OpCdc", "", 110, 125),
    "b1": MusicSource("bili", "BV1fN411f71F", "", 70, 85),
    "b2": MusicSource("bili", "BV1fN411f71F", "", 55, 70),
    "b3": MusicSource("yt", "WYF-D6nsHyQ", "", 67, 85),
    "b4": MusicSource("yt", "WYF-D6nsHyQ", "", 33, 58),
    "k0": MusicSource("yt", "WhHEQ-W3x5Y", "", 40, 55),
    "k1": MusicSource("yt", "WhHEQ-W3x5Y", "", 55, 70),
    "k2": MusicSource("yt", "T28Av5QZtUc", "", 80, 90),
    "k3": MusicSource("yt", "T28Av5QZtUc", "", 70, 80),
    "k4": MusicSource("yt", "DMOaEdw4KJM", "", 15, 27),
    "j0": MusicSource("bili", "BV1tW4y1t75U", "", 0, 20),
    "j1": MusicSource("bili", "BV1XR4y1w7qT", "", 0, 20),
    "j2": MusicSource("bili", "BV1DD4y1v7ag", "", 10, 28),
    "j3": MusicSource("bili", "BV1jv4y1z7Lt", "change", 0, 16),
    "h0": MusicSource("bili", "BV1sa411F7JZ", "time goes by", 0, 15),
    "h1": MusicSource("bili", "BV1L84y1r7tk", "", 0, 17),
    "u0": MusicSource("yt", "96Xd1lzbfLk", "", 40, 55),
    "u1": MusicSource("bili", "BV1jv4y1z7Lt", "insomnia", 0, 18),
    "u2": MusicSource("yt", "1MwNg2pQS6w", "", 5, 20),
    "u3": MusicSource("bili", "BV1jv4y1z7Lt", "Timber", 0, 20),
}

DRIVE_FOLDER = "1kSndi7ZIljpue_EzYXOpxZenHi52nujL"  # the authors' folder; the data set's page links to it
FILE_NAME = "dance_level_{e|i|b}_{b|k|j|h|u}_ch{n}.npy"
_FILE_PATTERN = re.compile(r"dance_level_([eib])_([bkjhu])_ch(\d+)\.(?i:npy)")
_MUSIC_PATTERN = re.compile(r"([bkjhu])_ch(\d+)")


def motion_file_name(level: str, choreography: str) -> str:
    """The published file name of a level (word) and a choreography (such as "b0")."""
    return f"dance_level_{level[0]}_{choreography[0]}_ch{choreography[1:]}.npy"


def parse_file_name(path: Path) -> tuple[str, str]:
    """(choreography, level) from a motion file's name; DataError if it is not one of the published names."""
    match = _FILE_PATTERN.fullmatch(path.name)
    choreography = f"{match[2]}{int(match[3])}" if match else ""
    if choreography not in CHOREOGRAPHIES or path.stem != motion_file_name(LEVEL_LETTERS[match[1]], choreography)[:-4]:
        raise DataError(f"{path}: not a name of the data set, expected {FILE_NAME} with b 0-4, k 0-4, j 0-3, h 0-1, u 0-3")
    return choreography, LEVEL_LETTERS[match[1]]


def motion_files(root: Path) -> list[Path]:
    """Every file in a folder that is not hidden and is motion by its suffix (``.npy``) or its name (``dance_level...``), sorted."""
    return sorted(
        path
        for path in root.iterdir()
        if not path.name.startswith(".") and (path.suffix.lower() == ".npy" or path.name.startswith("dance_level"))
    )


def motion_shape(path: Path) -> tuple[int, ...]:
    """Shape (trials, 3, 1000, 21) of a motion file, from its header; DataError for any other shape."""
    shape, _ = npy.npy_header(path)
    frames, joints = round(FPS * CLIP_S), len(IMPERIALDANCE21.joints)
    if len(shape) != 4 or shape[0] < 1 or shape[1:] != (3, frames, joints):
        raise DataError(
            f"{path}: shape is {shape}, expected (trials, 3, {frames}, {joints}): xyz, 10 s at 100 fps, 21 joints"
        )
    return shape


def music_window(path: Path, choreography: str) -> tuple[float, float]:
    """(offset_s, window_s) of a choreography's music in its file.

    A file of up to 30 s is the window itself. A longer file is the full track, and the music table gives the window. Raises
    DataError if the file is not audio, is shorter than 1 s, or ends before the window does.
    """
    duration, source = reading.audio_duration(path), MUSIC[choreography]
    if duration <= LONGEST_CUT_S:
        return 0.0, duration
    if duration < source.stop_s:
        raise DataError(
            f"{path}: the track lasts {duration:.1f} s, expected at least {source.stop_s:g} s (the window is "
            f"{source.start_s:g} to {source.stop_s:g} s) or a cut of at most {LONGEST_CUT_S:g} s"
        )
    return float(source.start_s), float(source.window_s)


def _label(row: dict, place: str) -> str:
    """The choreography of a row of scores.csv or music_intensity.csv, such as "b0"."""
    letters = {word: letter for letter, word in GENRES.items()} | {letter: letter for letter in GENRES}
    genre, text = row["genre"].lower(), row["choreography"].lower()
    if genre not in letters:
        raise DataError(f"{place}: genre is {row['genre']!r}, expected {', '.join(GENRES.values())} or b k j h u")
    letter = letters[genre]
    match = re.fullmatch(rf"(?:ch|{letter})?(\d{{1,3}})", text)
    name = f"{letter}{int(match[1])}" if match else ""
    if name not in CHOREOGRAPHIES:
        raise DataError(f"{place}: choreography is {row['choreography']!r}, expected one of {letter}'s numbers")
    return name


def read_scores(path: Path) -> dict[tuple[str, str, int], float]:
    """Scores 0..100 by (choreography, level, trial) from scores.csv; DataError names the faulty line."""
    scores = {}
    for place, row in tables.read_table(path, ("genre", "choreography", "level", "trial", "score")):
        level, trial = reading.level(row["level"], place), tables.whole(row["trial"], "trial", place)
        key = (_label(row, place), level, trial)
        if key in scores:
            raise DataError(f"{place}: a second score for {key[0]} {level} trial {trial}, expected one")
        scores[key] = tables.number(row["score"], "score", place, 0, 100)
    return scores


def read_intensity(path: Path) -> dict[str, tuple[float, ...]]:
    """The dancers' labels of music intensity by choreography: times in s on the clip's clock; DataError names the faulty line."""
    times = defaultdict(set)
    for place, row in tables.read_table(path, ("genre", "choreography", "time_s")):
        name = _label(row, place)
        time_s = tables.number(row["time_s"], "time_s", place, 0, CLIP_S)
        if time_s in times[name]:
            raise DataError(f"{place}: {time_s:g} s occurs twice for {name}, expected distinct times")
        times[name].add(time_s)
    return {name: tuple(sorted(values)) for name, values in times.items()}


def shared_tracks(choreographies) -> dict[str, list[str]]:
    """Tracks that more than one of these choreographies use, with their choreographies."""
    groups = defaultdict(list)
    for name in choreographies:
        groups[MUSIC[name].track].append(name)
    return {track: names for track, names in groups.items() if len(names) > 1}


def _track(name: str, synthetic: bool) -> str:
    """The name of a choreography's track. Synthetic music never has the id of a real track."""
    if not synthetic:
        return MUSIC[name].track
    return "synthetic " + "+".join(c for c in CHOREOGRAPHIES if MUSIC[c].track == MUSIC[name].track)


def _find_music(root: Path, present: list[str], notes: list[str]) -> dict[str, tuple[Path, float, float]]:
    """(file, offset_s, window_s) by choreography, for choreographies whose music exists. Raises the faults of all files."""
    found, faults = {}, []
    for stem, path in reading.audio_files(root / "music").items():
        match = _MUSIC_PATTERN.fullmatch(stem)
        name = f"{match[1]}{int(match[2])}" if match else ""
        if name not in CHOREOGRAPHIES:
            notes.append(f"music/{path.name} is not used: expected music/{{b|k|j|h|u}}_ch{{n}}{path.suffix}")
        elif name in present:
            try:
                found[name] = (path, *music_window(path, name))
            except DataError as fault:
                faults.append(fault)
    reading.raise_all(faults)
    return found


def _split_notes(present: dict, synthetic: bool) -> list[str]:
    """What ``SPLIT`` lacks in these data, each with the parts that are switched off; and the tracks that its sets share."""
    notes = []
    for split, off in (
        ("pretrain", "fewer choreographies pre-train"),
        ("validation", "choices are based on fewer choreographies"),
        ("test", "tables have fewer test choreographies (a smaller g)"),
    ):
        names = [name for name, part in SPLIT.items() if part == split]
        missing = [name for name in names if name not in present]
        if len(missing) == len(names):
            off = {
                "pretrain": "nothing can be pre-trained",
                "validation": "no choice can be made on data, so the defaults are used",
                "test": "Tasks 1 to 3 are left out",
            }[split]
        if missing:
            notes.append(f"no motion of the {split} choreographies {tables.listing(missing, 10)}: {off}")
    for names in shared_tracks(present).values():
        if len({SPLIT[name] for name in names}) > 1:
            where = " and ".join(f"{name} ({SPLIT[name]})" for name in names)
            notes.append(
                f"{where} share one track ({_track(names[0], synthetic)}); no track is in both pre-train and test"
            )
    return notes


def _notes(present: dict, trials: dict, music: dict, intensity: dict | None, scores: dict | None) -> list[str]:
    """What the data lack, each with the parts that are switched off."""
    notes = []
    lacking = [f"{name} {level}" for name, levels in present.items() for level in LEVELS if level not in levels]
    if lacking:
        notes.append(f"no motion of {tables.listing(lacking)}: Task 1 has fewer classes and Fig. 6 fewer curves there")
    if min(trials.values()) < 100:
        short = sum(count < 100 for count in trials.values())
        notes.append(
            f"{short} of {len(trials)} files hold fewer than the published 100 trials (the smallest "
            f"{min(trials.values())}): Fig. 6 is drawn from the choreographies that have 100"
        )
    silent = [name for name in present if name not in music]
    if silent:
        off = "no music features there, primitives are three equal parts"
        labelled = intensity is not None and all(name in intensity for name in silent)
        off += "" if labelled else ", and Task 3 (BAR) is left out there"
        notes.append(f"no music for {tables.listing(silent, 20)}: {off}")
    if scores is None:
        notes.append("no scores.csv (the authors publish none): Task 2 (scoring) is left out")
    if intensity is None:
        notes.append("no music_intensity.csv (the authors publish none): onset-strength peaks are used as music intensity")
    else:
        unlabelled = [name for name in present if name not in intensity]
        if unlabelled:
            notes.append(
                f"music_intensity.csv has no label for {tables.listing(unlabelled, 20)}: onset-strength peaks are used there"
            )
    return notes


def _files_and_trials(root: Path) -> dict[tuple[str, str], tuple[Path, int]]:
    """{(choreography, level): (motion file, its number of trials)}; DataError for faulty files, or if there is none."""
    files, faults = {}, []
    for file in motion_files(root):
        try:
            choreography, level = parse_file_name(file)
            files[choreography, level] = (file, motion_shape(file)[0])
        except DataError as fault:
            faults.append(fault)
    reading.raise_all(faults)
    if not files:
        raise DataError(f"{root}: no motion file in this folder, expected {FILE_NAME}")
    return files


def load(path: str | Path, trials: int | None = None, facts_of: Path | None = None) -> DanceDataset:
    """Open an ImperialDance tree; motion is read when a sequence is requested. Returns the DanceDataset.

    ``trials``: use only that many trials of each file, evenly spaced; they keep their numbers. ``facts_of``: a description
    (``reading.located``). The sequences are ordered by choreography, level and trial. Raises DataError if a file has another
    name, shape or dtype, if music is not audio or ends before its window, or if a table contains an invalid value; further
    faulty files are notes of that error.
    """
    root = Path(path)
    if trials is not None and trials < 1:
        raise ValueError(f"trials is {trials}, expected at least 1")
    files = _files_and_trials(root)
    name, facts = reading.read_facts(facts_of or root, "imperialdance")

    present = {c: [lv for lv in LEVELS if (c, lv) in files] for c in CHOREOGRAPHIES}
    present = {c: levels for c, levels in present.items() if levels}
    notes: list[str] = []
    music = _find_music(root, list(present), notes)
    scores_file, intensity_file = root / "scores.csv", root / "music_intensity.csv"
    scores = read_scores(scores_file) if scores_file.exists() else None
    intensity = read_intensity(intensity_file) if intensity_file.exists() else None
    place = [
        (choreography, level, trial)
        for choreography, levels in present.items()
        for level in levels
        for trial in _trial_numbers(files[choreography, level][1], trials)
    ]
    records = [_record(*key, files, music, scores or {}, intensity or {}) for key in place]

    notes += _notes(present, dict(files.values()), music, intensity, scores)
    unscored = sum(record["score"] is None for record in records)
    if scores is not None and unscored:
        notes.append(f"{unscored} of {len(records)} trials have no score: Task 2 is measured without them")

    # Each file has one memory map, and so one file descriptor, which is kept while a view of it exists.
    maps: weakref.WeakValueDictionary[Path, np.ndarray] = weakref.WeakValueDictionary()

    def read(i: int) -> np.ndarray:
        choreography, level, trial = place[i]
        file = files[choreography, level][0]
        array = maps.get(file)
        if array is None:
            maps[file] = array = npy.open_npy(file)
        return npy.as_float32(array[trial])

    return motionfiles.open_dataset(
        motionfiles.Source(name, root, records, read, notes, facts, split_notes=_split_notes(present, facts["synthetic"])),
        track=[_track(record["choreography"], facts["synthetic"]) for record in records],
        duration_s=[CLIP_S] * len(records),
        file=[files[choreography, level][0] for choreography, level, _ in place],
    )


def _trial_numbers(count: int, trials: int | None) -> list[int]:
    """Numbers of the trials that are used of a file with ``count`` trials."""
    if trials is None or trials >= count:
        return list(range(count))
    return [int(t) for t in np.linspace(0, count - 1, trials).round()]


def _record(choreography: str, level: str, trial: int, files: dict, music: dict, scores: dict, intensity: dict) -> dict:
    """The facts of one trial: all fields of a DanceSequence except its motion."""
    audio, offset_s, window_s = music.get(choreography, (None, 0.0, None))
    return {
        "fps": FPS,
        "skeleton": IMPERIALDANCE21,
        "music": audio,
        "music_offset_s": offset_s,
        "genre": GENRES[choreography[0]],
        "choreography": choreography,
        "level": level,
        "trial": trial,
        "score": scores.get((choreography, level, trial)),
        "music_window_s": window_s,
        "music_intensity_s": intensity.get(choreography),
        "split": SPLIT[choreography],
        "primitives": PRIMITIVES,
        "source": f"{files[choreography, level][0]}: trial {trial}",
    }


def fetch(out: str | Path, progress: Callable[[str], None] = print) -> int:
    """Download the motion files that ``out`` lacks from the authors' drive. Returns the number of files that then exist.

    A file gets its name only when it is complete and has the published shape. So an interrupted run leaves no partial file,
    and the next run continues. Raises DataError if the drive cannot be reached.
    """
    import gdown

    out = Path(out)
    page = f"https://drive.google.com/drive/folders/{DRIVE_FOLDER}"
    try:
        listed = gdown.download_folder(id=DRIVE_FOLDER, quiet=True, skip_download=True, use_cookies=False)
    except Exception as fault:  # gdown passes on all exceptions of requests, urllib3, ssl and its parser
        raise _unreachable(page, "cannot be listed", out, fault) from None
    wanted = {Path(file.path).name: file.id for file in listed}
    wanted = {name: wanted[name] for name in sorted(wanted) if _FILE_PATTERN.fullmatch(name)}
    if not wanted:
        raise DataError(f"{page}: the folder lists no motion file, expected {FILE_NAME}; it may have moved")
    out.mkdir(parents=True, exist_ok=True)
    missing = [name for name in wanted if not (out / name).exists()]
    try:
        for i, name in enumerate(missing):
            progress(f"{name} ({i + 1} of {len(missing)})")
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=out) as folder:
                part = Path(folder) / name
                try:
                    gdown.download(id=wanted[name], output=str(part), quiet=True, use_cookies=False)
                except Exception as fault:
                    raise _unreachable(page, f"{name} cannot be downloaded", out, fault) from None
                parse_file_name(part)
                motion_shape(part)
                os.replace(part, out / name)
    finally:
        with contextlib.suppress(OSError):  # rmdir removes only an empty folder: a failed run leaves none
            out.rmdir()
    return len(wanted)


def _unreachable(page: str, what: str, out: Path, fault: Exception) -> DataError:
    return DataError(f"{page}: {what} ({type(fault).__name__}); check the network, or put the files into {out} by hand")


def music_list(out: str | Path) -> str:
    """Text that lists for each choreography where its music is found, its window, and the file name to use."""

    def clock(seconds: float) -> str:
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"

    rows = [
        f"music/{name[0]}_ch{name[1:]}.*  {clock(m.start_s):>4} to {clock(m.stop_s):<4}  {m.address}  {m.title}".rstrip()
        for name, m in MUSIC.items()
    ]
    return "\n".join(
        [
            "The music is published as links only. Put the file of each choreography into "
            f"{Path(out) / 'music'} (wav, flac, ogg or mp3):",
            "either the window alone (up to 30 s) or the full track; this table then gives the window.",
            *rows,
        ]
    )
