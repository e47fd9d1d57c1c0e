"""Tables 2 and 3: the rows of a table, their outcomes, and tests of ours against each row.

All intervals and tests are over seeds and query performances (``stats.crossed``), so that a comparison reads the same wherever
it stands: in tables, claims and READMEs. None of these words is corrected for the number of rows (``significance`` has p_holm).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dancemvp_core.labels import Scores
from dancemvp_core.paper import tables
from dancemvp_core.runs.provenance import METRICS_COLUMNS
from dancemvp_core.tasks import rows, stats
from dancemvp_core.tasks.metrics import TASKS
from dancemvp_core.tasks.outcomes import Outcome, Outcomes
from dancemvp_core.tasks.rows import Row, pretraining_of


@dataclass(frozen=True, eq=False)
class Comparison:
    """The rows of Table 2 or 3 with their outcomes; ``lines`` as in the table, ``both`` with each row under both protocols.

    ``most``: the largest support that every class has (``splits.most_shots``).
    """

    lines: list[Row]
    both: list[Row]
    made: list[Outcome]
    metrics: pd.DataFrame
    intervals: dict[tuple, stats.Estimate]
    conditions: dict[str, str]
    most: int
    scores: Scores

    @property
    def labels(self) -> dict[str, str]:
        """The label of each row, by its name."""
        return {row.name: row.method.label for row in self.lines}

    def table(self, synthetic: bool) -> pd.DataFrame:
        """Return the table (``tables.COLUMNS``), with each row under its own protocol."""
        return self._table(self.lines, synthetic)

    def both_protocols(self, synthetic: bool) -> pd.DataFrame:
        """Return a table with every row under both protocols; ``paper_pairing`` marks the protocol that the paper uses."""
        table = self._table(self.both, synthetic)
        own = {row.name: row.method.protocol for row in self.lines}
        return table.assign(paper_pairing=table["method"].map(own) == table["protocol"])

    def _table(self, lines: list[Row], synthetic: bool) -> pd.DataFrame:
        made = tables.comparison_table(self.metrics, self.intervals, lines, synthetic, self.conditions, scores=self.scores)
        return made.assign(fewest_shots=made["shots"].clip(upper=self.most))

    def tests(self, synthetic: bool) -> pd.DataFrame:
        """Return the tests of ours against every other row (``significance``)."""
        return significance(self.made, self.conditions).assign(synthetic=synthetic)


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
    conditions = outcomes.conditions({row.name: row.seeds for row in lines}) if made else {}
    return Comparison(lines, under_both, made, metrics, estimates(made), conditions, outcomes.most_shots, outcomes.scores)


# --- values of performances ----------------------------------------------------------------------------------------------

# The value of each piece, by task and metric (``metrics.summary``); its mean over the query is the measure.
PIECE_VALUES: dict[tuple[int, str], tuple[str, Callable[[pd.Series], pd.Series]]] = {
    (1, "accuracy"): ("accuracy", lambda right: 100.0 * right),
    (1, "level_within"): ("level_within", lambda right: 100.0 * right),
    (2, "l2"): ("l2", lambda loss: loss),
    (2, "mse"): ("score_error", lambda error: error**2),
    (2, "coverage_90"): ("covered_90", lambda inside: 100.0 * inside),
    (3, "mse"): ("rate_error", lambda error: error**2),
}
SHARES = ((1, "accuracy"), (1, "level_within"), (2, "coverage_90"))  # percentages, between 0 and 100
INDEX = ["seed", "sequence", "stratum"]
OF_TASKS = tuple(TASKS.values())  # the paper's measure of each task
RATIO_METRIC = {1: "accuracy", 2: "mse", 3: "mse"}  # a ratio of l2 has no meaning, because l2 has no zero point


def performance_values(outcomes: Iterable[Outcome], task: int, metric: str) -> pd.Series:
    """Return the value of each seed's query performances, the mean over their primitives, indexed by ``INDEX``.

    A stratum is a choreography and level. Each seed draws its own query half. Empty if the outcomes do not predict the task.
    """
    column, value = PIECE_VALUES[task, metric]
    parts = [o.pieces for o in outcomes if column in o.pieces]
    if not parts:
        return pd.Series(dtype=float, index=pd.MultiIndex.from_arrays([[], [], []], names=INDEX))
    names = ["seed", "sequence", "true_choreography", "true_level"]
    pieces = pd.concat([part[[*names, column]] for part in parts])
    stratum = pieces["true_choreography"].astype(str) + "/" + pieces["true_level"].astype(str)
    return value(pieces[column].astype(float)).groupby([pieces["seed"], pieces["sequence"], stratum.rename("stratum")]).mean()


def by_row(outcomes: Iterable[Outcome]) -> dict[tuple, dict[int, Outcome]]:
    """Return the outcomes by (method, protocol, genres, shots) and seed."""
    found: dict[tuple, dict[int, Outcome]] = {}
    for outcome in outcomes:
        facts = outcome.pieces.iloc[0]
        key = (facts["method"], facts["protocol"], int(facts["genres"]), int(facts["shots"]))
        found.setdefault(key, {})[int(facts["seed"])] = outcome
    return found


def estimates(outcomes: Iterable[Outcome]) -> dict[tuple, stats.Estimate]:
    """Return the intervals over seeds and performances (``stats.crossed``) of the measures in ``PIECE_VALUES``.

    The keys are (method, protocol, genres, shots, task, metric).
    """
    return {
        (*row, *measure): stats.crossed(values.reset_index(name="value"), share=measure in SHARES)
        for row, seeds in by_row(outcomes).items()
        for measure in PIECE_VALUES
        if len(values := performance_values(seeds.values(), *measure))
    }


def lead(ours: pd.Series, other: pd.Series, task: int) -> pd.Series:
    """Return the relative lead of ours in percent, as values of performances whose mean is the lead (delta method).

    ``ours`` and ``other``: ``performance_values`` of ``RATIO_METRIC``. The lead is 100 (ours/other - 1) in Task 1, and 100
    (1 - ours/other) in Tasks 2 and 3, where smaller is better. The ratio is that of the means over seeds, of equal weight.
    """
    means = [values.groupby("seed").mean().mean() for values in (ours, other)]
    if means[1] == 0:
        return ours * np.nan
    ratio = means[0] / means[1]
    sign = 1 if task == 1 else -1
    return sign * 100 * (ratio - 1 + (ours - ratio * other) / means[1])


# --- tests -------------------------------------------------------------------------------------------------------------


def difference(ours: pd.Series, other: pd.Series, task: int) -> pd.Series:
    """Return ours minus other for each performance, with the sign that is above 0 where ours is better."""
    return (ours - other) if task == 1 else (other - ours)


def significance(
    outcomes: Iterable[Outcome],
    conditions: dict[str, str],
    reference: tuple[str, str] = ("ours", "prompt"),
    measures: Iterable[tuple[int, str]] = OF_TASKS,
) -> pd.DataFrame:
    """Return tests of the reference (ours) against every other (method, protocol): a row for each measure, g and number of shots.

    A test compares the same query performances under the seeds that both rows have (``stats.crossed``). Rows with the same
    features and protocol are tested once, and rows that equal the reference are not tested. ``conditions``: "underfit" or
    "collapsed" for the rows whose pre-training is; these get no verdict and no p-value. The tests generalise to other
    performances of these choreographies, not to other choreographies; with one seed, they are conditional on these fits.

    ``measures``: (task, metric) of ``PIECE_VALUES``. Columns: method, protocol, genres, shots, task, metric, n_seeds, performances,
    ours, other (means), difference (above 0: ours is better), ci_low, ci_high, lead (``lead``, in percent), lead_low, lead_high,
    effect_size (Cohen's d_z), p, p_holm (Holm's correction over the rows of a measure, g and number of shots), stands
    (``stands``; "" without a verdict), note.
    ``stands`` is the one word for a comparison wherever it is read; ``p_holm`` is for readers who search among many rows.
    """
    rows, out, tested = by_row(outcomes), [], set()
    for (method, protocol, *point), seeds in rows.items():
        ours = rows.get((*reference, *point), {})
        features = (pretraining_of(method), protocol, *point)
        if not ours or features in tested or features == (pretraining_of(reference[0]), reference[1], *point):
            continue
        tested.add(features)
        shared = sorted(set(seeds) & set(ours))
        flags = [f"{name} is {conditions[name]}" for name in dict.fromkeys((method, reference[0])) if name in conditions]
        for task, metric in measures:
            line = _test([ours[s] for s in shared], [seeds[s] for s in shared], task, metric)
            if not line:
                continue
            note = f"no verdict: {', '.join(flags)}" if flags else CONDITIONAL if len(shared) == 1 else ""
            line |= {"p": np.nan, "stands": ""} if flags else {"stands": stands(line["ci_low"], line["ci_high"])}
            facts = dict(zip(("method", "protocol", "genres", "shots"), (method, protocol, *point), strict=True))
            out.append(facts | {"task": task, "metric": metric, "n_seeds": len(shared)} | line | {"note": note})
    table = pd.DataFrame(out, columns=SIGNIFICANCE_COLUMNS)
    table["p_holm"] = table.groupby(["task", "metric", "genres", "shots"])["p"].transform(stats.holm) if len(table) else np.nan
    return table


def stands(low: float, high: float) -> str:
    """Return the position of ours by the 95 % interval of a difference: "ahead", "behind", "level"; "" without an interval."""
    return "ahead" if low > 0 else "behind" if high < 0 else "level" if low <= high else ""


def _test(ours: list[Outcome], others: list[Outcome], task: int, metric: str) -> dict:
    """Return the numbers of one line of ``significance``; {} if one of the two does not predict the task."""
    a, b = (performance_values(some, task, metric) for some in (ours, others))
    if not len(a) or not len(b):
        return {}
    found = stats.crossed(difference(a, b, task).reset_index(name="value"))
    ratio = [performance_values(some, task, metric if task == 1 else RATIO_METRIC[task]) for some in (ours, others)]
    relative = stats.crossed(lead(*ratio, task).reset_index(name="value"))
    over_seeds = [values.groupby("sequence").mean() for values in (a, b)]
    return {
        "performances": len(over_seeds[0]), "ours": a.groupby("seed").mean().mean(), "other": b.groupby("seed").mean().mean(),
        "difference": found.mean, "ci_low": found.low, "ci_high": found.high,
        "lead": relative.mean, "lead_low": relative.low, "lead_high": relative.high,
        "effect_size": stats.effect_size(*(over_seeds if task == 1 else over_seeds[::-1])), "p": found.p,
    }  # fmt: skip


SIGNIFICANCE_COLUMNS = (
    "method protocol genres shots task metric n_seeds performances ours other difference ci_low ci_high lead lead_low lead_high "
    "effect_size p p_holm stands note"
).split()
CONDITIONAL = "one seed: conditional on these fits"
GENERALISES = "performances of these test choreographies, not choreographies"
