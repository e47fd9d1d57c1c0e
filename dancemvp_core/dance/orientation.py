"""The upright axis: it is found once, when data are opened, and motion is turned so that y is up. All later code relies on it.

Data sets differ in their upright axis and rarely state it. It is the axis from the feet to the head, over the whole data
set, unless dataset.json states another one (``{"up": "z"}``). Motion is then turned by right angles and never mirrored:
left stays left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from dancemvp_core.dance.skeleton import Skeleton, asymmetry

HEAD, HIPS, FEET = ("head", "nose"), ("hip", "pelvis"), ("foot", "toe", "ankle")  # parts of joint names, in lower case
UNLIKE = 0.15  # left and right bones of real bodies differ by 0.01 to 0.04; with their joints in another order, by 0.3 or more
CLEAR = 0.5  # if the second largest rise exceeds this share of the largest, a note says that the choice is uncertain

CLEAR_FRONT = 0.3  # the hips' and shoulders' horizontal share, below which a body shows no direction

# For each upright axis: the coordinates that become x, y and z, and their signs. Each is a rotation about a horizontal axis.
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
    """The upright axis of a data set or a recording (a key of ``TURNS``), how it is known, and one-line warnings about it."""

    axis: str
    known: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.axis}, {self.known}" + ("" if self.axis == "y" else "; turned to y")


def turn_y_up(motion: np.ndarray, axis: str) -> np.ndarray:
    """Turn a motion (3, T, V) with ``axis`` up so that y is up. Returns the motion itself, not a copy, if y is already up."""
    if axis == "y":
        return motion
    order, signs = TURNS[axis]
    return np.asarray(motion)[list(order)] * np.array(signs, motion.dtype)[:, None, None]


def to_front(motion: np.ndarray, skeleton: Skeleton, fps: float) -> np.ndarray:
    """Return the turn about the vertical, (3, 3), after which a body looks along +z in the first second of a motion (3, T, V).

    Where a dancer stands in a room, and so the direction of the whole dance, is no part of the dance; turns within the dance
    stay. The body looks at right angles to its hips and shoulders: to the left-right pairs that hang on the spine. A body that
    shows no direction (a skeleton without pairs, or one that lies down) is not turned.
    """
    paired = {joint for pair in skeleton.pairs for joint in pair}
    trunk = [pair for pair in skeleton.pairs if not paired & {skeleton.parents[joint] for joint in pair}]
    start = np.asarray(motion[:, : max(1, round(fps))], dtype=np.float64)
    across = sum(((start[:, :, left] - start[:, :, right]).mean(axis=1) for left, right in trunk), np.zeros(3))
    size = np.hypot(across[0], across[2])
    if not size > CLEAR_FRONT * np.linalg.norm(across):
        return np.eye(3)
    cos, sin = across[0] / size, -across[2] / size
    return np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])


def find_upright(motions: Iterable[np.ndarray], skeleton: Skeleton, stated: str | None = None) -> Upright:
    """Find the upright axis of motions (3, T, V) as they are stored, gaps included. ``stated`` is the axis that the data state.

    The axis is that of the median rise over the motions. A stated axis is kept, and a contradiction becomes a note.
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
    """The reasons to doubt the axis, one line each."""
    if not len(rises) or (stated and not named):
        return
    median = np.median(rises, axis=0)
    order = np.argsort(-np.abs(median), kind="stable")
    extents = ", ".join(f"{abs(median[a]):.3g} along {'-' if median[a] < 0 else ''}{'xyz'[a]}" for a in order)
    if not named:
        yield (
            f"{axis} is taken as upright: the body extends {extents}, and its steadier end is taken as the lower one, since no "
            f"joints of {skeleton.name} are named head and foot"
        )
        return
    if axis != _largest(median):
        yield f"{axis} is stated as upright, but from feet to head the body rises {extents}: motion is turned as stated"
        return
    if not stated and abs(median[order[1]]) > CLEAR * abs(median[order[0]]):
        yield f"{axis} is taken as upright, but this is uncertain: from feet to head the body rises {extents}"
    other = sum(_largest(own) != axis for own in rises)
    if other:
        yield f"{axis} is upright by the median, but {other} of {len(rises)} examined recordings rise along another axis"


def rise(motion: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """How far a body rises along x, y and z: (3,) in the unit of the motion (3, T, V); NaN where the joints are missing.

    The rise goes from the joints named as feet to those named as head. It is a mean over time, so a cartwheel does not
    matter. Without such names it is the extent along each axis, negative if the upper end is the steadier one: the steadier
    end is assumed to be near the floor.
    """
    motion = np.ma.masked_invalid(np.asarray(motion, dtype=np.float64))
    head, feet = (_joints(skeleton, parts) for parts in (HEAD, FEET))
    if head and feet:
        up = motion[:, :, head].mean(axis=(1, 2)) - motion[:, :, feet].mean(axis=(1, 2))
    else:
        low, high = motion.min(axis=2), motion.max(axis=2)
        up = (high - low).mean(axis=1) * np.where(low.std(axis=1) <= high.std(axis=1), 1, -1)
    return up.filled(np.nan)


def doubt(motion: np.ndarray, skeleton: Skeleton) -> str | None:
    """Why a motion (3, T, V) is no likely body of this skeleton, as a phrase; None if it is one.

    The bones of a body are alike on the left and the right, and its hips are between feet and head.
    """
    unlike = asymmetry(motion, skeleton)
    if unlike > UNLIKE:
        return f"left and right bones differ by {100 * unlike:.0f} %"
    motion = np.ma.masked_invalid(np.asarray(motion, dtype=np.float64))
    places = [_joints(skeleton, parts) for parts in (HEAD, HIPS, FEET)]
    if all(places):
        head, hips, feet = (motion[:, :, joints].mean(axis=(1, 2)).filled(np.nan) for joints in places)
        height = float((hips - feet) @ (head - feet) / max(float((head - feet) @ (head - feet)), 1e-300))
        if not (0 < height < 1 or np.isnan(height)):
            return "the hips are not between the feet and the head"
    return None


def _joints(skeleton: Skeleton, parts: tuple[str, ...]) -> list[int]:
    return [j for j, name in enumerate(skeleton.joints) if any(part in name.lower() for part in parts)]


def _largest(up: np.ndarray) -> str:
    axis = int(np.argmax(np.abs(up)))
    return ("" if up[axis] > 0 else "-") + "xyz"[axis]
