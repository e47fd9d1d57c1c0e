"""``dancemvp released``: embeddings, t-SNE and Task 1 from a checkpoint and data on disk, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from released_checkpoint import saved
from safetensors.torch import load_file
from torch import nn
from written_data import moving, write_imperialdance, write_manifest, write_music

from dancemvp_core import cli, datasets, files
from dancemvp_core.dance import music, orientation
from dancemvp_core.dance.sequences import LEVELS, DanceSequence
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.datasets.imperialdance import GENRES
from dancemvp_core.released import command, cutting, load_checkpoint
from dancemvp_core.released.encoder import MLP, ReleasedEncoder
from dancemvp_core.tasks.protocols import class_table
from dancemvp_core.tasks.splits import TEST

HEADER = "motion,layout,fps,skeleton,music,genre,choreography,level,trial"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "random.pth.tar"
    saved(path)
    return path


def write_performances(root, rows, synthetic=True):
    """A manifest of performances (choreography, level, trial), all danced to one file of music."""
    root.mkdir()
    write_music(root / "all.wav", 12.0)
    lines = [HEADER]
    for number, (choreography, level, trial) in enumerate(rows):
        name = f"{choreography}-{level}-{trial}.npy"
        np.save(root / name, moving(seed=number))
        lines.append(f"{name},CTV,100,imperialdance21,all.wav,{GENRES[choreography[0]]},{choreography},{level},{trial}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    (root / "dataset.json").write_text(json.dumps({"name": "few", "synthetic": synthetic}))
    return root


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """One trial to tune and one to test of every class, and an early one of two classes. Read only."""
    rows = [(c, level, trial) for c in TEST for level in LEVELS for trial in (75, 90)]
    return write_performances(tmp_path_factory.mktemp("few") / "data", [*rows, ("k1", "expert", 3), ("b0", "expert", 75)])


class Quick(ReleasedEncoder):
    """An encoder of the released shapes that only takes means."""

    def __init__(self):
        nn.Module.__init__(self)
        torch.manual_seed(0)
        self.body, self.sound, self.mlp = nn.Linear(63, 256), nn.Linear(549, 256), MLP()

    def motion(self, x):
        return self.body(x.mean(dim=2).flatten(1))

    def music(self, x):
        return self.sound(x.mean(dim=2))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(command, "load_checkpoint", lambda path: load_checkpoint(path) and Quick().eval())


def run(capsys, *arguments):
    """Exit code, lines on stdout, lines on stderr."""
    code = cli.main(["released", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err.splitlines()


# --- embed -----------------------------------------------------------------------------------------------------------


def test_embed_gives_what_the_encoder_gives_piece_by_piece(tmp_path, checkpoint, capsys):
    data, out = write_imperialdance(tmp_path / "data", ("k1",), ("expert",), trials=2), tmp_path / "out"
    track = write_music(data / "music" / "k_ch1.wav", 15.0)
    code, said, faults = run(capsys, "embed", checkpoint, data, out)
    assert (code, faults) == (0, []) and "6 pieces of 2 performances" in said[-1]
    table, features = pd.read_parquet(out / "embeddings.parquet"), load_file(out / "features.safetensors")
    assert table[["sequence", "trial"]].to_numpy().T.tolist() == [[0] * 3 + [1] * 3] * 2
    assert table["primitive"].tolist() == [0, 1, 2] * 2 and table["start_s"].tolist() == [1, 4, 7] * 2
    first = table.iloc[0][["genre", "choreography", "level", "file", "dataset", "synthetic"]].tolist()
    assert first == ["k-pop", "k1", "expert", "dance_level_e_k_ch1.npy", "imperialdance", False]
    z = table[[f"z_{i}" for i in range(256)]].to_numpy()
    assert np.array_equal(z, features["z"].numpy()) and features["hidden"].shape == (6, 256)

    stored = np.load(data / "dance_level_e_k_ch1.npy")[1, :, 400:700]
    samples, rate = music.load_audio(track)
    piece = {
        "motion": torch.from_numpy(stored)[None],
        "music": torch.from_numpy(cutting.music_features(samples[4 * rate : 7 * rate], rate))[None],
    }
    encoder = load_checkpoint(checkpoint)
    with torch.inference_mode():
        np.testing.assert_allclose(z[4], encoder(piece)[0].numpy(), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(features["hidden"][4].numpy(), encoder.hidden(piece)[0].numpy(), rtol=1e-4, atol=1e-4)


def test_embed_leaves_out_what_cannot_be_cut_and_counts_it(tmp_path, checkpoint, quick, capsys):
    data = write_performances(tmp_path / "data", [("k1", "expert", 0), ("k1", "expert", 1)])
    np.save(data / "silent.npy", moving(seed=5))
    np.save(data / "short.npy", moving(frames=900, seed=6))
    np.save(data / "slow.npy", moving(frames=600, seed=7))
    with open(data / "manifest.csv", "a") as rows:
        rows.write("silent.npy,CTV,100,imperialdance21,,k-pop,k1,expert,2\nshort.npy,CTV,100,imperialdance21,all.wav,,,,\n")
        rows.write("slow.npy,CTV,60,imperialdance21,all.wav,,,,\n")
    code, said, faults = run(capsys, "embed", checkpoint, data, tmp_path / "out")
    assert (code, faults) == (0, [])
    assert "left out: 1 without music, 1 shorter than 10 s" in said
    assert "9 pieces of 3 performances" in said[-1] and "which is synthetic" in said[-1]
    table = pd.read_parquet(tmp_path / "out" / "embeddings.parquet")
    assert table["sequence"].unique().tolist() == [0, 1, 4] and table["choreography"].isna().sum() == 3


def danced(motion, **fields):
    return DanceSequence(motion=motion, fps=fields.pop("fps", 100.0), skeleton=IMPERIALDANCE21, **fields)


@pytest.mark.parametrize("up", orientation.TURNS)
def test_coordinates_are_those_of_the_file_whatever_its_upright_axis(up):
    stored = moving(seed=3)
    pieces = cutting.motion_of(danced(orientation.turn_y_up(stored, up)), up)
    assert np.array_equal(pieces, cutting.cut_motion(stored))


def test_another_frame_rate_is_resampled_to_100_fps():
    time = np.arange(0, 12, 1 / 60)[None, :, None]
    motion = np.sin(time + np.arange(63).reshape(3, 1, 21)).astype(np.float32)
    pieces = cutting.motion_of(danced(motion, fps=60.0))
    expected = np.sin(np.arange(100, 400)[None, :, None] / 100 + np.arange(63).reshape(3, 1, 21))
    assert pieces.shape == (3, 3, 300, 21) and np.abs(pieces[0] - expected).max() < 0.02


def test_music_that_ends_a_little_early_is_filled_and_shorter_music_is_left_out(tmp_path):
    track = write_music(tmp_path / "x.wav", 9.97)
    assert cutting.music_of(danced(moving(), music=track, music_window_s=9.97)).shape == (3, 549, 130)
    assert cutting.why_left_out(danced(moving(), music=track, music_window_s=9.97)) == ""
    assert cutting.why_left_out(danced(moving(), music=track, music_window_s=9.5)) == "with less than 10 s of music"


# --- t-SNE -----------------------------------------------------------------------------------------------------------


def test_tsne_maps_the_test_choreographies_and_uses_the_embeddings_again(few, tmp_path, checkpoint, quick, capsys, monkeypatch):
    out = tmp_path / "out"
    code, said, faults = run(capsys, "tsne", checkpoint, few, out)
    assert (code, faults) == (0, []) and not any("used again" in line for line in said)
    assert any("93 pieces" in line and "Data: few, which is synthetic" in line for line in said)
    points = pd.read_csv(out / "tsne.csv")
    assert len(points) == 93 and set(points["choreography"]) == set(TEST) and points[["x", "y"]].notna().all(axis=None)
    assert (out / "tsne.png").read_bytes()[:4] == b"\x89PNG" and (out / "tsne.pdf").read_bytes()[:4] == b"%PDF"
    monkeypatch.setattr(command, "encode", lambda *arguments: pytest.fail("encoded twice"))
    code, said, _ = run(capsys, "tsne", checkpoint, few, out)
    assert code == 0 and said[0] == f"{out / 'embeddings.parquet'}: used again, it is of this checkpoint and these data"
    assert pd.read_csv(out / "tsne.csv").equals(points)


def test_embeddings_of_something_else_or_of_too_little_are_not_used_again(few, tmp_path, checkpoint, quick, capsys):
    out, other = tmp_path / "out", tmp_path / "other.pth.tar"
    saved(other, lambda content: content.update(epoch=3))
    for arguments, again in (
        (("task1", checkpoint, few, out, "--epochs", 1), False),
        (("tsne", checkpoint, few, out), False),  # needs all trials
        (("embed", checkpoint, few, out), False),  # needs all choreographies
        (("embed", checkpoint, few, out), True),
        (("task1", checkpoint, few, out, "--epochs", 1), True),
        (("tsne", other, few, out), False),
        (("tsne", other, few, out), True),
    ):
        code, said, _ = run(capsys, *arguments)
        assert code == 0 and any("used again" in line for line in said) == again, arguments
    with open(out / "embeddings.parquet", "ab") as file:
        file.write(b"x")
    assert "used again" not in run(capsys, "tsne", other, few, out)[1][0]
    (out / "features.safetensors").write_bytes(b"x")
    assert "used again" not in run(capsys, "tsne", other, few, out)[1][0]


@pytest.mark.parametrize("change", ["motion", "music", "labels"])
def test_a_change_of_the_data_changes_their_hash(tmp_path, change):
    data = write_performances(tmp_path / "data", [("k1", "expert", 0), ("k1", "expert", 1)])
    before = command.digest(datasets.load(data))
    assert command.digest(datasets.load(data)) == before
    if change == "motion":
        np.save(data / "k1-expert-1.npy", moving(seed=9))
    elif change == "music":
        write_music(data / "all.wav", 12.0, beat_s=0.5)
    else:
        manifest = data / "manifest.csv"
        manifest.write_text(manifest.read_text().replace("k1,expert,1", "k1,beginner,1"))
    assert command.digest(datasets.load(data)) != before


# --- Task 1 ----------------------------------------------------------------------------------------------------------


def test_task1_prints_the_last_and_the_best_epoch(few, tmp_path, checkpoint, quick, capsys):
    out = tmp_path / "out"
    code, said, faults = run(capsys, "task1", checkpoint, few, out, "--epochs", "2", "--seed", "3")
    assert (code, faults) == (0, [])
    table = pd.read_csv(out / "task1.csv")
    assert table["epoch"].tolist() == [1, 2] and table["accuracy"].between(0, 100).all() and (table["seed"] == 3).all()
    assert "45 classes; 45 of 45 pieces tune and 45 of 45 are tested: whole batches" in said
    assert f"accuracy after the last epoch (2): {table['accuracy'].iloc[-1]:.1f} %" in said
    (best,) = (line for line in said if line.startswith("best of all epochs"))
    assert f"{table['accuracy'].max():.1f} %" in best and "is chosen on test and is no estimate" in best
    assert said[-1].endswith("Data: few, which is synthetic.")
    assert pd.read_parquet(out / "embeddings.parquet")["trial"].isin([75, 90]).all()


def test_too_few_trials_are_refused_before_anything_is_encoded(synth_tree, tmp_path, checkpoint, capsys, monkeypatch):
    monkeypatch.setattr(command, "encode", lambda *arguments: pytest.fail("encoded"))
    code, said, (fault,) = run(capsys, "task1", checkpoint, synth_tree, tmp_path / "out")
    assert (code, said) == (2, []) and not (tmp_path / "out").exists()
    for words in (str(synth_tree), "k1 beginner has trials 0 to 2 with music", "tunes on trials 75-89 and tests on trials 90-99"):
        assert words in fault


def full_table():
    """All pieces of trials 70 to 99 of the test choreographies, in the order of a data set."""
    rows = [(GENRES[c[0]], c, level, t, p) for c in sorted(TEST) for level in LEVELS for t in range(70, 100) for p in range(3)]
    return pd.DataFrame(rows, columns=["genre", "choreography", "level", "trial", "primitive"])


def test_pieces_come_in_the_released_order_and_in_whole_batches():
    table = full_table()
    episode = command.released_episode(table)
    assert len(episode.support) == 672 and len(episode.query) == 448
    tuned = table.iloc[episode.support]
    assert tuned.iloc[0].tolist() == ["k-pop", "k1", "expert", 75, 0]
    assert tuned.iloc[-1].tolist() == ["jazz", "j2", "beginner", 88, 2]
    assert tuned["choreography"].unique().tolist() == list(TEST)
    numbers = command.class_numbers(tuned)
    assert (np.diff(numbers // 3) >= 0).all() and numbers[:6].tolist() == [0, 1, 2] * 2 and len(set(numbers)) == 45


def test_every_class_starts_from_its_released_number_of_z():
    classes = class_table(full_table())[0]
    last = nn.Linear(4, 50)
    made = command.in_released_order(last, classes)
    x = torch.randn(7, 4)
    with torch.no_grad():
        z, turned = last(x), made(x)
    numbers = command.class_numbers(classes)
    assert sorted(numbers) == list(range(45)) and torch.equal(turned[:, :45], z[:, torch.from_numpy(numbers.copy())])
    assert torch.equal(turned[:, 45:], z[:, 45:]), "numbers of no class"
    row = int(np.flatnonzero((classes[["choreography", "level", "primitive"]] == ["u2", "intermediate", 2]).all(axis=1))[0])
    assert numbers[row] == 9 + 3 + 2


# --- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["embed", "tsne", "task1"])
def test_what_cannot_be_used_is_one_line_and_nothing_is_written(tmp_path, few, checkpoint, name, capsys):
    out, text = tmp_path / "out", tmp_path / "x.pth.tar"
    text.write_text("no checkpoint")
    (tmp_path / "empty").mkdir()
    coco = write_manifest(tmp_path / "coco", ["a.npy,TVC,60,coco17"])
    for arguments, words in (
        ((text, few, out), f"{text}: not a checkpoint"),
        ((tmp_path / "none.pth.tar", few, out), "no such file"),
        ((checkpoint, tmp_path / "none", out), f"{tmp_path / 'none'}: no such folder"),
        ((checkpoint, tmp_path / "empty", out), "no dance data in this folder"),
        ((checkpoint, coco, out), "the skeleton is coco17, expected imperialdance21"),
        ((checkpoint, few, text), f"{text}: {text} is not a folder that can be written to"),
        ((checkpoint, few, text / "deep"), "is not a folder that can be written to"),
    ):
        code, said, faults = run(capsys, name, *arguments)
        assert (code, said, len(faults)) == (2, [], 1) and words in faults[0], faults
    assert not out.exists()


def test_data_without_music_or_without_the_test_choreographies(tmp_path, checkpoint, quick, capsys):
    data, out = write_imperialdance(tmp_path / "data", ("b0",), ("expert",), trials=1), tmp_path / "out"
    for name, words in (("embed", "no performance of at least 10 s with music"), ("tsne", "no released test choreography"),
                        ("task1", "k1 beginner has no trials with music")):  # fmt: skip
        code, _, (fault,) = run(capsys, name, checkpoint, data, out)
        assert code == 2 and words in fault and str(data) in fault
    assert not out.exists()


def test_an_unusable_motion_or_a_full_disk_leaves_nothing_that_is_used_again(tmp_path, checkpoint, quick, capsys, monkeypatch):
    data, out = write_performances(tmp_path / "data", [("k1", "expert", trial) for trial in range(3)]), tmp_path / "out"
    motion = moving(seed=1)
    np.save(data / "k1-expert-1.npy", np.where(np.arange(1000)[None, :, None] // 300 == 1, np.nan, motion))
    code, said, _ = run(capsys, "embed", checkpoint, data, tmp_path / "without it")
    assert code == 0 and any("1 of 3 recordings are left out as unusable: k1-expert-1.npy" in line for line in said)
    for trial in range(3):
        (data / f"k1-expert-{trial}.npy").rename(data / f"{trial}.kept")
    code, _, (fault,) = run(capsys, "embed", checkpoint, data, out)
    assert code == 2 and "no usable recording is left of 3" in fault and not out.exists()
    for trial in range(3):
        (data / f"{trial}.kept").rename(data / f"k1-expert-{trial}.npy")
    np.save(data / "k1-expert-1.npy", motion)
    with monkeypatch.context() as full:

        def no_space(*arguments):
            raise OSError(28, "the disk is full", str(out / "features.safetensors"))

        full.setattr(files, "write_tensors", no_space)
        code, _, (fault,) = run(capsys, "embed", checkpoint, data, out)
        assert code == 1 and "features.safetensors: the disk is full" in fault
    code, said, _ = run(capsys, "embed", checkpoint, data, out)
    assert code == 0 and not any("used again" in line for line in said)
    assert sorted(p.name for p in out.iterdir()) == ["embeddings.parquet", "features.safetensors"]
