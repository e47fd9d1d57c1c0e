import json
from pathlib import Path

import bvh_writer
import numpy as np
import pandas as pd
import pytest
from written_data import motion_table, moving, write_facts, write_manifest, write_motive, write_music

from dancemvp_core import datasets
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.datasets import datacard, manifest

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


def test_the_card_counts_joints_at_the_origin_as_missing(tmp_path):
    write_manifest(tmp_path, ["a.npy,TVC,60,coco17"])
    motion = np.load(tmp_path / "a.npy")
    motion[10:14, 3] = motion[50:53, 9] = 0
    np.save(tmp_path / "a.npy", motion)
    card = datacard.card(datasets.load(tmp_path))
    assert "7 joint positions at exactly 0, 0, 0 are among them" in card.overview["Missing values"]


@pytest.mark.parametrize(("names", "noted"), [("ann,bob", True), ("ann,ann", False), (",", False)])
def test_the_card_of_named_people_says_that_they_may_be_on_both_sides(tmp_path, names, noted):
    rows = [f"{file},60,coco17,{name}" for file, name in zip(("a.npy,TVC", "b.npy,CTV"), names.split(","), strict=True)]
    write_manifest(tmp_path, rows, "motion,layout,fps,skeleton,dancer")
    notes = "\n".join(datacard.card(datasets.load(tmp_path)).notes)
    assert ("without SPLIT=people" in notes) == noted


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


# --- files and labels as people have them -----------------------------------------------------------------------------

LABELS = "motion,layout,fps,skeleton,genre,level,score,dancer"


def labelled(root, rows, header=LABELS, separator=","):
    """A manifest of so many copies of one recording, each with its labels."""
    root.mkdir(parents=True, exist_ok=True)
    for i in range(len(rows)):
        np.save(root / f"{i}.npy", moving(120, 17, seed=i))
    lines = [separator.join([f"{i}.npy", "CTV", "60", "coco17", *row]) for i, row in enumerate(rows)]
    (root / "manifest.csv").write_text("\n".join([header.replace(",", separator), *lines]) + "\n")
    return root


def test_a_manifest_names_any_motion_file(tmp_path):
    motion = moving(150, 21)
    np.save(tmp_path / "a.npy", motion)
    (tmp_path / "a.npy").rename(tmp_path / "a.NPY")
    bvh_writer.write_positions(tmp_path / "b.BVH", motion, IMPERIALDANCE21, 60)
    lines = motion_table(motion, IMPERIALDANCE21, np.arange(150) / 60)
    (tmp_path / "c.csv").write_text("\n".join(";".join(line) for line in lines))
    write_motive(tmp_path / "d.csv", motion, IMPERIALDANCE21, 60, unit=1)
    (tmp_path / "manifest.csv").write_text("motion,fps,genre\na.NPY,60,x\nb.BVH,,x\nc.csv,,x\nd.csv,,x\n")
    dataset = datasets.load(tmp_path)
    assert dataset.skeleton == IMPERIALDANCE21 and list(dataset.index["fps"]) == pytest.approx([60] * 4, rel=1e-3)
    for sequence in dataset:
        np.testing.assert_allclose(sequence.motion, motion, atol=1e-4, err_msg=sequence.source)
    assert datacard.card(dataset).usable


def test_a_stated_frame_rate_stands_in_place_of_the_files(tmp_path):
    bvh_writer.write_positions(tmp_path / "b.bvh", moving(150, 21), IMPERIALDANCE21, 60)
    (tmp_path / "manifest.csv").write_text("motion,fps\nb.bvh,30\n")
    dataset = datasets.load(tmp_path)
    assert dataset.index["duration_s"].tolist() == [5.0]
    assert any("30 fps are stated and used, where the file has 60" in note for note in dataset.notes)


@pytest.mark.parametrize("fault", ["short", "truncated", "missing", "no music", "music ends"])
def test_one_bad_clip_is_left_out_and_counted(tmp_path, fault):
    labelled(tmp_path, [("x", "", "", "")] * 5)
    text = (tmp_path / "manifest.csv").read_text()
    if fault == "short":
        np.save(tmp_path / "2.npy", moving(50, 17))
    elif fault == "truncated":
        (tmp_path / "2.npy").write_bytes((tmp_path / "2.npy").read_bytes()[:500])
    elif fault == "missing":
        (tmp_path / "2.npy").unlink()
    else:
        write_music(tmp_path / "song.wav", 1.5)
        rows = text.replace("motion,", "music,motion,").split("\n")
        name = "none.wav" if fault == "no music" else "song.wav"
        text = "\n".join(row if k == 0 or not row else f"{name if k == 3 else ''},{row}" for k, row in enumerate(rows))
        (tmp_path / "manifest.csv").write_text(text)
    dataset = datasets.load(tmp_path)
    assert len(list(dataset)) == 4
    assert any(note.startswith("1 of 5 recordings are left out as unusable: 2.npy; the first: ") for note in dataset.notes)
    for name in ("0", "1", "3", "4"):
        (tmp_path / f"{name}.npy").unlink()
    with pytest.raises(DataError, match="no usable recording is left of 5"):
        datasets.load(tmp_path)


