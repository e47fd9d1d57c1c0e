"""What a mean and a difference are worth: t-intervals, paired permutation tests, Holm's correction, effect sizes.

Intervals are t-intervals: a bootstrap over three seeds covers far less than it says. One seed gives neither
interval nor test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import permutation_test
from scipy.stats import t as student_t

RESAMPLES = 4999


class Interval(NamedTuple):
    """A mean, the values' standard deviation (n - 1), and the confidence interval of the mean; nan where undefined."""

    mean: float
    std: float
    low: float
    high: float


def t_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student's t-interval of the mean of independent values; nan among them are left out.

    The values are one for each independent unit (a seed, a choreography), not one for each piece. std, low and high
    are nan for fewer than two values, the mean too for none.
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if len(known) < 2:
        return Interval(float(known[0]) if len(known) else np.nan, np.nan, np.nan, np.nan)
    mean, std = float(known.mean()), float(known.std(ddof=1))
    half = float(student_t.ppf(0.5 + confidence / 2, len(known) - 1)) * std / np.sqrt(len(known))
    return Interval(mean, std, mean - half, mean + half)


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """(mean, low, high) of ``t_interval``."""
    mean, _, low, high = t_interval(values, confidence)
    return mean, low, high


def paired_permutation(a: np.ndarray, b: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """Two-sided p-value of "the paired values (n,) of a and b are exchangeable", by the mean difference.

    Within each pair the two values change places: every way where there are at most ``resamples``, else so many at
    random with a fixed seed. nan for fewer than two pairs. ValueError where the lengths differ.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape:
        raise ValueError(f"paired values: {a.shape} and {b.shape}, expected the same shape")
    if len(a) < 2:
        return np.nan

    def mean_difference(x, y, axis):
        return np.mean(x - y, axis=axis)

    outcome = permutation_test(
        (a, b), mean_difference, permutation_type="samples", vectorized=True, n_resamples=resamples, batch=1000, rng=seed
    )
    return float(outcome.pvalue)


def effect_size(a: np.ndarray, b: np.ndarray) -> float:
    """Cohen's d_z of paired values: mean difference over its standard deviation; 0 for none, nan for one pair."""
    difference = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    if len(difference) < 2:
        return np.nan
    mean, spread = difference.mean(), difference.std(ddof=1)
    if spread < 1e-12:  # all differences the same, up to rounding
        return 0.0 if abs(mean) < 1e-12 else float(np.copysign(np.inf, mean))
    return float(mean / spread)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down correction of a family of p-values, in their order; nan (no test) stays nan and does not count."""
    p = np.asarray(p_values, dtype=float)
    out = np.full(len(p), np.nan)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # nan sorts last
    factors = np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return out
