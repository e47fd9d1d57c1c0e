"""Assessing a recording: readers, timeline, the trained part, the report, and what bad input gets."""

import base64
import importlib.util
import json
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace

import bvh_writer
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import tiny
import torch
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation
from torch import nn
from written_data import moving, write_c3d, write_imperialdance, write_motive, write_music

from dancemvp_core import cli, datasets
from dancemvp_core.assess import assessment, assessor, calibration, example, fitting, page, pictures, recording, timeline
from dancemvp_core.assess.assessor import Assessor, Vocabulary
from dancemvp_core.dance import music, pieces, rhythm
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import COCO17, IMPERIALDANCE21, canonical_body, coco17_to_imperialdance21
from dancemvp_core.datasets import aistpp
from dancemvp_core.formats import bvh, motioncsv, names
from dancemvp_core.models.prompter import PrompterSettings
from dancemvp_core.player import binary
from dancemvp_core.pretraining import methods, networks
from dancemvp_core.tasks import prompting, protocols, splits
from dancemvp_core.tasks.features import Features

BEAT_S = 0.5
SECONDS = 12.0


def dancing(shift_s=0.0, seconds=SECONDS, fps=60.0, seed=0):
    """(3, T, 21) float32: joints swing so that the body is fastest ``shift_s`` after every beat of 0.5 s."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * fps)) / fps
    swing = np.sin(np.pi * (time - shift_s) / BEAT_S)[None, :, None] * rng.uniform(0.5, 1.0, (3, 1, 21))
    still = rng.normal(size=(3, 1, 21)) * 0.3
    still[1, 0, [IMPERIALDANCE21.index("Head")]] += 6
    return (still + 0.3 * swing).astype(np.float32)


def tiny_assessor(synthetic=True) -> Assessor:
    """An untrained assessor of two choreographies, with everything that the file holds."""
    torch.manual_seed(0)
    spec = {"motion": "stgcn", "music": "lstm", "channels": [4], "dim": 8, "features": 6}
    spec |= {"representation": "velocity", "mlp_layers": 1}
    encoder = assessor.encoder_of(spec, IMPERIALDANCE21).eval()
    cells = [
        (g, c, lv, p)
        for g, c in (("ballet", "b4"), ("k-pop", "k4"))
        for lv in ("beginner", "expert")
        for p in range(3)
    ]
    classes = pd.DataFrame(cells, columns=["genre", "choreography", "level", "primitive"])
    width = assessor.POSES * 3 * 21
    tensors = {
        "last.weight": torch.randn(6, 16), "last.bias": torch.randn(6), "z.mean": torch.zeros(6), "z.spread": torch.ones(6),
        "score.values": torch.linspace(0, 1, 21), "music.mean": torch.zeros(54), "music.spread": torch.ones(54),
        "features.mean": torch.zeros(16), "features.spread": torch.ones(16),
        "reference.features": nn.functional.normalize(torch.randn(12, 16), dim=1), "posture.mean": torch.zeros(width),
        "class.postures": nn.functional.normalize(torch.randn(12, width), dim=1),
    }  # fmt: skip
    for task, candidates in (("vocabulary", 12), ("score", 21)):
        tensors |= {
            f"{task}.dance.weight": torch.randn(5, 6), f"{task}.dance.bias": torch.randn(5),
            f"{task}.text": torch.randn(candidates, 5), f"{task}.head.weight": torch.randn(5),
            f"{task}.head.bias": torch.randn(1),
        }  # fmt: skip
    references = classes.assign(performance=np.arange(12) // 3, trial=0, score=[50.0] * 11 + [np.nan], bar=75.0)
    facts = {
        "dataset": "tiny", "synthetic": synthetic, "profile": "smoke", "encoder": spec, "piece_frames": 16,
        "bone_lengths": list(IMPERIALDANCE21.lengths), "longest_beat_s": 0.6, "support_performances": 4,
        "switched_off": [], "score_floor": 0.02, "score_widening": 1.2, "temperature": 0.8, "sharpness": [0.9, 0.7, 0.5],
        "thresholds": {"features": 2.0, "posture": 2.0},
        "measured": [],
    }  # fmt: skip
    return Assessor(encoder, IMPERIALDANCE21, tensors, classes, references, facts)


def save(path, made):
    from dancemvp_core import files

    files.write_tensors(path, *assessor.as_file(made))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Motion, music and a checkpoint that can be assessed."""
    root = tmp_path_factory.mktemp("assess")
    np.save(root / "dance.npy", dancing())
    write_music(root / "song.wav", SECONDS + 3, rate=22050, beat_s=BEAT_S)
    save(root / "assessor.safetensors", tiny_assessor())
    return root


# --- readers ---------------------------------------------------------------------------------------------------------


