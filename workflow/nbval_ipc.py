"""A pytest plugin (``-p nbval_ipc``): nbval's kernels are reached over sockets in the file system, as in papermill_ipc.

Two that start at once can draw the same TCP port, and one of them dies.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

from jupyter_client.manager import KernelManager
from nbval import kernel


def manager(**settings) -> KernelManager:
    """nbval's kernel manager on IPC, with a folder of its own that goes when the tests end."""
    folder = tempfile.mkdtemp(prefix="dancemvp-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return KernelManager(transport="ipc", ip=str(Path(folder) / "kernel"), **settings)


def pytest_configure(config):
    """pytest's hook: before any kernel starts, in every worker."""
    kernel.KernelManager = manager
