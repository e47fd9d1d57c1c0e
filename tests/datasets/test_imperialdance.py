import numpy as np
import psutil
import pytest
from written_data import moving, write_facts, write_imperialdance, write_music

from dancemvp_core import datasets
from dancemvp_core.dance.sequences import LEVELS, DataError
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.datasets import imperialdance, motionfiles
from dancemvp_core.formats import npy


def base_of(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_a_sequence_knows_what_its_file_says(tmp_path):
    write_imperialdance(tmp_path, ("h1", "b0"), ("expert", "beginner"), trials=2)
    dataset = datasets.load(tmp_path)
    assert len(dataset) == 8
    assert dataset.name == "imperialdance" and not dataset.synthetic and dataset.skeleton is IMPERIALDANCE21
    seen = [(s.genre, s.choreography, s.level, s.trial, s.split) for s in dataset]
    assert seen[:3] == [
        ("ballet", "b0", "beginner", 0, "pretrain"),
        ("ballet", "b0", "beginner", 1, "pretrain"),
        ("ballet", "b0", "expert", 0, "pretrain"),
    ]
    assert seen[-1] == ("hip-hop", "h1", "expert", 1, "test")
    last = dataset.sequences[-1]
    assert (last.fps, last.duration_s, last.music, last.score) == (100, 10, None, None)
    assert "dance_level_e_h_ch1.npy: trial 1" in last.source


def test_motion_is_a_view_of_the_file_and_of_the_right_trial(tmp_path):
    write_imperialdance(tmp_path, ("b0",), ("expert",), trials=3)
    stored = np.load(tmp_path / "dance_level_e_b_ch0.npy")
    for trial, sequence in enumerate(datasets.load(tmp_path)):
        assert isinstance(base_of(sequence.motion), np.memmap) and sequence.motion.dtype == np.float32
        np.testing.assert_array_equal(sequence.motion, stored[trial])


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_other_floats_and_orders_become_float32(tmp_path, dtype, order):
    stored = np.asarray(moving(trials=2), dtype=dtype, order=order)
    write_imperialdance(tmp_path, ("b0",), ("expert",), motion=stored)
    sequence = datasets.load(tmp_path).sequences[1]
    assert sequence.motion.dtype == np.float32 and sequence.motion.dtype.isnative
    np.testing.assert_array_equal(sequence.motion, stored[1].astype(np.float32))


def test_a_few_sequences_show_the_upright_axis_and_none_the_index(tmp_path, monkeypatch):
    write_imperialdance(tmp_path, trials=2)
    opened, real = [], npy.open_npy
    monkeypatch.setattr(motionfiles, "UPRIGHT_SEQUENCES", 3)
    monkeypatch.setattr(npy, "open_npy", lambda path: opened.append(path) or real(path))
    index = datasets.load(tmp_path).index
    assert len(opened) == 3
    assert list(index.columns) == motionfiles.INDEX_COLUMNS
    assert list(index["trial"]) == [0, 1] * 4
    assert list(index["choreography"].unique()) == ["b0", "b4"]
    assert index["score"].isna().all() and index["music"].isna().all()
    assert index["file"].iloc[0] == "dance_level_b_b_ch0.npy"
    assert index["track"].iloc[0] == "yt ZLxIM2OpCdc"


def test_opening_the_full_set_takes_no_memory(tmp_path):
    for choreography in imperialdance.CHOREOGRAPHIES:
        for level in LEVELS:  # holes, not bytes: 1.5 GB that take no place on disk
            path = tmp_path / imperialdance.motion_file_name(level, choreography)
            np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(100, 3, 1000, 21))
    before = psutil.Process().memory_info().rss
    dataset = datasets.load(tmp_path)
    assert len(dataset) == 6000
    assert psutil.Process().memory_info().rss - before < 60e6


def test_holding_all_sequences_holds_one_open_file_each(tmp_path):
    write_imperialdance(tmp_path, ("b0",), ("expert",), trials=30)
    before = psutil.Process().num_fds()
    dataset = datasets.load(tmp_path)
    held = list(dataset)
    assert len(held) == 30 and psutil.Process().num_fds() - before <= 1
    del held
    assert psutil.Process().num_fds() == before


