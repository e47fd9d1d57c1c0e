"""Beat alignment as released: the hit rate (``cal_hitrate`` in ``data_aug/seg_dataset.py``), and its constant target.

It differs from the paper's BAR in five ways. Seven joints count. Their frame differences are summed *with their sign*, so
opposite moves cancel. Minima of the curve count beside maxima. Music peaks are all beats that librosa tracks. One motion peak
may match several beats.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import signal
from scipy.stats import pearsonr, spearmanr

from dancemvp_core.dance import music
from dancemvp_core.dance.pieces import resample
from dancemvp_core.dance.sequences import DanceDataset, DanceSequence
from dancemvp_core.released.cutting import FPS

JOINTS = (1, 4, 6, 7, 10, 14, 15)  # right toe, left foot, left hand, right hand, right foot, head, left toe
CLIP_FRAMES = 1000
LOOKAHEAD = 25  # frames
WITHIN_FRAMES = 20
COLUMNS = ["choreography", "level", "trial", "bar", "bar_chance", "hit_rate", "hit_chance"]
SHIFTS = 20


def signed_velocity(motion: np.ndarray) -> np.ndarray:
    """Return the sum of signed frame differences over seven joints and three axes, (3, T, V) -> (T,); the last is zero."""
    own = motion[:, :, list(JOINTS)].astype(np.float64)
    return np.append(np.diff(own, axis=1).sum(axis=(0, 2)), 0.0)


def smoothed(curve: np.ndarray) -> np.ndarray:
    """Return a curve (T,) after a Butterworth low-pass of order 1 at 0.05 of the Nyquist rate, forward and backward."""
    return signal.filtfilt(*signal.butter(1, 0.05), curve)


def extrema(curve: np.ndarray, lookahead: int = LOOKAHEAD) -> tuple[list[int], list[int]]:
    """Return the frames of the maxima and of the minima of a curve (T,): the next ``lookahead`` frames do not exceed them.

    Maxima and minima alternate, and the first of all is dropped: the released code's library (peakdetect 1.2, by Billauer's
    method, threshold 0) takes it for an artefact of the start.
    """
    highest, lowest, at_high, at_low = -np.inf, np.inf, 0, 0
    found: list[tuple[bool, int]] = []
    for frame, value in enumerate(curve[:-lookahead]):
        if value > highest:
            highest, at_high = value, frame
        if value < lowest:
            lowest, at_low = value, frame
        ahead = curve[frame : frame + lookahead]
        if value < highest < np.inf and ahead.max() < highest:
            found.append((True, at_high))
            highest = lowest = np.inf  # next, a minimum
        elif value > lowest > -np.inf and ahead.min() > lowest:
            found.append((False, at_low))
            highest = lowest = -np.inf  # next, a maximum
    kept = found[1:]
    return [frame for high, frame in kept if high], [frame for high, frame in kept if not high]


def beat_frames(samples: np.ndarray, sr: int) -> np.ndarray:
    """Return the frames (at 100 fps) of the beats that librosa tracks in the music, (B,)."""
    import librosa

    onset = librosa.onset.onset_strength(y=np.asarray(samples, dtype=np.float32), sr=sr)
    _, beats = librosa.beat.beat_track(onset_envelope=onset, sr=sr)
    return np.round(librosa.times_like(onset, sr=sr, hop_length=512)[beats] * FPS)


def share_hit(beats: np.ndarray, peaks: np.ndarray) -> float:
    """Return the share of beats with a peak at most 20 frames away, in percent; one peak may match several beats."""
    away = np.abs(beats[:, None] - peaks[None])
    return float(100 * (away.min(axis=1) <= WITHIN_FRAMES).mean())


def hit_rate(motion: np.ndarray, samples: np.ndarray, sr: int = 22050) -> float:
    """Return the released reading of BAR for one trial, in percent: the share of beats with a peak at most 20 frames away.

    ``motion`` (3, T, V) at 100 fps, of which the first 10 s count; ``samples`` its music. Without a maximum the rate is 0.
    Raises ValueError where librosa tracks no beat.
    """
    beats = beat_frames(samples, sr)
    if not len(beats):
        raise ValueError("no beat is tracked in the music: the hit rate is undefined")
    maxima, minima = extrema(smoothed(signed_velocity(motion)[:CLIP_FRAMES]))
    if not maxima:
        return 0.0
    return share_hit(beats, np.array(maxima + minima))


def constant_target(rates: np.ndarray, files: np.ndarray) -> np.ndarray:
    """Return Task 3's target as released, (P,): every piece of a file (choreography and level) gets the mean rate of the file.

    So a data set of F files has F values in all, and a model that knows the file has no error.
    """
    _, place = np.unique(files, return_inverse=True)
    return (np.bincount(place, rates) / np.bincount(place))[place]


# --- both readings of BAR over the same performances -----------------------------------------------------------------


def beats_of(sample_path: Path, offset_s: float, clip_s: float) -> np.ndarray:
    """Return the frames of the beats that the released code hears: those of the first ``clip_s`` seconds from ``offset_s`` on."""
    samples, rate = music.load_audio(sample_path, offset_s, clip_s)
    return beat_frames(samples, rate)


def rate_and_chance(danced: DanceSequence, beats: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the hit rate of one performance in percent, and its chance level: the mean over 20 shifts of its peaks in time.

    Motion at another frame rate is resampled to 100 fps. Both are nan without a beat or a peak.
    """
    motion = danced.motion if danced.fps == FPS else resample(danced.motion, round(danced.duration_s * FPS))
    curve = smoothed(signed_velocity(motion)[:CLIP_FRAMES])
    maxima, minima = extrema(curve)
    peaks = np.array(maxima + minima)
    if not len(beats) or not len(peaks):
        return float("nan"), float("nan")
    shifts = np.random.default_rng(seed).uniform(0, len(curve), SHIFTS)
    return share_hit(beats, peaks), float(np.mean([share_hit(beats, (peaks + s) % len(curve)) for s in shifts]))


