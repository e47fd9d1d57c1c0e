"""Everything beside the motion: CSV tables, labels, dataset.json, audio files, and paths that stay inside a folder."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

import soundfile

from dancemvp_core.dance.orientation import TURNS
from dancemvp_core.dance.sequences import LEVELS, DataError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
SHORTEST_MUSIC_S = 1.0


def read_table(path: Path, required: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a CSV file as (place, {column: text}); ``place`` names file and line for messages.

    Blank lines are skipped, and missing cells at the end of a row are empty. Raises DataError if the file is not UTF-8
    text, a required column is missing, a column occurs twice, or a row has too many cells.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8 text, expected a CSV with columns {','.join(required)}") from None
    except OSError as fault:
        raise DataError(f"{path}: cannot be read ({fault.strerror or fault}), expected a CSV file") from None
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [cell.strip() for cell in next(rows, [])]
        missing = [name for name in required if name not in header]
        if missing:
            raise DataError(f"{path}: no column {', '.join(missing)}, expected {','.join(required)}")
        if len(set(header)) < len(header):
            raise DataError(f"{path}: a column occurs twice, expected distinct names")
        for row in rows:
            place = f"{path}: line {rows.line_num}"
            if len(row) > len(header):
                raise DataError(f"{place}: {len(row)} cells, expected {len(header)}")
            cells = [cell.strip() for cell in row] + [""] * (len(header) - len(row))
            if any(cells):
                yield place, dict(zip(header, cells, strict=True))
    except csv.Error as fault:
        raise DataError(f"{path}: line {rows.line_num}: not CSV ({fault})") from None


def number(text: str, name: str, place: str, low: float, high: float = math.inf) -> float:
    """The number in a cell; DataError if it is not a number or is outside low..high."""
    expected = f"{low:g}..{high:g}" if math.isfinite(high) else f"at least {low:g}"
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (low <= value <= high and math.isfinite(value)):
        raise DataError(f"{place}: {name} is {text!r}, expected a number, {expected}")
    return value


def whole(text: str, name: str, place: str) -> int:
    """The whole number from 0 in a cell; DataError if the cell contains anything else."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise DataError(f"{place}: {name} is {text!r}, expected a whole number from 0")
    return int(text)


def level(text: str, place: str) -> str:
    """A level from its word or first letter; DataError if the text is neither."""
    for name in LEVELS:
        if text.lower() in (name, name[0]):
            return name
    raise DataError(f"{place}: level is {text!r}, expected {', '.join(LEVELS)} or the first letter")


def inside(root: Path, text: str, name: str, place: str) -> Path:
    """The file that a cell names, relative to ``root``; DataError if it is outside (links resolved) or does not exist."""
    path = root / text
    if Path(text).is_absolute() or not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{place}: {name} {text!r} leads out of {root}, expected a path inside this folder")
    if not path.is_file():
        raise DataError(f"{place}: {name} {text!r} does not exist, expected a file in {root}")
    return path


def read_facts(root: Path, name: str) -> tuple[str, dict]:
    """(name, all facts) from an optional dataset.json; ``name`` is the default. The name is used in paths of results.

    ``synthetic`` (default false) and ``up``, the upright axis, are checked; all other facts are kept as they are.
    """
    path = root / "dataset.json"
    if not path.exists():
        return name, {"synthetic": False}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise DataError(f"{path}: not JSON ({fault})") from None
    if not isinstance(facts, dict):
        raise DataError(f'{path}: expected an object such as {{"name": ..., "synthetic": ...}}')
    name, synthetic = facts.get("name", name), facts.get("synthetic", False)
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", name):
        raise DataError(f"{path}: name is {name!r}, expected letters, digits and ._+- (it names folders)")
    if not isinstance(synthetic, bool):
        raise DataError(f"{path}: synthetic is {synthetic!r}, expected true or false")
    if "up" in facts and facts["up"] not in list(TURNS):  # a list, because the value may not be hashable
        raise DataError(f"{path}: up is {facts['up']!r}, expected the upright axis, one of {', '.join(TURNS)}")
    return name, facts | {"synthetic": synthetic}


def audio_duration(path: Path) -> float:
    """Length of an audio file in s, from its header; DataError if it is not audio or shorter than 1 s."""
    try:
        duration = soundfile.info(os.fsencode(path)).duration  # a str must be valid UTF-8, bytes need not
    except (soundfile.SoundFileError, OSError, TypeError):  # TypeError: a suffix for files without a header
        raise DataError(f"{path}: not readable as audio, expected WAV, FLAC, OGG or MP3") from None
    if not duration >= SHORTEST_MUSIC_S:
        raise DataError(f"{path}: music lasts {duration:.2f} s, expected at least {SHORTEST_MUSIC_S:g} s")
    return duration


def audio_files(folder: Path) -> dict[str, Path]:
    """Audio files of a folder by stem; DataError if two files have the same stem, because either could be meant."""
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix.lower() not in AUDIO_SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise DataError(f"{path}: the same name as {found[path.stem].name}, expected one file per track")
        found[path.stem] = path
    return found


def raise_all(faults: list[DataError]) -> None:
    """Raise the first of several faults, with the others as its notes. Without faults, nothing happens."""
    if faults:
        for other in faults[1:]:
            faults[0].add_note(str(other))
        raise faults[0]


def listing(names, limit: int = 8) -> str:
    """Names separated by commas; after ``limit`` names only the number of the others."""
    names = list(names)
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(str, names[:limit])) + rest