def test_the_same_dance_from_every_format(folder, tmp_path):
    motion = canonical_body(dancing(), IMPERIALDANCE21)
    np.save(tmp_path / "ctv.npy", motion)
    np.save(tmp_path / "tvc.npy", motion.transpose(1, 2, 0))
    columns = {f"{j}_{a}": motion[i, :, v] for v, j in enumerate(IMPERIALDANCE21.joints) for i, a in enumerate("xyz")}
    table = pd.DataFrame(columns)
    table.to_csv(tmp_path / "plain.csv", index=False)
    table.assign(time_s=(np.arange(len(table)) / 60).round(3)).to_csv(tmp_path / "timed.csv", index=False)
    table.assign(**{"Time (ms)": np.arange(len(table)) * 1000 / 60}).to_csv(tmp_path / "de.csv", sep=";", decimal=",", index=False)
    bvh_writer.write(tmp_path / "clip.bvh", motion, IMPERIALDANCE21, 60)
    bvh_writer.write_positions(tmp_path / "SIX.BVH", motion, IMPERIALDANCE21, 60)
    write_motive(tmp_path / "motive.csv", motion, IMPERIALDANCE21, 60, unit=1)
    rates = {"ctv.npy": 60, "tvc.npy": 60, "plain.csv": 60, "timed.csv": None, "de.csv": None, "clip.bvh": None, "SIX.BVH": None}
    rates |= {"motive.csv": None}
    if importlib.util.find_spec("ezc3d"):
        write_c3d(tmp_path / "optical.c3d", motion / 1000, IMPERIALDANCE21.joints, 60)
        rates["optical.c3d"] = None
    trained, verdicts, heard = tiny_assessor(), {}, None
    for name, fps in rates.items():
        read = recording.read(tmp_path / name, folder / "song.wav", fps=fps)
        assert read.skeleton == IMPERIALDANCE21 and read.fps == pytest.approx(60, rel=1e-4), name
        assert read.notes[0] == f"read 21 joints at {read.fps:.5g} fps from {name}; up axis y"
        np.testing.assert_allclose(read.motion, motion, atol=2e-4, err_msg=name)
        heard = heard or recording.analyse(read).music
        verdicts[name] = assessment.assess(read, recording.Analysis(heard, rhythm.alignment(read, heard)), trained)
    first = verdicts["ctv.npy"]
    for name, part in verdicts.items():
        assert part["beat_alignment"]["bar"] == first["beat_alignment"]["bar"], name
        assert part["recognition"]["unlike"] == first["recognition"]["unlike"], name
        for what in ("genre", "choreography", "level"):
            best, other = first["recognition"][what][0], part["recognition"][what][0]
            assert (other["name"], other["probability"]) == (best["name"], pytest.approx(best["probability"], abs=1e-2)), name


def test_bvh_round_trip_of_real_positions(shared_data, tmp_path):
    path = sorted((shared_data / "aistpp" / "keypoints3d").glob("*.pkl"))[0]
    motion = coco17_to_imperialdance21(aistpp.read_keypoints(path)[0])[:, :200]
    motion = canonical_body(motion, IMPERIALDANCE21)
    bvh_writer.write(tmp_path / "real.bvh", motion, IMPERIALDANCE21, 60)
    read, fps, *_ = bvh.read(tmp_path / "real.bvh")
    assert fps == pytest.approx(60)
    np.testing.assert_allclose(read, motion, atol=1e-4)


@pytest.mark.parametrize("name", ["clean", "nan", "zero"])
def test_joints_that_a_camera_missed_do_not_move(shared_data, name):
    """Cameras write an undetected joint as 0, 0, 0. The same dance, whole and with gaps, has the same strokes and hits."""
    cases = shared_data.parent / "cases"
    read = recording.read(cases / "05_zero_filled_joints" / f"{name}.npy", cases / "click.ogg", fps=30)
    found = recording.analyse(read).alignment
    np.testing.assert_allclose(found["motion_peaks"], np.arange(1, 6), atol=0.01)
    assert (found["bar"], found["f70"], round(found["bar_chance"])) == (100, 1, 29)
    filled = "26 joint positions at exactly 0, 0, 0 are taken as missing, of 3780"
    assert (filled in read.notes) == (name == "zero")


def test_an_aistpp_file_is_assessed(shared_data, tmp_path):
    path = sorted((shared_data / "aistpp" / "keypoints3d").glob("*.pkl"))[0]
    write_music(tmp_path / "song.wav", 20, rate=22050, beat_s=BEAT_S)
    read = recording.read(path, tmp_path / "song.wav", offset_s=1.0)
    assert read.skeleton == COCO17 and read.fps == 60
    part = assessment.assess(read, recording.analyse(read), tiny_assessor())
    assert part["recognition"] and part["beat_alignment"]["bar"] is not None


@pytest.mark.parametrize(
    ("listed", "missing"),
    [
        (list(bvh_writer.MIXAMO.values()), []),
        (["Hips", "Chest", "Chest2", "Neck", "Head"]
         + [s + p for s in ("Left", "Right") for p in "Collar Shoulder Elbow Wrist Hip Knee Ankle Toe".split()], []),
        ([j for j in IMPERIALDANCE21.joints if j != "LToe"], ["LToe"]),
        (["Hips", "Spine", "Spine1", "Neck", "Head"], 16),
    ],
)  # fmt: skip
def test_joints_by_name(listed, missing):
    found, gone = names.joint_names(listed, IMPERIALDANCE21)
    assert gone == missing or len(gone) == missing
    assert len(found) + len(gone) == 21 and set(found.values()) <= set(listed)
    if "LeftCollar" in listed:
        assert found["LShoulder"] == "LeftCollar" and found["LUArm"] == "LeftShoulder"


def test_a_bvh_with_joints_of_its_own(tmp_path):
    motion = canonical_body(dancing(seconds=2), IMPERIALDANCE21)
    names = {j: f"bone{i}" for i, j in enumerate(IMPERIALDANCE21.joints)}
    path = bvh_writer.write(tmp_path / "own.bvh", motion, IMPERIALDANCE21, 60, names)
    with pytest.raises(DataError, match="cannot find RShin"):
        bvh.read(path)
    own = replace(IMPERIALDANCE21, name="mine", joints=tuple(names.values()), lengths=())
    np.testing.assert_allclose(bvh.read(path, own)[0], motion, atol=2e-4)


