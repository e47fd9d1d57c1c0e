"""Linear heads on frozen features, the paper's fine-tuning (Table 4), as strong as they can be.

Cross-validation on the support chooses everything that is open, with whole performances left out: the pieces of one
performance share music, score and dancer. It chooses the features (z, or the input of the MLP's last layer), the strength of
the penalty, and for Task 1 the head: one over all classes, or one for each attribute ("multi-label").
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.preprocessing import StandardScaler

from dancemvp_core.tasks.splits import learnable

STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)  # C of logistic regression; the smallest penalizes most. Real motion needs the last two
ONE_SHOT = 1.0  # the strength where nothing can be left out
PENALTIES = np.logspace(-1, 5, 13)  # of ridge regression
Probabilities = Callable[[np.ndarray], np.ndarray]  # features (N, D) -> probabilities (N, C)


class Scale(StandardScaler):
    """StandardScaler that treats a standard deviation of the size of rounding errors as zero: constants stay constant."""

    def fit(self, x, y=None, sample_weight=None):
        super().fit(x, y, sample_weight)
        self.scale_ = np.where(np.sqrt(self.var_) < 1e-5 * (1 + np.abs(self.mean_)), 1e9, self.scale_)
        return self


def joint_head(x: np.ndarray, codes: np.ndarray, classes: pd.DataFrame, strength: float) -> Probabilities:
    """Fit one logistic regression over all classes; a class without a support piece has probability 0."""
    return _logistic(x, codes, len(classes), strength)


def attribute_heads(x: np.ndarray, codes: np.ndarray, classes: pd.DataFrame, strength: float) -> Probabilities:
    """Fit one logistic regression for each attribute; a class has the product of its attributes' probabilities.

    Attributes that divide the classes alike share a fit: with one choreography a genre, genre and choreography do.
    """
    heads, fitted = [], {}
    for column in classes:
        _, value = np.unique(classes[column].astype(str), return_inverse=True)
        alike = value.tobytes()
        if alike not in fitted:
            fitted[alike] = _logistic(x, value[codes], value.max() + 1, strength)
        heads.append((value, fitted[alike]))

    def probabilities(y: np.ndarray) -> np.ndarray:
        out = np.prod([head(y)[:, value] for value, head in heads], axis=0) + 1e-12
        return out / out.sum(axis=1, keepdims=True)

    return probabilities


def _logistic(x: np.ndarray, codes: np.ndarray, count: int, strength: float) -> Probabilities:
    present = np.unique(codes)
    model = LogisticRegression(C=strength, max_iter=500, tol=1e-3) if len(present) > 1 else None
    if model:
        with warnings.catch_warnings():  # with one shot, scikit-learn takes the classes for a regression's values
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            model.fit(x, codes)

    def probabilities(y: np.ndarray) -> np.ndarray:
        out = np.zeros((len(y), count))
        out[:, present] = 1.0 if model is None else model.predict_proba(y)
        return out

    return probabilities


HEADS = {"all classes": joint_head, "each attribute": attribute_heads}


class Choice(NamedTuple):
    """What cross-validation chose for Task 1: the number of the features, the head's name and the strength."""

    features: int
    head: str
    strength: float


def choose(supports: list[np.ndarray], codes: np.ndarray, classes: pd.DataFrame, fold: np.ndarray) -> Choice:
    """Return the best features, head and strength for Task 1, by accuracy on left-out performances.

    ``supports``: scaled features of the support, each (N, D). Only pieces count whose class the rest knows (``learnable``). Of
    choices with equal accuracy the one with more right attributes wins, then the first one. With one shot no piece counts. Then
    the choice is a stated one: the last features, a head for each attribute, the strength ``ONE_SHOT``.
    """
    truth = classes.astype(str).to_numpy()
    best, chosen = (-1, -1), Choice(len(supports) - 1, "each attribute", ONE_SHOT)
    counts = learnable(codes, fold)
    if not counts.any():
        return chosen
    for number, name, strength in itertools.product(range(len(supports)), HEADS, STRENGTHS):
        x, right, attributes = supports[number], 0, 0
        for left_out in np.unique(fold):
            rest, test = fold != left_out, (fold == left_out) & counts
            if not test.any():
                continue
            guess = HEADS[name](x[rest], codes[rest], classes, strength)(x[test]).argmax(axis=1)
            right += int((guess == codes[test]).sum())
            attributes += int((truth[guess] == truth[codes[test]]).sum())
        if (right, attributes) > best:
            best, chosen = (right, attributes), Choice(number, name, strength)
    return chosen


def classify(
    supports: list[np.ndarray], queries: list[np.ndarray], codes: np.ndarray, classes: pd.DataFrame, fold: np.ndarray
) -> np.ndarray:
    """Return the probabilities of Task 1's classes for the query, (Q, C), from the head that ``choose`` chooses."""
    best = choose(supports, codes, classes, fold)
    return HEADS[best.head](supports[best.features], codes, classes, best.strength)(queries[best.features])


def regress(
    supports: list[np.ndarray], queries: list[np.ndarray], target: np.ndarray, fold: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return a ridge regression's predictions for the query, (Q,), and its squared error on left-out performances.

    The features and the penalty are those with the smallest such error. With a single performance, leave-one-out over its
    pieces chooses.
    """
    if len(np.unique(fold)) == 1:
        models = [RidgeCV(PENALTIES).fit(x, target) for x in supports]
        best = int(np.argmax([model.best_score_ for model in models]))
        return models[best].predict(queries[best]), -float(models[best].best_score_)
    errors = np.stack([left_out_errors(x, target, fold) for x in supports])
    best, penalty = np.unravel_index(errors.argmin(), errors.shape)
    model = Ridge(PENALTIES[penalty]).fit(supports[best], target)
    return model.predict(queries[best]), float(errors.min())


def left_out_errors(x: np.ndarray, target: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Return the mean squared error of ridge regression on left-out folds for each of ``PENALTIES``, (P,).

    All folds have the same weight. scikit-learn's ``RidgeCV`` computes the same with one fit for each penalty. Here, one
    decomposition of the rest of a fold serves all penalties.
    """
    errors = []
    for left_out in np.unique(fold):
        rest, test = fold != left_out, fold == left_out
        copies = np.tile(target[rest, None], len(PENALTIES))
        predicted = Ridge(PENALTIES, solver="svd").fit(x[rest], copies).predict(x[test])
        errors.append(np.square(predicted - target[test, None]).mean(axis=0))
    return np.mean(errors, axis=0)
