"""Skeletons as data, and the canonical body that hides a dancer's size."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dancemvp_core.dance.skeleton import (
    COCO17,
    IMPERIALDANCE21,
    Skeleton,
    bone_lengths,
    canonical_body,
    coco17_to_imperialdance21,
    front_view,
    load_skeleton,
)


def a_motion(skeleton, frames=12, seed=0):
    """Bones of fixed random lengths in directions that change every frame, and a travelling root."""
    rng = np.random.default_rng(seed)
    motion = np.zeros((3, frames, len(skeleton.joints)))
    motion[:, :, skeleton.root] = rng.normal(size=(3, frames)).cumsum(axis=1)
    for child, parent in skeleton.bones:
        direction = rng.normal(size=(3, frames))
        direction /= np.linalg.norm(direction, axis=0)
        motion[:, :, child] = motion[:, :, parent] + rng.uniform(0.5, 2) * direction
    return motion


def directions(motion, skeleton):
    bones = np.stack([motion[:, :, c] - motion[:, :, p] for c, p in skeleton.bones])
    return bones / np.linalg.norm(bones, axis=1, keepdims=True)


both = pytest.mark.parametrize("skeleton", [IMPERIALDANCE21, COCO17], ids=lambda s: s.name)


# --- the trees


def test_imperialdance_has_the_published_joints_and_twenty_bones():
    s = IMPERIALDANCE21
    assert (len(s.joints), len(s.bones), len(s.pairs)) == (21, 20, 8)
    assert s.joints[0] == "RShin" and s.joints[19] == "Hip" and s.joints[20] == "RFArm"
    named = {s.joints[c]: s.joints[p] for c, p in s.bones}
    assert named["LShoulder"] == "Chest" and named["RToe"] == "RFoot" and named["Ab"] == "Hip"
    assert s.joints[s.root] == "Hip"


@both
def test_parents_come_before_children_and_mirroring_twice_changes_nothing(skeleton):
    seen = set()
    for joint in skeleton.order:
        assert skeleton.parents[joint] in seen | {-1}
        seen.add(joint)
    assert seen == set(range(len(skeleton.joints)))
    mirror = np.array(skeleton.mirror)
    assert (mirror[mirror] == np.arange(len(mirror))).all()
    # the tree itself is symmetrical: mirroring a bone gives a bone, as long as the first
    for child, parent in skeleton.bones:
        assert skeleton.parents[mirror[child]] == mirror[parent]
        assert skeleton.lengths[mirror[child]] == skeleton.lengths[child] > 0


BAD = {
    "two roots": (("a", "b"), (-1, -1), ()),
    "no root": (("a", "b"), (1, 0), ()),
    "a cycle beside the root": (("a", "b", "c"), (-1, 2, 1), ()),
    "a joint that is its own parent": (("a", "b"), (-1, 1), ()),
    "a parent that is not there": (("a", "b"), (-1, 7), ()),
    "a parent below -1": (("a", "b"), (-1, -2), ()),
    "fewer parents than joints": (("a", "b", "c"), (-1, 0), ()),
    "one name twice": (("a", "a"), (-1, 0), ()),
    "a single joint": (("a",), (-1,), ()),
    "a pair outside": (("a", "b"), (-1, 0), ((0, 2),)),
}


@pytest.mark.parametrize(("joints", "parents", "pairs"), BAD.values(), ids=BAD.keys())
def test_bad_trees_are_refused_by_name(joints, parents, pairs):
    with pytest.raises(ValueError, match="'odd'"):
        Skeleton("odd", joints, parents, pairs)


@st.composite
def trees(draw):
    """A random tree whose joints come in any order, children before parents included."""
    n = draw(st.integers(2, 8))
    grown = [-1, *(draw(st.integers(0, i - 1)) for i in range(1, n))]
    place = draw(st.permutations(range(n)))
    parents = [0] * n
    for joint, parent in enumerate(grown):
        parents[place[joint]] = -1 if parent < 0 else place[parent]
    return Skeleton("drawn", tuple("abcdefgh"[:n]), tuple(parents))


@settings(max_examples=60, derandomize=True)
@given(skeleton=trees(), seed=st.integers(0, 5))
def test_the_canonical_body_serves_parents_in_any_order(skeleton, seed):
    lengths = np.arange(1.0, len(skeleton.joints) + 1)
    lengths[skeleton.root] = 0
    motion = a_motion(skeleton, seed=seed)
    body = canonical_body(motion, skeleton, lengths)
    assert bone_lengths(body, skeleton) == pytest.approx(lengths, rel=1e-4)
    assert directions(body, skeleton) == pytest.approx(directions(motion, skeleton), abs=1e-4)


# --- JSON


def write_json(tmp_path, content):
    path = tmp_path / "puppet.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_skeleton_from_json(tmp_path):
    raw = {"name": "puppet", "joints": ["hand_l", "body", "hand_r"], "parents": [1, -1, 1], "pairs": [[0, 2]]}
    puppet = load_skeleton(write_json(tmp_path, raw))
    assert puppet == Skeleton("puppet", ("hand_l", "body", "hand_r"), (1, -1, 1), ((0, 2),))
    assert puppet.mirror == (2, 1, 0) and puppet.lengths == ()
    assert load_skeleton(write_json(tmp_path, raw | {"pairs": []})).mirror == (0, 1, 2)


@pytest.mark.parametrize(
    "content",
    [
        "not json",
        "[1, 2]",
        {"name": "x"},
        {"name": "x", "joints": 3, "parents": [-1]},
        {"name": "x", "joints": ["a", "b"], "parents": [0, 0]},
        {"name": "x", "joints": ["a", "b"], "parents": [-1, 0], "pairs": [[0]]},
    ],
)
def test_a_bad_json_skeleton_is_one_line_that_names_the_file(tmp_path, content):
    path = write_json(tmp_path, content)
    with pytest.raises(ValueError) as fault:
        load_skeleton(path)
    assert str(path) in str(fault.value) and "\n" not in str(fault.value)


def test_a_missing_json_skeleton_names_the_built_in_ones(tmp_path):
    with pytest.raises(ValueError, match="imperialdance21"):
        load_skeleton(tmp_path / "nobody.json")


# --- the canonical body


@both
def test_the_canonical_body_keeps_directions_and_replaces_lengths(skeleton):
    motion = a_motion(skeleton)
    body = canonical_body(motion, skeleton)
    assert body.dtype == np.float32 and body.shape == motion.shape
    assert directions(body, skeleton) == pytest.approx(directions(motion, skeleton), abs=1e-4)
    assert bone_lengths(body, skeleton) == pytest.approx(skeleton.lengths, abs=1e-4)
    assert body[:, 0, skeleton.root] == pytest.approx(0)


@both
@pytest.mark.parametrize("scale", [0.01, 1.3, 1000.0])
def test_neither_size_nor_place_survives(skeleton, scale):
    motion = a_motion(skeleton)
    other = scale * motion + np.array([1.0, 20.0, -3.0]).reshape(3, 1, 1) * scale
    assert canonical_body(other, skeleton) == pytest.approx(canonical_body(motion, skeleton), abs=1e-3)


def test_the_root_keeps_its_travel():
    body = canonical_body(a_motion(IMPERIALDANCE21), IMPERIALDANCE21)
    assert np.ptp(body[:, :, IMPERIALDANCE21.root], axis=1).min() > 0.1


def test_a_body_without_size_or_known_lengths_is_refused():
    with pytest.raises(ValueError, match="no size"):
        canonical_body(np.ones((3, 5, 21)), IMPERIALDANCE21)
    nameless = Skeleton("stick", ("a", "b"), (-1, 0))
    with pytest.raises(ValueError, match="expected 2 canonical"):
        canonical_body(np.zeros((3, 5, 2)), nameless)


# --- COCO to ImperialDance


def a_standing_coco():
    """A person of trunk 0.5 who faces +y with z up; their left is at -x... which is where x is negative here."""
    height = {"nose": 1.6, "eye": 1.65, "ear": 1.62, "shoulder": 1.4, "elbow": 1.1, "wrist": 0.9}
    height |= {"hip": 0.9, "knee": 0.5, "ankle": 0.1}
    out = np.zeros((3, 4, 17))
    for i, name in enumerate(COCO17.joints):
        part = name.split("_")[-1]
        side = 0 if name == "nose" else -1 if name.startswith("left") else 1
        out[:, :, i] = np.array([0.2 * side, 0.0, height[part]])[:, None]
    return out


def test_imperialdance_joints_on_a_coco_body():
    body = coco17_to_imperialdance21(a_standing_coco())
    at = {name: body[:, 0, i] for i, name in enumerate(IMPERIALDANCE21.joints)}
    assert body.shape == (3, 4, 21)
    assert at["Hip"] == pytest.approx([0, 0, 0.9]) and at["Neck"] == pytest.approx([0, 0, 1.4])
    assert at["Ab"] == pytest.approx([0, 0, 1.05]) and at["Chest"] == pytest.approx([0, 0, 1.225])
    assert at["LHand"] == pytest.approx([-0.2, 0, 0.9]) and at["RShoulder"] == pytest.approx([0.1, 0, 1.4])
    # facing +y with the left hand at -x, so the toes point to +y, 0.15 of a shin of 0.4
    assert at["LToe"] == pytest.approx([-0.2, 0.06, 0.1]) and at["RToe"] == pytest.approx([0.2, 0.06, 0.1])


def test_the_mapping_turns_a_mirrored_dancer_into_the_mirrored_dancer():
    rng = np.random.default_rng(2)
    coco = a_standing_coco() + rng.normal(0, 0.05, (3, 4, 17))
    flip = np.array([-1.0, 1.0, 1.0]).reshape(3, 1, 1)
    mirrored = (flip * coco)[:, :, list(COCO17.mirror)]
    expected = (flip * coco17_to_imperialdance21(coco))[:, :, list(IMPERIALDANCE21.mirror)]
    assert coco17_to_imperialdance21(mirrored) == pytest.approx(expected)


def test_the_mapped_body_turns_with_the_dancer():
    coco = a_standing_coco() + np.random.default_rng(4).normal(0, 0.05, (3, 4, 17))
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)  # a rotation, not a reflection
    turned = np.einsum("ij,jtv->itv", turn, coco)
    expected = np.einsum("ij,jtv->itv", turn, coco17_to_imperialdance21(coco))
    assert coco17_to_imperialdance21(turned) == pytest.approx(expected)


# --- front view


def standing(skeleton, seconds=2.0):
    """A body in its rest pose, x to its left, y up, whose arms go up and down: (3, T, V)."""
    place = np.zeros((3, len(skeleton.joints)))
    for child, parent in skeleton.bones:
        name = skeleton.joints[child].lower()
        side = {"l": 1.0, "r": -1.0}[name[0]] if child in {j for pair in skeleton.pairs for j in pair} else 0.0
        down = any(part in name for part in ("hip", "knee", "ankle", "thigh", "shin", "foot", "toe"))
        place[:, child] = place[:, parent] + (0.2 * side, -0.5 if down else 0.1, 0.05)
    t = np.linspace(0, seconds, 100)
    motion = np.repeat(place[:, None], len(t), axis=1)
    hands = [j for j, name in enumerate(skeleton.joints) if "Hand" in name or "wrist" in name]
    motion[1][:, hands] += 0.5 * np.sin(2 * np.pi * t)[:, None]
    return motion


@pytest.mark.parametrize("skeleton", [IMPERIALDANCE21, COCO17], ids=lambda s: s.name)
@pytest.mark.parametrize("degrees", [0, 75, 180, 290])
def test_front_view_has_the_dancers_left_wherever_they_face(skeleton, degrees):
    motion = standing(skeleton)
    expected = front_view(motion, skeleton)
    assert expected[:, skeleton.pairs[0][0], 0].mean() > expected[:, skeleton.pairs[0][1], 0].mean()
    np.testing.assert_allclose(expected[..., 1], motion[1])
    turn = Rotation.from_euler("y", degrees, degrees=True).as_matrix()
    np.testing.assert_allclose(front_view(np.einsum("ij,jtv->itv", turn, motion), skeleton), expected, atol=1e-12)


def test_front_view_without_pairs_shows_the_wider_side():
    chain = Skeleton("chain", ("a", "b", "c"), (-1, 0, 1))
    motion = np.random.default_rng(0).normal(size=(3, 50, 3)) * np.array([0.1, 1.0, 2.0])[:, None, None]
    seen = front_view(motion, chain)
    np.testing.assert_allclose(seen, np.stack([motion[2] - motion[2][:, :1], motion[1]], axis=-1))
