"""Set-up: it refuses in one sentence where it cannot work, and the locks hold what they should. No network is used."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import namedtuple
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "workflow"))

import can_install  # noqa: E402

PROJECT_TABLE = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
LOCKS = {name: (PROJECT / name).read_text() for name in ("requirements.lock", "requirements-test.lock")}


def requirements(text: str) -> list[str]:
    """A lock's requirements, each with its hashes and comments."""
    return re.split(r"\n(?=\S)", re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE).strip())


def pins(text: str) -> dict[str, set[str]]:
    """The versions of each package: more than one where they differ by Python."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9][a-z0-9-]*)==([^\s;]+)", text, flags=re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def names(wanted: list[str]) -> set[str]:
    """Package names as a lock writes them."""
    return {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in wanted}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_and_hashed(lock):
    assert not re.search(r"://|--(extra-)?index-url|--find-links", LOCKS[lock])
    for requirement in requirements(LOCKS[lock]):
        first, *rest = requirement.splitlines()
        assert re.match(r"[a-z0-9][a-z0-9-]*==\S+( ; .+)? \\$", first), first
        hashes = [line for line in rest if not line.startswith("    #")]
        assert hashes and all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes), first


def test_the_run_lock_holds_what_a_run_needs_and_no_more():
    run, test = pins(LOCKS["requirements.lock"]), pins(LOCKS["requirements-test.lock"])
    extras = PROJECT_TABLE["optional-dependencies"]
    assert names(PROJECT_TABLE["dependencies"] + extras["setup"]) <= set(run)
    assert not {"triton", "torchvision", "seaborn"} & set(test)
    assert not names(extras["test"]) & set(run)
    assert names(extras["test"]) <= set(test)
    assert {name: test.get(name) for name in run} == run  # whoever gains the tests' packages keeps every other


def test_the_python_versions_agree():
    assert PROJECT_TABLE["requires-python"] == ">=3.11,<3.15"
    for name in ("workflow/can_install.py", "workflow/setup.sh", "Makefile", "README.md"):
        assert "3.11 to 3.14" in (PROJECT / name).read_text(), name


def machine(monkeypatch, system="Linux", kind="x86_64", python=(3, 12), libc=("glibc", "2.36"), mac="", free=100.0):
    version = namedtuple("version", "major minor micro releaselevel serial")(*python, 0, "final", 0)
    monkeypatch.setattr(can_install.platform, "system", lambda: system)
    monkeypatch.setattr(can_install.platform, "machine", lambda: kind)
    monkeypatch.setattr(can_install.platform, "libc_ver", lambda: libc)
    monkeypatch.setattr(can_install.platform, "mac_ver", lambda: (mac, ("", "", ""), kind))
    monkeypatch.setattr(can_install.platform, "python_version", lambda: ".".join(map(str, (*python, 0))))
    monkeypatch.setattr(can_install.sys, "version_info", version)
    usage = shutil.disk_usage("/")._replace(free=int(free * 1e9))
    monkeypatch.setattr(can_install.shutil, "disk_usage", lambda folder: usage)


@pytest.mark.parametrize(
    ("here", "said"),
    [
        ({"system": "Darwin", "kind": "x86_64", "mac": "14.5"}, "PyTorch is not built for Macs with x86_64 any more"),
        ({"system": "Darwin", "kind": "arm64", "mac": "13.6.1"}, "this is macOS 13.6.1, and PyTorch needs macOS 14"),
        ({"system": "Windows", "kind": "AMD64"}, "PyTorch is not built for Windows on AMD64"),
        ({"kind": "armv7l"}, "PyTorch is not built for Linux on armv7l"),
        ({"libc": ("", "")}, "PyTorch needs a Linux with glibc"),
        ({"libc": ("glibc", "2.17")}, "this Linux has glibc 2.17, and PyTorch needs 2.28"),
        ({"python": (3, 10)}, "is CPython 3.10.0, and requirements.lock is for CPython 3.11 to 3.14"),
        ({"python": (3, 15)}, "is CPython 3.15.0, and requirements.lock is for CPython 3.11 to 3.14"),
        ({"free": 3.21}, "3.2 GB are free in .* and 6.5 GB are needed"),
        ({"system": "Darwin", "kind": "arm64", "mac": "15.0", "free": 1.0}, "1.0 GB are free in .* and 2.0 GB are needed"),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(monkeypatch, capsys, tmp_path, here, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    machine(monkeypatch, **here)
    assert can_install.main() == 1
    error = capsys.readouterr().err
    assert re.fullmatch(rf"setup: .*{said}.*\n", error), error


@pytest.mark.parametrize(
    "here", [{}, {"kind": "aarch64", "python": (3, 11)}, {"system": "Darwin", "kind": "arm64", "mac": "14.0", "python": (3, 14)}]
)
def test_what_can_work_is_not_refused(monkeypatch, capsys, tmp_path, here):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(can_install, "runs", lambda compiler: True)
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(can_install.sysconfig, "get_path", lambda name: str(tmp_path))
    machine(monkeypatch, **here)
    assert can_install.main() == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("here", "lacking", "said"),
    [
        ({"kind": "aarch64"}, "g++", r"openTSNE has no wheel for Linux on ARM64 .* compiler g\+\+ is not here: install a C\+\+"),
        ({"python": (3, 14)}, "gcc", "immutables has no wheel for Python 3.14 .* compiler gcc is not here: install a C compiler"),
        ({"python": (3, 14)}, "Python.h", "immutables .* Python.h is not here"),
    ],
)
def test_a_compiler_is_asked_for_where_a_package_is_compiled(monkeypatch, tmp_path, here, lacking, said):
    monkeypatch.setenv("CC", "gcc -pthread")
    monkeypatch.setenv("CXX", "g++")
    monkeypatch.setattr(can_install, "runs", lambda compiler: compiler != lacking)
    monkeypatch.setattr(can_install.sysconfig, "get_path", lambda name: str(tmp_path))
    if lacking != "Python.h":
        (tmp_path / "Python.h").touch()
    machine(monkeypatch, **here)
    assert re.search(said, can_install.no_compiler())


def test_a_compiler_that_is_missing_or_broken_does_not_run(tmp_path):
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    assert not can_install.runs(str(broken)) and not can_install.runs(str(tmp_path / "none")) and can_install.runs(sys.executable)


def test_no_venv_module(monkeypatch):
    find = can_install.importlib.util.find_spec
    monkeypatch.setattr(can_install.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find(name))
    machine(monkeypatch)
    assert "has no venv module: install it" in can_install.wrong_python()


def test_what_is_cached_needs_no_room(monkeypatch, tmp_path):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    machine(monkeypatch, free=0.5)
    assert can_install.no_room(tmp_path)
    (tmp_path / "cache" / "archive-v0" / "x" / "torch").mkdir(parents=True)
    assert can_install.no_room(tmp_path) is None


@pytest.fixture
def checkout(tmp_path):
    """A folder with what setup.sh reads, and a PATH of plain tools to which a test adds its own."""
    for name in ("pyproject.toml", *LOCKS):
        shutil.copy(PROJECT / name, tmp_path / name)
    (tmp_path / "workflow").mkdir()
    for name in ("setup.sh", "can_install.py"):
        shutil.copy(PROJECT / "workflow" / name, tmp_path / "workflow" / name)
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "dirname", "cksum", "grep", "cat", "uname"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return tmp_path


def program(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def set_up(checkout: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON"} | {"PATH": str(checkout / "bin")}
    return subprocess.run(["sh", "workflow/setup.sh", *arguments], cwd=checkout, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("tool", "text", "said"),
    [
        ("uname", "echo MINGW64_NT-10.0-19045", "this does not run in Windows itself: install WSL"),
        ("none", "", "no python3 here: install Python 3.11 to 3.14"),
        ("python3", '[ "$1" = --version ] && echo Python 3.6.8; exit 1', "Python 3.6.8 is too old: install Python 3.11 to 3.14"),
        ("python3", '[ "$1" = -c ] || { echo "setup: 1.0 GB are free" >&2; exit 1; }', "1.0 GB are free"),
    ],
)
def test_setup_sh_refuses_before_it_makes_anything(checkout, tool, text, said):
    program(checkout / "bin" / tool, text)
    done = set_up(checkout)
    assert done.returncode == 1 and done.stdout == "" and not (checkout / ".venv").exists()
    assert done.stderr.startswith(f"setup: {said}") and done.stderr.count("\n") == 1, done.stderr


def ready(checkout: Path, lock: str) -> None:
    """As setup.sh leaves it."""
    sums = subprocess.run(["cksum", lock, "pyproject.toml"], cwd=checkout, capture_output=True, text=True, check=True).stdout
    (checkout / ".venv" / "bin").mkdir(parents=True, exist_ok=True)
    program(checkout / ".venv" / "bin" / "python", "")
    (checkout / ".venv" / "ready").write_text(f"{checkout}\n{sums}")


def test_what_is_ready_stays_as_it_is(checkout):
    # a python3 that is refused shows that set-up went on
    program(checkout / "bin" / "python3", '[ "$1" = --version ] && echo Python 3.6.8; exit 1')
    ready(checkout, "requirements.lock")
    assert set_up(checkout).returncode == 0
    assert set_up(checkout, "test").returncode == 1
    ready(checkout, "requirements-test.lock")
    assert set_up(checkout, "test").returncode == 0
    assert set_up(checkout).returncode == 0  # no change back
    (checkout / "requirements-test.lock").write_text("")
    assert set_up(checkout).returncode == 1
