"""Linear heads: what cross-validation on the support chooses, against plain computations."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression, Ridge
from tiny import piece_set

from dancemvp_core.tasks import linear_heads, splits
from dancemvp_core.tasks.linear_heads import Axes
from dancemvp_core.tasks.protocols import class_table


@pytest.fixture(scope="module")
def known():
    """A support of 6 performances for each choreography and level."""
    table = piece_set(trials=6).table
    return table[table["split"] == "test"].reset_index(drop=True)


def features(known, columns, noise, seed=0):
    """One-hot codes of some labels, with noise, scaled."""
    codes = pd.get_dummies(known[columns].astype(str)).to_numpy(float)
    x = codes + np.random.default_rng(seed).normal(0, noise, codes.shape)
    return linear_heads.Scale().fit_transform(x)


def test_a_class_has_the_product_of_its_attributes_probabilities(known):
    classes, codes = class_table(known)
    x = features(known, ["choreography", "level"], 0.5)
    found = linear_heads.attribute_heads(Axes.of(x), codes, classes, 0.1)(x)
    expected = np.ones_like(found)
    for column in classes:
        own = known[column].astype(str).to_numpy()
        if len(set(own)) < 2:
            continue
        model = LogisticRegression(C=0.2 if len(set(own)) == 2 else 0.1, max_iter=5000, tol=1e-7).fit(x, own)
        place = [list(model.classes_).index(name) for name in classes[column].astype(str)]
        expected *= model.predict_proba(x)[:, place]
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=0.01)
    np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("strength", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("pieces, dim, count", [(60, 8, 3), (12, 30, 4), (60, 8, 2)])
def test_the_regression_is_that_of_scikit_learn(pieces, dim, count, strength, monkeypatch):
    """More columns than pieces, a constant column and columns of very different size are among them."""
    monkeypatch.setattr(linear_heads, "SMALLEST_GRADIENT", 1e-9)
    monkeypatch.setattr(linear_heads, "MOST_STEPS", 10_000)
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.arange(pieces) % count)
    x = (rng.normal(size=(pieces, dim)) + codes[:, None] * rng.normal(size=dim)) * np.geomspace(0.1, 10, dim)
    x[:, 0] = 1.0
    weights, constants = linear_heads.softmax_regression(Axes.of(x), codes, strength)
    model = LogisticRegression(C=2 * strength if count == 2 else strength, max_iter=100_000, tol=1e-10).fit(x, codes)
    found = softmax(x @ weights + constants, axis=1)
    np.testing.assert_allclose(found, model.predict_proba(x), atol=1e-5)
    if count > 2:
        np.testing.assert_allclose(weights.T, model.coef_, atol=1e-3)


def test_the_regression_ends_where_its_gradient_is_small(known):
    """Within the stated steps, few classes get the probabilities of a fit to the end."""
    classes, codes = class_table(known)
    primitive = classes["primitive"].to_numpy()[codes]
    own = Axes.of(features(known, ["choreography", "primitive"], 0.5))
    for strength in linear_heads.STRENGTHS["each attribute"]:
        weights, constants = linear_heads.softmax_regression(own, primitive, strength)
        x = own.mean + own.values @ own.axes
        exact = LogisticRegression(C=strength, max_iter=100_000, tol=1e-8).fit(x, primitive)
        np.testing.assert_allclose(softmax(x @ weights + constants, axis=1), exact.predict_proba(x), atol=0.03)


def test_attributes_that_divide_the_classes_alike_share_a_fit(known, monkeypatch):
    classes, codes = class_table(known)
    assert classes["genre"].nunique() == classes["choreography"].nunique() == 2
    x, fitted, fit = features(known, ["choreography", "level"], 0.5), [], linear_heads._logistic
    monkeypatch.setattr(linear_heads, "_logistic", lambda x, codes, *more: fitted.append(codes) or fit(x, codes, *more))
    linear_heads.attribute_heads(Axes.of(x), codes, classes, 0.1)
    assert len(fitted) == 3, "genre and choreography, level, primitive"


def test_the_features_that_tell_the_classes_are_chosen_wherever_they_stand(known):
    classes, codes = class_table(known)
    fold = splits.folds(known)
    good, bad = features(known, ["choreography", "level", "primitive"], 0.3), features(known, ["level"], 3.0, seed=1)
    for supports, expected in (([good, bad], 0), ([bad, good], 1)):
        assert linear_heads.choose(supports, codes, classes, fold).features == expected
        found = linear_heads.classify(supports, supports, codes, classes, fold)
        assert (found.argmax(axis=1) == codes).mean() > 0.9


def test_with_one_shot_nothing_can_be_chosen_and_nothing_is_fitted(known, monkeypatch):
    """With its performance left out, the rest has no example of a class: the choice is the stated one."""
    first = known[known["trial"] == known["trial"].min()].reset_index(drop=True)
    classes, codes = class_table(first)
    fold = splits.folds(first)
    assert len(set(fold)) > 1 and not splits.learnable(codes, fold).any()
    monkeypatch.setattr(linear_heads, "HEADS", dict.fromkeys(linear_heads.HEADS))
    x = features(first, ["choreography", "level", "primitive"], 0.1)
    assert linear_heads.choose([x, x], codes, classes, fold) == (1, "each attribute", linear_heads.ONE_SHOT)


def test_only_classes_that_the_rest_knows_choose(known):
    """Two performances of each class of b4, one of each of k4: features that name the classes of b4 only are chosen."""
    few = known[(known["choreography"] == "b4") & (known["trial"] < 2) | (known["trial"] < 1)].reset_index(drop=True)
    classes, codes = class_table(few)
    fold, b4 = splits.folds(few), (few["choreography"] == "b4").to_numpy()
    # The folds of one class may be the same by chance of the numbering; here they are not.
    assert (splits.learnable(codes, fold) == b4).all()
    useful = features(few, ["choreography", "level", "primitive"], 0.1) * b4[:, None]
    other = features(few, ["choreography", "level", "primitive"], 0.1, seed=1) * ~b4[:, None]
    assert linear_heads.choose([other, useful], codes, classes, fold).features == 1


def test_a_class_that_the_rest_lacks_and_a_single_performance(known):
    classes, codes = class_table(known)
    x = features(known, ["choreography", "level", "primitive"], 0.1)
    some = codes > 0
    assert (linear_heads.joint_head(Axes.of(x[some]), codes[some], classes, 1.0)(x)[:, 0] == 0).all()
    one = known[known["sequence"] == known["sequence"].iloc[0]].reset_index(drop=True)
    own_classes, own_codes = class_table(one)
    choice = linear_heads.choose([x[:3]], own_codes, own_classes, splits.folds(one))
    assert choice == (0, "each attribute", 1.0)


def test_ridge_is_chosen_by_whole_left_out_performances(known):
    """Features that name the performance fit its own score, and say nothing of another performance."""
    fold, rng = splits.folds(known), np.random.default_rng(0)
    number = known["sequence"].rank(method="dense").astype(int).to_numpy()
    target = rng.normal(size=number.max() + 1)[number]
    names = linear_heads.Scale().fit_transform(np.eye(number.max() + 1)[number])
    useful = linear_heads.Scale().fit_transform((target + rng.normal(0, 0.3, len(target)))[:, None])
    predicted, error = linear_heads.regress([names, useful], [names, useful], target, fold)
    errors = []
    for penalty in linear_heads.PENALTIES:
        guess = np.empty_like(target)
        for left_out in np.unique(fold):
            test = fold == left_out
            guess[test] = Ridge(penalty).fit(useful[~test], target[~test]).predict(useful[test])
        errors.append(np.mean([((guess - target)[fold == k] ** 2).mean() for k in np.unique(fold)]))
    assert error == pytest.approx(min(errors), rel=1e-6)
    best = linear_heads.PENALTIES[int(np.argmin(errors))]
    np.testing.assert_allclose(predicted, Ridge(best).fit(useful, target).predict(useful), rtol=1e-6)
