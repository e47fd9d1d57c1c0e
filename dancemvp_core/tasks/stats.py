"""Statistics of means and differences: t-intervals, paired permutation tests, Holm's correction, effect sizes.

Intervals are t-intervals, because the coverage of a bootstrap over three seeds is far below its nominal value. With one
seed there is no interval and no test.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import permutation_test, spearmanr
from scipy.stats import t as student_t

RESAMPLES = 4999


class Interval(NamedTuple):
    """A mean, the standard deviation of the values (n - 1), and the confidence interval of the mean; nan if undefined."""

    mean: float
    std: float
    low: float
    high: float


def t_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return Student's t-interval of the mean of independent values, without those that are nan.

    There is one value for each independent unit (a seed, a choreography), not for each piece. With fewer than two values,
    std, low and high are nan; without values, the mean is nan too.
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if len(known) < 2:
        return Interval(float(known[0]) if len(known) else np.nan, np.nan, np.nan, np.nan)
    mean, std = float(known.mean()), float(known.std(ddof=1))
    half = float(student_t.ppf(0.5 + confidence / 2, len(known) - 1)) * std / np.sqrt(len(known))
    return Interval(mean, std, mean - half, mean + half)


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Return (mean, low, high) of ``t_interval``."""
    mean, _, low, high = t_interval(values, confidence)
    return mean, low, high


def paired_permutation(a: np.ndarray, b: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """Return the two-sided p-value of the hypothesis that the paired values a and b, (n,), are exchangeable.

    The statistic is the mean difference. A permutation exchanges the two values of some pairs. The test uses all
    permutations if there are at most ``resamples``, else ``resamples`` random ones with a fixed seed. Returns nan for fewer
    than two pairs. Raises ValueError if the lengths differ.
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
    """Return Cohen's d_z of paired values: the mean difference divided by the standard deviation of the differences.

    Returns 0 if all differences are 0, +-inf if they are equal and not 0, and nan for fewer than two pairs.
    """
    difference = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    if len(difference) < 2:
        return np.nan
    mean, spread = difference.mean(), difference.std(ddof=1)
    if spread < 1e-12:  # all differences are equal, up to rounding
        return 0.0 if abs(mean) < 1e-12 else float(np.copysign(np.inf, mean))
    return float(mean / spread)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return p-values after Holm's step-down correction, in the same order; nan (no test) stays nan and does not count."""
    p = np.asarray(p_values, dtype=float)
    out = np.full(len(p), np.nan)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # nan sorts last
    factors = np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return out


def mantel(pairs: pd.DataFrame) -> tuple[float, float]:
    """Return Spearman's correlation of similarity and confusion over ``pairs``, and its one-sided p-value (Mantel's test).

    The test permutes the names of the choreographies in the confusion, because the pairs of one choreography are not
    independent. It uses all permutations for up to five choreographies, else 999 random ones. Returns (nan, nan) if all
    pairs have the same confusion or the same similarity.
    """
    if pairs["confusion"].nunique() < 2 or pairs["similarity"].nunique() < 2:
        return np.nan, np.nan
    moves = [((r.choreography_a, r.move_a), (r.choreography_b, r.move_b)) for r in pairs.itertuples()]
    rate = {frozenset(pair): value for pair, value in zip(moves, pairs["confusion"], strict=True)}
    names = sorted({move[0] for pair in moves for move in pair})
    if len(names) <= 5:
        orders = list(itertools.permutations(names))
    else:
        rng = np.random.default_rng(0)
        orders = [tuple(names), *(tuple(rng.permutation(names)) for _ in range(999))]
    correlations = []
    for order in orders:  # the first order leaves all names unchanged
        other = dict(zip(names, order, strict=True))
        permuted = [rate.get(frozenset((other[c], move) for c, move in pair), 0.0) for pair in moves]
        correlations.append(spearmanr(pairs["similarity"], permuted).statistic)
    observed = correlations[0]
    return float(observed), float(np.mean(np.array(correlations) >= observed - 1e-12))


def stretch_or_crop(found: pd.DataFrame) -> str:
    """Return which time normalisation the data support, in one sentence with an interval.

    ``found`` is the result of ``datasets.datacard.onset_correlations``.
    """
    if not (found["stretch"] != found["crop"]).any():
        return "No music window in these data is longer than its clip, so stretch and crop are the same."
    gain = (found["stretch"] - found["crop"]).groupby(found["choreography"].fillna("?")).mean()
    mean, low, high = mean_interval(gain)
    better = "neither (the interval contains zero)" if not low * high > 0 else "stretch" if mean > 0 else "crop"
    return f"Stretch minus crop: {mean:+.3f} [{low:+.3f}, {high:+.3f}] over {len(gain)} choreographies, in favour of {better}."
