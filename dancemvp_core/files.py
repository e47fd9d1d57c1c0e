"""Write and hash files. A file is written completely or not at all. An error names a full disk, whichever library met it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_WHOLE_FILE_BYTES = 1 << 20  # up to this size the whole file is hashed; of a larger file, its size and first 64 KiB
_HEAD_BYTES = 1 << 16


@contextlib.contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """Context that reports a full disk in the same way for every library that writes ``path``.

    A full disk raises OSError with ``errno.ENOSPC`` and the file's name. Other errors pass unchanged.
    """
    try:
        yield
    except Exception as fault:
        if disk_is_full(fault):
            raise OSError(errno.ENOSPC, "the disk is full", str(path)) from None
        raise


def disk_is_full(fault: BaseException | str) -> bool:
    """Return whether an error, or the text of one, means a full disk.

    The text matters because NumPy and safetensors report a full disk without an error number.
    """
    words = r"disk is full|No space left on device|Disk quota exceeded|\d requested and \d+ written"
    return getattr(fault, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or bool(re.search(words, str(fault)))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Context that yields a temporary file beside ``path`` and moves it to ``path`` if the block ends without an exception.

    Readers see the old file or the new one, never a part of it. The temporary name keeps the suffix because some writers
    choose the format by it. A full disk raises OSError with the file's name.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    with naming_full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def shown(path: str | Path) -> str:
    """The name of a file as text that anything can print: its UTF-8, and ``\\xe9`` for bytes that are none.

    A name that is not UTF-8, or any but ASCII under an ASCII locale, is a str with lone surrogates, which fonts, HTML and
    terminals refuse.
    """
    return os.fsencode(Path(path).name).decode("utf-8", "backslashreplace")


def write_text(path: Path, text: str) -> None:
    """Replace a text file (UTF-8). A byte that is not UTF-8 is written as ``\\udcff``, as in JSON."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path: Path, data: Any) -> None:
    """Replace a JSON file. Paths become strings. NaN raises ValueError because it is not JSON."""
    write_text(path, json.dumps(data, indent=1, default=_plain, allow_nan=False, ensure_ascii=False) + "\n")


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Replace a CSV file, without the index."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Replace a parquet file."""
    with replacing(path) as temporary:
        frame.to_parquet(temporary)


def write_tensors(path: Path, tensors: dict, metadata: dict[str, str] | None = None) -> None:
    """Replace a safetensors file of named torch tensors (contiguous, on any device) and text metadata."""
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata)


def write_figure(path: Path, figure, **options) -> None:
    """Replace a figure's file (png or pdf, by its suffix). It holds no date or version: the same figure gives the same bytes."""
    import matplotlib

    blank = {"Software": None} if Path(path).suffix == ".png" else dict.fromkeys(("CreationDate", "Creator", "Producer"))
    with replacing(path) as temporary, matplotlib.rc_context({"pdf.fonttype": 42}):  # 42: text stays text in the pdf
        figure.savefig(temporary, metadata=blank, **options)


def _plain(value):
    """Convert paths and NumPy scalars, which json does not know."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")


# --- hashes -----------------------------------------------------------------------------------------------------------


def sha256(path: Path) -> str:
    """Return the SHA-256 of a whole file as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path: Path) -> str:
    """Return a short hash (16 hexadecimal digits) that changes when the content of a file or folder changes.

    It covers files up to 1 MiB completely. Of a larger file it covers the size and the first 64 KiB, so that it is fast
    for a data set of gigabytes. In a folder it covers the names too, but no hidden files. Raises FileNotFoundError if
    ``path`` does not exist.
    """
    path = Path(path)
    if not path.is_dir():
        return _file_hash(path).hexdigest()[:16]
    digest = hashlib.sha256()
    for file in sorted(f for f in path.rglob("*") if f.is_file()):
        name = file.relative_to(path)
        if not any(part.startswith(".") for part in name.parts):
            digest.update(os.fsencode(name.as_posix()) + b"\0" + _file_hash(file).digest())
    return digest.hexdigest()[:16]


def _file_hash(path: Path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(str(size).encode() + b"\0")
        digest.update(file.read(size if size <= _WHOLE_FILE_BYTES else _HEAD_BYTES))
    return digest
