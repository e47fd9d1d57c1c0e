"""NumPy's ``.npy``: opened without reading a value or running a pickle; which axis is which, and which skeleton fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dancemvp_core.dance.orientation import doubt
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import SKELETONS, Skeleton
from dancemvp_core.formats.motion import Motion

LAYOUTS = {"TVC": (2, 0, 1), "CTV": (0, 1, 2)}  # the transposition of a file's array to (3, T, V)


def npy_header(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """(shape, dtype) of a float ``.npy`` file, from its header alone.

    Raises DataError if the file is not a ``.npy``, is truncated, or contains anything but floats. Python objects are
    refused and never unpickled.
    """
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            shape, _, dtype = readers[version](file)
            start = file.tell()
        size = path.stat().st_size
    except OSError as fault:
        raise DataError(f"{path}: cannot be read ({fault.strerror or fault}), expected a .npy file") from None
    except Exception:  # a damaged header can raise many exceptions (tokenizer, literal, unicode, dtype errors)
        raise DataError(f"{path}: not a .npy file (no valid header), expected a float array") from None
    if dtype.hasobject:
        raise DataError(f"{path}: contains Python objects, which are refused; expected a float array")
    if dtype.kind != "f":
        raise DataError(f"{path}: dtype is {dtype}, expected a float array")
    expected_bytes = start + dtype.itemsize * int(np.prod([int(n) for n in shape], dtype=object))
    if size < expected_bytes:
        raise DataError(f"{path}: truncated: {size} bytes on disk, expected {expected_bytes} by its header")
    return shape, dtype


def open_npy(path: Path) -> np.ndarray:
    """Memory-map a ``.npy`` file read-only; DataError if that is not possible. No values are read."""
    npy_header(path)
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as fault:
        raise DataError(f"{path}: cannot be memory-mapped ({fault}), expected a float .npy file") from None


def as_float32(motion: np.ndarray) -> np.ndarray:
    """The motion as native float32: the same array if it already is, so that a memory map remains one."""
    if motion.dtype == np.float32:
        return motion
    with np.errstate(over="ignore"):  # larger values become infinite, and the check of the motion refuses them
        return motion.astype(np.float32)


def read(path: Path, skeleton: Skeleton | None = None, layout: str | None = None) -> Motion:
    """Read one recording, (frames, joints, 3) or (3, frames, joints). ``layout`` and ``skeleton`` are recognised if None.

    21 joints are ImperialDance's. 17 are in COCO's or Human3.6M's order: the one in which left and right bones are alike.
    """
    shape, _ = npy_header(path)
    if len(shape) != 3:
        raise DataError(f"{path}: shape is {shape}, expected one recording, (frames, joints, 3) or (3, frames, joints)")
    candidates = [skeleton] if skeleton else list(SKELETONS.values())
    fits = {
        form: [known for known in candidates if (shape[LAYOUTS[form][0]], shape[LAYOUTS[form][2]]) == (3, len(known.joints))]
        for form in ([layout] if layout else LAYOUTS)
    }
    forms = [form for form, known in fits.items() if known]
    if not forms:
        counts = " or ".join(f"{len(known.joints)} joints of {known.name}" for known in candidates)
        raise DataError(f"{path}: shape is {shape}, expected {counts} as {' or '.join(fits)}; name others with --skeleton")
    if len(forms) > 1:
        raise DataError(f"{path}: shape {shape} fits both {' and '.join(forms)}, expected --layout")
    motion = as_float32(np.array(open_npy(path)).transpose(LAYOUTS[forms[0]]))
    likely = [known for known in fits[forms[0]] if not doubt(motion, known)]
    known = (likely or fits[forms[0]])[0]
    others = [other.name for other in fits[forms[0]] if other is not known]
    notes = [f"its {len(known.joints)} joints are taken as {known.name}, not {' or '.join(others)}"] if others else []
    return Motion(motion, None, known, tuple(notes))
