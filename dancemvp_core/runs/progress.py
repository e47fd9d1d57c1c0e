"""The progress of a long loop: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator, Sized

EVERY_S = 10.0  # seconds between two lines


def print_anything() -> None:
    """Let later prints write ``\\xe9`` and the like for letters that the terminal or file cannot show, instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def shown(what: str, every_s: float = EVERY_S) -> Callable[[Sized], Iterator]:
    """Return a wrapper for the rows of a loop that shows its progress: ``build(..., progress=shown("pieces"))``.

    On a terminal it shows a tqdm bar. Elsewhere (a notebook, a log) it prints a line every ``every_s`` seconds, and no
    line for a loop that ends sooner.
    """

    def wrap(rows):
        if sys.stdout.isatty():
            from tqdm import tqdm

            return tqdm(rows, desc=what)
        return _lines(rows, what, every_s)

    return wrap


def _lines(rows, what: str, every_s: float) -> Iterator:
    started = printed = time.monotonic()
    for done, row in enumerate(rows):
        now = time.monotonic()
        if done and now - printed >= every_s:
            printed = now
            left = (now - started) / done * (len(rows) - done)
            print(f"{what}: {done} of {len(rows)}, about {max(left, 1):.0f} s left", flush=True)
        yield row