def both_readings(
    dataset: DanceDataset, sequences: pd.DataFrame, rows: np.ndarray, progress: Callable = lambda rows: rows
) -> pd.DataFrame:
    """Return both readings of some performances (``rows`` of ``sequences``, which is ``PieceSet.sequences``): COLUMNS, percent.

    Performances without music or without a labelled rate are left out.
    """
    heard: dict[tuple, np.ndarray] = {}
    out = []
    for row in progress(list(rows)):
        danced, known = dataset.sequences[int(row)], sequences.iloc[int(row)]
        if danced.music is None or pd.isna(known["bar"]):
            continue
        window = (danced.music, danced.music_offset_s, danced.duration_s)
        if window not in heard:
            heard[window] = beats_of(*window)
        found, chance = rate_and_chance(danced, heard[window])
        place = (known["choreography"], known["level"], known["trial"], known["bar"], known["bar_chance"])
        out.append((*place, found, chance))
    return pd.DataFrame(out, columns=COLUMNS).dropna(subset=["bar", "hit_rate"]).reset_index(drop=True)


def agreement(measured: pd.DataFrame) -> pd.DataFrame:
    """Return how the readings agree, and what the released target leaves to learn: one row for each measure (measure, value).

    Correlations over performances; each reading above its chance level; and the squared error (percentage points) of a model
    that knows nothing but the file: of each performance's own rate, and of the released target, which is the file's mean.
    """
    file = measured["choreography"].astype(str) + "/" + measured["level"].astype(str)
    constant = constant_target(measured["hit_rate"].to_numpy(), file.to_numpy())
    lines = {
        "performances": len(measured),
        "correlation (Pearson)": pearsonr(measured["bar"], measured["hit_rate"]).statistic,
        "correlation (Spearman)": spearmanr(measured["bar"], measured["hit_rate"]).statistic,
        "BAR, mean": measured["bar"].mean(),
        "BAR above chance": (measured["bar"] - measured["bar_chance"]).mean(),
        "hit rate, mean": measured["hit_rate"].mean(),
        "hit rate above chance": (measured["hit_rate"] - measured["hit_chance"]).mean(),
        "values of the released target": len(np.unique(constant.round(9))),
        "MSE of the file's mean on hit rates": ((measured["hit_rate"] - constant) ** 2).mean(),
        "MSE of the file's mean on the released target": ((constant - constant_target(constant, file.to_numpy())) ** 2).mean(),
    }
    return pd.DataFrame(lines.items(), columns=["measure", "value"])
