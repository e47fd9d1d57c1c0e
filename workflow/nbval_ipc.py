"""A pytest plugin (``-p nbval_ipc``): nbval's kernels listen on sockets in the file system, like the kernels of a run."""

from __future__ import annotations

import atexit
import contextlib

import nbval.kernel
from jupyter_client.manager import KernelManager
from run_notebook import sockets


def manager(**settings) -> KernelManager:
    """Return nbval's kernel manager; its sockets are deleted when the tests end."""
    until_exit = contextlib.ExitStack()
    atexit.register(until_exit.close)
    return KernelManager(**until_exit.enter_context(sockets()), **settings)


def pytest_configure(config):
    """Replace nbval's kernel manager; pytest calls this in every worker before a kernel starts."""
    nbval.kernel.KernelManager = manager
