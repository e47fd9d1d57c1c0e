import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gdown
import numpy as np
import pandas as pd
import pytest
from released_checkpoint import saved
from written_data import moving, write_aistpp, write_imperialdance, write_manifest, write_music

from dancemvp_core import cli, datasets, files
from dancemvp_core.dance import music
from dancemvp_core.datasets import datacard, imperialdance
from dancemvp_core.released import checkpoint
from dancemvp_core.tasks import splits

NAMES = ["dance_level_b_b_ch0.npy", "dance_level_e_b_ch0.npy"]


def lines(capsys):
    return capsys.readouterr().err.splitlines()


def test_help_needs_no_heavy_import():
    code = (
        "import sys; from dancemvp_core import cli\n"
        "try: cli.main(['data', 'check', '--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'numpy', 'pandas', 'torch', 'librosa', 'soundfile'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "PATH" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["data"],
        ["data", "check"],
        ["data", "burn", "x"],
        ["data", "synth", "x", "--trials", "0"],
        ["data", "synth", "x", "--trials", "many"],
        ["data", "synth", "x", "--seed", "-1"],
        ["data", "synth", "x", "--dancers", "dead"],
        ["data", "check", "x", "--split", "ours"],
        ["data", "fetch", "everything", "x"],
    ],
)
def test_wrong_arguments_get_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    (line,) = lines(capsys)
    assert line.startswith("dancemvp") and "--help" in line


