"""Splits of the data: pre-train, validation and test choreographies; support and query performances.

The rules: no performance or choreography is in two sets; no music track is in both pre-train and test; all settings are
chosen on validation. Named splits are:

- "released": the pre-train and test choreographies that the authors' released code names (``level_contrastive_graph.py``,
  ``data_aug/seg_dataset*.py``). It breaks the rule about tracks.
- "validation2" and "validation3": our test set with other validation choreographies. `make select` chooses on these and on our
  own split, so that a choice does not depend on five choreographies. b3 has the track of the test choreography b4. So it is
  always in validation: no pre-training hears it, and a choice may know the music of b4, but no movement of it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from dancemvp_core.dance.sequences import DataError
from dancemvp_core.datasets import imperialdance
from dancemvp_core.runs.profiles import known_split

SETS = ("pretrain", "validation", "test")
FEWEST_CHOREOGRAPHIES = 6
PRETRAIN = ("b0", "b2", "b4", "k0", "k3", "k4", "u1", "u3", "h1", "j1")  # of the split "released"
TEST = ("k1", "u2", "b1", "h0", "j2")
VALIDATION = {"validation2": ("b0", "b3", "j0", "k0", "u0"), "validation3": ("b1", "b3", "j1", "k2", "u1")}


def assign(index: pd.DataFrame, split: str = "") -> pd.Series:
    """Return the set of every sequence: the data's own ``split``, else 50/25/25 % of the choreographies.

    Choreographies with the same track stay together; their groups are distributed over the sets genre by genre. With fewer
    than six choreographies, all are in pre-train. With ``split`` "released", the sets are those of the authors' released
    code: ``PRETRAIN``, ``TEST``, and the rest for validation. ``VALIDATION`` has the validation sets of the other names. Raises
    DataError if the result breaks a rule of ``check``, if
    only some sequences have a ``split``, or if the data lack a choreography of the named split; ParameterError for another
    name.
    """
    if split:
        return _named(index, split)
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
    filled, set_of = np.zeros(3), {}
    for group in order:
        least = int(np.argmin((filled + sizes[group]) / wanted))
        set_of[group] = SETS[least]
        filled[least] += sizes[group]
    split = index["choreography"].map(group_of).map(set_of).fillna("pretrain")
    check(index, split)
    return split


def _named(index: pd.DataFrame, split: str) -> pd.Series:
    """Return the sets of a named split. Raises DataError if the data lack one of its choreographies."""
    if known_split(split) in VALIDATION:
        own = imperialdance.SPLIT
        set_of = {name: "test" if own[name] == "test" else "pretrain" for name in own}
        set_of |= dict.fromkeys(VALIDATION[split], "validation")
    else:
        set_of = dict.fromkeys(PRETRAIN, "pretrain") | dict.fromkeys(TEST, "test")
    known = set(index["choreography"])
    for name, part in set_of.items():
        if name not in known and part != "validation":
            learn, test = (" ".join(n for n, p in set_of.items() if p == kind) for kind in ("pretrain", "test"))
            expected = f"expected {learn} to pre-train and {test} to test"
            raise DataError(f"split {split!r}: the data have no choreography {name}, {expected}")
    sets = index["choreography"].map(set_of).fillna("validation")
    check(index, sets, split)
    return sets


def _track_groups(index: pd.DataFrame) -> dict:
    """Return for each choreography the first of all choreographies that shared tracks connect with it."""
    group = {c: c for c in sorted(index["choreography"].dropna().unique())}
    pairs = index[["choreography", "track"]].dropna().drop_duplicates()
    for _, sharing in pairs.groupby("track")["choreography"]:
        merged = {group[c] for c in sharing}
        group = {c: min(merged) if g in merged else g for c, g in group.items()}
    return group


def check(index: pd.DataFrame, sets: pd.Series, split: str = "") -> list[str]:
    """Check the sets of the sequences (``assign``), and return one line for each track that two sets share.

    Raises DataError for an unknown set, for a choreography in two sets, and for a track in both pre-train and test. In the
    ``split`` "released" such a track is no error, and its line says so.
    """
    unknown = set(sets.unique()) - set(SETS)
    if unknown:
        raise DataError(f"split: unknown set {sorted(unknown)[0]!r}; expected {', '.join(SETS)}")
    sets_of = sets.groupby(index["choreography"]).nunique()
    if (sets_of > 1).any():
        raise DataError(f"split: choreography {sets_of[sets_of > 1].index[0]!r} stands in more than one set")
    tracks = pd.DataFrame({"track": index["track"], "set": sets}).dropna().drop_duplicates()
    lines = []
    for track, found in tracks.groupby("track")["set"].agg(frozenset).items():
        leaks = {"pretrain", "test"} <= found
        if leaks and split != "released":
            raise DataError(f"split: music track {track!r} stands in both pre-train and test")
        if len(found) > 1:
            heard = ": test music is heard in pre-training" if leaks else ""
            lines.append(f"track {track} is in {' and '.join(sorted(found))}{heard}")
    return lines


def heard_in_pretraining(index: pd.DataFrame, sets: pd.Series) -> dict[str, list[str]]:
    """Return test choreography -> the pre-train choreographies that share its music track; {} without such a leak.

    ``sets`` has the set of every sequence (``assign``). By ImperialDance's music table, the split "released" gives
    {"k1": ["k0"], "b1": ["b2"]}.
    """
    tracks = index[["choreography", "track"]].assign(set=sets).dropna().drop_duplicates()
    heard = tracks[tracks["set"] == "pretrain"].groupby("track")["choreography"].apply(list)
    test = tracks[tracks["set"] == "test"].set_index("choreography")["track"]
    return {name: heard[track] for name, track in test.items() if track in heard.index}


def why_not_evaluable(table: pd.DataFrame, split: str = "test") -> str:
    """Return the reason why a split of the pieces in ``table`` does not support the tasks, in one sentence; "" if it does.

    It needs a choreography (and level, where levels are known) with two performances: one to learn from, one to ask about.
    """
    chosen = table[table["split"] == split]
    if chosen.empty:
        return (
            f"There are no {split} choreographies: with fewer than {FEWEST_CHOREOGRAPHIES} choreographies, all data are used for "
            "pre-training, and the three tasks are left out."
        )
    if _performances(chosen).max() < 2:
        return (
            f"No {split} choreography (and level) has two performances, one for the support and one for the query: the three tasks "
            "are left out."
        )
    return ""


GROUP = ["choreography", "level"]  # of the performances that support and query divide; without levels, the choreographies


def _performances(table: pd.DataFrame) -> pd.Series:
    """Return the number of performances of each choreography and level."""
    return table.groupby(GROUP, dropna=False)["sequence"].nunique()


def most_shots(table: pd.DataFrame, split: str = "test") -> int:
    """Return how many performances of every choreography and level of a split are not in the query: the largest full support."""
    count = _performances(table[table["split"] == split])
    return int((count - count // 2).min()) if len(count) else 0


def fewer_shots(table: pd.DataFrame, shots: int, split: str = "test") -> str:
    """Return a sentence about the choreographies and levels whose support has fewer than ``shots`` performances; "" if none has."""
    count = _performances(table[table["split"] == split])
    there = count - count // 2
    fewer = int((there < shots).sum())
    if not fewer:
        return ""
    single = int((count == 1).sum())
    never = f" {single} with a single performance {'is' if single == 1 else 'are'} never asked about." if single else ""
    return (
        f"The support has up to {shots} performances: as many as there are for {fewer} of {len(there)} choreographies and levels, "
        f"as few as {there.min()}.{never}"
    )


def support_and_query(table: pd.DataFrame, choreographies, shots: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the piece rows of the support and of the query. For each choreography and level, half of the trials are query.

    The seed permutes the trials. The query half is the same for all methods and numbers of shots. The support has the first
    ``shots`` performances of the other half (all, if they are fewer: ``fewer_shots``) with all their primitives, so that a
    smaller support is part of a larger one.
    """
    support, query = [], []
    chosen = table[table["choreography"].isin(list(choreographies))]
    for (choreography, level), group in chosen.groupby(GROUP, dropna=False):
        performances = np.sort(group["sequence"].unique())
        rng = np.random.default_rng([seed, *map(ord, f"{choreography}/{level}")])
        order = rng.permutation(performances)
        half = len(order) // 2
        query.extend(group.index[group["sequence"].isin(order[:half])])
        support.extend(group.index[group["sequence"].isin(order[half : half + shots])])
    return np.array(sorted(support), dtype=int), np.array(sorted(query), dtype=int)


