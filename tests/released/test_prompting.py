"""The released prompt: its text says nothing with the released vocabulary, and the answer with one that knows the words."""

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import piece_set

from dancemvp_core.released import hits, prompting, texts
from dancemvp_core.released.prompting import PromptTuning
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.protocols import Episode

HOW = PromptTuning(epochs=30, learning_rate=1e-2, width=16, layers=1, heads=16)


@pytest.fixture(scope="module")
def episode():
    table = piece_set(trials=8).table
    table = table[table["split"] == "test"].reset_index(drop=True)
    late = (table["trial"] >= 4).to_numpy()
    return Episode(table, np.flatnonzero(~late), np.flatnonzero(late))


@pytest.fixture(scope="module")
def noise(episode):
    """Features that carry nothing: whatever is right comes from the text."""
    torch.manual_seed(0)
    return Features(torch.randn(len(episode.table), 12), torch.nn.Linear(12, 24))


def test_with_the_released_vocabulary_the_text_changes_no_bit(episode, noise):
    table, logits = prompting.taken_apart(noise, episode, texts.RELEASED_VOCABULARY, HOW)
    assert table["bit_identical"].all() and table["sequences"].eq(1).all() and table["accuracy"].nunique() == 1
    assert table["accuracy"].max() < 40 and logits["true label"].shape == (len(episode.query), 24 + 16)


def test_a_vocabulary_that_knows_the_words_gives_the_answer_away(episode, noise):
    """A wider z reads nothing off noise; the text's numbers are logits, so that the design can use the answer it is given."""
    few = Features(noise.hidden, torch.nn.Linear(12, 12))  # as many numbers as classes
    words = texts.vocabulary([texts.SENTENCE, *prompting.label_texts(episode.table)])
    table, _ = prompting.taken_apart(few, episode, words, HOW)
    table = table.set_index("text")
    assert table.loc["true label", "sequences"] == 12 and table.loc["one for all", "sequences"] == 1
    assert not table.loc[["another label", "one for all"], "bit_identical"].any()
    assert table["accuracy"].between(0, 40).all(), "the text stands beside z: it moves no logit of a class"


def test_features_with_fewer_numbers_than_classes_are_refused(episode, noise):
    with pytest.raises(ValueError, match="at least 12 outputs"):
        prompting.tune(Features(noise.hidden, torch.nn.Linear(12, 5)), episode, texts.RELEASED_VOCABULARY, HOW)


def test_two_readings_of_the_same_performances(synth_tree):
    from dancemvp_core import datasets
    from dancemvp_core.dance.pieces import Cutting, build

    dataset = datasets.load(synth_tree, trials=2)
    keep = np.zeros(len(dataset), bool)
    keep[0] = True
    cut = build(dataset, pd.Series("pretrain", index=dataset.index.index), keep, Cutting(8))
    measured = hits.both_readings(dataset, cut.sequences, np.arange(0, len(dataset), 7))
    assert list(measured.columns) == hits.COLUMNS and len(measured) >= 10
    assert measured[["bar", "hit_rate", "hit_chance"]].apply(lambda c: c.between(0, 100)).all(axis=None)
    value = hits.agreement(measured).set_index("measure")["value"]
    assert value["performances"] == len(measured) and abs(value["correlation (Pearson)"]) <= 1
    files = measured.groupby(["choreography", "level"]).ngroups
    assert value["values of the released target"] <= files and value["MSE of the file's mean on the released target"] < 1e-9
    assert value["MSE of the file's mean on hit rates"] >= 0
