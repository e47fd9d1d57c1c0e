"""The assessor and the example that come with the package, and what must not move an answer."""

import html
import importlib.util
import json
import sys
from pathlib import Path

import bvh_writer
import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from written_data import write_c3d

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow"))
import ship

from dancemvp_core import cli
from dancemvp_core.assess import assessment, assessor, card, recording, shipped
from dancemvp_core.dance import rhythm
from dancemvp_core.dance.skeleton import IMPERIALDANCE21

WORDS = ("hit", "early", "late", "missed", "free", "beats")  # of the timeline
EXACT = 0.1  # points of score, for what must not move an answer at all: the rounding of float32 and of text


@pytest.fixture(scope="module")
def trained():
    return assessor.load(shipped.ASSESSOR)


class Asked:
    """The example, and what the assessor says of it when it is changed."""

    def __init__(self, trained, folder):
        self.trained, self.folder, self.known = trained, folder, shipped.example()
        self.motion, self.fps, self.track = np.load(self.known["motion"]), self.known["fps"], self.known["music"]
        plain = recording.read(self.known["motion"], self.track, fps=self.fps)
        self.heard = recording.analyse(plain)
        self.plain = assessment.assess(plain, self.heard, trained)

    def of_file(self, path, fps=None):
        """Its part of the report from another motion file; the music is the same, so it is heard once."""
        read = recording.read(path, self.track, fps=fps)
        heard = recording.Analysis(self.heard.music, rhythm.alignment(read, self.heard.music))
        return assessment.assess(read, heard, self.trained)

    def of_motion(self, motion, fps=None):
        np.save(self.folder / "changed.npy", motion.astype(np.float32))
        return self.of_file(self.folder / "changed.npy", fps or self.fps)

    def of_music(self, path):
        read = recording.read(self.known["motion"], path, fps=self.fps)
        return assessment.assess(read, recording.analyse(read), self.trained)

    def same(self, part, points):
        """Whether the answer is the same but for so many points of score. BAR and the verdict on every beat are the same."""
        assert not part["recognition"]["unlike"]
        assert part["beat_alignment"]["bar"] == self.plain["beat_alignment"]["bar"]
        assert [part["timeline"][word] for word in WORDS] == [self.plain["timeline"][word] for word in WORDS]
        for name in ("genre", "choreography"):
            assert part["recognition"][name][0]["name"] == self.plain["recognition"][name][0]["name"]
        level = {found["name"]: found["probability"] for found in part["recognition"]["level"]}
        for found in self.plain["recognition"]["level"]:
            assert level[found["name"]] == pytest.approx(found["probability"], abs=0.05)
        assert part["score"]["mean"] == pytest.approx(self.plain["score"]["mean"], abs=points)


@pytest.fixture(scope="module")
def asked(trained, tmp_path_factory):
    return Asked(trained, tmp_path_factory.mktemp("asked"))


def told(trained, change):
    """The points of score that the card states for a change, and the rounding of another processor."""
    return trained.facts["steadiness"][change]["score"] + EXACT


# --- what comes with the package ----------------------------------------------------------------------------------------


def test_the_package_is_small_and_its_card_is_that_of_its_assessor(trained):
    assert 1e6 < shipped.ASSESSOR.stat().st_size < 5e6
    known = shipped.example()
    assert sum(path.stat().st_size for path in (known["motion"], known["music"])) < 300_000
    text = shipped.CARD.read_text(encoding="utf-8")
    for title, sentences in card.card(trained).items():
        assert f"## {title}" in text and sentences and all(f"- {sentence}\n" in text for sentence in sentences)
    assert set(trained.facts["steadiness"]) == set(card.CHANGES), "every change is stated"
    assert trained.facts["synthetic"] and "synthetic" in card.limits(trained)[0]


def test_the_assessor_is_that_of_the_committed_run():
    results = Path(shipped.HERE).parents[2] / "results" / "study" / "synthdance" / "assessor.csv.prov.json"
    if not results.exists():
        pytest.skip("no results beside the package")
    commit = json.loads(results.read_text(encoding="utf-8"))["git"]["commit"]
    assert f"- commit: {commit}\n" in shipped.CARD.read_text(encoding="utf-8"), "make ship"


def test_the_example_is_recognised(asked):
    truth, found = asked.known["truth"], asked.plain["recognition"]
    assert not found["unlike"] and asked.plain["timeline"]["hit"] > 0
    assert {name: found[name][0]["name"] for name in ("genre", "choreography")} == {n: truth[n] for n in ("genre", "choreography")}


