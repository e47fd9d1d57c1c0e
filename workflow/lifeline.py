"""Nothing that a run starts outlives it, however the run ends.

Every process that a run starts carries its mark in the environment, wherever it goes: notebooks' kernels lead sessions of
their own. Beside the run a watcher waits at a pipe that only the run holds, and which the system closes when the run is
gone; then it ends what carries the mark.

    python lifeline.py MARK   the watcher
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil

MARK = "DANCEMVP_RUN"  # environment variable
GRACE_S = 5.0


@contextlib.contextmanager
def held(mark: str) -> Iterator[None]:
    """While the block runs, processes marked with ``mark`` may live; when it or this process ends, they end."""
    watcher = subprocess.Popen(
        [sys.executable, __file__, mark], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,  # what is sent to the run's group, Ctrl-C say, is not for the watcher
    )  # fmt: skip
    with watcher:  # on leaving, its input is closed
        yield


def end(mark: str) -> None:
    """End the processes that carry a mark: they are asked, and after ``GRACE_S`` seconds killed."""
    asked: set[psutil.Process] = set()
    patience = time.monotonic() + GRACE_S
    while (found := marked(mark)) and time.monotonic() < patience + GRACE_S:
        for process in found:
            with contextlib.suppress(psutil.Error):
                if time.monotonic() > patience:
                    process.kill()
                elif process not in asked:
                    process.terminate()
        asked.update(found)
        time.sleep(0.1)


def marked(mark: str) -> list[psutil.Process]:
    """The processes of this user that carry a mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found


def line_of_make() -> list[psutil.Process]:
    """This process and those above it, up to the outermost make; empty where no make started it."""
    line = [psutil.Process(), *psutil.Process().parents()]
    makes = [i for i, process in enumerate(line) if process.name() in ("make", "gmake")]
    return line[: makes[-1] + 1] if makes else []


def broken(line: list[psutil.Process]) -> bool:
    """Whether a process of ``line_of_make`` is gone: the one below it has another parent."""
    try:
        return any(child.ppid() != parent.pid for child, parent in itertools.pairwise(line))
    except psutil.NoSuchProcess:
        return True


if __name__ == "__main__":
    os.chdir("/")  # hold no folder
    sys.stdin.buffer.read()
    end(sys.argv[1])
