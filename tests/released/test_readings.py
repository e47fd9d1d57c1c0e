"""What the released code reads off motion, music and labels, against straightforward definitions."""

import importlib
import importlib.util
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp
from tiny import piece_set

from dancemvp_core.dance import skeleton as skeletons
from dancemvp_core.pretraining.condition import condition
from dancemvp_core.pretraining.networks import Width
from dancemvp_core.pretraining.pretrained import Pretraining
from dancemvp_core.pretraining.training import Training
from dancemvp_core.released import cutting, differences, hit_rate, hits, music_features, pretraining, splits, study, texts


def clip(seed=0, frames=1000):
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[None, :, None] / 100
    return 20 * np.sin(2 * np.pi * rng.uniform(0.2, 0.9, (3, 1, 21)) * t + rng.uniform(0, 6, (3, 1, 21)))


def clicks(every_s=0.5, seconds=10, sr=22050):
    y = 0.001 * np.random.default_rng(0).normal(size=seconds * sr)
    for at in np.arange(0.25, seconds - 0.1, every_s):
        y[int(at * sr) : int(at * sr) + 400] += np.exp(-np.arange(400) / 60) * np.sin(np.arange(400) / 3)
    return y.astype(np.float32)


# --- cuts and music --------------------------------------------------------------------------------------------------


def test_cuts_are_the_seconds_1_to_10_and_nothing_else():
    motion, music = clip(), np.arange(10 * 22050, dtype=float)
    pieces, sound = cutting.cut_motion(motion), cutting.cut_music(music)
    assert pieces.shape == (3, 3, 300, 21) and sound.shape == (3, 66150)
    assert np.array_equal(np.concatenate(pieces, axis=1), motion[:, 100:]) and sound[0, 0] == 22050
    with pytest.raises(ValueError, match="expected at least 1,000"):
        cutting.cut_motion(motion[:, :999])
    with pytest.raises(ValueError, match="at least 10 s"):
        cutting.cut_music(music[:-1])


def test_music_features_are_549_rows_of_130_frames_in_the_released_order():
    import librosa

    y = clicks(0.4, 3)
    rows = music_features(y, 22050)
    assert rows.shape == (549, 130) and rows.dtype == np.float32
    assert np.allclose(rows[:40], librosa.feature.mfcc(y=y, sr=22050, n_mfcc=40)[:, :130], rtol=1e-4, atol=1e-4)
    assert (rows[80:164] >= 0).all() and rows[80:164].max() > 0, "magnitudes"
    assert np.allclose(rows[164], 1.0, atol=1e-5), "the tempogram's lag zero"
    assert np.allclose(rows[548], librosa.onset.onset_strength(y=y, sr=22050)[:130], rtol=1e-4, atol=1e-5)
    assert np.allclose(music_features(np.tile(y, 2)).shape, (549, 130)), "more is cut"
    with pytest.raises(ValueError, match="expected 3 s"):
        music_features(y[:50000])


# --- the hit rate ----------------------------------------------------------------------------------------------------


def test_opposite_moves_cancel_in_the_signed_sum():
    motion = np.zeros((3, 1000, 21))
    swing = 30 * np.sin(np.arange(1000) / 20)
    motion[0, :, 6], motion[0, :, 7] = swing, -swing  # the hands move apart and together
    assert np.abs(hits.signed_velocity(motion)).max() < 1e-9
    motion[0, :, 7] = swing
    assert np.abs(hits.signed_velocity(motion)).max() > 1
    motion[:, :, [0, 2, 3, 5, 8, 9, 11, 12, 13, 16, 17, 18, 19, 20]] = 1e3 * np.random.default_rng(0).normal(size=(3, 1000, 14))
    assert np.abs(hits.signed_velocity(motion)[:-1] - 2 * np.diff(swing)).max() < 1e-9, "other joints count"


def plain_extrema(y, lookahead=25):
    """Billauer's method as a state machine, written for one side at a time."""
    found, seeking = [], None
    high, low, at_high, at_low = y[0], y[0], 0, 0
    for k in range(len(y) - lookahead):
        if seeking != "low" and y[k] > high:
            high, at_high = y[k], k
        if seeking != "high" and y[k] < low:
            low, at_low = y[k], k
        ahead = y[k : k + lookahead]
        if seeking != "low" and y[k] < high and ahead.max() < high:
            found.append(("high", at_high))
            seeking, low, at_low = "low", np.inf, None
        elif seeking != "high" and y[k] > low and ahead.min() > low:
            found.append(("low", at_low))
            seeking, high, at_high = "high", -np.inf, None
    found = found[1:]
    return [k for kind, k in found if kind == "high"], [k for kind, k in found if kind == "low"]


