"""Text and tables: any usual encoding, separator and decimal mark; numbers that are numbers; places for messages."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dancemvp_core.dance.sequences import DataError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
EMPTY = frozenset(("NA", "N/A", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "None"))  # how software writes an empty cell
# float() takes 1_000, digits of other scripts, "inf" and "nan" too.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def text_of(path: Path, expected: str) -> str:
    """The text of a file: UTF-8 or UTF-16 by its byte order mark, else UTF-8, else Windows-1252.

    Raises DataError if the file cannot be read or is none of these; ``expected`` ends the message.
    """
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise DataError(f"{path}: cannot be read ({fault.strerror or fault}), expected {expected}") from None
    encodings = [name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)] or ["utf-8", "cp1252"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise DataError(f"{path}: not text in UTF-8, UTF-16 or Windows-1252, expected {expected}")


@dataclass(frozen=True)
class Table:
    """The rows of a table as (place, {column: text}); ``place`` names file and line for messages."""

    path: Path
    header: list[str]
    rows: list[tuple[str, dict[str, str]]]

    def __iter__(self) -> Iterator[tuple[str, dict[str, str]]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def cells_of(path: Path, expected: str) -> tuple[list[tuple[int, list[str]]], str]:
    """(rows as (line number, cells), separator) of a table. Blank lines and a first line ``sep=;`` are left out.

    The separator is the one that the first line has most of. Where it is no comma, numbers may have a decimal comma; it
    becomes a point. Raises DataError if the file is not text or not a table.
    """
    text = text_of(path, expected)
    stated = re.match(r'"?sep=(.)"?\r?\n', text)
    first = (text[stated.end() :] if stated else text).lstrip().split("\n", 1)[0]
    unquoted = re.sub(r'"[^"]*"', "", first)
    separator = stated[1] if stated else max(SEPARATORS, key=unquoted.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    found = []
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if any(cells) and not (stated and rows.line_num == 1):
                found.append((rows.line_num, cells))
    except csv.Error as fault:
        raise DataError(f"{path}: line {rows.line_num}: not CSV ({fault})") from None
    if separator != ",":
        found = [(line, [_point(cell) for cell in cells]) for line, cells in found]
    return found, separator


def _point(cell: str) -> str:
    return cell.replace(",", ".") if re.fullmatch(r"[+-]?\d*,\d+([eE][+-]?\d+)?", cell) else cell


def read_table(path: Path, required: tuple[str, ...] = ()) -> Table:
    """Read a table whose first row names the columns. Missing cells at the end of a row are empty.

    Raises DataError if the file is not text, a ``required`` column is missing, a column occurs twice, or a row has too many
    cells.
    """
    expected = f"a CSV with columns {','.join(required)}" if required else "a CSV file"
    found, separator = cells_of(path, expected)
    header = found[0][1] if found else []
    missing = [name for name in required if name not in header]
    if missing:
        apart = f" (separated by {SEPARATORS[separator]})" if separator in "\t;|" else ""
        raise DataError(f"{path}: no column {', '.join(missing)}{apart}, expected {','.join(required)}")
    while header and not header[-1]:  # a separator at the end of every line
        header = header[:-1]
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DataError(f"{path}: a column occurs twice ({twice!r}), expected distinct names")
    rows = []
    for line, cells in found[1:]:
        place = f"{path}: line {line}"
        if any(cells[len(header) :]):
            raise DataError(f"{place}: {len(cells)} cells, expected {len(header)}")
        cells = cells[: len(header)] + [""] * (len(header) - len(cells))
        rows.append((place, dict(zip(header, cells, strict=True))))
    return Table(path, header, rows)


def float_of(text: str) -> float | None:
    """The number that a text states; None if it states none."""
    return float(text) if _NUMBER.fullmatch(text) else None


def python_only(words: Iterable[str]) -> str | None:
    """The first word that numpy takes for a number and no other program does: 1_000, or digits of another script; else None."""
    return next((word for word in words if "_" in word or not word.isascii()), None)


def number(text: str, name: str, place: str, low: float, high: float = math.inf) -> float:
    """The number in a cell; DataError if it is not a number or is outside low..high."""
    value = float_of(text)
    if value is None or not (low <= value <= high and math.isfinite(value)):
        expected = f"{low:g}..{high:g}" if math.isfinite(high) else f"at least {low:g}"
        raise DataError(f"{place}: {name} is {text!r}, expected a number, {expected}")
    return value


def whole(text: str, name: str, place: str) -> int:
    """The whole number from 0 in a cell; DataError if the cell contains anything else."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise DataError(f"{place}: {name} is {text!r}, expected a whole number from 0")
    return int(text)


def listing(names, limit: int = 8) -> str:
    """Names separated by commas; after ``limit`` names only the number of the others."""
    names = list(names)
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(str, names[:limit])) + rest
