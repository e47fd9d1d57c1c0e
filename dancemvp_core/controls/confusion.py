"""Which classes are taken for which, and whether it is the similar ones ("A failure case would happen if the dance
choreographies are similar")."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pandas as pd

from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.dance.sequences import LEVELS
from dancemvp_core.tasks.stats import mantel

PLACE = ["choreography", "primitive"]


def matrix(outcomes: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Task 1's confusion matrix in percent of each true class, over all seeds: choreography, primitive, level both ways.

    ``outcomes`` are the query pieces (``Outcome.pieces``) of the seeds; levels are in the order of skill.
    """
    pieces = pd.concat(outcomes)
    label = {side: [pieces[f"{side}_{name}"] for name in (*PLACE, "level")] for side in ("true", "predicted")}
    names = [*PLACE, "level"]
    keys = {side: pd.MultiIndex.from_arrays(columns, names=names) for side, columns in label.items()}
    classes = keys["true"].append(keys["predicted"]).unique()
    rank = {level: i for i, level in enumerate(LEVELS)}
    order = sorted(classes, key=lambda c: (c[0], c[1], rank.get(c[2], len(rank)), c[2]))
    index = pd.MultiIndex.from_tuples(order, names=names)
    counts = np.zeros((len(index), len(index)))
    np.add.at(counts, (index.get_indexer(keys["true"]), index.get_indexer(keys["predicted"])), 1)
    total = counts.sum(axis=1, keepdims=True)
    return pd.DataFrame(100 * counts / np.maximum(total, 1), index=index, columns=index)


def movement_similarity(pieces: PieceSet, split: str = "test") -> pd.DataFrame:
    """How alike the moves are: correlation of the mean motion of each choreography and primitive, (K, K).

    The mean over a class's pieces, on the canonical body, less the mean of all classes at each moment: what every dance
    has in common is no similarity.
    """
    table = pieces.table.reset_index(drop=True)
    groups = table[table["split"] == split].groupby(PLACE).groups
    means = np.stack([pieces.motion[list(rows)].mean(dim=0).cpu().numpy().ravel() for rows in groups.values()])
    index = pd.MultiIndex.from_tuples(list(groups), names=PLACE)
    return pd.DataFrame(np.corrcoef(means - means.mean(axis=0)), index=index, columns=index)


PAIR_COLUMNS = ["choreography_a", "move_a", "choreography_b", "move_b", "similarity", "confusion"]


def pairs(matrix: pd.DataFrame, similarity: pd.DataFrame) -> pd.DataFrame:
    """Pairs of moves of different choreographies: PAIR_COLUMNS, moves from 1, confusion in percent.

    How often one is taken for the other: levels are summed out, and both directions averaged.
    """
    place = matrix.T.groupby(level=PLACE).sum().T.groupby(level=PLACE).mean()
    rows = []
    for a, b in itertools.combinations(similarity.index, 2):
        if a[0] != b[0]:
            rate = (place.loc[a, b] + place.loc[b, a]) / 2 if a in place.index and b in place.index else 0.0
            rows.append((a[0], a[1] + 1, b[0], b[1] + 1, similarity.loc[a, b], rate))
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)


def study(answers: dict[str, list[pd.DataFrame]], pieces: PieceSet) -> pd.DataFrame:
    """``pairs`` of each row (label -> its query pieces, one table a seed), with method, rho and p (``stats.mantel``)."""
    similarity = movement_similarity(pieces)
    parts = []
    for label, own in answers.items():
        table = pairs(matrix(own), similarity)
        rho, p = mantel(table)
        parts.append(table.assign(method=label, rho=rho, p=p))
    return pd.concat(parts, ignore_index=True)
