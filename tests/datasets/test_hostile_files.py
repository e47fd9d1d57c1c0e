"""Bad input: one line that names the file, the fault and what was expected, and nothing in it is run."""

import io
import os
import pickle
import random
import zipfile

import numpy as np
import pandas as pd
import pytest
import soundfile
from written_data import (
    moving,
    write_aistpp,
    write_facts,
    write_imperialdance,
    write_manifest,
    write_music,
)

from dancemvp_core import datasets
from dancemvp_core.dance import pieces
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.datasets import aistpp, datacard, motionfiles
from dancemvp_core.formats import npy

NAME = "dance_level_e_b_ch0.npy"
FULL = "motion,layout,fps,skeleton,music,music_offset_s,genre,choreography,level,trial,score,split"


class Marker:
    """A pickle that, once run, leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def refused(call, *named):
    """The message of the DataError that ``call`` must raise: one line with all of ``named`` in it."""
    with pytest.raises(DataError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in named:
        assert word in message, message
    return message


def tree(root, array=None, name=NAME):
    write_imperialdance(root, ("b1",), ("expert",), trials=1)
    np.save(root / name, moving(trials=2) if array is None else array)
    return root


@pytest.mark.parametrize(
    "name",
    [
        "dance_level_x_b_ch0.npy",
        "dance_level_e_z_ch0.npy",
        "dance_level_e_b_ch5.npy",
        "dance_level_e_h_ch2.npy",
        "dance_level_e_b_ch00.npy",
        "dance_level_e_b_ch0 (1).npy",
        "dance_e_b_0.npy",
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_wrong_name(tmp_path, name, alone):
    if not alone:
        write_imperialdance(tmp_path, ("b1",), ("expert",), trials=1)
    np.save(tmp_path / name, moving(trials=1))
    refused(lambda: datasets.load(tmp_path), name, "expected dance_level_{e|i|b}_{b|k|j|h|u}_ch{n}.npy")


def test_wrong_ending(tmp_path):
    (tmp_path / "dance_level_e_b_ch0.txt").write_text("not motion")
    refused(lambda: datasets.load(tmp_path), "dance_level_e_b_ch0.txt", "expected dance_level_")


@pytest.mark.parametrize(
    "shape",
    [(2, 3, 900, 21), (2, 1000, 3, 21), (3, 1000, 21), (2, 3, 1000, 17), (0, 3, 1000, 21), (2, 2, 1000, 21), ()],
)
def test_wrong_shape_or_joint_count(tmp_path, shape):
    tree(tmp_path, np.zeros(shape, np.float32))
    refused(lambda: datasets.load(tmp_path), NAME, str(shape), "expected (trials, 3, 1000, 21)")


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "complex64", "U4", "M8[s]", "f4,f4"])
def test_wrong_dtype(tmp_path, dtype):
    tree(tmp_path, np.zeros((1, 3, 1000, 21), dtype))
    refused(lambda: datasets.load(tmp_path), NAME, "expected a float array")


def test_truncated_file(tmp_path):
    tree(tmp_path)
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-1000])
    refused(lambda: datasets.load(tmp_path), NAME, "truncated")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff{", b"hello", b"\x93NUMPY\x09\x00"])
def test_a_file_that_is_no_npy(tmp_path, content):
    tree(tmp_path)
    (tmp_path / NAME).write_bytes(content)
    refused(lambda: datasets.load(tmp_path), NAME, "not a .npy file")


def test_an_archive_named_npy(tmp_path):
    tree(tmp_path)
    with zipfile.ZipFile(tmp_path / NAME, "w") as archive:
        archive.writestr("a.npy", b"0")
    refused(lambda: datasets.load(tmp_path), NAME, "not a .npy file")


def test_object_arrays_and_pickles_named_npy_are_not_run(tmp_path):
    marker = tmp_path / "executed"
    tree(tmp_path)
    np.save(tmp_path / NAME, np.array([Marker(marker)], dtype=object), allow_pickle=True)
    refused(lambda: datasets.load(tmp_path), NAME, "Python objects", "expected a float array")
    (tmp_path / NAME).write_bytes(pickle.dumps(Marker(marker)))
    refused(lambda: datasets.load(tmp_path), NAME, "not a .npy file")
    assert not marker.exists()


@pytest.mark.parametrize("key", ["keypoints3d_optim", "keypoints3d"])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_pickles_with_code_are_not_run(tmp_path, key, protocol):
    marker = tmp_path / "executed"
    path = write_aistpp(tmp_path)
    path.write_bytes(pickle.dumps({key: Marker(marker)}, protocol=protocol))
    refused(lambda: datasets.load(tmp_path), path.name, "system", "refused", "expected numpy arrays")
    assert not marker.exists()
    pickle.loads(path.read_bytes())  # the trap is a working one
    assert marker.exists()


@pytest.mark.parametrize(
    "name", ["builtins.eval", "numpy.load", "numpy.f2py.compile", "numpy.core.multiarray.fromfile", "os.getcwd"]
)
def test_only_array_names_are_admitted(tmp_path, name):
    module, _, attribute = name.rpartition(".")
    path = write_aistpp(tmp_path)
    path.write_bytes(f"c{module}\n{attribute}\n.".encode())
    refused(lambda: aistpp.read_keypoints(path), path.name, name, "refused")


def test_other_codecs_are_not_run(tmp_path):
    path = write_aistpp(tmp_path)
    path.write_bytes(b"c_codecs\nencode\n(Vabc\nVrot13\ntR.")
    refused(lambda: aistpp.read_keypoints(path), path.name, "codec 'rot13'", "refused")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([1, 2], "no keypoints"),
        ({"keypoints2d": np.zeros((90, 17, 3))}, "no keypoints"),
        ({"keypoints3d": [[0.0]]}, "no keypoints"),
        ({"keypoints3d": np.zeros((90, 17, 2))}, "shape of keypoints3d is (90, 17, 2)"),
        ({"keypoints3d": np.zeros((90, 21, 3))}, "shape of keypoints3d is (90, 21, 3)"),
        ({"keypoints3d": np.zeros((90, 17, 3), int)}, "dtype of keypoints3d is int64"),
        ({"keypoints3d": np.full((2, 2), None)}, "dtype of keypoints3d is object"),
    ],
)
def test_pickles_with_other_content(tmp_path, content, named):
    path = write_aistpp(tmp_path)
    path.write_bytes(pickle.dumps(content))
    refused(lambda: datasets.load(tmp_path), path.name, named, "(frames, 17, 3)")


@pytest.mark.parametrize("name", ["gXX_sBM_cAll_d04_mBR2_ch08.pkl", "dance.pkl", "gBR_sBM_cAll_d04_mBR2.pkl"])
def test_wrong_pickle_name(tmp_path, name):
    write_aistpp(tmp_path, name)
    refused(lambda: datasets.load(tmp_path), name, "expected g{genre}_s{situation}")


def test_damaged_files_never_raise_anything_else(tmp_path):
    dice = random.Random(0)
    pickled = write_aistpp(tmp_path / "a", frames=2).read_bytes()
    stored = io.BytesIO()
    np.save(stored, moving(20, 5))
    stored = stored.getvalue()
    for _ in range(600):
        for content, read, end in ((pickled, aistpp.read_keypoints, 350), (stored, npy.open_npy, 128)):
            damaged = bytearray(content[: dice.choice([len(content), dice.randrange(len(content))])])
            for _ in range(dice.randrange(4)):
                if damaged:
                    damaged[dice.randrange(min(end, len(damaged)))] = dice.randrange(256)
            path = tmp_path / "damaged"
            path.write_bytes(bytes(damaged))
            try:
                read(path)
            except DataError as fault:
                assert "\n" not in str(fault) and "damaged" in str(fault)


def broken(fault):
    motion = moving(trials=2)
    if fault == "nan":
        motion[1, :, 300:400, 6] = np.nan
    elif fault == "all nan":
        motion[1] = np.nan
    elif fault == "inf":
        motion[1, 0, 300, 6] = np.inf
    elif fault == "still":
        motion[1, :, 300:351] = motion[1, :, 300:301]
    return motion


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("nan", ("joint LHand is missing (NaN) for 1.00 s from 3.00 s", "at most 0.5 s")),
        ("all nan", ("missing (NaN) for 10.00 s",)),
        ("inf", ("1 infinite values", "3.00 s")),
        ("still", ("constant frames", "0.50 s from 3.00 s", "expected a moving body")),
    ],
)
def test_nan_and_infinite_runs_and_constant_frames(tmp_path, fault, named):
    tree(tmp_path, broken(fault))
    dataset = datasets.load(tmp_path)
    assert dataset.sequences[0].trial == 0
    refused(lambda: dataset.sequences[1], NAME, "trial 1", *named)
    card = datacard.card(tmp_path)
    assert not card.usable and len(card.errors) == 1
    assert all(word in card.errors[0] for word in (NAME, "trial 1", *named))


@pytest.mark.parametrize("fault", ["all nan", "still"])
def test_one_bad_trial_is_left_out_and_does_not_end_the_run(tmp_path, fault):
    write_imperialdance(tmp_path, ("b0",), ("expert",), motion=broken(fault)[::-1])  # the first trial of two
    dataset = datasets.load(tmp_path)
    splits = pd.Series(["pretrain"] * len(dataset))
    cut = pieces.build(dataset, splits, np.ones(len(dataset), bool), pieces.Cutting(20))
    (said,) = cut.left_out
    assert "dance_level_e_b_ch0.npy: trial 0" in said
    assert set(cut.table["trial"]) == set(cut.table["sequence"]) == {1} and list(cut.sequences.index) == [1]
    cut.save(tmp_path / "pieces")
    assert list(pieces.PieceSet.load(tmp_path / "pieces").sequences.index) == [1]


def test_without_a_usable_trial_the_cut_says_so(tmp_path):
    write_imperialdance(tmp_path, ("b0",), ("expert",), motion=broken("all nan")[1:])
    dataset = datasets.load(tmp_path)
    with pytest.raises(DataError, match=r"dance_level_e_b_ch0\.npy.*none is left to cut"):
        pieces.build(dataset, pd.Series(["pretrain"]), np.ones(1, bool), pieces.Cutting(20))


def test_a_body_that_holds_still_for_less_is_not_refused(tmp_path):
    motion = moving(trials=1)
    motion[0, :, 300:350] = motion[0, :, 300:301]
    tree(tmp_path, motion)
    assert len(list(datasets.load(tmp_path))) == 2


@pytest.mark.parametrize(
    ("motion", "named"),
    [
        (np.zeros((3, 100, 21), int), "dtype is int64"),
        (np.zeros((21, 100, 3), np.float32), "expected (3, frames, 21)"),
        (np.zeros((3, 100, 17), np.float32), "expected (3, frames, 21)"),
        (moving(40), "lasts 0.40 s"),
    ],
)
def test_the_shared_check_of_motion(motion, named):
    refused(lambda: motionfiles.check_motion(motion, IMPERIALDANCE21, 100, "some file"), "some file", named)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("b,0,e,0,140", ("line 3", "score is '140'", "0..100")),
        ("b,0,e,0,-1", ("score is '-1'",)),
        ("b,0,e,0,nan", ("score is 'nan'",)),
        ("b,0,e,0,inf", ("score is 'inf'",)),
        ("b,0,e,0,", ("score is ''",)),
        ("b,0,e,0,good", ("score is 'good'",)),
        ("x,0,e,0,50", ("genre is 'x'",)),
        ("b,9,e,0,50", ("choreography is '9'",)),
        ("b,k0,e,0,50", ("choreography is 'k0'",)),
        ("b,0,master,0,50", ("level is 'master'",)),
        ("b,0,e,-1,50", ("trial is '-1'",)),
        ("b,0,e,1.5,50", ("trial is '1.5'",)),
        ("b,0,e,7,60", ("a second score for b0 expert trial 7",)),
        ("b,0,e,0,50,9", ("6 cells, expected 5",)),
    ],
)
def test_wrong_scores(tmp_path, row, named):
    tree(tmp_path)
    (tmp_path / "scores.csv").write_text(f"genre,choreography,level,trial,score\nb,0,e,7,50\n{row}\n")
    refused(lambda: datasets.load(tmp_path), "scores.csv", *named)


@pytest.mark.parametrize("row", ["b,0,10.5", "b,0,-1", "b,0,x", "b,0,2"])
def test_wrong_music_intensity(tmp_path, row):
    tree(tmp_path)
    (tmp_path / "music_intensity.csv").write_text(f"genre,choreography,time_s\nb,0,2\n{row}\n")
    refused(lambda: datasets.load(tmp_path), "music_intensity.csv", "line 3")


@pytest.mark.parametrize("content", [b"", b"a,b\n", b"\xff\xfe\x00", b"genre,genre,choreography,level,trial,score\n"])
def test_tables_that_are_none(tmp_path, content):
    tree(tmp_path)
    (tmp_path / "scores.csv").write_bytes(content)
    refused(lambda: datasets.load(tmp_path), "scores.csv", "expected")


@pytest.mark.parametrize(
    "facts",
    [{"name": "../../elsewhere"}, {"name": ""}, {"name": 3}, {"synthetic": "yes"}, {"name": "a/b"}]
    + [{"up": up} for up in ("w", "Z", "--z", "", 3, None, ["z"], {})],
)
def test_wrong_dataset_json(tmp_path, facts):
    tree(tmp_path)
    write_facts(tmp_path, **facts)
    refused(lambda: datasets.load(tmp_path), "dataset.json", "expected")


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_broken_dataset_json(tmp_path, text):
    tree(tmp_path)
    (tmp_path / "dataset.json").write_text(text)
    refused(lambda: datasets.load(tmp_path), "dataset.json")


def test_text_called_wav(tmp_path):
    tree(tmp_path)
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "b_ch0.wav").write_text("la la la")
    refused(lambda: datasets.load(tmp_path), "b_ch0.wav", "not readable as audio", "expected WAV")


def test_half_a_second_of_music(tmp_path):
    tree(tmp_path)
    write_music(tmp_path / "music" / "b_ch0.wav", 0.5)
    refused(lambda: datasets.load(tmp_path), "b_ch0.wav", "0.50 s", "expected at least 1 s")


def test_two_files_for_one_piece_of_music(tmp_path):
    tree(tmp_path)
    for name in ("b_ch0.wav", "b_ch0.flac"):
        write_music(tmp_path / "music" / name, 12)
    refused(lambda: datasets.load(tmp_path), "b_ch0.wav", "b_ch0.flac", "expected one file")


def test_silent_music_is_found_by_the_card(tmp_path):
    tree(tmp_path)
    write_music(tmp_path / "music" / "b_ch0.wav", 12, silent=True)
    card = datacard.card(tmp_path)
    (error,) = card.errors
    assert "b_ch0.wav" in error and "silent" in error and "\n" not in error


def test_music_of_another_name_is_noted(tmp_path):
    tree(tmp_path)
    write_music(tmp_path / "music" / "ballet.wav", 12)
    assert any("music/ballet.wav is not used" in note for note in datasets.load(tmp_path).notes)


@pytest.mark.parametrize("kind", ["empty", "missing", "text"])
def test_nothing_to_open(tmp_path, kind):
    path = {"empty": tmp_path, "missing": tmp_path / "nowhere", "text": tmp_path / "a.txt"}[kind]
    if kind == "text":
        path.write_text("hello")
    refused(lambda: datasets.load(path), str(path), "manifest.csv", "keypoints3d/", "dance_level_")


def test_an_empty_keypoints_folder(tmp_path):
    (tmp_path / "keypoints3d").mkdir()
    refused(lambda: datasets.load(tmp_path), "keypoints3d", "no usable motion")


def test_every_file_at_fault_is_told(tmp_path):
    tree(tmp_path, np.zeros((1, 3, 10, 21)))
    np.save(tmp_path / "dance_level_x.npy", np.zeros(3))
    with pytest.raises(DataError) as caught:
        datasets.load(tmp_path)
    assert NAME in str(caught.value) and len(caught.value.__notes__) == 1
    assert "dance_level_x.npy" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("", ("no rows",)),
        ("gone.npy,TVC,60,coco17", ("line 2", "'gone.npy' does not exist")),
        (",TVC,60,coco17", ("motion is empty",)),
        ("a.npy,VTC,60,coco17", ("layout is 'VTC'", "TVC")),
        ("a.npy,CTV,60,coco17", ("a.npy has shape (120, 17, 3)", "expected (3, frames, 17) for CTV")),
        ("a.npy,TVC,60,imperialdance21", ("a.npy has shape (120, 17, 3)", "21")),
        ("a.npy,TVC,0,coco17", ("fps is '0'",)),
        ("a.npy,TVC,nan,coco17", ("fps is 'nan'",)),
        ("a.npy,TVC,fast,coco17", ("fps is 'fast'",)),
        ("a.npy,TVC,240,coco17", ("a.npy: lasts 0.50 s", "at least 1 s")),
        ("a.npy,TVC,60,stick", ("skeleton is 'stick'", "coco17")),
        ("a.npy,TVC,60,gone.json", ("'gone.json' does not exist",)),
        ("a.npy,TVC,60,coco17,gone.wav", ("'gone.wav' does not exist",)),
        ("a.npy,TVC,60,coco17,short.wav", ("short.wav lasts 1.50 s", "0 to 2.00 s")),
        ("a.npy,TVC,60,coco17,long.wav,19", ("long.wav lasts 20.00 s", "19 to 21.00 s")),
        ("a.npy,TVC,60,coco17,long.wav,-1", ("music_offset_s is '-1'",)),
        ("a.npy,TVC,60,coco17,half.wav", ("half.wav", "0.50 s")),
        ("a.npy,TVC,60,coco17,text.wav", ("text.wav", "not readable as audio")),
        ("a.npy,TVC,60,coco17,,,,,,first", ("trial is 'first'",)),
        ("a.npy,TVC,60,coco17,,,,,,,140", ("score is '140'", "0..100")),
        ("a.npy,TVC,60,coco17,,,,,,,,train", ("split is 'train'",)),
        ("a.npy,TVC,60,coco17\na.npy,TVC,60,coco17", ("line 3", "'a.npy' is also in line 2")),
        ("a.npy,TVC,60,coco17\n./a.npy,TVC,30,coco17", ("line 3", "is also in line 2")),
        ("int.npy,TVC,60,coco17", ("int.npy", "dtype is int64")),
        ("object.npy,TVC,60,coco17", ("object.npy", "Python objects")),
        ('a.npy,TVC,60,"coco17\nx"', ("skeleton is 'coco17\\nx'",)),
    ],
)
def test_wrong_manifest_rows(tmp_path, row, named):
    write_manifest(tmp_path, [row], FULL)
    for name, seconds in (("short", 1.5), ("long", 20), ("half", 0.5)):
        write_music(tmp_path / f"{name}.wav", seconds)
    (tmp_path / "text.wav").write_text("la la la")
    np.save(tmp_path / "int.npy", np.zeros((120, 17, 3), int))
    np.save(tmp_path / "object.npy", np.full((120, 17, 3), None), allow_pickle=True)
    refused(lambda: datasets.load(tmp_path), str(tmp_path), *named)


@pytest.mark.parametrize("column", ["motion", "music", "skeleton"])
@pytest.mark.parametrize("how", ["dots", "absolute", "link", "linked folder"])
def test_paths_that_lead_out_of_the_folder(tmp_path, column, how):
    root, outside = tmp_path / "set", tmp_path / "private"
    write_manifest(root, [])
    write_manifest(outside, [])
    write_music(outside / "song.wav", 5)
    (outside / "body.json").write_text("{}")
    name = {"motion": "a.npy", "music": "song.wav", "skeleton": "body.json"}[column]
    if how == "dots":
        text = f"../private/{name}"
    elif how == "absolute":
        text = str(outside / name)
    elif how == "link":
        text = f"link-{name}"
        (root / text).symlink_to(outside / name)
    else:
        text = f"folder/{name}"
        (root / "folder").symlink_to(outside)
    cells = {"motion": "a.npy", "skeleton": "coco17", "music": ""} | {column: text}
    row = f"{cells['motion']},TVC,60,{cells['skeleton']},{cells['music']}"
    (root / "manifest.csv").write_text(f"motion,layout,fps,skeleton,music\n{row}\n")
    refused(lambda: datasets.load(root), "manifest.csv: line 2", f"{column} {text!r}", "leads out of")


def test_a_data_folder_that_is_itself_a_link_is_fine(tmp_path):
    write_manifest(tmp_path / "real", ["a.npy,TVC,60,coco17"])
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert len(datasets.load(tmp_path / "link")) == 1


@pytest.mark.parametrize("fault", ["nan", "inf", "still"])
def test_motion_faults_in_a_manifest(tmp_path, fault):
    write_manifest(tmp_path, ["a.npy,TVC,60,coco17", "b.npy,CTV,100,coco17"])
    motion = moving(150, 17)
    if fault == "still":
        motion[:] = motion[:, :1]
    else:
        motion[:, 20:90, 3] = float(fault)
    np.save(tmp_path / "b.npy", motion)
    dataset = datasets.load(tmp_path)
    assert len(dataset) == len(list(dataset)) == 1 and dataset.index["file"].tolist() == ["a.npy"]
    (note,) = [note for note in datacard.card(dataset).notes if "as unusable" in note]
    assert note.startswith("1 of 2 recordings are left out as unusable: b.npy; the first: ") and "line 3" in note
    (tmp_path / "manifest.csv").write_text("motion,layout,fps,skeleton\nb.npy,CTV,100,coco17\n")
    refused(lambda: datasets.load(tmp_path), "b.npy", "line 2")


def test_audio_that_ends_in_nothing(tmp_path):
    tree(tmp_path)
    (tmp_path / "music").mkdir()
    soundfile.write(tmp_path / "music" / "b_ch0.wav", np.zeros(0), 8000)
    refused(lambda: datasets.load(tmp_path), "b_ch0.wav", "expected at least 1 s")
