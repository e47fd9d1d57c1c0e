"""Data of your own: a CSV that names motion files and gives the labels of each.

The columns ``motion, layout, fps, skeleton`` are needed; ``music, music_offset_s, genre, choreography, level, trial, score,
split`` may be empty or absent. An empty column switches off the parts that need it. A dataset.json beside the CSV may state
the ``name`` of the data set, ``synthetic``, and ``up``, its upright axis (``orientation``).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from dancemvp_core.dance.sequences import DanceDataset, DataError
from dancemvp_core.dance.skeleton import SKELETONS, Skeleton, load_skeleton
from dancemvp_core.datasets import motionfiles, reading

REQUIRED = ("motion", "layout", "fps", "skeleton")
OPTIONAL = ("music", "music_offset_s", "genre", "choreography", "level", "trial", "score", "split")
SPLITS = ("pretrain", "validation", "test")
FASTEST_FPS = 2000.0
_TO_CTV = {"TVC": (2, 0, 1), "CTV": (0, 1, 2)}
MAPPED_FILES = 256  # each memory map keeps a file open, and 1024 open files are a common limit

SWITCHED_OFF = {
    "music": "no music features there, primitives are equal parts and BAR is left out",
    "genre": "genre recognition is left out and splits are not balanced by genre",
    "choreography": "choreography recognition is left out and these recordings are used for pre-training only",
    "level": "level recognition and Fig. 6 are left out",
    "trial": "progression over trials (Fig. 6) is left out",
    "score": "Task 2 (scoring) is left out",
}


def _skeleton(root: Path, text: str, place: str) -> Skeleton:
    if text in SKELETONS:
        return SKELETONS[text]
    if not text.endswith(".json"):
        raise DataError(f"{place}: skeleton is {text!r}, expected {', '.join(SKELETONS)} or a JSON file's name")
    try:
        return load_skeleton(reading.inside(root, text, "skeleton", place))
    except DataError:
        raise
    except ValueError as fault:
        raise DataError(f"{place}: {fault}") from None


def _frames(file: Path, layout: str, skeleton: Skeleton, fps: float, place: str) -> int:
    """Number of frames of a motion file, from its header; DataError if it does not fit layout and skeleton."""
    shape, _ = motionfiles.npy_header(file)
    joints = len(skeleton.joints)
    turned = tuple(shape[axis] for axis in _TO_CTV[layout]) if len(shape) == 3 else ()
    if len(shape) != 3 or turned[0] != 3 or turned[2] != joints:
        form = f"(frames, {joints}, 3)" if layout == "TVC" else f"(3, frames, {joints})"
        raise DataError(f"{place}: {file.name} has shape {shape}, expected {form} for {layout} and {skeleton.name}")
    if turned[1] / fps < motionfiles.SHORTEST_S:
        raise DataError(
            f"{place}: {file.name} lasts {turned[1] / fps:.2f} s at {fps:g} fps, expected at least "
            f"{motionfiles.SHORTEST_S:g} s"
        )
    return turned[1]


def _read_row(root: Path, place: str, row: dict[str, str], skeletons: dict, audio_s: dict):
    """(fields of a DanceSequence, motion file, layout, duration in s) from one row.

    ``skeletons`` and ``audio_s`` (lengths of music files in s) keep the results of earlier rows.
    """
    for name in REQUIRED:
        if not row[name]:
            raise DataError(f"{place}: {name} is empty, expected {', '.join(REQUIRED)} in every row")
    layout = row["layout"]
    if layout not in _TO_CTV:
        raise DataError(f"{place}: layout is {layout!r}, expected TVC (frames, joints, 3) or CTV (3, frames, joints)")
    fps = reading.number(row["fps"], "fps", place, 1, FASTEST_FPS)
    if row["skeleton"] not in skeletons:
        skeletons[row["skeleton"]] = _skeleton(root, row["skeleton"], place)
    skeleton = skeletons[row["skeleton"]]
    motion = reading.inside(root, row["motion"], "motion", place)
    duration_s = _frames(motion, layout, skeleton, fps, place) / fps

    music, offset_s = None, 0.0
    if row.get("music"):
        music = reading.inside(root, row["music"], "music", place)
        if row.get("music_offset_s"):
            offset_s = reading.number(row["music_offset_s"], "music_offset_s", place, 0)
        if music not in audio_s:
            audio_s[music] = reading.audio_duration(music)
        if offset_s + duration_s > audio_s[music] + 0.05:  # audio encoders round a file's length to whole blocks
            raise DataError(
                f"{place}: {music.name} lasts {audio_s[music]:.2f} s, expected music for the whole dance, "
                f"{offset_s:g} to {offset_s + duration_s:.2f} s"
            )
    split = row.get("split") or None
    if split is not None and split not in SPLITS:
        raise DataError(f"{place}: split is {split!r}, expected {', '.join(SPLITS)} or empty")
    record = {
        "fps": fps,
        "skeleton": skeleton,
        "music": music,
        "music_offset_s": offset_s,
        "genre": row.get("genre") or None,
        "choreography": row.get("choreography") or None,
        "level": reading.level(row["level"], place) if row.get("level") else None,
        "trial": reading.whole(row["trial"], "trial", place) if row.get("trial") else None,
        "score": reading.number(row["score"], "score", place, 0, 100) if row.get("score") else None,
        "split": split,
        "source": f"{motion} ({place})",
    }
    return record, motion, layout, duration_s


def load(path: str | Path) -> DanceDataset:
    """Open a manifest: the CSV, or a folder with manifest.csv. Motion is memory-mapped when it is requested.

    The paths in it are relative to the CSV and must stay inside its folder, links resolved. All rows share one skeleton.
    Returns the DanceDataset. Raises DataError with the line for a missing file, a path that leads out, a wrong shape or
    dtype, a motion file in two rows, an invalid label, or music that is shorter than the dance; further faulty rows are
    notes of this error.
    """
    table = Path(path)
    if table.is_dir():
        table = table / "manifest.csv"
    root = table.parent
    rows = list(reading.read_table(table, REQUIRED))
    if not rows:
        raise DataError(f"{table}: no rows, expected one per recording")

    records, files, durations = _read_rows(root, rows)
    kinds = {record["skeleton"] for record in records}
    if len(kinds) > 1:
        names = ", ".join(sorted({record["skeleton"].name for record in records}))
        raise DataError(f"{table}: {len(kinds)} skeletons ({names}), expected one for the whole data set")
    placed = sum(record["split"] is not None for record in records)
    if 0 < placed < len(records):
        raise DataError(f"{table}: {placed} of {len(records)} rows have a split, expected all or none")

    folder = re.sub(r"[^A-Za-z0-9._+-]+", "-", root.resolve().name).strip("-._") or "manifest"
    name, facts = reading.read_facts(root, folder[:64])
    mapped = len(files) <= MAPPED_FILES

    def read(i: int) -> np.ndarray:
        file, layout = files[i]
        array = motionfiles.open_npy(file)
        return motionfiles.as_float32((array if mapped else np.array(array)).transpose(_TO_CTV[layout]))

    return motionfiles.open_dataset(
        motionfiles.Source(name, root, records, read, _notes(list(rows[0][1]), records, durations), facts),
        track=[r["music"].relative_to(root).as_posix() if r["music"] else None for r in records],
        duration_s=durations,
        file=[motion for motion, _ in files],
    )


def _read_rows(root: Path, rows: list) -> tuple[list[dict], list[tuple[Path, str]], list[float]]:
    """(records, (motion file, layout), durations in s) of all rows. The faults of all rows are raised together."""
    records, files, durations, faults = [], [], [], []
    skeletons: dict[str, Skeleton] = {}
    audio_s: dict[Path, float] = {}
    seen: dict[Path, str] = {}
    for place, row in rows:
        try:
            record, motion, layout, duration_s = _read_row(root, place, row, skeletons, audio_s)
            first = seen.setdefault(motion.resolve(), place)
            if first != place:
                line = first.rsplit(" ", 1)[-1]
                raise DataError(f"{place}: motion {row['motion']!r} is also in line {line}, expected it once")
        except DataError as fault:
            faults.append(fault)
            continue
        records.append(record)
        files.append((motion, layout))
        durations.append(duration_s)
    reading.raise_all(faults)
    return records, files, durations


def _notes(header: list[str], records: list[dict], durations: list[float]) -> list[str]:
    """What is switched off, and columns that are not used."""
    notes = []
    unknown = [name for name in header if name not in REQUIRED + OPTIONAL]
    if unknown:
        notes.append(f"columns not used: {reading.listing(unknown)}; known columns are {', '.join(REQUIRED + OPTIONAL)}")
    for name, off in SWITCHED_OFF.items():
        empty = sum(record[name] is None for record in records)
        if empty:
            extent = "any row" if empty == len(records) else f"{empty} of {len(records)} rows"
            notes.append(f"no {name} in {extent}: {off}")
    if max(durations) - min(durations) > 0.01:
        notes.append(f"recordings last {min(durations):.1f} to {max(durations):.1f} s: pieces differ in length")
    return notes
