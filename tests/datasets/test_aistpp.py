import pickle
from pathlib import Path

import numpy as np
import pytest
from written_data import AIST_NAME, moving, write_aistpp, write_music

from dancemvp_core import datasets
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import COCO17
from dancemvp_core.datasets import aistpp

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "aistpp"
real = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real AIST++ samples are not beside this checkout")


def keypoints(frames=90, seed=0):
    return 100 * moving(frames, 17, seed=seed).transpose(1, 2, 0).astype(np.float64)


@real
def test_the_real_samples_are_read_as_they_are():
    dataset = datasets.load(SAMPLES)
    assert [s.genre for s in dataset] == ["break", "break", "street jazz", "street jazz"]
    assert [s.motion.shape for s in dataset] == [(3, 576, 17)] * 3 + [(3, 1919, 17)]
    assert list(dataset.index["dancer"]) == ["d04", "d06", "d03", "d02"]
    assert list(dataset.index["track"]) == ["mBR2", "mBR2", "mJS2", "mJS4"]
    assert dataset.sequences[0].choreography == "gBR_sBM_mBR2_ch08"
    for sequence, path in zip(dataset, sorted((SAMPLES / "keypoints3d").glob("*.pkl")), strict=True):
        assert sequence.skeleton is COCO17 and sequence.fps == 60 and sequence.trial is None
        stored = pickle.loads(path.read_bytes())["keypoints3d_optim"]
        np.testing.assert_array_equal(sequence.motion, stored.transpose(2, 0, 1).astype(np.float32))


@real
def test_a_real_body_stands_upright_in_centimetres():
    c = {name: datasets.load(SAMPLES).sequences[2].motion[:, :, i] for i, name in enumerate(COCO17.joints)}
    shin = np.linalg.norm(c["left_knee"] - c["left_ankle"], axis=0)
    assert 25 < np.median(shin) < 55
    assert np.median(c["nose"][1]) > np.median(c["left_hip"][1]) > np.median(c["left_ankle"][1])


@real
def test_the_raw_keypoints_of_the_real_samples_are_bridged_or_dropped(tmp_path):
    counts = []
    for path in sorted((SAMPLES / "keypoints3d").glob("*.pkl")):
        raw = pickle.loads(path.read_bytes())["keypoints3d"]
        counts.append(int(np.isnan(raw).sum()))
        write_aistpp(tmp_path, path.name, motion=raw, key="keypoints3d")
    assert sorted(counts) == [0, 0, 72, 282]
    dataset = aistpp.load(tmp_path, gap_s=60.0)
    assert len(dataset) == 4 and all(np.isfinite(s.motion).all() for s in dataset)
    assert any("4 of 4 files have no keypoints3d_optim" in note for note in dataset.notes)
    strict = aistpp.load(tmp_path, gap_s=0.0)
    assert len(strict) == 2
    assert any("2 of 4 sequences are left out" in note for note in strict.notes)


@pytest.mark.parametrize("where", [".", "keypoints3d"])
def test_the_folder_above_and_the_folder_itself_open(tmp_path, where):
    write_aistpp(tmp_path)
    dataset = datasets.load(tmp_path / where)
    assert len(dataset) == 1 and dataset.root == tmp_path and dataset.name == "aistpp"


def test_optimised_keypoints_are_preferred(tmp_path):
    path = write_aistpp(tmp_path)
    raw, better = keypoints(seed=1), keypoints(seed=2)
    path.write_bytes(pickle.dumps({"keypoints3d": raw, "keypoints3d_optim": better}))
    np.testing.assert_array_equal(datasets.load(tmp_path).sequences[0].motion, better.transpose(2, 0, 1).astype(np.float32))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_every_protocol_and_numpy_are_admitted(tmp_path, protocol, core, order):
    points = np.asarray(keypoints(), order=order)
    path = write_aistpp(tmp_path, motion=points, protocol=protocol)
    written = path.read_bytes()
    # numpy 1 named its modules one character shorter; the length byte of a short string goes with it.
    name = written.index(b"numpy._core.")
    end = name + len(b"numpy._core.numeric" if b"numpy._core.numeric" in written else b"numpy._core.multiarray")
    renamed = written[name:end].replace(b"numpy._core", core)
    length = bytes([len(renamed)]) if protocol >= 4 else written[name - 1 : name]
    path.write_bytes(written[: name - 1] + length + renamed + written[end:])
    if protocol >= 4:  # the frame's own length must agree as well
        content = bytearray(path.read_bytes())
        frame = int.from_bytes(content[3:11], "little")
        content[3:11] = (frame + len(renamed) - (end - name)).to_bytes(8, "little")
        path.write_bytes(bytes(content))
    motion, _ = aistpp.read_keypoints(path)
    np.testing.assert_array_equal(motion, points.transpose(2, 0, 1).astype(np.float32))


