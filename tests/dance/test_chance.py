"""The chance level of BAR and its tests: naive loops, what must not move them, calibration under chance, and power."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from dancemvp_core.dance import chance, rhythm

TOLERANCE_S = rhythm.TOLERANCE_S


def spaced(rng, count, duration_s=10.0, closest_s=0.25):
    """Random peaks, uniform but for a least distance."""
    gaps = closest_s + (duration_s - closest_s * count) * rng.dirichlet(np.ones(count))
    return np.sort((np.cumsum(gaps) + rng.uniform(0, duration_s)) % duration_s)


def level(music, motion, duration_s=10.0):
    return chance.by_shifts(music, motion, duration_s, TOLERANCE_S)


def dances(rng, count, jitter_s=None):
    """The rows of recordings with random peaks of music; the motion's are random, or the music's with a jitter."""
    rows = []
    for k in range(count):
        music = spaced(rng, 10, closest_s=0.3)
        motion = spaced(rng, 14) if jitter_s is None else np.sort((music + rng.normal(0, jitter_s, 10)) % 10)
        found = level(music, motion)
        rate = 100 * rhythm.beat_alignment_rate(music, motion)
        rows.append({"choreography": f"c{k}", "bar": rate, "bar_chance": 100 * found.mean, "bar_sd": 100 * found.sd})
    return pd.DataFrame(rows)


# --- naive loops, float64

times = st.lists(st.floats(0, 10), min_size=1, max_size=12)


@settings(max_examples=80, derandomize=True)
@given(music=times, sets=st.lists(st.lists(st.floats(0, 10), min_size=3, max_size=3), min_size=1, max_size=6))
def test_many_sets_are_matched_as_one_by_one(music, sets):
    music, sets = np.sort(music), np.sort(sets, axis=1)
    assert chance.matched(music, sets, 0.2).tolist() == [len(rhythm.match_peaks(music, own, 0.2)) for own in sets]


def test_shifts_level_range_and_p_agree_with_a_loop():
    rng = np.random.default_rng(0)
    for _ in range(5):
        music, motion, duration = spaced(rng, 7), spaced(rng, 11), 9.7
        rates = chance.shifted_rates(music, motion, duration, TOLERANCE_S)
        steps = len(rates)
        naive = [
            len(rhythm.match_peaks(music, [(peak + k * duration / steps) % duration for peak in motion])) / 7 for k in range(steps)
        ]
        assert rates == pytest.approx(naive, abs=1e-12) and duration / steps == pytest.approx(chance.SHIFT_S, rel=0.1)

        def far_from(k, steps=steps, duration=duration, naive=naive):
            return [naive[j] for j in range(steps) if min((j - k) % steps, (k - j) % steps) * duration / steps > TOLERANCE_S]

        found = level(music, motion, duration)
        leads = [naive[k] - np.mean(far_from(k)) for k in range(steps)]
        expected = (np.mean(far_from(0)), *np.quantile(far_from(0), [0.025, 0.975]), np.std(leads))
        assert found[:4] == pytest.approx(expected, abs=1e-12)
        assert found.p == sum(rate >= naive[0] for rate in naive) / steps


def test_the_lag_agrees_with_a_double_loop():
    rng = np.random.default_rng(1)
    music, motion = np.round(spaced(rng, 6), 2), np.round(spaced(rng, 9), 2)  # on the cells of 20 ms or between them
    sums = chance._sums_by_lag(music, motion[None], 10.0)[0]
    for lag in range(0, 500, 7):
        naive = 0.0
        for a in music:
            for b in motion:
                off = ((b - a) % 10 - lag * chance.LAG_STEP_S + 5) % 10 - 5
                naive += np.exp(-(off**2) / (2 * chance.LAG_SPREAD_S**2))
        scale = chance.LAG_STEP_S / (chance.LAG_SPREAD_S * np.sqrt(2 * np.pi))
        assert sums[lag] == pytest.approx(scale * naive, abs=0.06)  # the sums stand on a grid of 20 ms


# --- invariants


@settings(max_examples=40, derandomize=True)
@given(seed=st.integers(0, 999), steps=st.integers(0, 250))
def test_shifting_music_and_motion_together_changes_nothing_but_the_ends(seed, steps):
    rng = np.random.default_rng(seed)
    music, motion = spaced(rng, 8, 6.0) + 2.0, spaced(rng, 10, 6.0) + 2.0  # 2 to 8 s of 10 s: none crosses an end
    by = (steps - 125) * 0.012
    assert rhythm.beat_alignment_rate(music + by, motion + by) == rhythm.beat_alignment_rate(music, motion)
    before, after = chance.any_lag(music, motion, 10.0), chance.any_lag(music + by, motion + by, 10.0)
    assert after.lag_s == pytest.approx(before.lag_s, abs=0.021)


@settings(max_examples=40, derandomize=True)
@given(seed=st.integers(0, 999), shift=st.integers(0, 250))
def test_the_shifts_of_a_shifted_motion_are_the_same_shifts(seed, shift):
    rng = np.random.default_rng(seed)
    music, motion = spaced(rng, 8), spaced(rng, 12)
    rates = chance.shifted_rates(music, motion, 10.0, TOLERANCE_S)
    moved = np.sort((motion + shift % len(rates) * 10.0 / len(rates)) % 10.0)
    again = chance.shifted_rates(music, moved, 10.0, TOLERANCE_S)
    assert np.mean(again == np.roll(rates, -(shift % len(rates)))) > 0.98  # rounding at the tolerance


def test_the_order_of_the_peaks_does_not_count():
    rng = np.random.default_rng(2)
    music, motion = spaced(rng, 8), spaced(rng, 12)
    assert level(music, motion) == level(rng.permutation(music), rng.permutation(motion))
    there, back = chance.any_lag(music, motion, 10.0), chance.any_lag(rng.permutation(music), rng.permutation(motion), 10.0)
    assert (there.lag_s, there.p) == (back.lag_s, back.p)


# --- the chance level


@pytest.mark.parametrize("beat_s", [1.0, 0.5, 10 / 19, 10 / 23])
def test_chance_level_of_even_peaks_is_the_share_of_the_clip_within_reach(beat_s):
    # A shift is in step again where it is within 0.2 s of a whole beat: 40 % of the clip at 60 BPM, 80 % at 120,
    # less the 0.4 s around no shift at all.
    peaks = np.arange(0.1, 10, beat_s)
    expected = (10 * 0.4 / beat_s - 0.4) / (10 - 0.4)
    assert level(peaks, peaks).mean == pytest.approx(expected, abs=0.02)


def test_dense_random_peaks_have_the_chance_level_the_literature_warns_of():
    rng = np.random.default_rng(0)
    beats = np.arange(0.25, 10, 0.5)  # 120 BPM
    rates = [rhythm.beat_alignment_rate(beats, rng.uniform(0, 10, len(beats))) for _ in range(200)]
    assert np.mean(rates) == pytest.approx(0.56, abs=0.04)
    levels = [level(beats, rng.uniform(0, 10, len(beats))).mean for _ in range(20)]
    assert np.mean(levels) == pytest.approx(np.mean(rates), abs=0.04)


def test_aligned_peaks_beat_their_own_chance_level():
    rng = np.random.default_rng(1)
    music = np.sort(rng.uniform(0, 10, 9))
    motion = music + rng.normal(0, 0.04, 9)
    rate, found = rhythm.beat_alignment_rate(music, motion), level(music, motion)
    assert rate == 1 and found.mean < 0.7 and found.low <= found.mean <= found.high
    assert rhythm.chance_corrected(rate, found.mean) == 1
    assert rhythm.chance_corrected(found.mean, found.mean) == 0
    assert np.isnan(rhythm.chance_corrected(1, 1))


def test_what_has_no_chance_level():
    with pytest.raises(ValueError, match="too short"):
        level([0.1], [0.1], 0.3)
    with pytest.raises(ValueError, match="music intensity peak"):
        level([], [0.1])
    assert level([1.0, 2.0], []) == (0, 0, 0, 0, 1)
    assert chance.any_lag([1.0, 2.0], [1.0, 2.0, 3.0], 10.0) is None


# --- calibration and power


def test_p_is_uniform_where_motion_and_music_have_nothing_to_do_with_each_other():
    rng = np.random.default_rng(3)
    smooth, plain, lags = [], [], []
    for seed in range(200):
        music, motion = spaced(rng, 10, closest_s=0.3), spaced(rng, 14)
        rates = chance.shifted_rates(music, motion, 10.0, TOLERANCE_S)
        smooth.append((rates > rates[0]).mean() + rng.uniform() * (rates == rates[0]).mean())  # ties broken at random
        plain.append(level(music, motion).p)
        lags.append(chance.any_lag(music, motion, 10.0, seed))
    together = [chance.pooled_lags(lags[i : i + 5]) for i in range(0, 200, 5)]
    for found in (smooth, [one.p for one in lags], together):
        assert kstest(found, "uniform").pvalue > 0.01
    for alpha in (0.05, 0.1, 0.3):
        assert np.mean(np.array(plain) <= alpha) <= alpha + 2 * np.sqrt(alpha * (1 - alpha) / 200)


def test_pooled_p_is_uniform_under_chance():
    rng = np.random.default_rng(4)
    found = [chance.pooled_rows(dances(rng, 8)).p for _ in range(60)]
    assert kstest(found, "uniform").pvalue > 0.01


def test_a_dance_on_the_beat_is_found():
    rng = np.random.default_rng(5)
    alone, lags = [], []
    for _ in range(30):
        music = spaced(rng, 10, closest_s=0.3)
        motion = np.sort((music + rng.normal(0, 0.03, 10)) % 10)
        alone.append(level(music, motion).p)
        lags.append(chance.any_lag(music, (motion + 1.3) % 10, 10.0))
    assert np.mean(np.array(alone) <= 0.05) > 0.9
    assert all(found.p <= 0.05 and found.lag_s == pytest.approx(1.3, abs=0.05) for found in lags)
    together = chance.pooled_rows(dances(rng, 6, 0.03))
    assert together.p < 1e-6 and together.lead > together.reach and together.groups == 6


def test_a_lag_that_differs_between_recordings_is_found_by_the_lag_and_not_by_bar():
    rng = np.random.default_rng(6)
    rows, lags = [], []
    for k in range(12):
        music = spaced(rng, 10, closest_s=0.3)
        motion = (music + rng.normal(0, 0.03, 10) + rng.uniform(0, 10)) % 10
        found = level(music, motion)
        rows.append({"choreography": None, "bar": 100 * rhythm.beat_alignment_rate(music, motion),
                     "bar_chance": 100 * found.mean, "bar_sd": 100 * found.sd})  # fmt: skip
        lags.append(chance.any_lag(music, motion, 10.0, k))
    assert chance.pooled_rows(pd.DataFrame(rows)).p > 0.05 and chance.pooled_lags(lags) <= 0.05


def test_many_takes_of_one_choreography_are_one_piece_of_evidence():
    own = dances(np.random.default_rng(7), 3, 0.1)
    often = pd.concat([own] * 50)
    assert chance.pooled_rows(often) == pytest.approx(chance.pooled_rows(own))
    apart = chance.pooled_rows(often.assign(choreography=None))
    assert apart.groups == 150 and apart.p < chance.pooled_rows(own).p
    assert np.isnan(chance.pooled_rows(own.iloc[:0]).p) and np.isnan(chance.pooled_lags([]))
