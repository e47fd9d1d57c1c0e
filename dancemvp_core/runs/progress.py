"""How far a long loop is: a bar on a terminal, a line now and then where the output is kept."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator, Sized

EVERY_S = 10.0  # between lines


def print_anything() -> None:
    """From now on no print fails for a letter that the terminal or file cannot take: it stands there as ``\\xe9``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def shown(what: str, every_s: float = EVERY_S) -> Callable[[Sized], Iterator]:
    """A wrapper for the rows of a loop that says how far it is: ``build(..., progress=shown("pieces"))``.

    On a terminal a tqdm bar; elsewhere (a notebook, a log) a line each ``every_s`` seconds and no line for a
    loop that is over sooner.
    """

    def wrap(rows):
        if sys.stdout.isatty():
            from tqdm import tqdm

            return tqdm(rows, desc=what)
        return _lines(rows, what, every_s)

    return wrap


def _lines(rows, what: str, every_s: float) -> Iterator:
    started = told = time.monotonic()
    for done, row in enumerate(rows):
        now = time.monotonic()
        if done and now - told >= every_s:
            told = now
            left = (now - started) / done * (len(rows) - done)
            print(f"{what}: {done} of {len(rows)}, about {max(left, 1):.0f} s left", flush=True)
        yield row