def test_fewer_trials_are_spread_over_all_and_keep_their_numbers(tmp_path):
    write_imperialdance(tmp_path, ("b0",), ("expert",), trials=9)
    assert [s.trial for s in datasets.load(tmp_path, trials=3)] == [0, 4, 8]
    assert [s.trial for s in datasets.load(tmp_path, trials=1)] == [0]
    assert len(datasets.load(tmp_path, trials=50)) == 9
    third = datasets.load(tmp_path, trials=3).sequences[1]
    np.testing.assert_array_equal(third.motion, np.load(tmp_path / "dance_level_e_b_ch0.npy")[4])
    with pytest.raises(ValueError, match="at least 1"):
        datasets.load(tmp_path, trials=0)


def test_indices_count_from_the_end_slice_and_stop(tmp_path):
    write_imperialdance(tmp_path, ("b0",), ("expert",), trials=4)
    sequences = datasets.load(tmp_path).sequences
    assert sequences[-1].trial == 3 and sequences[np.int64(2)].trial == 2
    assert [s.trial for s in sequences[::2]] == [0, 2]
    with pytest.raises(IndexError):
        sequences[4]


def test_scores_are_read_in_letters_and_in_words(tmp_path):
    write_imperialdance(tmp_path, ("b0", "k1"), ("expert", "beginner"), trials=2)
    (tmp_path / "scores.csv").write_text(
        "genre,choreography,level,trial,score\nb,0,e,0,87.5\nballet,ch0,Expert,1,80\nk,k1,b,1,0\nu,3,e,9,55\n"
    )
    dataset = datasets.load(tmp_path)
    scores = {(s.choreography, s.level, s.trial): s.score for s in dataset if s.score is not None}
    assert scores == {("b0", "expert", 0): 87.5, ("b0", "expert", 1): 80, ("k1", "beginner", 1): 0}
    assert dataset.index["score"].count() == 3
    assert any("5 of 8 trials have no score" in note for note in dataset.notes)


def test_music_intensity_is_sorted_and_partial_labels_are_noted(tmp_path):
    write_imperialdance(tmp_path, ("b0", "k1"), ("expert",), trials=1)
    (tmp_path / "music_intensity.csv").write_text("genre,choreography,time_s\nb,0,4.5\nb,0,1.25\n")
    dataset = datasets.load(tmp_path)
    assert [s.music_intensity_s for s in dataset] == [(1.25, 4.5), None]
    assert any("no label for k1" in note for note in dataset.notes)


def test_a_short_file_is_the_cut_and_a_long_one_the_track(tmp_path):
    write_imperialdance(tmp_path, ("b3", "b4"), ("expert",), trials=1)
    write_music(tmp_path / "music" / "b_ch3.flac", 18.0)
    write_music(tmp_path / "music" / "b_ch4.wav", 61.0)
    cut, track = datasets.load(tmp_path)
    assert (cut.music_offset_s, cut.music_window_s) == (0, 18)
    assert (track.music_offset_s, track.music_window_s) == (33, 25)
    assert list(datasets.load(tmp_path).index["music"]) == ["music/b_ch3.flac", "music/b_ch4.wav"]


def test_a_track_that_ends_before_its_window_is_refused(tmp_path):
    write_imperialdance(tmp_path, ("b4",), ("expert",), trials=1)
    write_music(tmp_path / "music" / "b_ch4.wav", 57.0)
    with pytest.raises(DataError, match=r"b_ch4.wav: the track lasts 57.0 s, expected at least 58 s"):
        datasets.load(tmp_path)


def test_what_is_missing_is_noted_with_what_it_switches_off(tmp_path):
    write_imperialdance(tmp_path, ("b4", "b3"), ("expert",), trials=2)
    notes = "\n".join(datasets.load(tmp_path).notes)
    assert "pretrain choreographies" in notes and "nothing can be pre-trained" in notes
    assert "test choreographies k4, j3, h1, u3: tables have fewer test choreographies" in notes
    assert "b4 beginner, b4 intermediate: Task 1 has fewer classes" in notes or "b3 beginner" in notes
    assert "fewer than the published 100 trials" in notes
    assert "no music for b3, b4" in notes and "Task 3 (BAR) is left out" in notes
    assert "no scores.csv" in notes and "Task 2 (scoring) is left out" in notes
    assert "no music_intensity.csv" in notes and "onset-strength peaks" in notes
    assert "b3 (validation) and b4 (test) share one track" in notes