def test_the_command_of_the_example(tmp_path, capsys):
    assert cli.main(["example", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "comes with the package" in said and "synthetic" in said and asked_truth() in said
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert "comes with the package" in report["assessor"]["named"]
    page = html.unescape((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert all(limit in page for limit in report["assessor"]["card"]["Limits"])
    assert 'class="dance"' in page and 'id="sound"' in page


def asked_truth():
    return shipped.example()["truth"]["said"]


# --- what must not matter -----------------------------------------------------------------------------------------------


@settings(max_examples=6)
@given(degrees=st.floats(-180, 180), size=st.sampled_from([0.01, 1.0, 39.37, 1000.0]), shift=st.floats(-3, 3))
def test_turned_scaled_and_moved_in_the_room(asked, degrees, size, shift):
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    motion = np.einsum("ij,jtv->itv", np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]), asked.motion)
    asked.same(asked.of_motion(size * (motion + np.array([shift, 0, -shift])[:, None, None])), EXACT)


@settings(max_examples=5)
@given(rate=st.floats(25, 120))
def test_another_frame_rate(asked, trained, rate):
    times = np.arange(round(asked.motion.shape[1] / asked.fps * rate)) / rate * asked.fps
    frames = np.arange(asked.motion.shape[1])
    flat = asked.motion.transpose(0, 2, 1).reshape(63, -1)
    motion = np.stack([np.interp(times, frames, row) for row in flat]).reshape(3, 21, -1).transpose(0, 2, 1)
    asked.same(asked.of_motion(motion, rate), told(trained, "frame rate"))


@pytest.mark.parametrize("suffix", ["csv", "bvh", "c3d"])
def test_every_format(asked, suffix):
    path, joints = asked.folder / f"example.{suffix}", IMPERIALDANCE21.joints
    if suffix == "csv":
        columns = {f"{j}_{a}": asked.motion[i, :, v] for v, j in enumerate(joints) for i, a in enumerate("xyz")}
        pd.DataFrame(columns).to_csv(path, index=False)
    elif suffix == "bvh":
        bvh_writer.write_positions(path, asked.motion, IMPERIALDANCE21, asked.fps)
    elif importlib.util.find_spec("ezc3d"):
        write_c3d(path, asked.motion / 1000, joints, asked.fps)
    else:
        pytest.skip("no ezc3d on this machine")
    asked.same(asked.of_file(path, asked.fps), EXACT)


def test_what_must_not_matter_changes_no_answer(trained):
    """Whatever the card says after the next `make ship`: no word of the answer changes, and the score by less than a point."""
    for change, measured in trained.facts["steadiness"].items():
        assert [measured[answer] for answer in ship.ANSWERS] == [0, 0, 0] and measured["score"] <= 1, change


def test_another_file_of_the_same_music(asked, trained):
    """Quieter and with a constant part: exactly. Another rate and OGG (the example is one already): as far as the card says."""
    import librosa

    samples, rate = soundfile.read(asked.track, dtype="float32")
    higher = librosa.resample(samples, orig_sr=rate, target_sr=44100)
    made = {
        "quieter": (0.1 * samples, rate, "wav"), "constant": (0.5 * samples + 0.05, rate, "wav"),
        "44.1 kHz": (higher, 44100, "wav"), "ogg": (samples, rate, "ogg"),
    }  # fmt: skip
    for change, (sound, hertz, suffix) in made.items():
        path = asked.folder / f"{change.replace(' ', '')}.{suffix}"
        soundfile.write(path, sound, hertz, subtype="FLOAT" if suffix == "wav" else None)
        part = asked.of_music(path)
        exact = change in ("quieter", "constant")
        asked.same(part, EXACT if exact else told(trained, change))


def test_what_the_card_states_holds_for_the_example(trained, tmp_path):
    known = shipped.example()
    example = (np.load(known["motion"]), known["fps"], known["music"])
    found = ship.steadiness(trained, [example], IMPERIALDANCE21, tmp_path)
    assert set(found) == set(card.CHANGES)
    for change, own in found.items():
        stated = trained.facts["steadiness"][change]
        assert own["recordings"] == 1 and own["score"] <= stated["score"] + EXACT
        assert all(stated[answer] > 0 for answer in ship.ANSWERS if own[answer]), "a change that the card says never happens"
    assert found["turned"]["score"] < EXACT and found["quieter"]["score"] < EXACT
