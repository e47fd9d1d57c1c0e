"""Rules that judge a claim by the results of a run. Each rule reads result files and returns a ``Finding``.

To add a rule, write a function of ``Results`` and the claim's settings, and add it to ``RULES``. The argument ``stated`` is
the number that the paper states, from ``printed.STATED``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from dancemvp_core.dance import chance
from dancemvp_core.dance.primitives import BEATS
from dancemvp_core.labels import SKILL, Levels
from dancemvp_core.paper import progression
from dancemvp_core.paper.arithmetic import better, label
from dancemvp_core.pretraining import methods
from dancemvp_core.released import cutting, hits
from dancemvp_core.runs.provenance import Paths
from dancemvp_core.tasks import stats
from dancemvp_core.tasks.metrics import HIGHER_IS_BETTER, TASKS
from dancemvp_core.tasks.rows import FLOORS

ALPHA = 0.05


class Missing(Exception):
    """A result that a rule needs does not exist. The message names it and becomes the finding of the claim."""


@dataclass(frozen=True)
class Finding:
    """The result of a rule: ``holds`` (True, False, or None for open), a text, a number with its interval, and the seeds."""

    holds: bool | None
    text: str
    measured: float = np.nan
    low: float = np.nan
    high: float = np.nan
    seeds: int | None = None


@dataclass(frozen=True)
class Results:
    """The result tables of a run by name; a table is read when a rule needs it. ``shots``: number of shots in the tables.

    ``levels`` are those of the data.
    """

    paths: Paths
    synthetic: bool
    shots: int
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    levels: Levels = SKILL

    def need_skill(self) -> None:
        """Raise Missing if the levels of the data are no levels of skill, because the claim is about those."""
        if not self.levels.skill:
            told = f"{self.levels.plural} ({', '.join(self.levels.names)})"
            raise Missing(f"the claim is about levels of skill, and these data have {told}")

    def file(self, name: str) -> Path:
        """Return the file of a table: in the results, or in build/pieces for "pieces" and "sequences"."""
        return self.paths.results / name if "." in name else self.paths.pieces / f"{name}.parquet"

    def table(self, name: str) -> pd.DataFrame:
        """Return a table by its name; read it once. Raises Missing if the file does not exist."""
        if name not in self.tables:
            file = self.file(name)
            if not file.exists():
                raise Missing(f"{name} was not made from these data")
            self.tables[name] = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
        return self.tables[name]

    @cached_property
    def choreographies(self) -> int:
        """The largest g in the metrics. Raises Missing if there are no metrics."""
        metrics = self.table("metrics.parquet")
        if not len(metrics):
            raise Missing("the three tasks could not be run on these data")
        return int(metrics["genres"].max())


# --- rules on this run's results ---------------------------------------------------------------------------------


def paper_only(results: Results) -> Finding:
    """Raise Missing, because the claim is about the paper's own tables and there is nothing to measure."""
    raise Missing("the claim is about the paper's own tables, so there is nothing to measure")


def other_hardware(results: Results) -> Finding:
    """Raise Missing, because the claim is about other hardware."""
    raise Missing("the claim is about other hardware, and the paper does not state the epochs (as released, pre-training has 100); "
                  "cost.csv has this run's times")  # fmt: skip


def files_only(results: Results) -> Finding:
    """Raise Missing, because the claim is about the released files and there is nothing to measure."""
    raise Missing("the claim is about the released files, so there is nothing to measure")


def _needs_the_papers_own(results: Results, what: str) -> None:
    """Raise Missing unless the data are ImperialDance and the profile is paper."""
    if results.synthetic or "imperialdance" not in results.paths.dataset.lower():
        raise Missing(f"{what} of another data set cannot be compared with the paper's")
    if results.paths.profile != "paper":
        raise Missing(f"{what} of the profile {results.paths.profile} cannot be compared with the paper's")


def set_up(results: Results, what: str, stated: int) -> Finding:
    """Compare a size with the paper's: the pieces of a split, the classes, or the seconds of all sequences."""
    _needs_the_papers_own(results, "sizes")
    pieces = results.table("pieces")
    if what == "classes":
        value = len(pieces[["choreography", "level", "primitive"]].dropna().drop_duplicates())
    elif what == "seconds":
        value = round(float(results.table("sequences")["duration_s"].sum()))
    else:
        value = int((pieces["split"] == what).sum())
    noun = what if what in ("classes", "seconds") else f"{what} pieces"
    return Finding(value == stated, f"this run has {value:,} {noun}", value)