@given(st.integers(0, 2**32 - 1), st.integers(60, 400), st.booleans())
def test_extrema_alternate_and_are_those_of_a_plain_state_machine(seed, frames, flat):
    rng = np.random.default_rng(seed)
    curve = np.cumsum(rng.normal(size=frames))
    curve = np.round(curve) if flat else curve
    highs, lows = hits.extrema(curve)
    order = sorted([(k, "high") for k in highs] + [(k, "low") for k in lows])
    assert all(a[1] != b[1] for a, b in pairwise(order))
    for k in highs:
        assert curve[k] >= curve[k : k + 25].max()
    if not flat:
        assert (highs, lows) == plain_extrema(curve)


def test_the_hit_rate_counts_every_beat_with_a_peak_in_reach():
    motion, y = clip(1), clicks()
    beats = hits.beat_frames(y, 22050)
    maxima, minima = hits.extrema(hits.smoothed(hits.signed_velocity(motion)))
    expected = np.mean([any(abs(b - p) <= 20 for p in maxima + minima) for b in beats])
    assert hit_rate(motion, y) == pytest.approx(100 * expected) and 0 < expected < 1
    assert hit_rate(np.zeros((3, 1000, 21)), y) == 0.0, "nobody moves"
    with pytest.raises(ValueError, match="no beat is tracked"):
        hit_rate(motion, np.zeros(220500, np.float32))


def test_the_target_is_one_number_a_file():
    rates, files = np.array([10.0, 20, 60, 40]), np.array(["a", "a", "b", "b"])
    assert hits.constant_target(rates, files).tolist() == [15.0, 15.0, 50.0, 50.0]


# --- augmentation ----------------------------------------------------------------------------------------------------


def test_views_are_two_families_drawn_once_a_file():
    clips = np.stack([clip(i) for i in range(3)])
    pairs = set()
    for seed in range(30):
        first, second, names = pretraining.two_views(clips, np.random.default_rng(seed))
        assert first.shape == second.shape == clips.shape and len(set(names)) == 2
        pairs.add(names)
    assert len(pairs) == 6, "every pair of the four is drawn"


def test_each_family_does_what_its_name_says():
    motion, rng = clip(), np.random.default_rng(0)
    assert np.allclose(pretraining.shifted(motion) - motion, 10)
    assert (pretraining.noisy(motion, rng) - motion).var() == pytest.approx(0.5, rel=0.02)
    still = pretraining.frozen(motion, 300)
    assert (still[:, 300:400] == motion[:, 300:301]).all() and np.array_equal(still[:, 400:], motion[:, 400:])
    slow = pretraining.slowed(motion, 5)
    assert slow.shape == motion.shape
    assert np.abs(slow[:, 120:480:12] - motion[:, 100:400:10]).max() < 1.5, "1.2 times as long"


def test_pre_training_hears_the_last_piece_only():
    features = np.ones((6, 549, 130))
    heard = pretraining.music_of_zeros(features)
    assert not heard[:-1].any() and heard[-1].all() and features.all()


# --- splits ----------------------------------------------------------------------------------------------------------


def test_trials_are_in_order_of_practice():
    table = pd.DataFrame({"choreography": np.repeat(["k1", "b0"], 100), "trial": np.tile(np.arange(100), 2)})
    support, query = splits.support_and_query(table)
    assert table["trial"].iloc[support].tolist() == list(range(75, 90)) and query.tolist() == list(range(90, 100))


# --- the text --------------------------------------------------------------------------------------------------------


def test_every_label_is_the_same_token_sequence():
    labels = [("k-pop", "k1", "expert", 0), ("ballet", "b1", "beginner", 2), ("urban", "u2", "intermediate", 1)]
    written = [texts.label_text(*label) for label in labels]
    assert written[0] == "kpop,1,move 1,expert" and len(set(written)) == 3
    ids = texts.token_ids(written, texts.RELEASED_VOCABULARY)
    assert ids.shape == (3, 8) and (ids == ids[0]).all()
    comma = texts.RELEASED_VOCABULARY[","]
    assert ids[0].tolist() == [0, comma, 0, comma, 0, 0, comma, 0]
    knowing = texts.vocabulary([texts.SENTENCE, *written])
    assert len({tuple(row.tolist()) for row in texts.token_ids(written, knowing)}) == 3


