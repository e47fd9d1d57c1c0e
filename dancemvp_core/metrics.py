"""Measures of the three tasks, per query piece and over all of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm, spearmanr

from dancemvp_core.downstream import CLASS_COLUMNS, Predictions


def per_piece(predictions: Predictions, truth: pd.DataFrame) -> pd.DataFrame:
    """One row a query piece: right or wrong for each attribute, the score's L2, errors of score and rate.

    Columns (those that the predictions support): accuracy, genre, choreography, level, primitive, level_within (the
    level among the classes of the true choreography and primitive), l2, nll, score_error, covered_90, rate_error (pp).
    """
    out = pd.DataFrame(index=truth.index)
    if predictions.probabilities is not None:
        classes = predictions.classes
        best = classes.iloc[predictions.probabilities.argmax(axis=1)].reset_index(drop=True)
        names = truth[CLASS_COLUMNS].astype({"primitive": int}).reset_index(drop=True)
        right = best.to_numpy() == names.to_numpy()
        out["accuracy"] = right.all(axis=1)
        for column, label in enumerate(CLASS_COLUMNS):
            out[label] = right[:, column]
        same = (classes["choreography"].to_numpy()[None] == names["choreography"].to_numpy()[:, None]) & (
            classes["primitive"].to_numpy()[None] == names["primitive"].to_numpy()[:, None]
        )
        within = np.where(same, predictions.probabilities, -1.0).argmax(axis=1)
        out["level_within"] = classes["level"].to_numpy()[within] == names["level"].to_numpy()
    if predictions.score is not None:
        score, var = truth["score"].to_numpy() / 100, predictions.score_var
        error = predictions.score - score
        out["l2"] = 0.5 * error**2 / var + 0.5 * np.log(var)
        out["nll"] = out["l2"] + 0.5 * np.log(2 * np.pi)
        out["score_error"] = error
        out["covered_90"] = np.abs(error) <= norm.ppf(0.95) * np.sqrt(var)
    if predictions.rate is not None:
        out["rate_error"] = 100 * predictions.rate - truth["bar"].to_numpy()
    return out


def summary(predictions: Predictions, truth: pd.DataFrame) -> pd.DataFrame:
    """Tidy measures over the query: columns task (1, 2, 3), metric, value.

    Task 1: accuracies in percent. Task 2 on score/100: l2 (the paper's, alpha = beta = 0.5), nll, mse, spearman,
    relative_l2 (mean squared error over the squared score range), coverage_90 in percent. Task 3: mse in
    squared percentage points, and spearman.
    """
    pieces = per_piece(predictions, truth)
    rows = []
    for name in ("accuracy", *CLASS_COLUMNS, "level_within"):
        if name in pieces:
            rows.append((1, name, 100 * pieces[name].mean()))
    if "l2" in pieces:
        score = truth["score"].to_numpy() / 100
        mse = float((pieces["score_error"] ** 2).mean())
        rows += [
            (2, "l2", pieces["l2"].mean()),
            (2, "nll", pieces["nll"].mean()),
            (2, "mse", mse),
            (2, "relative_l2", mse / max(float(np.ptp(score)) ** 2, 1e-12)),
            (2, "spearman", _spearman(predictions.score, score)),
            (2, "coverage_90", 100 * pieces["covered_90"].mean()),
        ]
    if "rate_error" in pieces:
        rows += [
            (3, "mse", float((pieces["rate_error"] ** 2).mean())),
            (3, "spearman", _spearman(predictions.rate, truth["bar"].to_numpy())),
        ]
    return pd.DataFrame(rows, columns=["task", "metric", "value"]).astype({"value": float})


def _spearman(guess: np.ndarray, truth: np.ndarray) -> float:
    """Rank correlation; 0 where either is constant, since a constant ranks nothing."""
    if np.ptp(guess) < 1e-12 or np.ptp(truth) < 1e-12:
        return 0.0
    return float(spearmanr(guess, truth).statistic)
