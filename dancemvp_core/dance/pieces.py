"""From sequences to the encoders' input: primitives on the canonical body, resampled to one length, with their labels.

``build`` reads a data set once and returns a ``PieceSet``: tensors that are small enough to stay on the device, and two
tables, one with a row per piece and one with a row per sequence. BAR, the label of Task 3, is computed here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from dancemvp_core import files
from dancemvp_core.dance import music, orientation, primitives, rhythm
from dancemvp_core.dance.sequences import DanceDataset, DanceSequence, DataError, Piece, evenly_spaced
from dancemvp_core.dance.skeleton import bone_lengths, canonical_body

LABELS = ("genre", "choreography", "level", "primitive")  # Task 1 predicts them


@dataclass(frozen=True, eq=False)
class PieceSet:
    """Primitives as tensors: motion (P, 3, T, V) of the pieces, and their music (W, F, T), each window once.

    ``left_out`` has one line for each performance whose motion cannot be used, if the set was just built.

    ``table`` has one row per piece: sequence, the labels, trial, start_s, end_s, segmentation, score, bar and bar_direct
    (percent), split, window (row of ``music``, -1 without music). ``sequences`` has one row per usable performance of the
    data set, also for performances without pieces: labels, duration_s, ``rhythm.MEASURES``, and the numbers of peaks. Its
    index is the performance's number in the data set. A
    choreography whose performances differ in the number of pieces has one class of ``primitive``, 0.
    """

    motion: Tensor
    music: Tensor
    table: pd.DataFrame
    sequences: pd.DataFrame
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    def batch(self, rows) -> dict[str, Tensor]:
        """The encoders' input for N rows of pieces: {"motion": (N, 3, T, V), "music": (N, F, T), "seconds": (N,)}."""
        rows = torch.as_tensor(rows, device=self.motion.device)
        return {"motion": self.motion[rows], "music": self.music[self.windows[rows]], "seconds": self.seconds[rows]}

    @cached_property
    def seconds(self) -> Tensor:
        """Length of each piece in s, (P,) float32, on the device."""
        lengths = (self.table["end_s"] - self.table["start_s"]).to_numpy(dtype="float32", copy=True)
        return torch.as_tensor(lengths, device=self.motion.device)

    @cached_property
    def windows(self) -> Tensor:
        """Row of ``music`` for each piece, (P,), on the device."""
        return torch.as_tensor(self.table["window"].to_numpy(copy=True), device=self.motion.device)

    @cached_property
    def digest(self) -> str:
        """Hash of the pieces, their music and their labels. The folder of their files does not count."""
        labels = self.table.drop(columns="source", errors="ignore")
        digest = hashlib.sha256(pd.util.hash_pandas_object(labels, index=False).to_numpy().tobytes())
        for tensor in (self.motion, self.music):
            digest.update(tensor.cpu().contiguous().numpy())
        return digest.hexdigest()

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of the pieces of a split: "pretrain", "validation" or "test"."""
        return np.flatnonzero((self.table["split"] == split).to_numpy())

    def to(self, device) -> PieceSet:
        """The same set with its tensors on a device."""
        return replace(self, motion=self.motion.to(device), music=self.music.to(device))

    def save(self, folder: Path) -> None:
        """Write the set to a folder; each file is replaced as a whole."""
        files.write_tensors(folder / "pieces.safetensors", {"motion": self.motion, "music": self.music})
        files.write_parquet(folder / "pieces.parquet", self.table)
        files.write_parquet(folder / "sequences.parquet", self.sequences.reset_index(drop=True))

    @classmethod
    def load(cls, folder: Path, device="cpu") -> PieceSet:
        """Read a set that ``save`` has written; its tensors are on ``device``."""
        tensors = load_file(folder / "pieces.safetensors", device=str(device))
        table, sequences = (pd.read_parquet(folder / f"{n}.parquet") for n in ("pieces", "sequences"))
        sequences.index = sequences["sequence"].to_numpy()
        return cls(tensors["motion"], tensors["music"], table, sequences)


def resample(motion: np.ndarray, frames: int) -> np.ndarray:
    """Resample motion (3, t, V), or music features (F, t), to ``frames`` steps; the other axes stay.

    Fewer steps are means over the frames of each step; more steps are interpolated linearly.
    """
    x = torch.from_numpy(np.ascontiguousarray(motion, dtype=np.float32))
    flat = x.movedim(1, -1).reshape(1, -1, x.shape[1])
    if x.shape[1] >= frames:
        flat = F.adaptive_avg_pool1d(flat, frames)
    else:
        flat = F.interpolate(flat, size=frames, mode="linear", align_corners=True)
    return flat.reshape(*x.movedim(1, -1).shape[:-1], frames).movedim(-1, 1).numpy()


def piece_alignment(piece: Piece, peaks: dict) -> float:
    """BAR in percent within one piece, from the music and motion peaks inside it; nan without music peaks."""
    inside = {
        kind: times[(times >= piece.start_s) & (times < piece.end_s)]
        for kind, times in ((k, peaks[k]) for k in ("music_peaks", "motion_peaks"))
    }
    if len(inside["music_peaks"]) == 0:
        return np.nan
    return 100 * rhythm.beat_alignment_rate(inside["music_peaks"], inside["motion_peaks"])


def canonical_lengths(dataset: DanceDataset, sample: int = 50) -> np.ndarray:
    """Bone lengths (V,) of the canonical body: those of the skeleton, else the median of the data set.

    The median is over ``sample`` sequences, and its lengths are scaled so that they sum to V. Unusable ones are left out.
    Raises DataError if none is usable.
    """
    if dataset.skeleton.lengths:
        return np.asarray(dataset.skeleton.lengths)
    rows = evenly_spaced(np.arange(len(dataset)), sample)
    usable, faults = [], []
    for i in rows:
        try:
            usable.append(bone_lengths(dataset.sequences[i].motion, dataset.skeleton))
        except DataError as fault:
            faults.append(str(fault))
    if not usable:
        raise DataError(f"{faults[0]}; no usable recording among {len(rows)}")
    lengths = np.stack(usable)
    lengths = np.median(lengths / lengths.sum(axis=1, keepdims=True), axis=0)
    return lengths * len(dataset.skeleton.joints)


@dataclass(frozen=True)
class Cutting:
    """How pieces are cut: their length in ``frames``, ``bar_scope`` ("sequence" as in the paper, or "piece"), and the clock.

    ``time_normalisation`` is "stretch" or "crop" (``music.analyse``). ``cuts_s`` are fixed cuts (start, end) in s in place
    of the beats' (None).
    """

    frames: int
    bar_scope: str = "sequence"
    time_normalisation: str = "stretch"
    cuts_s: tuple[tuple[float, float], ...] | None = None

    @classmethod
    def of(cls, params) -> Cutting:
        """The settings among a notebook's parameters."""
        return cls(params.piece_frames, params.bar_scope, params.time_normalisation)


