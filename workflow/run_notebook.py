"""Runs one notebook with papermill: ``python run_notebook.py SOURCE TARGET PARAMETERS``, the last a JSON object.

papermill's own command would do but for two things. Its kernels listen on TCP ports that are drawn before they are
bound, and two kernels that start at once can draw the same: here they listen on sockets in the file system. And a
parameter may be a path that is no UTF-8.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import papermill
from papermill.iorw import LocalHandler, papermill_io
from traitlets.config import Config

LONGEST_FOLDER = 90  # a socket's path has at most 107 bytes


class Escaping(LocalHandler):
    """papermill's writer of files. Bytes that are no UTF-8 become JSON's own escapes (a lone surrogate, as Python has it)."""

    def write(self, buf: str, path: str) -> None:
        """Write a notebook's text (papermill's interface)."""
        super().write(buf.encode("utf-8", "backslashreplace").decode(), path)


@contextlib.contextmanager
def sockets() -> Iterator[dict[str, str]]:
    """A kernel manager's settings for sockets in a folder of their own, empty where its name is too long for a socket.

    Left to themselves, all kernels would use the same names in the working directory.
    """
    with tempfile.TemporaryDirectory(prefix="dancemvp-") as folder:
        fits = folder.isascii() and len(folder) <= LONGEST_FOLDER
        yield {"transport": "ipc", "ip": str(Path(folder) / "kernel")} if fits else {}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="the notebook")
    parser.add_argument("target", help="where it goes, executed")
    parser.add_argument("parameters", type=json.loads, help="parameters that differ from the notebook's own")
    parser.add_argument("--prepare-only", action="store_true", help="set the parameters and run nothing")
    options = parser.parse_args()
    # Ended from outside: leave through the exit, so that the kernel and its sockets go too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    papermill_io.register(options.target, Escaping())
    # papermill takes braces in paths for parameters
    source, target = (path.replace("{", "{{").replace("}", "}}") for path in (options.source, options.target))
    with sockets() as settings:
        try:
            papermill.execute_notebook(
                source, target, options.parameters, prepare_only=options.prepare_only, kernel_name="python3", log_output=True,
                progress_bar=False, autosave_cell_every=30, config=Config({"KernelManager": settings}),
            )  # fmt: skip
        except papermill.PapermillExecutionError as fault:
            if fault.ename != "LeftOut":  # the notebook itself ended there (provenance.Run.require)
                raise
            print(f"Left out: {fault.evalue}", flush=True)


if __name__ == "__main__":
    main()