def test_spellings_of_a_label_are_one_and_na_is_empty(tmp_path):
    rows = [("Jazz", "", "", "Anna"), ("jazz", "", "", "anna"), ("JAZZ ", "", "", "Ben"), ("NA", "NA", "NA", "NaN")]
    dataset = datasets.load(labelled(tmp_path, rows))
    assert dataset.index["genre"].fillna("").tolist() == ["Jazz", "Jazz", "Jazz", ""]
    assert dataset.index["dancer"].fillna("").tolist() == ["Anna", "Anna", "Ben", ""]
    assert "genre: JAZZ, jazz is read as Jazz" in dataset.notes and "no score in any row" in "\n".join(dataset.notes)
    assert not any("columns not used" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("written", "read", "order", "note"),
    [
        (["e", "Beginner", "i"], ["expert", "beginner", "intermediate"], ("beginner", "intermediate", "expert"), None),
        (["novice", "N", "advanced"], ["beginner", "beginner", "advanced"], ("beginner", "advanced"), "novice is read as beginner"),
        (["Expert", "Novice", "Advanced", "Intermediate"], ["expert", "beginner", "advanced", "intermediate"],
         ("beginner", "intermediate", "advanced", "expert"), "novice is read as beginner"),
        (["novice", "beginner"], ["novice", "beginner"], ("novice", "beginner"), "in the order in which they appear"),
        (["grade 2", "grade 1", "Grade 2"], ["grade 2", "grade 1", "grade 2"], ("grade 2", "grade 1"), "grade 2, grade 1; state"),
    ],
)  # fmt: skip
def test_levels_are_any_ordered_list(tmp_path, written, read, order, note):
    dataset = datasets.load(labelled(tmp_path, [("x", level, "", "") for level in written]))
    assert dataset.index["level"].tolist() == read and dataset.levels == order
    assert [s.level for s in dataset] == read
    assert note is None or any(note in said for said in dataset.notes)


def test_stated_levels_are_the_order_and_the_only_ones(tmp_path):
    root = labelled(tmp_path, [("x", level, "", "") for level in ("Gold", "bronze", "silver")])
    write_facts(root, levels=["bronze", "silver", "gold", "platinum"])
    dataset = datasets.load(root)
    assert dataset.index["level"].tolist() == ["gold", "bronze", "silver"]
    assert dataset.levels == ("bronze", "silver", "gold", "platinum")
    write_facts(root, levels=["bronze", "silver"])
    with pytest.raises(DataError, match=r"manifest\.csv: level is 'Gold', expected one of dataset\.json's levels"):
        datasets.load(root)
    write_facts(root, levels="bronze")
    with pytest.raises(DataError, match=r"dataset\.json: levels is 'bronze'"):
        datasets.load(root)


def test_scores_of_a_stated_range_are_scaled(tmp_path):
    root = labelled(tmp_path, [("x", "", score, "") for score in ("7.5", "10", "")])
    assert datasets.load(root).index["score"].fillna(-1).tolist() == [7.5, 10, -1]
    assert any("all scores are 7.5 to 10 and taken as of 0 to 100" in note for note in datasets.load(root).notes)
    write_facts(root, score_range=[0, 10])
    assert datasets.load(root).index["score"].fillna(-1).tolist() == [75, 100, -1]
    write_facts(root, score_range=[0, 9])
    with pytest.raises(DataError, match=r"line 3: score is .10., expected a number, 0\.\.9"):
        datasets.load(root)
    write_facts(root, score_range=[10, 0])
    with pytest.raises(DataError, match=r"score_range is \[10, 0\]"):
        datasets.load(root)


def test_a_table_of_a_german_spreadsheet(tmp_path):
    root = labelled(tmp_path, [("größe", "", "62,5", "")], separator=";")
    path = root / "manifest.csv"
    path.write_bytes(b"sep=;\r\n" + path.read_text().encode("cp1252"))
    index = datasets.load(root).index
    assert index["genre"].tolist() == ["größe"] and index["score"].tolist() == [62.5]


CASES = Path(__file__).parents[3] / "shared" / "cases"


@pytest.mark.parametrize(
    ("folder", "count"),
    [("20_manifest_labels", 4), ("30_one_frozen_clip", 3), ("30_one_short_clip", 3), ("30_dancer_column", 2), ("30_novice", 3),
     ("30_score_0_10", 3), ("30_bvh_in_manifest", 1), ("19_aist_ignore_list", 1)],
)  # fmt: skip
def test_small_sets_of_others_are_read(folder, count):
    if not CASES.is_dir():
        pytest.skip("no folder of small inputs beside the checkout")
    dataset = datasets.load(CASES / folder)
    assert len(list(dataset)) == count and datacard.card(dataset).usable