def experts_match(results: Results) -> Finding:
    """Test whether the BAR of the highest level (one mean for each choreography) is above one half and above its chance level.

    It is above chance if the interval over choreographies says so, and the test by time shifts, too (``chance.pooled_rows``).
    """
    results.need_skill()
    sequences = results.table("sequences")
    own = sequences[sequences["level"] == results.levels.names[-1]].dropna(subset="choreography")
    experts = own.groupby("choreography")[["bar", "bar_chance"]].mean().dropna()
    if not len(experts):
        raise Missing("these data have no experts with a beat alignment rate")
    mean, low, high = stats.mean_interval(experts["bar"])
    above, above_low, above_high = stats.mean_interval(experts["bar"] - experts["bar_chance"])
    shifted = chance.pooled_rows(own)
    text = (
        f"BAR {mean:.1f} %, minus chance {above:+.1f} points [{above_low:.1f}, {above_high:.1f}]; with the motion's peaks shifted "
        f"in time, 95 % are within ±{shifted.reach:.1f} points, p = {shifted.p:.2g}; {len(experts)} choreographies"
    )
    holds = True if low > 50 and above_low > 0 and shifted.p <= ALPHA else False if high < 50 or above_high < 0 else None
    return Finding(holds, text, mean, low, high)


def _if_trained(results: Results, finding: Finding) -> Finding:
    """Return a finding on the features of ours, without an answer if their pre-training is underfit or collapsed."""
    try:
        condition = results.table("table2_baselines.csv").set_index("method")["condition"].get("ours")
    except Missing:  # data without the three tasks
        return finding
    if not isinstance(condition, str) or not condition:
        return finding
    return replace(finding, holds=None, text=f"{finding.text}; no verdict: ours is {condition}")


def separated(results: Results, panel: str, attribute: str) -> Finding:
    """Test whether the classes of an attribute separate in a panel of Fig. 5, and better than without pre-training.

    They separate if at least 90 % of the neighbours agree and the silhouette is above 0. They do not separate if the
    neighbours agree no more than by chance. Between the two, the answer is open, because the classes overlap. Classes that
    separate show nothing about pre-training if they separate as well in the features of the untrained encoder. So the claim
    holds only if ours is ahead of it: by silhouette or purity, and behind by neither (95 % intervals). It does not hold if
    ours is behind by one and ahead by none. All other cases are open.
    """
    if attribute == "level":
        results.need_skill()
    table = results.table("fig5_separation.csv")
    names = table["attribute"].str.split(" | ", regex=False).str[0]
    chosen = table[(table["panel"] == f"5{panel}") & (names == attribute)]
    ours = chosen[chosen["encoder"] == "ours"]
    if not len(ours):
        raise Missing(f"fig5_separation.csv has no {attribute} for panel {panel}, because the data do not have it")
    # The measure with other attributes held fixed comes first: the claim is about levels within a choreography and primitive.
    row = ours.loc[ours["attribute"].str.len().idxmax()]
    untrained = chosen[(chosen["encoder"] == "random_init") & (chosen["attribute"] == row["attribute"])].iloc[0]
    above = row["purity_p"] <= ALPHA
    separate = True if above and row["purity"] >= 0.9 and row["silhouette"] > 0 else None if above else False
    ahead = any(row[f"{kind}_lead_low"] > 0 for kind in ("silhouette", "purity"))
    behind = any(row[f"{kind}_lead_high"] < 0 for kind in ("silhouette", "purity"))
    learned = None if ahead == behind else ahead
    words = {True: "ours is better", False: "ours is worse", None: "the two measures disagree" if ahead else "no clear difference"}
    holds = False if separate is False or learned is False else True if separate and learned else None
    text = (
        f"{row['attribute']}: {100 * row['purity']:.0f} % of the neighbours agree ({100 * row['purity_chance']:.0f} % with "
        f"shuffled labels, p = {row['purity_p']:.3g}), silhouette {row['silhouette']:.2f}"
        f"{'; above chance, but the classes overlap' if separate is None else ''}. Untrained encoder: "
        f"{100 * untrained['purity']:.0f} %, silhouette {untrained['silhouette']:.2f}: {words[learned]}"
    )
    return _if_trained(results, Finding(holds, results.levels.said(text), row["purity"], seeds=1))


