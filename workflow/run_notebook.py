"""Run one notebook with papermill: ``python run_notebook.py SOURCE TARGET PARAMETERS``; PARAMETERS is a JSON object.

papermill's own command has two problems. First, a kernel chooses its TCP ports before it binds them, so that two kernels
that start at the same time can choose the same ports; here the kernels listen on sockets in the file system. Second, a
parameter may be a path that is not UTF-8.
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
    """papermill's writer of files that writes bytes that are not UTF-8 as JSON escapes (lone surrogates, as in Python)."""

    def write(self, buf: str, path: str) -> None:
        """Write the text of a notebook (papermill's interface)."""
        super().write(buf.encode("utf-8", "backslashreplace").decode(), path)


@contextlib.contextmanager
def sockets() -> Iterator[dict[str, str]]:
    """Context that yields a kernel manager's settings for sockets in a new folder; {} if its name is too long for a socket.

    Without a folder for each kernel, all kernels would use the same names in the working directory.
    """
    with tempfile.TemporaryDirectory(prefix="dancemvp-") as folder:
        fits = folder.isascii() and len(folder) <= LONGEST_FOLDER
        yield {"transport": "ipc", "ip": str(Path(folder) / "kernel")} if fits else {}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="the notebook")
    parser.add_argument("target", help="the file of the executed notebook")
    parser.add_argument("parameters", type=json.loads, help="parameters that differ from the notebook's own")
    parser.add_argument("--prepare-only", action="store_true", help="set the parameters and run nothing")
    options = parser.parse_args()
    # On SIGTERM, exit normally, so that the kernel ends and its sockets are deleted too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    papermill_io.register(options.target, Escaping())
    # papermill reads braces in paths as parameters
    source, target = (path.replace("{", "{{").replace("}", "}}") for path in (options.source, options.target))
    with sockets() as settings:
        try:
            papermill.execute_notebook(
                source, target, options.parameters, prepare_only=options.prepare_only, kernel_name="python3", log_output=True,
                progress_bar=False, autosave_cell_every=30, config=Config({"KernelManager": settings}),
            )  # fmt: skip
        except papermill.PapermillExecutionError as fault:
            if fault.ename != "LeftOut":  # LeftOut: the notebook ended early on purpose (provenance.Run.require)
                raise
            print(f"Left out: {fault.evalue}", flush=True)


if __name__ == "__main__":
    main()
