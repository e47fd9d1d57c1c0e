"""Beyond the paper: ours with the interaction of motion and music (``ours-sync``) against ours and against every floor."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pandas as pd

from dancemvp_core.labels import SKILL, Levels
from dancemvp_core.paper import comparison
from dancemvp_core.tasks.metrics import TASKS
from dancemvp_core.tasks.outcomes import Outcomes
from dancemvp_core.tasks.rows import BOTH, FLOORS

NAME = "ours-sync"
FEW = 5  # shots, beside the tables'
MEASURES = {"level_within": (1, "level_within")} | TASKS


def rivals() -> list[tuple[str, str]]:
    """Return (row, protocol) of ours and of every floor: those that read features under both protocols."""
    return [("ours", protocol) for protocol in BOTH] + [
        (name, protocol) for name, floor in FLOORS.items() for protocol in (BOTH if floor.protocol in BOTH else (floor.protocol,))
    ]


def study(outcomes: Outcomes, shots: int, seeds: int, progress: Callable = lambda jobs: jobs) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the measures of ``ours-sync``, ours and the floors at ``FEW`` and at the table's shots, and the tests.

    Measures: shots, method, protocol, n_seeds, and the means of task1 (accuracy in %), task2 (L2), task3 (squared percentage
    points) and level_within (%). Tests: ``comparison.significance`` of ``ours-sync`` and of ours, under each protocol, against
    every other row in these measures, with the column reference.
    """
    every = [(NAME, protocol) for protocol in BOTH] + rivals()
    points = list(dict.fromkeys((min(FEW, shots), shots)))
    jobs = [(name, protocol, seed, n) for n in points for name, protocol in every for seed in range(seeds)]
    made = {job: outcomes.outcome(*job) for job in progress(jobs)}
    conditions = outcomes.conditions({name: seeds for name, _ in every})
    measured, tested = [], []
    for n in points:
        here = [outcome for job, outcome in made.items() if job[3] == n]
        measured.append(_means(pd.concat([outcome.metrics for outcome in here])).assign(shots=n))
        for name, protocol in itertools.product((NAME, "ours"), BOTH):
            tests = comparison.significance(here, conditions, (name, protocol), MEASURES.values())
            tested.append(tests.assign(reference=f"{name}, {protocol}"))
    return pd.concat(measured, ignore_index=True), pd.concat(tested, ignore_index=True)


def _means(metrics: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (name, protocol), own in metrics.groupby(["method", "protocol"], sort=False):
        mean = own.groupby(["task", "metric"])["value"].mean()
        row = {"method": name, "protocol": protocol, "n_seeds": own["seed"].nunique()}
        rows.append(row | {measure: mean.get(key, float("nan")) for measure, key in MEASURES.items()})
    return pd.DataFrame(rows)


def verdict(tests: pd.DataFrame, levels: Levels = SKILL) -> list[str]:
    """Return one line for each number of shots and protocol: what the reference is not ahead of, by measure (``stands``)."""
    names, lines = {key: measure for measure, key in MEASURES.items()}, []
    for (shots, reference), own in tests.groupby(["shots", "reference"], sort=False):
        parts = []
        if own["stands"].eq("").all():  # its own pre-training, or all of the others
            lines.append(f"{shots} shots, {reference}: {'; '.join(own['note'].unique()[:1])}")
            continue
        for stands, phrase in (("behind", "behind"), ("level", "level with"), ("", "no verdict against")):
            for key, rows in own[own["stands"] == stands].groupby(["task", "metric"]):
                parts.append(f"{phrase} {', '.join(rows['method'] + ' ' + rows['protocol'])} on {levels.said(names[key])}")
        lines.append(f"{shots} shots, {reference}: " + ("; ".join(parts) if parts else "ahead of every row in every measure"))
    return lines
