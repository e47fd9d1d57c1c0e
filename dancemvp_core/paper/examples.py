"""The performances in Figs. 3 and 4: those with median BAR of the highest and lowest level, and the music in the clip's time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dancemvp_core.dance import music, primitives, rhythm
from dancemvp_core.dance.music import MusicAnalysis
from dancemvp_core.dance.pieces import PieceSet, median_performance, resample
from dancemvp_core.dance.sequences import DanceDataset, DanceSequence
from dancemvp_core.dance.skeleton import front_view


@dataclass(frozen=True, eq=False)
class Example:
    """A performance, the analysis of its music (None without), the waveform, the fitted beat grid and the three groups.

    The groups are the primitives, as (start_s, end_s).
    """

    danced: DanceSequence
    heard: MusicAnalysis | None
    waveform: np.ndarray
    grid_s: np.ndarray
    groups: list[tuple[float, float]]

    @property
    def beats_s(self) -> np.ndarray:
        """The tracked beats, in s of the clip's time."""
        return np.zeros(0) if self.heard is None else self.heard.beats_s


def median_performances(dataset: DanceDataset, cut: PieceSet) -> list[DanceSequence]:
    """Return the performances of the highest and of the lowest level with median BAR in the first pre-train choreography.

    Without levels it is one performance with median BAR; without choreographies, of all pre-train performances.
    """
    pool = cut.sequences[cut.sequences["split"] == "pretrain"]
    shown = pool["choreography"].dropna().iloc[0] if pool["choreography"].notna().any() else None
    there = [level for level in dataset.levels if ((pool["level"] == level) & (pool["choreography"] == shown)).any()]
    ends = dict.fromkeys([there[-1], there[0]]) if there else [None]
    return [dataset.sequences[median_performance(pool, choreography=shown, level=level)] for level in ends]


def example(danced: DanceSequence, time_normalisation: str, cache: Path | None) -> Example:
    """Return a performance with the analysis of its music and its three groups."""
    heard, waveform = None, np.zeros(0)
    if danced.music is not None:
        window = (danced.music, danced.music_offset_s, danced.music_window_s or danced.duration_s)
        heard = music.analyse(*window, danced.duration_s, time_normalisation, cache=cache)
        waveform, _ = music.load_audio(*window[:2], danced.duration_s / heard.stretch)
    beats = heard.beats_s if heard is not None else []
    grid = primitives.fit_grid(beats, danced.duration_s, danced.primitives) if len(beats) else None
    groups = [(piece.start_s, piece.end_s) for piece in primitives.segment(danced, beats)]
    return Example(danced, heard, waveform, np.zeros(0) if grid is None else grid, groups)


def opposite(shown: Example) -> str:
    """Return one sentence with the mean distance of the joints between the third and the first group.

    It also states the distance to the mirror image of the first group if the skeleton has left and right joints. Without a
    third group it says so.
    """
    if len(shown.groups) < 3:
        return f"the performance has {len(shown.groups)} of the three groups, so there is nothing to compare"
    danced = shown.danced
    seen = front_view(danced.motion, danced.skeleton)
    cuts = [seen[round(a * danced.fps) : round(b * danced.fps)] for a, b in shown.groups]
    frames = [resample(part.transpose(2, 0, 1), 100).transpose(1, 2, 0) for part in cuts]
    as_danced, mirrored = primitives.mirrored_distance(frames[0], frames[2], danced.skeleton.mirror)
    share = "" if not danced.skeleton.pairs else f"; to the mirror image of the first: {100 * mirrored / as_danced:.0f} % of that"
    return f"mean distance of the joints, third group to first: {as_danced:.3g} in the data's unit of length{share}"


def alignments(performances: list[DanceSequence], heard: MusicAnalysis | None) -> list[dict]:
    """Return the input of ``figures.beat_alignment`` for each performance.

    These are name, intensity, fps, motion and music peaks; with music also ``music_intensity``, the onset strength, at
    ``music_times`` in s.
    """
    curve = {} if heard is None else {"music_intensity": heard.onset, "music_times": heard.feature_times_s}
    rows = []
    for danced in performances:
        trial = f"trial {danced.trial + 1}" if danced.trial is not None else ""
        name = ", ".join(filter(None, [danced.level, danced.choreography, trial])) or "first recording"
        intensity = rhythm.motion_intensity(danced.motion, danced.fps)
        rows.append({"name": name, "intensity": intensity, "fps": danced.fps} | curve | rhythm.alignment(danced, heard))
    return rows