def level_of_unseen_dancers(results: Results) -> Finding:
    """Test how much of the level accuracy of ours, within choreography and move, is left on unseen dancers.

    On seen dancers, a method is right by the level or by the person; on unseen ones, the person says nothing. So the claim holds
    if more than half of the lead over chance is left on unseen dancers, and does not hold if less than half is. It is open if
    the intervals allow both, or if there is no lead on seen dancers. Real people decide where the data name them, else the cast
    with strong personal style. The default cast cannot: its dancers of one level move much alike, so a method that only
    recognises dancers is right on unseen ones, too.
    """
    results.need_skill()
    table = results.table("extra_unseen_dancers.csv")
    if "level_within" not in table:
        raise Missing("extra_unseen_dancers.csv has no level accuracy")
    ours = (table["method"] == "ours") & (table["protocol"] == methods.METHODS["ours"].protocol)
    rows = table[ours & table["cast"].isin(["strong style", "real people"])].set_index("dancers")
    if not {"seen", "unseen"} <= set(rows.index):
        raise Missing("extra_unseen_dancers.csv has no level accuracy of ours on real people or dancers with a strong style")
    row, seen = rows.loc["unseen"], rows.loc["seen"]
    value, low, high = (row[f"level_within{part}"] for part in ("", "_ci_low", "_ci_high"))
    chance = 100 / len(results.levels.names)
    least, half, most = (chance + (seen[f"level_within{part}"] - chance) / 2 for part in ("_ci_low", "", "_ci_high"))
    holds = None
    if np.isfinite([low, high, least, most]).all() and least > chance:
        holds = True if low > most else False if high < least else None
    who = "unseen people" if row["cast"] == "real people" else "unseen dancers with a strong personal style"
    text = (
        f"level accuracy within choreography and primitive {value:.1f} % on {who}, {seen['level_within']:.1f} % on seen ones, "
        f"chance {chance:.1f} %: {_share_left(value - chance, seen['level_within'] - chance)} (half of it would be {half:.1f} %)"
    )
    if pd.notna(row.get("dancer")):
        text += f"; the features tell seen from unseen ones in {row['dancer']:.0f} % of the pieces"
    return _if_trained(results, Finding(holds, text, value, low, high, int(row["n_seeds"])))


def _share_left(unseen: float, seen: float) -> str:
    return f"{100 * max(unseen, 0) / seen:.0f} % of the lead over chance is left" if seen > 0 else "there is no lead over chance"


def progression_seen(results: Results, observation: int) -> Finding:
    """Report one of the four observations on Fig. 6 (``progression.observations``), for the measured BAR."""
    results.need_skill()
    table = progression.observations(results.table("fig6_progression.csv"), results.levels)
    if not len(table):
        raise Missing("Fig. 6 could not be made from these data")
    first = table[table["source"] == table["source"].iloc[0]]  # measured BAR; the rows of predicted BAR follow
    row = first.iloc[observation - 1]
    return Finding({"yes": True, "no": False}.get(row["seen"]), row["numbers"])


def numbers_reproduced(results: Results, table: str) -> Finding:
    """Test whether the printed values are in this run's intervals, if the run has the paper's data set and profile."""
    _needs_the_papers_own(results, "values")
    rows = results.table(table)
    inside, outside = [], []
    for row in rows.itertuples():
        for task in TASKS:
            printed, low, high = (getattr(row, f) for f in (f"paper_{task}", f"{task}_ci_low", f"{task}_ci_high"))
            if np.isfinite([printed, low, high]).all():
                (inside if low <= printed <= high else outside).append(f"{row.method} {task}")
    if not inside and not outside:
        raise Missing("no row has an interval")
    text = f"{len(inside)} of {len(inside) + len(outside)} values are inside the interval" + (
        f"; outside: {', '.join(outside)}" if outside else ""
    )
    return Finding(not outside, text, len(inside) / (len(inside) + len(outside)), seeds=int(rows["n_seeds"].max()))


