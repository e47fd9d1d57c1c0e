"""Kinect v2 text files, as UMONS-TAICHI publishes them: a line is a time stamp in ms and 25 joints' x, y, z.

The joints are in the order of the sensor's SDK (``JointType``). The form is that of the data set's description and of the code
that its authors publish (``parsekinect.m``, ``writekinect.m``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import Skeleton
from dancemvp_core.formats import tables
from dancemvp_core.formats.motion import GAP_S, Motion
from dancemvp_core.formats.motioncsv import resampled

FPS = 30.0  # of the sensor; its time stamps are uneven, and it drops frames

_TREE = {  # joint: parent, in the SDK's order
    "SpineBase": None, "SpineMid": "SpineBase", "Neck": "SpineShoulder", "Head": "Neck",
    "ShoulderLeft": "SpineShoulder", "ElbowLeft": "ShoulderLeft", "WristLeft": "ElbowLeft", "HandLeft": "WristLeft",
    "ShoulderRight": "SpineShoulder", "ElbowRight": "ShoulderRight", "WristRight": "ElbowRight", "HandRight": "WristRight",
    "HipLeft": "SpineBase", "KneeLeft": "HipLeft", "AnkleLeft": "KneeLeft", "FootLeft": "AnkleLeft",
    "HipRight": "SpineBase", "KneeRight": "HipRight", "AnkleRight": "KneeRight", "FootRight": "AnkleRight",
    "SpineShoulder": "SpineMid",
    "HandTipLeft": "HandLeft", "ThumbLeft": "WristLeft", "HandTipRight": "HandRight", "ThumbRight": "WristRight",
}  # fmt: skip
_JOINTS = list(_TREE)
KINECT25 = Skeleton(
    name="kinect25",
    joints=tuple(_JOINTS),
    parents=tuple(-1 if parent is None else _JOINTS.index(parent) for parent in _TREE.values()),
    pairs=tuple((k, _JOINTS.index(j.replace("Left", "Right"))) for k, j in enumerate(_JOINTS) if j.endswith("Left")),
)


def read(path: Path) -> Motion:
    """Read a Kinect text file: (3, T, 25) at 30 fps, resampled from its time stamps, in the file's unit and axes.

    A frame in which all joints are at 0, 0, 0 has no body; its joints become NaN, as do coordinates that are written as
    ``NaN``. Raises DataError, with the line, for a line without 76 numbers, time stamps that do not rise, or no frame for
    more than 0.5 s.
    """
    width = 1 + 3 * len(_JOINTS)
    expected = f"a time stamp in ms and {width - 1} coordinates in each line"
    lines = enumerate(tables.text_of(path, expected).splitlines(), 1)
    rows = [(f"{path}: line {number}", line.split()) for number, line in lines if line.strip()]
    for place, cells in rows:
        if len(cells) != width:
            raise DataError(f"{place}: {len(cells)} numbers, expected {expected}")
    if len(rows) < 2:
        raise DataError(f"{path}: {len(rows)} frames, expected {expected}")
    try:
        table = np.array([cells for _, cells in rows], dtype=np.float64)
        strange = tables.python_only(cell for _, cells in rows for cell in cells)
    except ValueError:
        strange = next(c for _, cells in rows for c in cells if c not in tables.EMPTY and tables.float_of(c) is None)
    if strange is not None:
        place = next(place for place, cells in rows if strange in cells)
        raise DataError(f"{place}: {strange!r}, expected {expected}")
    times, motion = table[:, 0] / 1000, table[:, 1:].reshape(len(table), len(_JOINTS), 3).transpose(2, 0, 1)
    steps = np.diff(times)
    worst = int(np.argmin(steps))
    if not steps.min() > 0:
        raise DataError(f"{rows[worst + 1][0]}: {times[worst + 1]:g} s comes after {times[worst]:g} s, expected rising times")
    widest = int(np.argmax(steps))
    if steps[widest] > GAP_S:
        raise DataError(f"{rows[widest + 1][0]}: no frame for {steps[widest]:.2f} s, expected gaps of at most {GAP_S:g} s")
    bodiless = (motion == 0).all(axis=(0, 2))
    return Motion(resampled(np.where(bodiless[:, None], np.nan, motion), times, FPS).astype(np.float32), FPS, KINECT25)
