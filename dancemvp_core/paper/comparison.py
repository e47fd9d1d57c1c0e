"""Tables 2 and 3: the rows of a table, their outcomes, and tests of ours against each row.

``significance`` computes paired permutation tests over query performances, corrected for the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dancemvp_core.paper import tables
from dancemvp_core.runs.provenance import METRICS_COLUMNS
from dancemvp_core.tasks import rows, stats
from dancemvp_core.tasks.outcomes import Outcome, Outcomes
from dancemvp_core.tasks.rows import Row, pretraining_of


@dataclass(frozen=True, eq=False)
class Comparison:
    """The rows of Table 2 or 3 with their outcomes; ``lines`` as in the table, ``both`` with each row under both protocols."""

    lines: list[Row]
    both: list[Row]
    made: list[Outcome]
    metrics: pd.DataFrame
    underfit: list[str]

    @property
    def labels(self) -> dict[str, str]:
        """The label of each row, by its name."""
        return {row.name: row.method.label for row in self.lines}

    def table(self, synthetic: bool) -> pd.DataFrame:
        """Return the table (``tables.COLUMNS``), with each row under its own protocol."""
        return tables.comparison_table(self.metrics, self.lines, synthetic, self.underfit)

    def both_protocols(self, synthetic: bool) -> pd.DataFrame:
        """Return a table with every row under both protocols; ``paper_pairing`` marks the protocol that the paper uses."""
        table = tables.comparison_table(self.metrics, self.both, synthetic, self.underfit)
        own = {row.name: row.method.protocol for row in self.lines}
        return table.assign(paper_pairing=table["method"].map(own) == table["protocol"])

    def tests(self, synthetic: bool) -> pd.DataFrame:
        """Return the tests of ours against every other row (``significance``)."""
        return significance(self.made).assign(synthetic=synthetic)


def describe(lines: list[Row]) -> str:
    """Return the paper's rows as text: label, pre-training and protocol of each."""
    shown = [row.method for row in lines if row.method.tables]
    return "\n".join(f"{m.label:28s} {m.pretraining:32s} {m.protocol}" for m in shown)


def compare(
    lines: list[Row], outcomes: Outcomes, shots: int, both: bool, progress: Callable = lambda jobs: jobs
) -> Comparison:
    """Evaluate the rows of a table, or read saved outcomes; with ``both``, under both protocols. Returns the comparison."""
    under_both = rows.both_protocols(lines) if both else []
    made = outcomes.evaluate([*lines, *under_both], shots, progress)
    empty = pd.DataFrame(columns=METRICS_COLUMNS)
    metrics = pd.concat([outcome.metrics for outcome in made], ignore_index=True) if made else empty
    underfit = [row.name for row in lines if made and outcomes.underfit(row.name)]
    return Comparison(lines, under_both, made, metrics, underfit)


# --- tests -------------------------------------------------------------------------------------------------------------


# The value of each piece, where larger is better: right or wrong in Task 1, the negative loss in Tasks 2 and 3.
PIECE_VALUES: dict[int, Callable[[pd.DataFrame], pd.Series]] = {
    1: lambda pieces: 100.0 * pieces["accuracy"],
    2: lambda pieces: -pieces["l2"],
    3: lambda pieces: -(pieces["rate_error"] ** 2),
}
_PIECE_COLUMN = {1: "accuracy", 2: "l2", 3: "rate_error"}


def performance_values(outcomes: Iterable[Outcome], task: int) -> pd.Series:
    """Return a row's value for each query performance (index: sequence): the mean over its primitives, then over seeds.

    Each seed draws its own query half, so this is the mean over those seeds that have the performance in the query.
    """
    parts = [o.pieces for o in outcomes if _PIECE_COLUMN[task] in o.pieces]
    if not parts:
        return pd.Series(dtype=float)
    pieces = pd.concat([p.assign(value=PIECE_VALUES[task](p)) for p in parts])
    per_seed = pieces.groupby(["sequence", "seed"])["value"].mean()
    return per_seed.groupby("sequence").mean()


def significance(outcomes: Iterable[Outcome], reference: tuple[str, str] = ("ours", "prompt")) -> pd.DataFrame:
    """Return paired permutation tests of the reference (ours) against every other (method, protocol), one row for each task.

    Pairs are query performances, averaged over the seeds that both rows have. Rows with the same features and protocol are
    tested once, and rows that equal the reference are not tested. Columns: method, protocol, task, n_seeds, performances,
    ours, other (mean values), difference (above 0: ours is better), effect_size (Cohen's d_z), p, p_holm (Holm's correction
    within each task), note. With one seed there is no test. The tests generalise to other performances of these
    choreographies, not to other choreographies.
    """
    by_row: dict[tuple[str, str], dict[int, Outcome]] = {}
    for o in outcomes:
        facts = o.pieces.iloc[0]
        by_row.setdefault((facts["method"], facts["protocol"]), {})[int(facts["seed"])] = o
    out, tested_rows = [], {(pretraining_of(reference[0]), reference[1])}
    for (method, protocol), seeds in by_row.items():
        if (pretraining_of(method), protocol) in tested_rows or reference not in by_row:
            continue
        tested_rows.add((pretraining_of(method), protocol))
        shared = sorted(set(seeds) & set(by_row[reference]))
        for task in PIECE_VALUES:
            values = [performance_values([rows[s] for s in shared], task) for rows in (by_row[reference], seeds)]
            if not all(len(v) for v in values):
                continue
            ours, other = (v.sort_index().to_numpy() for v in values)
            enough = len(shared) > 1
            out.append({
                "method": method, "protocol": protocol, "task": task, "n_seeds": len(shared), "performances": len(ours),
                "ours": ours.mean(), "other": other.mean(), "difference": (ours - other).mean(),
                "effect_size": stats.effect_size(ours, other) if enough else np.nan,
                "p": stats.paired_permutation(ours, other) if enough else np.nan,
                "note": "" if enough else "one seed: no test",
            })  # fmt: skip
    table = pd.DataFrame(out, columns=SIGNIFICANCE_COLUMNS)
    table["p_holm"] = table.groupby("task")["p"].transform(stats.holm) if len(table) else np.nan
    return table


SIGNIFICANCE_COLUMNS = "method protocol task n_seeds performances ours other difference effect_size p p_holm note".split()
GENERALISES = "performances of these test choreographies, not choreographies"
