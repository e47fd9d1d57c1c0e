"""The leak audit: no label of a query piece may influence its prediction.

It makes two checks of a function ``predict(features, episode) -> Predictions``. *Exact*: random labels replace those of the
query, and the predictions must stay bit-identical. *Statistical*: on noise features with random labels, a fair protocol
must be at chance. Two leaks show that the checks can fail: the oracle, and features that have the level in them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from scipy.stats import binom, norm

from dancemvp_core.models.prompter import PrompterSettings
from dancemvp_core.tasks import splits
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.metrics import per_piece
from dancemvp_core.tasks.outcomes import Outcomes
from dancemvp_core.tasks.protocols import CLASS_COLUMNS, FAIR, LEAKING, Episode, Predictions, run

ALPHA = 0.001  # probability that a fair protocol fails the statistical check
PLANTED = "finetune, {} in the features"
ORACLE_STEPS = 150  # least steps of the oracle (it trains twice as long as the others), so that a leak shows in a small profile
Predict = Callable[[Features, Episode], Predictions]


class LeakError(AssertionError):
    """A label of the query influenced a prediction of a fair protocol."""


def replaced_labels(table: pd.DataFrame, query: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Return the table with random class labels (drawn from the whole table), scores and BAR in the query rows."""
    rng, out = np.random.default_rng(seed), table.copy()
    rows = table.index[query]
    sources = rng.integers(len(table), size=len(query))
    for column in CLASS_COLUMNS:
        out.loc[rows, column] = table[column].to_numpy()[sources]
    for column in ("score", "bar", "bar_direct"):
        if column in out:
            out.loc[rows, column] = rng.uniform(0, 100, len(query))
    return out


def same(a: Predictions, b: Predictions) -> bool:
    """Return whether two predictions are bit-identical."""
    fields = ("probabilities", "score", "score_var", "rate")
    pairs = [(getattr(a, f), getattr(b, f)) for f in fields]
    return all((x is None) == (y is None) and (x is None or np.array_equal(x, y)) for x, y in pairs)


def exact(predict: Predict, features: Features, episode: Episode) -> bool:
    """Return whether the predictions stay bit-identical when other labels replace all labels of the query."""
    other = replace(episode, table=replaced_labels(episode.table, episode.query))
    return same(predict(features, episode), predict(features, other))


def statistical(
    predict: Predict, episode: Episode, dim: int = 16, seed: int = 0, device="cpu", planted: str = ""
) -> dict:
    """Return measures on noise features and random labels: at_chance, accuracy, chance, <column>_spearman, p_value.

    at_chance is False if a prediction is significantly better than chance: one-sided tests at ``ALPHA``, with Bonferroni's
    correction. They are binomial for the class and for each of its attributes, and rank correlation with its normal
    approximation for score and rate. ``chance`` is the share of the most frequent class. The noise has few columns, so that a
    fit does not only remember it. The features also have the label ``planted``, if it is given: a leak that the check must find.
    The noise, and so the fit of a prompter, is on ``device``.
    """
    rng = np.random.default_rng(seed)
    table, query = episode.table, episode.query
    noise = rng.normal(size=(len(table), dim)).astype(np.float32)
    random = table.copy()
    codes = rng.permutation(len(table))
    for column in CLASS_COLUMNS:
        random[column] = table[column].to_numpy()[codes]
    for column in ("score", "bar"):
        if table[column].notna().any():
            random[column] = rng.uniform(0, 100, len(table))
    if planted:
        noise = np.hstack([noise, pd.get_dummies(random[planted]).to_numpy(np.float32)])
    predictions = predict(Features(torch.from_numpy(noise).to(device)), replace(episode, table=random))
    asked = random.iloc[query]
    pieces = per_piece(predictions, asked)
    out = {"at_chance": True}
    p_values = []
    if "accuracy" in pieces:
        known = [name for name in CLASS_COLUMNS if name in pieces]
        for measure, labels in {"accuracy": known, **{name: [name] for name in known}}.items():
            share = asked.groupby(labels).size().max() / len(query)
            if share < 1:
                p_values.append(float(binom.sf(pieces[measure].sum() - 1, len(query), share)))
        share = asked.groupby(known).size().max() / len(query)
        out |= {"accuracy": float(pieces["accuracy"].mean()), "chance": float(share)}
    for predicted, column in ((predictions.score, "score"), (predictions.rate, "bar")):
        if predicted is not None and np.ptp(predicted) > 0:
            rho = float(np.corrcoef(pd.Series(predicted).rank(), asked[column].rank())[0, 1])
            out[f"{column}_spearman"] = rho
            p_values.append(float(norm.sf(rho * np.sqrt(len(query) - 1))))
    out["p_value"] = min(1.0, min(p_values) * len(p_values)) if p_values else 1.0
    out["at_chance"] = out["p_value"] >= ALPHA
    return out