def test_missing_cells_of_a_csv_are_bridged(folder, tmp_path):
    motion = dancing()
    columns = {f"{j}_{a}": motion[i, :, v] for v, j in enumerate(IMPERIALDANCE21.joints) for i, a in enumerate("xyz")}
    table = pd.DataFrame(columns)
    table.loc[10:20, "Head_x"] = np.nan
    table.to_csv(tmp_path / "gap.csv", index=False)
    read = recording.read(tmp_path / "gap.csv", folder / "song.wav", fps=60)
    assert np.isfinite(read.motion).all()


# --- the timeline ----------------------------------------------------------------------------------------------------


def planted(folder, tmp_path, shift_s, fps=60.0):
    np.save(tmp_path / "shifted.npy", dancing(shift_s, fps=fps))
    read = recording.read(tmp_path / "shifted.npy", folder / "song.wav", fps=fps)
    return assessment.assess(read, recording.analyse(read), tiny_assessor())["timeline"]


@pytest.mark.parametrize(("shift_ms", "verdict"), [(-120, "early"), (-10, "hit"), (0, "hit"), (120, "late")])
@pytest.mark.parametrize("fps", [30.0, 100.0])
def test_planted_shifts_come_back_in_milliseconds(folder, tmp_path, shift_ms, verdict, fps):
    beats = [b for row in planted(folder, tmp_path, shift_ms / 1000, fps)["eights"] for b in row][2:-2]
    assert len(beats) >= 18 and {b["verdict"] for b in beats} == {verdict}
    offsets = np.array([b["offset_ms"] for b in beats])
    assert np.abs(offsets - shift_ms).max() < 30  # tracked beats lie on a grid of 23 ms
    level = [b["offset_ms"] for row in planted(folder, tmp_path, 0.0, fps)["eights"] for b in row][2:-2]
    assert np.abs(offsets - level - shift_ms).max() < 6, "the same beats, moved by just so much"


def test_accents_belong_to_their_nearest_beat():
    offsets = timeline.nearest_accents([1.0, 2.0, 3.0], [0.9, 1.15, 2.45, 3.2])
    assert offsets == pytest.approx([-0.1, None, 0.2], abs=1e-9) or offsets[1] is None
    assert offsets[0] == pytest.approx(-0.1) and offsets[2] == pytest.approx(0.2)
    assert timeline.nearest_accents([1.0, 1.3], [1.12]) == [pytest.approx(0.12), None]
    assert timeline.nearest_accents([1.0], []) == [None]


def test_eights_are_counted_from_the_first_beat_and_complete():
    grid = 0.2 + 0.5 * np.arange(20)
    assert timeline.eights(grid, 10.0) == [(pytest.approx(0.2), pytest.approx(4.2)), (pytest.approx(4.2), pytest.approx(8.2))]
    assert timeline.eights(None, 10.0) == [] and timeline.eights(grid[:8], 10.0) == []
    rows = timeline.timeline(grid, np.array([0.2]), np.array([0.7]), 10.0)
    assert [len(row) for row in rows] == [8, 8, 4] and rows[2][3].count == 4
    assert [b.strong for b in rows[0][:3]] == [False, True, False]


def test_a_beat_is_missed_only_where_the_music_has_an_accent():
    grid, accents = 0.2 + 0.5 * np.arange(17), np.array([0.2, 1.2, 2.2, 3.2, 4.2, 5.2, 6.2])
    body = accents[:6]  # six of seven accents are answered: BAR 86 %, and 10 of 17 beats have no accent of either
    rows = timeline.timeline(grid, body, accents, 8.5)
    counts = timeline.summary([beat for row in rows for beat in row], body, 8.5)
    assert {word: counts[word] for word in timeline.VERDICTS} == {"hit": 6, "early": 0, "late": 0, "missed": 1, "free": 10}
    assert counts["missed"] == len(accents) - len(rhythm.match_peaks(accents, body))


@pytest.mark.parametrize(
    ("p", "lag_p", "lag_ms", "said"),
    [(0.01, 0.9, 0.0, None), (0.3, 0.01, 40.0, None), (0.3, 0.4, 40.0, "no alignment at any lag"),
     (0.3, 0.01, 400.0, "400 ms behind"), (0.3, 0.01, -400.0, "400 ms ahead of"), (0.3, None, None, None)],
)  # fmt: skip
def test_music_and_motion_that_do_not_go_together_are_warned_of(p, lag_p, lag_ms, said):
    found = assessment._out_of_time({"bar": 50.0, "p": p, "lag_p": lag_p, "lag_ms": lag_ms})
    assert found is None if said is None else said in found


def test_a_quick_training_set_doubles_the_beat():
    beats = np.arange(0.25, 10, 0.5)
    assert np.diff(timeline.beat_grid(beats, 10.0, 0.5))[0] == pytest.approx(0.5)
    assert np.diff(timeline.beat_grid(beats, 10.0, 0.26))[0] == pytest.approx(0.25)
    for bpm in range(100, 140):  # a little slower than all dances of the training set: still whole beats
        beat_s = 60 / bpm
        for duration_s in (8.0, 12.0, 15.0, 29.0):
            grid = timeline.beat_grid(np.arange(0.1, duration_s, beat_s), duration_s, 0.9 * beat_s)
            assert np.diff(grid) == pytest.approx(beat_s)


# --- the trained part ------------------------------------------------------------------------------------------------