def _standing(results: Results, table: str, tests: str, tasks: list[int], rivals: list[str] | None) -> pd.DataFrame:
    """Return the position of ours against each rival on each task.

    Columns: method, task, stands (ahead, behind, level, or "" without a verdict), mean_ahead (bool), note. A task without
    labels is a comparison without a verdict.
    """
    rows = results.table(table).set_index("method")
    rivals = [n for n in rivals or rows.index[rows["paper_task1"].notna()] if n in rows.index and n != "ours"]
    if "ours" not in rows.index or not rivals:
        raise Missing(f"{table} has no rows to compare")
    tested = results.table(tests).set_index(["method", "protocol", "task"])
    out = []
    for task in tasks:
        for name in rivals:
            ours, other = (rows.loc[n, f"task{task}_mean"] for n in ("ours", name))
            if pd.isna(ours):
                out.append((name, task, "", False, f"no values of Task {task}"))
            if pd.isna(ours) or pd.isna(other):  # a rival may answer one task only
                continue
            key = (name, rows.loc[name, "protocol"], task)
            test = tested.loc[key] if key in tested.index else pd.Series({"stands": "", "note": "not tested"})
            stands, note = (test[name] if isinstance(test[name], str) else "" for name in ("stands", "note"))  # "" is read as nan
            out.append((name, task, stands, better(ours, other, task), note))
    standing = pd.DataFrame(out, columns=["method", "task", "stands", "mean_ahead", "note"])
    if standing["note"].str.startswith("no values").all():
        raise Missing(f"{table} has no values to compare on Task {', '.join(map(str, tasks))}")
    return standing


_STANDS = {"ahead": "ahead of", "behind": "behind", "level": "level with", "": "no verdict against"}


def _standing_text(standing: pd.DataFrame) -> str:
    """Return the position of ours on each task as text, and why there is no verdict, or only one on the fits of one seed."""
    parts = []
    for task, rows in standing.groupby("task"):
        named = {phrase: rows.loc[rows["stands"] == stands, "method"] for stands, phrase in _STANDS.items()}
        parts.append(f"Task {task}: " + "; ".join(f"{phrase} {', '.join(names)}" for phrase, names in named.items() if len(names)))
    notes = [note for note in standing["note"].unique() if note]
    return ". ".join(parts) + (f" ({'; '.join(notes)})" if notes else "")


def _ours(results: Results, table: str, task: int) -> dict:
    """Return the measured value of ours on a task, as fields of a ``Finding``."""
    row = results.table(table).set_index("method").loc["ours"]
    mean, low, high = (row[f"task{task}_{part}"] for part in ("mean", "ci_low", "ci_high"))
    return {"measured": mean, "low": low, "high": high, "seeds": int(row["n_seeds"])}


def beats_all(results: Results, table: str, tests: str, tasks: list[int], rivals: list[str] | None = None) -> Finding:
    """The claim holds if ours is ahead of every rival on every task.

    It does not hold if one rival is ahead on one task. A rival without a verdict leaves the claim open.
    """
    standing = _standing(results, table, tests, tasks, rivals)
    holds = False if (standing["stands"] == "behind").any() else True if (standing["stands"] == "ahead").all() else None
    text = _standing_text(standing) + _floors_ahead(results, table, tests, tasks)
    return Finding(holds, text, **_ours(results, table, tasks[0]))


def _floors_ahead(results: Results, table: str, tests: str, tasks: list[int]) -> str:
    """Return the floors with a better mean than ours as text, "" for none. The paper has no floors, so they judge no claim."""
    rows = results.table(table)
    floors = [name for name in rows["method"] if name in FLOORS]
    if not floors:
        return ""
    standing = _standing(results, table, tests, tasks, floors)
    ahead = standing[~standing["mean_ahead"] & ~standing["note"].str.startswith("no values")]
    return "".join(f"; floors with a better mean on Task {task}: {', '.join(own['method'])}" for task, own in ahead.groupby("task"))


def beats_several(results: Results, table: str, tests: str, tasks: list[int], fewest: int) -> Finding:
    """The claim holds if ours is ahead of at least ``fewest`` rows on every task.

    It does not hold if this is still possible for fewer than ``fewest`` rows. A row that is level with ours or without a verdict
    may be beaten or not.
    """
    standing = _standing(results, table, tests, tasks, None)
    beaten = standing["stands"].eq("ahead").groupby(standing["method"]).all()
    possible = standing["stands"].ne("behind").groupby(standing["method"]).all()
    holds = True if beaten.sum() >= fewest else False if possible.sum() < fewest else None
    text = f"ours is ahead of {beaten.sum()} of {len(beaten)} rows on every task"
    text += f"; at most {possible.sum()} rows are possible"
    if gaps := sorted(set(standing.loc[standing["note"].str.startswith("no values"), "note"])):
        text += f"; {', '.join(gaps)}"
    return Finding(holds, text, **_ours(results, table, tasks[0]))


