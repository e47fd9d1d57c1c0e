"""BVH motion capture, read by pybvh: world positions of a skeleton's joints, which are found in the file by their names."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import IMPERIALDANCE21, Skeleton
from dancemvp_core.datasets import motionfiles

# Names of ImperialDance's joints in other software. A BVH joint is where its bone begins, as an ImperialDance joint is: the
# "arm" is at the shoulder. Families use the same word for different joints, so all joints must come from one family.
# Namespaces ("mixamorig:"), capitals and punctuation do not count.
_LIMBS = {
    "Motive": "Shoulder UArm FArm Hand Thigh Shin Foot Toe",
    "Mixamo": "Shoulder Arm ForeArm Hand UpLeg Leg Foot ToeBase",
    "Biovision": "Collar Shoulder Elbow Wrist Hip Knee Ankle Toe",
}
_TRUNKS = ("Hip Ab Chest Neck Head", "Hips Spine Spine1 Neck Head", "Hips LowerBack Spine Neck Head",
           "Hips Chest Chest2 Neck Head", "Hips Chest Chest3 Neck Head", "Hips Abdomen Chest Neck Head")  # fmt: skip
_SIDES = {"L": "Left", "R": "Right"}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.rsplit(":", 1)[-1].lower())


def _families() -> list[dict[str, str]]:
    """Every combination of trunk and limb names: {ImperialDance's joint: plain name in the file}."""
    own_trunk, own_limbs = _TRUNKS[0].split(), _LIMBS["Motive"].split()
    families = []
    for trunk in _TRUNKS:
        for limbs in _LIMBS.values():
            for short in (False, True):
                family = dict(zip(own_trunk, map(_plain, trunk.split()), strict=True))
                for letter, word in _SIDES.items():
                    side = letter if short else word
                    family |= {letter + own: _plain(side + o) for own, o in zip(own_limbs, limbs.split(), strict=True)}
                families.append(family)
    return families


def joint_names(names: list[str], skeleton: Skeleton) -> tuple[dict[str, str], list[str]]:
    """Find a skeleton's joints among the joint names of a file: ({joint: name in the file}, joints that are missing).

    The skeleton's own names are tried first. For ImperialDance's joints, the names of Motive, Mixamo (and similar software)
    and Biovision are tried too.
    """
    by_plain_name = {_plain(name): name for name in reversed(names)}  # of two joints with one name, the first counts
    families = [{joint: _plain(joint) for joint in skeleton.joints}]
    if skeleton.joints == IMPERIALDANCE21.joints:
        families += _families()
    best = max(families, key=lambda family: sum(name in by_plain_name for name in family.values()))
    missing = [joint for joint in skeleton.joints if best[joint] not in by_plain_name]
    return {joint: by_plain_name[best[joint]] for joint in skeleton.joints if best[joint] in by_plain_name}, missing


def read(path: Path, skeleton: Skeleton = IMPERIALDANCE21) -> tuple[np.ndarray, float]:
    """Read a skeleton's joints from a ``.bvh`` file. Returns (motion (3, T, V) float32 in the file's unit, fps).

    Raises DataError if pybvh cannot read the file, or if a joint cannot be found in it.
    """
    import pybvh  # the import takes half a second, and only BVH files need it

    try:
        with np.errstate(all="ignore"):
            # The up axis is not used here. If none is given, pybvh guesses one and warns.
            clip = pybvh.read_bvh_file(path, world_up="+y")
            positions, fps = clip.joint_positions(), 1.0 / clip.frame_time
    except OSError as fault:
        raise DataError(f"{path}: cannot be read ({fault.strerror or fault}), expected a .bvh file") from None
    except Exception as fault:  # a damaged file can raise many exceptions; pybvh's message says where
        reason = " ".join(str(fault).replace(str(path), "the file").split())
        raise DataError(f"{path}: not a readable BVH file ({reason[:160]})") from None
    if not 0 < fps < math.inf:
        raise DataError(f"{path}: the frame time is {clip.frame_time}, expected a positive number of seconds")
    found, missing = joint_names(clip.joint_names, skeleton)
    if missing:
        raise DataError(
            f"{path}: cannot find {', '.join(missing)} of {skeleton.name} among its joints ({', '.join(clip.joint_names[:8])}, "
            "...); expected these joints, or a skeleton JSON with the joint names of the file (--skeleton)"
        )
    columns = [clip.joint_index[found[joint]] for joint in skeleton.joints]
    return motionfiles.as_float32(positions[:, columns].transpose(2, 0, 1)), fps