def test_the_file_comes_back(tmp_path):
    made = tiny_assessor()
    back = assessor.load(save(tmp_path / "a.safetensors", made))
    hidden = torch.randn(3, 16)
    assert back.facts == made.facts and back.classes.equals(made.classes)
    assert np.isnan(back.references["score"].iloc[-1])
    np.testing.assert_array_equal(back.scores("score", hidden), made.scores("score", hidden))
    motion, sound = torch.randn(2, 3, 16, 21), torch.randn(2, 54, 16)
    seconds = torch.full((len(motion),), 3.0)
    np.testing.assert_array_equal(back.hidden(motion, sound, seconds), made.hidden(motion, sound, seconds))


def test_the_exported_head_is_the_prompters(monkeypatch):
    """Guards the export: what the file's tensors say is what the very same prompter predicts."""
    ps = tiny.piece_set()
    torch.manual_seed(1)
    features = Features(torch.randn(len(ps), 12), nn.Linear(12, 8))
    support, query = (np.flatnonzero(own) for own in (ps.table["trial"] < 5, ps.table["trial"] >= 5))
    fitted, fit = [], prompting.fit_until_best
    monkeypatch.setattr(prompting, "fit_until_best", lambda *a: fitted.append(fit(*a)) or fitted[0])
    tensors, classes, floor = fitting.prompter_tensors(features, ps.table, support, PrompterSettings(steps=30))
    predicted = fitted[0].predict(features.hidden[torch.as_tensor(query)])
    found = {task: tuple(c.double().numpy() for c in columns) for task, columns in predicted.items()}
    expected = protocols.answers(found, classes)
    facts = {"temperature": 1.0, "sharpness": [1.0], "score_floor": floor, "score_widening": 1.0}
    made = Assessor(nn.Identity(), IMPERIALDANCE21, tensors, classes, pd.DataFrame(), facts)
    hidden = features.hidden[torch.as_tensor(query)]
    np.testing.assert_allclose(calibration.class_logits(made, hidden).softmax(dim=1), expected.probabilities, atol=1e-5)
    pd.testing.assert_frame_equal(classes, expected.classes)
    mean, sd = zip(*(made.score(row[None]) for row in hidden), strict=True)
    np.testing.assert_allclose(np.array(mean) / 100, expected.score, atol=1e-5)
    np.testing.assert_allclose((np.array(sd) / 100) ** 2, expected.score_var, rtol=1e-3)


def test_a_support_is_copied_with_noise_in_its_music_only():
    ps = tiny.piece_set()
    ps.table.loc[ps.table.index[:4], "window"] = -1  # without music
    torch.manual_seed(1)
    encoder = networks.build_encoder(methods.METHODS["ours"], IMPERIALDANCE21, networks.Width((8, 16), 16, 12))
    support = np.flatnonzero(ps.table["trial"] < 5)
    hidden = Features.encoded(encoder, ps, np.arange(len(ps))).hidden
    features, table, rows = fitting.with_noisy_music(fitting.Material(ps, None, encoder, {}, PrompterSettings()), hidden, support)
    heard = np.tile(support[ps.table["window"].iloc[support] >= 0], fitting.NOISY_COPIES)
    assert torch.equal(features[: len(ps)], hidden) and rows.tolist() == [*support, *range(len(ps), len(table))]
    pd.testing.assert_frame_equal(table.iloc[len(ps) :].reset_index(drop=True), ps.table.iloc[heard].reset_index(drop=True))
    fold = splits.folds(table.iloc[rows])
    assert (fold[len(support) :] == pd.Series(fold[: len(support)], index=support)[heard]).all(), "a copy beside its original"
    copies, plain = features[len(ps) :], hidden[torch.as_tensor(heard)]
    torch.testing.assert_close(copies[:, :16], plain[:, :16], atol=1e-5, rtol=1e-4)  # motion
    assert ((copies - plain)[:, 16:].abs().amax(dim=1) > 1e-3).all(), "the music of every copy"


def test_music_is_standardised_as_in_training(tmp_path):
    root = write_imperialdance(tmp_path / "tree", ("b0", "b1", "b4"), trials=1)
    for n, beat in ((0, 0.5), (1, 0.55), (4, 0.6)):
        write_music(root / "music" / f"b_ch{n}.wav", 15.0, rate=22050, beat_s=beat)
    dataset = datasets.load(root)
    splits = dataset.index["choreography"].map({"b0": "pretrain", "b1": "pretrain", "b4": "test"})
    cut = pieces.build(dataset, splits, np.ones(len(dataset), bool), pieces.Cutting(24))
    mean, spread = fitting.music_scale(dataset, cut, "stretch", None)
    row = cut.table[cut.table["choreography"] == "b4"].iloc[1]
    sequence = dataset.sequences[row["sequence"]]
    heard_ = music.analyse(sequence.music, sequence.music_offset_s, sequence.music_window_s, sequence.duration_s)
    inside = (heard_.feature_times_s >= row["start_s"]) & (heard_.feature_times_s < row["end_s"])
    made = tiny_assessor()
    made.tensors.update({"music.mean": mean, "music.spread": spread})
    made.facts["piece_frames"] = 24
    np.testing.assert_allclose(made.music_piece(heard_.features[:, inside]), cut.music[row["window"]], atol=2e-3)
    assert fitting.longest_beat_s(dataset, cut.table) == pytest.approx(0.6, abs=0.02)
    files, track, fps = example.write(tmp_path / "mine", dataset, "b1", "expert", 1)
    read = recording.read(files[0], track, fps=fps)
    assert read.duration_s == pytest.approx(15.0) and len(list((tmp_path / "mine").iterdir())) == 1
    expected = recording.analyse(read).alignment["bar"]
    (own,) = (s for s in dataset if s.choreography == "b1" and s.level == "expert")
    assert fitting.recorded_bar(own, "stretch", None) == pytest.approx(expected)


def table_of(rows):
    return pd.DataFrame(rows, columns=["genre", "choreography", "level", "primitive"])


