"""AIST++'s pickles of keypoints, 17 COCO joints at 60 fps. No code in a pickle is ever run."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import COCO17
from dancemvp_core.formats import npy

FPS = 60.0


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """Encode text as pickle protocol 2 does. Any other codec is refused, because some codecs do more than encode."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"names the codec {encoding!r}")
    return text.encode("latin1")


def _allowed_names() -> dict[tuple[str, str], object]:
    """All names in the pickle of a numpy array, with the module paths of numpy 1 and numpy 2."""
    names = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype, ("_codecs", "encode"): _latin1}
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = np._core.multiarray._reconstruct
        names[f"{core}.multiarray", "scalar"] = np._core.multiarray.scalar
        names[f"{core}.numeric", "_frombuffer"] = np._core.numeric._frombuffer
    return names


class _ArrayUnpickler(pickle.Unpickler):
    """Builds numpy arrays and plain containers. Every other name is refused before it is imported."""

    names = _allowed_names()

    def find_class(self, module, name):
        if (module, name) not in self.names:
            raise pickle.UnpicklingError(f"names {f'{module}.{name}'!r}")
        return self.names[module, name]


def read_keypoints(path: Path) -> tuple[np.ndarray, str]:
    """Read one annotation file. Returns (motion (3, T, 17) float32 in cm, key); ``keypoints3d_optim`` is preferred.

    Raises DataError if the pickle names anything but numpy arrays, is damaged, or contains another shape or dtype.
    """
    expected = "expected a dict with keypoints3d_optim or keypoints3d, (frames, 17, 3) floats"
    try:
        with open(path, "rb") as file:
            content = _ArrayUnpickler(file).load()
    except pickle.UnpicklingError as fault:
        if str(fault).startswith("names "):
            message = f"{path}: the pickle {fault}, which is refused; expected numpy arrays and nothing else"
            raise DataError(message) from None
        raise DataError(f"{path}: not a readable pickle ({' '.join(str(fault).split())}), {expected}") from None
    except OSError as fault:
        raise DataError(f"{path}: cannot be read ({fault.strerror or fault}), {expected}") from None
    except Exception as fault:  # a damaged pickle can raise any exception, as the pickle manual warns
        raise DataError(f"{path}: not a readable pickle ({type(fault).__name__}), {expected}") from None
    keys = [k for k in ("keypoints3d_optim", "keypoints3d") if isinstance(content, dict) and k in content]
    if not keys or not isinstance(content[keys[0]], np.ndarray):
        raise DataError(f"{path}: no keypoints in the file, {expected}")
    points = content[keys[0]]
    if points.dtype.kind != "f":
        raise DataError(f"{path}: dtype of {keys[0]} is {points.dtype}, {expected}")
    if points.ndim != 3 or points.shape[1:] != (len(COCO17.joints), 3):
        raise DataError(f"{path}: shape of {keys[0]} is {points.shape}, {expected}")
    return npy.as_float32(points.transpose(2, 0, 1)), keys[0]
