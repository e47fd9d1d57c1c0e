"""Data of your own: a CSV that names motion files and gives the labels of each.

The column ``motion`` is needed. ``layout, fps, skeleton`` are needed where the file does not show them; ``music,
music_offset_s, genre, choreography, level, trial, score, split, dancer`` may be empty or absent. An empty column switches off
the parts that need it. A dataset.json beside the CSV may state the ``name`` of the data set, ``synthetic``, ``up``, its
upright axis (``orientation``), ``levels``, from lowest to highest, ``level_name``, the word for them (acted styles are no
levels of skill: "style"), and ``score_range``. ``levels`` is a list of the words in the column, or an object with the name to
show for each word. A JSON file of your own may state the same for a folder that is not yours to write in
(``reading.located``). Files that are named as those of Bandai-Namco's data set state their styles by their names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dancemvp_core.dance.sequences import DanceDataset, DataError
from dancemvp_core.dance.skeleton import SKELETONS, Skeleton, load_skeleton
from dancemvp_core.datasets import bandainamco, motionfiles, reading
from dancemvp_core.formats import motion as motion_formats
from dancemvp_core.formats import npy, tables

FILE = ("motion", "layout", "fps", "skeleton")
OPTIONAL = ("music", "music_offset_s", "genre", "choreography", "level", "trial", "score", "split", "dancer")
SPLITS = ("pretrain", "validation", "test")
FASTEST_FPS = 2000.0
OTHER_RATE = 0.01  # a note names a file whose own frame rate differs by this share from the stated one
MAPPED_FILES = 256  # each memory map keeps a file open, and 1024 open files are a common limit

SWITCHED_OFF = {
    "music": "no music features there, pieces are 3 s long and BAR is left out",
    "genre": "genre recognition is left out and splits are not balanced by genre",
    "choreography": "choreography recognition is left out and these recordings are used for pre-training only",
    "level": "level recognition and Fig. 6 are left out",
    "trial": "progression over trials (Fig. 6) is left out",
    "score": "Task 2 (scoring) is left out",
}


def _skeleton(root: Path, text: str, place: str) -> Skeleton | None:
    if not text or text in SKELETONS:
        return SKELETONS.get(text)
    if not text.lower().endswith(".json"):
        raise DataError(f"{place}: skeleton is {text!r}, expected {', '.join(SKELETONS)} or a JSON file's name")
    path = reading.existing(reading.inside(root, text, "skeleton", place), root, "skeleton", place)
    try:
        return load_skeleton(path)
    except ValueError as fault:
        raise DataError(f"{place}: {fault}") from None


@dataclass
class _Row:
    """The statements of one row; its files are not opened."""

    place: str
    motion: Path
    layout: str | None
    fps: float | None
    skeleton: Skeleton | None
    music: Path | None
    offset_s: float
    labels: dict


def _read_row(root: Path, place: str, row: dict[str, str], skeletons: dict, scores: list[float]) -> _Row:
    """The statements of a row; DataError for one that cannot be. ``skeletons`` keeps those of earlier rows."""
    row = {name: "" if name in OPTIONAL and text in tables.EMPTY else text for name, text in row.items()}
    if not row["motion"]:
        raise DataError(f"{place}: motion is empty, expected a motion file in every row")
    layout = row.get("layout") or None
    if layout not in (None, *npy.LAYOUTS):
        raise DataError(f"{place}: layout is {layout!r}, expected TVC (frames, joints, 3) or CTV (3, frames, joints)")
    named = row.get("skeleton", "")
    if named not in skeletons:
        skeletons[named] = _skeleton(root, named, place)
    split = row.get("split") or None
    if split is not None and split not in SPLITS:
        raise DataError(f"{place}: split is {split!r}, expected {', '.join(SPLITS)} or empty")

    def number(name: str, low: float, high: float = np.inf) -> float | None:
        return tables.number(row[name], name, place, low, high) if row.get(name) else None

    return _Row(
        place=place,
        motion=reading.inside(root, row["motion"], "motion", place),
        layout=layout,
        fps=number("fps", 1, FASTEST_FPS),
        skeleton=skeletons[named],
        music=reading.inside(root, row["music"], "music", place) if row.get("music") else None,
        offset_s=number("music_offset_s", 0) or 0.0,
        labels={name: row.get(name) or None for name in ("genre", "choreography", "level", "dancer")}
        | {
            "trial": tables.whole(row["trial"], "trial", place) if row.get("trial") else None,
            "score": number("score", *scores),
            "split": split,
        },
    )


def _rows(root: Path, table: tables.Table, scores: list[float]) -> list[_Row]:
    """The statements of all rows. The faults of all rows are raised together."""
    rows, faults = [], []
    skeletons: dict[str, Skeleton | None] = {}
    seen: dict[Path, str] = {}
    for place, cells in table:
        try:
            row = _read_row(root, place, cells, skeletons, scores)
            first = seen.setdefault(row.motion.resolve(), place)
            if first != place:
                line = first.rsplit(" ", 1)[-1]
                raise DataError(f"{place}: motion {cells['motion']!r} is also in line {line}, expected it once")
            rows.append(row)
        except DataError as fault:
            faults.append(fault)
    reading.raise_all(faults)
    return rows


@dataclass
class _Found:
    """The recordings that can be used, and the faults of those that cannot."""

    root: Path
    records: list[dict] = field(default_factory=list)
    rows: list[_Row] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)  # file's name -> fault
    said: list[str] = field(default_factory=list)  # notes on single files
    audio_s: dict[Path, float] = field(default_factory=dict)  # length of each audio file

    def add(self, row: _Row) -> None:
        """Read one recording and store its record, or its fault."""
        try:
            found = self._checked(row)
        except DataError as fault:
            said = str(fault)
            self.dropped[row.motion.name] = said if said.startswith(row.place) else f"{row.place}: {said}"
            return
        self.said += [f"{row.motion.name}: {note}" for note in found.notes]
        self.durations.append(found.motion.shape[1] / found.fps)
        self.rows.append(row)
        music = {"music": row.music, "music_offset_s": row.offset_s}
        labels = {name: value for name, value in row.labels.items() if name != "dancer"}
        source = f"{row.motion} ({row.place})"
        self.records.append({"fps": found.fps, "skeleton": found.skeleton, "source": source} | music | labels)

    def left_out(self) -> list[str]:
        """The sentence that counts and names the recordings that cannot be used; none if all can."""
        if not self.dropped:
            return []
        names, first = tables.listing(self.dropped), next(iter(self.dropped.values()))
        total = len(self.records) + len(self.dropped)
        return [f"{len(self.dropped)} of {total} recordings are left out as unusable: {names}; the first: {first}"]

    def _checked(self, row: _Row) -> motion_formats.Motion:
        """The motion of a row, without its values; DataError if motion or music cannot be used."""
        place = row.place
        reading.existing(row.motion, self.root, "motion", place)
        found = _open(row)
        if found.fps is None:
            raise DataError(f"{place}: fps is empty, expected the frames per second of {row.motion.name}")
        duration_s = found.motion.shape[1] / found.fps
        motionfiles.check_motion(found.motion, found.skeleton, found.fps, f"{place}: {row.motion.name}")
        motionfiles.release_memory(found.motion)
        if row.music is not None:
            reading.existing(row.music, self.root, "music", place)
            if row.music not in self.audio_s:
                self.audio_s[row.music] = reading.audio_duration(row.music)
            if row.offset_s + duration_s > self.audio_s[row.music] + 0.05:  # audio encoders round a length to whole blocks
                raise DataError(
                    f"{place}: {row.music.name} lasts {self.audio_s[row.music]:.2f} s, expected music for the whole dance, "
                    f"{row.offset_s:g} to {row.offset_s + duration_s:.2f} s"
                )
        return found._replace(motion=np.broadcast_to(np.float32(0), found.motion.shape))


def _open(row: _Row, mapped: bool = True) -> motion_formats.Motion:
    """The motion of a row as stored, (3, T, V): a memory map if it is a ``.npy`` of which all is stated."""
    if row.motion.suffix.lower() != ".npy" or row.skeleton is None or row.layout is None:
        found = motion_formats.read(row.motion, row.skeleton, row.layout)
        own = found.fps
        if row.fps is None or own is None or abs(own - row.fps) <= OTHER_RATE * own:
            return found._replace(fps=row.fps or own)
        return motion_formats.read(row.motion, row.skeleton, row.layout, row.fps)._replace(
            notes=(*found.notes, f"{row.fps:g} fps are stated and used, where the file has {own:.5g}")
        )
    shape, _ = npy.npy_header(row.motion)
    joints = len(row.skeleton.joints)
    turned = tuple(shape[axis] for axis in npy.LAYOUTS[row.layout]) if len(shape) == 3 else ()
    if len(shape) != 3 or turned[0] != 3 or turned[2] != joints:
        form = f"(frames, {joints}, 3)" if row.layout == "TVC" else f"(3, frames, {joints})"
        raise DataError(f"{row.motion.name} has shape {shape}, expected {form} for {row.layout} and {row.skeleton.name}")
    array = npy.open_npy(row.motion)
    motion = npy.as_float32((array if mapped else np.array(array)).transpose(npy.LAYOUTS[row.layout]))
    return motion_formats.Motion(motion, row.fps, row.skeleton)


def load(path: str | Path, facts_of: Path | None = None) -> DanceDataset:
    """Open a manifest: the CSV, or a folder with manifest.csv. Each motion is read once here, and again when it is requested.

    The paths in it are relative to the CSV and must stay inside its folder, links resolved. All rows share one skeleton.
    ``facts_of``: a description (``reading.located``) in place of the folder's dataset.json. A
    recording whose motion or music is missing, damaged, too short, or still is left out, and the notes count and name them.
    Returns the DanceDataset. Raises DataError with the line for a path that leads out, a motion file in two rows, an invalid
    label, or if no recording is left; further faulty rows are notes of this error.
    """
    csv = Path(path)
    if csv.is_dir():
        csv = csv / "manifest.csv"
    root = csv.parent
    table = tables.read_table(csv, ("motion",))
    if not len(table):
        raise DataError(f"{csv}: no rows, expected one per recording")
    folder = re.sub(r"[^A-Za-z0-9._+-]+", "-", root.resolve().name).strip("-._") or "manifest"
    name, facts = reading.read_facts(facts_of or root, folder[:64])

    found = _Found(root)
    for row in _rows(root, table, facts.get("score_range", [0, 100])):
        found.add(row)
    if not found.records:
        fault = next(iter(found.dropped.values()))
        raise DataError(f"{fault}; no usable recording is left of {len(table)}" if len(table) > 1 else fault)
    facts = _styled(found.rows, facts)
    kinds = {record["skeleton"] for record in found.records}
    if len(kinds) > 1:
        names = ", ".join(sorted({record["skeleton"].name for record in found.records}))
        raise DataError(f"{csv}: {len(kinds)} skeletons ({names}), expected one for the whole data set")
    placed = sum(record["split"] is not None for record in found.records)
    if 0 < placed < len(found.records):
        raise DataError(f"{csv}: {placed} of {len(found.records)} rows have a split, expected all or none")
    dancers, levels, notes = _labels(csv, found, facts)
    mapped = len(found.rows) <= MAPPED_FILES

    def read(i: int) -> np.ndarray:
        return _open(found.rows[i], mapped).motion

    notes = _notes(table.header, found) + notes
    return motionfiles.open_dataset(
        motionfiles.Source(name, root, found.records, read, notes, facts, left_out=found.left_out(), levels=levels),
        track=[r["music"].relative_to(root).as_posix() if r["music"] else None for r in found.records],
        dancer=dancers,
        duration_s=found.durations,
        file=[row.motion for row in found.rows],
    )


def _styled(rows: list[_Row], facts: dict) -> dict:
    """The facts, with the styles of Bandai-Namco's file names as levels if nothing is stated and each level is one style."""
    named = bandainamco.styles([row.motion for row in rows])
    written = [" ".join((row.labels["level"] or "").split()).casefold() for row in rows[: len(named)]]
    pairs = dict.fromkeys(zip(written, named, strict=True))  # in the order of the rows
    words = {word: style for word, style in pairs if word}
    if "levels" in facts or not words or not len(pairs) == len(words) == len(set(words.values())):
        return facts
    levels, order, _ = reading.ordered_levels(list(words), None)
    rank = {word: order.index(level) for word, level in zip(words, levels, strict=True)}
    ranked = {word: words[word] for word in sorted(words, key=rank.get)}
    return {"level_name": bandainamco.FACTS["level_name"]} | facts | {"levels": ranked}


