"""Splits of the data: pre-train, validation and test choreographies; support and query performances.

The rules: no performance or choreography is in two sets; no music track is in both pre-train and test; all settings are
chosen on validation. Named splits are:

- "released": the pre-train and test choreographies that the authors' released code names (``level_contrastive_graph.py``,
  ``data_aug/seg_dataset*.py``). It breaks the rule about tracks.
- "validation2" and "validation3": our test set with other validation choreographies. `make select` chooses on these and on our
  own split, so that a choice does not depend on five choreographies. b3 has the track of the test choreography b4. So it is
  always in validation: no pre-training hears it, and a choice may know the music of b4, but no movement of it.
- "people": the data's own choreographies in each set, but the people of a query are in no support. The pieces then have a column
  dancer (``name_people``). The encoder may have met everybody in its unlabelled pre-training; the heads have not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from dancemvp_core.dance.sequences import DataError
from dancemvp_core.datasets import imperialdance
from dancemvp_core.runs.profiles import known_split

SETS = ("pretrain", "validation", "test")
FEWEST_CHOREOGRAPHIES = 6
PRETRAIN = ("b0", "b2", "b4", "k0", "k3", "k4", "u1", "u3", "h1", "j1")  # of the split "released"
TEST = ("k1", "u2", "b1", "h0", "j2")
PEOPLE = "people"
VALIDATION = {"validation2": ("b0", "b3", "j0", "k0", "u0"), "validation3": ("b1", "b3", "j1", "k2", "u1")}


def assign(index: pd.DataFrame, split: str = "") -> pd.Series:
    """Return the set of every sequence: the data's own ``split``, else 50/25/25 % of the choreographies.

    Choreographies with the same track stay together; their groups are distributed over the sets genre by genre. With fewer
    than six choreographies, all are in pre-train. With ``split`` "released", the sets are those of the authors' released
    code: ``PRETRAIN``, ``TEST``, and the rest for validation. ``VALIDATION`` has the validation sets of two other names; "people"
    has the same sets as no name. Raises DataError if the result breaks a rule of ``check``, if only some sequences have a
    ``split``, or if the data lack a choreography of the named split or the names of their people; ParameterError for another
    name.
    """
    if split == PEOPLE and index["dancer"].isna().all():
        raise DataError("split 'people': the data do not name their people, expected a column dancer in their manifest")
    if split not in ("", PEOPLE):
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


GROUP = ["choreography", "level"]  # of the performances that support and query divide; without levels, the choreographies


def name_people(table: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """Return the pieces' table with the column dancer, so that ``support_and_query`` divides people and not only performances.

    ``index`` is that of the data set; a piece's column sequence is the number of its row.
    """
    return table.assign(dancer=index["dancer"].reset_index(drop=True).reindex(table["sequence"]).to_numpy())


def by_level(table: pd.DataFrame) -> list[str]:
    """Return the people of a table with the column dancer, in the order of their usual level and then of their names."""
    people = table.dropna(subset="dancer").drop_duplicates("sequence")
    usual = people.groupby("dancer")["level"].agg(lambda own: str(own.mode().iloc[0]) if own.notna().any() else "")
    return sorted(usual.index, key=lambda name: (usual[name], name))


def _divided(table: pd.DataFrame, chosen: pd.DataFrame, seed: int) -> Iterator[tuple[pd.DataFrame, np.ndarray, np.ndarray]]:
    """Yield the pieces of each choreography and level, its performances for the support in the order of drawing, and its query.

    ``chosen`` are the rows of ``table`` to divide. Half of the performances are the query. If the table names people, every
    second person is in the query, with all performances of all choreographies; with the next seed, the other people are. If
    only one of these two groups dances a choreography at a level, nobody can be asked about it: all its named performances are
    for the support, and so are its people wherever else they dance. Performances without a name are left out.
    """
    if "dancer" in table:
        named = chosen.dropna(subset="dancer")
        asked = named["dancer"].isin(by_level(table)[seed % 2 :: 2])
        alone = asked.groupby([named[name] for name in GROUP], dropna=False).transform("all")
        asked = {*named.loc[asked, "dancer"]} - {*named.loc[alone, "dancer"]}
    for (choreography, level), group in chosen.groupby(GROUP, dropna=False):
        rng = np.random.default_rng([seed, *map(ord, f"{choreography}/{level}")])
        order = rng.permutation(np.sort(group["sequence"].unique()))
        if "dancer" not in table:
            half = len(order) // 2
            yield group, order[half:], order[:half]
            continue
        person = group.drop_duplicates("sequence").set_index("sequence")["dancer"].reindex(order)
        order, is_asked = order[person.notna()], person.dropna().isin(asked).to_numpy()
        if len(order):
            yield group, order[~is_asked], order[is_asked]


def _counts(table: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return the numbers of performances of each choreography and level of a split: fewest for the support, most for the query.

    Without people, all seeds have the same numbers; with people, two seeds in succession have all numbers.
    """
    chosen, found = table[table["split"] == split], []
    for seed in (0, 1):
        for number, (_, support, query) in enumerate(_divided(table, chosen, seed)):
            found.append((number, len(support), len(query)))
    counts = pd.DataFrame(found, columns=["number", "support", "query"]).groupby("number")
    return pd.DataFrame({"support": counts["support"].min(), "query": counts["query"].max()})


