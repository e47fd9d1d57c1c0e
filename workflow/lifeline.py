"""End all processes of a run when the run ends, in any way.

Every process of a run has the run's mark in its environment, because the kernels of notebooks have sessions of their own. A
watcher process waits at a pipe that only the run holds open. The system closes the pipe when the run ends. Then the watcher
ends all processes with the mark.

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
    """Context of a run: when the block or this process ends, a watcher ends all processes with the mark."""
    watcher = subprocess.Popen(
        [sys.executable, __file__, mark], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,  # signals to the run's group, e.g. Ctrl-C, must not reach the watcher
    )  # fmt: skip
    with watcher:  # at the end, its input is closed
        yield


def end(mark: str) -> None:
    """End the processes with a mark: terminate them, and kill them after ``GRACE_S`` seconds."""
    terminated: set[psutil.Process] = set()
    deadline = time.monotonic() + GRACE_S
    while (found := marked(mark)) and time.monotonic() < deadline + GRACE_S:
        for process in found:
            with contextlib.suppress(psutil.Error):
                if time.monotonic() > deadline:
                    process.kill()
                elif process not in terminated:
                    process.terminate()
        terminated.update(found)
        time.sleep(0.1)


def marked(mark: str) -> list[psutil.Process]:
    """Return the processes of this user that have the mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found


def line_of_make() -> list[psutil.Process]:
    """Return this process and its parents up to the outermost make; [] if no make started it."""
    line = [psutil.Process(), *psutil.Process().parents()]
    makes = [i for i, process in enumerate(line) if process.name() in ("make", "gmake")]
    return line[: makes[-1] + 1] if makes else []


def broken(line: list[psutil.Process]) -> bool:
    """Return whether a process of ``line_of_make`` has ended, so that its child has another parent."""
    try:
        return any(child.ppid() != parent.pid for child, parent in itertools.pairwise(line))
    except psutil.NoSuchProcess:
        return True


if __name__ == "__main__":
    os.chdir("/")  # so that the watcher blocks no folder
    sys.stdin.buffer.read()
    end(sys.argv[1])
