"""Pack numbers for the browser: all arrays in one buffer, and joints as 16-bit integers."""

from __future__ import annotations

import numpy as np

STEPS = 32767  # number of steps of a quantised coordinate on either side of the cube's centre
_ALIGNMENT = 8  # bytes; a typed array in the browser must start at a multiple of its item size


def pack(arrays: dict[str, np.ndarray]) -> tuple[dict[str, list], bytes]:
    """Return the layout {name: [dtype, first byte, number of items]} and one little-endian buffer of named arrays."""
    layout, parts, at = {}, [], 0
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
        layout[name] = [array.dtype.name, at, array.size]
        parts += [raw, bytes(-len(raw) % _ALIGNMENT)]
        at += len(raw) + len(parts[-1])
    return layout, b"".join(parts)


def unpack(layout: dict[str, list], buffer: bytes) -> dict[str, np.ndarray]:
    """Return the arrays that ``pack`` wrote, each with one dimension."""
    return {
        name: np.frombuffer(buffer, np.dtype(kind).newbyteorder("<"), count, start)
        for name, (kind, start, count) in layout.items()
    }


def quantise(points: np.ndarray) -> tuple[np.ndarray, list[float], float]:
    """Return coordinates (..., 3) as int16 steps in the cube around them: (steps, centre of the cube, length of a step).

    A coordinate is centre + steps * length. A step is 1/65534 of the cube's side, and the error is at most half a step.
    Raises ValueError for coordinates that are not finite.
    """
    points = np.asarray(points, dtype=np.float64)
    if not np.isfinite(points).all():
        raise ValueError("expected finite coordinates")
    flat = points.reshape(-1, 3)
    low, high = flat.min(axis=0), flat.max(axis=0)
    centre, step = (low + high) / 2, max(float((high - low).max()) / 2 / STEPS, 1e-12)
    return np.rint((points - centre) / step).astype(np.int16), centre.tolist(), step