def why_not_evaluable(table: pd.DataFrame, split: str = "test") -> str:
    """Return the reason why a split of the pieces in ``table`` does not support the tasks, in one sentence; "" if it does.

    It needs a choreography (and level, where levels are known) with two performances: one to learn from, one to ask about. If
    the table names people, it needs two people.
    """
    if not (table["split"] == split).any():
        return (
            f"There are no {split} choreographies: with fewer than {FEWEST_CHOREOGRAPHIES} choreographies, all data are used for "
            "pre-training, and the three tasks are left out."
        )
    if _counts(table, split)["query"].max() > 0:
        return ""
    two = "two people" if "dancer" in table else "two performances"
    return (
        f"No {split} choreography (and level) has {two}, one for the support and one for the query: the three tasks are left out."
    )


def most_shots(table: pd.DataFrame, split: str = "test") -> int:
    """Return how many performances of every choreography and level of a split are not in the query: the largest full support."""
    counts = _counts(table, split)
    return int(counts["support"].min()) if len(counts) else 0


def about_support(table: pd.DataFrame, shots: int, split: str = "test") -> str:
    """Return what is unusual about the support, in sentences; "" if nothing is.

    The sentences count the choreographies and levels with fewer than ``shots`` performances for the support, and those that are
    never asked about. If the table names people, they say that the query has other people than the support.
    """
    counts, said = _counts(table, split), []
    if "dancer" in table:
        people = table.loc[table["split"] == split, "dancer"].nunique()
        said.append(f"The people of the query are in no support; intervals are over performances of the same {people} people.")
    if (fewer := int((counts["support"] < shots).sum())) > 0:
        least = counts["support"].min()
        said.append(
            f"The support has up to {shots} performances: as many as there are for {fewer} of {len(counts)} choreographies and "
            f"levels, as few as {least}."
        )
    if (never := int((counts["query"] == 0).sum())) > 0 and said:
        reason = "only people of one group" if "dancer" in table else "a single performance"
        said.append(f"{never} with {reason} {'is' if never == 1 else 'are'} never asked about.")
    return " ".join(said)


def support_and_query(table: pd.DataFrame, choreographies, shots: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the piece rows of the support and of the query. For each choreography and level, half of the trials are query.

    The seed permutes the trials. The query half is the same for all methods and numbers of shots. The support has the first
    ``shots`` performances of the other half (all, if they are fewer: ``about_support``) with all their primitives, so that a
    smaller support is part of a larger one. If the table names people (``name_people``), the query has all performances of half
    of the people, and the support those of others.
    """
    support, query = [], []
    chosen = table[table["choreography"].isin(list(choreographies))]
    for group, known, asked in _divided(table, chosen, seed):
        query.extend(group.index[group["sequence"].isin(asked)])
        support.extend(group.index[group["sequence"].isin(known[:shots])])
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
