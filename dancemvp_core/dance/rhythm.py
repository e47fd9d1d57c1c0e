"""Motion intensity, its peaks, and the beat alignment rate ("Dance Rhythm Evaluation" in the paper)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

from dancemvp_core.dance import chance

if TYPE_CHECKING:
    from dancemvp_core.dance.music import MusicAnalysis
    from dancemvp_core.dance.sequences import DanceSequence

SMOOTHING_S = 0.05  # Gaussian width: removes marker noise, and strokes of 0.2 s and longer stay separate
PEAK_DISTANCE_S = 0.25  # two strokes closer than an eighth note at 120 BPM count as one
PEAK_PROMINENCE = 0.15  # share of the 5th-to-95th percentile range, so that body scale does not matter
TOLERANCE_S = 0.2  # the paper's value
_ROUNDING_S = 1e-9  # 2.2 - 2.0 > 0.2 in floating point; a difference of exactly the tolerance matches


def motion_intensity(motion: np.ndarray, fps: float) -> np.ndarray:
    """Sum of the joints' speeds in each frame, in length units per second ("Dance Rhythm Evaluation").

    motion (3, T, V) -> (T,). The differences are central, and one-sided at the ends. Raises ValueError below 3 frames.
    """
    if motion.ndim != 3 or motion.shape[0] != 3 or motion.shape[1] < 3:
        raise ValueError(f"expected motion (3, T, V) with T >= 3, got {motion.shape}")
    velocity = np.gradient(np.asarray(motion, dtype=np.float64), 1.0 / fps, axis=1)
    return np.sqrt((velocity**2).sum(axis=0)).sum(axis=-1)


def smoothed(intensity: np.ndarray, fps: float) -> np.ndarray:
    """An intensity curve (T,), smoothed by 50 ms: the peaks are searched in this curve."""
    return gaussian_filter1d(np.asarray(intensity, dtype=np.float64), SMOOTHING_S * fps)


def intensity_peaks(intensity: np.ndarray, fps: float) -> np.ndarray:
    """Times in s of the prominent maxima of an intensity curve (T,), sorted; the first frame is time 0.

    The curve is smoothed (50 ms). A peak must rise by 15 % of the curve's 5th-to-95th percentile range and be at least 0.25
    s from a higher peak. The limits are seconds and shares, so neither frame rate nor body size moves a peak.
    """
    smooth = smoothed(intensity, fps)
    low, high = np.percentile(smooth, [5, 95])
    if not high - low > 1e-9 * max(abs(high), 1e-300):
        return np.zeros(0)
    from scipy.signal import find_peaks  # the import takes a second, and matching peaks does not need it

    distance = max(1, round(PEAK_DISTANCE_S * fps))
    frames, _ = find_peaks(smooth, prominence=PEAK_PROMINENCE * (high - low), distance=distance)
    # A parabola through the three samples around a maximum places it between frames.
    left, top, right = smooth[frames - 1], smooth[frames], smooth[frames + 1]
    bend = left - 2 * top + right
    shift = np.divide(0.5 * (left - right), bend, out=np.zeros_like(top), where=bend < 0)
    return (frames + shift) / fps


def match_peaks(music_peaks_s, motion_peaks_s, tolerance_s: float = TOLERANCE_S) -> list[tuple[int, int]]:
    """Match music and motion peaks one-to-one, as many as possible, at most ``tolerance_s`` apart.

    Returns index pairs into the sorted peak times, both indices rising. Each music peak in turn takes the earliest motion
    peak that is free and within the tolerance. The tolerance is the same for all peaks, so no other choice leaves more
    motion peaks for the music peaks that follow.
    """
    music, motion = np.sort(music_peaks_s).tolist(), np.sort(motion_peaks_s).tolist()
    reach, pairs, next_free = tolerance_s + _ROUNDING_S, [], 0
    for i, time in enumerate(music):
        while next_free < len(motion) and motion[next_free] < time - reach:
            next_free += 1
        if next_free < len(motion) and motion[next_free] <= time + reach:
            pairs.append((i, next_free))
            next_free += 1
    return pairs


def beat_alignment_rate(music_peaks_s, motion_peaks_s, tolerance_s: float = TOLERANCE_S) -> float:
    """Share (0..1) of the music peaks with a one-to-one matching motion peak within the tolerance: the paper's BAR.

    Peak times are in s, in any order. Raises ValueError if there is no music peak.
    """
    if len(music_peaks_s) == 0:
        raise ValueError("beat alignment rate needs at least one music intensity peak")
    return len(match_peaks(music_peaks_s, motion_peaks_s, tolerance_s)) / len(music_peaks_s)


def chance_corrected(rate: float, chance: float) -> float:
    """Where a rate lies between chance (0) and perfect (1); nan if the chance level is already perfect."""
    return (rate - chance) / (1 - chance) if chance < 1 else float("nan")


def peak_f_measure(music_peaks_s, motion_peaks_s, tolerance_s: float = 0.07) -> float:
    """F-measure (0..1) of motion peaks as estimates of the music peaks within 70 ms, as in ``mir_eval.onset``."""
    if len(music_peaks_s) == 0 or len(motion_peaks_s) == 0:
        return 0.0
    return 2 * len(match_peaks(music_peaks_s, motion_peaks_s, tolerance_s)) / (len(music_peaks_s) + len(motion_peaks_s))


MEASURES = ("bar", "bar_chance", "bar_chance_low", "bar_chance_high", "bar_sd", "bar_p", "bar_corrected", "f70")


def alignment(sequence: DanceSequence, analysis: MusicAnalysis | None) -> dict:
    """The Task 3 measures of a performance: {music_peaks, motion_peaks} and MEASURES.

    Peaks are times in s. In percent: bar; bar_chance, and the range bar_chance_low to bar_chance_high of 95 % of the time
    shifts; bar_sd. bar_p is the p-value of bar (``chance.by_shifts`` defines all of these). The measures are nan without
    music peaks. Raises ValueError if the clip is too short for a chance level.
    """
    motion_peaks = intensity_peaks(motion_intensity(sequence.motion, sequence.fps), sequence.fps)
    music_peaks = np.asarray(sequence.music_intensity_s or (), dtype=float)
    if not len(music_peaks) and analysis is not None:
        music_peaks = analysis.music_intensity_s
    row = {"music_peaks": music_peaks, "motion_peaks": motion_peaks}
    if len(music_peaks) == 0:
        return row | dict.fromkeys(MEASURES, np.nan)
    rate = beat_alignment_rate(music_peaks, motion_peaks)
    by_chance = chance.by_shifts(music_peaks, motion_peaks, sequence.duration_s, TOLERANCE_S)
    return row | {
        "bar": 100 * rate,
        "bar_chance": 100 * by_chance.mean,
        "bar_chance_low": 100 * by_chance.low,
        "bar_chance_high": 100 * by_chance.high,
        "bar_sd": 100 * by_chance.sd,
        "bar_p": by_chance.p,
        "bar_corrected": chance_corrected(rate, by_chance.mean),
        "f70": peak_f_measure(music_peaks, motion_peaks),
    }


def onset_correlation(intensity: np.ndarray, fps: float, onset: np.ndarray, onset_times_s: np.ndarray) -> float:
    """Pearson correlation of a motion intensity curve (T,) with an onset envelope (K,) at ``onset_times_s`` (K,).

    Both are on the clip's clock and smoothed by 50 ms; frames outside the envelope's times are left out. The correlation
    needs neither peaks nor labels, so it can choose a time normalisation before the data are used. It is nan if either
    curve is constant or fewer than 3 frames remain.
    """
    times = np.arange(len(intensity)) / fps
    inside = (times >= onset_times_s[0]) & (times <= onset_times_s[-1])
    if inside.sum() < 3:
        return float("nan")
    curves = np.stack([np.asarray(intensity, dtype=np.float64)[inside], np.interp(times[inside], onset_times_s, onset)])
    curves = gaussian_filter1d(curves, SMOOTHING_S * fps, axis=1)
    constant = 1e-9 * np.linalg.norm(curves, axis=1)  # a share, so that the unit of length does not matter
    curves -= curves.mean(axis=1, keepdims=True)
    size = np.linalg.norm(curves, axis=1)
    return float(curves[0] @ curves[1] / size.prod()) if (size > constant).all() else float("nan")
