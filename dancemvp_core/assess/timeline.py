"""Beat by beat: the body's accents, the peaks of motion intensity, against the beats of the music, in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dancemvp_core.dance import primitives, rhythm
from dancemvp_core.dance.primitives import BEATS

HIT_S = 0.07  # mir_eval's tolerance for onsets, and as much as a tracked beat can be trusted with
WITHIN_S = rhythm.TOLERANCE_S  # beyond the paper's tolerance a beat is missed


@dataclass(frozen=True)
class Beat:
    """One beat: its number in the eight (1..8), its time, and the accent's offset (negative: early), None where missed.

    ``strong``: a peak of music intensity, one of those that BAR counts, falls on it.
    """

    count: int
    time_s: float
    offset_s: float | None
    strong: bool

    @property
    def verdict(self) -> str:
        """hit (within 70 ms), early or late (within 200 ms), missed."""
        if self.offset_s is None:
            return "missed"
        if abs(self.offset_s) <= HIT_S:
            return "hit"
        return "early" if self.offset_s < 0 else "late"


def beat_grid(beats_s: np.ndarray, duration_s: float, longest_beat_s: float | None = None) -> np.ndarray | None:
    """The regular grid of a recording's beats in s, or None where no steady beat is found.

    ``longest_beat_s`` is the longest beat of the performances that a model was trained on: the tempo's octave is chosen
    so that as many eights of that length fit into the recording as did there. In a recording that is too short for
    one, and without it, the beats stay as they were tracked.
    """
    count = 0 if longest_beat_s is None else int(duration_s / (BEATS * longest_beat_s))
    if count:
        return primitives.fit_grid(beats_s, duration_s, count)
    if len(beats_s) < 2:
        return None
    room = max(duration_s, (BEATS + 1) * float(np.median(np.diff(beats_s))))  # of an eight, so that no beat is halved for one
    grid = primitives.fit_grid(beats_s, room, 1)
    return None if grid is None else grid[grid <= duration_s + primitives.EDGE * np.diff(grid)[0]]


def eights(grid: np.ndarray | None, duration_s: float) -> list[tuple[float, float]]:
    """Every complete eight from the first beat on, as (start_s, end_s) within the recording."""
    if grid is None:
        return []
    return [(float(a), float(b)) for a, b in pairwise(np.clip(grid[::BEATS], 0, duration_s))]


def nearest_accents(beats_s, accents_s) -> list[float | None]:
    """For each beat the offset in s of the accent nearest to it, None for none within 200 ms.

    An accent belongs to the beat that it is nearest to, so none serves two beats.
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
    """The beats of every eight of the recording, the last one as far as it goes, each with its accent.

    ``accents_s`` are the body's, peaks of motion intensity; ``music_peaks_s`` those of the music.
    """
    times = grid[(grid >= -primitives.EDGE * np.mean(np.diff(grid))) & (grid <= duration_s)]
    strong = {int(np.abs(times - peak).argmin()) for peak in music_peaks_s}
    offsets = nearest_accents(times, accents_s)
    beats = [Beat(i % BEATS + 1, float(t), o, i in strong) for i, (t, o) in enumerate(zip(times, offsets, strict=True))]
    return [beats[i : i + BEATS] for i in range(0, len(beats), BEATS)]


def summary(beats: list[Beat], accents_s: np.ndarray, duration_s: float) -> dict:
    """Counts of the verdicts, the typical offset in ms, and the share of beats with an accent against chance (percent)."""
    offsets = np.array([beat.offset_s for beat in beats if beat.offset_s is not None])
    times = [beat.time_s for beat in beats]
    counts = {word: sum(beat.verdict == word for beat in beats) for word in ("hit", "early", "late", "missed")}
    return counts | {
        "beats": len(beats),
        "median_offset_ms": float(1000 * np.median(offsets)) if len(offsets) else None,
        "mean_abs_offset_ms": float(1000 * np.abs(offsets).mean()) if len(offsets) else None,
        "with_accent": 100 * len(offsets) / len(beats),
        "with_accent_chance": 100 * rhythm.chance_rate(times, accents_s, duration_s) if len(accents_s) else 0.0,
    }
