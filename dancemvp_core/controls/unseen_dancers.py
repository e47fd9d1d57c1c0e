"""Does the method recognise the level or the dancer? A test with dancers who are not in the training of encoder and heads.

In ImperialDance and SynthDance, one dancer performs all trials of a choreography and level, so the level accuracy may come
from the recognition of that dancer. Only a simulator can add other dancers. The heads are fitted on the usual support. They
predict the usual query, and pieces of other dancers with the same levels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dancemvp_core import datasets
from dancemvp_core.dance.pieces import Cutting, PieceSet, build
from dancemvp_core.models.prompter import PrompterSettings
from dancemvp_core.pretraining import methods
from dancemvp_core.pretraining.training import encode
from dancemvp_core.runs import profiles
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks import splits, stats
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.metrics import per_piece, summary
from dancemvp_core.tasks.outcomes import Setting
from dancemvp_core.tasks.protocols import LOOK_AT_NOTHING, Episode, run
from dancemvp_core.tasks.rows import FLOORS, encoder_of, features_of

SHOWN = {
    "level_within": (1, "level_within"),
    "level": (1, "level"),
    "score_spearman": (2, "spearman"),
    "bar_mse": (3, "mse"),
}


ONLY_SIMULATED = "only SynthDance has other dancers"


def with_others(seen: PieceSet, params, cache: Path | None, progress: Callable = lambda rows: rows) -> PieceSet:
    """Return ``join`` of the seen dancers' pieces and SynthDance's other dancers, cut with the notebook's parameters."""
    others = datasets.load(profiles.unseen_dancers_root(params.project, params.profile, params.split))
    split = pd.Series("test", index=others.index)
    return join(seen, build(others, split, split.eq("test").to_numpy(), Cutting.of(params), cache, progress))


def join(seen: PieceSet, unseen: PieceSet) -> PieceSet:
    """Return one set of both groups' test pieces, on the device of ``seen``, with a column dancers ("seen", "unseen").

    The music is the same, so the unseen dancers' pieces use the standardised music features of the seen dancers' pieces.
    Raises ValueError if the choreography and primitive of an unseen dancer's piece is not among the seen test pieces.
    """
    rows = seen.rows("test")
    known, other = seen.table.iloc[rows].assign(dancers="seen"), unseen.table.assign(dancers="unseen", split="test")
    window = known.groupby(["choreography", "primitive"])["window"].first()
    keys = pd.MultiIndex.from_frame(other[["choreography", "primitive"]])
    if not keys.isin(window.index).all():
        raise ValueError("unseen dancers: one of their choreographies is not among the test choreographies")
    other = other.assign(window=window.loc[keys].to_numpy(), sequence=other["sequence"] + seen.table["sequence"].max() + 1)
    table = pd.concat([known, other], ignore_index=True)
    motion = torch.cat([seen.motion[rows], unseen.motion.to(seen.motion.device)])
    return PieceSet(motion, seen.music, table, table)


def support_and_queries(table: pd.DataFrame, shots: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows of the support, of the seen dancers' query, and of the unseen dancers' query (half of their trials)."""
    choreographies = table["choreography"].unique()
    unseen = np.flatnonzero((table["dancers"] == "unseen").to_numpy())
    support, seen_query = splits.support_and_query(table.drop(index=unseen), choreographies, shots, seed)
    _, unseen_query = splits.support_and_query(table.loc[unseen], choreographies, 1, seed)
    return support, seen_query, unseen_query


def joined_features(name: str, seed: int, where: Workspace, pieces: PieceSet, query: np.ndarray) -> Features:
    """Return a row's frozen features of ``pieces``, which is ``join(where.pieces, ...)``.

    The features of the seen dancers' pieces are the saved ones. Of the unseen dancers' pieces, only the ``query`` rows are
    encoded; the features of the others stay zero.
    """
    if name in (*LOOK_AT_NOTHING, "handcrafted", "body_only"):  # there is nothing to encode
        return features_of(name, seed, replace(where, pieces=pieces))
    kept = features_of(name, seed, where)
    hidden = kept.hidden.new_zeros(len(pieces), kept.hidden.shape[1])
    hidden[np.flatnonzero(pieces.table["dancers"] == "seen")] = kept.hidden[where.pieces.rows("test")]
    hidden[query] = encode(encoder_of(name, seed, where), pieces, query)[0].to(hidden.device)
    return Features(hidden, kept.last)


def compare(
    name: str, pieces: PieceSet, where: Workspace, setting: Setting, settings: PrompterSettings
) -> pd.DataFrame:
    """Return tidy measures of one row: method, protocol, seed, dancers ("seen", "unseen"), task, metric, value.

    ``pieces`` is ``join(where.pieces, ...)``. One fit on the seen dancers' support predicts both groups.
    """
    support, *queries = support_and_queries(pieces.table, setting.shots, setting.seed)
    query = np.concatenate(queries)
    features = joined_features(name, setting.seed, where, pieces, queries[1])
    predictions = run(setting.protocol, features, Episode(pieces.table, support, query), setting.seed, settings)
    measured = per_piece(predictions, pieces.table.iloc[query])
    facts = {"method": name, "protocol": setting.protocol, "seed": setting.seed}
    halves = {"seen": measured.iloc[: len(queries[0])], "unseen": measured.iloc[len(queries[0]) :]}
    return pd.concat([summary(half).assign(**facts, dancers=who) for who, half in halves.items()], ignore_index=True)


def rows() -> list[tuple[str, str]]:
    """Return the lines of the table, (name, protocol): floors, ours, the strongest baseline on validation, ours fine-tuned."""
    known = [(name, methods.METHODS[name].protocol) for name in ("ours", methods.selected()["strongest"])]
    return [("ours", "finetune"), *known[::-1], *((name, m.protocol) for name, m in FLOORS.items())][::-1]


def table(measured: pd.DataFrame) -> pd.DataFrame:
    """Return the mean, and the 95 % t-interval over seeds, for each row and group of dancers."""
    lines = []
    for (method, protocol, dancers), group in measured.groupby(["method", "protocol", "dancers"], sort=False):
        line = {"method": method, "protocol": protocol, "dancers": dancers, "n_seeds": group["seed"].nunique()}
        for column, (task, metric) in SHOWN.items():
            values = group.loc[(group["task"] == task) & (group["metric"] == metric), "value"]
            if len(values):
                mean, low, high = stats.mean_interval(values.to_numpy())
                line |= {column: mean, f"{column}_ci_low": low, f"{column}_ci_high": high}
        lines.append(line)
    return pd.DataFrame(lines)


def readable(measured: pd.DataFrame) -> pd.DataFrame:
    """Return ``table`` with seen and unseen dancers side by side: the means, rounded."""
    means = list(SHOWN)
    wide = measured.pivot(index=["method", "protocol", "n_seeds"], columns="dancers", values=means).round(2)
    wide.columns = [f"{c.replace('_', ' ')}, {dancers}" for c, dancers in wide.columns]
    return wide.reset_index()