def test_pooling_adds_what_eights_agree_on_and_no_more_than_three():
    classes = table_of([(g, c, lv, p) for g, c in (("x", "a"), ("x", "b")) for lv in ("l", "m") for p in (0, 1)])
    vocabulary = Vocabulary.of(classes)
    one = np.array([0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    single = vocabulary.pooled(one[None], [1.0, 1.0, 1.0])
    assert single.probability.sum() == pytest.approx(1) and single.probability[0] == pytest.approx(0.4)
    assert single.of("genre").loc["x"] == pytest.approx(1) and single.of("choreography").index[0] == "a"
    assert single.primitives[0] == pytest.approx([0.4 * 0.75 + 0.6 * 0.5, 0.4 * 0.25 + 0.6 * 0.5])
    double = vocabulary.pooled(np.stack([one, one]), [1.0, 1.0, 1.0]).probability
    assert double[0] == pytest.approx(0.16 / (0.16 + 3 * 0.04))
    assert vocabulary.pooled(np.stack([one, one]), [1.0, 0.5, 1.0]).probability[0] == pytest.approx(0.4), "one's worth"
    three, nine = (vocabulary.pooled(np.stack([one] * n), [1.0, 1.0, 0.8]).probability for n in (3, 9))
    np.testing.assert_allclose(three, nine)


def test_temperature_and_sharpness_are_found_again():
    rng = np.random.default_rng(0)
    logits = torch.as_tensor(rng.normal(size=(4000, 5)) * 2)
    truth = np.array([rng.choice(5, p=p) for p in (logits / 2).softmax(dim=1).numpy()])
    assert calibration.temperature(logits, truth) == pytest.approx(2, rel=0.1)
    classes = table_of([("g", c, "l", 0) for c in "ab"])
    vocabulary, rows, probabilities = Vocabulary.of(classes), [], []
    for performance in range(2500):  # three eights that all say the same thing: worth one
        p = rng.uniform(0.05, 0.95)
        danced = "a" if rng.random() < p else "b"
        rows += [{"sequence": performance, "choreography": danced, "level": "l"}] * 3
        probabilities += [[p, 1 - p]] * 3
    found = calibration.sharpness(np.array(probabilities), pd.DataFrame(rows), vocabulary)
    assert found == pytest.approx([1.0, 0.5, 1 / 3], abs=0.12)
    short = np.arange(len(rows)) % 3 < 2  # of short recordings, none has three pieces
    found = calibration.sharpness(np.array(probabilities)[short], pd.DataFrame(rows)[short], vocabulary)
    assert found == pytest.approx([1.0, 0.5], abs=0.12)


def test_either_distance_can_exceed_its_threshold():
    made = tiny_assessor()
    motion = torch.randn(3, 3, 16, 21)
    hidden = torch.randn(3, 16)
    found = made.recognise(hidden)
    own = made.vocabulary.choreography_of == found.best_choreography
    made.tensors["class.postures"][torch.from_numpy(own)] = nn.functional.normalize(
        assessor.postures(motion[:1], IMPERIALDANCE21), dim=1
    )
    made.tensors["reference.features"][5] = nn.functional.normalize(hidden[0], dim=0)
    first = made.distances(hidden[:1], motion[:1], replace(found, primitives=found.primitives[:1]))
    assert first == pytest.approx({"features": 0.0, "posture": 0.0}, abs=1e-5)
    mask = np.ones(12, bool)
    mask[5] = False
    assert made.distances(hidden[:1], motion[:1], found, references=mask)["features"] > 0.01
    made.facts["thresholds"] = {"features": 0.1, "posture": 0.1}
    assert made.beyond_thresholds({"features": 0.05, "posture": 0.05}) == []
    assert made.beyond_thresholds({"features": 0.05, "posture": 0.5}) == ["posture"]


def test_support_and_held_out_are_disjoint():
    table = tiny.piece_set(trials=7).table
    support, held = fitting.support_and_held_out(table, 20)
    performances = [set(table["sequence"].iloc[rows]) for rows in (support, held)]
    assert not performances[0] & performances[1]
    assert len(performances[0]) == 4 * 2 * 4 and len(performances[1]) == 4 * 2 * 3
    crowd = tiny.piece_set(choreographies=("b0",), trials=60).table
    _, held = fitting.support_and_held_out(crowd, 5)
    assert set(crowd.iloc[held].groupby("level")["sequence"].nunique()) == {fitting.HELD_OUT}


def test_postures_are_the_same_wherever_one_faces():
    motion = torch.from_numpy(dancing())[None]
    turn = Rotation.from_euler("y", 130, degrees=True).as_matrix().astype(np.float32)
    turned = torch.einsum("ij,njtv->nitv", torch.from_numpy(turn), motion)
    seen = [assessor.postures(m, IMPERIALDANCE21) for m in (motion, turned)]
    np.testing.assert_allclose(*seen, atol=1e-4)


def test_an_eight_is_the_same_piece_at_any_frame_rate():
    made, still = tiny_assessor(), dancing(seconds=1, fps=1.0)[:, 0]

    def moving_on(fps):  # the whole body turns evenly: straight lines between frames are almost right
        angle = np.arange(round(6 * fps)) / fps * 0.2
        turn = Rotation.from_euler("y", angle[:, None]).as_matrix()
        return np.einsum("tij,jv->itv", turn, still).astype(np.float32)

    pieces_ = [made.motion_piece(moving_on(fps), fps, 0.317, 4.291) for fps in (24.0, 30.0, 59.94, 120.0)]
    assert pieces_[0].shape == (3, 16, 21)
    for other in pieces_[1:]:
        np.testing.assert_allclose(other, pieces_[0], atol=2e-4)
    last = made.motion_piece(moving_on(24.0), 24.0, 2.0, 6.0)
    assert np.isfinite(last).all(), "an eight may end with the recording"


def test_score_distribution_stays_within_the_scale():
    for mean, sd in ((50, 10), (98, 20), (1, 5)):
        d = assessor.score_distribution(mean, sd)
        x, y = np.array(d["curve"]).T
        assert np.trapezoid(y, x) == pytest.approx(1, abs=0.02)
        assert 0 <= d["low_90"] <= d["mean"] <= d["high_90"] <= 100
        truth = scipy.stats.truncnorm((0 - mean) / sd, (100 - mean) / sd, mean, sd)
        assert (d["low_90"], d["high_90"]) == pytest.approx(truth.interval(0.9))
        assert d["mean"] == pytest.approx(truth.mean())


def test_trend_is_students():
    y = [10.0, 14.0, 13.0, None, 19.0]
    fitted, x = assessment.trend(y), [1, 2, 3, 5]
    line = scipy.stats.linregress(x, [v for v in y if v is not None])
    half = scipy.stats.t.ppf(0.975, 2) * line.stderr
    assert (fitted.slope, fitted.low, fitted.high) == pytest.approx((line.slope, line.slope - half, line.slope + half))
    assert fitted.at_mean == pytest.approx(line.intercept + 3 * line.slope)
    assert assessment.trend([1.0, None, 2.0]) is None


# --- the report ------------------------------------------------------------------------------------------------------


def report_of(folder, made, motions=("dance.npy",)):
    recordings = [recording.read(folder / m, folder / "song.wav", fps=60) for m in motions]
    return assessment.report(recordings, [recording.analyse(r) for r in recordings], made), recordings


def test_report_page_and_figures(folder, tmp_path):
    report, recordings = report_of(folder, tiny_assessor())
    part = report["recordings"][0]
    assert part["recognition"]["unlike"] is False and part["score"] and len(part["nearest"]) == 4
    for name in ("genre", "choreography", "level"):
        assert sum(r["probability"] for r in part["recognition"][name]) == pytest.approx(1)
    assert len(part["recognition"]["eights"]) == 3 and report["progression"] is None
    assert part["beat_alignment"]["bar"] is not None and 0 <= part["beat_alignment"]["chance"] <= 100
    written = page.write(tmp_path / "out", report, pictures.all_of(report, recordings), recordings, b"fLaC")
    assert json.loads(written[1].read_text()) == report
    text = written[0].read_text()
    told = json.loads(re.search(r'class="dance"><script type="application/json">(.*?)</script>', text)[1])
    joints = binary.unpack(told["header"]["arrays"], base64.b64decode(told["joints"]))["joints"]
    assert joints.size == told["header"]["frames"] * 21 * 3 and told["header"]["duration"] == SECONDS
    assert [beat["verdict"] for beat in told["beats"]] == [b["verdict"] for row in part["timeline"]["eights"] for b in row]
    assert "synthetic" in text and not re.search(r"https?://|\bsrc=|\bhref=|url\(|@import", text)
    assert all(p.stat().st_size > 1000 for p in written)


def test_the_report_has_the_datas_word_and_range(folder):
    made = tiny_assessor()
    usual, _ = report_of(folder, made)
    made.facts.update(level_name="style", score_range=[1, 9])
    report, recordings = report_of(folder, made)
    before, after = (r["recordings"][0]["score"] for r in (usual, report))
    assert after["mean"] == pytest.approx(1 + 8 * before["mean"] / 100) and after["range"] == [1, 9]
    x, y = np.array(after["curve"]).T
    assert (x[0], x[-1]) == (1, 9) and np.trapezoid(y, x) == pytest.approx(1, abs=0.02)
    assert report["recordings"][0]["nearest"][0]["score"] == 5.0, "50 of 100 in the references"
    assert "on 1 to 9" in " ".join(assessment.headline(report["recordings"][0]))
    text = page.page(report)
    assert "<h2>Style" in text or "Style</" in text
    assert "<th>style</th>" in text and "dances each level" not in text and "dance each style" in text
    assert "style" in [ax.get_title(loc="left") for ax in pictures.all_of(report, recordings)["report"].axes]


def test_an_out_of_distribution_recording_is_called_unlike(folder):
    made = tiny_assessor(synthetic=False)
    made.facts["thresholds"] = {"features": -1.0, "posture": 2.0}
    report, _ = report_of(folder, made)
    part = report["recordings"][0]
    assert part["recognition"]["unlike"] and part["score"] is None
    assert assessment.UNLIKE in page.page(report) and assessment.UNLIKE in assessment.headline(part)[0]
    assert "synthetic" not in page.page(report)


def test_a_foreign_skeleton_keeps_its_bar(folder, tmp_path):
    (tmp_path / "three.json").write_text(json.dumps({"name": "three", "joints": ["a", "b", "c"], "parents": [-1, 0, 1]}))
    np.save(tmp_path / "three.npy", dancing()[:, :, :3])
    read = recording.read(
        tmp_path / "three.npy", folder / "song.wav", fps=60, layout="CTV",
        skeleton=recording.skeleton_of(str(tmp_path / "three.json")),
    )  # fmt: skip
    part = assessment.assess(read, recording.analyse(read), tiny_assessor())
    assert part["recognition"] is None and part["beat_alignment"]["bar"] is not None and part["timeline"]
    assert any("skeleton three" in note for note in part["notes"])


def test_too_short_for_an_eight_and_no_beat(folder, tmp_path):
    np.save(tmp_path / "short.npy", dancing(seconds=3.5))
    read = recording.read(tmp_path / "short.npy", folder / "song.wav", fps=60)
    part = assessment.assess(read, recording.analyse(read), tiny_assessor())
    assert part["recognition"] is None and any("no complete eight" in note for note in part["notes"])
    assert part["timeline"]["beat_s"] == pytest.approx(BEAT_S, abs=0.01)
    read = recording.read(folder / "dance.npy", folder / "song.wav", fps=60)
    nothing = replace(recording.analyse(read).music, beats_s=np.zeros(0), music_intensity_s=np.zeros(0))
    part = assessment.assess(read, recording.Analysis(nothing, rhythm.alignment(read, nothing)), tiny_assessor())
    assert part["timeline"] is None and part["recognition"] and len(part["recognition"]["eights"]) == 4  # of 3 s
    assert part["beat_alignment"]["bar"] is None
    report = {
        "format": "",
        "synthetic": True,
        "assessor": assessment.assessor_summary(tiny_assessor()),
        "music": {"file": "song.wav", "offset_s": 0.0},
        "recordings": [part],
        "progression": None,
    }
    assert "no steady beat" in page.page(report)
    assert pictures.all_of(report, [read])


def test_several_recordings_give_a_progression(folder, tmp_path):
    for i, shift in enumerate((0.15, 0.1, 0.05, 0.0)):
        np.save(tmp_path / f"take{i}.npy", dancing(shift, seed=i))
    reads = [recording.read(tmp_path / f"take{i}.npy", folder / "song.wav", fps=60) for i in range(4)]
    report = assessment.report(reads, [recording.analyse(r) for r in reads], tiny_assessor())
    timing = report["progression"]["timing_ms"]
    assert timing["n"] == 4 and timing["high"] < 0, "distance from the beat falls"
    drawn = pictures.all_of(report, reads)
    assert list(drawn) == ["report", "recording-01", "recording-02", "recording-03", "recording-04"]
    text = page.page(report)
    assert "Progression over 4 recordings" in text and "95 % interval" in text
    pair = assessment.report(reads[:2], [recording.analyse(r) for r in reads[:2]], tiny_assessor())
    assert pair["progression"]["bar"]["slope"] is None and "needs three" in page.page(pair)


def test_names_of_files_are_text_in_the_page(folder, tmp_path):
    name = "a <b>&\"'.npy"
    np.save(tmp_path / name, dancing())
    read = recording.read(tmp_path / name, folder / "song.wav", fps=60)
    text = page.page(assessment.report([read], [recording.analyse(read)], tiny_assessor()))
    assert "<b>&" not in text and "&lt;b&gt;&amp;" in text


def test_names_of_files_that_are_not_utf8(folder, tmp_path):
    names = [os.fsdecode(b"caf\xe9.npy"), os.fsdecode("d\u00e4nce.npy".encode())]
    try:
        for name in names:
            np.save(tmp_path / name, dancing())
    except OSError:
        pytest.skip("this file system has only UTF-8 names")
    read = [recording.read(tmp_path / name, folder / "song.wav", fps=60) for name in names]
    report = assessment.report(read, [recording.analyse(read[0])] * 2, tiny_assessor())
    page.write(tmp_path / "out", report, pictures.all_of(report, read))
    assert [part["file"] for part in report["recordings"]] == ["caf\\xe9.npy", "d\u00e4nce.npy"]
    assert "caf\\xe9.npy" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["recordings"][0]["file"] == "caf\\xe9.npy"


def test_a_report_that_cannot_be_drawn_leaves_no_folder(folder, tmp_path):
    class Broken(Figure):
        def draw_without_rendering(self):
            raise ValueError("cannot be drawn")

    read = recording.read(folder / "dance.npy", folder / "song.wav", fps=60)
    report = assessment.report([read], [recording.analyse(read)], tiny_assessor())
    with pytest.raises(ValueError, match="cannot be drawn"):
        page.write(tmp_path / "out", report, {"report": Broken()})
    assert not (tmp_path / "out").exists()


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_needs_no_text_model(folder, tmp_path):
    """In a process of its own: three files, one sentence each for what was asked, and no library for text or learning."""
    code = (
        "import sys; from dancemvp_core import cli\n"
        "if __name__ == '__main__':\n"
        f"    code = cli.main(['assess', {str(folder / 'dance.npy')!r}, {str(folder / 'song.wav')!r}, '--fps', '60', "
        f"'--offset', '1', '--checkpoint', {str(folder / 'assessor.safetensors')!r}, '--out', {str(tmp_path / 'out')!r}])\n"
        "    assert code == 0\n"
        "    assert not {'transformers', 'sklearn', 'numba', 'torchvision'} & set(sys.modules)\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["report.html", "report.json", "report.png"]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["music"]["offset_s"] == 1.0
    assert "Most likely" in done.stdout and "BAR" in done.stdout


def columns_of(motion):
    named = {f"{j}_{a}": motion[i, :, v] for v, j in enumerate(IMPERIALDANCE21.joints) for i, a in enumerate("xyz")}
    return pd.DataFrame(named)


def bad(folder, tmp_path, kind):
    """(arguments, a part of the line) of a command that cannot be obeyed."""
    motion, song, options = tmp_path / "bad.npy", folder / "song.wav", ["--fps", "60"]
    array = dancing()
    if kind == "no such motion":
        return [tmp_path / "none.npy", song, *options], "no such file"
    if kind == "no such music":
        return [folder / "dance.npy", tmp_path / "none.wav", *options], "none.wav"
    if kind == "suffix":
        (tmp_path / "x.txt").write_text("x")
        return [tmp_path / "x.txt", song, *options], "no motion format"
    if kind == "no fps":
        return [folder / "dance.npy", song], "--fps"
    if kind == "slow":
        return [folder / "dance.npy", song, "--fps", "0"], "expected 1 to"
    if kind == "fps of text":
        return [folder / "dance.npy", song, "--fps", "sixty"], "sixty"
    if kind == "offset":
        return [folder / "dance.npy", song, *options, "--offset", "99"], "an offset of 99"
    if kind == "music ends":
        return [folder / "dance.npy", song, *options, "--offset", "9"], "music for the whole dance"
    if kind == "not music":
        (tmp_path / "x.wav").write_bytes(b"RIFFjunk")
        return [folder / "dance.npy", tmp_path / "x.wav", *options], "not readable as audio"
    if kind == "silence":
        write_music(tmp_path / "quiet.wav", SECONDS + 1, silent=True)
        return [folder / "dance.npy", tmp_path / "quiet.wav", *options], "silent"
    if kind == "skeleton name":
        return [folder / "dance.npy", song, *options, "--skeleton", "smpl"], "smpl"
    if kind == "skeleton cycle":
        (tmp_path / "s.json").write_text('{"name": "s", "joints": ["a", "b"], "parents": [1, 0]}')
        return [folder / "dance.npy", song, *options, "--skeleton", tmp_path / "s.json"], "s.json"
    if kind == "no checkpoint":
        return [folder / "dance.npy", song, *options, "--checkpoint", tmp_path / "none.safetensors"], "make reproduce"
    if kind == "junk checkpoint":
        (tmp_path / "junk.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}junk..")
        return [folder / "dance.npy", song, *options, "--checkpoint", tmp_path / "junk.safetensors"], "not an assessor"
    if kind == "out is a file":
        (tmp_path / "taken").write_text("mine")
        return [folder / "dance.npy", song, *options, "--out", tmp_path / "taken"], "expected a folder"
    if kind == "second of two":
        return [folder / "dance.npy", tmp_path / "none.npy", song, *options], "none.npy"
    if kind in ("columns", "cell", "clock", "no frames"):
        table, path = columns_of(array), tmp_path / "bad.csv"
        if kind == "columns":
            table = table.drop(columns="Head_z")
        elif kind == "cell":
            table = table.astype(object)
            table.loc[5, "Head_z"] = "tall"
        elif kind == "clock":
            options = []
            table["time_s"] = np.arange(len(table)) / 60
            table.loc[100:, "time_s"] += 1
        else:
            table = table.iloc[:0]
        table.to_csv(path, index=False)
        say = {"columns": "no column Head_z", "cell": "line 7: Head_z is 'tall'",
               "clock": "no frame for 1.02 s", "no frames": "no frames"}  # fmt: skip
        return [path, song, *options], say[kind]
    if kind in ("pickle", "bvh"):
        path = tmp_path / f"bad.{'pkl' if kind == 'pickle' else 'bvh'}"
        path.write_bytes(pickle.dumps({"keypoints3d": print}) if kind == "pickle" else b"HIERARCHY\nROOT Hip\n{\n")
        return [path, song], "refused" if kind == "pickle" else "not a readable BVH"
    if kind == "trials":
        array = moving(100, trials=2)
    elif kind == "joints":
        array = array[:, :, :19]
    elif kind == "objects":
        np.save(motion, np.array([{}], dtype=object), allow_pickle=True)
        return [motion, song, *options], "Python objects"
    elif kind == "nan":
        array[:, 60:120, 3] = np.nan
    elif kind == "infinite":
        array[0, 7, 3] = np.inf
    elif kind == "frozen":
        array[:, 60:120] = array[:, 60:61]
    elif kind == "short":
        array = array[:, :30]
    np.save(motion, array)
    if kind == "truncated":
        motion.write_bytes(motion.read_bytes()[:5000])
    say = {"trials": "expected one recording", "joints": "name others with --skeleton", "nan": "is missing (NaN)",
           "infinite": "infinite", "frozen": "frozen", "short": "at least 1 s", "truncated": "truncated"}  # fmt: skip
    return [motion, song, *options], say[kind]


@pytest.mark.parametrize(
    "kind",
    ["no such motion", "no such music", "suffix", "no fps", "slow", "fps of text", "offset", "music ends", "not music",
     "silence", "skeleton name", "skeleton cycle", "no checkpoint", "junk checkpoint", "out is a file", "second of two",
     "columns", "cell", "clock", "no frames", "pickle", "bvh", "trials", "joints", "objects", "nan",
     "infinite", "frozen", "short", "truncated"],
)  # fmt: skip
def test_bad_input_gets_one_line_and_writes_nothing(folder, tmp_path, capsys, monkeypatch, kind):
    arguments, say = bad(folder, tmp_path, kind)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    chosen = ["assess", *map(str, arguments)]
    if "--checkpoint" not in chosen:
        chosen += ["--checkpoint", str(folder / "assessor.safetensors")]
    try:
        code = cli.main(chosen)
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    assert code == 2 and out == "" and len(err.splitlines()) == 1 and say in err, err
    assert sorted(tmp_path.rglob("*")) == before


def test_the_csv_reader_alone_says_what_it_read(tmp_path):
    columns_of(dancing()).to_csv(tmp_path / "a.csv", index=False)
    motion, fps, skeleton, notes = motioncsv.read(tmp_path / "a.csv")
    assert notes == ()
    assert motion.shape == (3, 720, 21) and fps is None and skeleton == IMPERIALDANCE21