def rank_among(results: Results, table: str, tests: str, task: int, stated: int) -> Finding:
    """Compare the rank of ours among the paper's rows with the stated rank.

    The rank is a range, because a row that is level with ours or without a verdict may be better or worse.
    """
    standing = _standing(results, table, tests, [task], None)
    ahead, unclear = int(standing["stands"].eq("behind").sum()), int(standing["stands"].isin(["level", ""]).sum())
    low, high = 1 + ahead, 1 + ahead + unclear
    rank = 1 + int((~standing["mean_ahead"]).sum())
    holds = False if not low <= stated <= high else True if low == high else None
    text = f"rank {rank} of {len(standing) + 1} by the mean; the tests allow {low} to {high}"
    return Finding(holds, text, rank, low, high, _ours(results, table, task)["seeds"])


def _above(row: pd.Series, value: str, bound: float, text: str, unit: str = "%") -> Finding:
    """Compare a measured value of a row, with its interval, with a bound.

    The claim holds if the interval is above the bound, fails if it is below, and stays open if the interval contains the bound.
    """
    columns = {"lead": ("lead_low", "lead_high"), "value": ("ci_low", "ci_high")}[value]
    mean, low, high = row[value], *(row[column] for column in columns)
    holds = None if np.isnan(low) or low <= bound <= high else bool(low > bound)
    interval = "no interval" if np.isnan(low) else f"[{low:+.1f}, {high:+.1f}]"
    return Finding(holds, f"{text} {mean:+.1f} {unit} {interval}", mean, low, high, int(row["n_seeds"]))


def margin(results: Results, rivals: list[str], task: int, stated: float) -> Finding:
    """Compare the relative lead of ours over the rival with the best mean with the stated lead.

    A rival without a verdict may be the best: then the claim cannot hold.
    """
    tests = results.table("significance.csv")
    own = pd.MultiIndex.from_tuples([(name, methods.METHODS[name].protocol) for name in rivals])
    rows = tests[(tests["task"] == task) & pd.MultiIndex.from_frame(tests[["method", "protocol"]]).isin(own)]
    if not len(rows):
        raise Missing(f"significance.csv has none of {', '.join(rivals)} on Task {task}")
    best = rows.loc[rows["other"].idxmax() if HIGHER_IS_BETTER[f"task{task}"] else rows["other"].idxmin()]
    found = _above(best, "lead", stated, f"lead over {label(best['method'])}")
    unclear = rows.loc[rows["stands"].fillna("") == "", "note"].unique()
    if not len(unclear):
        return found
    return replace(found, holds=None if found.holds else found.holds, text=f"{found.text}; {'; '.join(unclear)}")


def _against_finetune(results: Results, task: int, genres: int | None = None, shots: int | None = None) -> pd.Series:
    """Return the test of prompting against fine-tuning of ours (a row of fig7_tests.csv). Raises Missing if there is none.

    Without ``genres``, these are all choreographies. Without ``shots``, these are the tables', and those of ``genres``.
    """
    tests, genres = results.table("fig7_tests.csv"), genres or results.choreographies
    if not shots:
        shots = results.shots if genres == results.choreographies else tests.loc[tests["genres"] == genres, "shots"].max()
    same = (tests["genres"] == genres) & (tests["shots"] == shots) & (tests["task"] == task)
    rows = tests[same & (tests["method"] == "ours") & (tests["protocol"] == "finetune")]
    if not len(rows):
        raise Missing(f"Task {task}: prompting and fine-tuning were not compared for g = {genres} and {shots} shots")
    return rows.iloc[0]


def _available(keys, read: Callable) -> dict:
    """Return {key: result of ``read``} for all keys that the data support. Raises Missing if there are none."""
    found = {}
    for key in keys:
        try:
            found[key] = read(key)
        except Missing as fault:
            reason = fault
    if not found:
        raise reason
    return found


def prompt_beats_finetune(results: Results, tasks: list[int], shots: int | None = None) -> Finding:
    """The claim holds if prompting is ahead on all tasks, and fails if it is behind on one."""
    found = _available(tasks, lambda task: _against_finetune(results, task, shots=shots))
    text = "prompting minus fine-tuning: " + ", ".join(
        f"Task {task} {row['difference']:+.3g} [{row['ci_low']:.3g}, {row['ci_high']:.3g}]" for task, row in found.items()
    )
    stands = [row["stands"] for row in found.values()]
    holds = False if "behind" in stands else True if stands == ["ahead"] * len(tasks) else None
    first = found[min(found)]
    notes = [note for note in dict.fromkeys(row["note"] for row in found.values()) if isinstance(note, str) and note]
    text = "; ".join([text + " (above 0: prompting is better)", *notes])
    return Finding(holds, text, first["difference"], first["ci_low"], first["ci_high"], int(first["n_seeds"]))


