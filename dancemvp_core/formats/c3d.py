"""C3D, the format of optical motion capture, read by ezc3d: points that are named as joints, or markers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import IMPERIALDANCE21, Skeleton
from dancemvp_core.formats import markers
from dancemvp_core.formats.motion import Motion

EXPECTED = "expected a C3D file of joints or markers"


def read(path: Path, skeleton: Skeleton | None = None) -> Motion:
    """Read a skeleton's joints (default: ImperialDance's) from a C3D file, in the file's unit.

    A point with a negative residual is missing. Raises DataError if ezc3d cannot read the file, or the points are no known
    joints or markers.
    """
    skeleton = skeleton or IMPERIALDANCE21
    try:
        with open(path, "rb") as file:
            start = file.read(2)
    except OSError as fault:
        raise DataError(f"{path}: cannot be read ({fault.strerror or fault}), {EXPECTED}") from None
    if start[1:] != b"P":  # 80, which marks every C3D file
        raise DataError(f"{path}: not a C3D file, {EXPECTED}")
    try:
        import ezc3d  # the import takes half a second, and only C3D files need it
    except ImportError:
        raise DataError(f"{path}: C3D files need the package ezc3d, which is not installed; expected it, or a CSV or BVH") from None
    try:
        content = ezc3d.c3d(str(path))
        facts = content["parameters"]["POINT"]
        labels = [name.strip() for key, block in facts.items() if key.startswith("LABELS") for name in block["value"]]
        points, residuals = content["data"]["points"], content["data"]["meta_points"]["residuals"][0]
        fps = float(facts["RATE"]["value"][0])
    except Exception as fault:  # a damaged file can raise many exceptions
        raise DataError(f"{path}: not a readable C3D file ({' '.join(str(fault).split())[:80]}), {EXPECTED}") from None
    if not points.size or len(labels) < points.shape[1] or not fps > 0:
        raise DataError(f"{path}: no named points with a frame rate, {EXPECTED}")
    known = np.where(residuals < 0, np.nan, points[:3]).transpose(0, 2, 1)
    motion, notes = markers.placed(path, labels[: points.shape[1]], known, skeleton)
    return Motion(motion, fps, skeleton, notes)
