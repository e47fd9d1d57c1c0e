"""Files: written whole or not at all, and hashed. A full disk is named, whatever library finds it."""

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

_WHOLE_FILE_BYTES = 1 << 20  # hashed whole; of a larger file its size and first 64 KiB
_HEAD_BYTES = 1 << 16


@contextlib.contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """A full disk is called one, with the file's name, whatever words the writer in the block has for it.

    Raises OSError with ``errno.ENOSPC`` for it; other errors pass.
    """
    try:
        yield
    except Exception as fault:
        if disk_is_full(fault):
            raise OSError(errno.ENOSPC, "the disk is full", str(path)) from None
        raise


def disk_is_full(fault: BaseException | str) -> bool:
    """Whether an error, or the line that reports one, is a full disk's: NumPy counts, safetensors has only words."""
    words = r"disk is full|No space left on device|Disk quota exceeded|\d requested and \d+ written"
    return getattr(fault, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or bool(re.search(words, str(fault)))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends without an exception.

    Readers see the old file or the new one, never a part. The temporary name keeps the suffix, which some writers
    go by. A full disk raises OSError with the file's name.
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


def write_text(path: Path, text: str) -> None:
    """Replace a text file (UTF-8). A byte of a file's name that is no UTF-8 stands as ``\\udcff``, as in JSON."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path: Path, data: Any) -> None:
    """Replace a JSON file; paths become strings, NaN is refused (it is not JSON)."""
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
    """Replace a figure's file, png or pdf by its suffix, without dates or versions: same figure, same bytes."""
    import matplotlib

    blank = {"Software": None} if Path(path).suffix == ".png" else dict.fromkeys(("CreationDate", "Creator", "Producer"))
    with replacing(path) as temporary, matplotlib.rc_context({"pdf.fonttype": 42}):  # 42: text stays text in the pdf
        figure.savefig(temporary, metadata=blank, **options)


def _plain(value):
    """What json does not know: paths and NumPy scalars."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")


# --- hashes -----------------------------------------------------------------------------------------------------------


def sha256(path: Path) -> str:
    """SHA-256 of a whole file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path: Path) -> str:
    """A short hash that changes when a file's or folder's content does.

    Files up to 1 MiB count whole; of larger ones the size and the first 64 KiB, so that a data set of gigabytes takes
    no time. In a folder, names count and hidden files do not. FileNotFoundError where there is nothing.
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