def test_the_tower_is_causal_and_reads_the_token_of_the_largest_number():
    torch.manual_seed(0)
    tower = texts.TextTower(12, width=16, layers=2, heads=16, dim=8).eval()
    ids = torch.tensor([[1, 2, 9, 3, 4, 5, 6, 7]])
    other = torch.tensor([[1, 2, 9, 8, 0, 0, 1, 2]])  # differs behind the largest only
    before = torch.tensor([[2, 2, 9, 3, 4, 5, 6, 7]])
    with torch.inference_mode():
        assert torch.allclose(tower(ids), tower(other), atol=1e-6) and not torch.allclose(tower(ids), tower(before), atol=1e-3)
    assert tower(ids).shape == (1, 8)


def test_the_text_is_logits_of_classes_that_do_not_exist():
    z, text = torch.randn(4, 256), torch.randn(4, 256)
    joined = texts.logits(z, text)
    assert joined.shape == (4, 512) and torch.equal(joined[:, :45], z[:, :45])


def test_every_difference_names_a_function_that_is_there():
    table = differences.table()
    assert len(table) >= 16 and table["name"].is_unique and (table["file"].str.endswith(".py")).all()
    for here in table["here"]:
        module, name = here.split(".")
        rooms = ["dancemvp_core.released", "dancemvp_core.tasks"]
        found = [importlib.import_module(f"{room}.{module}") for room in rooms if importlib.util.find_spec(f"{room}.{module}")]
        assert any(hasattr(m, name) for m in found), here


def test_every_switch_of_the_study_is_a_difference_in_the_table():
    assert set(differences.table()["name"]) == {*study.SWITCHES, study.STOPPING}


# --- optimiser -------------------------------------------------------------------------------------------------------


def test_the_schedule_is_torchs_cosine_advanced_once_per_epoch_after_the_tenth():
    training = pretraining.ReleasedTraining(epochs=100, batches=421)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=3e-4)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=421)
    optimizer.step()
    for epoch in range(100):
        for step in (0, 210, 420):
            rate = training.rate((epoch * 421 + step) / (100 * 421))
            assert rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9), (epoch, step)
        if epoch >= 10:
            cosine.step()
    assert rate == pytest.approx(0.89 * 3e-4, rel=0.01)


def test_only_the_motion_encoders_gradient_is_clipped():
    encoder = torch.nn.Module()
    encoder.encoders = torch.nn.ModuleDict({"motion": torch.nn.Linear(3, 3), "music": torch.nn.Linear(3, 3)})
    objective = torch.nn.Module()
    objective.encoder = encoder
    weights = list(objective.parameters())
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    norm = pretraining.ReleasedTraining(epochs=1).clip(objective, weights)
    assert norm.item() == pytest.approx(24**0.5)
    moved = torch.cat([w.grad.flatten() for w in encoder.encoders["motion"].parameters()]).norm()
    kept = torch.cat([w.grad.flatten() for w in encoder.encoders["music"].parameters()]).norm()
    assert moved.item() == pytest.approx(0.25, rel=1e-4) and kept.item() == pytest.approx(12**0.5)


# --- the study's plan ------------------------------------------------------------------------------------------------


def test_readings_differ_from_ours_by_one_switch_and_the_prompts_parts_come_in_turn():
    plan = study.readings()
    assert list(plan) == ["ours", *study.SWITCHES, "as released"] and plan["as released"].on == set(study.SWITCHES)
    assert plan["knee"] == study.Reading(frozenset(["knee"]), "ours")
    assert plan["text"] == study.Reading(frozenset(["logits", "text tower", "text"]), "text tower")
    assert list(study.readings(("text tower",))) == ["ours", "logits", "text tower"]
    assert list(study.readings(("knee", "as released"))) == ["ours", "knee", "as released"]
    with pytest.raises(ValueError, match="no difference 'ankle'"):
        study.readings(("ankle",))


def test_the_reading_without_any_difference_is_ours_bit_for_bit(tmp_path):
    pieces, skeleton = piece_set(trials=4), skeletons.IMPERIALDANCE21
    size = SimpleNamespace(channels=(8, 16), dim=16, features=16)
    how = Training(2, 16, 1e-3)
    work = Pretraining("stgcn-lstm-infonce", 0, pieces, skeleton, Width.of(size), how)
    ours, _ = work.finished(tmp_path / "encoder.safetensors")
    reading = study.Study(SimpleNamespace(skeleton=skeleton), size, how, None, None, tmp_path)
    reading.cut[study.NOTHING] = pieces
    expected = ours.state_dict()
    found = reading.pretrained(study.NOTHING, 0)[0].state_dict()
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)


