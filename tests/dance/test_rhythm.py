"""Motion intensity, peaks and the beat alignment rate: cases worked by hand, and what must not move them."""

import itertools

import mir_eval
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dancemvp_core.dance import rhythm


def strokes(times_s, fps=100.0, duration_s=10.0, joints=5):
    """Smooth, band-limited motion whose speed peaks at the given times, in raised-cosine pulses."""
    t = np.arange(round(duration_s * fps)) / fps
    width = 0.4
    position = np.zeros_like(t)
    for centre in times_s:
        x = np.clip((t - centre) / width, -0.5, 0.5)
        position += x + np.sin(2 * np.pi * x) / (2 * np.pi)
    directions = np.random.default_rng(3).normal(size=(3, joints))
    return directions[:, None, :] * position[None, :, None]


STROKES_S = (0.8, 1.613, 2.5, 3.207, 4.6, 5.55, 6.2, 7.71, 8.9)


# --- motion intensity


def test_intensity_of_constant_velocity_is_the_sum_of_speeds():
    fps, t = 50.0, np.arange(20) / 50.0
    motion = np.zeros((3, 20, 2))
    motion[0, :, 0], motion[1, :, 0] = 3 * t, 4 * t  # speed 5
    motion[2, :, 1] = -2 * t  # speed 2
    assert rhythm.motion_intensity(motion, fps) == pytest.approx(np.full(20, 7.0))


def test_intensity_needs_a_motion():
    for shape in ((3, 2, 4), (2, 9, 4), (3, 9)):
        with pytest.raises(ValueError, match=r"\(3, T, V\)"):
            rhythm.motion_intensity(np.zeros(shape), 100)


# --- peaks


def test_peaks_stand_at_the_fastest_moment_of_each_stroke():
    peaks = rhythm.intensity_peaks(rhythm.motion_intensity(strokes(STROKES_S), 100), 100)
    assert peaks == pytest.approx(STROKES_S, abs=0.005)


def test_a_still_or_even_motion_has_no_peaks():
    still = np.ones((3, 200, 4))
    even = np.broadcast_to(np.arange(200.0)[None, :, None], (3, 200, 4))
    for motion in (still, even):
        assert len(rhythm.intensity_peaks(rhythm.motion_intensity(motion, 100), 100)) == 0


@pytest.mark.parametrize("scale", [1e-3, 0.37, 1000.0])
def test_peaks_do_not_depend_on_body_size_or_place(scale):
    motion = strokes(STROKES_S)
    moved = scale * motion + np.array([5.0, -3.0, 100.0]).reshape(3, 1, 1)
    peaks = [rhythm.intensity_peaks(rhythm.motion_intensity(m, 100), 100) for m in (motion, moved)]
    assert peaks[1] == pytest.approx(peaks[0], abs=1e-6)


def test_peaks_and_rate_do_not_depend_on_the_frame_rate():
    music = np.array(STROKES_S) + np.array([0.15, -0.15, 0.25, 0, 0.1, -0.3, 0.05, 0.19, -0.1])
    at_100, at_60 = (rhythm.intensity_peaks(rhythm.motion_intensity(strokes(STROKES_S, fps), fps), fps) for fps in (100, 60))
    assert at_60 == pytest.approx(at_100, abs=0.01)
    assert rhythm.beat_alignment_rate(music, at_100) == pytest.approx(7 / 9)
    assert rhythm.beat_alignment_rate(music, at_60) == pytest.approx(7 / 9)


def test_peaks_survive_resampling_by_interpolation():
    fps, to = 100, 60
    motion = strokes(STROKES_S, fps)
    old, new = np.arange(motion.shape[1]) / fps, np.arange(0, 10, 1 / to)
    resampled = np.apply_along_axis(lambda x: np.interp(new, old, x), 1, motion)
    before = rhythm.intensity_peaks(rhythm.motion_intensity(motion, fps), fps)
    after = rhythm.intensity_peaks(rhythm.motion_intensity(resampled, to), to)
    assert after == pytest.approx(before, abs=0.015)


# --- beat alignment rate

CASES = {
    "every peak answered": ([1, 2, 3], [1.1, 1.9, 3.0], 1.0),
    "one of four": ([1, 2, 3, 4], [2.1], 0.25),
    "one motion peak serves one music peak only": ([1.0, 1.2], [1.1], 0.5),
    "two motion peaks at one music peak count once": ([1.0, 3.0], [0.95, 1.05], 0.5),
    "greedy would lose one: 1.1 must go to 1.2": ([1.0, 1.2], [1.1, 0.85], 1.0),
    "order does not matter": ([3, 1, 2], [2.05, 3.05], 2 / 3),
    "exactly the tolerance matches": ([2.0], [2.2], 1.0),
    "exactly the tolerance before": ([2.2], [2.0], 1.0),
    "just beyond does not": ([2.0], [2.2001], 0.0),
    "no motion peak": ([1.0, 2.0], [], 0.0),
}


