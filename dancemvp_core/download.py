"""Download of public data sets: a cut-off download goes on where it was, and a file gets its name only when it is complete.

``dataset.json`` is written last. It says where each download came from and its SHA-256, so that the provenance of a run, which
hashes the folder, holds them too.
"""

from __future__ import annotations

import datetime
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import sys
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dancemvp_core import files
from dancemvp_core.dance.sequences import DataError

TIMEOUT_S = 60
_BLOCK = 1 << 20  # bytes read at once
_BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError)


@dataclass(frozen=True)
class Part:
    """A file to download to ``into``, a folder in the data set's; of a zip, what ``members`` matches, a regular expression.

    The group ``name`` of ``members`` is the place of a member in ``into``. ``whole`` False: only the members are downloaded,
    of a zip whose server sends ranges. ``md5`` is what the publisher states.
    """

    url: str
    name: str
    members: str = ""
    into: str = ""
    md5: str = ""
    whole: bool = True


def fetch(out: str | Path, facts: dict, parts: list[Part], say: Callable[[str], None]) -> int:
    """Download the parts of a data set into ``out`` and write ``facts`` to its dataset.json. Returns the number of files.

    ``facts`` has ``name``, ``licence``, ``terms`` and ``page``; the licence and terms are said first. A folder that is
    complete is left as it is. Raises DataError, in one line, if a part cannot be downloaded or is damaged; the next call goes
    on where this one was. A full disk raises OSError.
    """
    out, note = Path(out), Path(out) / "dataset.json"
    say(f"{facts['name']}: {facts['licence']}. {facts['terms']} ({facts['page']})")
    known = json.loads(note.read_bytes()) if note.exists() else {}
    if "downloads" in known:
        say(f"{out} is complete; remove {note} to download it again")
        return known["files"]
    unfinished = out / ".fetch"
    downloads, count = [], 0
    with files.naming_full_disk(out):
        try:
            for part in parts:
                say(f"downloading {part.url}")
                entry, ready = _ready(part, unfinished, facts["page"])
                for file in ready:
                    place = out / part.into / file.relative_to(unfinished / "new")
                    place.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(file, place)
                downloads.append(entry)
                count += len(ready)
        finally:
            shutil.rmtree(unfinished / "new", ignore_errors=True)
            for folder in (unfinished, out):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
    stated = facts | {"fetched": datetime.date.today().isoformat(), "downloads": downloads, "files": count}
    files.write_json(note, known | stated)
    shutil.rmtree(unfinished, ignore_errors=True)
    return count


def _ready(part: Part, unfinished: Path, page: str) -> tuple[dict, list[Path]]:
    """(facts of a download, its complete files in ``unfinished/new``)."""
    new = unfinished / "new"
    new.mkdir(parents=True, exist_ok=True)
    archive = unfinished / part.name
    try:
        if part.whole:
            _download(part.url, archive)
        if part.md5 and _md5(archive) != part.md5:
            raise zipfile.BadZipFile("its MD5 is not the one that the publisher states")
        if not part.members:
            ready = [archive.rename(new / part.name)]
            return {"url": part.url, "sha256": files.sha256(ready[0])}, ready
        with zipfile.ZipFile(archive if part.whole else io.BufferedReader(_Remote(part.url), _BLOCK)) as opened:
            ready, commit = _unpack(opened, part.members, new), opened.comment.decode("ascii", "replace")
    except _BROKEN as fault:
        reason = " ".join(str(getattr(fault, "reason", "") or fault).split()) or type(fault).__name__
        code = f"{fault.code} " if isinstance(fault, urllib.error.HTTPError) else ""
        raise DataError(
            f"{part.url}: cannot be downloaded ({code}{reason}); check the network and run this again, which goes on where it "
            f"was, or see {page}"
        ) from None
    except _DAMAGED as fault:
        archive.unlink(missing_ok=True)
        raise DataError(f"{part.url}: came damaged ({fault}); run this again, or see {page}") from None
    if not ready:
        raise DataError(f"{part.url}: holds no file of the expected names; it may have changed, see {page}")
    read = files.sha256(archive) if part.whole else files.sha256(ready[0])
    entry = {"url": part.url, "sha256": read}
    if re.fullmatch(r"[0-9a-f]{40}", commit):  # the comment of GitHub's archives
        entry["commit"] = commit
    return entry, ready


def _md5(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "md5").hexdigest()


def _download(url: str, file: Path) -> None:
    """Download a file, or what it lacks if the server sends ranges."""
    from tqdm import tqdm

    have = file.stat().st_size if file.exists() else 0
    try:
        answer = _open(url, f"bytes={have}-" if have else None)
    except urllib.error.HTTPError as fault:
        if fault.code == 416 and have:  # nothing is lacking; a file that has changed since fails the check of the archive
            return
        raise
    with answer:
        have = have if answer.status == 206 else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        bar = tqdm(desc=file.name, total=total, initial=have, unit="B", unit_scale=True, disable=not sys.stderr.isatty())
        with open(file, "ab" if have else "wb") as sink, bar:
            while block := answer.read(_BLOCK):
                sink.write(block)
                bar.update(len(block))
    size = file.stat().st_size
    if total is not None and size != total:
        raise http.client.HTTPException(f"it ended after {size} of {total} bytes")


def _open(url: str, span: str | None = None) -> Any:
    """The answer to a request for an address; ``span`` is the range of bytes."""
    headers = {"User-Agent": "dancemvp", "Accept-Encoding": "identity"} | ({"Range": span} if span else {})
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)


def read_json(url: str, page: str) -> dict:
    """The JSON object at an address; DataError, in one line, if there is none."""
    try:
        with _open(url) as answer:
            found = json.loads(answer.read())
    except (*_BROKEN, ValueError) as fault:
        raise DataError(f"{url}: cannot be read ({' '.join(str(fault).split())}); check the network, or see {page}") from None
    if not isinstance(found, dict):
        raise DataError(f"{url}: expected a JSON object, see {page}")
    return found


def _unpack(archive: zipfile.ZipFile, members: str, folder: Path) -> list[Path]:
    """The files of a zip whose names match, written to a folder under the matches' group ``name``."""
    ready = []
    for member in archive.infolist():
        match = re.fullmatch(members, member.filename)
        if match:
            place = folder / match["name"]
            place.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, open(place, "wb") as sink:
                shutil.copyfileobj(source, sink)
            ready.append(place)
    return ready


class _Remote(io.RawIOBase):
    """A file on a server, read by ranges, so that one member of a large zip does not cost the whole."""

    def __init__(self, url: str):
        self.url, self.at = url, 0
        with _open(url, "bytes=0-0") as answer:
            stated = re.fullmatch(r"bytes 0-0/(\d+)", answer.headers.get("Content-Range", ""))
        if not stated:
            raise http.client.HTTPException("the server sends no ranges")
        self.size = int(stated[1])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        return self.at

    def readinto(self, buffer) -> int:
        stop = min(self.at + len(buffer), self.size)
        if stop <= self.at:
            return 0
        with _open(self.url, f"bytes={self.at}-{stop - 1}") as answer:
            read = answer.read()
        buffer[: len(read)] = read
        self.at += len(read)
        return len(read)
