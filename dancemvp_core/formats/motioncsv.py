"""Motion as a CSV: one row per frame, three columns per joint, with or without time stamps; and what OptiTrack's Motive exports.

A table of one's own has columns ``<joint>_x``, ``<joint>_y``, ``<joint>_z`` and may have a column of time stamps. An empty
cell is a missing coordinate. Motive's CSV (Format Version 1.2 and later) has its names in the rows above the frames.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import IMPERIALDANCE21, SKELETONS, Skeleton
from dancemvp_core.formats import markers, names, tables
from dancemvp_core.formats.motion import GAP_S, Motion

UNEVEN = 0.5  # in frames: a time stamp may differ this much from an even clock, because time stamps are often rounded
STEADY = 0.25  # in frames: so far from a whole number of frames, a step is jitter and no dropped frame
RATES = (5.0, 2000.0)  # in frames per second: a unit of time is likely if it gives a rate in this range
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_TIME = re.compile(r"(?:time|time[ _]?stamps?|t)[ _]*[(\[]?(s|sec|seconds|ms|msec|milliseconds|us|ns)?[)\]]?", re.IGNORECASE)
_COORDINATE = re.compile(r"(.+?)[ _.:\-]*(?<![A-Za-z])([xyzXYZ])|(.+[a-z0-9])([XYZ])")
_POINTS = ("Bone", "Joint", "Bone Marker", "Marker")  # of Motive's kinds of column, in the order in which they are preferred


def read(path: Path, skeleton: Skeleton | None = None, stamped: bool = True) -> Motion:
    """Read a motion CSV. ``fps`` of the result is None without time stamps, or if these are not to be used (``stamped``).

    With ``skeleton`` None, the columns select a built-in skeleton. Uneven frames are resampled at their mean rate, and a
    note says so. Raises DataError, with the line, for a missing column, a cell that is not a number, time stamps that do
    not rise, or a gap of more than 0.5 s between frames.
    """
    rows, _ = tables.cells_of(path, "a CSV of motion")
    if rows and rows[0][1][0].lower() == "format version":
        return _motive(path, rows, skeleton or IMPERIALDANCE21)
    table = tables.read_table(path)
    if not len(table):
        raise DataError(f"{path}: no frames, expected a header of <joint>_x, <joint>_y, <joint>_z columns and one row per frame")
    time = next((name for name in table.header if _TIME.fullmatch(name)), None)
    joints: dict[str, dict[str, str]] = {}
    for column in table.header:
        parts = None if column == time else _COORDINATE.fullmatch(column)
        if parts:
            joints.setdefault(parts[1] or parts[3], {})[(parts[2] or parts[4]).lower()] = column
    skeleton = skeleton or _recognised(path, table.header, list(joints))
    known, _ = names.joint_names(list(joints), skeleton)
    lacking = [f"{joint}_{axis}" for joint in skeleton.joints for axis in "xyz" if axis not in joints.get(known.get(joint), {})]
    if lacking:
        raise DataError(f"{path}: no column {tables.listing(lacking)}, expected x, y and z of the {skeleton.name} joints")
    wanted = [joints[known[joint]][axis] for joint in skeleton.joints for axis in "xyz"]
    notes = []
    unused = [name for name in table.header if name not in {*wanted, time} and name.lower() not in ("", "frame", "index")]
    if unused:
        notes.append(f"columns not used: {tables.listing(unused)}")
    values = np.array([[_coordinate(row[name], name, place) for name in wanted] for place, row in table])
    motion = values.reshape(len(values), len(skeleton.joints), 3).transpose(2, 0, 1)
    fps = None
    if time and stamped:
        motion, fps, said = _even(motion, *_stamps(table, time))
        notes += said
    return Motion(np.ascontiguousarray(motion, dtype=np.float32), fps, skeleton, tuple(notes))


def _recognised(path: Path, columns: list[str], joints: list[str]) -> Skeleton:
    for skeleton in SKELETONS.values():
        found, _ = names.joint_names(joints, skeleton)
        if len(found) > 0.9 * len(skeleton.joints):
            return skeleton
    raise DataError(
        f"{path}: columns {tables.listing(columns, 4)} belong to no built-in skeleton ({', '.join(SKELETONS)}), "
        "expected <joint>_x, <joint>_y, <joint>_z for all its joints, or a skeleton JSON (--skeleton)"
    )


def _coordinate(text: str, name: str, place: str) -> float:
    if not text or text in tables.EMPTY:
        return math.nan
    value = tables.float_of(text)
    if value is None:
        raise DataError(f"{place}: {name} is {text!r}, expected a number, or an empty cell if it is missing")
    return value


def _stamps(table: tables.Table, name: str) -> tuple[np.ndarray, list[str], list[str]]:
    """(time stamps in s, place of each, notes). The unit is the column's own, or a smaller one if only that gives a frame rate."""
    places = [place for place, _ in table]
    times = np.array([tables.number(row[name], name, place, -math.inf) for place, row in table])
    falling = np.flatnonzero(np.diff(times) < 0)
    if len(falling) or not times[-1] > times[0]:
        k = int(falling[0]) + 1 if len(falling) else len(times) - 1
        raise DataError(f"{places[k]}: {name} goes from {times[max(k - 1, 0)]:g} to {times[k]:g}, expected rising time stamps")
    stated = (_TIME.fullmatch(name)[1] or "s").lower()
    unit = "ms" if stated.startswith(("ms", "milli")) else stated if stated in _UNITS else "s"
    step = (times[-1] - times[0]) / (len(times) - 1)
    notes = []
    if unit == "s" and step >= 1:
        likely = [u for u in ("ms", "us", "ns") if RATES[0] <= 1 / (step * _UNITS[u]) <= RATES[1]]
        if not likely:
            raise DataError(f"{places[-1]}: {name} rises by {step:g} a frame, expected seconds (or --fps in their place)")
        unit = likely[0]
        notes = [f"{name} rises by {step:.4g} a frame: it is read as {_UNIT_NAMES[unit]}, {1 / (step * _UNITS[unit]):.4g} fps"]
    return times * _UNITS[unit], places, notes


