"""Checking a motion, and sequences that are read on demand."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from dancemvp_core.dance import orientation
from dancemvp_core.dance.sequences import LEVELS, DanceDataset, DanceSequence, DataError, evenly_spaced
from dancemvp_core.dance.skeleton import Skeleton
from dancemvp_core.formats.motion import GAP_S, Motion
from dancemvp_core.formats.npy import as_float32

NEAR = 0.1  # in body heights: a joint so near the origin before or after may well pass through it
STILL_S = 0.5  # a real body never keeps all coordinates exactly equal for this long
SHORTEST_S = 1.0  # a shorter motion is not used
UPRIGHT_SEQUENCES = 20  # the upright axis is found on so many sequences, spread over the data set

INDEX_COLUMNS = "genre choreography level trial score music track split dancer duration_s fps file".split()


def _longest_run(mask: np.ndarray) -> tuple[int, int]:
    """(start, length) of the longest run of True in a (T,) mask; length 0 if there is none."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    if len(edges) == 0:
        return 0, 0
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    longest = int(np.argmax(lengths))
    return int(starts[longest]), int(lengths[longest])


@dataclass(frozen=True)
class MotionFaults:
    """The faults in one motion: missing and infinite values, the longest gap, the longest time without movement.

    ``gap_s`` is the longest time in s that one joint (``gap_joint``) is missing, from ``gap_at_s`` on. ``still_s`` is the
    longest time in s that no coordinate of the body changes at all, from ``still_at_s`` on.
    """

    missing: int = 0
    gap_s: float = 0.0
    gap_at_s: float = 0.0
    gap_joint: int = -1
    infinite: int = 0
    infinite_at_s: float = 0.0
    still_s: float = 0.0
    still_at_s: float = 0.0

    def fault(self, skeleton: Skeleton, gap_s: float = GAP_S) -> str | None:
        """Why the motion cannot be used, as a phrase; None if it can be used."""
        if self.infinite:
            return f"{self.infinite} infinite values, the first at {self.infinite_at_s:.2f} s, expected none"
        if self.gap_s > gap_s + 1e-9:
            return (
                f"joint {skeleton.joints[self.gap_joint]} is missing (NaN) for {self.gap_s:.2f} s from "
                f"{self.gap_at_s:.2f} s, expected gaps of at most {gap_s:g} s"
            )
        if self.still_s >= STILL_S - 1e-9:
            return (
                f"constant frames: the whole body is frozen for {self.still_s:.2f} s from "
                f"{self.still_at_s:.2f} s, expected a moving body (under {STILL_S:g} s)"
            )
        return None


def motion_faults(motion: np.ndarray, fps: float) -> MotionFaults:
    """Find missing, infinite and constant values in one motion (3, T, V); times are in s."""
    found = {}
    moved = (motion[:, 1:] != motion[:, :-1]).any(axis=(0, 2))  # NaN differs from NaN, so a gap does not count as constant
    start, length = _longest_run(~moved)
    if length:
        found |= {"still_s": length / fps, "still_at_s": start / fps}
    if not np.isfinite(motion).all():
        infinite = np.isinf(motion)
        if infinite.any():
            first = int(np.argmax(infinite.any(axis=(0, 2))))
            found |= {"infinite": int(infinite.sum()), "infinite_at_s": first / fps}
        missing = np.isnan(motion)
        if missing.any():
            missing_at = missing.any(axis=0)
            runs = {joint: _longest_run(missing_at[:, joint]) for joint in np.flatnonzero(missing_at.any(axis=0))}
            joint = max(runs, key=lambda j: runs[j][1])
            start, length = runs[joint]
            found |= {"missing": int(missing.sum()), "gap_joint": int(joint)}
            found |= {"gap_s": length / fps, "gap_at_s": start / fps}
    return MotionFaults(**found)


