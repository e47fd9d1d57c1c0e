import json

import numpy as np
import pandas as pd
import pytest
from written_data import moving, write_facts, write_manifest, write_music

from dancemvp_core import datasets
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.datasets import manifest

FULL = "motion,layout,fps,skeleton,music,music_offset_s,genre,choreography,level,trial,score,split"


@pytest.mark.parametrize("where", ["", "manifest.csv"])
def test_both_layouts_become_xyz_first_views(tmp_path, where):
    write_manifest(tmp_path, ["a.npy,TVC,60,coco17", "b.npy,CTV,100,coco17"])
    dataset = datasets.load(tmp_path / where)
    a, b = dataset
    assert a.motion.shape == (3, 120, 17) and b.motion.shape == (3, 150, 17)
    assert (a.duration_s, b.duration_s) == (2.0, 1.5)
    np.testing.assert_array_equal(a.motion, np.load(tmp_path / "a.npy").transpose(2, 0, 1))
    np.testing.assert_array_equal(b.motion, np.load(tmp_path / "b.npy"))
    for motion in (a.motion, b.motion):
        assert isinstance(motion, np.memmap) and motion.dtype == np.float32
    assert list(dataset.index["duration_s"]) == [2.0, 1.5]


def test_all_columns_reach_the_sequence(tmp_path):
    write_manifest(tmp_path, ["a.npy,TVC,60,coco17,song.wav,1.5,salsa,c1,Expert,3,99.5,test"], FULL)
    track = write_music(tmp_path / "song.wav", 5)
    (s,) = datasets.load(tmp_path)
    assert (s.music, s.music_offset_s, s.music_window_s) == (track, 1.5, None)
    assert (s.genre, s.choreography, s.level, s.trial, s.score) == ("salsa", "c1", "expert", 3, 99.5)
    assert s.split == "test" and "a.npy" in s.source and "line 2" in s.source
    row = datasets.load(tmp_path).index.iloc[0]
    assert (row["music"], row["track"], row["file"]) == ("song.wav", "song.wav", "a.npy")


@pytest.mark.parametrize("header", ["motion,layout,fps,skeleton", FULL])
def test_what_is_absent_or_empty_is_unknown_and_noted(tmp_path, header):
    write_manifest(tmp_path, ["a.npy,TVC,60,coco17" + "," * (header.count(",") - 3)], header)
    dataset = datasets.load(tmp_path)
    (s,) = dataset
    labels = (s.music, s.genre, s.choreography, s.level, s.trial, s.score, s.split)
    assert labels == (None,) * 7 and s.music_offset_s == 0
    notes = "\n".join(dataset.notes)
    for name in ("music", "genre", "choreography", "level", "trial", "score"):
        assert f"no {name} in any row: " in notes
    assert dataset.index[["genre", "choreography", "trial", "score", "split"]].isna().all(axis=None)


def test_partly_empty_columns_are_counted_and_unknown_ones_named(tmp_path):
    rows = ["a.npy,TVC,60,coco17,salsa,x", "b.npy,CTV,100,coco17,,y"]
    write_manifest(tmp_path, rows, "motion,layout,fps,skeleton,genre,colour")
    dataset = datasets.load(tmp_path)
    assert [s.genre for s in dataset] == ["salsa", None]
    notes = "\n".join(dataset.notes)
    assert "no genre in 1 of 2 rows" in notes and "columns not used: colour" in notes
    assert "recordings last 1.5 to 2.0 s" in notes


def test_a_skeleton_of_ones_own(tmp_path):
    body = {"name": "stick", "joints": ["a", "b", "c"], "parents": [1, -1, 0], "pairs": []}
    write_manifest(tmp_path, ["s.npy,TVC,50,body.json", "t.npy,TVC,50,body.json"])
    for seed, name in enumerate(("s.npy", "t.npy")):
        np.save(tmp_path / name, moving(100, 3, seed=seed).transpose(1, 2, 0))
    (tmp_path / "body.json").write_text(json.dumps(body))
    dataset = datasets.load(tmp_path)
    assert dataset.skeleton.joints == ("a", "b", "c") and dataset.skeleton.root == 1 and len(dataset) == 2
    body["parents"] = [1, 0, 0]
    (tmp_path / "body.json").write_text(json.dumps(body))
    with pytest.raises(DataError, match=r"body\.json: not a skeleton"):
        datasets.load(tmp_path)


def test_skeletons_cannot_be_mixed(tmp_path):
    write_manifest(tmp_path, ["a.npy,TVC,60,coco17", "c.npy,TVC,60,imperialdance21"])
    np.save(tmp_path / "c.npy", moving(120, 21).transpose(1, 2, 0))
    with pytest.raises(DataError, match="2 skeletons"):
        datasets.load(tmp_path)


def test_a_split_is_for_all_rows_or_none(tmp_path):
    header = "motion,layout,fps,skeleton,split"
    write_manifest(tmp_path, ["a.npy,TVC,60,coco17,pretrain", "b.npy,CTV,60,coco17,test"], header)
    assert [s.split for s in datasets.load(tmp_path)] == ["pretrain", "test"]
    write_manifest(tmp_path, ["a.npy,TVC,60,coco17,pretrain", "b.npy,CTV,60,coco17,"], header)
    with pytest.raises(DataError, match="1 of 2 rows have a split"):
        datasets.load(tmp_path)


def test_spreadsheets_marks_blank_lines_and_crlf_are_no_trouble(tmp_path):
    write_manifest(tmp_path, [])
    text = "\ufeffmotion, layout ,fps,skeleton,genre\r\na.npy,TVC,60,coco17\r\n,,,,\r\n\r\n"
    (tmp_path / "manifest.csv").write_bytes(text.encode())
    assert len(datasets.load(tmp_path)) == 1


def test_files_in_subfolders_and_any_csv_name(tmp_path):
    write_manifest(tmp_path, [])
    (tmp_path / "takes").mkdir()
    (tmp_path / "a.npy").rename(tmp_path / "takes" / "one.npy")
    (tmp_path / "mine.csv").write_text("motion,layout,fps,skeleton\ntakes/../takes/one.npy,TVC,60,coco17\n")
    assert len(datasets.load(tmp_path / "mine.csv")) == 1


def test_many_recordings_can_be_held_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "MAPPED_FILES", 1)
    write_manifest(tmp_path, ["a.npy,TVC,60,coco17", "b.npy,CTV,60,coco17"])
    for s in datasets.load(tmp_path):
        assert not isinstance(s.motion, np.memmap) and s.motion.dtype == np.float32


def test_the_name_is_the_folders_or_dataset_jsons(tmp_path):
    root = write_manifest(tmp_path / "my dances, 2024", ["a.npy,TVC,60,coco17"])
    assert datasets.load(root).name == "my-dances-2024"
    write_facts(root, name="salsa", synthetic=True)
    assert datasets.load(root).name == "salsa" and datasets.load(root).synthetic


def test_a_manifest_goes_before_the_motion_beside_it(tmp_path):
    write_manifest(tmp_path, ["a.npy,TVC,60,coco17"])
    np.save(tmp_path / "dance_level_e_b_ch0.npy", moving(trials=1))
    assert datasets.load(tmp_path).skeleton.name == "coco17"


def test_index_types_survive_parquet(tmp_path):
    write_manifest(tmp_path, ["a.npy,TVC,60,coco17,,,salsa,c1,e,3,50,test"], FULL)
    index = datasets.load(tmp_path).index
    index.to_parquet(tmp_path / "index.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "index.parquet"), index)
