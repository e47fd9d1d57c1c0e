"""Fixtures that several test files share: the real samples, and a small SynthDance."""

import os
import shutil
import subprocess
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two test workers on two cores, not four threads

import hypothesis
import pytest

# An example has no time limit: on a machine with other work, it would fail now and then.
hypothesis.settings.register_profile("no time limit", deadline=None)
hypothesis.settings.load_profile("no time limit")

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of small real samples (``music/``, ``aistpp/``) that lies beside some checkouts."""
    if not SHARED.is_dir():
        pytest.skip(f"no real samples at {SHARED.parent.name}/{SHARED.name} beside the checkout")
    return SHARED


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a disk of some MB in memory and returns its folder; skips where that is not allowed."""
    mounted = []

    def mount(megabytes: int) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root on Linux can mount a small disk")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def synth_tree(tmp_path_factory) -> Path:
    """SynthDance as the pipeline writes it: all 20 choreographies, 3 trials of each file. Read only."""
    from dancemvp_core.datasets import synthdance

    root = tmp_path_factory.mktemp("synthdance") / "tree"
    synthdance.write(root, trials=3, seed=0)
    return root


def pytest_collection_modifyitems(items) -> None:
    """Start with the longest test: at the end, one of two workers would wait for it alone."""
    items.sort(key=lambda item: not item.name.startswith("test_on_a_fake_gpu"))
