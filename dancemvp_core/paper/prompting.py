"""The fits for Table 4 and Fig. 7, and how the table and the curves are computed from their measures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from dancemvp_core.paper import printed, tables
from dancemvp_core.pretraining import methods
from dancemvp_core.pretraining.methods import Method
from dancemvp_core.tasks import stats
from dancemvp_core.tasks.metrics import TASKS
from dancemvp_core.tasks.rows import BOTH, FLOORS

CONTROLS = ("prompt-query", "prompt-id")
ROLES = {
    "prompt": "the method: it scores every candidate's text against the dance",
    "finetune": "logistic and ridge heads on the frozen features, as in the paper's Table 4",
    "prompt-query": "control: one question without an answer, so that only the trained last layer and the heads can help",
    "prompt-id": "control: a learned vector for each candidate instead of its words",
    "chance": "class frequencies, mean and variance of the support",
    "direct": "BAR computed from the piece's own peaks, without learning",
}


class Job(NamedTuple):
    """The arguments of one call of ``Outcomes.outcome``."""

    name: str
    protocol: str
    seed: int
    shots: int
    genres: int


def points(shots: int, shots_curve: Sequence[int], genres: Sequence[int], choreographies: int) -> list[tuple[int, int]]:
    """Return the points (shots, g) of Fig. 7. The first one is Table 4's: its number of shots and all choreographies.

    The others are every g with the table's number of shots, and every number of shots with all choreographies.
    """
    own = {(shots, g) for g in genres if g <= choreographies} | {(n, choreographies) for n in shots_curve}
    return [(shots, choreographies), *sorted(own - {(shots, choreographies)})]


def plan(where: list[tuple[int, int]], seeds: int) -> list[Job]:
    """Return all fits of the notebook: ours and chance at all ``points``; controls and floors at the first point (Table 4's).

    The controls use all seeds for ours, and one seed for the floors because no claim depends on the controls of a floor.
    """
    floors = [name for name, floor in FLOORS.items() if floor.protocol in BOTH]
    fits = [("ours", protocol, seeds, where) for protocol in BOTH]
    fits += [("ours", protocol, seeds, where[:1]) for protocol in CONTROLS] + [("chance", "chance", seeds, where)]
    fits += [(name, protocol, seeds, where[:1]) for name in floors for protocol in BOTH]
    fits += [(name, protocol, 1, where[:1]) for name in floors for protocol in CONTROLS]
    fits += [("direct", "direct", seeds, where[:1])]
    return [Job(name, protocol, seed, *p) for name, protocol, n, at in fits for seed in range(n) for p in at]


def table4(metrics: pd.DataFrame, shots: int, synthetic: bool, underfit: Iterable[str] = ()) -> pd.DataFrame:
    """Return Table 4 (``tables.COLUMNS`` and genres): ours under both protocols for every g, then controls and floors.

    ``metrics`` is tidy. The columns paper_* have the paper's values for the rows that it prints.
    """
    known = {"ours": methods.METHODS["ours"]} | FLOORS
    at_shots, parts = metrics[metrics["shots"] == shots], []
    for g in sorted(at_shots["genres"].unique(), reverse=True):
        here = at_shots[at_shots["genres"] == g]
        pairs = here[["method", "protocol"]].drop_duplicates().itertuples(index=False, name=None)
        lines = [(name, replace(known[name], protocol=protocol, interpretation=ROLES[protocol])) for name, protocol in pairs]
        printed_at = partial(_printed, genres=int(g))
        part = tables.comparison_table(here, lines, synthetic, underfit, printed_at)
        part.insert(part.columns.get_loc("protocol") + 1, "genres", g)
        parts.append(part)
    whole = pd.concat(parts, ignore_index=True)
    order = (whole["method"] != "ours") | ~whole["protocol"].isin(BOTH)
    return whole.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)


def _printed(name: str, method: Method, genres: int) -> tuple[float, float, float]:
    return printed.table4(name, method.protocol, genres)


def labels(table: pd.DataFrame) -> list[str]:
    """Return the label of each row of ``table4``, e.g. "Ours, g = 5"."""
    names = {"ours": "Ours"} | {name: floor.label for name, floor in FLOORS.items()}
    return [f"{names[m]}, g = {g}" for m, g in zip(table["method"], table["genres"], strict=True)]


def curves(metrics: pd.DataFrame, where: list[tuple[int, int]], synthetic: bool) -> pd.DataFrame:
    """Return the curves of Fig. 7: one row for each protocol, task and point.

    Columns: varied (shots or genres: the curve of the row), protocol, shots, genres, task, metric, mean, std, ci_low,
    ci_high, n_seeds, paper (Table 4's value if it prints one; it is from another experiment), synthetic. Intervals are over
    seeds.
    """
    shots, choreographies = where[0]
    drawn = pd.MultiIndex.from_tuples([("ours", protocol) for protocol in BOTH] + [("chance", "chance")])
    ours = metrics[pd.MultiIndex.from_frame(metrics[["method", "protocol"]]).isin(drawn)]
    rows = []
    for varied in ("shots", "genres"):
        on_curve = ours[ours["genres"] == choreographies] if varied == "shots" else ours[ours["shots"] == shots]
        for i, (task, metric) in enumerate(TASKS.values()):
            chosen = on_curve[(on_curve["task"] == task) & (on_curve["metric"] == metric)]
            for (protocol, n, g), group in chosen.groupby(["protocol", "shots", "genres"], sort=True):
                stated = printed.table4("ours", protocol, g)[i] if varied == "genres" else np.nan
                mean, std, low, high = stats.t_interval(group["value"].to_numpy())
                rows.append((varied, protocol, n, g, task, metric, mean, std, low, high, len(group), stated, synthetic))
    names = "varied protocol shots genres task metric mean std ci_low ci_high n_seeds paper synthetic".split()
    return pd.DataFrame(rows, columns=names)
