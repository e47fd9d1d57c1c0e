"""Who may learn from what: pre-train, validation and test choreographies, and support and query performances.

The rules: no performance or choreography in two sets, no music track in both pre-train and test,
choices on validation only.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from dancemvp_core.dance.sequences import DataError

SETS = ("pretrain", "validation", "test")
FEWEST_CHOREOGRAPHIES = 6


def assign(index: pd.DataFrame) -> pd.Series:
    """The set of every sequence: the data's own ``split``, else 50/25/25 by track-grouped choreography.

    Choreographies that share a track stay together; groups are dealt genre by genre. Below six choreographies
    all is pre-train. Raises DataError where the outcome breaks a rule of ``check``.
    """
    given = index["split"]
    if given.notna().any():
        if given.isna().any():
            raise DataError("split: given for some sequences and empty for others; expected all or none")
        check(index, given)
        return given.astype(str)
    choreographies = index["choreography"].dropna().unique()
    if len(choreographies) < FEWEST_CHOREOGRAPHIES:
        return pd.Series("pretrain", index=index.index)
    group_of = _track_groups(index)
    genre_of = index.groupby("choreography")["genre"].first()
    sizes = pd.Series(group_of).value_counts()
    order = sorted(sizes.index, key=lambda g: (str(genre_of[g]), -sizes[g], str(g)))
    wanted = np.array([0.5, 0.25, 0.25]) * len(choreographies)
    filled, deal = np.zeros(3), {}
    for group in order:
        least = int(np.argmin((filled + sizes[group]) / wanted))
        deal[group] = SETS[least]
        filled[least] += sizes[group]
    split = index["choreography"].map(group_of).map(deal).fillna("pretrain")
    check(index, split)
    return split


def _track_groups(index: pd.DataFrame) -> dict:
    """Choreography -> a representative of all choreographies connected to it by shared tracks."""
    group = {c: c for c in sorted(index["choreography"].dropna().unique())}
    pairs = index[["choreography", "track"]].dropna().drop_duplicates()
    for _, sharing in pairs.groupby("track")["choreography"]:
        merged = {group[c] for c in sharing}
        group = {c: min(merged) if g in merged else g for c, g in group.items()}
    return group


def check(index: pd.DataFrame, split: pd.Series) -> list[str]:
    """Refuse a leaking split and list the tracks shared with validation, one line each.

    Raises DataError where a choreography or performance stands in two sets, or a track in pre-train and test.
    """
    unknown = set(split.unique()) - set(SETS)
    if unknown:
        raise DataError(f"split: unknown set {sorted(unknown)[0]!r}; expected {', '.join(SETS)}")
    sets_of = split.groupby(index["choreography"]).nunique()
    if (sets_of > 1).any():
        raise DataError(f"split: choreography {sets_of[sets_of > 1].index[0]!r} stands in more than one set")
    tracks = pd.DataFrame({"track": index["track"], "split": split}).dropna().drop_duplicates()
    shared = tracks.groupby("track")["split"].agg(frozenset)
    for track, sets in shared.items():
        if {"pretrain", "test"} <= sets:
            raise DataError(f"split: music track {track!r} stands in both pre-train and test")
    return [f"track {track} is in {' and '.join(sorted(s))}" for track, s in shared.items() if len(s) > 1]


def why_not_evaluable(table: pd.DataFrame, shots: int, split: str = "test") -> str:
    """Why the tasks cannot be evaluated on a split of the pieces in ``table``, in one sentence; "" where they can."""
    chosen = table[table["split"] == split]
    if chosen.empty:
        return (
            f"No {split} choreographies: below {FEWEST_CHOREOGRAPHIES} choreographies everything pre-trains, "
            "and the three tasks are left out."
        )
    if chosen["level"].isna().any() or chosen["choreography"].isna().any():
        return f"The {split} choreographies have no levels: the three tasks are left out."
    fewest = int(chosen.groupby(["choreography", "level"])["sequence"].nunique().min())
    if fewest < 2 or fewest - fewest // 2 < shots:
        return (
            f"{shots} shots need {2 * shots} performances of each {split} choreography and level, half of them query; "
            f"there are as few as {fewest}: the three tasks are left out."
        )
    return ""


def support_and_query(table: pd.DataFrame, choreographies, shots: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Piece rows of the support and of the query: per choreography and level, half of the trials are query.

    Trials are permuted by the seed; the query half is the same for all methods and shots, the
    support is drawn nested from the other half, ``shots`` performances with all their primitives.
    Raises DataError where a choreography and level has fewer than ``shots`` performances beside the query.
    """
    support, query = [], []
    chosen = table[table["choreography"].isin(list(choreographies))]
    for (choreography, level), group in chosen.groupby(["choreography", "level"]):
        performances = np.sort(group["sequence"].unique())
        rng = np.random.default_rng([seed, *map(ord, f"{choreography}/{level}")])
        order = rng.permutation(performances)
        half = len(order) // 2
        if shots > len(order) - half:
            raise DataError(
                f"{choreography} {level}: {shots} shots asked for, {len(order) - half} performances beside the query"
            )
        query.extend(group.index[group["sequence"].isin(order[:half])])
        support.extend(group.index[group["sequence"].isin(order[half : half + shots])])
    return np.array(sorted(support), dtype=int), np.array(sorted(query), dtype=int)


def cyclic_subsets(choreographies, genres: int) -> list[tuple[str, ...]]:
    """The cyclic runs of ``genres`` test choreographies: 5 of them below all five, one for all."""
    names = sorted(choreographies)
    if genres >= len(names):
        return [tuple(names)]
    return [tuple(names[(i + k) % len(names)] for k in range(genres)) for i in range(len(names))]
