"""Print one sentence and exit with status 1 if this project cannot be installed here; print nothing if it can.

``workflow/setup.sh`` runs it with the Python of the installation, before any download.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

# Disk space in GB, measured at a first set-up with an empty cache: unpacking by uv, and compiled files of Python and numba.
NEEDED = {"Linux": 6.5, "Darwin": 2.0}
ANOTHER = "name another: make PYTHON=/path/to/python3"


def main() -> int:
    """Print the reason why the project cannot be installed, if there is one; return 1 in this case, else 0."""
    fault = wrong_system() or wrong_python() or no_compiler() or no_room(Path.cwd())
    if fault:
        print(f"setup: {fault}", file=sys.stderr)
    return int(fault is not None)


def wrong_system() -> str | None:
    """Return why the system is not supported, or None. PyTorch's wheels need glibc 2.28 or macOS 14, and no Intel Mac."""
    system, machine = platform.system(), platform.machine()
    if system == "Darwin":
        if machine != "arm64":
            return f"PyTorch is not built for Macs with {machine} any more: use Apple silicon (and a Python for arm64), or Linux"
        if int(platform.mac_ver()[0].split(".")[0]) < 14:
            return f"this is macOS {platform.mac_ver()[0]}, and PyTorch needs macOS 14 or newer"
        return None
    if system != "Linux" or machine not in ("x86_64", "aarch64"):
        return f"PyTorch is not built for {system} on {machine}: use Linux on x86-64 or ARM64, or a Mac with Apple silicon"
    library, version = platform.libc_ver()
    if library != "glibc":
        return "PyTorch needs a Linux with glibc, and this one has another C library (musl, as in Alpine?)"
    if tuple(map(int, version.split(".")[:2])) < (2, 28):
        return f"this Linux has glibc {version}, and PyTorch needs 2.28 or newer (Debian 10, Ubuntu 20.04, RHEL 8)"
    return None


def wrong_python() -> str | None:
    """Return why this Python is not supported, or None. The lock is for CPython 3.11 to 3.14."""
    found = f"{sys.executable} is {platform.python_implementation()} {platform.python_version()}"
    if not (3, 11) <= sys.version_info[:2] <= (3, 14) or platform.python_implementation() != "CPython":
        return f"{found}, and requirements.lock is for CPython 3.11 to 3.14; {ANOTHER}"
    if not all(map(importlib.util.find_spec, ("ensurepip", "venv"))):
        return f"{sys.executable} has no venv module: install it (on Debian and Ubuntu: apt install python3-venv), or {ANOTHER}"
    return None


def no_compiler() -> str | None:
    """Return which compiler is missing, or None. openTSNE on Linux on ARM64 and immutables for Python 3.14 have no wheel."""
    if platform.system() == "Linux" and platform.machine() == "aarch64":
        package, where, kind, names = "openTSNE", "Linux on ARM64", "C++", ("CC", "CXX")
    elif sys.version_info[:2] >= (3, 14):
        package, where, kind, names = "immutables", "Python 3.14", "C", ("CC",)
    else:
        return None
    install = "xcode-select --install" if platform.system() == "Darwin" else "on Debian and Ubuntu: apt install g++ python3-dev"
    compilers = (shlex.split(os.environ.get(name) or sysconfig.get_config_var(name) or name.lower())[0] for name in names)
    lacking = [f"the compiler {compiler}" for compiler in compilers if not runs(compiler)]
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        lacking.append("Python.h")
    if lacking:
        missing = f"{package} has no wheel for {where} and is compiled, but {lacking[0]} is not here"
        return f"{missing}: install a {kind} compiler ({install})"
    return None


def runs(compiler: str) -> bool:
    """Return whether a compiler works; on a Mac without the command line tools it exists and does not work."""
    try:
        return subprocess.run([compiler, "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


def no_room(project: Path) -> str | None:
    """Return that the disk is too full, or None. It checks nothing if PyTorch is in ``.venv`` or in uv's cache already."""
    cache = Path(os.environ.get("UV_CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "uv"))
    if any(project.glob(".venv/lib/*/site-packages/torch")) or any(cache.glob("archive-v*/*/torch")):
        return None
    needed = NEEDED[platform.system()]
    for folder in (project, next(folder for folder in (cache, *cache.parents) if folder.is_dir())):
        free = shutil.disk_usage(folder).free / 1e9
        if free < needed:
            have = f"{free:.1f} GB are free in {folder} and {needed:.1f} GB are needed"
            return f"{have}: free some space there (UV_CACHE_DIR moves uv's cache)"
    return None


if __name__ == "__main__":
    sys.exit(main())
