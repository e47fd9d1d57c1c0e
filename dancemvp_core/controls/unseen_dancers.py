"""Does the method recognise the level or the dancer? A test with dancers who are not in the training of encoder and heads.

In ImperialDance and SynthDance, one dancer performs all trials of a choreography and level, so the level accuracy may come
from the recognition of that dancer. Only a simulator can add other dancers (``people`` asks the same of real data that name their
people). The heads are fitted on a support of the seen
dancers. They predict the query of these dancers, and pieces of other dancers with the same levels. There are two casts:

- **default**: the dancers of SynthDance. The dancers of one level move much alike, so a method can lose little.
- **strong style**: every dancer has habits that do not depend on the level (``synthdance.Dancers``). Here a method that
  recognises the dancer and does not judge the level has nothing to go by when it meets other dancers.

The encoders are those of the other tables, pre-trained on the default cast. For the cast with strong style, only the support
of the heads is of that cast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import RidgeClassifierCV
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline

from dancemvp_core import datasets
from dancemvp_core.dance.pieces import Cutting, PieceSet, build
from dancemvp_core.models.prompter import PrompterSettings
from dancemvp_core.pretraining import methods
from dancemvp_core.pretraining.training import encode
from dancemvp_core.runs import profiles
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks import linear_heads, splits, stats
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.metrics import per_piece, summary
from dancemvp_core.tasks.outcomes import Setting
from dancemvp_core.tasks.protocols import LOOK_AT_NOTHING, Episode, run
from dancemvp_core.tasks.rows import FLOORS, encoder_of, features_of

DEFAULT, STRONG = "default", "strong style"  # the casts
SHOWN = {
    "dancer": (0, "dancer"),
    "accuracy": (1, "accuracy"),
    "level_within": (1, "level_within"),
    "level": (1, "level"),
    "score_spearman": (2, "spearman"),
    "bar_mse": (3, "mse"),
}


def with_others(seen: PieceSet, params, cache: Path | None, progress: Callable = lambda rows: rows) -> PieceSet:
    """Return ``join`` of the seen dancers' pieces and SynthDance's other dancers, cut with the notebook's parameters."""
    roots = {(DEFAULT, "unseen"): profiles.unseen_dancers_root(params.project, params.profile, params.split)}
    for dancers in ("seen", "unseen"):
        roots[STRONG, dancers] = profiles.strong_style_root(params.project, params.profile, dancers, params.split)
    others = {}
    for group, root in roots.items():
        dataset = datasets.load(root)
        split = pd.Series("test", index=dataset.index)
        others[group] = build(dataset, split, np.ones(len(dataset), bool), Cutting.of(params), cache, progress)
    return join(seen, others)


def join(seen: PieceSet, others: dict[tuple[str, str], PieceSet]) -> PieceSet:
    """Return one set of all groups' test pieces, on the device of ``seen``, with the columns cast and dancers.

    ``seen`` has the pieces of the default cast's seen dancers. ``others`` has those of the other groups by cast and dancers
    ("seen", "unseen"). The music is the same, so their pieces use the standardised music features of ``seen``. Raises
    ValueError if the choreography and primitive of a piece is not among the test pieces of ``seen``.
    """
    rows = seen.rows("test")
    tables, motions = [seen.table.iloc[rows].assign(cast=DEFAULT, dancers="seen")], [seen.motion[rows]]
    window = tables[0].groupby(["choreography", "primitive"])["window"].first()
    for (cast, dancers), pieces in others.items():
        keys = pd.MultiIndex.from_frame(pieces.table[["choreography", "primitive"]])
        if not keys.isin(window.index).all():
            raise ValueError(f"{cast}, {dancers} dancers: one of their choreographies is not among the test choreographies")
        number = pieces.table["sequence"] + tables[-1]["sequence"].max() + 1
        labels = {"cast": cast, "dancers": dancers, "split": "test", "window": window.loc[keys].to_numpy()}
        tables.append(pieces.table.assign(**labels, sequence=number))
        motions.append(pieces.motion.to(seen.motion.device))
    table = pd.concat(tables, ignore_index=True)
    return PieceSet(torch.cat(motions), seen.music, table, table)


