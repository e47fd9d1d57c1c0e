"""Skeletons as data: joints, parents, left-right pairs, and the canonical body that every encoder gets.

A skeleton is a tree. Three skeletons are built in: ``imperialdance21``, ``coco17`` and ``h36m17``. Any other is a small JSON file:
``{"name", "joints": [names], "parents": [index, -1 for the root], "pairs": [[left, right], ...]}``, or the names that a file has
for a built-in skeleton's joints: ``{"skeleton": "imperialdance21", "names": {"Hip": "pelvis", ...}}``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

ZERO = 1e-6  # a bone up to this share of the whole body has no length


@dataclass(frozen=True)
class Skeleton:
    """A joint tree: names, parent of each joint (-1 for the root), (left, right) pairs of indices.

    ``lengths`` is the canonical length of the bone from each joint to its parent, in trunk units (root 0). It is empty if
    no canonical body is known; the median of the data set is used then. ``names`` are what a file calls the joints, if it
    calls them otherwise. Raises ValueError if the parents are not one tree or a pair names a joint that does not exist.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...] = ()
    lengths: tuple[float, ...] = field(default=(), compare=False)
    names: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self):
        n = len(self.joints)
        if n < 2 or len(set(self.joints)) != n:
            raise ValueError(f"skeleton {self.name!r}: expected at least two joints with distinct names")
        if len(self.parents) != n:
            raise ValueError(f"skeleton {self.name!r}: {len(self.parents)} parents for {n} joints")
        if sum(p == -1 for p in self.parents) != 1:
            raise ValueError(f"skeleton {self.name!r}: expected exactly one root (parent -1)")
        if any(not -1 <= p < n for p in self.parents):
            raise ValueError(f"skeleton {self.name!r}: a parent index is outside -1..{n - 1}")
        if any(not 0 <= j < n for pair in self.pairs for j in pair):
            raise ValueError(f"skeleton {self.name!r}: a left-right pair names a joint outside 0..{n - 1}")
        if len(self.order) != n:
            raise ValueError(f"skeleton {self.name!r}: the parents form a cycle, expected one tree")

    @property
    def root(self) -> int:
        """Index of the joint without a parent."""
        return self.parents.index(-1)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Joint indices with every parent before its children, for any order of the joints."""
        children = [[c for c, p in enumerate(self.parents) if p == j] for j in range(len(self.joints))]
        order = [self.root]
        for joint in order:
            order.extend(children[joint])
            if len(order) > len(self.joints):
                break
        return tuple(order)

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(child, parent) for every joint but the root."""
        return tuple((j, self.parents[j]) for j in self.order if self.parents[j] >= 0)

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """For each joint, the joint that it becomes when left and right are exchanged, (V,)."""
        swap = list(range(len(self.joints)))
        for left, right in self.pairs:
            swap[left], swap[right] = right, left
        return tuple(swap)

    def index(self, joint: str) -> int:
        """Index of a joint by its name; ValueError if the skeleton has no such joint."""
        return self.joints.index(joint)


def _build(name, parent_of, pairs, joints, lengths) -> Skeleton:
    index = {joint: i for i, joint in enumerate(joints)}
    return Skeleton(
        name=name,
        joints=tuple(joints),
        parents=tuple(index.get(parent_of.get(joint), -1) for joint in joints),
        pairs=tuple((index[left], index[right]) for left, right in pairs),
        lengths=tuple(lengths.get(joint, 0.0) for joint in joints),
    )


def _sided(table: dict, left: str, right: str) -> dict:
    """Both sides of a table that is written once, with ``*`` for the side."""
    swap = lambda text, side: text.replace("*", side) if isinstance(text, str) else text  # noqa: E731
    return {swap(k, side): swap(v, side) for side in (left, right) for k, v in table.items()}


# The joint order is the one published with the data set. The data set publishes no tree; this one is ours.
# The lengths are anthropometric averages in trunk units (Hip to Neck = 1).
IMPERIALDANCE21 = _build(
    "imperialdance21",
    parent_of={"Ab": "Hip", "Chest": "Ab", "Neck": "Chest", "Head": "Neck"}
    | _sided(
        {"*Shoulder": "Chest", "*UArm": "*Shoulder", "*FArm": "*UArm", "*Hand": "*FArm"}
        | {"*Thigh": "Hip", "*Shin": "*Thigh", "*Foot": "*Shin", "*Toe": "*Foot"},
        "L",
        "R",
    ),
    pairs=[("L" + part, "R" + part) for part in "Shoulder UArm FArm Hand Thigh Shin Foot Toe".split()],
    joints="RShin RToe RThigh LThigh LFoot RShoulder LHand RHand LFArm LShoulder RFoot Neck LShin Chest "
    "Head LToe Ab RUArm LUArm Hip RFArm".split(),
    lengths={"Ab": 0.30, "Chest": 0.35, "Neck": 0.35, "Head": 0.30}
    | _sided(
        {"*Shoulder": 0.28, "*UArm": 0.22, "*FArm": 0.56, "*Hand": 0.50}
        | {"*Thigh": 0.20, "*Shin": 0.84, "*Foot": 0.82, "*Toe": 0.30},
        "L",
        "R",
    ),
)