def build(
    dataset: DanceDataset,
    splits: pd.Series,
    keep: np.ndarray,
    cutting: Cutting,
    cache: Path | None = None,
    progress: Callable = lambda rows: rows,
) -> PieceSet:
    """Cut the primitives of a data set, put them on the canonical body and label them. Returns a ``PieceSet``.

    ``splits`` (one per sequence) names the split of each sequence. ``keep`` (bool, one per sequence) selects the sequences
    that pieces are cut from; every sequence gets a row in ``sequences``. ``cache`` is the folder of music analyses. Music
    features are standardised with mean and standard deviation of the pre-train windows. A sequence whose motion cannot be
    used is left out of both tables (``left_out``). Raises DataError for unusable music, and if nothing is left to cut.
    """
    lengths = canonical_lengths(dataset)
    analyses, windows = {}, _Windows(cutting.frames)
    motions, rows, sequence_rows, left_out = [], [], [], []
    for i in progress(range(len(dataset))):
        try:
            sequence = dataset.sequences[i]
        except DataError as fault:
            left_out.append(str(fault))
            continue
        analysis = _analysis(sequence, cutting.time_normalisation, cache, analyses)
        measured = rhythm.alignment(sequence, analysis)
        facts = _facts(sequence) | {"sequence": i, "split": splits.iloc[i]}
        sequence_rows.append(facts | _counted(measured) | {"duration_s": sequence.duration_s, "fps": sequence.fps})
        if not keep[i]:
            continue
        turn = orientation.to_front(sequence.motion, dataset.skeleton, sequence.fps).astype(np.float32)
        for piece in _cut(sequence, analysis, cutting):
            direct = piece_alignment(piece, measured)
            body = canonical_body(resample(piece.motion, cutting.frames), dataset.skeleton, lengths)
            motions.append(np.einsum("ij,jtv->itv", turn, body, dtype=np.float32))
            place = {name: getattr(piece, name) for name in ("primitive", "start_s", "end_s", "segmentation")}
            bar = measured["bar"] if cutting.bar_scope == "sequence" else direct
            rows.append(facts | place | {"bar": bar, "bar_direct": direct, "window": windows.add(piece, analysis)})
    if left_out and not motions:
        raise DataError(f"{left_out[0]}; {len(left_out)} of {len(dataset)} recordings are unusable, and none is left to cut")
    table, sequences = pd.DataFrame(rows), pd.DataFrame(sequence_rows)
    sequences.index = sequences["sequence"].to_numpy()
    table["primitive"] = _classes_of_place(table)
    motion = torch.from_numpy(np.ascontiguousarray(np.stack(motions)))
    return PieceSet(motion, windows.standardised(table), table, sequences, tuple(left_out))


