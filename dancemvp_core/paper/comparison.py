"""Tables 2 and 3: the rows of a table, what each of them reaches, and whether ours is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from dancemvp_core.paper import significance, tables
from dancemvp_core.runs.provenance import METRICS_COLUMNS
from dancemvp_core.tasks import rows
from dancemvp_core.tasks.evaluation import Outcome
from dancemvp_core.tasks.outcomes import Outcomes
from dancemvp_core.tasks.rows import Row


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
        """Ours against every other row (``significance.significance``)."""
        return significance.significance(self.made).assign(synthetic=synthetic)


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
