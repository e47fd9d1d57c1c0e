"""Intervals, tests and corrections on data whose answers are known."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, binomtest, ttest_1samp

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


@pytest.mark.parametrize(("right", "of"), [(20, 20), (0, 20), (19, 20), (600, 1000)])
def test_bounds_of_a_share_are_wilsons(right, of):
    p = right / of
    low, high = stats.share_bounds(100 * p, 100 * np.sqrt(p * (1 - p) / of), np.inf, of)
    expected = binomtest(right, of).proportion_ci(0.95, "wilson")
    assert (low / 100, high / 100) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_interval_of_a_share_near_its_end_covers_and_stays_inside():
    """98 % of 60 performances: the plain t-interval has no width where all are right, and goes beyond 100 elsewhere."""
    rng, runs, covered, plainly = np.random.default_rng(0), 500, 0, 0
    for right in 100.0 * (rng.random((runs, 60)) < 0.98):
        frame = pd.DataFrame({"seed": 0, "sequence": range(60), "stratum": 0, "value": right})
        found, plain = stats.crossed(frame, share=True), stats.crossed(frame)
        assert 0 <= found.low < found.mean <= found.high <= 100 and found.p == plain.p
        covered += found.low <= 98 <= found.high
        plainly += plain.low <= 98 <= plain.high
    assert covered >= 0.94 * runs and plainly < 0.9 * runs


def test_a_share_that_is_known_exactly_has_no_width():
    chance = pd.DataFrame({"seed": 0, "sequence": range(6), "stratum": [0, 0, 0, 1, 1, 1], "value": [0.0] * 3 + [100.0] * 3})
    assert stats.crossed(chance, share=True)[:3] == (50.0, 50.0, 50.0)
    assert stats.t_interval([100.0] * 3, share=True)[2:] == (100.0, 100.0)
    low, high = stats.t_interval([98.0, 99.5, 100.0], share=True)[2:]
    assert 90 < low < 98 and high < 100 < stats.t_interval([98.0, 99.5, 100.0]).high


# --- seeds and performances --------------------------------------------------------------------------------------


def drawn(rng, seeds, of_seed, of_performance, strata=5, trials=40) -> pd.DataFrame:
    """Values of which each seed sees a random half of every stratum's trials; the true mean is 0."""
    shared, rows = rng.normal(0, of_performance, (strata, trials)), []
    for seed in range(seeds):
        fit = rng.normal(0, of_seed)
        for stratum in range(strata):
            query = rng.permutation(trials)[: trials // 2]
            values = shared[stratum, query] + fit + rng.normal(0, 1, len(query))
            rows.append(pd.DataFrame({"seed": seed, "sequence": 100 * stratum + query, "stratum": stratum, "value": values}))
    return pd.concat(rows, ignore_index=True)


@pytest.mark.parametrize(("seeds", "of_seed", "of_performance"), [(1, 0, 1), (3, 0, 1), (3, 0.1, 1), (3, 0.3, 0), (5, 0.1, 0)])
def test_interval_over_seeds_and_performances_covers(seeds, of_seed, of_performance):
    rng, runs = np.random.default_rng(3), 300
    found = [stats.crossed(drawn(rng, seeds, of_seed, of_performance)) for _ in range(runs)]
    covered = sum(f.low <= 0 <= f.high for f in found)
    assert covered >= binom.ppf(0.0005, runs, 0.93), "too narrow"
    assert sum(f.p <= 0.05 for f in found) == runs - covered, "the test is the interval's"


def test_an_interval_from_performances_alone_would_not_cover_other_fits():
    rng, runs = np.random.default_rng(3), 200
    found = [stats.crossed(drawn(rng, 1, 0.3, 0)) for _ in range(runs)]
    assert sum(f.low <= 0 <= f.high for f in found) < 0.6 * runs, "one seed is conditional on its fit"


def test_one_seed_is_the_t_interval_over_performances():
    rng = np.random.default_rng(0)
    values = rng.normal(size=30)
    found = stats.crossed(pd.DataFrame({"seed": 0, "sequence": range(30), "stratum": 0, "value": values}))
    expected = ttest_1samp(values, 0)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))


def test_seeds_have_equal_weight_and_equal_values_no_width():
    uneven = pd.DataFrame({"seed": [0] * 4 + [1] * 2, "sequence": [0, 1, 2, 3, 0, 1], "stratum": 0, "value": [1.0] * 4 + [3.0] * 2})
    assert stats.crossed(uneven).mean == 2.0
    same = stats.crossed(uneven.assign(value=0.0))
    assert (same.low, same.high, same.p) == (0.0, 0.0, 1.0)
    assert stats.crossed(uneven.assign(value=2.0)).p == 0.0


def test_too_few_performances_have_no_interval():
    alone = pd.DataFrame({"seed": [0, 0], "sequence": [0, 1], "stratum": [0, 1], "value": [1.0, 2.0]})
    found = stats.crossed(alone)
    assert found.mean == 1.5 and np.isnan([found.low, found.high, found.p]).all()
    assert np.isnan(stats.crossed(alone.iloc[:0])).all()


def test_the_order_of_rows_and_the_names_do_not_matter():
    rng = np.random.default_rng(1)
    values = drawn(rng, 3, 0.1, 1)
    other = values.sample(frac=1, random_state=0).assign(seed=lambda t: t["seed"] + 7, sequence=lambda t: t["sequence"].astype(str))
    assert stats.crossed(other) == pytest.approx(stats.crossed(values))


def test_identical_rows_do_not_differ():
    a = np.arange(30.0)
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
