"""SynthDance: what its docstring claims is what it writes."""

import hashlib
import json

import mir_eval
import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dancemvp_core import datasets
from dancemvp_core.dance import rhythm, skeleton
from dancemvp_core.dance.sequences import LEVELS, DataError
from dancemvp_core.datasets import synthdance, synthmoves, synthmusic
from dancemvp_core.datasets.synthdance import Dancers

BODY = skeleton.IMPERIALDANCE21
NAMES = synthdance.CHOREOGRAPHIES


def mean_bar(timing_sd, trials=10):
    """Mean BAR of the expert over 20 x ``trials`` performances at one timing error, and all peaks' distances."""
    rates = []
    for name in NAMES:
        dance = synthdance.choreography(name)
        for motion in synthdance.perform(dance, "expert", trials, timing_sd=timing_sd).motion:
            peaks = rhythm.intensity_peaks(rhythm.motion_intensity(motion, 100), 100)
            rates.append(rhythm.beat_alignment_rate(dance.accents_s, peaks))
    assert len(rates) >= 200
    return np.mean(rates)


def contents(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("synth") / "tree"
    synthdance.write(root, trials=3, seed=7, choreographies=["k0", "k1"])
    return root


def test_the_default_data_are_those_of_the_committed_results(tmp_path):
    """Other data need another ``GENERATOR_VERSION``, and all results anew."""
    synthdance.write(tmp_path, trials=2, seed=0, choreographies=["b0"])
    expected = {"b": (0.28545, 0.61592), "e": (0.21761, 0.61710), "i": (0.39332, 0.59057)}
    for level, (mean, spread) in expected.items():
        motion = np.load(tmp_path / f"dance_level_{level}_b_ch0.npy").astype(np.float64)
        assert (motion.mean(), motion.std()) == pytest.approx((mean, spread), abs=2e-5)
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert scores["score"].tolist() == pytest.approx([84.28, 84.89, 76.17, 55.04, 43.52, 3.35], abs=0.02)
    assert synthdance.GENERATOR_VERSION == 1


@pytest.fixture(scope="module")
def truth():
    """The truth of all 60 files at 100 trials; few frames, since the motion is not looked at."""
    return pd.concat(
        [synthdance.perform(name, level, 100, fps=10.0).truth for name in NAMES for level in LEVELS], ignore_index=True
    )


# --- choreography


@pytest.mark.parametrize("seed", [0, 5])
def test_a_choreography_is_three_eights_in_a_window_of_music(seed):
    for name in NAMES:
        dance = synthdance.choreography(name, seed)
        beats = len(dance.beats_s)
        assert 25 <= beats <= 32 and 12.0 <= dance.window_s <= 20.0
        assert dance.beats_s[0] > 0 and dance.beats_s[-1] < dance.clip_s == 10.0
        assert beats * 60 / dance.track.tempo_bpm == pytest.approx(dance.window_s)
        assert 7 <= len(dance.accents) <= 12 and dance.accents.min() >= 1 and dance.accents.max() < 24
        assert np.diff(dance.accents).min() >= 2


def test_the_third_eight_answers_the_first_as_its_mirror_image():
    yaw = synthmoves.INDEX["yaw"]
    for name in NAMES:
        dance = synthdance.choreography(name)
        first, third = (np.flatnonzero(dance.accents // 8 == eight) for eight in (0, 2))
        assert np.array_equal(dance.accents[first] + 16, dance.accents[third])
        one, three = (np.delete(dance.keys[part + 1], yaw, axis=1) for part in (first, third))
        mirrored = np.delete(synthmoves.mirror(dance.keys[first + 1]), yaw, axis=1)
        np.testing.assert_allclose(three, mirrored, atol=1e-12)
        assert np.abs(one - three).max(axis=1).mean() > np.radians(25)


def test_mirrored_poses_put_the_body_on_its_other_side():
    lengths = np.array(BODY.lengths)
    for angles, _, _ in synthmoves.POSES.values():
        here = np.stack(synthmoves.forward_kinematics(angles[:, None], lengths)[0])[..., 0]
        there = np.stack(synthmoves.forward_kinematics(synthmoves.mirror(angles)[:, None], lengths)[0])[..., 0]
        np.testing.assert_allclose(there[list(BODY.mirror)], here * (-1, 1, 1), atol=1e-12)


def test_tracks_are_shared_as_in_the_real_set_and_windows_follow_one_another():
    dances = {name: synthdance.choreography(name) for name in NAMES}
    for first, second in (("k0", "k1"), ("k3", "k2"), ("b2", "b1"), ("b4", "b3")):
        assert dances[first].track == dances[second].track
        assert dances[second].first_beat == dances[first].first_beat + len(dances[first].beats_s)
    assert len({dance.track for dance in dances.values()}) == 16


def test_genres_share_poses_and_no_two_choreographies_are_the_same_dance():
    vocabulary = {g: {p.rstrip("*") for m in s.moves for p in synthmoves.MOVES[m]} for g, s in synthmoves.STYLES.items()}
    for genre, poses in vocabulary.items():
        others = set().union(*(v for g, v in vocabulary.items() if g != genre))
        assert len(poses & others) >= 3
    shapes = {synthdance.choreography(name).keys.round(3).tobytes() for name in NAMES}
    assert len(shapes) == 20


def test_an_unknown_choreography_is_one_line():
    with pytest.raises(DataError, match=r"'h7'.*expected b0"):
        synthdance.choreography("h7")


# --- body


@pytest.mark.parametrize("style", [0, 1])
@pytest.mark.parametrize("name", ["b4", "h1"])
@pytest.mark.parametrize("level", LEVELS)
def test_bones_keep_their_length_and_feet_do_not_sink(name, level, style):
    who = synthdance.cast(name, level, dancers=Dancers("seen", style))
    motion = synthdance.perform(name, who, 4, marker_noise_m=0).motion
    assert motion.shape == (4, 3, 1000, 21) and motion.dtype == np.float32 and np.isfinite(motion).all()
    for child, parent in BODY.bones:
        bone = np.linalg.norm(motion[..., child] - motion[..., parent], axis=1)
        np.testing.assert_allclose(bone, who.bones_m[child], atol=2e-5)
    height = motion[:, 1][..., [BODY.index(j) for j in ("LToe", "RToe", "LFoot", "RFoot")]]
    assert height.min() > -1e-5
    assert height.min(axis=-1).max() < 0.06  # nor do they leave the floor
    root = motion[..., BODY.root][:, [0, 2]]
    assert (np.ptp(root, axis=2).max(axis=1) > 0.15).all()


def test_marker_noise_is_small_and_all_there_is_between_noisy_and_clean():
    clean = synthdance.perform("u0", "expert", 5, marker_noise_m=0).motion
    noisy = synthdance.perform("u0", "expert", 5).motion
    assert 0.0002 < (noisy - clean).std() < 0.0008


def test_five_dancers_each_with_a_body_and_one_level():
    people = {}
    for name in NAMES:
        for level in LEVELS:
            who = synthdance.cast(name, level)
            assert who.level == level
            people.setdefault(who.name, []).append(who)
    assert sorted(len({p for p in people if level in p}) for level in LEVELS) == [1, 2, 2]
    assert all(len({tuple(w.bones_m) for w in same}) == 1 for same in people.values())
    assert len({tuple(same[0].bones_m) for same in people.values()}) == 5
    unseen = {synthdance.cast(name, level, dancers="unseen").name for name in NAMES for level in LEVELS}
    assert len(unseen) == 5 and not unseen & set(people)


# --- personal style

# A hand's place in m in three frames of the second trial, and the score: of the generator's first version.
FIRST_VERSION = [
    ("b4", "expert", "seen", [[0.4955, 0.7923, -0.141], [0.5705, 1.1544, 0.2458], [0.8533, 1.5065, 0.2292]], 75.4),
    ("h1", "beginner", "seen", [[0.1606, 0.7959, 0.1289], [0.1083, 1.1105, -0.0219], [0.202, 1.1221, -0.1023]], 31.9),
    ("u3", "intermediate", "unseen", [[0.3202, 0.9156, -0.2042], [0.3596, 1.1005, -0.1882], [0.341, 1.2792, -0.0193]], 34.53),
]


@pytest.mark.parametrize("name, level, group, hand, score", FIRST_VERSION)
def test_the_default_cast_dances_as_in_the_first_version(name, level, group, hand, score):
    danced = synthdance.perform(name, synthdance.cast(name, level, dancers=group), 2)
    np.testing.assert_allclose(danced.motion[1, :, [0, 333, 777], BODY.index("LHand")], hand, atol=2e-4)
    assert danced.truth["score"][1] == score
    plain = synthdance.cast(name, level, dancers=Dancers(group)).habit
    assert (plain.gain == 1).all() and plain.groove == 1
    assert not plain.posture.any() and not plain.delay_s.any() and plain.linger == 0


def test_a_style_is_the_persons_in_every_choreography():
    seen = [synthdance.cast(name, level, dancers=Dancers("seen", 1)) for name in NAMES for level in LEVELS]
    habits = {who.name: set() for who in seen}
    for who in seen:
        habits[who.name].add((who.habit.gain.tobytes(), who.habit.posture.tobytes(), who.habit.delay_s.tobytes()))
    assert len(habits) == 5 and all(len(same) == 1 for same in habits.values())
    assert len(set.union(*habits.values())) == 5
    dances = synthdance.TEST_CHOREOGRAPHIES
    unseen = [synthdance.cast(name, level, dancers=Dancers("unseen", 1)) for name in dances for level in LEVELS]
    assert len({who.habit.gain.tobytes() for who in unseen}) == len({who.name for who in unseen}) == 15
    assert not {who.name for who in unseen} & set(habits)


def test_a_style_does_not_depend_on_the_level():
    arm, leg, trunk = (synthmoves.INDEX[name] for name in ("Lraise", "Rknee", "bend"))

    def drawn(level):
        habits = [synthdance.dancer(level, number, dancers=Dancers("seen", 1)).habit for number in range(300)]
        return np.array([[*h.posture[[arm, leg, trunk]], *np.log(h.gain[[arm, leg, trunk]]), *h.delay_s[[arm, leg]],
                          h.linger, np.log(h.groove)] for h in habits])  # fmt: skip

    for level in LEVELS:
        rows = drawn(level)
        assert (rows.std(axis=0) > 0).all()
        assert (np.abs(rows.mean(axis=0)) < 4 * rows.std(axis=0) / np.sqrt(len(rows))).all()
    limbs = [synthmoves.INDEX[name] for name in ("Lelbow", "Relbow", "Lhip", "Rhip", "twist")]
    gain = synthdance.habit("somebody", 1.0).gain[limbs]
    assert np.log(gain).mean() == pytest.approx(0, abs=1e-12) and np.log(gain).std() > 0.1


@pytest.mark.parametrize("level", LEVELS)
def test_a_style_changes_the_motion_and_nothing_that_makes_the_level(level):
    plain, styled = (synthdance.perform("j3", synthdance.cast("j3", level, dancers=Dancers("seen", s)), 3) for s in (0, 1))
    pd.testing.assert_frame_equal(plain.truth, styled.truth)
    assert np.abs(plain.motion - styled.motion).max() > 0.1


def test_the_beat_tells_the_level_with_style_as_without():
    def rate(level, style):
        rates = []
        for name in NAMES[::2]:
            dance = synthdance.choreography(name)
            for motion in synthdance.perform(dance, synthdance.cast(name, level, dancers=Dancers("seen", style)), 4).motion:
                peaks = rhythm.intensity_peaks(rhythm.motion_intensity(motion, 100), 100)
                rates.append(100 * rhythm.beat_alignment_rate(dance.accents_s, peaks))
        return np.mean(rates)

    plain, styled = ([rate(level, style) for level in LEVELS] for style in (0, 1))
    assert np.diff(styled).min() > 5 and np.abs(np.subtract(plain, styled)).max() < 6


def test_only_a_strong_style_tells_who_dances():
    """Speed and reach of each joint on one body: can a classifier tell seen from unseen dancers of a dance and a level?"""

    def habits_seen(motion):
        body = np.stack([skeleton.canonical_body(m, BODY, np.array(BODY.lengths)) for m in motion])
        speed = np.linalg.norm(np.diff(body, axis=2), axis=1).mean(axis=1)
        return np.concatenate([speed, np.ptp(body, axis=2).reshape(len(body), -1)], axis=1)

    def accuracy(style, trials=15):
        right = []
        for name in ("b4", "k4"):
            for level in LEVELS:
                who = [synthdance.cast(name, level, dancers=Dancers(group, style)) for group in ("seen", "unseen")]
                x = np.concatenate([habits_seen(synthdance.perform(name, w, trials, fps=25.0).motion) for w in who])
                classifier = make_pipeline(StandardScaler(), LogisticRegression())
                right.append(cross_val_score(classifier, x, np.arange(2 * trials) < trials, cv=5).mean())
        return np.mean(right)

    assert accuracy(0) < 0.8 < 0.95 < accuracy(1)


def test_data_with_style_say_so(tmp_path):
    synthdance.write(tmp_path / "styled", trials=1, dancers=Dancers("seen", 0.5))
    facts = json.loads((tmp_path / "styled" / "dataset.json").read_text())
    assert facts["generator_version"] == 2 and facts["style"] == 0.5 and facts["synthetic"] is True
    assert facts["dancers"] == "seen" and facts["choreographies"] == list(synthdance.TEST_CHOREOGRAPHIES)


# --- rhythm


def test_beat_alignment_is_nearly_perfect_without_timing_error_and_falls_with_it():
    rates = [mean_bar(sd) for sd in (0.0, 0.040, 0.120, 0.200)]
    assert rates[0] >= 0.95
    assert rates[1] - rates[2] > 0.05 and rates[2] - rates[3] > 0.1


def test_speed_is_greatest_on_the_accent():
    off = []
    for name in NAMES:
        dance = synthdance.choreography(name)
        for motion in synthdance.perform(dance, "expert", 2, timing_sd=0).motion:
            peaks = rhythm.intensity_peaks(rhythm.motion_intensity(motion, 100), 100)
            matched = rhythm.match_peaks(dance.accents_s, peaks)
            off += [peaks[j] - dance.accents_s[i] for i, j in matched]
    assert abs(np.mean(off)) < 0.01 and np.median(np.abs(off)) < 0.03


@pytest.mark.parametrize("style", [0, 1])
def test_truth_holds_the_timing_errors_that_the_motion_shows(style):
    dance = synthdance.choreography("k4")
    danced = synthdance.perform(dance, synthdance.cast("k4", "intermediate", dancers=Dancers("seen", style)), 20)
    shown, true = [], []
    for motion, row in zip(danced.motion, danced.truth.itertuples(), strict=True):
        peaks = rhythm.intensity_peaks(rhythm.motion_intensity(motion, 100), 100)
        moved = dance.accents_s + row.timing_errors_s
        for k in np.flatnonzero(~np.isnan(moved)):
            shown.append(peaks[np.argmin(np.abs(peaks - moved[k]))] - dance.accents_s[k])
            true.append(row.timing_errors_s[k])
    assert np.corrcoef(shown, true)[0, 1] > 0.9


# --- levels, practice, scores


def test_levels_differ_as_stated_and_overlap(truth):
    by_level = truth.groupby("level")
    means = by_level["timing_sd_s"].mean()
    for level, stated in (("expert", 0.040), ("intermediate", 0.120), ("beginner", 0.200)):
        assert means[level] == pytest.approx(stated, rel=0.15)
    low, high = by_level["timing_sd_s"].min(), by_level["timing_sd_s"].max()
    assert high["expert"] > low["intermediate"] and high["intermediate"] > low["beginner"]
    for column, rising in (("missed_accents", -1), ("amplitude", 1), ("pose_error_deg", -1), ("unsteadiness_deg", -1),
                           ("quality", 1), ("score", 1)):  # fmt: skip
        assert (np.diff(by_level[column].mean()[list(LEVELS)]) * rising > 0).all(), column


def test_practice_helps_beginners_a_little_intermediates_more_experts_not(truth):
    start, end = (truth[truth["trial"].between(*part)].groupby("level")["timing_sd_s"].mean() for part in ((0, 9), (90, 99)))
    gain = 1 - end / start
    assert 0.05 < gain["beginner"] < 0.2 < 0.25 < gain["intermediate"] < 0.45
    assert abs(gain["expert"]) < 0.05


def test_scores_are_quality_and_raters_noise_of_known_variance(truth):
    assert truth["score"].between(0, 100).all() and truth["quality"].between(0, 1).all()
    assert np.corrcoef(truth["quality"], truth["expected_score"])[0, 1] > 0.98
    inside = truth[truth["expected_score"].between(15, 90)]
    z = (inside["score"] - inside["expected_score"]) / np.sqrt(inside["score_noise_variance"])
    assert abs(z.mean()) < 0.05 and z.std() == pytest.approx(1, abs=0.05)
    good, middle, bad = (
        truth.loc[truth["expected_score"].between(*part), "score_noise_variance"].mean()
        for part in ((85, 100), (40, 60), (0, 15))
    )
    assert good < 0.5 * middle and bad < 0.5 * middle


# --- music


def test_librosa_finds_the_beats():
    import librosa

    found = {}
    for name in NAMES:
        dance = synthdance.choreography(name)
        samples = synthdance.render_music(dance).astype(np.float32)
        beats = librosa.beat.beat_track(y=samples, sr=synthmusic.SAMPLE_RATE, units="time")[1]
        truth = synthmusic.window_beats(dance.track, len(dance.beats_s))
        halves = np.sort(np.concatenate([truth, (truth[1:] + truth[:-1]) / 2]))
        readings = (truth, truth[::2], truth[1::2], halves)
        found[name] = max(mir_eval.onset.f_measure(r, beats, window=0.07)[0] for r in readings)
    assert sum(f >= 0.9 for f in found.values()) >= 18, found


def test_music_alone_cannot_tell_a_level(tree, tmp_path):
    dataset = datasets.load(tree)
    for _, rows in dataset.index.groupby("choreography"):
        assert set(rows["level"]) == set(LEVELS) and rows["music"].nunique() == 1
    # nor who dances
    synthdance.write(tmp_path / "unseen", trials=1, seed=7, dancers="unseen", choreographies=["k0"])
    file = "music/k_ch0.flac"
    assert (tmp_path / "unseen" / file).read_bytes() == (tree / file).read_bytes()


# --- the tree


def test_the_tree_is_imperialdances(tree):
    names = {f"dance_level_{level}_k_ch{n}.npy" for level in "bie" for n in (0, 1)}
    names |= {"music/k_ch0.flac", "music/k_ch1.flac", "scores.csv", "music_intensity.csv", "dataset.json", "truth.parquet"}
    assert set(contents(tree)) == names
    assert np.load(tree / "dance_level_i_k_ch1.npy", mmap_mode="r").shape == (3, 3, 1000, 21)
    facts = json.loads((tree / "dataset.json").read_text())
    assert facts["synthetic"] is True and facts["generator_version"] == 1 and facts["seed"] == 7 and "style" not in facts
    dance = synthdance.choreography("k1", 7)
    sound = soundfile.info(tree / "music" / "k_ch1.flac")
    assert sound.samplerate == 22050 and sound.duration == pytest.approx(dance.window_s, abs=1e-3)
    labels = pd.read_csv(tree / "music_intensity.csv")
    np.testing.assert_allclose(labels.loc[labels["choreography"] == 1, "time_s"], dance.accents_s, atol=1e-4)
    truth = pd.read_parquet(tree / "truth.parquet")
    assert len(truth) == 18 and truth["score"].tolist() == pd.read_csv(tree / "scores.csv")["score"].tolist()


def test_same_seed_same_bytes_whatever_the_jobs(tree, tmp_path):
    for name, jobs, seed in (("again", 1, 7), ("other", 2, 8)):
        synthdance.write(tmp_path / name, trials=3, seed=seed, choreographies=["k0", "k1"], jobs=jobs)
    first, again, other = contents(tree), contents(tmp_path / "again"), contents(tmp_path / "other")
    assert first == again
    assert all(first[file] != other[file] for file in first)


def test_the_first_trials_are_the_same_whatever_their_number():
    few, many = (synthdance.perform("j3", "beginner", trials).motion for trials in (3, 6))
    assert np.array_equal(few, many[:3])
    assert not np.allclose(many[0], many[1], atol=0.02)


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(DataError, match="not an empty folder") as fault:
        synthdance.write(tmp_path, trials=1)
    assert "\n" not in str(fault.value) and [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"seed": -1}, {"dancers": "others"}, {"dancers": Dancers("seen", 1.5)},
                                   {"choreographies": ["x1"]}])  # fmt: skip
def test_a_wrong_parameter_is_one_line_and_writes_nothing(tmp_path, wrong):
    with pytest.raises(DataError, match="expected"):
        synthdance.write(tmp_path / "out", **({"trials": 1} | wrong))
    assert not list(tmp_path.iterdir())


def test_an_interrupted_run_leaves_nothing_half_written(tmp_path):
    def stop(done, total, file):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthdance.write(tmp_path / "out", trials=1, choreographies=["k0"], progress=stop)
    assert not list(tmp_path.iterdir())


def test_the_second_body_is_in_aistpps_format(tmp_path):
    synthdance.write_aistpp(tmp_path / "aist", dancers=2, routines=2)
    dataset = datasets.load(tmp_path / "aist")
    assert len(dataset) == 12 and dataset.synthetic
    assert "gBR_sBM_cAll_d02_mBR1_ch02.pkl" in {p.name for p in (tmp_path / "aist" / "keypoints3d").iterdir()}
    for sequence in dataset:
        assert sequence.fps == 60 and sequence.skeleton.name == "coco17" and 8 <= sequence.duration_s <= 10.02
        thigh = np.linalg.norm(sequence.motion[..., 11] - sequence.motion[..., 13], axis=0)
        assert thigh.std() / thigh.mean() < 0.01
    height = dataset.sequences[0].motion[1]
    assert 120 < np.ptp(height) < 250  # cm