def zero_filled(motion: np.ndarray) -> np.ndarray:
    """Where a joint of a motion (3, T, V) is at exactly 0, 0, 0 in place of a missing one: (T, V) bool.

    Pose estimators write undetected joints so. A joint that is there in all frames is the origin. So is one that walks
    through it: a joint is missing only if it is far from the origin, for the size of the body, in the frames around.
    """
    zero = (np.asarray(motion) == 0).all(axis=0)
    some = zero.any(axis=0) & ~zero.all(axis=0)
    if not some.any():
        return np.zeros_like(zero)
    placed = np.where(zero | np.isnan(motion).any(axis=0), np.nan, np.asarray(motion, dtype=np.float64))
    size = np.nanmedian(np.nanmax(placed, axis=2) - np.nanmin(placed, axis=2), axis=1).max()
    for joint in np.flatnonzero(some):
        frames, known = np.arange(len(zero)), np.flatnonzero(np.isfinite(placed[0, :, joint]))
        far = np.linalg.norm(placed[:, known, joint], axis=0) if len(known) else np.zeros(0)
        if not len(known):
            continue
        after = np.searchsorted(known, frames)
        nearest = np.minimum(far[np.maximum(after - 1, 0)], far[np.minimum(after, len(known) - 1)])
        zero[:, joint] &= nearest > NEAR * size
    zero[:, ~some] = False
    return zero


def without_zeros(motion: np.ndarray) -> np.ndarray:
    """The motion (3, T, V) with NaN for joints that are ``zero_filled``: the input itself if none is."""
    zeros = zero_filled(motion)
    return np.where(zeros, np.float32(np.nan), motion) if zeros.any() else motion


def bridge_gaps(motion: np.ndarray) -> np.ndarray:
    """Replace missing joints by a straight line between the frames around the gap. Returns a copy, (3, T, V).

    A joint is missing if any of its coordinates is NaN. At the ends of the clip the nearest frame is repeated.
    """
    out = np.array(motion, dtype=np.float32)
    frames = np.arange(out.shape[1])
    missing_at = np.isnan(motion).any(axis=0)
    for joint in np.flatnonzero(missing_at.any(axis=0)):
        gap = missing_at[:, joint]
        for axis in range(3):
            known = motion[axis, ~gap, joint]
            out[axis, gap, joint] = np.interp(frames[gap], frames[~gap], known)
    return out


def check_motion(motion, skeleton: Skeleton, fps: float, where: str, gap_s: float = GAP_S) -> np.ndarray:
    """Check a motion and return it as (3, T, V) float32 with short gaps bridged: the input itself, or a copy.

    ``where`` names the file (and trial) in the message. Raises DataError for another shape, dtype or joint count, a clip
    below 1 s, an infinite value, a joint missing for longer than ``gap_s``, or a body without any change of coordinates for
    0.5 s.
    """
    motion = np.asanyarray(motion)
    joints = len(skeleton.joints)
    if motion.dtype.kind != "f":
        raise DataError(f"{where}: dtype is {motion.dtype}, expected floats")
    if motion.ndim != 3 or motion.shape[0] != 3 or motion.shape[2] != joints:
        raise DataError(f"{where}: shape is {motion.shape}, expected (3, frames, {joints}) for {skeleton.name}")
    if motion.shape[1] / fps < SHORTEST_S:
        raise DataError(f"{where}: lasts {motion.shape[1] / fps:.2f} s at {fps:g} fps, expected at least {SHORTEST_S:g} s")
    motion = without_zeros(as_float32(motion))
    found = motion_faults(motion, fps)
    fault = found.fault(skeleton, gap_s)
    if fault:
        raise DataError(f"{where}: {fault}")
    return bridge_gaps(motion) if found.missing else motion


def read_all(files: list[Path], read: Callable[[Path], Motion]) -> tuple[list[Path], list[Motion], list[str]]:
    """(usable files, their motions, the sentence that counts and names the others), each file read and checked once.

    The motions stay in memory. A file whose motion ``read`` or ``check_motion`` refuses is left out.
    """
    usable, motions, faults = [], [], []
    for file in files:
        try:
            found = read(file)
            check_motion(found.motion, found.skeleton, found.fps, str(file))
        except DataError as fault:
            faults.append(str(fault))
            continue
        usable.append(file)
        motions.append(found)
    said = [f"{len(faults)} of {len(files)} recordings are left out as unusable; the first: {faults[0]}"] if faults else []
    return usable, motions, said


def release_memory(motion: np.ndarray) -> None:
    """Free the memory pages of a motion if it is memory-mapped. They are read from the file again when they are used."""
    base = motion
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(base, "madvise"):
        base.madvise(mmap.MADV_DONTNEED)


