"""A JupyterLab server for tests and benchmarks: no token, a free port, its settings in the folder that it serves."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder; yields the address, http://127.0.0.1:port. RuntimeError with the log's end where it does not start."""
    settings = folder / "settings"
    quiet = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))  # else it asks in a box over the page
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = ("JUPYTERLAB_WORKSPACES_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")
    environment = {"JUPYTERLAB_SETTINGS_DIR": str(settings)} | {name: str(folder / name.lower()) for name in folders}
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
        "--IdentityProvider.token=", "--expose-app-in-browser", "--ServerApp.port_retries=0", f"--notebook-dir={folder}",
    ]  # fmt: skip
    log, address = folder / "lab.log", f"http://127.0.0.1:{port}"
    with open(log, "w") as output:
        server = subprocess.Popen(command, env=os.environ | environment, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + 240
            while not _answers(f"{address}/api"):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"JupyterLab did not start: {log.read_text()[-2000:]}")
                time.sleep(0.2)
            yield address
        finally:
            server.terminate()
            server.wait(20)


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as reply:
        return reply.status == 200
    return False
