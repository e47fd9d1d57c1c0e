"""One body written along every axis and in every unit is one body to all that comes after it was read."""

import json
import pickle
from itertools import product

import bvh_writer
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from written_data import AIST_NAME, moving, write_aistpp, write_facts, write_imperialdance, write_manifest, write_music

from dancemvp_core import datasets
from dancemvp_core.assess import recording
from dancemvp_core.dance import orientation, pieces, rhythm
from dancemvp_core.dance.sequences import DanceSequence
from dancemvp_core.dance.skeleton import COCO17, IMPERIALDANCE21, Skeleton, canonical_body, front_view
from dancemvp_core.datasets import datacard, synthdance
from dancemvp_core.pretraining.augment import Augmentation
from dancemvp_core.tasks import floors

# From y-up to each axis: a turn about a level axis, in degrees, by scipy's own rotations.
WRITTEN = {"y": ("x", 0), "z": ("x", 90), "-y": ("x", 180), "-z": ("x", 270), "x": ("z", 270), "-x": ("z", 90)}
UNITS = {"m": 1.0, "cm": 100.0, "in": 1 / 0.0254}
# Every axis and every unit, and y-up in each of them.
FORMS = [("z", "m"), ("-y", "m"), ("-z", "cm"), ("x", "in"), ("-x", "cm"), ("y", "cm"), ("y", "in"), ("z", "in")]


def written(motion, axis="y", unit="m"):
    """A y-up motion (..., 3, T, V) in metres, as one writes it whose ``axis`` is up."""
    turn = Rotation.from_euler(*WRITTEN[axis], degrees=True).as_matrix()
    return (UNITS[unit] * np.einsum("ij,...jtv->...itv", turn, np.asarray(motion, np.float64))).astype(np.float32)


@pytest.fixture(scope="module")
def danced():
    """Two dancers' performances of b4 and one of k4, two trials each: (trials, 3, 1000, 21) by (choreography, level)."""
    asked = [("b4", "beginner"), ("b4", "expert"), ("k4", "expert")]
    return {key: synthdance.perform(*key, 2).motion for key in asked}


@pytest.fixture(scope="module")
def second_body(tmp_path_factory):
    """(frames, 17, 3) keypoints of the AIST++ stand-in, in cm, by file name."""
    root = tmp_path_factory.mktemp("second") / "aist"
    synthdance.write_aistpp(root, dancers=1, routines=1)
    return {p.name: pickle.loads(p.read_bytes())["keypoints3d_optim"] for p in sorted((root / "keypoints3d").iterdir())}


def write(source, root, axis, unit, danced, second_body):
    """The same performances as one of the three sources reads them."""
    if source == "aistpp":
        for name, points in second_body.items():
            write_aistpp(root, name, motion=written(points.transpose(2, 0, 1) / 100, axis, unit).transpose(1, 2, 0))
    elif source == "imperialdance":
        for (choreography, level), motion in danced.items():
            write_imperialdance(root, (choreography,), (level,), motion=written(motion, axis, unit))
            write_music(root / "music" / f"{choreography[0]}_ch{choreography[1]}.wav", 10.0)
    else:
        rows = []
        for (choreography, level), trials in danced.items():
            for trial, motion in enumerate(trials):
                file = f"{choreography}{level}{trial}.npy"
                np.save(root / file, written(motion, axis, unit).transpose(1, 2, 0))
                rows.append(f"{file},TVC,100,imperialdance21,song.wav,{choreography},{level}")
        write_manifest(root, rows, "motion,layout,fps,skeleton,music,choreography,level")
        write_music(root / "song.wav", 10.0)
    return datasets.load(root)


def cut(dataset, cache):
    splits = pd.Series("pretrain", index=dataset.index.index)
    return pieces.build(dataset, splits, np.ones(len(dataset), bool), pieces.Cutting(32), cache)


