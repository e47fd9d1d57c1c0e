"""A motion file of any kind: ``read`` opens it by its suffix, in any letter case."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import IMPERIALDANCE21, Skeleton
from dancemvp_core.formats import names, tables

FORMATS = (".npy", ".csv", ".pkl", ".bvh", ".c3d")
GAP_S = 0.5  # joints that are missing for up to this time are interpolated linearly


class Motion(NamedTuple):
    """A motion as its file has it: (3, T, V) float32, NaN where missing; ``fps`` is None if the file does not state it.

    ``notes`` say in one line each what was assumed or left out.
    """

    motion: np.ndarray
    fps: float | None
    skeleton: Skeleton
    notes: tuple[str, ...] = ()


def columns_of(path: Path, found: list[str], skeleton: Skeleton, coincident: Collection[str] = ()) -> list[int]:
    """Where each of a skeleton's joints is among the joints of a file; DataError if one cannot be found."""
    known, missing = names.joint_names(found, skeleton, coincident)
    if missing:
        raise DataError(
            f"{path}: cannot find {tables.listing(missing)} of {skeleton.name} among its joints ({tables.listing(found)}); "
            'expected these, or --skeleton with a JSON that says what they are called: {"skeleton": "imperialdance21", '
            '"names": {"Hip": ...}}'
        )
    return [found.index(known[joint]) for joint in skeleton.joints]


def read(path: Path, skeleton: Skeleton | None = None, layout: str | None = None, fps: float | None = None) -> Motion:
    """Read a motion file: NPY, CSV (of one's own, or Motive's), AIST++ pickle, BVH or C3D.

    ``fps`` stands in place of what the file states. If ``layout`` (of ``.npy``) or ``skeleton`` is None, it is recognised.
    Raises DataError, in one line, for a file that cannot be read.
    """
    from dancemvp_core.formats import bvh, c3d, motioncsv, npy, pickled

    suffix = path.suffix.lower()
    if suffix == ".npy":
        found = npy.read(path, skeleton, layout)
    elif suffix == ".csv":
        found = motioncsv.read(path, skeleton, stamped=fps is None)
    elif suffix == ".pkl":
        if skeleton not in (None, pickled.COCO17):
            raise DataError(f"{path}: the skeleton of an AIST++ file is given as {skeleton.name}, expected coco17")
        found = Motion(pickled.read_keypoints(path)[0], pickled.FPS, pickled.COCO17)
    elif suffix == ".bvh":
        found = bvh.read(path, skeleton or IMPERIALDANCE21)
    elif suffix == ".c3d":
        found = c3d.read(path, skeleton or IMPERIALDANCE21)
    else:
        raise DataError(f"{path}: no motion format has this suffix, expected {', '.join(FORMATS)}")
    return found if fps is None else found._replace(fps=fps)
