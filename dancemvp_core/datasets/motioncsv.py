"""Motion as a CSV: columns ``<joint>_x``, ``<joint>_y``, ``<joint>_z`` for every joint, optionally ``time_s``; one row per frame.

An empty cell is a missing coordinate. Other columns are not allowed.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import SKELETONS, Skeleton
from dancemvp_core.datasets import reading

UNEVEN = 0.5  # in frames: a time stamp may differ this much from an even clock, because time stamps are often rounded


def read(path: Path, skeleton: Skeleton | None = None) -> tuple[np.ndarray, float | None, Skeleton]:
    """Read a motion CSV. Returns (motion (3, T, V) float32, fps, skeleton); fps is None without ``time_s``.

    With ``skeleton`` None, the columns select a built-in skeleton. Raises DataError, with the line, for a missing or
    unknown column, a cell that is not a number, or uneven time stamps.
    """
    rows = list(reading.read_table(path, ()))
    if not rows:
        raise DataError(f"{path}: no frames, expected a header of <joint>_x, <joint>_y, <joint>_z columns and one row per frame")
    columns = list(rows[0][1])
    skeleton = skeleton or _recognised(path, columns)
    wanted = [f"{joint}_{axis}" for joint in skeleton.joints for axis in "xyz"]
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise DataError(f"{path}: no column {reading.listing(missing)}, expected x, y and z of the {skeleton.name} joints")
    unknown = [name for name in columns if name not in {*wanted, "time_s"}]
    if unknown:
        raise DataError(f"{path}: unknown column {reading.listing(unknown)}, expected time_s and the {skeleton.name} joints")
    values = np.array([[_coordinate(row[name], name, place) for name in wanted] for place, row in rows], dtype=np.float32)
    motion = values.reshape(len(rows), len(skeleton.joints), 3).transpose(2, 0, 1)
    return np.ascontiguousarray(motion), _rate(rows) if "time_s" in columns else None, skeleton


def _recognised(path: Path, columns: list[str]) -> Skeleton:
    for skeleton in SKELETONS.values():
        if {f"{joint}_x" for joint in skeleton.joints} <= set(columns):
            return skeleton
    raise DataError(
        f"{path}: columns {reading.listing(columns, 4)} belong to no built-in skeleton ({', '.join(SKELETONS)}), "
        "expected <joint>_x, <joint>_y, <joint>_z for all its joints, or a skeleton JSON (--skeleton)"
    )


def _coordinate(text: str, name: str, place: str) -> float:
    if not text:
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{place}: {name} is {text!r}, expected a number, or an empty cell if it is missing") from None


def _rate(rows: list[tuple[str, dict[str, str]]]) -> float:
    """Frames per second from the time stamps, which must rise evenly."""
    times = np.array([reading.number(row["time_s"], "time_s", place, -math.inf) for place, row in rows])
    step = (times[-1] - times[0]) / max(len(times) - 1, 1)
    if not step > 0:
        raise DataError(f"{rows[-1][0]}: time_s goes from {times[0]:g} to {times[-1]:g}, expected rising time stamps")
    off = np.abs(times - times[0] - step * np.arange(len(times)))
    worst = int(np.argmax(off))
    if off[worst] > UNEVEN * step:
        raise DataError(
            f"{rows[worst][0]}: time_s is {times[worst]:g}, {1000 * off[worst]:.1f} ms off an even clock of "
            f"{1 / step:g} frames per second, expected evenly spaced frames"
        )
    return float(1 / step)
