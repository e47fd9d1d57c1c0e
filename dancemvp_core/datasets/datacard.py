"""The data card: the contents of a data set, what is missing or unusable in it, and what is switched off as a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dancemvp_core import datasets
from dancemvp_core.dance.sequences import DanceDataset, DataError, evenly_spaced
from dancemvp_core.datasets import motionfiles
from dancemvp_core.labels import Levels, Scores

ALIGNED = 200  # most recordings whose beat alignment the card measures, spread over the data set
LONGEST_TABLE = 80  # rows of a table in the text; the tables themselves have all rows


class RunSplit(NamedTuple):
    """The split of a run, as ``tasks.splits`` gives it: its name ("": the data's own), the set of every sequence, and
    ``heard``: test choreography -> the pre-train choreographies that share its music track.
    """

    name: str
    sets: pd.Series
    heard: dict[str, list[str]]

    def leak(self, index: pd.DataFrame) -> str:
        """Return one line that names the test choreographies whose music is heard in pre-training; "" if there are none."""
        if not self.heard:
            return ""
        shared = [f"{test} with {' and '.join(names)}" for test, names in self.heard.items()]
        count = index.loc[self.sets == "test", "choreography"].nunique()
        return f"{len(shared)} of {count} test choreographies share their music with pre-training: {', '.join(shared)}"


@dataclass(frozen=True, eq=False)
class DataCard:
    """The facts of a data set as tables; ``text()`` returns them as plain text.

    ``overview``: counts over the whole data set. ``files``: one row per motion file (trials, duration_s, fps and, if the
    motion was read, missing values, longest_gap_s, longest_still_s, unusable trials). ``music``: one row per window (file,
    offset_s, window_s, clip_s and, if the music was analysed, beats, those in a piece, and segmentation). ``splits``: one row
    per split. ``tracks``: those that several choreographies share. ``notes`` say what is switched off and why, and how well
    motion and music are aligned. ``errors`` are one-line faults that make the data set, or a part of it, unusable.
    """

    overview: dict[str, str]
    files: pd.DataFrame
    music: pd.DataFrame
    splits: pd.DataFrame
    tracks: pd.DataFrame
    notes: tuple[str, ...]
    errors: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether the data set has no faults."""
        return not self.errors

    def text(self) -> str:
        """The card as plain text."""
        width = max(map(len, self.overview))
        parts = ["\n".join(f"{name:<{width}}  {value}" for name, value in self.overview.items())]
        for title, table in (
            ("Sets", self.splits),
            ("Music", self.music),
            ("Tracks danced to by several choreographies", self.tracks),
            ("Motion files", self.files),
        ):
            if len(table):
                shown = table.head(LONGEST_TABLE).to_string(index=False, na_rep="-", float_format="{:.2f}".format)
                more = f"\n... and {len(table) - LONGEST_TABLE} more" if len(table) > LONGEST_TABLE else ""
                parts.append(f"{title}\n{shown}{more}")
        for title, lines in (("Switched off, and other notes", self.notes), ("Unusable", self.errors)):
            parts.append(f"{title}\n" + "\n".join(f"- {line}" for line in lines or ("nothing",)))
        return "\n\n".join(parts) + "\n"


def card(
    path: str | Path | DanceDataset,
    deep: bool = True,
    time_normalisation: str = "stretch",
    progress: Callable = lambda rows: rows,
    split: RunSplit | None = None,
    cache: Path | None = None,
) -> DataCard:
    """Make the card of a data set, given by its path or already opened. Returns the DataCard.

    ``deep`` reads all motion, one sequence at a time, and analyses every music window; without it only headers and tables
    are read. ``progress`` wraps the loop over sequences. ``split`` is that of the run (default: the data's own); its leak of
    music is a note. ``cache`` is the folder of music analyses. Raises DataError if the data set cannot be opened; faults
    that are found while reading are listed in ``errors``.
    """
    dataset = path if isinstance(path, DanceDataset) else datasets.load(path)
    files, motion_errors = _files(dataset, deep, progress)
    music, music_errors = _music(dataset, deep, time_normalisation)
    index, overview, notes = dataset.index, _overview(dataset, files), list(dataset.notes)
    if split and split.name:
        index = index.assign(split=split.sets)
        overview["Split"] = f"as {split.name}, in place of the data's own"
        notes = [note for note in notes if note not in dataset.split_notes]
    if index["dancer"].nunique() > 1 and not (split and split.name):
        notes.append("people are named: without SPLIT=people, the same person may be in support and query of the tables")
    if split and split.heard:
        notes.append(split.leak(index))
    if deep and len(music):
        equal = int((music["segmentation"] == "equal").sum())
        notes.append(
            f"{equal} of {len(music)} music windows fit no beat grid: their primitives are parts of one length"
            if equal
            else f"a beat grid fits all {len(music)} music windows"
        )
        halves = int((music["piece_beats"] < 6).sum())  # 4 tracked beats, in place of 8
        if halves:
            notes.append(
                f"in {halves} of {len(music)} music windows, the stated number of eights fits only at twice the tracked tempo: "
                "a primitive there is four tracked beats, unless the tracker has heard half the tempo"
            )
        notes += alignment(dataset, time_normalisation, cache)
    return DataCard(
        overview=overview,
        files=files,
        music=music,
        splits=_splits(index),
        tracks=_tracks(index),
        notes=tuple(notes),
        errors=tuple(motion_errors + music_errors),
    )


def _overview(dataset: DanceDataset, files: pd.DataFrame) -> dict[str, str]:
    index = dataset.index
    seconds, scores = index["duration_s"].sum(), index["score"].dropna()
    level, people = Levels.of(dataset), index["dancer"].dropna()
    words = {"genre": ("genre", "genres"), "choreography": ("choreography", "choreographies"), "level": (level.word, level.plural)}
    labels = [
        f"{index[name].nunique()} {words[name][index[name].nunique() > 1]}"
        for name in words
        if index[name].notna().any()
    ]
    overview = {
        "Data set": dataset.name + (" (synthetic)" if dataset.synthetic else ""),
        "Folder": str(dataset.root),
        **({"Licence": str(dataset.facts["licence"])} if "licence" in dataset.facts else {}),
        "Body": f"{dataset.skeleton.name}, {len(dataset.skeleton.joints)} joints",
        "Upright axis": dataset.upright,
        "Frame rate": f"{', '.join(f'{fps:g}' for fps in sorted(index['fps'].unique()))} fps",
        "Motion files": str(len(files)),
        "Sequences": f"{len(index)} of {_range(index['duration_s'])} s, {seconds:.0f} s in all",
        "Labels": ", ".join(labels) or "none",
        **({"People": f"{people.nunique()}, named for {len(people)} of {len(index)} sequences"} if len(people) else {}),
        "Scores": f"{len(scores)} of {len(index)}" + (f", {_range(Scores.of(dataset).shown(scores))}" if len(scores) else ""),
        "With music": f"{index['music'].notna().sum()} of {len(index)} sequences",
    }
    if "missing_values" in files:
        overview["Missing values"] = (
            f"{files['missing_values'].sum()}, longest gap {files['longest_gap_s'].max():.2f} s "
            f"(bridged up to {dataset.sequences.gap_s:g} s)"
        )
        if "zero_filled" in files:
            overview["Missing values"] += f"; {files['zero_filled'].sum()} joint positions at exactly 0, 0, 0 are among them"
    return overview


def _range(values: pd.Series) -> str:
    low, high = values.min(), values.max()
    return f"{low:.1f}" if high - low < 0.05 else f"{low:.1f} to {high:.1f}"


def _files(dataset: DanceDataset, deep: bool, progress: Callable) -> tuple[pd.DataFrame, list[str]]:
    """One row per file, and one line for each file with unusable motion."""
    index = dataset.index
    columns = ["file", "genre", "choreography", "level", "dancer", "fps"]
    table = index.groupby("file", sort=False)[columns[1:]].first().reset_index()
    table["trials"] = index.groupby("file", sort=False).size().to_numpy()
    table["duration_s"] = index.groupby("file", sort=False)["duration_s"].first().to_numpy()
    table = table.dropna(axis="columns", how="all")
    if not deep:
        return table, []

    rows: dict[str, list] = {file: [] for file in table["file"]}
    faults: dict[str, list[str]] = {file: [] for file in table["file"]}
    for i in progress(range(len(dataset))):
        file, record = index["file"].iloc[i], dataset.sequences.records[i]
        try:
            stored = dataset.sequences.raw(i)
            zeros = int(motionfiles.zero_filled(stored).sum())
            found = motionfiles.motion_faults(motionfiles.without_zeros(stored), record["fps"])
            motionfiles.release_memory(stored)
        except DataError as fault:
            faults[file].append(str(fault))
            continue
        rows[file].append((found.missing, found.gap_s, found.still_s, zeros))
        fault = found.fault(dataset.skeleton, dataset.sequences.gap_s)
        if fault:
            faults[file].append(f"{record['source']}: {fault}")
    measured = [list(zip(*seen, strict=True)) or [(0,), (0.0,), (0.0,), (0,)] for seen in rows.values()]
    table["missing_values"] = [sum(missing) for missing, *_ in measured]
    table["longest_gap_s"] = [max(gaps) for _, gaps, *_ in measured]
    table["longest_still_s"] = [max(still) for _, _, still, _ in measured]
    if any(zeros := [sum(zero) for *_, zero in measured]):
        table["zero_filled"] = zeros
    table["unusable"] = [len(found) for found in faults.values()]
    errors = [
        found[0] + (f" (and {len(found) - 1} more trials of this file)" if len(found) > 1 else "")
        for found in faults.values()
        if found
    ]
    return table, errors


def _music(dataset: DanceDataset, deep: bool, time_normalisation: str) -> tuple[pd.DataFrame, list[str]]:
    """One row per music window, and one line for each window that cannot be read."""
    windows: dict[tuple, list] = {}
    for i, record in enumerate(dataset.sequences.records):
        if record["music"] is not None:
            clip_s = float(dataset.index["duration_s"].iloc[i])
            window_s = record.get("music_window_s") or clip_s
            windows.setdefault((record["music"], record.get("music_offset_s", 0.0), window_s, clip_s), []).append(i)
    rows, errors = [], []
    for (path, offset_s, window_s, clip_s), which in windows.items():
        first = dataset.index.iloc[which[0]]
        names = dataset.index["choreography"].iloc[which].dropna().unique()
        row = {
            "music": first["music"],
            "choreography": ", ".join(names) or None,
            "track": first["track"],
            "offset_s": offset_s,
            "window_s": window_s,
            "clip_s": clip_s,
        }
        if deep:
            stated = dataset.sequences.records[which[0]].get("primitives")
            try:
                row |= _window_beats(path, offset_s, (window_s, clip_s), stated, time_normalisation)
            except DataError as fault:
                errors.append(str(fault))
                row |= {"piece_beats": np.nan, "segmentation": "unusable"}
        rows.append(row)
    return pd.DataFrame(rows), errors


def _window_beats(path: Path, offset_s: float, lengths_s, stated: int | None, time_normalisation: str) -> dict:
    """Tracked beats in one window and in one of its pieces, and how the clip is cut by them; DataError for unusable music.

    ``lengths_s`` are those of the window and of the clip; ``stated`` is the number of primitives (None: all).
    """
    from dancemvp_core.dance import music, primitives  # librosa takes seconds to import; only a deep card needs it

    window_s, clip_s = lengths_s
    used_s = window_s if time_normalisation == "stretch" else min(window_s, clip_s)
    stretch = clip_s / window_s if time_normalisation == "stretch" else 1.0
    samples, rate = music.load_audio(path, offset_s, used_s)
    beats = music.beat_times(samples, rate) * stretch
    grid = primitives.fit_grid(beats, clip_s, stated)
    if grid is None or len(grid) <= primitives.BEATS:
        return {"beats": len(beats), "piece_beats": np.nan, "segmentation": "equal"}
    tracked = primitives.BEATS * np.diff(grid).mean() / np.median(np.diff(beats))
    return {"beats": len(beats), "piece_beats": round(float(tracked), 1), "segmentation": "beats"}


def alignment(dataset: DanceDataset, time_normalisation: str, cache: Path | None) -> list[str]:
    """Return lines on the beat alignment of at most ALIGNED recordings, together: BAR, chance, p-value; and if any lag aligns them.

    The lag is tested on one recording of each choreography, because those of one choreography are not independent.
    """
    from dancemvp_core.dance import chance, music, rhythm

    rows, lags = [], {}
    for i in evenly_spaced(np.flatnonzero(dataset.index["music"].notna()), ALIGNED):
        try:
            danced = dataset.sequences[i]
            window = (danced.music, danced.music_offset_s, danced.music_window_s, danced.duration_s, time_normalisation)
            measured = rhythm.alignment(danced, None if danced.music_intensity_s else music.analyse(*window, cache=cache))
        except ValueError:  # an unusable recording is among the card's faults; one below 0.4 s has no chance level
            continue
        rows.append({"choreography": danced.choreography} | measured)
        lagged = chance.any_lag(measured["music_peaks"], measured["motion_peaks"], danced.duration_s, seed=int(i))
        if lagged:
            lags.setdefault(danced.choreography or i, []).append(lagged)
    table = pd.DataFrame(rows, columns=["choreography", *rhythm.MEASURES]).dropna(subset="bar")
    if table.empty:
        return []
    found, any_lag = chance.pooled_rows(table), chance.pooled_lags([own[len(own) // 2] for own in lags.values()])
    mean, by_chance = table["bar"].mean(), table["bar_chance"].mean()
    lines = [
        f"BAR {mean:.1f} %, by chance {by_chance:.1f} % (95 % range of the mean: {by_chance - found.reach:.1f} to "
        f"{by_chance + found.reach:.1f} %), p = {found.p:.2g}; {len(table)} recordings in {found.groups} independent groups"
    ]
    if found.p > chance.ALPHA and any_lag > chance.ALPHA:
        lines.append(
            f"WARNING: MUSIC AND MOTION SHOW NO ALIGNMENT AT ANY LAG (p = {any_lag:.2g}): BAR says nothing about these dances; is "
            "this the music that was danced to?"
        )
    elif found.p > chance.ALPHA:
        lines.append(
            f"WARNING: BAR IS NOT ABOVE CHANCE, BUT THE MOTION FOLLOWS ITS MUSIC AT ANOTHER LAG (p = {any_lag:.2g}): does the "
            "music of each recording start where the data say, or is it other music of the same tempo?"
        )
    return lines


def _splits(index: pd.DataFrame) -> pd.DataFrame:
    """Choreographies, sequences and seconds of each split, for data that state their splits."""
    groups = index.dropna(subset="split").groupby("split", sort=False)
    return pd.DataFrame(
        {
            "set": split,
            "choreographies": ", ".join(rows["choreography"].dropna().unique()),
            "sequences": len(rows),
            "seconds": rows["duration_s"].sum(),
        }
        for split, rows in groups
    )


def _tracks(index: pd.DataFrame) -> pd.DataFrame:
    """Tracks that several choreographies share, with their splits."""
    rows = []
    for track, group in index.dropna(subset=["track", "choreography"]).groupby("track", sort=False):
        names = group["choreography"].unique()
        if len(names) > 1:
            splits = ", ".join(group["split"].dropna().unique()) or None
            rows.append({"track": track, "choreographies": ", ".join(names), "sets": splits})
    return pd.DataFrame(rows)


def onset_correlations(
    dataset: DanceDataset, rows, cache: Path | None = None, progress: Callable = lambda rows: rows
) -> pd.DataFrame:
    """Correlation of motion intensity with the onset envelope under both time normalisations, one row per sequence.

    ``rows`` are the numbers of the sequences; use pre-train choreographies, so that no choice is made on test. Columns:
    choreography, level, trial, stretch, crop (``rhythm.onset_correlation``). Sequences without music are left out.
    """
    from dancemvp_core.dance import music, rhythm

    analyses, out = {}, []
    for i in progress(list(rows)):
        sequence = dataset.sequences[i]
        if sequence.music is None:
            continue
        intensity = rhythm.motion_intensity(sequence.motion, sequence.fps)
        line = {"choreography": sequence.choreography, "level": sequence.level, "trial": sequence.trial}
        for mode in ("stretch", "crop"):
            window = (sequence.music, sequence.music_offset_s, sequence.music_window_s, sequence.duration_s, mode)
            if window not in analyses:
                analyses[window] = music.analyse(*window, cache=cache)
            analysis = analyses[window]
            line[mode] = rhythm.onset_correlation(intensity, sequence.fps, analysis.onset, analysis.feature_times_s)
        out.append(line)
    return pd.DataFrame(out, columns=["choreography", "level", "trial", "stretch", "crop"])
