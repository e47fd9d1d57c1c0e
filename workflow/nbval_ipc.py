"""A pytest plugin (``-p nbval_ipc``): nbval's kernels listen on sockets in the file system, as those of a run."""

from __future__ import annotations

import atexit
import contextlib

import nbval.kernel
from jupyter_client.manager import KernelManager
from run_notebook import sockets


def manager(**settings) -> KernelManager:
    """nbval's kernel manager; its sockets go when the tests end."""
    until_exit = contextlib.ExitStack()
    atexit.register(until_exit.close)
    return KernelManager(**until_exit.enter_context(sockets()), **settings)


def pytest_configure(config):
    """pytest's hook: before any kernel starts, in every worker."""
    nbval.kernel.KernelManager = manager
