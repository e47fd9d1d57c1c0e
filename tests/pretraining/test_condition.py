"""The condition of a pre-training: what constant features cost, and histories that rise, stand still, are noisy or collapse."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import piece_set

from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.pretraining import methods, networks
from dancemvp_core.pretraining.condition import LEVEL, condition, level_within, spread

WIDTH = networks.Width((8,), 16, 12)
EACH = {m.objective: m.pretraining for m in methods.everyone().values()}  # one pre-training of each objective


def constant_features(objective):
    """Let an objective's networks give the same features for every piece: their last layer has no weights, only a bias."""
    modules = [objective.encoder, getattr(objective, "key_encoder", None), *getattr(objective, "teacher", [])[:1]]
    for encoder in filter(None, modules):
        encoder.last.weight.zero_()
        encoder.last.bias.copy_(torch.linspace(-1, 1, len(encoder.last.bias)))


@pytest.mark.parametrize("name", ["infonce", "supcon", "moco"])
@pytest.mark.parametrize("batch", [6, 12])
@torch.no_grad()
def test_constant_features_reach_the_trivial_value_of_a_contrastive_loss(name, batch):
    pieces = piece_set(trials=4)
    objective = networks.new_objective(EACH[name], 0, WIDTH, pieces, IMPERIALDANCE21)
    constant_features(objective)
    view, labels = pieces.batch(torch.arange(batch)), torch.arange(batch) // 3
    if name == "moco":
        while not torch.equal(objective.queue[-1], objective.queue[0]):  # until no key is left that it started with
            objective.loss((view, view), labels)
            objective.after_step(objective.pace(0.0, 100))
    trivial = objective.trivial_loss((view, view), labels)
    assert float(objective.loss((view, view), labels)) == pytest.approx(trivial, abs=1e-4)
    assert trivial == pytest.approx(math.log(129 if name == "moco" else 2 * batch - 1))


@torch.no_grad()
def test_a_classifier_without_features_guesses_among_all_classes():
    pieces = piece_set(trials=4)
    objective = networks.new_objective(EACH["crossentropy"], 0, WIDTH, pieces, IMPERIALDANCE21)
    constant_features(objective)
    objective.classifier.weight.zero_()
    objective.classifier.bias.zero_()
    batch, labels = pieces.batch(torch.arange(12)), torch.arange(12)
    assert float(objective.loss((batch, batch), labels)) == pytest.approx(math.log(12), abs=1e-5)
    assert objective.trivial_loss((batch, batch), labels) == pytest.approx(math.log(12))


@torch.no_grad()
def test_a_student_and_a_teacher_that_agree_on_nothing_are_as_far_apart_as_prototypes_allow():
    pieces = piece_set(trials=4)
    objective = networks.new_objective(EACH["svt"], 0, WIDTH, pieces, IMPERIALDANCE21)
    constant_features(objective)
    batch, labels = pieces.batch(torch.arange(12)), torch.arange(12)
    objective.loss((batch, batch), labels)
    objective.centre.copy_(objective.seen)  # the centre has caught up: the targets are uniform
    # The student still tells the prototypes apart; that of a constant encoder learns to answer with equal scores.
    trivial = objective.trivial_loss((batch, batch), labels)
    assert trivial == pytest.approx(math.log(len(objective.centre)))
    assert float(objective.loss((batch, batch), labels)) >= trivial - 1e-4
    objective.head.prototypes.copy_(objective.head.prototypes[:1].expand_as(objective.head.prototypes))
    assert float(objective.loss((batch, batch), labels)) == pytest.approx(trivial, abs=1e-4)


@torch.no_grad()
def test_the_best_single_motion_is_the_mean_piece():
    pieces = piece_set(trials=4)
    objective = networks.new_objective(EACH["reconstruction"], 0, WIDTH, pieces, IMPERIALDANCE21)
    views, labels = tuple(pieces.batch(torch.arange(12) + 12 * i) for i in range(2)), torch.arange(12)
    mean = torch.cat([view["motion"] for view in views]).mean(dim=0)
    objective.encoder.generate = lambda music: (None, mean.expand(len(music), *mean.shape))
    assert float(objective.trivial_loss(views, labels)) == pytest.approx(float(objective.loss(views, labels)), rel=1e-5)


@torch.no_grad()
def test_without_features_the_interaction_hears_no_time_and_eq_1_no_piece():
    pieces = piece_set(trials=4)
    objective = networks.new_objective(EACH["synchrony"], 0, WIDTH, pieces, IMPERIALDANCE21)
    constant_features(objective)
    objective.encoder.interaction.streams = lambda view: (torch.zeros(6, 16), torch.zeros(6, 16))
    batch, labels = pieces.batch(torch.arange(6)), torch.arange(6)
    trivial = objective.trivial_loss((batch, batch), labels)
    assert float(objective.loss((batch, batch), labels)) == pytest.approx(trivial, abs=1e-4)


