"""Statistics of means and differences: t-intervals, intervals over seeds and performances, Holm's correction, effect sizes.

Intervals are t-intervals, because the coverage of a bootstrap over three seeds is far below its nominal value.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import spearmanr, ttest_ind
from scipy.stats import t as student_t


class Interval(NamedTuple):
    """A mean, the standard deviation of the values (n - 1), and the confidence interval of the mean; nan if undefined."""

    mean: float
    std: float
    low: float
    high: float


def t_interval(values: Sequence[float], confidence: float = 0.95, share: bool = False) -> Interval:
    """Return Student's t-interval of the mean of independent values, without those that are nan.

    There is one value for each independent unit (a seed, a choreography), not for each piece. With fewer than two values,
    std, low and high are nan; without values, the mean is nan too. ``share``: the values are percentages, and the interval
    stays between 0 and 100 (``share_bounds``); equal values have no width.
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if len(known) < 2:
        return Interval(float(known[0]) if len(known) else np.nan, np.nan, np.nan, np.nan)
    mean, std = float(known.mean()), float(known.std(ddof=1))
    error, freedom = std / np.sqrt(len(known)), len(known) - 1
    if share and error > 0:
        return Interval(mean, std, *share_bounds(mean, error, freedom, len(known), confidence))
    half = float(student_t.ppf(0.5 + confidence / 2, freedom)) * error
    return Interval(mean, std, mean - half, mean + half)


def share_bounds(mean: float, error: float, freedom: float, units: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return (low, high) of Wilson's interval for a mean percentage with a standard error; it stays between 0 and 100.

    The number of trials is the one that gives this standard error, p (1 - p) / error^2 (Korn and Graubard 1998, Survey
    Methodology 24), and Student's t with ``freedom`` replaces the normal quantile. Where all ``units`` (performances) have 0 %,
    or all have 100 %, they are the trials. Another mean without error is known exactly (chance), and is both bounds.
    """
    p = mean / 100
    if error == 0 and 0 < p < 1:
        return mean, mean
    trials = p * (1 - p) / (error / 100) ** 2 if error > 0 else units
    t = float(student_t.ppf(0.5 + confidence / 2, freedom))
    centre = p + t**2 / (2 * trials)
    half = t * np.sqrt(p * (1 - p) / trials + (t / (2 * trials)) ** 2)
    low, high = (100 * (centre + side * half) / (1 + t**2 / trials) for side in (-1, 1))
    return max(low, 0.0), min(high, 100.0)  # up to rounding


def mean_interval(values: Sequence[float], confidence: float = 0.95, share: bool = False) -> tuple[float, float, float]:
    """Return (mean, low, high) of ``t_interval``."""
    mean, _, low, high = t_interval(values, confidence, share)
    return mean, low, high


def difference_interval(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Return (mean of a minus mean of b, low, high) by Welch's interval for two independent groups, without values that are nan.

    The bounds are nan if a group has fewer than two values.
    """
    groups = [np.asarray(values, dtype=float) for values in (a, b)]
    groups = [values[np.isfinite(values)] for values in groups]
    difference = float(groups[0].mean() - groups[1].mean())
    if min(map(len, groups)) < 2:
        return difference, np.nan, np.nan
    found = ttest_ind(*groups, equal_var=False).confidence_interval(confidence)
    return difference, float(found.low), float(found.high)


class Estimate(NamedTuple):
    """A mean, its 95 % interval, and the two-sided p-value of the hypothesis that it is 0; nan if undefined."""

    mean: float
    low: float
    high: float
    p: float


def crossed(values: pd.DataFrame, confidence: float = 0.95, share: bool = False) -> Estimate:
    """Return the mean of values of query performances under several seeds, with an interval for new ones of both.

    ``values``: one row for each performance and seed, with the columns seed, sequence, stratum and value. Every seed has the
    same weight. A seed stands for a fit with its draw of support and query; a stratum (choreography and level) is fixed. The
    variance is that of the seeds' means, plus what the performances that several seeds share add to it, and at least the
    variance over performances; the degrees of freedom are Hillis' (2007, Statistics in Medicine 26, for readers and cases, here
    seeds and performances). With one seed, the interval is over performances only, so it is conditional on this fit. nan for
    fewer than two performances a stratum. ``share``: the values are percentages, and the interval stays between 0 and 100
    (``share_bounds``).
    """
    if not len(values):
        return Estimate(*[np.nan] * 4)
    seeds = values.groupby("seed")["value"]
    means, weight = seeds.mean(), 1 / (seeds.transform("size") * seeds.ngroups)
    cells = values.groupby(["seed", "stratum"])["value"]
    part = (values["value"] - cells.transform("mean")) * weight
    performances, strata = values["sequence"].nunique(), values["stratum"].nunique()
    free, free_cells = performances - strata, len(values) - cells.ngroups
    if free < 1 or free_cells < 1:
        return Estimate(float(means.mean()), np.nan, np.nan, np.nan)
    own = float((part**2).sum()) * len(values) / free_cells
    if len(means) == 1:
        variance, freedom = own, free
    else:
        among_seeds = float(means.var(ddof=1)) / len(means)
        together = float((part.groupby(values["sequence"]).sum() ** 2).sum()) * performances / free
        both = among_seeds + max(together - own, 0.0)
        variance = max(both, together)
        freedom = min((len(means) - 1) * (variance / among_seeds) ** 2, free) if among_seeds > 0 else free
    mean, error = float(means.mean()), float(np.sqrt(variance))
    found = _estimate(mean, error, freedom, confidence)
    if not share:
        return found
    low, high = share_bounds(mean, error, freedom, performances, confidence)
    return found._replace(low=low, high=high)


def _estimate(mean: float, error: float, freedom: float, confidence: float) -> Estimate:
    """Return the t-interval of a mean with a standard error, and its p-value."""
    half = float(student_t.ppf(0.5 + confidence / 2, freedom)) * error
    p = float(2 * student_t.sf(abs(mean) / error, freedom)) if error > 0 else float(abs(mean) < 1e-12)
    return Estimate(mean, mean - half, mean + half, p)


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
