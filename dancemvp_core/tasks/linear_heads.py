"""Linear heads on frozen features, the paper's fine-tuning (Table 4), as strong as they can be.

Cross-validation on the support chooses everything that is open, with whole performances left out: the pieces of one
performance share music, score and dancer. It chooses the features (z, or the input of the MLP's last layer), the strength of
the penalty, and for Task 1 the head: one over all classes, or one for each attribute ("multi-label").
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import softmax
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.preprocessing import StandardScaler

from dancemvp_core.tasks.splits import learnable

# C of logistic regression; the smallest penalizes most. Real motion needs the last two. With all classes in one head,
# ``MOST_STEPS`` ends the fit before a strength above 1 makes a difference.
STRENGTHS = {"all classes": (0.01, 0.1, 1.0), "each attribute": (0.01, 0.1, 1.0, 10.0, 100.0)}
ONE_SHOT = 1.0  # the strength where nothing can be left out
MOST_STEPS = 50  # of a logistic regression
SMALLEST_GRADIENT = 1e-3  # of a logistic regression in scaled axes: it has converged
PENALTIES = np.logspace(-1, 5, 13)  # of ridge regression
Probabilities = Callable[[np.ndarray], np.ndarray]  # features (N, D) -> probabilities (N, C)


class Scale(StandardScaler):
    """StandardScaler that treats a standard deviation of the size of rounding errors as zero: constants stay constant."""

    def fit(self, x, y=None, sample_weight=None):
        super().fit(x, y, sample_weight)
        self.scale_ = np.where(np.sqrt(self.var_) < 1e-5 * (1 + np.abs(self.mean_)), 1e9, self.scale_)
        return self


class Axes(NamedTuple):
    """Features of N pieces in their principal axes: mean (D,) + ``values`` (N, K) @ ``axes`` (K, D), with K = min(N, D).

    ``variance`` (K,): that of each axis. A penalized fit has no weight outside these axes.
    """

    values: np.ndarray
    axes: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> Axes:
        """Return features (N, D) in their principal axes."""
        mean = x.mean(axis=0)
        left, size, axes = np.linalg.svd(x - mean, full_matrices=False)
        return cls(left * size, axes, mean, size**2 / len(x))


def softmax_regression(own: Axes, codes: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Fit multinomial logistic regression with an L2 penalty: return its weights (D, C) and constants (C,).

    ``codes`` (N,): the class of each piece, 0 to C - 1; each class has a piece. The problem is that of scikit-learn's
    ``LogisticRegression(C=strength)``: mean cross-entropy + ``sum(weights ** 2) / (2 * strength * N)``; for two classes, that of
    ``LogisticRegression(C=2 * strength)``, which has one vector of weights for both. L-BFGS solves it in the principal
    axes, each divided by the root of its curvature where all classes are equally probable. So a fit needs a fifth of the steps
    or fewer where the classes are few, and all fits to the same pieces share one decomposition. Many classes with a weak penalty
    need more than ``MOST_STEPS`` steps: there, the number of steps limits the fit, too.
    """
    count, penalty = codes.max() + 1, 1 / (strength * len(codes))
    scale = 1 / np.sqrt(own.variance / count + penalty)
    x = np.hstack([own.values * scale, np.full((len(codes), 1), np.sqrt(count))])  # the last column: the constants
    penalties = np.append(penalty * scale**2, 0.0)[:, None]
    rows = np.arange(len(codes))

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(-1, count)
        log_p = x @ weights
        log_p -= log_p.max(axis=1, keepdims=True)
        p = np.exp(log_p)
        total = p.sum(axis=1, keepdims=True)
        value = np.log(total).mean() - log_p[rows, codes].mean() + (penalties * weights**2).sum() / 2
        p /= total
        p[rows, codes] -= 1
        return value, (x.T @ p / len(codes) + penalties * weights).ravel()

    start = np.zeros(x.shape[1] * count)
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", options={"maxiter": MOST_STEPS, "gtol": SMALLEST_GRADIENT, "ftol": 0}
    )
    weights = found.x.reshape(-1, count)
    solution = own.axes.T @ (weights[:-1] * scale[:, None])
    return solution, weights[-1] * np.sqrt(count) - own.mean @ solution


def joint_head(own: Axes, codes: np.ndarray, classes: pd.DataFrame, strength: float) -> Probabilities:
    """Fit one logistic regression over all classes; a class without a support piece has probability 0."""
    return _logistic(own, codes, len(classes), strength)


def attribute_heads(own: Axes, codes: np.ndarray, classes: pd.DataFrame, strength: float) -> Probabilities:
    """Fit one logistic regression for each attribute; a class has the product of its attributes' probabilities.

    Attributes that divide the classes alike share a fit: with one choreography a genre, genre and choreography do.
    """
    heads, fitted = [], {}
    for column in classes:
        _, value = np.unique(classes[column].astype(str), return_inverse=True)
        alike = value.tobytes()
        if alike not in fitted:
            fitted[alike] = _logistic(own, value[codes], value.max() + 1, strength)
        heads.append((value, fitted[alike]))

    def probabilities(y: np.ndarray) -> np.ndarray:
        out = np.prod([head(y)[:, value] for value, head in heads], axis=0) + 1e-12
        return out / out.sum(axis=1, keepdims=True)

    return probabilities


def _logistic(own: Axes, codes: np.ndarray, count: int, strength: float) -> Probabilities:
    present, numbers = np.unique(codes, return_inverse=True)
    weights, constants = softmax_regression(own, numbers, strength) if len(present) > 1 else (np.zeros((own.axes.shape[1], 1)), 0.0)

    def probabilities(y: np.ndarray) -> np.ndarray:
        out = np.zeros((len(y), count))
        out[:, present] = softmax(y @ weights + constants, axis=1)
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
    counts = learnable(codes, fold)
    if not counts.any():
        return Choice(len(supports) - 1, "each attribute", ONE_SHOT)
    right = {Choice(i, head, c): np.zeros(2) for i in range(len(supports)) for head in HEADS for c in STRENGTHS[head]}
    for number, left_out in itertools.product(range(len(supports)), np.unique(fold)):
        rest, test = fold != left_out, (fold == left_out) & counts
        if not test.any():
            continue
        x, own = supports[number], Axes.of(supports[number][rest])
        for choice in right:
            if choice.features == number:
                guess = HEADS[choice.head](own, codes[rest], classes, choice.strength)(x[test]).argmax(axis=1)
                right[choice] += (guess == codes[test]).sum(), (truth[guess] == truth[codes[test]]).sum()
    return max(right, key=lambda choice: tuple(right[choice]))


def classify(
    supports: list[np.ndarray], queries: list[np.ndarray], codes: np.ndarray, classes: pd.DataFrame, fold: np.ndarray
) -> np.ndarray:
    """Return the probabilities of Task 1's classes for the query, (Q, C), from the head that ``choose`` chooses."""
    best = choose(supports, codes, classes, fold)
    return HEADS[best.head](Axes.of(supports[best.features]), codes, classes, best.strength)(queries[best.features])


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