@pytest.fixture(scope="module")
def upright(tmp_path_factory, danced, second_body):
    """By source: the data set as it is y-up and in metres, its pieces, and where music is kept."""
    out = {}
    for source in ("imperialdance", "manifest", "aistpp"):
        root = tmp_path_factory.mktemp(source)
        dataset = write(source, root, "y", "m", danced, second_body)
        out[source] = (dataset, cut(dataset, root / "cache"), root / "cache")
    return out


@pytest.mark.parametrize("source", ["imperialdance", "manifest", "aistpp"])
@pytest.mark.parametrize(("axis", "unit"), FORMS)
def test_all_that_follows_is_the_same(tmp_path, upright, danced, second_body, source, axis, unit):
    first, own, cache = upright[source]
    dataset = write(source, tmp_path, axis, unit, danced, second_body)
    expected_axis = f"{axis}, found from head and feet" + ("" if axis == "y" else "; turned to y")
    assert dataset.upright == expected_axis and datacard.card(dataset, deep=False).overview["Upright axis"] == expected_axis
    other = cut(dataset, cache)
    np.testing.assert_allclose(other.motion, own.motion, rtol=1e-5, atol=2e-5)  # trunk lengths
    assert torch.equal(other.music, own.music)
    assert other.table["bar"].notna().all() == (source != "aistpp")
    pd.testing.assert_frame_equal(other.table.drop(columns="source"), own.table.drop(columns="source"))
    np.testing.assert_allclose(floors.motion_statistics(other), floors.motion_statistics(own), rtol=1e-3, atol=5e-3)
    for before, after in zip(first, dataset, strict=True):
        expected = front_view(before.motion, before.skeleton) * UNITS[unit]
        np.testing.assert_allclose(front_view(after.motion, after.skeleton), expected, atol=2e-5 * UNITS[unit])
        intensities = [rhythm.motion_intensity(s.motion, s.fps) for s in (before, after)]
        peaks = [rhythm.intensity_peaks(curve, before.fps) for curve in intensities]
        np.testing.assert_allclose(*peaks, atol=1e-3)
    assert dataset.notes == first.notes


def test_augmentation_turns_about_the_vertical_whatever_was_stored(tmp_path, upright, danced, second_body):
    _, own, cache = upright["imperialdance"]
    other = cut(write("imperialdance", tmp_path, "z", "m", danced, second_body), cache)
    rows = torch.arange(len(own))
    seen = [Augmentation(turn=180.0)(p.batch(rows), torch.Generator().manual_seed(1)) for p in (own, other)]
    np.testing.assert_allclose(seen[0]["motion"], seen[1]["motion"], atol=1e-4)
    np.testing.assert_allclose(seen[1]["motion"][:, 1], own.motion[:, 1], atol=1e-4)  # heights stay
    assert (seen[1]["motion"] - own.motion).abs().max() > 0.5


# --- the turn --------------------------------------------------------------------------------------------------------


