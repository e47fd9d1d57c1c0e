"""The beat grid and its eights: recovered from damaged beats, refused where there is none, right on SynthDance."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import piece_set

from dancemvp_core.dance import music, pieces, primitives
from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.dance.sequences import DanceDataset, DanceSequence
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.datasets import synthdance

thorough = settings(max_examples=150, derandomize=True)


def regular(period, duration_s=10.0, first=0.05):
    return np.arange(first, duration_s, period)


def borders(eights):
    return np.array([eights[0][0], *(end for _, end in eights)])


# --- exact grids


def test_a_regular_grid_is_given_back_and_cut_by_eights():
    beats = regular(0.35)  # 29 beats
    assert primitives.fit_grid(beats, 10.0) == pytest.approx(beats)
    eights = primitives.eight_beats(beats, 10.0)
    assert borders(eights) == pytest.approx([0.05, 2.85, 5.65, 8.45])
    assert all(isinstance(t, float) for eight in eights for t in eight)


def test_the_grid_reaches_both_ends_of_the_clip():
    beats = regular(0.35)
    grid = primitives.fit_grid(beats[4:-5], 10.0)
    assert grid == pytest.approx(beats)


@pytest.mark.parametrize("every", [2, 0.5])
def test_the_octave_is_corrected(every):
    beats = regular(0.35)
    heard = beats[::2] if every == 2 else np.arange(0.05, 10.0, 0.175)
    assert primitives.fit_grid(heard, 10.0) == pytest.approx(beats)


@pytest.mark.parametrize("beats_in_clip", range(13, 80))
def test_a_ten_second_clip_holds_24_to_48_beats_whatever_the_octave(beats_in_clip):
    period = 10.0 / (beats_in_clip + 0.5)
    grid = primitives.fit_grid(regular(period), 10.0)
    assert 24 <= len(grid) <= 48
    assert np.log2(np.diff(grid).mean() / period) == pytest.approx(round(np.log2(np.diff(grid).mean() / period)))


def test_a_halved_grid_keeps_the_beats_that_were_tracked():
    # half the beats doubled over: the odd ones are the ones that are always there
    beats = np.sort([*regular(0.36, first=0.1), *regular(0.36, first=0.28)[:16]])
    assert primitives.fit_grid(beats, 10.0) == pytest.approx(regular(0.36, first=0.1), abs=1e-6)


def test_a_long_clip_keeps_its_tempo_and_its_first_eights():
    beats = regular(0.5, 32.0)  # 120 BPM: 64 beats, but no double tempo
    assert borders(primitives.eight_beats(beats, 32.0)) == pytest.approx([0.05, 4.05, 8.05, 12.05])


@pytest.mark.parametrize("first", [-0.04, 0.0, 0.04, 0.3])
def test_the_first_eight_starts_with_the_first_beat_of_the_clip(first):
    beats = first + 0.36 * np.arange(27)
    start, end = primitives.eight_beats(beats[beats >= 0], 10.0)[0]
    assert (start, end) == pytest.approx((max(first, 0.0), first + 8 * 0.36))


def test_of_music_longer_than_its_clip_eight_beats_are_stretched_and_four_are_cropped():
    heard = np.arange(0, 15, 0.5)  # 15 s at 120 beats per minute, for a clip of 10 s
    stretched, cropped = primitives.eight_beats(heard * 10 / 15, 10.0), primitives.eight_beats(heard[heard < 10], 10.0)
    assert borders(stretched) == pytest.approx([0, 8 / 3, 16 / 3, 8]) and borders(cropped) == pytest.approx([0, 2, 4, 6])
    for bpm, seconds in ((142, 4 * 60 / 142), (143, 8 * 60 / 143)):
        first = primitives.eight_beats(np.arange(0, 10, 60 / bpm), 10.0)[0]
        assert np.ptp(first) == pytest.approx(seconds, abs=0.05), "three cropped eights fit only above 142"


def test_count_is_a_parameter():
    assert borders(primitives.eight_beats(regular(0.6), 10.0, count=1)) == pytest.approx([0.05, 4.85])
    assert len(primitives.eight_beats(regular(0.3), 10.0, count=4)) == 4


# --- no grid


NO_GRID = {
    "no beats": [],
    "five beats": [1, 2, 3, 4, 5],
    "one beat many times": [2.0] * 20,
    "too slow even at double tempo": np.arange(0.2, 10, 1.0),
    "a change of tempo half-way": [*np.arange(0, 5, 0.3), *np.arange(5, 10, 0.43)],
    "a steady acceleration by half": 10 * np.cumsum(np.geomspace(1.5, 1, 28)) / np.geomspace(1.5, 1, 28).sum(),
}


@pytest.mark.parametrize("beats", NO_GRID.values(), ids=NO_GRID.keys())
def test_equal_parts_where_no_grid_can_be_fitted(beats):
    assert primitives.fit_grid(beats, 10.0) is None
    assert borders(primitives.eight_beats(beats, 10.0)) == pytest.approx([0, 10 / 3, 20 / 3, 10])


def test_random_times_are_hardly_ever_a_grid():
    rng = np.random.default_rng(0)
    found = [primitives.fit_grid(np.sort(rng.uniform(0, 10, 28)), 10.0) is not None for _ in range(200)]
    assert np.mean(found) <= 0.03


@pytest.mark.parametrize(
    ("beats", "duration_s", "count", "fault"),
    [
        (regular(0.35), 10.0, 0, "count"),
        (regular(0.35), 10.0, -1, "count"),
        (regular(0.35), 0.0, 3, "duration"),
        (regular(0.35), -1.0, 3, "duration"),
        (regular(0.35), float("nan"), 3, "duration"),
        (regular(0.35), float("inf"), 3, "duration"),
        (regular(0.35)[::-1], 10.0, 3, "sorted"),
        ([1.0, float("nan"), 2.0], 10.0, 3, "finite"),
        ([[1.0, 2.0]], 10.0, 3, "flat"),
    ],
)
def test_nonsense_is_refused(beats, duration_s, count, fault):
    for cut in (primitives.eight_beats, primitives.fit_grid):
        with pytest.raises(ValueError, match=fault):
            cut(beats, duration_s, count)


# --- properties


@thorough
@given(
    beats=st.lists(st.floats(-1, 40), max_size=60).map(sorted),
    duration_s=st.floats(0.5, 40),
    count=st.integers(1, 5),
)
def test_eights_are_ordered_adjacent_and_inside_whatever_the_beats(beats, duration_s, count):
    eights = primitives.eight_beats(beats, duration_s, count)
    assert len(eights) == count
    edges = borders(eights)
    assert edges[0] >= 0 and edges[-1] <= duration_s and (np.diff(edges) > 0).all()
    assert all(a[1] == b[0] for a, b in pairwise(eights))


@thorough
@given(
    beats_in_clip=st.floats(25.5, 32),
    lead=st.floats(0.2, 0.8),
    seed=st.integers(0, 10_000),
    jitter=st.floats(0, 0.06),
    dropped=st.floats(0, 0.2),
    doubled=st.floats(0, 0.1),
)
def test_the_grid_is_recovered_from_damaged_beats(beats_in_clip, lead, seed, jitter, dropped, doubled):
    rng = np.random.default_rng(seed)
    period = 10.0 / beats_in_clip
    truth = np.arange(lead * period, 10.0, period)
    heard = (truth + rng.normal(0, jitter * period, len(truth)))[rng.permutation(len(truth)) >= dropped * len(truth)]
    extra = rng.permutation(len(heard)) < doubled * len(heard)
    heard = np.sort(np.concatenate([heard, heard[extra] + period / 2]))
    grid = primitives.fit_grid(heard, 10.0)
    assert grid is not None
    assert np.diff(grid) == pytest.approx(np.diff(grid).mean())
    # beats of the truth, to a fifth of a beat at worst and none missing within the clip
    assert np.abs(truth[:, None] - grid).min(axis=1).max() < 0.2 * period
    assert len(grid) - len(truth) in (0, 1)


@thorough
@given(scale=st.floats(0.5, 2), seed=st.integers(0, 1000))
def test_eights_scale_with_the_clip(scale, seed):
    rng = np.random.default_rng(seed)
    period = rng.uniform(0.31, 0.38)
    beats = np.sort(regular(period) + rng.normal(0, 0.01, len(regular(period))))
    eights = borders(primitives.eight_beats(beats, 10.0))
    assert borders(primitives.eight_beats(beats * scale, 10.0 * scale)) == pytest.approx(eights * scale, abs=1e-6)


# --- pieces


def a_sequence(duration_s=10.0, fps=100.0, stated=3, **labels):
    frames = round(duration_s * fps)
    motion = np.broadcast_to(np.arange(frames, dtype=np.float32)[None, :, None], (3, frames, 21))
    return DanceSequence(motion=motion, fps=fps, skeleton=IMPERIALDANCE21, primitives=stated, **labels)


def test_pieces_carry_their_frames_and_how_they_were_cut():
    found = primitives.segment(a_sequence(), regular(0.35))
    assert [p.primitive for p in found] == [0, 1, 2] and {p.segmentation for p in found} == {"beats"}
    assert [p.motion.shape for p in found] == [(3, 280, 21)] * 3
    assert [int(p.motion[0, 0, 0]) for p in found] == [5, 285, 565]


@pytest.mark.parametrize("beats", [(), [1.0, 2.0]])
def test_a_sequence_without_a_beat_is_cut_into_equal_pieces_and_says_so(beats):
    found = primitives.segment(a_sequence(9.6, 60.0), beats)
    assert {p.segmentation for p in found} == {"equal"}
    assert [p.motion.shape[1] for p in found] == [192] * 3


@pytest.mark.parametrize(
    ("duration_s", "spans"),
    [(1.1, [(0, 1.1)]), (2.9, [(0, 2.9)]), (6.0, [(0, 3), (3, 6)]), (5.9, [(0, 3)]), (60.0, [(k, k + 3) for k in range(0, 60, 3)])],
)
def test_without_beats_a_recording_has_as_many_pieces_of_three_seconds_as_fit(duration_s, spans):
    found = primitives.segment(a_sequence(duration_s, 30.0, stated=None))
    assert [(p.start_s, p.end_s) for p in found] == [pytest.approx(span) for span in spans]
    assert {p.segmentation for p in found} == {"time"}


@pytest.mark.parametrize(("duration_s", "eights"), [(8.2, 2), (10.0, 2), (12.0, 3), (32.0, 8)])
def test_all_eights_are_cut_where_no_number_is_stated(duration_s, eights):
    found = primitives.segment(a_sequence(duration_s, stated=None), np.arange(0.05, duration_s, 0.5))
    assert len(found) == eights and {p.segmentation for p in found} == {"beats"}
    assert [p.end_s - p.start_s for p in found] == pytest.approx([4.0] * eights, abs=0.06)  # the last border is that of the clip
    assert len(primitives.segment(a_sequence(3.9, stated=None), np.arange(0.1, 3.9, 0.5))) == 1  # less than an eight


def test_at_123_bpm_an_eight_has_eight_tracked_beats_unless_three_are_stated():
    beat_s = 60 / 123
    beats = np.arange(0.05, 10, beat_s)  # two and a half eights
    stated = borders(primitives.eight_beats(beats, 10.0))
    assert np.diff(stated) == pytest.approx([4 * beat_s] * 3)  # ImperialDance: three eights in 10 s need at least 142 BPM
    assert np.diff(borders(primitives.eight_beats(beats, 10.0, None))) == pytest.approx([8 * beat_s] * 2)
    for duration_s in np.arange(8, 30, 0.7):
        grid = primitives.fit_grid(np.arange(0.05, duration_s, beat_s), duration_s, None)
        assert np.diff(grid) == pytest.approx(beat_s)


def cut(durations_s, choreographies):
    """The pieces of 21-joint recordings without music."""
    rng = np.random.default_rng(0)
    sequences = []
    for duration_s, choreography in zip(durations_s, choreographies, strict=True):
        motion = rng.normal(size=(3, round(30 * duration_s), 21)).astype(np.float32)
        sequences.append(DanceSequence(motion, 30.0, IMPERIALDANCE21, choreography=choreography))
    dataset = DanceDataset("x", None, IMPERIALDANCE21, pd.DataFrame(index=range(len(sequences))), sequences)
    splits = pd.Series(["pretrain"] * len(sequences))
    return pieces.build(dataset, splits, np.ones(len(sequences), bool), pieces.Cutting(20)).table


def test_the_place_of_a_piece_is_a_class_only_where_all_performances_have_as_many():
    table = cut([7.0, 8.9, 4.0, 10.0, 6.5], ["a", "a", "b", "b", None])
    assert table.groupby("sequence").size().tolist() == [2, 2, 1, 3, 2]
    assert table["primitive"].tolist() == [0, 1, 0, 1, 0, 0, 0, 0, 0, 1]
    assert not table.duplicated(["sequence", "start_s"]).any()


# --- real and synthetic music


def test_borders_on_synthdance_are_within_100_ms_of_the_truth(synth_tree):
    errors = {}
    for path in sorted((synth_tree / "music").iterdir()):
        dance = synthdance.choreography(path.stem.replace("_ch", ""), seed=0)
        onto_clip = dance.clip_s / dance.window_s
        found = borders(primitives.eight_beats(music.beat_times(path) * onto_clip, dance.clip_s))
        errors[dance.name] = float(np.abs(found - dance.beats_s[[0, 8, 16, 24]]).max())
    assert len(errors) == 20
    assert sum(error <= 0.1 for error in errors.values()) >= 18, errors


@pytest.mark.parametrize(("name", "beats_per_loop"), [("loop_amen", 4), ("loop_compus", 16)])
def test_eights_of_a_tiled_drum_loop_last_eight_of_its_beats(shared_data, name, beats_per_loop):
    loop, rate = soundfile.read(shared_data / "music" / f"{name}.flac")
    samples = np.tile(loop.mean(axis=1), 1 + 15 * rate // len(loop))[: 15 * rate].astype(np.float32)
    eights = primitives.eight_beats(music.beat_times(samples, rate), 15.0)
    truth = 8 * len(loop) / rate / beats_per_loop
    assert np.diff(borders(eights)) == pytest.approx([truth] * 3, rel=0.01)
    # the loop is cut on its first beat, and so the first eight starts the window
    assert eights[0][0] == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("name", ["vibe_ace", "sugar_plum_fairy", "lets_go_fishin"])
def test_real_tracks_of_steady_tempo_have_a_grid_near_the_tracked_beats(shared_data, name):
    found = music.analyse(shared_data / "music" / f"{name}.ogg", 5.0, 15.0, 10.0)
    grid = primitives.fit_grid(found.beats_s, 10.0)
    assert grid is not None
    assert np.median(np.abs(found.beats_s[:, None] - grid).min(axis=1)) < 0.04


def test_a_tempo_that_changes_a_lot_is_cut_into_equal_parts(shared_data):
    path = shared_data / "music" / "hungarian_dance_5.ogg"
    fits = [
        primitives.fit_grid(music.analyse(path, offset, 15.0, 10.0).beats_s, 10.0) is not None for offset in (6.0, 9.0, 12.0)
    ]
    assert not any(fits)


def test_mirrored_distance_is_zero_for_a_mirror_image():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(20, 4, 2))
    swap = (1, 0, 2, 3)
    third = first[:, list(swap)] * (-1, 1)
    as_danced, mirrored = primitives.mirrored_distance(first, third, swap)
    assert mirrored == pytest.approx(0) and as_danced > 1
    assert primitives.mirrored_distance(first, first, swap)[0] == 0


def test_a_piece_set_is_the_same_wherever_its_files_lie():
    here = piece_set(trials=1)
    there = PieceSet(here.motion, here.music, here.table.assign(source="/elsewhere/file.npy"), here.sequences)
    other = PieceSet(here.motion, here.music, here.table.assign(level="expert"), here.sequences)
    assert there.digest == here.digest != other.digest
