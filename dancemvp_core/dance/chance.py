"""Is a dance in time with its music by more than chance? The chance level of BAR, its p-value, and alignment at any lag.

The paper states BAR alone ("Dance Rhythm Evaluation"). With a tolerance of 0.2 s, the reach of beats at 120 BPM is four
fifths of the time, so a BAR without its chance level says little. All tests here compare the motion's peaks with the same
peaks at another time.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtr

SHIFT_S = 0.04  # step of the shifts: the rate hardly changes between two of them
LAG_SPREAD_S = 0.05  # of the beat align score of AIST++ (Li et al. 2021); 0.2 s reach a beat at 120 BPM from almost any lag
LAG_STEP_S = 0.02
LAG_DRAWS = 199
CLOSEST_S = 0.25  # two peaks of motion intensity are at least this far apart (``rhythm.PEAK_DISTANCE_S``)
ALPHA = 0.05
_ROUNDING_S = 1e-9  # 2.2 - 2.0 > 0.2 in floating point; a difference of exactly the tolerance matches


class Chance(NamedTuple):
    """What BAR is by chance, as shares (0..1): its ``mean``, and the range ``low`` to ``high`` of 95 % of the shifts.

    ``sd`` is the standard deviation of BAR minus its chance level, over all shifts. ``p`` is the p-value of the BAR.
    """

    mean: float
    low: float
    high: float
    sd: float
    p: float


class Pooled(NamedTuple):
    """Recordings together: mean BAR minus chance (``lead``), the 95 % range of it by chance (+-``reach``), p, and the groups."""

    lead: float
    reach: float
    p: float
    groups: int


class AnyLag(NamedTuple):
    """Alignment at the best lag: the ``lag_s`` by which motion follows music (negative: it is ahead), and its p-value.

    ``excess`` is the statistic as a z-score among random peaks; ``drawn`` (LAG_DRAWS,) are the z-scores of the random peaks.
    """

    lag_s: float
    p: float
    excess: float
    drawn: np.ndarray


def matched(music_peaks_s: np.ndarray, motion_peaks_s: np.ndarray, tolerance_s: float) -> np.ndarray:
    """Size of the largest one-to-one matching of n music peaks with each of S sets of m motion peaks, (S, m) -> (S,).

    It is ``rhythm.match_peaks`` for many sets at once. Both are sorted, in s.
    """
    reach = tolerance_s + _ROUNDING_S
    sets, m = motion_peaks_s.shape
    free, found, row = np.zeros(sets, dtype=int), np.zeros(sets, dtype=int), np.arange(sets)
    if m == 0:
        return found
    for time in music_peaks_s:
        place = np.maximum(free, (motion_peaks_s < time - reach).sum(axis=1))
        hit = (place < m) & (motion_peaks_s[row, np.minimum(place, m - 1)] <= time + reach)
        found += hit
        free = np.where(hit, place + 1, free)
    return found


def shifted_rates(music_peaks_s, motion_peaks_s, duration_s: float, tolerance_s: float) -> np.ndarray:
    """BAR (0..1) after each of K circular time shifts of the motion's peaks, (K,). The first one is the BAR itself.

    Shift k is k * duration / K, about 40 ms a step. A peak that leaves the clip at its end enters at its start. The peaks
    are then matched one-to-one as ever (``rhythm.match_peaks``); no pair reaches over the ends. K is prime: shifts by an
    even part of the clip would all be whole beats of some music. Raises ValueError without music peaks.
    """
    music, motion = np.sort(np.asarray(music_peaks_s, dtype=float)), np.asarray(motion_peaks_s, dtype=float)
    if len(music) == 0:
        raise ValueError("a chance level needs at least one music intensity peak")
    steps = _prime(math.ceil(duration_s / SHIFT_S))
    shifts = np.arange(steps) * (duration_s / steps)
    moved = np.sort((motion + shifts[:, None]) % duration_s, axis=1)
    moved[0] = np.sort(motion)
    return matched(music, moved, tolerance_s) / len(music)


def _prime(least: int) -> int:
    return next(k for k in itertools.count(max(least, 2)) if all(k % d for d in range(2, math.isqrt(k) + 1)))


def by_shifts(music_peaks_s, motion_peaks_s, duration_s: float, tolerance_s: float) -> Chance:
    """Chance level, its 95 % range, and p-value of a recording's BAR, from time shifts (``shifted_rates``; not in the paper).

    Level and range are over the shifts by more than the tolerance either way, because at smaller shifts the peaks are still
    in time. ``p`` is the share of *all* K shifts with a BAR of at least this one, the shift by zero included: if the motion
    has nothing to do with the music, each of the K is as likely to be the one that was danced, so P(p <= a) <= a exactly.
    It is one-sided, and it is coarse in a short clip: a dance that is exactly in time stays so for 0.4 s of shifts, so p
    is at least 0.04 in 10 s. Raises ValueError without music peaks, and if no shift is large enough.
    """
    rates = shifted_rates(music_peaks_s, motion_peaks_s, duration_s, tolerance_s)
    near = int(tolerance_s * len(rates) / duration_s)  # steps on either side
    far = len(rates) - 2 * near - 1
    if far < 1:
        raise ValueError(f"a clip of {duration_s:.2f} s is too short for a chance level")
    in_time = np.convolve(np.pad(rates, near, mode="wrap"), np.ones(2 * near + 1), mode="valid")
    level = (rates.sum() - in_time) / far  # of each shift, if it were the one that was danced
    low, high = np.quantile(rates[near + 1 : len(rates) - near], [0.025, 0.975])
    at_least = (rates >= rates[0] - 1e-12).mean()
    return Chance(max(0.0, float(level[0])), float(low), float(high), float((rates - level).std()), float(at_least))


def pooled_rows(sequences: pd.DataFrame) -> Pooled:
    """Test the BAR of several recordings together: is the mean over choreographies of BAR minus chance above 0?

    ``sequences`` has one row per recording: choreography, and bar, bar_chance and bar_sd in percent (``rhythm.alignment``);
    so ``lead`` and ``reach`` are in percentage points. Recordings of one choreography are danced to one track in one way, so
    by chance they are right or wrong together: within a choreography, the standard deviations are averaged; between
    choreographies, the variances add up. A recording without a choreography counts as one. ``p`` is one-sided, from the
    normal distribution. Rows with nan are left out; without rows, all is nan.
    """
    known = sequences.dropna(subset=["bar", "bar_chance", "bar_sd"])
    alone = pd.Series(np.arange(len(known)).astype(str), index=known.index).radd("recording ")
    names = known["choreography"].astype(object).where(known["choreography"].notna(), alone)
    table = pd.DataFrame({"lead": known["bar"] - known["bar_chance"], "sd": known["bar_sd"]})
    means = table.groupby(names).mean()
    if means.empty:
        return Pooled(math.nan, math.nan, math.nan, 0)
    mean, spread = float(means["lead"].mean()), float(np.sqrt((means["sd"] ** 2).sum()) / len(means))
    p = float(ndtr(-mean / spread)) if spread > 0 else 1.0
    return Pooled(mean, 1.96 * spread, p, len(means))


def any_lag(music_peaks_s, motion_peaks_s, duration_s: float, seed: int = 0) -> AnyLag | None:
    """Test whether the motion follows its music at any lag, so also where the music starts too early or too late.

    At each lag, the pairs of a music and a motion peak count exp(-d^2 / 2 s^2), where d is their distance on the circle (the
    clip's end joins its start) and s is 50 ms; the statistic is the largest sum over all lags, in steps of 20 ms. It is
    compared with that of LAG_DRAWS sets of as many random peaks, uniform but for the least distance of the motion's peaks.
    p = (1 + number of sets with at least as large a sum) / (1 + LAG_DRAWS). The lag nearest to zero is given if several are
    the best. Recordings that are pooled need seeds of their own. Returns None below three peaks of either kind.
    """
    music, motion = (np.asarray(peaks, dtype=float) for peaks in (music_peaks_s, motion_peaks_s))
    if min(len(music), len(motion)) < 3:
        return None
    rng = np.random.default_rng(seed)
    room = min(CLOSEST_S, float(np.diff(np.sort(motion), append=motion.min() + duration_s).min()))
    gaps = room + (duration_s - room * len(motion)) * rng.dirichlet(np.ones(len(motion)), LAG_DRAWS)
    random = np.cumsum(gaps, axis=1) + rng.uniform(0, duration_s, (LAG_DRAWS, 1))
    sums = _sums_by_lag(music, np.vstack([motion, random]), duration_s)
    most, steps = sums.max(axis=1), sums.shape[1]
    best = np.flatnonzero(sums[0] >= most[0] - 1e-9)
    lags = np.where(best > steps / 2, best - steps, best) * (duration_s / steps)
    expected, spread = most[1:].mean(), max(most[1:].std(), 1e-9)
    p = (1 + (most[1:] >= most[0] - 1e-9).sum()) / (1 + LAG_DRAWS)
    nearest = float(lags[np.abs(lags).argmin()])
    return AnyLag(nearest, float(p), float((most[0] - expected) / spread), (most[1:] - expected) / spread)


def _sums_by_lag(music: np.ndarray, motion: np.ndarray, duration_s: float) -> np.ndarray:
    """Sum over all pairs of peaks at each lag, (S, L), for S sets of motion peaks (S, m)."""
    steps = max(1, round(duration_s / LAG_STEP_S))
    late = ((motion[:, :, None] - music) % duration_s).reshape(len(motion), -1)
    cell = np.round(late * (steps / duration_s)).astype(int) % steps
    counts = np.bincount((cell + steps * np.arange(len(motion))[:, None]).ravel(), minlength=steps * len(motion))
    counts = counts.reshape(len(motion), steps).astype(float)
    return gaussian_filter1d(counts, LAG_SPREAD_S * steps / duration_s, axis=1, mode="wrap")


def pooled_lags(found: list[AnyLag]) -> float:
    """p-value of alignment at any lag in several independent recordings: their mean excess among that of random peaks.

    Each recording may have a lag of its own. nan without recordings.
    """
    if not found:
        return math.nan
    drawn = np.mean([one.drawn for one in found], axis=0)
    return float((1 + (drawn >= np.mean([one.excess for one in found])).sum()) / (1 + len(drawn)))
