"""Intervals, tests and corrections on data whose answers are known."""

import itertools

import numpy as np
import pytest
from scipy.stats import binom, ttest_1samp

from dancemvp_core.tasks import stats

RUNS = 2000


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_interval_covers_as_often_as_it_says(seeds):
    rng = np.random.default_rng(seeds)
    covered = 0
    for values in rng.normal(61.0, 3.0, size=(RUNS, seeds)):
        interval = stats.t_interval(values)
        covered += interval.low <= 61.0 <= interval.high
    low, high = binom.interval(0.999, RUNS, 0.95)
    assert low <= covered <= high


def test_percentiles_of_three_seeds_would_not_cover():
    """The reason for Student's t: what an interval from a bootstrap over three seeds misses."""
    rng = np.random.default_rng(0)
    covered = 0
    for values in rng.normal(size=(RUNS, 3)):
        means = values[rng.integers(3, size=(200, 3))].mean(axis=1)
        covered += np.percentile(means, 2.5) <= 0 <= np.percentile(means, 97.5)
    assert covered < 0.85 * RUNS


def test_interval_agrees_with_scipy():
    values = [71.0, 72.5, 70.1]
    interval = stats.t_interval(values)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.std == pytest.approx(np.std(values, ddof=1))
    assert stats.mean_interval(values) == (interval.mean, interval.low, interval.high)


def test_one_value_has_no_interval():
    interval = stats.t_interval([3.0])
    assert interval.mean == 3.0 and np.isnan([interval.std, interval.low, interval.high]).all()
    assert np.isnan(stats.t_interval([])).all()
    assert stats.t_interval([1.0, np.nan, 3.0]) == stats.t_interval([1.0, 3.0])


@pytest.mark.parametrize("pairs", [8, 40])
def test_size_of_the_test(pairs):
    """Under the null it rejects at alpha: exact enumeration (8 pairs) and random swaps (40 pairs), skewed values."""
    rng = np.random.default_rng(pairs)
    runs, alpha = 400, 0.05
    rejected = 0
    for i in range(runs):
        shared = rng.exponential(3.0, size=pairs)
        a, b = shared + rng.exponential(size=pairs), shared + rng.exponential(size=pairs)
        rejected += stats.paired_permutation(a, b, resamples=299, seed=i) <= alpha
    assert binom.ppf(0.0005, runs, alpha * 0.9) <= rejected <= binom.ppf(0.9995, runs, alpha)


def test_exact_p_value_by_hand():
    a, b = np.array([5.0, 6.0, 7.5, 9.0, 4.0]), np.array([4.0, 5.5, 7.0, 6.0, 4.5])
    differences = a - b
    means = [np.mean(differences * signs) for signs in itertools.product([1, -1], repeat=5)]
    expected = np.mean(np.abs(means) >= abs(differences.mean()) - 1e-12)
    assert stats.paired_permutation(a, b) == pytest.approx(expected)
    assert stats.paired_permutation(b, a) == pytest.approx(expected)


def test_a_clear_difference_and_repeatability():
    rng = np.random.default_rng(1)
    base = rng.normal(size=100)
    a = base + 0.5 + 0.3 * rng.normal(size=100)
    p = stats.paired_permutation(a, base)
    assert p == pytest.approx(2 / (stats.RESAMPLES + 1)), "as small as so many resamples can show"
    assert stats.paired_permutation(a, base) == p
    assert np.isnan(stats.paired_permutation([1.0], [2.0]))
    with pytest.raises(ValueError, match="same shape"):
        stats.paired_permutation([1.0, 2.0], [1.0])


def test_identical_rows_do_not_differ():
    a = np.arange(30.0)
    assert stats.paired_permutation(a, a) == 1.0
    assert stats.effect_size(a, a) == 0.0


def test_effect_size_by_hand():
    assert stats.effect_size([1.0, 2.0, 4.0], [0.0, 0.0, 0.0]) == pytest.approx((7 / 3) / np.std([1, 2, 4], ddof=1))
    assert stats.effect_size([2.0, 3.0], [1.0, 2.0]) == np.inf
    assert np.isnan(stats.effect_size([1.0], [0.0]))


def test_holm_by_hand():
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 = 0.02, 0.03, 0.06, 0.04; never below the one before.
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert stats.holm([]).shape == (0,)


def test_holm_leaves_out_what_was_not_tested():
    assert stats.holm([0.01, np.nan, 0.03]) == pytest.approx([0.02, np.nan, 0.03], nan_ok=True)


def test_holm_keeps_the_family_wise_error():
    rng = np.random.default_rng(2)
    families = rng.uniform(size=(4000, 6))
    false = sum((stats.holm(p) <= 0.05).any() for p in families)
    assert binom.ppf(0.0005, 4000, 0.045) <= false <= binom.ppf(0.9995, 4000, 0.05)