def _even(motion: np.ndarray, times: np.ndarray, places: list[str], notes: list[str]) -> tuple[np.ndarray, float, list[str]]:
    """(motion at even times, frames per second, notes); DataError for a gap of more than 0.5 s between frames."""
    steps = np.diff(times)
    widest = int(np.argmax(steps))
    typical = float(np.median(steps))
    if steps[widest] > max(GAP_S, 2 * typical):
        raise DataError(
            f"{places[widest + 1]}: no frame for {steps[widest]:.2f} s from {times[widest]:.2f} s on, expected gaps of at most "
            f"{GAP_S:g} s"
        )
    frames = np.maximum(np.round(steps / typical), 1) if typical > 0 else np.ones(len(steps))
    steady = np.abs(steps - frames * typical).max() <= STEADY * typical
    dropped = int(frames.sum()) - len(steps) if steady else 0
    fps = (len(steps) + dropped) / float(times[-1] - times[0])
    off = np.abs(times - times[0] - np.arange(len(times)) / fps).max()
    if not dropped and off <= UNEVEN / fps:
        return motion, fps, notes
    if dropped:
        why = f"{'a frame is' if dropped == 1 else f'{dropped} frames are'} dropped, the longest gap at {times[widest]:.2f} s"
    else:
        why = f"the frames are uneven, up to {1000 * off:.0f} ms off an even clock"
    notes = [*notes, f"{why}: resampled at {fps:.4g} fps"]
    return resampled(motion, times, fps), fps, notes


def resampled(motion: np.ndarray, times: np.ndarray, fps: float) -> np.ndarray:
    """A motion (3, T, V) whose frames are at ``times`` in s (T,), interpolated linearly at ``fps`` from the first time on."""
    grid = times[0] + np.arange(math.floor((times[-1] - times[0]) * fps + 1e-6) + 1) / fps
    even = np.stack([np.interp(grid, times, row) for row in motion.transpose(0, 2, 1).reshape(-1, len(times))])
    return even.reshape(3, motion.shape[2], -1).transpose(0, 2, 1)


def _motive(path: Path, rows: list[tuple[int, list[str]]], skeleton: Skeleton) -> Motion:
    """The joints of one skeleton in a CSV of Motive's: its bones' positions, in the rows below ``Frame, Time``."""
    facts = {name.lower(): value for name, value in zip(rows[0][1][::2], rows[0][1][1::2], strict=False)}
    head = next((k for k, (_, cells) in enumerate(rows) if cells[0].lower() == "frame"), 0)
    if facts.get("coordinate space", "global").lower() != "global":
        raise DataError(f"{path}: exported in {facts['coordinate space']} coordinates, expected Motive's export with Global ones")
    width = max(len(cells) for _, cells in rows)
    padded = [cells + [""] * (width - len(cells)) for _, cells in rows]
    labels = {cells[1].lower() or cells[0].lower(): cells for cells in padded[1:head]}
    kinds, titles, parts, axes = labels.get("type"), labels.get("name"), padded[head - 1], padded[head]
    if not head or kinds is None or titles is None:
        raise DataError(f"{path}: no rows Type, Name and Frame, expected Motive's CSV of Format Version 1.2 or later")
    points: dict[str, dict[str, dict[str, int]]] = {kind: {} for kind in _POINTS}
    for column, (kind, title, part, axis) in enumerate(zip(kinds, titles, parts, axes, strict=True)):
        if kind in points and part == "Position" and axis in ("X", "Y", "Z"):
            points[kind].setdefault(title, {}).setdefault(axis, column)
    joints = next((points[kind] for kind in _POINTS if points[kind]), {})
    dancers = list(dict.fromkeys(title.rsplit(":", 1)[0] for title in joints if ":" in title))
    if not joints or len(dancers) > 1:
        fault = f"{len(dancers)} skeletons ({tables.listing(dancers)})" if joints else "no positions of bones or markers"
        raise DataError(f"{path}: {fault}, expected the bone positions of one skeleton")
    titles = [title for title, columns in joints.items() if len(columns) == 3]
    wanted = [joints[title][axis] for title in titles for axis in "XYZ"]
    cells = [(f"{path}: line {line}", row) for (line, _), row in zip(rows[head + 1 :], padded[head + 1 :], strict=True)]
    if not cells:
        raise DataError(f"{path}: no frames, expected one row per frame")
    values = np.array([[_coordinate(row[c], f"{padded[0][c] or axes[c]}", place) for c in wanted] for place, row in cells])
    motion, notes = markers.placed(path, titles, values.reshape(len(values), len(titles), 3).transpose(2, 0, 1), skeleton)
    stated = facts.get("export frame rate") or facts.get("capture frame rate", "")
    fps = tables.number(stated, "Export Frame Rate", str(path), 1)
    return Motion(motion, fps, skeleton, notes)