def prompt_ahead_in_most(results: Results) -> Finding:
    """Count the six comparisons of Table 4 (two g, three tasks) in which prompting is ahead."""
    cells = [(g, task) for g in (1, results.choreographies) for task in (1, 2, 3)]
    found = _available(cells, lambda cell: _against_finetune(results, cell[1], genres=cell[0]))
    stands = [row["stands"] for row in found.values()]
    ahead, possible = stands.count("ahead"), len(cells) - stands.count("behind")  # without a verdict, either may be true
    by_mean = sum(row["difference"] > 0 for row in found.values())
    half = len(cells) / 2
    holds = True if ahead > half else False if possible <= half else None
    text = f"prompting is better in {by_mean} of {len(found)} by the mean, ahead in {ahead}"
    return Finding(holds, text, by_mean, ahead, possible, min(int(row["n_seeds"]) for row in found.values()))


def _relative(results: Results, what: str, shots: int | None = None) -> tuple[pd.Series, str]:
    """Return the mean over the tasks in fig7_relative.csv, and the values of the tasks as text. Raises Missing without it."""
    table = results.table("fig7_relative.csv")
    rows = table[(table["what"] == what) & (table["shots"] == (shots or table["shots"]))].set_index("task")
    if "mean" not in rows.index:
        raise Missing(f"fig7_relative.csv has no {what!r}" + (f" at {shots} shots" if shots else ""))
    if not {str(task) for task in (1, 2, 3)} <= set(rows.index):
        own = ", ".join(rows.index.drop("mean"))
        raise Missing(f"the claim is about the mean over three tasks, and these data have Task {own} only")
    by_task = ", ".join(f"Task {task} {row['value']:+.1f} %" for task, row in rows.drop(index="mean").iterrows())
    return rows.loc["mean"], by_task


def mean_relative_gain(results: Results, shots: int, stated: float) -> Finding:
    """Compare the relative gain of prompting over fine-tuning, the mean over tasks, with the stated gain."""
    row, by_task = _relative(results, "gain", shots)
    return _above(row, "value", stated, f"{by_task}; mean")


def _within(low: float, high: float, bottom: float, top: float) -> bool | None:
    """Return whether an interval is in a range: True inside, False outside, None if it is partly inside or undefined."""
    return None if np.isnan(low) else True if bottom <= low and high <= top else False if high < bottom or low > top else None


def loss_with_genres(results: Results, protocol: str, stated: float, tolerance: float) -> Finding:
    """The claim holds if the interval is within ``stated`` +- ``tolerance``, and fails if it is outside this range."""
    row, by_task = _relative(results, f"loss of {protocol}")
    found = _above(row, "value", stated, f"{protocol} loses from g = 1 to g = {results.choreographies}: {by_task}; mean")
    return replace(found, holds=_within(found.low, found.high, stated - tolerance, stated + tolerance))


def prompt_loses_less(results: Results) -> Finding:
    """The claim holds if fine-tuning loses more than prompting from g = 1 to all test choreographies, the mean over tasks.

    It stays open if prompting is worse than fine-tuning at g = 1: who starts lower has less to lose.
    """
    row, by_task = _relative(results, "fine-tuning loses more by")
    start, _ = _relative(results, "gain at g = 1")
    found = _above(row, "value", 0, f"fine-tuning loses more than prompting by {by_task}; mean", "points")
    text = f"{found.text}; at g = 1, prompting gains {start['value']:+.1f} % [{start['ci_low']:+.1f}, {start['ci_high']:+.1f}]"
    return replace(found, holds=None if found.holds and start["ci_high"] < 0 else found.holds, text=text)


def inference_time(results: Results, stated: float) -> Finding:
    """Compare the median time of an inference of 32 pieces on this machine with the stated time."""
    row = _timing(results, "inference of 32 pieces")
    text = f"median {row['median_s']:.3g} s of {int(row['runs'])} runs on {row['device']}; hardware and width are not the paper's"
    return Finding(bool(row["median_s"] <= stated), text, row["median_s"], row["min_s"], row["max_s"])


