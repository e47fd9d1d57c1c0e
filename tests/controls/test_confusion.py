"""Confusion matrices and movement similarity on pieces with a known structure."""

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import piece_set

from dancemvp_core.controls import confusion, figures
from dancemvp_core.tasks import stats


def answers(predicted_choreography="k4") -> pd.DataFrame:
    """Four pieces of b4 and four of k4: one of b4's is taken for another choreography."""
    rows = []
    for choreography in ("b4", "k4"):
        for i in range(4):
            guess = predicted_choreography if choreography == "b4" and i == 0 else choreography
            row = {"true_choreography": choreography, "true_primitive": 0, "true_level": "expert" if i % 2 else "beginner"}
            rows.append(
                row | {"predicted_choreography": guess, "predicted_primitive": 0, "predicted_level": row["true_level"]}
            )
    return pd.DataFrame(rows)


def test_matrix_is_percent_of_the_true_class_in_order_of_skill():
    matrix = confusion.matrix([answers(), answers("b4")])
    assert list(matrix.index) == [("b4", 0, "beginner"), ("b4", 0, "expert"), ("k4", 0, "beginner"), ("k4", 0, "expert")]
    assert matrix.sum(axis=1).tolist() == [100.0] * 4
    assert matrix.loc[("b4", 0, "beginner"), ("k4", 0, "beginner")] == 25.0
    assert matrix.loc[("k4", 0, "expert"), ("k4", 0, "expert")] == 100.0


def test_similarity_finds_the_planted_twin():
    pieces = piece_set(choreographies=("b0", "k0", "b4", "k4"))
    table = pieces.table
    own = [(table["choreography"].eq(c) & table["primitive"].eq(0)).to_numpy() for c in ("b4", "k4")]
    pieces.motion[torch.tensor(own[1])] = pieces.motion[torch.tensor(own[0])]
    similarity = confusion.movement_similarity(pieces)
    assert similarity.shape == (6, 6) and np.allclose(np.diag(similarity), 1)
    others = similarity.to_numpy()[~np.eye(6, dtype=bool)]
    assert similarity.loc[("b4", 0), ("k4", 0)] == pytest.approx(1.0, abs=1e-6) == others.max()


def test_pairs_are_between_choreographies_and_both_ways():
    index = pd.MultiIndex.from_product([["b4", "k4"], [0, 1]], names=confusion.PLACE)
    similarity = pd.DataFrame(np.eye(4), index=index, columns=index)
    pairs = confusion.pairs(confusion.matrix([answers()]), similarity)
    assert list(pairs.columns) == confusion.PAIR_COLUMNS and len(pairs) == 4
    first = pairs.iloc[0]
    assert (first["choreography_a"], first["move_a"], first["choreography_b"], first["move_b"]) == ("b4", 1, "k4", 1)
    assert first["confusion"] == pytest.approx((25.0 + 0.0) / 2), "mean over levels, then over both directions"
    assert pairs["confusion"].iloc[1:].eq(0).all()


def test_mantel_on_noise_and_without_confusion():
    moves = [(c, move) for c in "bhjk" for move in (1, 2)]
    apart = [(*a, *b) for i, a in enumerate(moves) for b in moves[i + 1 :] if a[0] != b[0]]
    rng = np.random.default_rng(3)
    values = []
    for _ in range(60):
        noise = pd.DataFrame(apart, columns=confusion.PAIR_COLUMNS[:4])
        noise = noise.assign(similarity=rng.normal(size=len(apart)), confusion=rng.uniform(size=len(apart)))
        values.append(stats.mantel(noise)[1])
    assert 0.35 < np.mean(values) < 0.65, "a p-value of noise is as often small as large"
    assert np.isnan(stats.mantel(noise.assign(confusion=0.0))).all()


def test_figure_draws_what_it_is_given():
    matrix = confusion.matrix([answers()])
    pairs = pd.DataFrame([("b4", 1, "k4", 1, 0.5, 12.5)], columns=confusion.PAIR_COLUMNS)
    figure = figures.confusion(matrix, pairs.assign(method="motion_only", rho=np.nan, p=np.nan), synthetic=True)
    shown = [text.get_text() for ax in figure.axes for text in ax.texts] + [text.get_text() for text in figure.texts]
    assert "motion only: nothing confused" in shown and "synthetic data" in shown
    assert figure.axes[0].images[0].get_array().shape == (4, 4)


def test_the_study_has_every_row_s_pairs_with_its_correlation():
    pieces = piece_set(choreographies=("b0", "k0", "b4", "k4"))
    table = confusion.study({"ours": [answers()], "motion_only": [answers("b4")]}, pieces)
    assert list(table["method"].unique()) == ["ours", "motion_only"] and len(table) == 2 * 9
    assert table.groupby("method")[["rho", "p"]].nunique(dropna=False).eq(1).all(axis=None)
    assert table.loc[table["method"] == "motion_only", "rho"].isna().all(), "nothing was confused"