@dataclass(frozen=True)
class _Windows:
    """The music windows of the pieces, each once: features (F, frames), and their numbers by analysis, start and end."""

    frames: int
    features: list[np.ndarray] = field(default_factory=list)
    numbers: dict[tuple, int] = field(default_factory=dict)

    def add(self, piece: Piece, analysis: music.MusicAnalysis | None) -> int:
        """The row of a piece's music; -1 without music."""
        if analysis is None:
            return -1
        key = (id(analysis), piece.start_s, piece.end_s)
        if key not in self.numbers:
            self.numbers[key] = len(self.features)
            inside = (analysis.feature_times_s >= piece.start_s) & (analysis.feature_times_s < piece.end_s)
            self.features.append(resample(analysis.features[:, inside], self.frames))
        return self.numbers[key]

    def standardised(self, table: pd.DataFrame) -> Tensor:
        """(W + 1, F, frames) float32, standardised with mean and standard deviation of the pre-train windows.

        The last row contains zeros. It is the music of pieces without music (window -1).
        """
        sound = np.stack([*self.features, np.zeros((music_size(self.features), self.frames), np.float32)])
        seen = table.loc[(table["split"] == "pretrain") & (table["window"] >= 0), "window"].unique()
        if len(seen):
            mean = sound[seen].mean(axis=(0, 2), keepdims=True)
            spread = sound[seen].std(axis=(0, 2), keepdims=True)
            sound[:-1] = (sound[:-1] - mean) / np.maximum(spread, 1e-6)
        return torch.from_numpy(sound.astype(np.float32))


def _cut(sequence: DanceSequence, analysis: music.MusicAnalysis | None, cutting: Cutting) -> list[Piece]:
    """Cut a sequence by its beats, or at the fixed cuts."""
    if cutting.cuts_s is None:
        return primitives.segment(sequence, analysis.beats_s if analysis is not None else np.zeros(0))
    return [Piece(sequence, i, start, end, "fixed") for i, (start, end) in enumerate(cutting.cuts_s)]


def _classes_of_place(table: pd.DataFrame) -> pd.Series:
    """The primitive of each piece, as a class of Task 1: its place in the performance, or 0.

    The third piece of one performance is the move of the third piece of another only if both are cut alike. So the place is
    a class where all performances of a choreography have the same number of pieces; elsewhere all its pieces are one class.
    """
    counts = table.groupby("sequence")["primitive"].transform("size")
    differ = counts.groupby(table["choreography"].fillna("")).transform("nunique") > 1
    return table["primitive"].mask(differ, 0)


def _counted(measured: dict) -> dict:
    """The measures of ``rhythm.alignment``, with the number of peaks instead of their times."""
    return {name: len(value) if name.endswith("_peaks") else value for name, value in measured.items()}


def median_performance(sequences: pd.DataFrame, **labels) -> int:
    """Row of the performance with median BAR among those with these labels (None: any): neither the best nor the worst.

    If no BAR is known, it is the first of these performances. Raises ValueError if there is none.
    """
    chosen = sequences
    for name, value in labels.items():
        chosen = chosen if value is None else chosen[chosen[name] == value]
    if chosen.empty:
        raise ValueError(f"no performance of {labels}")
    order = chosen["bar"].dropna().sort_values(kind="stable").index
    return int(order[len(order) // 2] if len(order) else chosen.index[0])


def music_size(features: list[np.ndarray]) -> int:
    """Number of acoustic features, also if no piece has music."""
    return features[0].shape[0] if features else len(music.FEATURES)


def _analysis(sequence: DanceSequence, time_normalisation, cache, done: dict) -> music.MusicAnalysis | None:
    if sequence.music is None:
        return None
    key = (sequence.music, sequence.music_offset_s, sequence.music_window_s, sequence.duration_s)
    if key not in done:
        done[key] = music.analyse(*key, time_normalisation=time_normalisation, cache=cache)
    return done[key]


def _facts(sequence: DanceSequence) -> dict:
    return {
        "genre": sequence.genre,
        "choreography": sequence.choreography,
        "level": sequence.level,
        "trial": sequence.trial,
        "score": np.nan if sequence.score is None else sequence.score,
        "source": sequence.source.encode("utf-8", "backslashreplace").decode(),  # a table stores only valid UTF-8
    }


def spread_recordings(index: pd.DataFrame, splits: pd.Series, most: int) -> np.ndarray:
    """Select the sequences that pieces are cut from, (S,) bool: all, but at most ``most`` of those that pre-train.

    Each pre-train file (a choreography at a level) has the same share, at least one; what a small file leaves goes to the
    others. The sequences of a file are evenly spaced over the practice and not the first trials, so that a small profile has
    the same range of quality.
    """
    keep = np.ones(len(index), dtype=bool)
    pretrain = index[(splits == "pretrain").to_numpy()]
    trials = [group.index.to_numpy() for _, group in pretrain.groupby(["choreography", "level"], dropna=False)]
    sizes = np.array([len(rows) for rows in trials], dtype=int)
    share = max((n for n in range(1, sizes.max(initial=0) + 1) if np.minimum(sizes, n).sum() <= most), default=1)
    for rows in trials:
        keep[rows] = False
        keep[evenly_spaced(rows, share)] = True
    return keep
