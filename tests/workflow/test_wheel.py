"""What `pip install .` brings: every file of the package, under one version."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of what a wheel is built from; a build writes into its folder."""
    folder = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "dancemvp_core", folder / "dancemvp_core", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return folder


@pytest.fixture(scope="module")
def wheel(tree):
    """The wheel that pip builds, without a network."""
    build = "from setuptools.build_meta import build_wheel; build_wheel('wheel')"
    (tree / "wheel").mkdir()
    done = subprocess.run([sys.executable, "-c", build], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = (tree / "wheel").glob("*.whl")
    return zipfile.ZipFile(path)


def test_a_wheel_holds_every_file_of_the_package(tree, wheel):
    there = {path.relative_to(tree).as_posix() for path in (tree / "dancemvp_core").rglob("*") if path.is_file()}
    read_in_the_repository = {name for name in there if name.endswith(("/README.md", "/selected_trials.csv"))}
    assert read_in_the_repository < there
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == there - read_in_the_repository


def test_a_wheel_brings_the_command_and_what_it_needs(wheel):
    (about,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    (entry,) = (name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt"))
    assert "dancemvp = dancemvp_core.cli:main" in wheel.read(entry).decode()
    text = wheel.read(about).decode()
    assert f"\nVersion: {PROJECT['version']}\n" in text
    assert len(re.findall(r"^Requires-Dist: (?!.*extra ==)", text, flags=re.MULTILINE)) == len(PROJECT["dependencies"])


def test_a_wheel_works_without_the_repository_around_it(wheel, tmp_path):
    """`dancemvp data check` and `dancemvp assess`, from the wheel's own files, in another folder."""
    wheel.extractall(tmp_path / "site")
    start = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import dancemvp_core; from dancemvp_core import cli; "
        "assert dancemvp_core.__file__.startswith(sys.path[0]), dancemvp_core.__file__; sys.exit(cli.main(sys.argv[1:]))"
    )

    def dancemvp(*arguments) -> str:
        run = [sys.executable, "-c", start, str(tmp_path / "site"), *map(str, arguments)]
        done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    shipped = tmp_path / "site" / "dancemvp_core" / "assess" / "shipped"
    known = json.loads((shipped / "example.json").read_text())
    shutil.copy(shipped / known["motion"], tmp_path / "dance.npy")
    (tmp_path / "manifest.csv").write_text(f"motion,fps\ndance.npy,{known['fps']}\n")
    assert re.search(r"^Sequences +1 of", dancemvp("data", "check", "manifest.csv"), flags=re.MULTILINE)
    told = dancemvp("assess", "dance.npy", shipped / known["music"], "--fps", known["fps"])
    assert "comes with the package" in told and "synthetic" in told


def test_one_version_everywhere():
    newest = re.search(r"^## (\S+?):", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    assert newest == cited == PROJECT["version"]


def test_a_container_starts_from_what_the_project_supports():
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert 11 <= int(re.search(r"^FROM python:3\.(\d+)", dockerfile, flags=re.MULTILINE)[1]) <= 14
    assert re.findall(r"^RUN (.*)$", dockerfile, flags=re.MULTILINE) == ["make setup"]
    build = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))["build"]
    assert (ROOT / ".devcontainer" / build["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert f" AS {build['target']}\n" in dockerfile