def prompt_slower(results: Results) -> Finding:
    """The claim holds if prompting takes longer than fine-tuning for all rows and seeds, and fails if it never does."""
    row = _timing(results, "prompt over finetune")
    holds = True if row["min_s"] > 1 else False if row["max_s"] < 1 else None
    text = f"prompting takes {row['median_s']:.1f} times as long, median of {int(row['runs'])} rows and seeds on {row['device']}"
    return Finding(holds, text, row["median_s"], row["min_s"], row["max_s"])


def _timing(results: Results, what: str) -> pd.Series:
    timing = results.table("timing.csv").set_index("what")
    if what not in timing.index:
        raise Missing(f"timing.csv has no {what}")
    return timing.loc[what]


def similar_are_confused(results: Results) -> Finding:
    """Test the rank correlation of similarity and confusion of ours, with permuted choreographies (``stats.mantel``).

    The claim stays open if ours confuses nothing.
    """
    table = results.table("extra_confusion.csv")
    parts, found = [], {}
    for name, own in table.groupby("method", sort=False):
        rho, p = stats.mantel(own)
        found[name] = (rho, p)
        parts.append(f"{name}: " + ("nothing is confused" if np.isnan(rho) else f"rho = {rho:.2f}, p = {p:.2g}"))
    rho, p = found.get("ours", (np.nan, np.nan))
    holds = None if np.isnan(rho) else True if p <= ALPHA else False if p >= 1 - ALPHA else None
    return Finding(holds, "; ".join(parts), rho)


# --- rules on the released code, by the results of 09_released_code ----------------------------------------------


def music_unheard(results: Results) -> Finding:
    """The claim holds if no test choreography of the released split has its music track in pre-training."""
    table = results.table("released_music.csv")
    test = table[table["split"] == "released"].drop_duplicates("choreography")
    if not len(test):
        raise Missing("released_music.csv has no released split")
    heard = test[test["heard"].astype(bool)]
    pairs = ", ".join(f"{row.choreography} with {row.shares_with}" for row in heard.itertuples())
    text = f"{len(heard)} of {len(test)} test choreographies share their music with pre-training" + (f": {pairs}" if pairs else "")
    return Finding(not len(heard), text, len(heard))


def _prompted(results: Results, vocabulary: str) -> pd.DataFrame:
    """Return the rows of a vocabulary in released_prompt.csv by the text that the query comes with."""
    table = results.table("released_prompt.csv")
    rows = table[table["vocabulary"] == vocabulary].set_index("text")
    if len(rows) < 2 or "true label" not in rows.index:
        raise Missing(f"released_prompt.csv does not compare texts with the vocabulary {vocabulary!r}")
    return rows


def texts_differ(results: Results, vocabulary: str) -> Finding:
    """The claim holds if the labels' texts are several token sequences and other texts change the logits.

    It does not hold if all texts are one sequence and no text changes one bit of the logits.
    """
    rows = _prompted(results, vocabulary)
    sequences = int(rows.loc["true label", "sequences"])
    same = rows["bit_identical"].drop("true label").astype(bool)
    holds = True if sequences > 1 and not same.any() else False if sequences == 1 and same.all() else None
    changed = " and ".join(same.index[~same]) or "no other text"
    text = f"the labels' texts are {sequences} token sequence{'s' * (sequences > 1)}; logits change with: {changed}"
    return Finding(holds, text, sequences)


def text_is_used(results: Results, vocabulary: str, points: float) -> Finding:
    """The claim holds if the true label's text gives more than ``points`` more accuracy than every other text.

    It does not hold if no other text changes the accuracy by more than ``points``.
    """
    accuracy = _prompted(results, vocabulary)["accuracy"]
    gains = accuracy["true label"] - accuracy.drop("true label")
    holds = True if gains.min() > points else False if gains.abs().max() <= points else None
    text = "Task 1 by the text of the query: " + ", ".join(f"{name} {value:.1f} %" for name, value in accuracy.items())
    return Finding(holds, text, gains.min())


