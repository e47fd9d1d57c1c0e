"""The papermill command with one more engine, ``ipc``: kernels are reached over sockets in the file system.

The usual TCP ports are drawn before the kernel binds them, and two notebooks that start at once can draw the same.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

from papermill.cli import papermill
from papermill.engines import NBClientEngine, papermill_engines
from traitlets.config import Config

LONGEST_FOLDER = 90  # a socket's path has at most 107 bytes


class IpcEngine(NBClientEngine):
    """papermill's own engine on IPC, or as it is where the temporary folder's name is too long for a socket."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, **kwargs):
        """Run the notebook's cells (papermill's interface)."""
        # A folder for each kernel: left to itself, every kernel would use the same names in the working directory.
        with tempfile.TemporaryDirectory(prefix="dancemvp-") as folder:
            if len(folder) <= LONGEST_FOLDER:
                kwargs["config"] = Config({"KernelManager": {"transport": "ipc", "ip": str(Path(folder) / "kernel")}})
            super().execute_managed_notebook(nb_man, kernel_name, **kwargs)


papermill_engines.register("ipc", IpcEngine)

if __name__ == "__main__":
    # Ended from outside: leave through the exit, so that the kernel and its sockets go too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    papermill()