@torch.no_grad()
def test_every_objective_has_a_trivial_value():
    pieces = piece_set(trials=4)
    batch, labels = pieces.batch(torch.arange(6)), torch.arange(6)
    for name, pretraining in EACH.items():
        objective = networks.new_objective(pretraining, 0, WIDTH, pieces, IMPERIALDANCE21)
        objective.loss((batch, batch), labels)
        objective.after_step(objective.pace(0.0, 10))
        assert float(objective.trivial_loss((batch, batch), labels)) > 0, name


def history(level, loss=None, trivial=4.0, spread=0.8, watched=450):
    loss = np.full(len(level), 1.0) if loss is None else loss
    return pd.DataFrame({"loss": loss, "trivial_loss": trivial, "spread": spread, LEVEL: level, "watched": watched})


def noisy(mean, epochs, watched=450, seed=0):
    return np.random.default_rng(seed).binomial(watched, mean, epochs) / watched


@pytest.mark.parametrize(
    ("level", "loss", "expected"),
    [
        ([0.4, 0.5, 0.6, 0.7], None, "underfit"),
        ([0.4, 0.6, 0.65, 0.65], None, ""),
        ([0.7, 0.6, 0.5, 0.4], None, ""),  # what falls is no reason to train longer
        ([0.4, 0.6, 0.62, 0.65], None, ""),  # three points are within the noise of 450 pieces
        ([0.6] * 4, [3.0, 2.5, 2.0, 1.5], "underfit"),  # a fifth of the loss's way in the last epoch
        ([0.6] * 4, [2.0, 1.3, 1.1, 1.0], ""),
        ([0.6], [1.0], "underfit"),
        ([0.4, 0.6], None, "underfit"),
        ([0.6, 0.6], None, ""),
        ([0.5, 0.5, 0.55, 0.55, 0.58, 0.58, 0.68, 0.70], None, "underfit"),
        ([0.6] * 4, [4.2, 4.1, 4.0, 3.9], "collapsed"),
        ([0.4, 0.5, 0.6, 0.7], [5.0, 4.3, 4.1, 4.0], "collapsed"),
        ([0.6], [4.0], "collapsed"),
    ],
)
def test_the_condition_of_a_history(level, loss, expected):
    assert condition(history(level, loss)) == expected


@pytest.mark.parametrize("epochs", [4, 8, 40])
def test_noise_around_a_level_curve_is_seldom_a_rise(epochs):
    found = [condition(history(noisy(0.6, epochs, seed=seed))) for seed in range(200)]
    assert set(found) <= {"", "underfit"} and found.count("underfit") <= 14  # 2.3 % are expected of four epochs
    steep = [condition(history(noisy(np.linspace(0.4, 0.9, epochs), epochs, seed=seed))) for seed in range(20)]
    assert steep.count("underfit") >= 18


def test_constant_features_are_collapsed_whatever_the_loss_says():
    assert condition(history([0.6] * 4, spread=0.001)) == "collapsed"
    assert condition(history([0.6] * 4, spread=0.2)) == ""


def test_without_levels_only_the_loss_counts():
    bare = history([0.0] * 4, [2.0, 1.3, 1.1, 1.0]).drop(columns=[LEVEL, "watched"])
    assert condition(bare) == ""
    assert condition(bare.assign(loss=[3.0, 2.5, 2.0, 1.5])) == "underfit"


def test_spread_is_that_of_a_loop():
    z = np.random.default_rng(0).normal(size=(20, 5)) + 1.0
    unit = [row / math.sqrt(sum(v * v for v in row)) for row in z]
    mean = [sum(row[d] for row in unit) / 20 for d in range(5)]
    squares = [sum((row[d] - mean[d]) ** 2 for d in range(5)) for row in unit]
    assert spread(z) == pytest.approx(math.sqrt(sum(squares) / 20))
    assert spread(np.ones((7, 3))) == pytest.approx(0, abs=1e-7) and spread(np.zeros((7, 3))) == 0
    assert spread(np.concatenate([np.eye(4), -np.eye(4)])) == pytest.approx(1)


def test_level_within_is_that_of_a_loop():
    rng, table = np.random.default_rng(0), piece_set(trials=5).table
    z = rng.normal(size=(len(table), 6)) + 0.8 * (table["level"] == "expert").to_numpy()[:, None]
    right = []
    for i, piece in table.iterrows():
        others = table[(table["choreography"] == piece["choreography"]) & (table["primitive"] == piece["primitive"])].index.drop(i)
        near = sorted(others, key=lambda j: -float(z[i] @ z[j] / np.linalg.norm(z[i]) / np.linalg.norm(z[j])))[:5]
        experts = sum(table.loc[j, "level"] == "expert" for j in near)
        right.append(("expert" if experts >= 3 else "beginner") == piece["level"])
    found = level_within(z, table)
    assert found == {LEVEL: pytest.approx(np.mean(right)), "watched": len(table)} and 0.5 < found[LEVEL] < 1


def test_pieces_of_one_level_and_pieces_without_levels_have_no_level_accuracy():
    table = piece_set(trials=2).table
    assert level_within(np.eye(len(table)), table.assign(level="expert")) == {}
    assert level_within(np.eye(len(table)), table.assign(level=None)) == {}