def test_a_complete_tree_notes_only_its_shared_tracks(tmp_path):
    one = moving(trials=1)
    write_imperialdance(tmp_path, imperialdance.CHOREOGRAPHIES, LEVELS, motion=one)
    scores, times = ["genre,choreography,level,trial,score"], ["genre,choreography,time_s"]
    for name in imperialdance.CHOREOGRAPHIES:
        write_music(tmp_path / "music" / f"{name[0]}_ch{name[1:]}.wav", 12)
        scores += [f"{name[0]},{name[1:]},{level[0]},0,50" for level in LEVELS]
        times += [f"{name[0]},{name[1:]},5"]
    (tmp_path / "scores.csv").write_text("\n".join(scores))
    (tmp_path / "music_intensity.csv").write_text("\n".join(times))
    notes = datasets.load(tmp_path).notes
    assert len([n for n in notes if "share one track" in n]) == 3
    expected = ("share one track", "100 trials", "no likely bodies")  # the joints move at random
    assert [n for n in notes if not any(words in n for words in expected)] == []


def test_dataset_json_names_the_set(tmp_path):
    write_imperialdance(tmp_path, ("b0",), ("expert",), trials=1)
    write_facts(tmp_path, name="synthdance", synthetic=True, generator_version=1, seed=0)
    dataset = datasets.load(tmp_path)
    assert dataset.name == "synthdance" and dataset.synthetic and dataset.facts["generator_version"] == 1
    assert list(dataset.index["track"]) == ["synthetic b0"]


def test_short_gaps_are_bridged_by_a_straight_line(tmp_path):
    motion = moving(trials=1)
    truth = motion[0].copy()
    motion[0, 1, 200:250, 6] = np.nan
    write_imperialdance(tmp_path, ("b0",), ("expert",), motion=motion)
    bridged = datasets.load(tmp_path).sequences[0].motion
    line = np.linspace(truth[:, 199, 6], truth[:, 250, 6], 52, axis=1)
    np.testing.assert_allclose(bridged[:, 199:251, 6], line, rtol=1e-4, atol=1e-4)
    bridged[:, 200:250, 6] = truth[:, 200:250, 6]
    np.testing.assert_array_equal(bridged, truth)


def test_gaps_at_the_ends_hold_the_nearest_frame():
    motion = moving(200, 17)
    motion[:, :20, 3] = np.nan
    filled = motionfiles.bridge_gaps(motion)
    np.testing.assert_array_equal(filled[:, :20, 3], np.repeat(motion[:, 20:21, 3], 20, axis=1))


def test_the_splits_hold_the_designs_promises():
    split = imperialdance.SPLIT
    assert sorted(split) == sorted(imperialdance.CHOREOGRAPHIES) == sorted(imperialdance.MUSIC)
    members = {part: [n for n in split if split[n] == part] for part in ("pretrain", "validation", "test")}
    assert [len(names) for names in members.values()] == [10, 5, 5]
    assert sorted(name[0] for name in members["test"]) == sorted(imperialdance.GENRES)
    tracks = {part: {imperialdance.MUSIC[n].track for n in names} for part, names in members.items()}
    assert not tracks["pretrain"] & tracks["test"]
    shared = imperialdance.shared_tracks(imperialdance.CHOREOGRAPHIES)
    assert sorted(shared.values()) == [["b1", "b2"], ["b3", "b4"], ["k0", "k1"], ["k2", "k3"]]
    windows = [source.window_s for source in imperialdance.MUSIC.values()]
    assert min(windows) == 10 and max(windows) == 25


def test_synthetic_music_is_not_called_by_a_real_tracks_id(tmp_path):
    write_imperialdance(tmp_path, ("b3", "b4"), ("expert",), trials=1)
    write_facts(tmp_path, name="synthdance", synthetic=True)
    dataset = datasets.load(tmp_path)
    assert list(dataset.index["track"]) == ["synthetic b3+b4"] * 2
    assert any("share one track (synthetic b3+b4)" in note for note in dataset.notes)
