"""What stands around the motion: CSV tables, labels, dataset.json, audio files, and paths that stay inside."""

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

    Blank lines are passed over and cells missing at the end of a row are empty. Raises DataError where it is no
    UTF-8 text, a required column is missing, a column stands there twice or a row has too many cells.
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
            raise DataError(f"{path}: a column stands there twice, expected distinct names")
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
    """The number in a cell; DataError where it is none or lies outside low..high."""
    expected = f"{low:g}..{high:g}" if math.isfinite(high) else f"at least {low:g}"
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (low <= value <= high and math.isfinite(value)):
        raise DataError(f"{place}: {name} is {text!r}, expected a number, {expected}")
    return value


def whole(text: str, name: str, place: str) -> int:
    """The count in a cell, from 0; DataError where it is none."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise DataError(f"{place}: {name} is {text!r}, expected a whole number from 0")
    return int(text)


def level(text: str, place: str) -> str:
    """A level from its word or first letter; DataError where it is neither."""
    for name in LEVELS:
        if text.lower() in (name, name[0]):
            return name
    raise DataError(f"{place}: level is {text!r}, expected {', '.join(LEVELS)} or the first letter")


def inside(root: Path, text: str, name: str, place: str) -> Path:
    """The file that a cell names, relative to ``root`` and inside it, links resolved; else DataError."""
    path = root / text
    if Path(text).is_absolute() or not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{place}: {name} {text!r} leads out of {root}, expected a path inside this folder")
    if not path.is_file():
        raise DataError(f"{place}: {name} {text!r} is not there, expected a file in {root}")
    return path


def read_facts(root: Path, name: str) -> tuple[str, dict]:
    """(name, everything) from an optional dataset.json; the name serves in paths of results.

    ``synthetic`` (else false) and ``up``, the upright axis, are checked; all else is kept as it stands.
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
    if "up" in facts and facts["up"] not in list(TURNS):  # a list: a value that cannot be hashed is none of them either
        raise DataError(f"{path}: up is {facts['up']!r}, expected the upright axis, one of {', '.join(TURNS)}")
    return name, facts | {"synthetic": synthetic}


def audio_duration(path: Path) -> float:
    """Length of an audio file in s, from its header; DataError where it is no audio or shorter than 1 s."""
    try:
        duration = soundfile.info(os.fsencode(path)).duration  # of a str it takes only UTF-8
    except (soundfile.SoundFileError, OSError, TypeError):  # TypeError: taken for headerless by its suffix
        raise DataError(f"{path}: not readable as audio, expected WAV, FLAC, OGG or MP3") from None
    if not duration >= SHORTEST_MUSIC_S:
        raise DataError(f"{path}: music lasts {duration:.2f} s, expected at least {SHORTEST_MUSIC_S:g} s")
    return duration


def audio_files(folder: Path) -> dict[str, Path]:
    """Audio files of a folder by stem; DataError where two have one stem and no one can say which is meant."""
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix.lower() not in AUDIO_SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise DataError(f"{path}: stands beside {found[path.stem].name}, expected one file per piece")
        found[path.stem] = path
    return found


def raise_all(faults: list[DataError]) -> None:
    """Raise the first of several faults, with the others as its notes; nothing where there is none."""
    if faults:
        for other in faults[1:]:
            faults[0].add_note(str(other))
        raise faults[0]


def listing(names, limit: int = 8) -> str:
    """Names in a row, cut after ``limit`` with a count of the rest."""
    names = list(names)
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(str, names[:limit])) + rest
