"""The fits for Table 4 and Fig. 7, and how the table and the curves are computed from their measures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from dancemvp_core.paper import comparison, printed, tables
from dancemvp_core.pretraining import methods
from dancemvp_core.pretraining.methods import Method
from dancemvp_core.tasks import stats
from dancemvp_core.tasks.metrics import TASKS
from dancemvp_core.tasks.outcomes import Outcome, Outcomes
from dancemvp_core.tasks.rows import BOTH, FLOORS

CONTROLS = ("prompt-query", "prompt-id")
OTHER_FORMS = ("prompt-attributes", "prompt-all-classes", "prompt-minilm")
OTHER_FORMS_AT = (1, 5)  # shots of the other forms, beside the table's
ON_CURVES = [("ours", protocol) for protocol in (*BOTH, *CONTROLS)] + [("chance", "chance")]
ROLES = {
    "prompt": "the method: it scores every candidate's text against the dance",
    "finetune": "logistic and ridge heads on the frozen features, as in the paper's Table 4",
    "prompt-query": "control: one question without an answer, so that only the trained last layer and the heads can help",
    "prompt-id": "control: a learned vector for each candidate instead of its words",
    "prompt-attributes": "the paper's other form: a sentence for each attribute, product of the probabilities",
    "prompt-all-classes": "the paper's other form: the classes of all data are candidates, not only the support's",
    "prompt-minilm": "extra: the sentence vectors of a pre-trained encoder (all-MiniLM-L6-v2)",
    "chance": "class frequencies, mean and variance of the support",
    "direct": "BAR computed from the piece's own peaks, without learning",
    "direct_calibrated": "the same, put on the label's scale by one line fitted on the support",
}


class Job(NamedTuple):
    """The arguments of one call of ``Outcomes.outcome``."""

    name: str
    protocol: str
    seed: int
    shots: int
    genres: int


def points(
    shots: int, shots_curve: Sequence[int], genres: Sequence[int], choreographies: int, most: int
) -> list[tuple[int, int]]:
    """Return the points (shots, g) of Fig. 7. The first one is Table 4's: its number of shots and all choreographies.

    The others are every number of shots with all choreographies, and every g with ``equal_support``.
    """
    over_genres = {(equal_support(most, g), g) for g in genres if g <= min(choreographies, most)}
    over_shots = {(n, choreographies) for n in shots_curve}
    return [(shots, choreographies), *sorted((over_genres | over_shots) - {(shots, choreographies)})]


def equal_support(most: int, genres: int) -> int:
    """Return the shots with which ``genres`` choreographies together have ``most`` performances of each level (rounded down).

    ``most``: the performances of one choreography and level that are not in the query. With equal shots, one choreography has
    the smallest support, and its curve would show over-fitting.
    """
    return most // genres


def plan(where: list[tuple[int, int]], seeds: int) -> list[Job]:
    """Return all fits of the notebook: ours, its controls and chance at all ``points``; floors at the first point (Table 4's).

    The other forms of the prompt have one seed, at the first point and at ``OTHER_FORMS_AT`` if these are points.
    """
    floors = [name for name, floor in FLOORS.items() if floor.protocol in BOTH]
    fits = [(name, protocol, seeds, where) for name, protocol in ON_CURVES]
    few = [point for point in where if point[1] == where[0][1] and (point == where[0] or point[0] in OTHER_FORMS_AT)]
    fits += [("ours", protocol, 1, few) for protocol in OTHER_FORMS]
    fits += [(name, protocol, seeds, where[:1]) for name in floors for protocol in BOTH]
    fits += [(name, name, seeds, where[:1]) for name in ("direct", "direct_calibrated")]
    return [Job(name, protocol, seed, *p) for name, protocol, n, at in fits for seed in range(n) for p in at]


def table4(
    metrics: pd.DataFrame,
    intervals: dict[tuple, stats.Estimate],
    where: list[tuple[int, int]],
    synthetic: bool,
    conditions: dict[str, str],
    outcomes: Outcomes,
) -> pd.DataFrame:
    """Return Table 4 (``tables.COLUMNS`` and genres): ours under both protocols for every g, then controls and floors.

    With all choreographies, the shots are the first point's; with fewer, they are ``equal_support``. ``metrics``, ``intervals``
    and ``conditions`` as in ``tables.comparison_table``; ``outcomes`` know the smallest class and
    the score's range. The columns paper_* have the paper's values for the rows that it prints.
    """
    known, choreographies, parts = {"ours": methods.METHODS["ours"]} | FLOORS, where[0][1], []
    for n, g in [where[0], *sorted(((n, g) for n, g in where if g < choreographies), key=lambda point: -point[1])]:
        here = metrics[(metrics["genres"] == g) & (metrics["shots"] == n)]
        here = here[here["method"].eq("ours") & here["protocol"].isin(BOTH) | here["method"].eq("chance") | (g == choreographies)]
        pairs = here[["method", "protocol"]].drop_duplicates().itertuples(index=False, name=None)
        lines = [(name, replace(known[name], protocol=protocol, interpretation=ROLES[protocol])) for name, protocol in pairs]
        printed_at = partial(_printed, genres=int(g))
        part = tables.comparison_table(here, intervals, lines, synthetic, conditions, printed_at, outcomes.scores)
        part.insert(part.columns.get_loc("protocol") + 1, "genres", g)
        part.insert(part.columns.get_loc("genres") + 1, "shots", part.pop("shots"))
        parts.append(part.assign(fewest_shots=min(n, outcomes.most_shots)))
    whole = pd.concat(parts, ignore_index=True)
    order = (whole["method"] != "ours") | ~whole["protocol"].isin(BOTH)
    return whole.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)


def _printed(name: str, method: Method, genres: int) -> tuple[float, float, float]:
    return printed.table4(name, method.protocol, genres)


def labels(table: pd.DataFrame) -> list[str]:
    """Return the label of each row of ``table4``, e.g. "Ours, g = 5, 20 shots"."""
    names = {"ours": "Ours"} | {name: floor.label for name, floor in FLOORS.items()}
    facts = zip(table["method"], table["genres"], table["shots"], strict=True)
    return [f"{names[m]}, g = {g}, {n} shots" for m, g, n in facts]


def curves(
    metrics: pd.DataFrame, intervals: dict[tuple, stats.Estimate], where: list[tuple[int, int]], most: int, synthetic: bool
) -> pd.DataFrame:
    """Return the curves of Fig. 7: one row for each protocol, task and point; over g, the support is equal (``equal_support``).

    Columns: varied (shots or genres: the curve of the row), protocol, shots, genres, task, metric, mean, std, ci_low,
    ci_high, n_seeds, paper (Table 4's value if it prints one; it is from another experiment), synthetic. Intervals are over
    seeds and performances (``comparison.estimates``).
    """
    choreographies = where[0][1]
    ours = metrics[pd.MultiIndex.from_frame(metrics[["method", "protocol"]]).isin(pd.MultiIndex.from_tuples(ON_CURVES))]
    ours = ours[pd.MultiIndex.from_frame(ours[["shots", "genres"]]).isin(pd.MultiIndex.from_tuples(where))]
    rows = []
    for varied in ("shots", "genres"):
        on_curve = ours[ours["genres"] == choreographies] if varied == "shots" else ours[ours["shots"] == most // ours["genres"]]
        for i, (task, metric) in enumerate(TASKS.values()):
            chosen = on_curve[(on_curve["task"] == task) & (on_curve["metric"] == metric)]
            for (protocol, n, g), group in chosen.groupby(["protocol", "shots", "genres"], sort=True):
                stated = printed.table4("ours", protocol, g)[i] if varied == "genres" and protocol in BOTH else np.nan
                mean, std, *_ = stats.t_interval(group["value"].to_numpy())
                _, low, high, _ = intervals[group["method"].iloc[0], protocol, g, n, task, metric]
                rows.append((varied, protocol, n, g, task, metric, mean, std, low, high, len(group), stated, synthetic))
    names = "varied protocol shots genres task metric mean std ci_low ci_high n_seeds paper synthetic".split()
    return pd.DataFrame(rows, columns=names)


# --- what Fig. 7 claims ------------------------------------------------------------------------------------------------


def tests(outcomes: Iterable[Outcome], where: list[tuple[int, int]], conditions: dict[str, str]) -> pd.DataFrame:
    """Return ``comparison.significance`` of prompting against fine-tuning, both controls and the other forms of the prompt.

    It is on the curves of Fig. 7; the other forms have one seed and few points of them (``plan``).
    """
    on_curves = {("ours", protocol, g, n) for protocol in (*BOTH, *CONTROLS, *OTHER_FORMS) for n, g in where}
    chosen = [seeds.values() for row, seeds in comparison.by_row(outcomes).items() if row in on_curves]
    return comparison.significance([o for some in chosen for o in some], conditions)


def relative(outcomes: Iterable[Outcome], where: list[tuple[int, int]], most: int) -> pd.DataFrame:
    """Return the relative gains and losses that the caption of Fig. 7 states, in percent, over seeds and performances.

    Columns: what, shots, task ("1", "2", "3", or their "mean"), value, ci_low, ci_high, n_seeds. ``what``: "gain" of prompting
    over fine-tuning at a point with all choreographies, "gain at g = 1"; "loss of prompt" and "loss of finetune" from g = 1 to
    all choreographies with equal support; "fine-tuning loses more by" (the difference of the two). The measures are those of
    ``comparison.RATIO_METRIC``.
    """
    rows, choreographies = comparison.by_row(outcomes), where[0][1]
    few, all_ = (most, 1), (equal_support(most, choreographies), choreographies)

    def leads(one: tuple, other: tuple) -> dict:
        """Return the lead of one row (protocol, shots, g) over another, for each task and for their mean."""
        found = {}
        for task, metric in comparison.RATIO_METRIC.items():
            pair = [rows.get(("ours", protocol, g, n), {}) for protocol, n, g in (one, other)]
            values = [comparison.performance_values(seeds.values(), task, metric) for seeds in pair]
            if all(len(v) for v in values):
                found[task] = comparison.lead(*values, task)
        return found

    out = []
    parts = [("gain", n, leads(("prompt", n, g), ("finetune", n, g))) for n, g in where if g == choreographies]
    if choreographies > 1:
        lost = {p: {task: -v for task, v in leads((p, *all_), (p, *few)).items()} for p in BOTH}
        more = {task: lost["finetune"][task] - lost["prompt"][task] for task in lost["prompt"]}
        parts += [("gain at g = 1", most, leads(("prompt", *few), ("finetune", *few)))]
        parts += [(f"loss of {p}", all_[0], values) for p, values in lost.items()]
        parts += [("fine-tuning loses more by", all_[0], more)]
    for what, shots, by_task in parts:
        means = {"mean": sum(by_task.values()) / len(by_task)} if by_task else {}
        for task, values in {**by_task, **means}.items():
            found = stats.crossed(values.reset_index(name="value"))
            seeds = values.index.unique("seed").size
            out.append((what, shots, str(task), found.mean, found.low, found.high, seeds))
    return pd.DataFrame(out, columns="what shots task value ci_low ci_high n_seeds".split())


def readable_tests(tests: pd.DataFrame) -> pd.DataFrame:
    """Return ``tests`` as text: one row for each point and rival, one column for each task, and the notes."""
    cell = [
        f"{tables.signed(row.difference)} [{tables.signed(row.ci_low)}, {tables.signed(row.ci_high)}] {row.stands}"
        for row in tests.itertuples()
    ]
    keys = ["genres", "shots", "protocol", "note"]
    wide = tests.assign(cell=cell).pivot(index=keys, columns="task", values="cell").fillna("").reset_index()
    return wide.rename(columns={"genres": "g", "protocol": "prompt minus"} | {t: f"Task {t}" for t in (1, 2, 3)}).astype(str)


def readable_relative(relative: pd.DataFrame) -> pd.DataFrame:
    """Return ``relative`` as text: one row for each statement, one column for each task and for their mean, in percent."""
    cell = [f"{row.value:+.1f} [{row.ci_low:+.1f}, {row.ci_high:+.1f}]" for row in relative.itertuples()]
    table = relative.assign(cell=cell)
    wide = table.pivot(index=["what", "shots"], columns="task", values="cell").reindex(table[["what", "shots"]].drop_duplicates())
    names = {task: f"Task {task}, %" if task != "mean" else "mean, %" for task in wide}
    return wide.rename(columns=names).fillna("").reset_index().astype(str)
