"""Measures of the three tasks, for each query piece and over all query pieces."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm, spearmanr

from dancemvp_core.tasks.prompting import named
from dancemvp_core.tasks.protocols import CLASS_COLUMNS, Predictions

# Column -> (task, metric): accuracy in %, the paper's L2 on score/100, MSE in squared percentage points.
TASKS = {"task1": (1, "accuracy"), "task2": (2, "l2"), "task3": (3, "mse")}
HIGHER_IS_BETTER = {"task1": True, "task2": False, "task3": False}


def per_piece(predictions: Predictions, truth: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each query piece with its labels, predictions, right or wrong, and errors.

    ``predictions`` are of the Q pieces, ``truth`` has their labels. Columns: true_<label>, and for the predicted tasks:
    predicted_<label>, predicted_score, predicted_score_sd, predicted_bar; right or wrong: accuracy, genre, choreography,
    level, primitive, level_within (the most probable level among the classes of the true choreography and primitive; wrong
    if there are none); l2, nll, score_error, covered_90, rate_error (percentage points). Labels that the classes do not have
    (``prompting.named``) have no columns of predictions.
    """
    out = pd.DataFrame({f"true_{name}": truth[name] for name in (*CLASS_COLUMNS, "score", "bar")}, index=truth.index)
    if predictions.probabilities is not None:
        classes = predictions.classes
        labels = named(classes)
        best = classes[labels].iloc[predictions.probabilities.argmax(axis=1)].reset_index(drop=True)
        names = truth[CLASS_COLUMNS].astype({"primitive": int}).reset_index(drop=True)
        for label in labels:
            out[f"predicted_{label}"] = best[label].to_numpy()
        right = best.to_numpy() == names[labels].to_numpy()
        out["accuracy"] = right.all(axis=1)
        for column, label in enumerate(labels):
            out[label] = right[:, column]
        same = (classes["choreography"].to_numpy()[None] == names["choreography"].to_numpy()[:, None]) & (
            classes["primitive"].to_numpy()[None] == names["primitive"].to_numpy()[:, None]
        )
        within = np.where(same, predictions.probabilities, -1.0).argmax(axis=1)
        if "level" in labels:
            out["level_within"] = same.any(axis=1) & (classes["level"].to_numpy()[within] == names["level"].to_numpy())
    if predictions.score is not None:
        score, var = truth["score"].to_numpy() / 100, predictions.score_var
        out["predicted_score"], out["predicted_score_sd"] = 100 * predictions.score, 100 * np.sqrt(var)
        error = predictions.score - score
        out["l2"] = 0.5 * error**2 / var + 0.5 * np.log(var)
        out["nll"] = out["l2"] + 0.5 * np.log(2 * np.pi)
        out["score_error"] = error
        out["covered_90"] = np.abs(error) <= norm.ppf(0.95) * np.sqrt(var)
    if predictions.rate is not None:
        out["predicted_bar"] = 100 * predictions.rate
        out["rate_error"] = out["predicted_bar"] - truth["bar"].to_numpy()
    return out


def summary(pieces: pd.DataFrame) -> pd.DataFrame:
    """Return tidy measures of query pieces (``per_piece``), with the columns task (1, 2, 3), metric, value.

    Task 1: accuracies in percent. Task 2, on score/100: l2 (the paper's, alpha = beta = 0.5), nll, mse, spearman,
    relative_l2 (mean squared error divided by the squared range of the scores), coverage_90 in percent. Task 3: mse in
    squared percentage points, and spearman.
    """
    rows = []
    for name in ("accuracy", *CLASS_COLUMNS, "level_within"):
        if name in pieces:
            rows.append((1, name, 100 * pieces[name].mean()))
    if "l2" in pieces:
        score = pieces["true_score"].to_numpy() / 100
        mse = float((pieces["score_error"] ** 2).mean())
        rows += [
            (2, "l2", pieces["l2"].mean()),
            (2, "nll", pieces["nll"].mean()),
            (2, "mse", mse),
            (2, "relative_l2", mse / max(float(np.ptp(score)) ** 2, 1e-12)),
            (2, "spearman", _spearman(pieces["predicted_score"].to_numpy(), score)),
            (2, "coverage_90", 100 * pieces["covered_90"].mean()),
        ]
    if "rate_error" in pieces:
        rows += [
            (3, "mse", float((pieces["rate_error"] ** 2).mean())),
            (3, "spearman", _spearman(pieces["predicted_bar"].to_numpy(), pieces["true_bar"].to_numpy())),
        ]
    return pd.DataFrame(rows, columns=["task", "metric", "value"]).astype({"value": float})


def _spearman(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Return the rank correlation; 0 if one of the two is constant, because then it is undefined."""
    if np.ptp(predicted) < 1e-12 or np.ptp(truth) < 1e-12:
        return 0.0
    return float(spearmanr(predicted, truth).statistic)