# COCO keypoints have no pelvis. The nose is the root, so that the tree is symmetric.
COCO17 = _build(
    "coco17",
    parent_of=_sided(
        {"*_eye": "nose", "*_ear": "*_eye", "*_shoulder": "nose", "*_elbow": "*_shoulder"}
        | {"*_wrist": "*_elbow", "*_hip": "*_shoulder", "*_knee": "*_hip", "*_ankle": "*_knee"},
        "left",
        "right",
    ),
    pairs=[("left_" + p, "right_" + p) for p in "eye ear shoulder elbow wrist hip knee ankle".split()],
    joints="nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow "
    "left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle".split(),
    lengths=_sided(
        {"*_eye": 0.07, "*_ear": 0.18, "*_shoulder": 0.55, "*_elbow": 0.56, "*_wrist": 0.50}
        | {"*_hip": 0.98, "*_knee": 0.84, "*_ankle": 0.82},
        "left",
        "right",
    ),
)

# The order of Human3.6M, which many 3-D pose estimators write. Its 17 joints are easily taken for COCO's.
H36M17 = _build(
    "h36m17",
    parent_of={"Spine": "Pelvis", "Thorax": "Spine", "Neck": "Thorax", "Head": "Neck"}
    | _sided(
        {"*Hip": "Pelvis", "*Knee": "*Hip", "*Ankle": "*Knee"} | {"*Shoulder": "Thorax", "*Elbow": "*Shoulder", "*Wrist": "*Elbow"},
        "L",
        "R",
    ),
    pairs=[("L" + part, "R" + part) for part in "Hip Knee Ankle Shoulder Elbow Wrist".split()],
    joints="Pelvis RHip RKnee RAnkle LHip LKnee LAnkle Spine Thorax Neck Head LShoulder LElbow LWrist "
    "RShoulder RElbow RWrist".split(),
    lengths={"Spine": 0.50, "Thorax": 0.50, "Neck": 0.15, "Head": 0.20}
    | _sided(
        {"*Hip": 0.20, "*Knee": 0.84, "*Ankle": 0.82} | {"*Shoulder": 0.33, "*Elbow": 0.56, "*Wrist": 0.50},
        "L",
        "R",
    ),
)

SKELETONS = {s.name: s for s in (IMPERIALDANCE21, COCO17, H36M17)}


def load_skeleton(path: str | Path) -> Skeleton:
    """Read a skeleton from its JSON file, a tree or names for a built-in one; ValueError names the file and the fault.

    A tree with the joints of a built-in skeleton, in its order, is that skeleton.
    """
    path = Path(path)
    try:
        raw = json.loads(path.read_bytes())  # of bytes, json finds the encoding, with a byte order mark or without
        if "names" in raw:
            return _named(SKELETONS[raw.get("skeleton", IMPERIALDANCE21.name)], raw["names"])
        own = Skeleton(
            name=str(raw["name"]),
            joints=tuple(str(j) for j in raw["joints"]),
            parents=tuple(int(p) for p in raw["parents"]),
            pairs=tuple((int(left), int(right)) for left, right in raw.get("pairs", [])),
        )
    except FileNotFoundError:
        raise ValueError(f"{path}: no such skeleton file; built in are {', '.join(SKELETONS)}") from None
    except (KeyError, TypeError, AttributeError, ValueError, OSError) as fault:
        what = f"key {fault} is missing" if isinstance(fault, KeyError) else str(fault)
        raise ValueError(
            f'{path}: not a skeleton: {what}; expected {{"name", "joints", "parents", "pairs"}}, or {{"skeleton", "names"}}'
        ) from None
    return next((known for known in SKELETONS.values() if known.joints == own.joints), own)


def _named(skeleton: Skeleton, names: dict[str, str]) -> Skeleton:
    lacking = [joint for joint in skeleton.joints if joint not in names]
    if lacking:
        raise ValueError(f"names has no {', '.join(lacking)} of {skeleton.name}")
    return replace(skeleton, names=tuple(str(names[joint]) for joint in skeleton.joints))


