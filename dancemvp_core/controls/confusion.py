"""Confusion of classes, and its relation to the similarity of the motions.

The paper: "A failure case would happen if the dance choreographies are similar".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pandas as pd

from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.labels import SKILL, Levels
from dancemvp_core.tasks.stats import mantel

PLACE = ["choreography", "primitive"]


def matrix(outcomes: Iterable[pd.DataFrame], levels: Levels = SKILL) -> pd.DataFrame:
    """Return Task 1's confusion matrix over all seeds, in percent of each true class.

    Rows are true classes and columns predicted classes: choreography, primitive, and level if there are levels, in order.
    ``outcomes`` are the query pieces (``Outcome.pieces``) of the seeds.
    """
    pieces = pd.concat(outcomes)
    names = [*PLACE, *(["level"] if "predicted_level" in pieces else [])]
    label = {side: [pieces[f"{side}_{name}"] for name in names] for side in ("true", "predicted")}
    keys = {side: pd.MultiIndex.from_arrays(columns, names=names) for side, columns in label.items()}
    classes = keys["true"].append(keys["predicted"]).unique()
    order = sorted(classes, key=lambda c: (*c[:2], *((levels.rank(name), str(name)) for name in c[2:])))
    index = pd.MultiIndex.from_tuples(order, names=names)
    counts = np.zeros((len(index), len(index)))
    np.add.at(counts, (index.get_indexer(keys["true"]), index.get_indexer(keys["predicted"])), 1)
    total = counts.sum(axis=1, keepdims=True)
    return pd.DataFrame(100 * counts / np.maximum(total, 1), index=index, columns=index)


def movement_similarity(pieces: PieceSet, split: str = "test") -> pd.DataFrame:
    """Return the similarity of primitives, (K, K): correlations of the mean motions of each choreography and primitive.

    The mean motion is the mean over the pieces, on the canonical body, minus the mean of all K primitives in each frame.
    So motion that all dances have in common does not count as similarity.
    """
    table = pieces.table.reset_index(drop=True)
    groups = table[table["split"] == split].groupby(PLACE).groups
    means = np.stack([pieces.motion[list(rows)].mean(dim=0).cpu().numpy().ravel() for rows in groups.values()])
    index = pd.MultiIndex.from_tuples(list(groups), names=PLACE)
    return pd.DataFrame(np.corrcoef(means - means.mean(axis=0)), index=index, columns=index)


PAIR_COLUMNS = ["choreography_a", "move_a", "choreography_b", "move_b", "similarity", "confusion"]


def pairs(matrix: pd.DataFrame, similarity: pd.DataFrame) -> pd.DataFrame:
    """Return all pairs of primitives of different choreographies (PAIR_COLUMNS); the columns move_a and move_b count from 1.

    The confusion is in percent: the sum over the predicted levels, and the mean over true levels and both directions.
    """
    place = matrix.T.groupby(level=PLACE).sum().T.groupby(level=PLACE).mean()
    rows = []
    for a, b in itertools.combinations(similarity.index, 2):
        if a[0] != b[0]:
            rate = (place.loc[a, b] + place.loc[b, a]) / 2 if a in place.index and b in place.index else 0.0
            rows.append((a[0], a[1] + 1, b[0], b[1] + 1, similarity.loc[a, b], rate))
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)


def study(answers: dict[str, list[pd.DataFrame]], pieces: PieceSet) -> pd.DataFrame:
    """Return ``pairs`` of each row, with method, rho and p (``stats.mantel``).

    ``answers``: label of the row -> its query pieces, one table for each seed.
    """
    similarity = movement_similarity(pieces)
    parts = []
    for label, own in answers.items():
        table = pairs(matrix(own), similarity)
        rho, p = mantel(table)
        parts.append(table.assign(method=label, rho=rho, p=p))
    return pd.concat(parts, ignore_index=True)
