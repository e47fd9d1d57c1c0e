"""Tables 2 and 3: the rows of a table, what each of them reaches, and whether ours is better.

``significance`` tests that: paired permutation tests over query performances, corrected for the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dancemvp_core.paper import tables
from dancemvp_core.runs.provenance import METRICS_COLUMNS
from dancemvp_core.tasks import rows, stats
from dancemvp_core.tasks.evaluation import Outcome
from dancemvp_core.tasks.outcomes import Outcomes
from dancemvp_core.tasks.rows import Row, pretraining_of


@dataclass(frozen=True, eq=False)
class Comparison:
    """The rows of Table 2 or 3 with their outcomes: ``lines`` as printed, ``both`` with each row under both protocols."""

    lines: list[Row]
    both: list[Row]
    made: list[Outcome]
    metrics: pd.DataFrame
    underfit: list[str]

    @property
    def labels(self) -> dict[str, str]:
        """What a reader calls each row."""
        return {row.name: row.method.label for row in self.lines}

    def table(self, synthetic: bool) -> pd.DataFrame:
        """The table (``tables.COLUMNS``), each row under its own protocol."""
        return tables.comparison_table(self.metrics, self.lines, synthetic, self.underfit)

    def both_protocols(self, synthetic: bool) -> pd.DataFrame:
        """Every row under both protocols; ``paper_pairing`` marks the one under which the paper has it."""
        table = tables.comparison_table(self.metrics, self.both, synthetic, self.underfit)
        own = {row.name: row.method.protocol for row in self.lines}
        return table.assign(paper_pairing=table["method"].map(own) == table["protocol"])

    def tests(self, synthetic: bool) -> pd.DataFrame:
        """Ours against every other row (``significance``)."""
        return significance(self.made).assign(synthetic=synthetic)


def describe(lines: list[Row]) -> str:
    """The paper's rows as text: what each is called, its pre-training and its protocol."""
    shown = [row.method for row in lines if row.method.tables]
    return "\n".join(f"{m.label:28s} {m.pretraining:32s} {m.protocol}" for m in shown)


def compare(
    lines: list[Row], outcomes: Outcomes, shots: int, both: bool, progress: Callable = lambda jobs: jobs
) -> Comparison:
    """Evaluate the rows of a table, or read what another notebook has kept; with ``both``, under both protocols."""
    under_both = rows.both_protocols(lines) if both else []
    made = outcomes.evaluate([*lines, *under_both], shots, progress)
    empty = pd.DataFrame(columns=METRICS_COLUMNS)
    metrics = pd.concat([outcome.metrics for outcome in made], ignore_index=True) if made else empty
    underfit = [row.name for row in lines if made and outcomes.underfit(row.name)]
    return Comparison(lines, under_both, made, metrics, underfit)


# --- tests -------------------------------------------------------------------------------------------------------------


# Per piece, larger is better: what is right in Task 1, and the negative loss of Tasks 2 and 3.
PIECE_VALUES: dict[int, Callable[[pd.DataFrame], pd.Series]] = {
    1: lambda pieces: 100.0 * pieces["accuracy"],
    2: lambda pieces: -pieces["l2"],
    3: lambda pieces: -(pieces["rate_error"] ** 2),
}
_PIECE_COLUMN = {1: "accuracy", 2: "l2", 3: "rate_error"}


def performance_values(outcomes: Iterable[Outcome], task: int) -> pd.Series:
    """A row's value for each query performance (index: sequence): mean over its primitives, then over the seeds.

    Seeds draw their own query halves, so a performance's mean is over the seeds that asked for it.
    """
    parts = [o.pieces for o in outcomes if _PIECE_COLUMN[task] in o.pieces]
    if not parts:
        return pd.Series(dtype=float)
    pieces = pd.concat([p.assign(value=PIECE_VALUES[task](p)) for p in parts])
    per_seed = pieces.groupby(["sequence", "seed"])["value"].mean()
    return per_seed.groupby("sequence").mean()


def significance(outcomes: Iterable[Outcome], reference: tuple[str, str] = ("ours", "prompt")) -> pd.DataFrame:
    """The reference, ours, against every other (method, protocol): paired permutation tests, Holm-corrected per task.

    Pairs are query performances, averaged over the seeds that both have. Rows with the same features under the same
    protocol are one row by several names: it is tested once, and the reference not at all. Columns: method, protocol, task,
    n_seeds, performances, ours, other (mean values), difference (above 0: ours is better), effect_size (Cohen's d_z), p,
    p_holm, note. One seed: no test. It generalises over performances of these choreographies, not over choreographies.
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