def bone_lengths(motion: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Median length of the bone from each joint to its parent, (V,) in the motion's units (root 0); motion (3, T, V)."""
    return np.median(np.linalg.norm(_bones(motion, skeleton), axis=0), axis=0)


def _bones(motion: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Vectors from each joint's parent to the joint, (3, T, V); zero for the root."""
    above = [j if parent < 0 else parent for j, parent in enumerate(skeleton.parents)]
    return motion - motion[:, :, above]


def _above(skeleton: Skeleton, joint: int) -> list[int]:
    """The joints from a joint's parent up to the root."""
    above = []
    while (joint := skeleton.parents[joint]) >= 0:
        above.append(joint)
    return above


def canonical_body(motion: np.ndarray, skeleton: Skeleton, lengths=None) -> np.ndarray:
    """Put a motion on the canonical body: bone directions stay, bone lengths are replaced, from the root outwards.

    motion (3, T, V) -> (3, T, V) float32. The root starts at the origin, and its path is scaled with the body, so that a
    dancer's size does not reveal the level. A joint that coincides with its parent has the direction of the bones beyond it,
    so that no part of the body is lost. ``lengths`` (V,) defaults to the skeleton's. Raises ValueError if the skeleton
    has no canonical lengths and none are given, or if the body has no size.
    """
    lengths = np.asarray(skeleton.lengths if lengths is None else lengths, dtype=np.float64)
    if lengths.shape != (len(skeleton.joints),):
        raise ValueError(f"skeleton {skeleton.name!r}: expected {len(skeleton.joints)} canonical bone lengths")
    motion = np.asarray(motion, dtype=np.float64)
    bones = _bones(motion, skeleton)
    norm = np.linalg.norm(bones, axis=0)
    size = np.median(norm, axis=0).sum()
    if not size > 0:
        raise ValueError("all joints stand in one point: the body has no size")
    for joint in np.flatnonzero(np.median(norm, axis=0) <= ZERO * size):  # coincides with its parent: take the bones beyond it
        beyond = [child for child, _ in skeleton.bones if joint in _above(skeleton, child) and norm[:, child].max() > ZERO * size]
        if skeleton.parents[joint] >= 0 and beyond:
            nearest = min(len(_above(skeleton, child)) for child in beyond)
            first = [child for child in beyond if len(_above(skeleton, child)) == nearest]
            bones[:, :, joint] = bones[:, :, first].mean(axis=2)
            norm[:, joint] = np.linalg.norm(bones[:, :, joint], axis=0)
    directions = np.divide(bones, norm, out=np.zeros_like(bones), where=norm > 0)
    out = np.empty_like(motion)
    root = skeleton.root
    out[:, :, root] = (motion[:, :, root] - motion[:, :1, root]) * (lengths.sum() / size)
    for child, parent in skeleton.bones:
        out[:, :, child] = out[:, :, parent] + lengths[child] * directions[:, :, child]
    return out.astype(np.float32)


def _front(across: np.ndarray, up: np.ndarray) -> np.ndarray:
    """The direction in which the body looks, (3, T) of length 1; ``across`` goes from right to left."""
    front = np.cross(across, up, axis=0)
    size = np.linalg.norm(front, axis=0, keepdims=True)
    return np.divide(front, size, out=np.zeros_like(front), where=size > 0)


def coco17_to_imperialdance21(motion: np.ndarray) -> np.ndarray:
    """Place ImperialDance's 21 joints on a COCO body, (3, T, 17) -> (3, T, 21).

    Joints that COCO has are copied (its wrist is the Hand). Joints between them are interpolated along their segment. COCO
    has no toes; they are placed 0.15 shin lengths in front of the ankle.
    """
    c = {name: motion[:, :, i] for i, name in enumerate(COCO17.joints)}
    hip = (c["left_hip"] + c["right_hip"]) / 2
    neck = (c["left_shoulder"] + c["right_shoulder"]) / 2
    up = neck - hip
    front = _front(c["left_hip"] - c["right_hip"], up)
    ears = (c["left_ear"] + c["right_ear"]) / 2
    joints = {"Hip": hip, "Ab": hip + 0.3 * up, "Chest": hip + 0.65 * up, "Neck": neck, "Head": ears}
    for letter, side in (("L", "left"), ("R", "right")):
        shoulder, elbow, wrist = (c[f"{side}_{p}"] for p in ("shoulder", "elbow", "wrist"))
        pelvis, knee, ankle = (c[f"{side}_{p}"] for p in ("hip", "knee", "ankle"))
        shin = np.linalg.norm(knee - ankle, axis=0, keepdims=True)
        joints |= {
            letter + "Shoulder": (neck + shoulder) / 2,
            letter + "UArm": shoulder,
            letter + "FArm": elbow,
            letter + "Hand": wrist,
            letter + "Thigh": pelvis,
            letter + "Shin": knee,
            letter + "Foot": ankle,
            letter + "Toe": ankle + 0.15 * shin * front,
        }
    return np.stack([joints[name] for name in IMPERIALDANCE21.joints], axis=-1)


def h36m17_to_imperialdance21(motion: np.ndarray) -> np.ndarray:
    """Place ImperialDance's 21 joints on a body of Human3.6M's order, (3, T, 17) -> (3, T, 21).

    Joints that it has are copied; the collar is midway between thorax and shoulder, and the toes are placed as for COCO.
    """
    c = {name: motion[:, :, i] for i, name in enumerate(H36M17.joints)}
    front = _front(c["LHip"] - c["RHip"], c["Thorax"] - c["Pelvis"])
    joints = {"Hip": c["Pelvis"], "Ab": (c["Pelvis"] + c["Spine"]) / 2, "Chest": (c["Spine"] + c["Thorax"]) / 2}
    joints |= {"Neck": c["Thorax"], "Head": c["Head"]}
    for side in "LR":
        shin = np.linalg.norm(c[side + "Knee"] - c[side + "Ankle"], axis=0, keepdims=True)
        joints |= {
            side + "Shoulder": (c["Thorax"] + c[side + "Shoulder"]) / 2,
            side + "UArm": c[side + "Shoulder"],
            side + "FArm": c[side + "Elbow"],
            side + "Hand": c[side + "Wrist"],
            side + "Thigh": c[side + "Hip"],
            side + "Shin": c[side + "Knee"],
            side + "Foot": c[side + "Ankle"],
            side + "Toe": c[side + "Ankle"] + 0.15 * shin * front,
        }
    return np.stack([joints[name] for name in IMPERIALDANCE21.joints], axis=-1)


TO_IMPERIALDANCE21 = {"coco17": coco17_to_imperialdance21, "h36m17": h36m17_to_imperialdance21}


def asymmetry(motion: np.ndarray, skeleton: Skeleton) -> float:
    """How much left and right bones differ: the sum of differences as a share of the sum of lengths; motion (3, T, V).

    It is small for a body and large for joints in another order. 0 if the skeleton has no pairs; NaN if nothing is known.
    """
    lengths = np.linalg.norm(_bones(np.asarray(motion, dtype=np.float64), skeleton), axis=0)
    known = lengths[np.isfinite(lengths).all(axis=1)]
    if not len(known):
        return float("nan")
    median = np.median(known, axis=0)
    left, right = median[[pair[0] for pair in skeleton.pairs]], median[[pair[1] for pair in skeleton.pairs]]
    return float(np.abs(left - right).sum() / max((left + right).sum() / 2, 1e-300))


def across(motion: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Mean direction from the right joints to the left joints: (x, z) of length 1; motion (3, T, V), y up.

    Without pairs it is the wider of the two horizontal axes.
    """
    if skeleton.pairs:
        left, right = map(list, zip(*skeleton.pairs, strict=True))
        level = (motion[:, :, left] - motion[:, :, right]).mean(axis=(1, 2))[[0, 2]]
    else:
        level = np.eye(2)[int(np.argmax(np.ptp(motion[[0, 2]], axis=2).mean(axis=1)))]
    return level / max(np.linalg.norm(level), 1e-12)


def front_view(motion: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """A motion seen from the front, (3, T, V) y-up -> (T, V, 2): across (positive to the dancer's left) and up.

    The root is at 0 across in every frame and keeps its height.
    """
    motion = np.asarray(motion, dtype=np.float64)
    level = motion[[0, 2]]
    level = level - level[:, :, [skeleton.root]]
    return np.stack([np.einsum("a,atv->tv", across(motion, skeleton), level), motion[1]], axis=-1)


def spatial_partitions(skeleton: Skeleton) -> np.ndarray:
    """The skeleton graph in ST-GCN's spatial configuration, (3, V, V) float32 (Yan et al. 2018, section 3.3).

    Entry [k, v, w] is the weight of joint v for joint w: k = 0 for the joint itself, 1 for its neighbour nearer to the
    root, 2 for its neighbours farther from the root. Each joint averages over its neighbourhood (for every w the entries
    sum to 1 over k and v).
    """
    joints = len(skeleton.joints)
    graph = np.zeros((3, joints, joints))
    graph[0] = np.eye(joints)
    for child, parent in skeleton.bones:
        graph[1, parent, child] = 1
        graph[2, child, parent] = 1
    return (graph / graph.sum(axis=(0, 1), keepdims=True)).astype(np.float32)
