"""Level or dancer? The test choreographies danced by people whom neither encoder nor head has seen.

In ImperialDance, as in SynthDance, a level within a choreography is one person, so level accuracy there may be
recognition of that person. Only a simulator can send somebody else: heads are fitted on the usual support, and
asked about the usual query and about other dancers of the same levels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from dancemvp_core import comparison, downstream, experiments, floors, methods, metrics, pretrain, splits, stats
from dancemvp_core.artifacts import Paths
from dancemvp_core.downstream import Features, Predictions, Prompting
from dancemvp_core.experiments import Width
from dancemvp_core.pieces import PieceSet
from dancemvp_core.skeleton import Skeleton

SHOWN = {
    "level_within": (1, "level_within"),
    "level": (1, "level"),
    "score_spearman": (2, "spearman"),
    "bar_mse": (3, "mse"),
}


def join(seen: PieceSet, unseen: PieceSet) -> PieceSet:
    """One set of the test pieces of both, on the seen ones' device, with a column ``dancers`` ("seen", "unseen").

    The music is the same, so the unseen dancers' pieces take the standardised features of the seen ones'. Raises
    ValueError where an unseen piece's choreography and primitive is not among the seen test pieces.
    """
    rows = seen.rows("test")
    known, other = seen.table.iloc[rows].assign(dancers="seen"), unseen.table.assign(dancers="unseen", split="test")
    window = known.groupby(["choreography", "primitive"])["window"].first()
    keys = pd.MultiIndex.from_frame(other[["choreography", "primitive"]])
    if not keys.isin(window.index).all():
        raise ValueError("unseen dancers: a choreography that is not among the test choreographies")
    other = other.assign(window=window.loc[keys].to_numpy(), sequence=other["sequence"] + seen.table["sequence"].max() + 1)
    table = pd.concat([known, other], ignore_index=True)
    motion = torch.cat([seen.motion[rows], unseen.motion.to(seen.motion.device)])
    return PieceSet(motion, seen.music, table, table)


def support_and_queries(table: pd.DataFrame, shots: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the support, of the seen dancers' query and of the unseen dancers' query (half of their performances)."""
    choreographies = table["choreography"].unique()
    unseen = np.flatnonzero((table["dancers"] == "unseen").to_numpy())
    support, seen_query = splits.support_and_query(table.drop(index=unseen), choreographies, shots, seed)
    _, unseen_query = splits.support_and_query(table.loc[unseen], choreographies, 1, seed)
    return support, seen_query, unseen_query


def features_of(
    name: str, seed: int, seen: PieceSet, pieces: PieceSet, query: np.ndarray, skeleton: Skeleton, width: Width, paths: Paths
) -> Features:
    """A row's frozen features of ``pieces``, which is ``join(seen, ...)``: all of the seen dancers', as they are kept.

    Of the unseen dancers' pieces only the ``query`` rows are encoded, the others' features stay zero.
    """
    if name in ("chance", "direct", "handcrafted", "body_only"):  # there is nothing to encode
        return experiments.features_of(name, seed, pieces, skeleton, width, paths)
    kept = experiments.features_of(name, seed, seen, skeleton, width, paths)
    encoder = experiments.encoder_of(name, seed, seen, skeleton, width, paths)
    hidden = kept.hidden.new_zeros(len(pieces), kept.hidden.shape[1])
    hidden[np.flatnonzero(pieces.table["dancers"] == "seen")] = kept.hidden[seen.rows("test")]
    hidden[query] = pretrain.encode(encoder, pieces, query)[0].to(hidden.device)
    return Features(hidden, kept.last)


def part(predictions: Predictions, rows: slice) -> Predictions:
    """The predictions of some of the query pieces."""
    arrays = {n: getattr(predictions, n) for n in ("probabilities", "score", "score_var", "rate")}
    return replace(predictions, **{n: a[rows] for n, a in arrays.items() if a is not None})


def compare(
    name: str, features: Features, pieces: PieceSet, protocol: str, seed: int, shots: int, settings: Prompting
) -> pd.DataFrame:
    """Tidy measures of one row: method, protocol, seed, dancers ("seen", "unseen"), task, metric, value."""
    support, *queries = support_and_queries(pieces.table, shots, seed)
    asked = np.concatenate(queries)
    if protocol == "direct":
        predictions = floors.direct(pieces, asked)
    else:
        predictions = downstream.run(protocol, features, pieces.table, support, asked, seed, settings)
    edges = (slice(0, len(queries[0])), slice(len(queries[0]), None))
    parts = []
    for dancers, query, rows in zip(("seen", "unseen"), queries, edges, strict=True):
        measured = metrics.summary(part(predictions, rows), pieces.table.iloc[query])
        parts.append(measured.assign(method=name, protocol=protocol, seed=seed, dancers=dancers))
    return pd.concat(parts, ignore_index=True)


def rows() -> list[tuple[str, str]]:
    """The lines of Table 5, (name, protocol): ours, the strongest baseline on validation, and the floors."""
    strongest = methods.selected().get("more_seeds", [])[:1]
    known = [(name, methods.METHODS[name].protocol) for name in ["ours", *strongest]]
    return [("ours", "finetune"), *known[::-1], *((name, m.protocol) for name, m in comparison.FLOORS.items())][::-1]


def table5(measured: pd.DataFrame) -> pd.DataFrame:
    """Table 5: per row and group of dancers the mean, and the 95 % t-interval over seeds where there are several."""
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


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Table 5 with seen and unseen dancers side by side, means only, rounded."""
    means = list(SHOWN)
    wide = table.pivot(index=["method", "protocol", "n_seeds"], columns="dancers", values=means).round(2)
    wide.columns = [f"{c.replace('_', ' ')}, {dancers}" for c, dancers in wide.columns]
    return wide.reset_index()