@pytest.mark.parametrize(("music", "motion", "expected"), CASES.values(), ids=CASES.keys())
def test_rate_by_hand(music, motion, expected):
    rate = rhythm.beat_alignment_rate(np.array(music, float), np.array(motion, float))
    assert isinstance(rate, float)
    assert rate == pytest.approx(expected)


def test_a_difference_of_exactly_the_tolerance_matches_anywhere_on_the_clip():
    # in binary, 0.35 + 0.2 and 0.35 are more than 0.2 apart, as are many such pairs
    for at in np.round(np.arange(0.3, 10, 0.05), 2):
        assert rhythm.beat_alignment_rate([at], [at + 0.2]) == 1
        assert rhythm.beat_alignment_rate([at], [round(at - 0.2, 2)]) == 1


def test_the_tolerance_is_a_parameter_in_seconds():
    assert rhythm.beat_alignment_rate([1.0], [1.3], tolerance_s=0.3) == 1
    assert rhythm.beat_alignment_rate([1.0], [1.3], tolerance_s=0.25) == 0


def test_no_music_peak_is_an_error():
    with pytest.raises(ValueError, match="music intensity peak"):
        rhythm.beat_alignment_rate([], [1.0])


def largest_matching(music, motion, tolerance):
    """Brute force: try every way of giving each music peak a motion peak of its own, or none."""
    places = [*range(len(motion)), *[None] * len(music)]
    return max(
        sum(j is not None and abs(m - motion[j]) <= tolerance + 1e-9 for m, j in zip(music, chosen, strict=True))
        for chosen in itertools.permutations(places, len(music))
    )


times = st.lists(st.integers(0, 24).map(lambda k: k / 10), min_size=1, max_size=4)


@settings(max_examples=120, derandomize=True)
@given(music=times, motion=times)
def test_matching_is_one_to_one_and_as_large_as_can_be(music, motion):
    pairs = rhythm.match_peaks(music, motion)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    music, motion = sorted(music), sorted(motion)
    assert all(abs(music[i] - motion[j]) <= 0.2 + 1e-6 for i, j in pairs)
    assert len(pairs) == largest_matching(music, motion, 0.2)


many_times = st.lists(st.floats(0, 10), min_size=1, max_size=40)


@settings(max_examples=120, derandomize=True)
@given(music=many_times, motion=many_times, tolerance=st.sampled_from([0.07, 0.2]))
def test_matching_and_f_measure_agree_with_mir_eval(music, motion, tolerance):
    theirs = mir_eval.util.match_events(np.sort(music), np.sort(motion), tolerance + 1e-9)
    assert len(rhythm.match_peaks(music, motion, tolerance)) == len(theirs)
    f_measure = mir_eval.onset.f_measure(np.sort(music), np.sort(motion), window=tolerance + 1e-9)[0]
    assert rhythm.peak_f_measure(music, motion, tolerance) == pytest.approx(f_measure)


# --- F-measure


def test_f_measure_by_hand():
    # one of two motion peaks lies within 70 ms: precision 1/2, recall 1/3
    assert rhythm.peak_f_measure([1, 2, 3], [1.05, 2.1]) == pytest.approx(0.4)
    assert rhythm.peak_f_measure([1, 2], [2.07, 0.93]) == pytest.approx(1.0)


@pytest.mark.filterwarnings("error")
def test_f_measure_of_a_still_dancer_is_nought_without_a_warning():
    assert rhythm.peak_f_measure([1, 2], []) == 0


# --- which reading of the data: stretched or cropped


def test_onset_correlation_is_high_in_step_and_low_out_of_it():
    motion = strokes(STROKES_S)
    intensity = rhythm.motion_intensity(motion, 100.0)
    times = np.arange(0, 10, 0.0232)
    onset = sum(np.exp(-0.5 * ((times - s) / 0.04) ** 2) for s in STROKES_S)
    right = rhythm.onset_correlation(intensity, 100.0, onset, times)
    assert right > 0.6
    assert rhythm.onset_correlation(intensity, 100.0, onset, times * 1.5) < 0.5 * right  # cropped where stretched is right
    assert rhythm.onset_correlation(3 * intensity + 1, 100.0, 7 * onset, times) == pytest.approx(right)
    assert np.isnan(rhythm.onset_correlation(intensity, 100.0, np.ones_like(times), times))
    assert np.isnan(rhythm.onset_correlation(intensity, 100.0, onset[:3], np.array([20.0, 21.0, 22.0])))
