"""Which way is up: settled once when data are opened, so that y is up and everything after may rely on it.

Data sets differ in their upright axis and rarely say. It is the one from the feet to the head, over the whole set, unless
dataset.json states another (``{"up": "z"}``). Motion is then turned by right angles, never mirrored: left stays left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from dancemvp_core.dance.skeleton import Skeleton

HEAD, FEET = ("head", "nose"), ("foot", "toe", "ankle")  # parts of joints' names, in lower case
CLEAR = 0.5  # where the second axis reaches this share of the first, a note says how sure the choice is

# Axis that is up: the coordinates that become x, y and z, and their signs. Turns about a level axis, determinant +1.
TURNS = {
    "x": ((1, 0, 2), (-1, 1, 1)),
    "y": ((0, 1, 2), (1, 1, 1)),
    "z": ((0, 2, 1), (1, 1, -1)),
    "-x": ((1, 0, 2), (1, -1, 1)),
    "-y": ((0, 1, 2), (1, -1, -1)),
    "-z": ((0, 2, 1), (1, -1, 1)),
}


@dataclass(frozen=True)
class Upright:
    """The upright axis of a set or a recording, a key of ``TURNS``; how it is known; and what to be careful about."""

    axis: str
    known: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.axis}, {self.known}" + ("" if self.axis == "y" else "; turned to y")


def stood_up(motion: np.ndarray, axis: str) -> np.ndarray:
    """A motion (3, T, V) whose ``axis`` is up, turned y-up: the motion itself, not a copy, where y is up already."""
    if axis == "y":
        return motion
    order, signs = TURNS[axis]
    return np.asarray(motion)[list(order)] * np.array(signs, motion.dtype)[:, None, None]


def settle(motions: Iterable[np.ndarray], skeleton: Skeleton, stated: str | None = None) -> Upright:
    """The upright axis of motions (3, T, V) as they are stored, gaps and all; ``stated`` is what the data say themselves.

    The median over the motions of how far a body rises. What is stated stands, and a contradiction is a note.
    """
    named = all(_joints(skeleton, parts) for parts in (HEAD, FEET))
    rises = np.array([rise(motion, skeleton) for motion in motions]).reshape(-1, 3)
    rises = rises[np.isfinite(rises).all(axis=1) & rises.any(axis=1)]
    if stated:
        axis, known = stated, "stated in dataset.json"
    elif len(rises):
        axis, known = _largest(np.median(rises, axis=0)), "found from " + ("head and feet" if named else "the longest extent")
    else:
        axis, known = "y", "assumed: no motion shows it"
    return Upright(axis, known, tuple(_notes(axis, stated, rises, skeleton, named)))


def _notes(axis: str, stated: str | None, rises: np.ndarray, skeleton: Skeleton, named: bool) -> Iterator[str]:
    """What makes one doubt the axis."""
    if not len(rises) or (stated and not named):
        return
    over_all = np.median(rises, axis=0)
    order = np.argsort(-np.abs(over_all), kind="stable")
    told = ", ".join(f"{abs(over_all[a]):.3g} along {'-' if over_all[a] < 0 else ''}{'xyz'[a]}" for a in order)
    if not named:
        yield (
            f"{axis} is taken as upright, since the body extends {told}, its steadier end below: no joints of "
            f"{skeleton.name} are named head and foot"
        )
        return
    if axis != _largest(over_all):
        yield f"{axis} is stated as upright, but from feet to head the body rises {told}: turned as stated"
        return
    if not stated and abs(over_all[order[1]]) > CLEAR * abs(over_all[order[0]]):
        yield f"{axis} is taken as upright by a narrow margin: from feet to head the body rises {told}"
    other = sum(_largest(own) != axis for own in rises)
    if other:
        yield f"{axis} is upright on the whole, but {other} of {len(rises)} recordings looked at rise along another axis"


def rise(motion: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """How far a body rises along x, y and z, (3,) in the unit of the motion (3, T, V); NaN where nothing is seen of it.

    From the joints named as feet to those named as head, mean over time, so that a cartwheel does not matter. Without such
    names: the extent along each axis, negative where the upper end is the steadier one, since the floor is there.
    """
    motion = np.ma.masked_invalid(np.asarray(motion, dtype=np.float64))
    head, feet = (_joints(skeleton, parts) for parts in (HEAD, FEET))
    if head and feet:
        up = motion[:, :, head].mean(axis=(1, 2)) - motion[:, :, feet].mean(axis=(1, 2))
    else:
        low, high = motion.min(axis=2), motion.max(axis=2)
        up = (high - low).mean(axis=1) * np.where(low.std(axis=1) <= high.std(axis=1), 1, -1)
    return up.filled(np.nan)


def _joints(skeleton: Skeleton, parts: tuple[str, ...]) -> list[int]:
    return [j for j, name in enumerate(skeleton.joints) if any(part in name.lower() for part in parts)]


def _largest(up: np.ndarray) -> str:
    axis = int(np.argmax(np.abs(up)))
    return ("" if up[axis] > 0 else "-") + "xyz"[axis]