@given(st.sampled_from(list(orientation.TURNS)), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_the_turn_is_a_rotation_that_brings_the_axis_up(axis, seed):
    matrix = orientation.turn_y_up(np.eye(3)[:, :, None], axis)[:, :, 0]
    np.testing.assert_array_equal(matrix @ matrix.T, np.eye(3))
    assert np.linalg.det(matrix) == pytest.approx(1.0)
    up = np.eye(3)["xyz".index(axis[-1])] * (-1 if axis[0] == "-" else 1)
    np.testing.assert_array_equal(matrix @ up, [0, 1, 0])
    motion = np.random.default_rng(seed).normal(size=(3, 5, 4)).astype(np.float32)
    turned = orientation.turn_y_up(motion, axis)
    assert turned.dtype == np.float32
    np.testing.assert_array_equal(turned, np.einsum("ij,jtv->itv", matrix.astype(np.float32), motion))
    handed = [np.linalg.det(m[:, 0, :3].astype(float)) for m in (motion, turned)]
    assert handed[0] == pytest.approx(handed[1])  # a mirror image would change its sign
    np.testing.assert_allclose(orientation.turn_y_up(written(turned, axis), axis), turned, atol=1e-6)


def test_y_up_motion_is_not_copied():
    motion = moving(50)
    assert orientation.turn_y_up(motion, "y") is motion


# --- which axis ------------------------------------------------------------------------------------------------------


def of_three(parts=(0.0, 1.7, 0.0)):
    """A two-joint body whose head is at ``parts`` from its foot, moving a little."""
    skeleton = Skeleton("two", ("foot", "HEAD"), (-1, 0))
    motion = np.repeat(np.array([[0.0, p] for p in parts])[:, None], 60, axis=1)
    return motion + 0.01 * np.sin(np.arange(60))[None, :, None], skeleton


@pytest.mark.parametrize("axis", list(WRITTEN))
@pytest.mark.parametrize("skeleton", [IMPERIALDANCE21, COCO17], ids=lambda s: s.name)
def test_the_axis_is_found_through_gaps_and_infinities(axis, skeleton):
    motion = written(moving(200, len(skeleton.joints)), axis)
    motion[:, ::2] = np.nan
    motion[0, 7], motion[1, 9] = np.inf, -np.inf
    assert orientation.find_upright([motion], skeleton) == orientation.Upright(axis, "found from head and feet")


def test_a_cartwheel_does_not_matter(tmp_path, danced):
    dance = danced["k4", "expert"][0].copy()
    dance[1:, 100:250] *= -1  # on the hands for a while
    write_music(tmp_path / "song.wav", 12.0)
    for axis in WRITTEN:
        np.save(tmp_path / "dance.npy", written(dance, axis))
        read = recording.read(tmp_path / "dance.npy", tmp_path / "song.wav", fps=100)
        np.testing.assert_allclose(read.motion, dance, atol=1e-5)
        assert len(read.notes) == 1 and read.notes[0].endswith(f"up axis {axis}")


def test_one_odd_recording_does_not_turn_the_set_and_is_noted():
    upright, skeleton = of_three()
    huge, _ = of_three((900.0, 0.0, 0.0))
    found = orientation.find_upright([upright, upright, huge, np.full_like(upright, np.nan)], skeleton)
    assert found.axis == "y"
    assert found.notes == ("y is upright by the median, but 1 of 3 examined recordings rise along another axis",)


def test_a_narrow_choice_says_how_sure_it_is():
    motion, skeleton = of_three((-0.8, 0.1, 1.2))
    found = orientation.find_upright([motion], skeleton)
    assert found.axis == "z"
    (note,) = found.notes
    assert note.startswith("z is taken as upright, but this is uncertain")
    assert note.endswith("from feet to head the body rises 1.2 along z, 0.8 along -x, 0.1 along y")
    assert orientation.find_upright([of_three((0.5, 1.2, 0.0))[0]], skeleton).notes == ()


def test_a_stated_axis_is_kept_and_a_contradiction_is_noted():
    motion, skeleton = of_three()
    found = orientation.find_upright([motion], skeleton, stated="z")
    assert str(found) == "z, stated in dataset.json; turned to y"
    assert found.notes == (
        "z is stated as upright, but from feet to head the body rises 1.7 along y, 0 along x, 0 along z: "
        "motion is turned as stated",
    )
    assert orientation.find_upright([motion], skeleton, stated="y") == orientation.Upright("y", "stated in dataset.json")


@pytest.mark.parametrize("axis", list(WRITTEN))
def test_a_body_without_names_is_longest_along_its_axis_and_steady_at_the_floor(axis):
    chain = Skeleton("chain", ("a", "b", "c"), (-1, 0, 1))
    motion = np.zeros((3, 50, 3))
    motion[1] = [0.0, 1.0, 2.0]
    motion[1, :, 2] += 0.3 * np.sin(np.arange(50))
    motion[0, :, 1] = 0.2
    found = orientation.find_upright([written(motion, axis)], chain)
    assert str(found).startswith(f"{axis}, found from the longest extent")
    (note,) = found.notes
    assert note.startswith(f"{axis} is taken as upright: the body extends 2 along {axis}, ") and "no joints of chain" in note


@pytest.mark.parametrize("motions", [[], [np.zeros((3, 50, 21))], [np.full((3, 50, 21), np.nan)]])
def test_where_nothing_shows_it_y_is_assumed(motions):
    assert str(orientation.find_upright(motions, IMPERIALDANCE21)) == "y, assumed: no motion shows it"


# --- data sets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["imperialdance", "manifest", "aistpp"])
def test_dataset_json_overrides_what_is_found(tmp_path, source):
    y_up = moving(1000) if source == "imperialdance" else moving(150, 17)
    if source == "imperialdance":
        write_imperialdance(tmp_path, ("b0",), ("expert",), motion=y_up[None])
    elif source == "aistpp":
        write_aistpp(tmp_path, AIST_NAME, motion=y_up.transpose(1, 2, 0))
    else:
        write_manifest(tmp_path, ["m.npy,CTV,100,coco17"])
        np.save(tmp_path / "m.npy", y_up)
    write_facts(tmp_path, up="-z")
    dataset = datasets.load(tmp_path)
    np.testing.assert_array_equal(dataset.sequences[0].motion, y_up[[0, 2, 1]] * np.array([1, -1, 1])[:, None, None])
    card = datacard.card(dataset)
    assert card.overview["Upright axis"] == "-z, stated in dataset.json; turned to y"
    assert "-z is stated as upright, but from feet to head the body rises" in card.text()
    assert not any("if this is wrong" in note for note in dataset.notes)


def test_a_manifest_of_unnamed_joints_says_how_to_state_the_axis(tmp_path):
    body = {"name": "stick", "joints": ["a", "b", "c"], "parents": [1, -1, 0]}
    write_manifest(tmp_path, ["s.npy,CTV,50,body.json"])
    (tmp_path / "body.json").write_text(json.dumps(body))
    np.save(tmp_path / "s.npy", moving(100, 3))
    (note,) = [n for n in datasets.load(tmp_path).notes if "upright" in n]
    assert note.endswith('if this is wrong, state "up" in dataset.json')
    write_facts(tmp_path, up="y")
    dataset = datasets.load(tmp_path)
    np.testing.assert_array_equal(dataset.sequences[0].motion, np.load(tmp_path / "s.npy"))
    assert dataset.upright == "y, stated in dataset.json" and not any("upright" in note for note in dataset.notes)


def test_slices_and_gaps_are_turned_too(tmp_path):
    motion = written(moving(trials=3), "z")
    motion[1, :, 100:120, 4] = np.nan
    write_imperialdance(tmp_path, ("b0",), ("expert",), motion=motion)
    dataset = datasets.load(tmp_path)
    assert dataset.upright.startswith("z")
    for sequence, expected in zip(dataset.sequences[:2], moving(trials=3), strict=False):
        assert np.isfinite(sequence.motion).all() and sequence.motion.dtype == np.float32
        np.testing.assert_allclose(sequence.motion[:, :100], expected[:, :100], atol=1e-5)


# --- recordings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("axis", "unit"), [(a, u) for a, u in product(WRITTEN, UNITS) if u == "m" or a in ("y", "z")])
def test_a_recording_in_every_format(tmp_path, danced, axis, unit):
    song = write_music(tmp_path / "song.wav", 5.0)
    upright = canonical_body(danced["b4", "expert"][0][:, :110], IMPERIALDANCE21)
    motion = written(upright, axis, unit)
    np.save(tmp_path / "a.npy", motion)
    columns = {f"{j}_{c}": motion[i, :, v] for v, j in enumerate(IMPERIALDANCE21.joints) for i, c in enumerate("xyz")}
    pd.DataFrame(columns).to_csv(tmp_path / "a.csv", index=False)
    bvh_writer.write(tmp_path / "a.bvh", motion, IMPERIALDANCE21, 100)
    for name in ("a.npy", "a.csv", "a.bvh"):
        read = recording.read(tmp_path / name, song, fps=100)
        # the BVH's angles have six decimals
        np.testing.assert_allclose(read.motion / UNITS[unit], upright, atol=1e-4 if name == "a.bvh" else 1e-5, err_msg=name)
        np.testing.assert_allclose(canonical_body(read.motion, IMPERIALDANCE21), upright - upright[:, :1, [19]], atol=1e-4)
        assert isinstance(read, DanceSequence) and read.notes == (f"read 21 joints at 100 fps from {name}; up axis {axis}",)


@pytest.mark.parametrize("axis", list(WRITTEN))
def test_an_aistpp_recording(tmp_path, second_body, axis):
    name, points = next(iter(second_body.items()))
    upright = points.transpose(2, 0, 1)
    path = write_aistpp(tmp_path, name, motion=written(upright, axis).transpose(1, 2, 0))
    read = recording.read(path, write_music(tmp_path / "song.wav", 12.0))
    np.testing.assert_allclose(read.motion, upright, atol=1e-3)


# --- the front -------------------------------------------------------------------------------------------------------


def about_the_vertical(degrees: float) -> np.ndarray:
    return Rotation.from_euler("y", degrees, degrees=True).as_matrix()


@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0, 179.0, -120.0])
def test_where_a_dancer_faces_in_the_room_is_no_part_of_the_dance(danced, degrees):
    motion = np.asarray(danced["b4", "expert"][0], dtype=np.float64)
    elsewhere = np.einsum("ij,jtv->itv", about_the_vertical(degrees), motion)
    seen = [np.einsum("ij,jtv->itv", orientation.to_front(m, IMPERIALDANCE21, 100.0), m) for m in (motion, elsewhere)]
    np.testing.assert_allclose(seen[1], seen[0], atol=1e-6 * np.abs(motion).max())
    np.testing.assert_allclose(seen[0][1], motion[1])  # heights stay
    left, right = (IMPERIALDANCE21.index(name) for name in ("LThigh", "RThigh"))
    across = (seen[0][:, :100, left] - seen[0][:, :100, right]).mean(axis=1)
    assert across[0] > 0.7 * np.linalg.norm(across), "the left hip is to the left of a body that looks along z"


