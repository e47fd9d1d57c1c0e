"""The records that all code uses: a danced sequence, a piece of it (one primitive), and a data set.

There is one clock: every time in the package is in seconds on the clip's clock (ImperialDance: 10 s).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from dancemvp_core.dance.skeleton import Skeleton

LEVELS = ("beginner", "intermediate", "expert")


class DataError(ValueError):
    """Input that cannot be used. The message is one line: the file, the fault, what was expected."""

    def _render_traceback_(self):  # Jupyter shows this in place of a traceback
        return [f"{type(self).__name__}: {self}"]


@dataclass(frozen=True, eq=False)
class DanceSequence:
    """One performance: motion (3, T, V) float32 at ``fps``, y up, its music, and its labels.

    ``motion`` may be a memory-mapped view. ``music`` is the audio file; the clip's music starts ``music_offset_s`` into it
    and lasts ``music_window_s`` (None: as long as the clip). If the window differs from the clip in length,
    ``music.analyse`` converts its times to the clip's clock. Labels are None if unknown. ``trial`` counts from 0 in the
    order of dancing; ``score`` is 0..100; ``music_intensity_s`` are the dancers' labels in s; ``primitives`` is the number of
    primitives that the data set states (ImperialDance: 3; None: as many as there are); ``source`` names the file (and row)
    for messages; ``notes`` are one-line warnings of the reader.
    """

    motion: np.ndarray
    fps: float
    skeleton: Skeleton
    music: Path | None = None
    music_offset_s: float = 0.0
    genre: str | None = None
    choreography: str | None = None
    level: str | None = None
    trial: int | None = None
    score: float | None = None
    music_window_s: float | None = None
    music_intensity_s: tuple[float, ...] | None = None
    split: str | None = None
    source: str = ""
    notes: tuple[str, ...] = ()
    primitives: int | None = None

    @property
    def duration_s(self) -> float:
        """Length of the clip in seconds."""
        return self.motion.shape[1] / self.fps


@dataclass(frozen=True, eq=False)
class Piece:
    """A primitive: ``motion`` (3, t, V) of eight beats, cut from ``sequence`` at start_s..end_s.

    ``primitive`` counts from 0 within the sequence. ``segmentation`` is "beats"; without a beat grid it is "equal" (the
    data set states the number of primitives) or "time" (pieces of one length in s).
    """

    sequence: DanceSequence
    primitive: int
    start_s: float
    end_s: float
    segmentation: str = "beats"

    @property
    def motion(self) -> np.ndarray:
        """The frames of the piece, (3, t, V)."""
        fps = self.sequence.fps
        return self.sequence.motion[:, round(self.start_s * fps) : round(self.end_s * fps)]


@dataclass(frozen=True, eq=False)
class DanceDataset:
    """The result of ``datasets.load``: sequences that are read on demand, and the facts of the data set.

    ``index`` has one row per sequence, in iteration order: genre, choreography, level, trial, score, music, split (empty if
    unknown). It is made without reading motion. ``notes`` are one-line warnings about what is switched off because data are
    missing; ``split_notes`` are those of them that hold for the data's own split only, and ``left_out`` those that count and
    name recordings that cannot be used. ``facts`` is the content of
    dataset.json; ``synthetic`` is its statement. ``levels`` go from lowest to highest. ``upright`` names
    the upright axis as stored and how it is known. Sequences are y-up.
    """

    name: str
    root: Path
    skeleton: Skeleton
    index: pd.DataFrame
    sequences: Sequence[DanceSequence]
    synthetic: bool = False
    notes: tuple[str, ...] = ()
    facts: dict = field(default_factory=dict)
    upright: str = "y"
    split_notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    levels: tuple[str, ...] = LEVELS

    @property
    def label(self) -> dict[str, str | bool]:
        """{"dataset", "synthetic"}: the columns that name the data set in every table."""
        return {"dataset": self.name, "synthetic": self.synthetic}

    def __iter__(self) -> Iterator[DanceSequence]:
        return (self.sequences[i] for i in range(len(self.sequences)))

    def __len__(self) -> int:
        return len(self.sequences)


def evenly_spaced(values: np.ndarray, most: int) -> np.ndarray:
    """At most ``most`` of the values, evenly spaced from the first to the last, in their order."""
    return values[np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))]