def _labels(csv: Path, found: _Found, facts: dict) -> tuple[list[str | None], tuple[str, ...], list[str]]:
    """(dancers, levels in their order, notes): one spelling of each label, and scores on 0..100, in the records."""
    records, notes = found.records, []
    columns = {name: [row.labels[name] for row in found.rows] for name in ("genre", "choreography", "dancer")}
    for name in columns:
        columns[name], said = reading.one_spelling(columns[name], name)
        notes += said
    try:
        columns["level"], levels, said = reading.ordered_levels([r["level"] for r in records], facts.get("levels"))
    except DataError as fault:
        raise DataError(f"{csv}: {fault}") from None
    columns["score"], scaled = reading.scaled_scores([r["score"] for r in records], facts.get("score_range"))
    dancers = columns.pop("dancer")
    for name, column in columns.items():
        for record, value in zip(records, column, strict=True):
            record[name] = value
    return dancers, levels, [*notes, *said, *scaled]


def _notes(header: list[str], found: _Found) -> list[str]:
    """What was assumed, what is switched off, and columns that are not used."""
    notes, records, durations = [], found.records, found.durations
    if found.said:
        notes.append(tables.listing(found.said, 3))
    unknown = [name for name in header if name not in FILE + OPTIONAL]
    if unknown:
        notes.append(f"columns not used: {tables.listing(unknown)}; known columns are {', '.join(FILE + OPTIONAL)}")
    for name, off in SWITCHED_OFF.items():
        empty = sum(record[name] is None for record in records)
        if empty:
            extent = "any row" if empty == len(records) else f"{empty} of {len(records)} rows"
            notes.append(f"no {name} in {extent}: {off}")
    if max(durations) - min(durations) > 0.01:
        notes.append(f"recordings last {min(durations):.1f} to {max(durations):.1f} s: pieces differ in length")
    return notes