def leaves_task1(results: Results, difference: str, within: float) -> Finding:
    """The claim holds if the interval of a reading's effect on Task 1 is in +-``within`` points, and fails if it is outside.

    It has no answer if one of the two pre-trainings that are compared is underfit or collapsed.
    """
    table = results.table("released_code.csv").set_index("difference")
    if difference not in table.index or pd.isna(table.loc[difference, "task1_effect"]):
        raise Missing(f"released_code.csv has no effect of {difference!r} on Task 1 at the profile {results.paths.profile}")
    row = table.loc[difference]
    low, high = row["task1_low"], row["task1_high"]
    interval = "no interval" if pd.isna(low) else f"[{low:+.1f}, {high:+.1f}]"
    text = f"Task 1 {row['task1_mean']:.1f} %, {row['task1_effect']:+.1f} points against {row['against']}; {interval}"
    holds = _within(low, high, -within, within)
    conditions = table["condition"].fillna("") if "condition" in table else {}  # results of an earlier version have none
    flags = [f"{name} is {conditions[name]}" for name in (difference, row["against"]) if conditions.get(name)]
    if flags:
        holds, text = None, f"{text}; no verdict: {', '.join(flags)}"
    return Finding(holds, text, row["task1_effect"], low, high, int(row["n_seeds"]))


def cuts_are_eights(results: Results, beats: float) -> Finding:
    """Test whether a fixed cut has eight beats within +-``beats``: the mean distance from eight over choreographies.

    The length of eight beats is the median over a choreography's pieces that follow a beat grid, on the clip's clock.
    """
    pieces = results.table("pieces")
    found = pieces[pieces["segmentation"] == "beats"].dropna(subset="choreography")
    if not len(found):
        raise Missing("no choreography of these data has eights that follow a beat grid")
    seconds = cutting.CUTS_S[0][1] - cutting.CUTS_S[0][0]
    inside = seconds * BEATS / (found["end_s"] - found["start_s"]).groupby(found["choreography"]).median()
    mean, low, high = stats.mean_interval((inside - BEATS).abs())
    text = (
        f"a cut of {seconds:g} s has {inside.min():.1f} to {inside.max():.1f} beats on the clip's clock; {mean:.2f} from eight, "
        f"mean of {len(inside)} choreographies"
    )
    return Finding(_within(low, high, -np.inf, beats), text, mean, low, high)


def rates_exceed(results: Results, measure: str, least: float) -> Finding:
    """Compare a measure of ``hits.agreement``, the mean over choreographies, with a bound.

    The claim holds if the interval is above the bound, fails if it is below, and stays open if it contains the bound.
    """
    rates = results.table("released_rates.csv")
    enough = {name: own for name, own in rates.groupby("choreography") if len(own) > 2}
    if not enough:
        raise Missing("released_rates.csv has no choreography with three performances")
    found = [hits.agreement(own).set_index("measure")["value"] for own in enough.values()]
    mean, low, high = stats.mean_interval([values[measure] for values in found])
    above = ", ".join(f"{rate} {np.mean([v[f'{rate} above chance'] for v in found]):+.1f}" for rate in ("BAR", "hit rate"))
    text = f"{measure}: {mean:.2f}, mean of {len(found)} choreographies; points above chance: {above}"
    return Finding(None if np.isnan(low) or low <= least <= high else bool(low > least), text, mean, low, high)


def target_varies(results: Results) -> Finding:
    """The claim holds if a model that knows only the file (choreography and level) has an error on the released target."""
    rates = results.table("released_rates.csv")
    if not rates.duplicated(["choreography", "level"]).any():
        raise Missing("released_rates.csv has no file with two performances")
    found = hits.agreement(rates).set_index("measure")["value"]
    error, own = (found[f"MSE of the file's mean on {what}"] for what in ("the released target", "hit rates"))
    text = (
        f"{len(rates)} performances have {found['values of the released target']:.0f} values of the target; a model that knows "
        f"only the file has an error of {error:.1f} squared points on it, and of {own:.0f} on the performances' own rates"
    )
    return Finding(bool(error > 1e-9), text, error)


RULES: dict[str, Callable[..., Finding]] = {
    f.__name__: f
    for f in (
        paper_only, other_hardware, set_up, experts_match, separated, level_of_unseen_dancers, progression_seen,
        numbers_reproduced, beats_all, beats_several, rank_among, margin, prompt_beats_finetune, prompt_ahead_in_most,
        mean_relative_gain, loss_with_genres, prompt_loses_less, inference_time, prompt_slower, similar_are_confused,
        files_only, music_unheard, texts_differ, text_is_used, leaves_task1, cuts_are_eights, rates_exceed, target_varies,
    )
}  # fmt: skip