def test_an_interrupted_study_does_not_train_a_reading_again(tmp_path, monkeypatch):
    pieces, skeleton = piece_set(trials=4), skeletons.IMPERIALDANCE21
    size = SimpleNamespace(channels=(8, 16), dim=16, features=16)

    def fresh(how):
        made = study.Study(SimpleNamespace(skeleton=skeleton), size, how, None, None, tmp_path)
        made.cut[study.NOTHING] = pieces
        return made

    how, on = Training(2, 16, 1e-3), frozenset(["temperature", "mlp"])
    study_of = fresh(how)
    first, state = study_of.features(on, 0), study_of.condition(on | {"trials"}, 0)
    assert state == condition(study_of.pretrained(on, 0)[1]), "the pre-training's, whatever follows it"
    trained = []
    monkeypatch.setattr(study.Study, "pretrained", lambda *reading: trained.append(reading) or pytest.fail("trained again"))
    again = fresh(how).features(on, 0)
    assert torch.equal(first.hidden, again.hidden) and torch.equal(first.z, again.z) and not trained
    assert fresh(how).condition(on, 0) == state
    for other, seed in ((how, 1), (replace(how, epochs=3), 0)):
        with pytest.raises(pytest.fail.Exception):
            fresh(other).features(on, seed)


def measured(name, values, seeds=(0, 1), error=300.0, first=0, state=""):
    """A reading's measures of three performances: ``values`` has a list of them, for each seed."""
    rows = [
        (name, state, seed, first + i, "b0/expert", value, value + 5 * (i == 0), error + 10 * seed + i)
        for seed, own in zip(seeds, values, strict=True) for i, value in enumerate(own)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=study.COLUMNS)


def test_effects_compare_each_reading_with_its_own_reference():
    parts = [measured("ours", [[40, 50, 30], [42, 48, 36]]), measured("logits", [[30, 40, 20], [31, 37, 25]])]
    parts += [measured("text tower", [[28, 38, 18], [29, 35, 23]]), measured("text", [[28, 38, 18], [29, 35, 23]])]
    parts += [measured("target", [[40, 50, 30], [42, 48, 36]], error=105.0)]
    table = study.effects(pd.concat(parts)).set_index("difference")
    assert table.loc["ours", "task1_mean"] == pytest.approx(41) and (table["n_seeds"] == 2).all()
    assert table.loc["logits", "task1_effect"] == pytest.approx(-10.5)
    assert table.loc["text tower", "task1_effect"] == pytest.approx(-2)
    assert table.loc["text", ["task1_effect", "task1_low", "task1_high"]].tolist() == [0, 0, 0]
    assert table.loc["stopping", "task1_effect"] == pytest.approx(5 / 3) and table.loc["stopping", "against"] == "text"
    mean, low, high = table.loc["target", ["task3_effect", "task3_low", "task3_high"]]
    assert mean == pytest.approx(-195) and low <= mean <= high < 0
    assert (table["condition"] == "").all()


def test_a_reading_has_the_worst_condition_of_its_pre_trainings():
    states = ("underfit", "", "collapsed")
    knee = [measured("knee", [[40, 50, 30]], (seed,), state=state) for seed, state in enumerate(states)]
    table = study.effects(pd.concat([measured("ours", [[40, 50, 30]] * 3, (0, 1, 2)), *knee])).set_index("difference")
    assert table["condition"].to_dict() == {"ours": "", "knee": "collapsed"}


def test_one_seed_has_an_interval_over_performances_paired_where_they_are_the_same():
    ours, other = [40.0, 50.0, 30.0], [45.0, 56.0, 34.0]
    paired = study.effects(pd.concat([measured("ours", [ours], (0,)), measured("knee", [other], (0,))])).set_index("difference")
    expected = ttest_1samp(np.subtract(other, ours), 0).confidence_interval()
    assert paired.loc["knee", ["task1_low", "task1_high"]].tolist() == pytest.approx([expected.low, expected.high])
    apart = study.effects(pd.concat([measured("ours", [ours], (0,)), measured("trials", [other], (0,), first=9)]))
    row = apart.set_index("difference").loc["trials"]
    halves = [np.ptp(ttest_1samp(values, 0).confidence_interval()) / 2 for values in (ours, other)]
    assert row["task1_effect"] == pytest.approx(5)
    assert row["task1_high"] - row["task1_effect"] == pytest.approx(np.hypot(*halves))


def test_the_released_split_is_pre_trained_on_only_where_it_is_measured():
    reading, seen = SimpleNamespace(params=SimpleNamespace(split=""), seeds=1), []

    def planned(differences):
        seen.clear()
        study.heard_music(reading, differences, lambda jobs: seen.extend(jobs) or [])
        return list(seen)

    untrained = [("ours", False, 0), ("released", False, 0)]
    assert planned(("knee",)) == [("ours", True, 0), *untrained]
    assert planned(()) == planned(("split", "knee")) == [("ours", True, 0), ("released", True, 0), *untrained]
