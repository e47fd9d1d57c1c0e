"""BVH motion capture: world positions of a skeleton's joints, which are found in the file by their names.

The reader takes what Blender takes: keywords in any case, position channels on any joint, names with spaces, any line breaks.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import IMPERIALDANCE21, Skeleton
from dancemvp_core.formats import tables
from dancemvp_core.formats.motion import GAP_S, Motion, columns_of

EXPECTED = "a .bvh file"
ROUNDED = 1e-4  # a share: a frame time of 0.033333 s means 30 frames per second
REST_JUMP = 4.0  # a first pose from which the body jumps so many times as far as ever again is a rest pose


@dataclass
class _Joint:
    name: str
    parent: int
    offset: tuple[float, ...] = (0.0, 0.0, 0.0)
    channels: list[str] = field(default_factory=list)


def read(path: Path, skeleton: Skeleton | None = None) -> Motion:
    """Read a skeleton's joints (default: ImperialDance's) from a BVH file, in the file's unit.

    A position channel stands in place of the OFFSET. A rest pose before the first frame of the dance is made missing, and a
    note says so. Raises DataError, with the line or frame, for a file that is not BVH, is truncated, or lacks a joint.
    """
    skeleton = skeleton or IMPERIALDANCE21
    head, *rest = re.split(r"(?im)^\s*MOTION\b", tables.text_of(path, EXPECTED), maxsplit=1)
    if not rest:
        raise DataError(f"{path}: not a readable BVH file (no MOTION section), expected HIERARCHY and MOTION")
    joints = _hierarchy(path, head)
    values, fps, notes = _frames(path, rest[0], sum(len(joint.channels) for joint in joints))
    positions = _positions(path, joints, values)
    names = [joint.name for joint in joints]
    near = 1e-6 * max(math.hypot(*joint.offset) for joint in joints)
    coincident = {j.name for j in joints if j.parent >= 0 and math.hypot(*j.offset) <= near and not _moved(j)}
    columns = columns_of(path, names, skeleton, coincident)
    motion = np.ascontiguousarray(positions[:, columns].transpose(2, 0, 1), dtype=np.float32)
    turned = [k for k, name in enumerate(c for j in joints for c in j.channels) if name.endswith("rotation")]
    rest = _rest_frames(motion, values[:, turned], fps)
    one_place = [skeleton.joints[c] for c, p in skeleton.bones if np.allclose(motion[:, :, c], motion[:, :, p], rtol=0, atol=near)]
    if one_place:
        notes.append(f"{tables.listing(one_place)} coincide with the joint below: the body is read without these bones")
    if rest:
        motion[:, :rest] = np.nan
        notes.append(f"the first {'frame is' if rest == 1 else f'{rest} frames are'} a rest pose and left out")
    return Motion(motion, fps, skeleton, tuple(notes))


def _moved(joint: _Joint) -> bool:
    return any(channel.endswith("position") for channel in joint.channels)


def _hierarchy(path: Path, text: str) -> list[_Joint]:
    """The joints, each after its parent. End sites have no channels and are left out."""
    joints: list[_Joint] = []
    above: list[int] = []  # the open blocks; -1 for an end site
    opened = -1
    for number, line in enumerate(text.splitlines(), 1):
        place = f"{path}: line {number}"
        for statement in re.split(r"([{}])", line):
            words = statement.split()
            word = words[0].lower() if words else ""
            if word in ("root", "joint"):
                if word == "root" and joints:
                    raise DataError(f"{place}: a second ROOT, expected one dancer in a file")
                joints.append(_Joint(" ".join(words[1:]), above[-1] if above else -1))
                opened = len(joints) - 1
                if (opened == 0) != (word == "root") or (opened and not above):
                    raise DataError(f"{place}: not a readable BVH file ({' '.join(words)} outside of the ROOT's block)")
            elif word == "end":
                opened = -1
            elif word == "{":
                above.append(opened)
            elif word == "}":
                if not above:
                    raise DataError(f"{place}: not a readable BVH file (a closing bracket too many)")
                above.pop()
            elif word == "offset" and above and above[-1] >= 0:
                offset = tuple(tables.float_of(w.replace(",", ".")) for w in words[1:])
                if len(offset) != 3 or None in offset:
                    raise DataError(f"{place}: OFFSET is {' '.join(words[1:])!r}, expected three numbers")
                joints[above[-1]].offset = offset
            elif word == "channels" and above and above[-1] >= 0:
                channels = [w.lower() for w in words[2:]]
                if not all(re.fullmatch(r"[xyz](position|rotation)", c) for c in channels) or words[1:2] != [str(len(channels))]:
                    raise DataError(f"{place}: {statement.strip()!r}, expected a number and so many of Xposition ... Zrotation")
                joints[above[-1]].channels = channels
            elif word not in ("", "hierarchy", "offset", "channels"):
                raise DataError(f"{place}: not a readable BVH file ({statement.strip()[:40]!r}), expected HIERARCHY")
    if not joints or above:
        fault = "a block is not closed" if above else "no ROOT"
        raise DataError(f"{path}: not a readable BVH file ({fault}), expected HIERARCHY and MOTION")
    return joints


def _frames(path: Path, text: str, channels: int) -> tuple[np.ndarray, float, list[str]]:
    """(values (T, channels), frames per second, notes) of the text after MOTION."""
    count = re.search(r"(?i)\bframes\s*:?\s*(\d+)", text)
    time = re.search(r"(?i)\bframe\s*time\s*:?[ \t]*(\S*)", text)
    if not count or not time:
        raise DataError(f"{path}: MOTION has no Frames or no Frame Time, expected both")
    seconds = tables.float_of(time[1].replace(",", "."))
    if not seconds or not seconds > 0:
        raise DataError(f"{path}: the frame time is {time[1]!r}, expected a positive number of seconds")
    words = text[time.end() :].replace(",", ".").split()
    try:
        values = np.array(words, dtype=np.float64)
        fault = tables.python_only(words)
    except ValueError:
        fault = next(w for w in words if tables.float_of(w) is None and w.lower().strip("+-") not in ("nan", "inf"))
    if fault is not None:
        frame = words.index(fault) // channels
        raise DataError(f"{path}: frame {frame + 1} has {fault!r}, expected numbers")
    frames, rest = divmod(len(values), channels)
    if rest or not frames:
        raise DataError(f"{path}: {len(values)} numbers after Frame Time, expected {channels} for each of {count[1]} frames")
    notes = [] if frames == int(count[1]) else [f"the file states {count[1]} frames and holds {frames}"]
    fps = 1 / seconds
    return values.reshape(frames, channels), round(fps) if abs(fps - round(fps)) < ROUNDED * fps else fps, notes


def _positions(path: Path, joints: list[_Joint], values: np.ndarray) -> np.ndarray:
    """World positions (T, J, 3) by forward kinematics."""
    positions, turns, start = np.empty((len(values), len(joints), 3)), [], 0
    local = _turns(path, joints, values)
    for k, joint in enumerate(joints):
        place = np.tile(np.array(joint.offset), (len(values), 1))
        for column, channel in enumerate(joint.channels, start):
            if channel.endswith("position"):
                place[:, "xyz".index(channel[0])] = values[:, column]
        start += len(joint.channels)
        above = turns[joint.parent] if joint.parent >= 0 else np.eye(3)
        positions[:, k] = (above @ place[:, :, None])[:, :, 0] + (positions[:, joint.parent] if joint.parent >= 0 else 0)
        turns.append(above @ local[k])
    return positions


def _turns(path: Path, joints: list[_Joint], values: np.ndarray) -> np.ndarray:
    """The rotation of each joint about its axes in the order of its channels, (J, T, 3, 3); joints with the same axes at once."""
    from scipy.spatial.transform import Rotation  # the import takes a moment, and only BVH files need it

    local = np.tile(np.eye(3), (len(joints), len(values), 1, 1))
    groups: dict[str, dict[int, np.ndarray]] = {}
    start = 0
    for k, joint in enumerate(joints):
        turned = [c for c, channel in enumerate(joint.channels) if channel.endswith("rotation")]
        axes = "".join(joint.channels[c][0].upper() for c in turned)
        groups.setdefault(axes, {})[k] = np.nan_to_num(values[:, [start + c for c in turned]])
        start += len(joint.channels)
    groups.pop("", None)
    for axes, degrees in groups.items():
        try:
            turns = Rotation.from_euler(axes, np.concatenate(list(degrees.values())), degrees=True)
        except ValueError:
            name = joints[next(iter(degrees))].name
            raise DataError(f"{path}: {name} turns about {axes}, expected up to three different axes") from None
        local[list(degrees)] = turns.as_matrix().reshape(len(degrees), len(values), 3, 3)
    return local


def _rest_frames(motion: np.ndarray, angles: np.ndarray, fps: float) -> int:
    """How many frames at the beginning are a rest pose: unturned, or followed by a jump beyond all others; 0 if none are."""
    longest = min(int(GAP_S * fps), motion.shape[1] - 2)
    unturned = ~angles.any(axis=1)
    turned = int(np.argmin(unturned))  # the first frame with an angle that is not 0
    if 0 < turned <= longest and not unturned[turned:].any():
        return turned
    steps = np.linalg.norm(np.diff(motion, axis=1), axis=0).mean(axis=1)
    if longest < 1 or len(steps) < 3:
        return 0
    jump = int(np.argmax(steps[:longest]))
    if steps[jump] > REST_JUMP * steps[jump + 1 :].max() and steps[:jump].max(initial=0) <= 1e-3 * steps[jump]:
        return jump + 1
    return 0