class LazySequences(Sequence):
    """The sequences of a data set. Each is read, checked and turned y-up only when it is requested.

    ``records`` are the fields of each DanceSequence except its motion. ``read(i)`` returns motion i as stored, (3, T, V),
    with the axis ``up`` upright. Indexing raises DataError if the motion cannot be used.
    """

    def __init__(self, records: list[dict], read: Callable[[int], np.ndarray], up: str, gap_s: float = GAP_S):
        self.records, self.raw, self.up, self.gap_s = records, read, up, gap_s

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [self[k] for k in range(len(self))[i]]
        i = range(len(self))[i]
        record, stored = self.records[i], self.raw(i)
        motion = check_motion(stored, record["skeleton"], record["fps"], record["source"], self.gap_s)
        motion = orientation.turn_y_up(motion, self.up)
        release_memory(stored)
        return DanceSequence(motion=motion, **record)


@dataclass(frozen=True)
class Source:
    """The results of a reader: ``records`` (at least one) and ``read`` as in LazySequences, ``facts`` of dataset.json.

    ``notes`` are one-line warnings, and ``split_notes`` those that hold for the data's own split only; ``left_out`` count and
    name the recordings that cannot be used. A joint may be missing for at most ``gap_s`` seconds. ``levels`` go from lowest
    to highest.
    """

    name: str
    root: Path
    records: list[dict]
    read: Callable[[int], np.ndarray]
    notes: list[str]
    facts: dict
    gap_s: float = GAP_S
    split_notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    levels: tuple[str, ...] = LEVELS


def open_dataset(source: Source, **columns: list) -> DanceDataset:
    """The data set of a source. Its upright axis is found on up to 20 sequences, spread over the data set.

    ``columns`` are further columns of its index, beside the records (``index_table``).
    """
    records, facts = source.records, source.facts

    skeleton = records[0]["skeleton"]
    doubts: list[str | None] = []

    def examined():
        for i in evenly_spaced(np.arange(len(records)), UPRIGHT_SEQUENCES):
            try:
                stored = source.read(i)
            except DataError:  # the fault is raised later, when the sequence is read
                continue
            doubts.append(orientation.doubt(stored, skeleton))
            yield stored
            release_memory(stored)

    upright = orientation.find_upright(examined(), skeleton, facts.get("up"))
    doubtful = [doubt for doubt in doubts if doubt]
    unlike = []
    if len(doubtful) > len(doubts) / 2:
        count = f"{len(doubtful)} of {len(doubts)} examined recordings are"
        unlike = [f"{count} no likely bodies of {skeleton.name}: {doubtful[0]}; is the order of the joints another one?"]
    advice = "" if "up" in facts else '; if this is wrong, state "up" in dataset.json'
    return DanceDataset(
        name=source.name,
        root=source.root,
        skeleton=skeleton,
        index=index_table(records, source.root, **columns),
        sequences=LazySequences(records, source.read, upright.axis, source.gap_s),
        synthetic=facts["synthetic"],
        notes=(*source.left_out, *source.notes, *unlike, *source.split_notes, *(note + advice for note in upright.notes)),
        split_notes=tuple(source.split_notes),
        left_out=tuple(source.left_out),
        levels=source.levels,
        facts=facts,
        upright=str(upright),
    )


def index_table(records: list[dict], root: Path, **columns: list) -> pd.DataFrame:
    """The index of a data set: one row per record with INDEX_COLUMNS, made without reading motion.

    ``columns`` adds what a DanceSequence does not have (track, dancer, duration_s, file). Paths are relative to ``root`` if
    they are inside it. Unknown values are empty.
    """

    def relative_path(path):
        if path is None:
            return None
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)

    music = [record.get("music") for record in records]
    data = {name: columns.get(name, [r.get(name) for r in records]) for name in INDEX_COLUMNS}
    data |= {name: [relative_path(path) for path in paths] for name, paths in (("music", music), ("file", data["file"]))}
    kinds = {"trial": "Int64", "score": "float64", "duration_s": "float64", "fps": "float64"}
    return pd.DataFrame({name: pd.Series(values, dtype=kinds.get(name, "str")) for name, values in data.items()})