def support_and_queries(table: pd.DataFrame, shots: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows of a cast's support, of its seen dancers' query, and of its unseen dancers' query (half of the trials).

    ``table`` has the cast's pieces, and its index has their rows.
    """
    choreographies, seen = table["choreography"].unique(), table["dancers"] == "seen"
    support, seen_query = splits.support_and_query(table[seen], choreographies, shots, seed)
    _, unseen_query = splits.support_and_query(table[~seen], choreographies, 1, seed)
    return support, seen_query, unseen_query


def joined_features(name: str, seed: int, where: Workspace, pieces: PieceSet, needed: np.ndarray) -> Features:
    """Return a row's frozen features of ``pieces``, which is ``join(where.pieces, ...)``.

    The features of the default cast's seen dancers are the saved ones. Of the other pieces, only the ``needed`` rows are
    encoded; the features of the others stay zero.
    """
    if name in (*LOOK_AT_NOTHING, "handcrafted", "body_only"):  # there is nothing to encode
        return features_of(name, seed, replace(where, pieces=pieces))
    kept = features_of(name, seed, where)
    saved = (pieces.table["cast"].eq(DEFAULT) & pieces.table["dancers"].eq("seen")).to_numpy()
    hidden = kept.hidden.new_zeros(len(pieces), kept.hidden.shape[1])
    hidden[np.flatnonzero(saved)] = kept.hidden[where.pieces.rows("test")]
    new = needed[~saved[needed]]
    hidden[new] = encode(encoder_of(name, seed, where), pieces, new)[0].to(hidden.device)
    return Features(hidden, kept.last)


def recognised(hidden: np.ndarray, table: pd.DataFrame) -> float:
    """Return how often a linear classifier tells seen from unseen dancers, in % of the pieces; by chance it is 50.

    ``hidden`` (N, H) are the features of the N pieces in ``table``. There is one classifier for each choreography and level.
    It is cross-validated over performances (``splits.folds``). The result is the mean balanced accuracy over choreographies
    and levels; nan if nowhere all training parts have both.
    """
    fold, found = splits.folds(table), []
    unseen = (table["dancers"] == "unseen").to_numpy()
    classifier = make_pipeline(linear_heads.Scale(), RidgeClassifierCV(np.logspace(-1, 4, 11)))
    for rows in table.groupby(splits.GROUP, dropna=False).indices.values():
        numbers = np.unique(fold[rows])
        if any(len(np.unique(unseen[rows[fold[rows] != number]])) < 2 for number in numbers):
            continue  # nothing to tell apart
        said = np.zeros(len(rows), bool)
        for number in numbers:
            train, test = rows[fold[rows] != number], rows[fold[rows] == number]
            said[fold[rows] == number] = classifier.fit(hidden[train], unseen[train]).predict(hidden[test])
        found.append(100 * balanced_accuracy_score(unseen[rows], said))
    return float(np.mean(found)) if found else np.nan


def compare(name: str, pieces: PieceSet, where: Workspace, setting: Setting, settings: PrompterSettings) -> pd.DataFrame:
    """Return tidy measures of one row: method, protocol, seed, cast, dancers ("seen", "unseen"), task, metric, value.

    ``pieces`` is ``join(where.pieces, ...)``. In each cast, one fit on the seen dancers' support predicts both groups. Beside
    the measures of ``summary`` there are "dancer" (task 0), which is ``recognised`` from the row's features of both queries and
    the same for both groups, and the level accuracy in each choreography ("level_within b4"). The rows of one modality meet the
    default cast only: music does not know the dancer, and motion alone is close to ours.
    """
    casts = pieces.table.groupby("cast", sort=False)
    episodes = {
        cast: support_and_queries(table, setting.shots, setting.seed)
        for cast, table in casts
        if cast == DEFAULT or name not in methods.SINGLE_MODALITY
    }
    needed = np.concatenate([rows for parts in episodes.values() for rows in parts])
    features = joined_features(name, setting.seed, where, pieces, needed)
    facts = {"method": name, "protocol": setting.protocol, "seed": setting.seed}
    out = []
    for cast, (support, *queries) in episodes.items():
        query = np.concatenate(queries)
        asked = pieces.table.iloc[query]
        predictions = run(setting.protocol, features, Episode(pieces.table, support, query), setting.seed, settings)
        measured = per_piece(predictions, asked)
        told = [] if name in LOOK_AT_NOTHING else [(0, "dancer", recognised(features.hidden[query].cpu().numpy(), asked))]
        for who in ("seen", "unseen"):
            half = (asked["dancers"] == who).to_numpy()
            more = pd.DataFrame(told + level_by_choreography(measured[half]), columns=["task", "metric", "value"])
            out.append(pd.concat([summary(measured[half]), more]).assign(**facts, cast=cast, dancers=who))
    return pd.concat(out, ignore_index=True)


def level_by_choreography(measured: pd.DataFrame) -> list[tuple[int, str, float]]:
    """Return (task 1, "level_within <choreography>", accuracy in %) of measured pieces; [] if the row predicts no level."""
    if "level_within" not in measured:
        return []
    right = 100 * measured.groupby("true_choreography")["level_within"].mean()
    return [(1, f"level_within {name}", value) for name, value in right.items()]


def rows() -> list[tuple[str, str]]:
    """Return the lines of the table, (name, protocol): floors, ours, the strongest baseline on validation, ours fine-tuned."""
    known = [(name, methods.METHODS[name].protocol) for name in ("ours", methods.selected()["strongest"])]
    return [("ours", "finetune"), *known[::-1], *((name, m.protocol) for name, m in FLOORS.items())][::-1]


def table(measured: pd.DataFrame) -> pd.DataFrame:
    """Return the mean, and a 95 % t-interval, for each row, cast and group of dancers.

    The interval is over seeds; that of the level accuracy is over choreographies (means over seeds), because the dancers are
    the sample on which the question turns: everyone among the unseen dancers with a strong style dances one choreography. Of
    real people (``people``) it is over persons.
    """
    lines = []
    keys = ["method", "protocol", "cast", "dancers"]
    for key, group in measured.groupby(keys, sort=False):
        line = dict(zip(keys, key, strict=True)) | {"n_seeds": group["seed"].nunique()}
        for column, (task, metric) in SHOWN.items():
            values = group.loc[(group["task"] == task) & (group["metric"] == metric), "value"]
            if column == "level_within":
                each = group[group["metric"].str.startswith("level_within ")]
                values = each.groupby("metric")["value"].mean()
            if len(values):
                mean, low, high = stats.mean_interval(values.to_numpy(), share=task <= 1)  # 0: who dances
                line |= {column: mean, f"{column}_ci_low": low, f"{column}_ci_high": high}
        lines.append(line)
    return pd.DataFrame(lines)


def readable(measured: pd.DataFrame) -> pd.DataFrame:
    """Return ``table`` with seen and unseen dancers side by side: the means, rounded. Columns without values are left out."""
    means = [c for c in SHOWN if c != "dancer" and c in measured]
    index = ["cast", "method", "protocol", "n_seeds", *(["dancer"] if "dancer" in measured else [])]
    wide = measured.round(2).pivot(index=index, columns="dancers", values=means)
    wide.columns = [f"{c.replace('_', ' ')}, {dancers}" for c, dancers in wide.columns]
    return wide.reset_index()