def test_sequences_with_long_gaps_are_left_out_and_counted(tmp_path):
    bridged, broken = keypoints(seed=1), keypoints(seed=2)
    bridged[10:40, 5] = np.nan  # 0.5 s at 60 fps
    broken[10:41, 5] = np.nan
    write_aistpp(tmp_path, AIST_NAME, motion=bridged)
    write_aistpp(tmp_path, "gPO_sBM_cAll_d10_mPO1_ch02.pkl", motion=broken)
    dataset = datasets.load(tmp_path)
    assert [s.genre for s in dataset] == ["break"]
    assert np.isfinite(dataset.sequences[0].motion).all()
    (note,) = [n for n in dataset.notes if "left out as unusable" in n]
    assert note.startswith("1 of 2 sequences") and "gPO_sBM_cAll_d10_mPO1_ch02.pkl" in note
    assert "joint left_shoulder is missing (NaN) for 0.52 s from 0.17 s" in note
    assert len(aistpp.load(tmp_path, gap_s=0.6)) == 2


def test_nothing_usable_is_an_error(tmp_path):
    write_aistpp(tmp_path, motion=np.full((90, 17, 3), np.nan))
    with pytest.raises(DataError, match=rf"no usable motion.*{AIST_NAME}"):
        datasets.load(tmp_path)


@pytest.mark.parametrize("inside", [True, False])
def test_music_is_found_by_its_id(tmp_path, inside):
    root, elsewhere = tmp_path / "aist", tmp_path / "tracks"
    write_aistpp(root)
    write_aistpp(root, "gPO_sBM_cAll_d10_mPO1_ch02.pkl")
    track = write_music((root / "music" if inside else elsewhere) / "mBR2.wav", 20)
    dataset = datasets.load(root, music=None if inside else elsewhere)
    assert [s.music for s in dataset] == [track, None]
    assert any("no music for mPO1" in note for note in dataset.notes)


def test_music_shorter_than_the_dance_is_not_used(tmp_path):
    write_aistpp(tmp_path, frames=240)
    write_music(tmp_path / "music" / "mBR2.wav", 3)
    dataset = datasets.load(tmp_path)
    assert dataset.sequences[0].music is None
    assert any("music ends before the dance in mBR2.wav" in note for note in dataset.notes)


def test_what_aistpp_lacks_is_noted(tmp_path):
    write_aistpp(tmp_path)
    notes = "\n".join(datasets.load(tmp_path).notes)
    assert "no levels" in notes and "no scores" in notes and "no music for mBR2" in notes


def test_all_ten_genres_have_a_name():
    assert len(set(aistpp.GENRES.values())) == 10
    label = aistpp.parse_file_name(Path("gJB_sFM_cAll_d07_mJB3_ch01.pkl"))
    assert label == {
        "genre": "ballet jazz",
        "choreography": "gJB_sFM_mJB3_ch01",
        "music": "mJB3",
        "dancer": "d07",
    }


@pytest.mark.parametrize("where", [".", "keypoints3d"])
def test_what_the_ignore_list_names_is_left_out_and_counted(tmp_path, where):
    first = write_aistpp(tmp_path)
    second = write_aistpp(tmp_path, "gBR_sBM_cAll_d04_mBR1_ch02.pkl")
    (tmp_path / where / "ignore_list.txt").write_text(f"{second.stem}\r\ngBR_sBM_cAll_d99_mBR1_ch02\r\n")
    dataset = datasets.load(tmp_path)
    assert dataset.index["file"].tolist() == [f"keypoints3d/{first.name}"]
    assert f"1 of 2 sequences are left out, as ignore_list.txt says: {second.stem}" in dataset.notes