def audit(features: Features, episode: Episode, settings: PrompterSettings | None = None) -> pd.DataFrame:
    """Return both checks of all protocols, one row for each; the two leaks have fair = False.

    The row ``PLANTED`` has no exact check: the leak, the level or without levels the choreography, is in its features, not in
    the protocol.

    Both checks use only the labels of support and query pieces, so that the classes are those of the task.
    """
    kept = np.sort(np.concatenate([episode.support, episode.query]))
    features = Features(features.hidden[torch.as_tensor(kept, device=features.hidden.device)], features.last)
    places = (np.searchsorted(kept, rows) for rows in (episode.support, episode.query))
    episode = Episode(episode.table.iloc[kept].reset_index(drop=True), *places)
    settings = settings or PrompterSettings()
    brief = replace(settings, steps=min(settings.steps, 4))  # one bit is enough, so a leak shows after a few steps
    rows = []
    for protocol in (*FAIR, *LEAKING):

        thorough = settings if protocol in FAIR else replace(settings, steps=max(2 * settings.steps, ORACLE_STEPS))

        def predict(features, episode, protocol=protocol, how=thorough):
            return run(protocol, features, episode, seed=0, settings=how)

        identical = exact(partial(predict, how=brief), features, episode)
        row = {"protocol": protocol, "fair": protocol in FAIR, "bit_identical": identical}
        rows.append(row | statistical(predict, episode, device=features.hidden.device))
    planted = "choreography" if episode.known["level"].isna().any() else "level"
    found = statistical(partial(run, "finetune"), episode, planted=planted)
    rows.append({"protocol": PLANTED.format(planted), "fair": False, "bit_identical": None} | found)
    return pd.DataFrame(rows).astype({"bit_identical": "boolean"})


def enforce(report: pd.DataFrame) -> None:
    """Raise LeakError with the names of the protocols if a fair one fails a check, or if a leak passes one."""
    exact, at_chance = report["bit_identical"].astype("boolean"), report["at_chance"].astype(bool)
    failed = report[report["fair"] & ~(exact.fillna(False) & at_chance)]["protocol"].tolist()
    undetected = report[~report["fair"] & (exact.fillna(False) | at_chance)]["protocol"].tolist()
    if failed:
        raise LeakError(f"leak audit: labels of the query influence the predictions of {', '.join(failed)}")
    if undetected:
        raise LeakError(
            f"leak audit: it does not detect the leak of {', '.join(undetected)}, so its other results are not valid"
        )


def audit_of_ours(outcomes: Outcomes, shots: int) -> pd.DataFrame:
    """Return the ``audit`` of our features (seed 0) on two test choreographies, with at most 150 steps."""
    pieces = outcomes.where.pieces
    choreographies = pieces.table.loc[pieces.rows("test"), "choreography"].unique()[:2]
    episode = Episode(pieces.table, *splits.support_and_query(pieces.table, choreographies, shots, seed=0))
    brief = replace(outcomes.prompter, steps=min(outcomes.prompter.steps, 150))
    return audit(outcomes.features("ours", 0), episode, brief)