def test_check_prints_the_card(tmp_path, capsys):
    write_imperialdance(tmp_path, ("b3", "b4"), ("expert",), trials=2)
    for name in ("b_ch3.wav", "b_ch4.wav"):
        write_music(tmp_path / "music" / name, 15.0, beat_s=0.5)
    assert cli.main(["data", "check", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for text in (
        "imperialdance21, 21 joints",
        "4 of 10.0 s, 40 s in all",
        "1 genre, 2 choreographies, 1 level",
        "4 of 4 sequences",
        "dance_level_e_b_ch4.npy",
        "yt WYF-D6nsHyQ",
        "b3 (validation) and b4 (test) share one track",
        "no scores.csv",
        "a beat grid fits all 2 music windows",
        "Unusable\n- nothing",
    ):
        assert text in out, text


def test_check_ends_with_1_where_a_part_is_unusable(tmp_path, capsys):
    motion = moving(trials=3)
    motion[1:, :, 100:200] = np.nan
    write_imperialdance(tmp_path, ("b4",), ("expert",), motion=motion)
    assert cli.main(["data", "check", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert "dance_level_e_b_ch4.npy: trial 1" in line and "(and 1 more trials of this file)" in line
    assert f"Unusable\n- {line.removeprefix('dancemvp: ')}" in out


def test_check_ends_with_2_where_nothing_opens(tmp_path, capsys):
    assert cli.main(["data", "check", str(tmp_path)]) == 2
    (line,) = lines(capsys)
    assert str(tmp_path) in line and "expected manifest.csv" in line


def test_check_names_every_file_at_fault(tmp_path, capsys):
    for name in NAMES:
        np.save(tmp_path / name, np.zeros(3))
    assert cli.main(["data", "check", str(tmp_path)]) == 2
    assert [name in line for name, line in zip(NAMES, lines(capsys), strict=True)] == [True, True]


def test_a_bad_command_never_shows_a_traceback(tmp_path):
    (tmp_path / NAMES[0]).write_bytes(b"junk")
    run = [sys.executable, "-m", "dancemvp_core.cli", "data", "check", str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 1


def test_the_card_counts_what_it_reads(tmp_path):
    motion = moving(trials=2)
    motion[0, 0, 10:30, 4] = np.nan
    motion[1, :, 500:520] = motion[1, :, 500:501]
    write_imperialdance(tmp_path, ("b0",), ("expert",), motion=motion)
    card = datacard.card(tmp_path)
    (row,) = card.files.to_dict("records")
    assert (row["trials"], row["duration_s"], row["fps"], row["unusable"]) == (2, 10, 100, 0)
    assert row["missing_values"] == 20
    assert row["longest_gap_s"] == pytest.approx(0.20)
    assert row["longest_still_s"] == pytest.approx(0.19)
    assert card.usable and "20, longest gap 0.20 s" in card.text()
    assert "missing_values" not in datacard.card(tmp_path, deep=False).files


def test_the_card_says_which_music_has_no_grid(tmp_path):
    write_imperialdance(tmp_path, ("b0", "b1"), ("expert",), trials=1)
    write_music(tmp_path / "music" / "b_ch0.wav", 15.0, beat_s=0.5)
    write_music(tmp_path / "music" / "b_ch1.wav", 15.0, beat_s=20.0)
    card = datacard.card(tmp_path)
    assert list(card.music["segmentation"]) == ["beats", "equal"]
    assert list(card.music["window_s"]) == [15, 15] and list(card.music["clip_s"]) == [10, 10]
    assert "1 of 2 music windows fit no beat grid" in card.text()


def changed(dataset, accents):
    """The first expert's trial of every choreography, with ``accents(labelled accents in s, duration in s)`` as the music's."""
    rows = dataset.index.query("level == 'expert' and trial == 0").index
    danced = [dataset.sequences[i] for i in rows]
    moved = [tuple(np.sort(accents(np.array(s.music_intensity_s), s.duration_s) % s.duration_s)) for s in danced]
    sequences = [replace(one, music_intensity_s=times) for one, times in zip(danced, moved, strict=True)]
    return replace(dataset, sequences=sequences, index=dataset.index.loc[rows].reset_index(drop=True))


@pytest.mark.parametrize(
    ("accents", "warning"),
    [
        (lambda times, _: times, None),
        (lambda times, _: times + 0.25, "FOLLOWS ITS MUSIC AT ANOTHER LAG"),
        (lambda times, duration: np.random.default_rng(len(times)).uniform(0, duration, len(times)), "NO ALIGNMENT AT ANY LAG"),
    ],
    ids=["to its music", "to its music, too late", "to no music"],
)
def test_the_card_says_if_the_dances_follow_their_music(synth_tree, accents, warning):
    dataset = changed(datasets.load(synth_tree), accents)
    bar, *warnings = datacard.alignment(dataset, "stretch", None)
    found = re.fullmatch(
        r"BAR ([\d.]+) %, by chance ([\d.]+) % \(95 % range of the mean: ([\d.]+) to ([\d.]+) %\), p = ([\d.e-]+); "
        r"20 recordings in 20 independent groups", bar,
    )  # fmt: skip
    mean, by_chance, low, high, p = map(float, found.groups())
    assert low < by_chance < high and (mean > high) == (p < 0.001) == (warning is None)
    assert [warning in text for text in warnings] == ([True] if warning else [])


def test_the_card_of_the_other_sources(tmp_path):
    write_aistpp(tmp_path / "aist")
    write_manifest(tmp_path / "mine", ["a.npy,TVC,60,coco17"])
    for path, name in ((tmp_path / "aist", "keypoints3d/gBR_sBM"), (tmp_path / "mine", "a.npy")):
        card = datacard.card(path)
        assert card.usable and len(card.files) == 1 and len(card.splits) == 0 and name in card.text()


def test_the_card_names_the_music_that_a_split_leaks(synth_tree):
    dataset = datasets.load(synth_tree)

    def made(split):
        sets = splits.assign(dataset.index, split)
        heard = splits.heard_in_pretraining(dataset.index, sets)
        return datacard.card(dataset, deep=False, split=datacard.RunSplit(split, sets, heard))

    ours, released = made(""), made("released")
    leak = "2 of 5 test choreographies share their music with pre-training: b1 with b2, k1 with k0"
    assert leak in released.notes and released.overview["Split"] == "as released, in place of the data's own"
    assert not any("share their music" in note for note in ours.notes) and "Split" not in ours.overview
    reassuring = "no track is in both pre-train and test"
    assert any(reassuring in note for note in ours.notes) and not any(reassuring in note for note in released.notes)
    assert ours.text() == datacard.card(dataset, deep=False).text()
    assert set(released.splits["set"]) == set(splits.SETS)
    (test,) = released.splits.loc[released.splits["set"] == "test", "choreographies"]
    assert set(test.split(", ")) == set(splits.TEST)
    sets = released.tracks.set_index("choreographies")["sets"]
    assert set(sets["k0, k1"].split(", ")) == {"pretrain", "test"}


def test_a_card_for_choreographies_that_are_not_there(tmp_path, capsys):
    write_imperialdance(tmp_path, ("b0", "b1"), ("expert",), trials=1)
    assert cli.main(["data", "check", str(tmp_path), "--split", "released"]) == 2
    (line,) = lines(capsys)
    assert line.startswith("dancemvp: split 'released': the data have no choreography b2, expected b0 b2")


def test_unseen_dancers_dance_the_test_choreographies_of_the_split(tmp_path):
    command = ["data", "synth", str(tmp_path / "out"), "--trials", "1", "--dancers", "unseen", "--split", "released"]
    assert cli.main(command) == 0
    assert set(datasets.load(tmp_path / "out").index["choreography"]) == set(splits.TEST)


def test_dancers_with_a_style_dance_the_test_choreographies(tmp_path, capsys):
    command = ["data", "synth", str(tmp_path / "out"), "--trials", "1", "--style", "1"]
    assert cli.main(command) == 0
    dataset = datasets.load(tmp_path / "out")
    assert dataset.facts["style"] == 1 and dataset.facts["dancers"] == "seen" and len(dataset) == 15
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main([*command[:-1], "2"])
    assert "--style: '2', expected a number from 0 to 1" in lines(capsys)[0]


def test_synth_writes_what_check_accepts(tmp_path, capsys):
    out = tmp_path / "synth"
    assert cli.main(["data", "synth", str(out), "--trials", "1", "--dancers", "unseen", "--seed", "3"]) == 0
    dataset = datasets.load(out)
    assert dataset.synthetic and len(dataset) == 15 and dataset.facts["seed"] == 3
    assert all(s.score is not None and s.music_intensity_s and s.music for s in dataset)
    assert cli.main(["data", "check", str(out)]) == 0
    assert "(synthetic)" in capsys.readouterr().out


@pytest.fixture
def drive(monkeypatch):
    """The authors' drive, with two motion files and one that is none; ``fails`` names files that do not come.

    ``folder`` and ``names`` are what is listed, ``fault`` is what a download raises, ``write`` writes a file that comes.
    """
    state = SimpleNamespace(fails=set(), asked=[], folder=imperialdance.DRIVE_FOLDER, names=[*NAMES, "readme.txt"])
    state.fault, state.write = ConnectionError("gone\naway"), lambda output: np.save(output, moving(trials=1))

    def download_folder(id, **options):
        assert id == state.folder and options["skip_download"]
        if "listing" in state.fails:
            raise ConnectionError("no\nnetwork")
        return [SimpleNamespace(id=name, path=f"ballet/{name}") for name in state.names]

    def download(id, output, **options):
        state.asked.append(id)
        with open(output, "wb") as file:
            file.write(b"half")
            if id in state.fails:
                raise state.fault
        state.write(output)

    monkeypatch.setattr(gdown, "download_folder", download_folder)
    monkeypatch.setattr(gdown, "download", download)
    return state


def test_fetch_brings_the_motion_and_lists_the_music(tmp_path, drive, capsys):
    out = tmp_path / "real"
    assert cli.main(["data", "fetch", "imperialdance", str(out)]) == 0
    assert sorted(p.name for p in out.iterdir()) == NAMES and len(datasets.load(out)) == 2
    text = capsys.readouterr().out
    assert str(out / "music") in text
    for words in (
        ("music/b_ch4.*", "0:33 to 0:58", "https://www.youtube.com/watch?v=WYF-D6nsHyQ"),
        ("music/u_ch3.*", "0:00 to 0:20", "https://www.bilibili.com/video/BV1jv4y1z7Lt", "Timber"),
    ):
        assert any(all(word in line for word in words) for line in text.splitlines()), words
    assert sum("music/" in line for line in text.splitlines()) == 20


def test_fetch_without_a_network_is_one_line_and_leaves_nothing(tmp_path, drive, capsys):
    drive.fails.add("listing")
    assert cli.main(["data", "fetch", "imperialdance", str(tmp_path / "real")]) == 2
    (line,) = lines(capsys)
    assert "ConnectionError" in line and "check the network" in line
    assert not (tmp_path / "real").exists()


def test_fetch_goes_on_where_it_was_and_leaves_nothing_half_written(tmp_path, drive, capsys):
    out = tmp_path / "real"
    drive.fails.add(NAMES[1])
    assert cli.main(["data", "fetch", "imperialdance", str(out)]) == 2
    assert len(lines(capsys)) == 1
    assert [p.name for p in out.iterdir()] == NAMES[:1]
    drive.fails.clear()
    assert cli.main(["data", "fetch", "imperialdance", str(out)]) == 0
    assert drive.asked == [NAMES[0], NAMES[1], NAMES[1]]
    assert sorted(p.name for p in out.iterdir()) == NAMES


def test_fetch_leaves_no_empty_folder(tmp_path, drive):
    drive.fails.update(NAMES)
    assert cli.main(["data", "fetch", "imperialdance", str(tmp_path / "real")]) == 2
    assert not (tmp_path / "real").exists()


@pytest.fixture
def checkpoint_drive(drive):
    """The same drive with the folder of the published checkpoint."""
    drive.folder, drive.names, drive.write = checkpoint.DRIVE_FOLDER, ["readme.txt", checkpoint.FILE], saved
    return drive


def test_fetch_brings_the_checkpoint_once(tmp_path, checkpoint_drive, capsys):
    out = tmp_path / "real"
    for _ in range(2):
        assert cli.main(["data", "fetch", "checkpoint", str(out)]) == 0
        assert str(out / checkpoint.FILE) in capsys.readouterr().out.splitlines()[-1]
    assert [p.name for p in out.iterdir()] == [checkpoint.FILE] == checkpoint_drive.asked
    assert checkpoint.load_checkpoint(out / checkpoint.FILE).last.out_features == 256


@pytest.mark.parametrize(
    ("fails", "fault", "words"),
    [
        ("listing", None, ["ConnectionError", "check the network"]),
        (checkpoint.FILE, ConnectionError("gone\naway"), ["ConnectionError", "try again tomorrow"]),
        (checkpoint.FILE, RuntimeError("Too many users have viewed\nthis"), ["quota for today is spent", "again tomorrow"]),
    ],
    ids=["no network", "cut off", "quota"],
)
def test_a_checkpoint_that_does_not_come_is_one_line_and_leaves_no_file(tmp_path, checkpoint_drive, capsys, fails, fault, words):
    checkpoint_drive.fails.add(fails)
    checkpoint_drive.fault = fault
    assert cli.main(["data", "fetch", "checkpoint", str(tmp_path / "real")]) == 2
    (line,) = lines(capsys)
    assert all(word in line for word in [*words, checkpoint.DRIVE_FOLDER, "in a browser"]), line
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_comes_damaged_is_not_kept(tmp_path, checkpoint_drive, capsys):
    checkpoint_drive.write = lambda output: Path(output).write_bytes(b"<html>sign in</html>")
    assert cli.main(["data", "fetch", "checkpoint", str(tmp_path / "real")]) == 2
    (line,) = lines(capsys)
    assert "as it came: not a checkpoint" in line and checkpoint.DRIVE_FOLDER in line and ".fetch" not in line
    assert list(tmp_path.iterdir()) == []


def test_any_letter_in_a_folder_and_a_terminal_of_ascii(tmp_path):
    out = tmp_path / os.fsdecode(b"T\xc3\xa9l\xc3\xa9 \"q\" 'a' {b} $c \\ \xff")
    try:
        out.mkdir()
    except OSError:
        pytest.skip("names of files are UTF-8 here")
    done = subprocess.run(
        [sys.executable, "-m", "dancemvp_core.cli", "data", "synth", str(out), "--trials", "1", "--dancers", "unseen"],
        capture_output=True, env=os.environ | {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.isascii() and b"written to" in done.stdout, done.stderr
    sequences = list(datasets.load(out))
    assert len(sequences) == 5 * 3
    assert len(music.load_audio(sequences[0].music)[0]) > 0
    assert len(pd.read_parquet(io.BytesIO((out / "truth.parquet").read_bytes()))) == 5 * 3
    assert files.fingerprint(out) != files.fingerprint(tmp_path)


def test_a_recording_is_read_and_heard_without_torch():
    """Its import takes seconds; ``dancemvp assess`` does it while another process hears the music."""
    loaded = "import sys, dancemvp_core.assess.command, dancemvp_core.dance.music; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True).stdout == "False\n"
