"""The Slurm profile: what would be submitted, by a dry run and by an sbatch that writes down what it is told."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dancemvp_core.pretraining import methods

PROJECT = Path(__file__).resolve().parents[2]
NO_GPU = "all|01_table1_data|02_fig3_fig4_primitives|13_claims|assess"
PRETRAININGS = ("stgcn-lstm-infonce", "res18-lstm-supcon")


@pytest.fixture
def cluster(tmp_path) -> Path:
    """A project's folder with pieces already cut, and bin/sbatch, which takes every job down and refuses it."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "dataset.json").write_text('{"name": "tiny", "synthetic": true}')
    pieces = tmp_path / "build" / "paper" / "tiny" / "pieces" / "pieces.safetensors"
    pieces.parent.mkdir(parents=True)
    pieces.touch()
    (tmp_path / "bin").mkdir()
    for name, script in {
        "sbatch": f'printf "%s\\n" "$*" | head -n 1 >> {tmp_path / "submitted"}; echo refused >&2; exit 1',
        "squeue": "exit 0", "sacct": "exit 0", "sinfo": "exit 0", "scontrol": "exit 0",
    }.items():  # fmt: skip
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def snakemake(root: Path, *more: str) -> subprocess.CompletedProcess:
    """Snakemake with the Slurm profile at full width, as the profile's comment says to call it."""
    settings = {"profile": "paper", "data": str(root / "mine"), "aistpp": str(root / "mine"), "root": str(root), "seeds": 2}
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "workflow" / "Snakefile"), "--directory", str(root),
        "--workflow-profile", str(PROJECT / "workflow" / "profiles" / "slurm"), *more,
        "--config", *(f"{key}={json.dumps(value)}" for key, value in settings.items()),
    ]  # fmt: skip
    path = os.pathsep.join([str(root / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE_", "SLURM_"))} | {"PATH": path}
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=300)


def test_dry_run_shows_every_pretraining_and_seed_with_its_resources(cluster):
    done = snakemake(cluster, "-n")
    plan = done.stdout + done.stderr
    assert done.returncode == 0, plan
    jobs = re.split(r"\n(?=rule )", plan)
    trained = [job for job in jobs if job.startswith("rule 03_pretraining")]
    pairs = {tuple(re.search(r"wildcards: pretraining=(\S+), seed=(\d+)", job).groups()) for job in trained}
    assert len(pairs) == len(trained) and {name for name, _ in pairs} == set(methods.pretrainings())
    assert {("stgcn-lstm-infonce", "0"), ("stgcn-lstm-infonce", "1")} <= pairs
    for job in jobs[1:]:
        resources = re.search(r"resources: (.*)", job)[1]
        if not job.startswith("rule all"):
            assert re.search(r"mem_mb=\d{4,}", resources) and re.search(r"runtime=\d{2,}", resources), job
        assert ("gpu=1" in resources) == bool(re.match(rf"rule (?!{NO_GPU})", job)), job


def test_each_pretraining_and_seed_is_submitted_as_a_job(cluster):
    records = [f"build/paper/tiny/records/03_pretraining-{name}-seed{seed}.json" for name in PRETRAININGS for seed in (0, 1)]
    done = snakemake(cluster, "--slurm-no-account", "--slurm-init-seconds-before-status-checks", "1", *records)
    submitted = (cluster / "submitted").read_text().splitlines()
    print(*submitted, sep="\n")
    assert done.returncode != 0 and "refused" in done.stdout + done.stderr
    asked = [re.search(r"--comment rule_03_pretraining_wildcards_(\S+)", line)[1] for line in submitted]
    assert sorted(asked) == sorted(f"{name}_{seed}" for name in PRETRAININGS for seed in (0, 1))
    for line in submitted:
        assert "--gpus=1" in line and re.search(r"--mem 32000\b", line) and re.search(r"-t 1440\b", line), line
