"""Eight-beat segmentation ("Eight-Beats Primitive Segmentation" in the paper): a beat grid, cut every eight beats."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from dancemvp_core.dance.sequences import DanceSequence, Piece

BEATS = 8  # beats in one primitive
FEWEST_BEATS = 6  # fewer beats lie near some grid by chance
SHORTEST_BEAT_S = 0.3  # 200 BPM; a faster grid is halved if all primitives still fit into the clip
ON_GRID = 0.15  # in beats: a beat this close to the grid supports it (of random beats, 3 in 10 do)
SUPPORT = 0.75  # a grid needs the support of this share of the beats, over this share of their time span
EDGE = 0.15  # in beats: the first and last border may lie this far outside the clip
PIECE_S = 3.0  # length of a piece where no grid is known: about that of ImperialDance's primitives, and the released cut


def fit_grid(beat_times_s, duration_s: float, count: int | None = 3) -> np.ndarray | None:
    """Fit a regular grid to tracked beats and extend it over the whole clip. Returns beat times in s, or None.

    The tracked beats may jitter, skip, double or start late. The period is the one at which their phases agree best
    (longest mean resultant); a line is then fitted to the beats on the grid. The tempo octave is corrected: the tempo is
    halved (as often as needed) if a beat is shorter than 0.3 s and the primitives still fit. If the number of primitives is
    known (``count``), the tempo is doubled once if that many do not fit into the clip. A 10-s clip with three primitives
    then has 24 to 47 beats, and at 71 to 142 BPM each of its primitives is four tracked beats. If the number is not known
    (None), the tempo is never doubled. The first and last beat may lie 0.15 beats outside the clip. Returns None if there
    are too few beats, if too few of them are on the grid (a change of tempo), or if no octave fits ``count`` primitives.
    Raises ValueError for count < 1, a duration that is not positive, and unsorted or NaN beats.
    """
    beats = _checked(beat_times_s, duration_s, count)
    if len(beats) < FEWEST_BEATS:
        return None
    line = _fit_line(beats)
    if line is None:
        return None
    phase, period = line
    longest = duration_s / (BEATS * (count or 1) - 2 * EDGE)  # the longest beat with which all primitives fit into the clip
    if count and period > longest:
        period /= 2
    if count and period > longest:
        return None
    while period < SHORTEST_BEAT_S and 2 * period <= longest:
        period, phase = 2 * period, _stronger_half(beats, phase, period)
    first = math.ceil((0 - phase) / period - EDGE)
    last = math.floor((duration_s - phase) / period + EDGE)
    return phase + period * np.arange(first, last + 1)


def _checked(beat_times_s, duration_s, count) -> np.ndarray:
    beats = np.asarray(beat_times_s, dtype=np.float64)
    if count is not None and count < 1:
        raise ValueError(f"count {count}: expected at least one eight")
    if not 0 < duration_s < math.inf:
        raise ValueError(f"duration_s {duration_s}: expected a positive number of seconds")
    if beats.ndim != 1 or not np.isfinite(beats).all():
        raise ValueError("beat times: expected a flat list of finite seconds")
    if (np.diff(beats) < 0).any():
        raise ValueError("beat times: expected them sorted")
    return beats


def _fit_line(beats: np.ndarray) -> tuple[float, float] | None:
    """(phase, period) in s of the grid that most beats lie on, or None."""
    span = beats[-1] - beats[0]
    interval = np.median(np.diff(beats))
    if not interval * 4 * len(beats) > span:
        return None  # bursts of beats: most places of such a fine grid would be empty
    # Search only near the median interval: at fractions of it, the phases of any beats agree equally well.
    steps = math.ceil(8 * span / interval)
    frequency = np.linspace(0.75, 1.34, max(steps, 50)) / interval
    resultant = np.exp(2j * np.pi * frequency[:, None] * beats).mean(axis=1)
    best = np.argmax(np.abs(resultant))
    period = 1 / frequency[best]
    phase = np.angle(resultant[best]) / (2 * np.pi) * period
    for _ in range(5):  # the set of beats on the grid is stable after two or three rounds
        index = np.round((beats - phase) / period)
        inside = np.abs(beats - phase - index * period) <= ON_GRID * period
        if len(np.unique(index[inside])) < FEWEST_BEATS:
            return None
        period, phase = np.polyfit(index[inside], beats[inside], 1)
    supported = beats[inside]
    if inside.mean() < SUPPORT or supported[-1] - supported[0] < SUPPORT * span:
        return None
    return float(phase), float(period)


def _stronger_half(beats: np.ndarray, phase: float, period: float) -> float:
    """Phase in s of every second beat of a grid: of the half that was tracked more often, else of the earlier half."""
    index = np.round((beats - phase) / period).astype(int)
    even, odd = (index % 2 == 0).sum(), (index % 2 == 1).sum()
    if even == odd:
        return min(phase % (2 * period), (phase + period) % (2 * period))
    return phase if even > odd else phase + period


def _cut(beat_times_s, duration_s: float, count: int | None) -> tuple[list[tuple[float, float]], str]:
    grid = fit_grid(beat_times_s, duration_s, count)
    eights = 0 if grid is None else (len(grid) - 1) // BEATS
    if eights >= (count or 1):
        borders, segmentation = np.clip(grid[: BEATS * (count or eights) + 1 : BEATS], 0, duration_s), "beats"
    elif count:
        borders, segmentation = np.linspace(0, duration_s, count + 1), "equal"
    else:
        whole = math.floor(duration_s / PIECE_S + 1e-9)  # 6 s at 29.97 fps are not 5.9999 s
        borders, segmentation = np.minimum(PIECE_S * np.arange(whole + 1), duration_s) if whole else [0, duration_s], "time"
    borders = [float(b) for b in borders]
    return list(pairwise(borders)), segmentation


def eight_beats(beat_times_s, duration_s: float, count: int | None = 3) -> list[tuple[float, float]]:
    """The first ``count`` complete primitives of the fitted grid, as (start_s, end_s) within the clip ("Eight-Beats").

    Returns ``count`` equal parts of the clip if no grid fits, or if the primitives would end after the clip. If ``count`` is
    None, returns all complete primitives; and if there is none, as many pieces of PIECE_S as the clip has, from its start
    on (the whole of a shorter clip). Raises ValueError as ``fit_grid`` does.
    """
    return _cut(beat_times_s, duration_s, count)[0]


def segment(sequence: DanceSequence, beats_s=()) -> list[Piece]:
    """Cut a sequence into primitives at the beats of its music: as many as its data set states, or else all (``eight_beats``).

    Each piece says how it was cut: ``segmentation`` is "beats"; without a grid "equal" if the number of primitives is
    stated, and else "time".
    """
    parts, segmentation = _cut(beats_s, sequence.duration_s, sequence.primitives)
    return [Piece(sequence, i, start, end, segmentation) for i, (start, end) in enumerate(parts)]


def mirrored_distance(first: np.ndarray, third: np.ndarray, swap) -> tuple[float, float]:
    """Mean distance per joint from ``third`` to ``first``, and to the mirror image of ``first``: (as danced, mirrored).

    Both motions are (T, V, 2) in the front view, across and up (``skeleton.front_view``). ``swap`` (V,) exchanges left and
    right joints (``Skeleton.mirror``). Fig. 3: the third primitive is the first one mirrored, so the second number is
    small.
    """
    image = first[:, list(swap)] * np.array([-1.0, 1.0])
    return tuple(float(np.linalg.norm(third - other, axis=-1).mean()) for other in (first, image))
