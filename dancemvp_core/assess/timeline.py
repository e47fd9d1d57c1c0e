"""Beat by beat: the offsets in ms of the body's accents, the peaks of motion intensity, from the beats of the music."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dancemvp_core.dance import chance, primitives, rhythm
from dancemvp_core.dance.primitives import BEATS

VERDICTS = ("hit", "early", "late", "missed", "free")
HIT_S = 0.07  # mir_eval's tolerance for onsets, and about the accuracy of a tracked beat
WITHIN_S = rhythm.TOLERANCE_S  # the paper's tolerance; the body has no accent on a beat without one within it


@dataclass(frozen=True)
class Beat:
    """One beat: its number in the eight (1..8), its time in s, and the offset of its accent in s (negative: early; None: none).

    ``strong``: the beat is the nearest one to a peak of music intensity; BAR counts these peaks.
    """

    count: int
    time_s: float
    offset_s: float | None
    strong: bool

    @property
    def verdict(self) -> str:
        """hit (within 70 ms), early or late (within 200 ms); without an accent of the body missed, or free if nor has the music."""
        if self.offset_s is None:
            return "missed" if self.strong else "free"
        if abs(self.offset_s) <= HIT_S:
            return "hit"
        return "early" if self.offset_s < 0 else "late"


def beat_grid(beats_s: np.ndarray, duration_s: float, longest_beat_s: float | None = None) -> np.ndarray | None:
    """The regular grid of a recording's beats in s, or None if no steady beat is found.

    ``longest_beat_s`` is the longest beat of the performances that a model was trained on. A tempo is doubled only if that
    brings it nearer to theirs: if a beat is more than a half octave (1.41 times) longer than their longest. So the beat of a
    dance that is a little slower than all others stays whole. If it is None, the tempo is never doubled.
    """
    grid = primitives.fit_grid(beats_s, duration_s, None)
    if grid is None or longest_beat_s is None:
        return grid
    half = float(np.diff(grid).mean()) / 2
    if half <= longest_beat_s / np.sqrt(2):
        return grid
    first = np.ceil(-grid[0] / half - primitives.EDGE)  # the first and last half beat may lie before and after the whole ones
    last = np.floor((duration_s - grid[0]) / half + primitives.EDGE)
    return grid[0] + half * np.arange(first, last + 1)


def eights(grid: np.ndarray | None, duration_s: float) -> list[tuple[float, float]]:
    """Every complete eight from the first beat on, as (start_s, end_s) within the recording; empty without a grid."""
    if grid is None:
        return []
    return [(float(a), float(b)) for a, b in pairwise(np.clip(grid[::BEATS], 0, duration_s))]


def nearest_accents(beats_s, accents_s) -> list[float | None]:
    """The offset in s of the nearest accent of each beat, None if there is no accent within 200 ms.

    An accent belongs to its nearest beat, so it never counts for two beats.
    """
    beats, accents = np.asarray(beats_s, dtype=float), np.asarray(accents_s, dtype=float)
    owner = np.abs(accents[:, None] - beats).argmin(axis=1)
    offsets = []
    for i, beat in enumerate(beats):
        own = accents[owner == i] - beat
        best = own[np.abs(own).argmin()] if len(own) else np.inf
        offsets.append(float(best) if abs(best) <= WITHIN_S + 1e-9 else None)
    return offsets


def timeline(grid: np.ndarray, accents_s: np.ndarray, music_peaks_s: np.ndarray, duration_s: float) -> list[list[Beat]]:
    """The beats of every eight of the recording with their accents; the last eight may be incomplete.

    ``accents_s`` are the body's accents, the peaks of motion intensity; ``music_peaks_s`` are the peaks of the music.
    """
    times = grid[(grid >= -primitives.EDGE * np.mean(np.diff(grid))) & (grid <= duration_s)]
    strong = {int(np.abs(times - peak).argmin()) for peak in music_peaks_s}
    offsets = nearest_accents(times, accents_s)
    beats = [Beat(i % BEATS + 1, float(t), o, i in strong) for i, (t, o) in enumerate(zip(times, offsets, strict=True))]
    return [beats[i : i + BEATS] for i in range(0, len(beats), BEATS)]


def summary(beats: list[Beat], accents_s: np.ndarray, duration_s: float) -> dict:
    """Number of each verdict, median and mean absolute offset in ms, share of beats with an accent and its chance level in %."""
    offsets = np.array([beat.offset_s for beat in beats if beat.offset_s is not None])
    times = [beat.time_s for beat in beats]
    counts = {word: sum(beat.verdict == word for beat in beats) for word in VERDICTS}
    return counts | {
        "beats": len(beats),
        "median_offset_ms": float(1000 * np.median(offsets)) if len(offsets) else None,
        "mean_abs_offset_ms": float(1000 * np.abs(offsets).mean()) if len(offsets) else None,
        "with_accent": 100 * len(offsets) / len(beats),
        "with_accent_chance": 100 * chance.by_shifts(times, accents_s, duration_s, WITHIN_S).mean,
    }
