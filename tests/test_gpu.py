"""Everything that computes on a GPU, on a fake one; and the workflow's GPUs, of which a notebook gets one."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
WORKFLOW = HERE.parent / "workflow"
sys.path.insert(0, str(WORKFLOW))

import reproduce  # noqa: E402


@pytest.mark.parametrize("which", ["not notebook", "notebook"])
def test_on_a_fake_gpu(which):
    """In a process of its own: the fake cannot be taken out again."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", "--durations", "5"]
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(
        [*command, "-k", which, str(HERE / "on_fake_gpu.py")], cwd=HERE.parent, env=env, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.parametrize(
    ("listed", "visible", "expected"),
    [
        ("echo GPU-a; echo GPU-b", None, ["GPU-a", "GPU-b"]),
        ("echo GPU-a; echo GPU-b", "1", ["1"]),
        ("echo GPU-a", "", []),
        ("echo no driver; exit 9", None, []),
        ("exit 9", "0", []),
    ],
)
def test_as_many_slots_as_gpus(listed, visible, expected, tmp_path, monkeypatch):
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{listed}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert reproduce.gpus() == expected
    assert f"gpu={len(expected) or 3}" in reproduce.snakemake({"root": str(tmp_path)}, 3)
    assert reproduce.environment().get("CUDA_VISIBLE_DEVICES") == (",".join(expected) if expected else visible)


def test_every_job_takes_a_gpu_of_its_own_while_there_is_one(tmp_path):
    snakefile = (WORKFLOW / "Snakefile").read_text()
    take = ast.literal_eval(re.search(r"^ONE_GPU = (\(.*?^\))", snakefile, flags=re.MULTILINE | re.DOTALL)[1]).format()
    (tmp_path / "build").mkdir()

    def job(visible="GPU-a,GPU-b"):
        env = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", f'{take}echo "${{CUDA_VISIBLE_DEVICES-none}}"; read'], cwd=tmp_path, text=True,
            env=env if visible is None else env | {"CUDA_VISIBLE_DEVICES": visible},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        return process, process.stdout.readline().strip()

    (first, a), (second, b), (third, both), (bare, none) = job(), job(), job(), job(None)
    first.communicate("\n")
    (fourth, again) = job()
    for process in (second, third, bare, fourth):
        process.communicate("\n")
    assert (a, b, both, none, again) == ("GPU-a", "GPU-b", "GPU-a,GPU-b", "none", "GPU-a")
