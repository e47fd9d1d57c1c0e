"""What a run needs on the disk, against the networks themselves, written data and a finished run; and full disks."""

import errno
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from dancemvp_core import cli, files
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.pretraining import networks
from dancemvp_core.runs import profiles, provenance

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "workflow"))

import disk  # noqa: E402


@pytest.mark.parametrize("profile", profiles.PROFILES)
def test_encoders_take_what_is_reckoned(profile):
    p = profiles.load(profile)
    reckoned = real = 0
    for name, method in disk.pretrainings(p).items():
        with torch.device("meta"):
            encoder = networks.build_encoder(method, IMPERIALDANCE21, networks.Width.of(p))
        size = sum(t.numel() * t.element_size() for t in encoder.state_dict().values())
        assert size <= disk.weights(name, p), name
        reckoned, real = reckoned + disk.weights(name, p), real + size
    assert reckoned < 1.25 * real


def test_data_and_pieces_take_what_is_reckoned(synth_tree):
    reckoned = disk.needed(profiles.load("smoke").model_copy(update={"trials": 3}), only=True)["SynthDance"]
    assert reckoned <= disk.size(synth_tree) < 1.1 * reckoned + 10 * disk.MB
    pieces = tiny.piece_set(frames=32)
    count = (10 * 1 + 10 * 12) * 3 * 3  # trials of pre-train and other choreographies, at three levels, cut into three
    assert pieces.motion.numel() * 4 / len(pieces) == disk.needed(profiles.load("smoke"), True, only=True)["pieces"] / count


def test_a_finished_run_took_what_is_reckoned():
    paths = provenance.Paths("smoke", profiles.SYNTHDANCE, PROJECT)
    if not paths.record("13_claims").exists():
        pytest.skip("no finished smoke run here")
    parts = disk.needed(profiles.load("smoke"))
    folders = (paths.build, paths.results, paths.figures, profiles.synthdance_root(PROJECT, "smoke"),
               profiles.unseen_dancers_root(PROJECT, "smoke"), profiles.aistpp_standin_root(PROJECT),
               *(profiles.strong_style_root(PROJECT, "smoke", dancers) for dancers in ("seen", "unseen")))  # fmt: skip
    took = sum(disk.size(folder) for folder in folders)
    kept = sum(parts.values()) - parts["training"]  # checkpoints go when a network is trained
    assert 0.8 * kept <= took <= 1.05 * kept


def test_every_writer_names_the_file_that_a_full_disk_refused(small_disk):
    folder = small_disk(3)
    many = np.random.default_rng(0).normal(size=600_000)  # 4.8 MB
    figure = plt.figure(figsize=(10, 10))
    figure.figimage(np.random.default_rng(0).random((2000, 2000, 3)))

    def npy(path: Path) -> None:
        with files.replacing(path) as temporary:
            np.save(temporary, many)

    writers = {
        "a.txt": lambda path: files.write_text(path, "x" * 5_000_000),
        "a.csv": lambda path: files.write_csv(path, pd.DataFrame({"x": many})),
        "a.parquet": lambda path: files.write_parquet(path, pd.DataFrame({"x": many})),
        "a.safetensors": lambda path: files.write_tensors(path, {"x": torch.tensor(many)}),
        "a.png": lambda path: files.write_figure(path, figure, dpi=200),
        "a.npy": npy,
    }
    for name, write in writers.items():
        (folder / name).write_text("as it was")
        with pytest.raises(OSError, match="the disk is full") as caught:
            write(folder / name)
        assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(folder / name)
        assert (folder / name).read_text() == "as it was"
        assert {f.name for f in folder.iterdir()} <= set(writers), "half a file"


def test_a_full_disk_in_one_line_on_the_command_line(small_disk, capsys):
    out = small_disk(3) / "data"
    assert cli.main(["data", "synth", str(out), "--trials", "30", "--jobs", "1"]) == 1
    assert capsys.readouterr().err == f"dancemvp: {out}: the disk is full\n"
    assert not list(out.parent.iterdir())


def test_other_faults_keep_their_own_words(tmp_path):
    with pytest.raises(ValueError, match="mine"), files.replacing(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise ValueError("mine")
    with pytest.raises(PermissionError) as caught, files.naming_full_disk(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "not yours", "theirs")
    assert caught.value.filename == "theirs" and not list(tmp_path.iterdir())
