"""The condition of a pre-training at its end: trained, underfit or collapsed, from its loss and its validation features."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.neighbors import KNeighborsClassifier

CONDITIONS = ("collapsed", "underfit")  # the worse one first
LEVEL = "knn_level_within"  # the column of the accuracy that the method must learn
LEAST_DESCENT = 0.05  # of the trivial value: a loss that is less below it has not left it
LEAST_SPREAD = 0.01  # of the features (``spread``); those of a new transformer have 0.09
STILL_FALLS = 0.1  # share of the loss's way down from its trivial value that lies between the last two quarters


def level_within(z: np.ndarray, table: pd.DataFrame, neighbours: int = 5) -> dict[str, float]:
    """Return how often a k-NN classifier (cosine) finds the level of a piece among pieces of its choreography and primitive.

    z (N, D). Each piece is left out in turn, so that all pieces are the query. Returns {LEVEL: accuracy (0..1), "watched": number
    of pieces}; {} if the pieces of no choreography and primitive have two levels.
    """
    table = table.reset_index(drop=True).dropna(subset=["choreography", "level"])
    right = []
    for _, same in table.groupby(["choreography", "primitive"]):
        if same["level"].nunique() > 1:
            levels = same["level"].to_numpy(dtype=str)
            knn = KNeighborsClassifier(min(neighbours, len(same) - 1), metric="cosine").fit(z[same.index], levels)
            right += (knn.predict(None) == levels).tolist()
    return {LEVEL: float(np.mean(right)), "watched": len(right)} if right else {}


def spread(z: np.ndarray) -> float:
    """Return the standard deviation of normalised features z (N, D) over the pieces, between 0 (constant) and 1.

    It is the root of the mean squared distance to the mean feature. 1: the pieces lie all over the sphere.
    """
    unit = z / np.linalg.norm(z, axis=1, keepdims=True).clip(min=1e-12)
    return float(np.sqrt(np.square(unit - unit.mean(axis=0)).sum(axis=1).mean()))


def condition(history: pd.DataFrame) -> str:
    """Return "collapsed", "underfit" or "" (neither) for the history of a pre-training (``training.train``).

    Collapsed: the encoder gives all pieces almost the same features (``spread`` below ``LEAST_SPREAD``), or the loss in the last
    epoch is less than ``LEAST_DESCENT`` below its trivial value, which constant features reach.
    Underfit: what the encoder must learn still changes between the last two quarters of the epochs. Either the accuracy of the
    level within choreography and primitive (``level_within``) rises by more than two standard errors of the difference of two
    such accuracies; or the loss falls by more than ``STILL_FALLS`` of its way down from the trivial value. After a single epoch
    the answer is "underfit", because one epoch cannot show the opposite. Without levels, only the loss counts.
    """
    loss, trivial = history["loss"], history["trivial_loss"]
    if history["spread"].iloc[-1] < LEAST_SPREAD or loss.iloc[-1] > (1 - LEAST_DESCENT) * trivial.iloc[-1]:
        return "collapsed"
    if len(history) < 2:
        return "underfit"
    quarter = max(1, len(history) // 4)
    before, last = (history.iloc[part].mean(numeric_only=True) for part in (slice(-2 * quarter, -quarter), slice(-quarter, None)))
    falls = (before["loss"] - last["loss"]) / (last["trivial_loss"] - last["loss"]) > STILL_FALLS
    return "underfit" if falls or _rises(before, last) else ""


def _rises(before: pd.Series, last: pd.Series) -> bool:
    """Return whether the level accuracy rose by more than two standard errors, as if both had been measured on other pieces.

    They are measured on the same pieces, so their difference is less uncertain than this: the test says "rises" too seldom.
    """
    if LEVEL not in last:
        return False
    p = (before[LEVEL] + last[LEVEL]) / 2
    return bool(last[LEVEL] - before[LEVEL] > 2 * np.sqrt(2 * p * (1 - p) / last["watched"]))
