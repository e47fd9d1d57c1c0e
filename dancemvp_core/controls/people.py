"""Does the method recognise the level or the person? The test of ``unseen_dancers`` on real people, where the data name them.

The people of the test choreographies are dealt into groups. Each group is left out in turn: its performances are in no
support, and they are the query of unseen people. As many performances of the other people, of the same choreography and
level, are the query of seen people. The encoder may have met everybody in its unlabelled pre-training; the heads have not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dancemvp_core.controls.unseen_dancers import recognised
from dancemvp_core.dance.sequences import DanceDataset
from dancemvp_core.models.prompter import PrompterSettings
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks.metrics import per_piece, summary
from dancemvp_core.tasks.outcomes import Setting
from dancemvp_core.tasks.protocols import LOOK_AT_NOTHING, Episode, run
from dancemvp_core.tasks.rows import features_of
from dancemvp_core.tasks.splits import GROUP, by_level, name_people

CAST = "real people"
GROUPS = 5  # most groups of people; each is left out once


def named_pieces(where: Workspace, dataset: DanceDataset) -> pd.DataFrame:
    """Return the rows of the test pieces with the column dancer (missing where unknown). Its index has their rows."""
    table = where.pieces.table
    return name_people(table[table["split"] == "test"], dataset.index)


def groups(table: pd.DataFrame) -> list[list[str]]:
    """Return the people in at most ``GROUPS`` groups; those with the same usual level are dealt to different groups."""
    order = by_level(table)
    count = min(GROUPS, len(order))
    return [order[k::count] for k in range(count)] if count > 1 else []


@dataclass(frozen=True, eq=False)
class Case:
    """A group that is left out: the piece rows of the support, of the seen people's query and of the unseen people's query."""

    support: np.ndarray
    seen: np.ndarray
    unseen: np.ndarray


def cases(table: pd.DataFrame, shots: int, seed: int) -> list[Case]:
    """Return a case for each group of people with somebody to ask about; ``table`` is ``named_pieces``.

    In each choreography and level, the queries of both have n performances: those of the group that is left out, but at most
    half of those of all others. The rest of the others are the support, up to ``shots``. Where the group dances alone, or not
    at all, n is 0. Performances of nobody's name are left out.
    """
    named, found = table.dropna(subset="dancer"), []
    for number, group in enumerate(groups(table)):
        parts = {"support": [], "seen": [], "unseen": []}
        for key, own in named.groupby(GROUP, dropna=False):
            rng = np.random.default_rng([seed, number, *map(ord, "/".join(map(str, key)))])
            out = own["dancer"].isin(group)
            unseen, seen = (rng.permutation(np.sort(own.loc[who, "sequence"].unique())) for who in (out, ~out))
            n = min(len(unseen), len(seen) // 2)
            drawn = {"support": seen[n:][:shots], "seen": seen[:n], "unseen": unseen[:n]}
            for name, performances in drawn.items():
                parts[name].extend(own.index[own["sequence"].isin(performances)])
        if parts["unseen"]:
            found.append(Case(**{name: np.array(sorted(rows), dtype=int) for name, rows in parts.items()}))
    return found


def why_not(table: pd.DataFrame) -> str:
    """Return the reason why the data cannot compare seen and unseen people, in one sentence; "" if they can."""
    if table.empty:
        return "There are no test choreographies: seen and unseen people are not compared."
    if table["dancer"].isna().all():
        return "The data do not name their people (column dancer): seen and unseen people are not compared."
    if not cases(table, 1, 0):
        people = table["dancer"].nunique()
        return f"No test choreography (and level) is danced often enough by two of the {people} people: they are not compared."
    return ""


def describe(table: pd.DataFrame, shots: int) -> str:
    """Return one line: the people, the groups, and the performances that are asked about."""
    drawn = cases(table, shots, 0)
    asked = sum(table.loc[case.unseen, "sequence"].nunique() for case in drawn)
    named = int(table.drop_duplicates("sequence")["dancer"].notna().sum())
    return (
        f"{table['dancer'].nunique()} people in {len(groups(table))} groups, {named} named performances of test choreographies; "
        f"{asked} performances by people who are left out, and as many by seen people, are asked about"
    )


def compare(name: str, table: pd.DataFrame, where: Workspace, setting: Setting, settings: PrompterSettings) -> pd.DataFrame:
    """Return tidy measures of one row, as ``unseen_dancers.compare``: the cast is ``CAST``, and the unit is a person.

    ``table`` is ``named_pieces``. "dancer" (task 0) is the mean of ``recognised`` over the groups. "level_within <person>" is the
    level accuracy on the query pieces of each person.
    """
    features = features_of(name, setting.seed, where)
    measured, told = [], []
    for case in cases(table, setting.shots, setting.seed):
        query = np.concatenate([case.seen, case.unseen])
        asked = table.loc[query].assign(dancers=np.repeat(["seen", "unseen"], [len(case.seen), len(case.unseen)]))
        episode = Episode(where.pieces.table, case.support, query, setting.scores)
        found = per_piece(run(setting.protocol, features, episode, setting.seed, settings), asked)
        measured.append(found.assign(dancers=asked["dancers"], dancer=asked["dancer"]))
        if name not in LOOK_AT_NOTHING:
            told.append(recognised(features.hidden[query].cpu().numpy(), asked))
    answers = pd.concat(measured, ignore_index=True)
    facts = {"method": name, "protocol": setting.protocol, "seed": setting.seed, "cast": CAST}
    out = []
    for who, own in answers.groupby("dancers", sort=True):
        more = pd.DataFrame([*_person(told), *_levels(own)], columns=["task", "metric", "value"])
        out.append(pd.concat([summary(own), more]).assign(**facts, dancers=who))
    return pd.concat(out, ignore_index=True)


def _person(told: list[float]) -> Iterator[tuple[int, str, float]]:
    if np.isfinite(told).any():
        yield 0, "dancer", float(np.nanmean(told))


def _levels(measured: pd.DataFrame) -> Iterator[tuple[int, str, float]]:
    if "level_within" in measured:
        for person, right in measured.groupby("dancer")["level_within"].mean().items():
            yield 1, f"level_within {person}", 100 * right