def folds(known: pd.DataFrame) -> np.ndarray:
    """Return the fold of each support piece, (N,), 0, 1, ...: the folds of the cross-validation on a support.

    Pieces of one performance are in one fold. The performances of a choreography and level take turns, so that each fold
    has a part of every class. There are three folds; or five, if a class has fewer than three performances, so that the
    rest of a fold keeps more. With a single performance, all pieces are in fold 0.
    """
    performances = known.drop_duplicates("sequence").sort_values(["choreography", "level", "sequence"])
    fewest = performances.groupby(["choreography", "level"], dropna=False).size().min()
    count = 3 if fewest >= 3 else 5
    fold = {sequence: number % count for number, sequence in enumerate(performances["sequence"])}
    return known["sequence"].map(fold).to_numpy()


def learnable(codes: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Return whether the class of each support piece is also in another fold, (N,) bool; ``codes`` (N,) are the classes.

    With its fold left out, only such a piece says how good a choice for classes is: the rest knows no example of the others.
    With one shot there are none.
    """
    return pd.Series(fold).groupby(np.asarray(codes)).transform("nunique").to_numpy() > 1


def cyclic_subsets(choreographies, genres: int) -> list[tuple[str, ...]]:
    """Return all cyclic runs of ``genres`` choreographies: as many as choreographies, or one if ``genres`` covers them all."""
    names = sorted(choreographies)
    if genres >= len(names):
        return [tuple(names)]
    return [tuple(names[(i + k) % len(names)] for k in range(genres)) for i in range(len(names))]