def test_a_turn_within_the_dance_stays():
    body = np.zeros((3, 200, 21))
    left, right = ([IMPERIALDANCE21.index(side + name) for name in ("Shoulder", "Thigh")] for side in "LR")
    body[0, :, left], body[0, :, right] = 1.0, -1.0
    body[:, 150:] = np.einsum("ij,jtv->itv", about_the_vertical(90.0), body[:, 150:])
    np.testing.assert_allclose(orientation.to_front(body, IMPERIALDANCE21, 100.0), np.eye(3), atol=1e-12)


def test_a_body_without_a_direction_is_not_turned():
    lying = np.zeros((3, 50, 21))
    lying[1, :, IMPERIALDANCE21.index("LThigh")] = 1.0
    assert np.array_equal(orientation.to_front(lying, IMPERIALDANCE21, 50.0), np.eye(3))
    assert np.array_equal(orientation.to_front(lying, Skeleton("stick", ("a", "b"), (-1, 0)), 50.0), np.eye(3))


def test_joints_in_another_order_are_doubted_and_a_body_is_not(danced, second_body):
    motion, names = danced["b4", "expert"][0], list(IMPERIALDANCE21.joints)
    assert orientation.doubt(motion, IMPERIALDANCE21) is None
    for points in second_body.values():
        assert orientation.doubt(points.transpose(2, 0, 1), COCO17) is None
    shuffled = motion[:, :, np.random.default_rng(0).permutation(len(names))]
    assert orientation.doubt(shuffled, IMPERIALDANCE21).startswith("left and right bones differ by ")
    hip, head = names.index("Hip"), names.index("Head")
    swapped = motion.copy()
    swapped[:, :, [hip, head]] = motion[:, :, [head, hip]]
    assert orientation.doubt(swapped, IMPERIALDANCE21) == "the hips are not between the feet and the head"
