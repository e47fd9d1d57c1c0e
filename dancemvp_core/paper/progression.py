"""Progress over the trials of one file ("Progression Modeling" in the paper): the numbers of Fig. 6.

The unit of the statistics is a choreography: one dancer performs all trials of a choreography and level, so the trials are
not independent. Where the data name their people, it is a person.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pandas as pd

from dancemvp_core.dance import chance
from dancemvp_core.labels import SKILL, Levels
from dancemvp_core.tasks import stats
from dancemvp_core.tasks.outcomes import Outcomes

TRIALS = 100  # number of trials in a complete file
ENDS = 5  # number of trials in "the first 5" and "the last 5"
COLUMNS = ["source", "panel", "level", "group", "n", "mean", "median", "ci_low", "ci_high"]
FIRST, LAST, GAIN, SLOPE, ALL = f"first {ENDS}", f"last {ENDS}", "gain", f"slope per {TRIALS} trials", "all"
UNITS = {"choreography": "choreography", "dancer": "person"}  # column -> its word


def beyond(levels: list[str]) -> str:
    """Return the name of the group of the second level's gain minus that of the lowest."""
    return f"gain beyond the {levels[0]}'s"


def with_people(sequences: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """Return performances with the column dancer of a data set's ``index`` (missing where it is unknown)."""
    people = index["dancer"].reset_index(drop=True)
    return sequences.assign(dancer=people.reindex(sequences["sequence"]).to_numpy())


def unit_of(sequences: pd.DataFrame) -> str:
    """Return the column of the unit: "dancer" if all performances name their person and a level has two, else "choreography"."""
    if "dancer" not in sequences or sequences["dancer"].isna().any():
        return "choreography"
    return "dancer" if (sequences.groupby("level")["dancer"].nunique() > 1).any() else "choreography"


def _file_of(sequences: pd.DataFrame) -> list[str]:
    """Return the columns that tell the files apart: one person's trials of a choreography and level."""
    return ["choreography", "level", *(["dancer"] if unit_of(sequences) == "dancer" else [])]


def complete(sequences: pd.DataFrame) -> tuple[list[str], int]:
    """Return the choreographies with the longest files, and the number of their trials (100 in the paper).

    ``sequences`` has one row for each performance: choreography, level, trial, bar, and dancer where people are named. Returns
    ([], 0) if no choreography has levels, a beat alignment rate and at least ten trials, because such data cannot show progress.
    """
    known = sequences.dropna(subset=["choreography", "level", "trial", "bar"])
    if known.empty:
        return [], 0
    per_file = known.groupby(_file_of(known)).size()
    shortest = per_file.groupby("choreography").min()
    longest = min(int(shortest.max()), TRIALS)
    if longest < 2 * ENDS:
        return [], 0
    return sorted(shortest.index[shortest >= longest]), longest


def per_unit(sequences: pd.DataFrame, trials: int) -> pd.DataFrame:
    """Return the measures of each unit and level: unit, level, first, last, gain, slope, all (percent).

    ``first`` and ``last`` are means over the trials 0..4 and trials-5..trials-1 that exist (NaN if there are none). ``gain``
    is last - first. ``slope`` is the rise of the least-squares line over 100 trials. ``all`` is the mean of all trials. A
    unit (``unit_of``) has the mean of its files.
    """
    rows, unit = [], unit_of(sequences)
    for _, file in sequences.groupby(_file_of(sequences), sort=False):
        trial, bar = file["trial"].to_numpy(float), file["bar"].to_numpy(float)
        first, last = bar[trial < ENDS], bar[trial >= trials - ENDS]
        row = {"unit": file[unit].iloc[0], "level": file["level"].iloc[0]}
        row |= {"first": first.mean() if len(first) else np.nan, "last": last.mean() if len(last) else np.nan}
        row["gain"] = row["last"] - row["first"]
        row["slope"] = TRIALS * np.polyfit(trial, bar, 1)[0] if len(np.unique(trial)) > 1 else np.nan
        rows.append(row | {"all": bar.mean()})
    return pd.DataFrame(rows).groupby(["unit", "level"], sort=False).mean().reset_index()


def table(sequences: pd.DataFrame, trials: int, source: str, levels: Levels = SKILL) -> pd.DataFrame:
    """Return the numbers of Fig. 6 (COLUMNS).

    Each level has a panel (a, b, ...) with its first and last 5 trials, their gain and the slope; the last panel has all trials.
    ``sequences``: choreography, level, trial, bar in percent, and dancer where people are named; ``source`` says where bar comes
    from (labels or predictions). n is the number of units (``unit_of``). The intervals are Student's, 95 %, over the units.
    """
    values = per_unit(sequences, trials).set_index("unit")
    names = [name for name in levels.names if (values["level"] == name).any()]
    own = {name: values[values["level"] == name] for name in names}
    columns = {FIRST: "first", LAST: "last", GAIN: "gain", SLOPE: "slope"}
    panels, rows = dict(zip(names, "abcdefghijklmnopqrstuvwxyz", strict=False)), []
    last = chr(ord("a") + len(names))
    lines = [(panels[name], name, group, own[name][column]) for name in names for group, column in columns.items()]
    lines += [(last, name, ALL, own[name]["all"]) for name in names]
    for panel, level, group, numbers in lines:
        known = numbers.dropna()
        mean, low, high = stats.mean_interval(known)
        rows.append((source, panel, level, group, len(known), mean, known.median(), low, high))
    if len(names) > 1:
        rows.append((source, panels[names[1]], names[1], beyond(names), *_beyond(own[names[1]]["gain"], own[names[0]]["gain"])))
    return pd.DataFrame(rows, columns=COLUMNS).sort_values("panel", kind="stable", ignore_index=True)


def _beyond(gains: pd.Series, lowest: pd.Series) -> tuple:
    """Return (n, mean, median, low, high) of the difference of two gains: paired if units have both, else of two groups."""
    paired = (gains - lowest).dropna()
    if len(paired) or gains.isna().all() or lowest.isna().all():
        mean, low, high = stats.mean_interval(paired)
        return len(paired), mean, paired.median(), low, high
    mean, low, high = stats.difference_interval(gains, lowest)
    return int(min(gains.count(), lowest.count())), mean, gains.median() - lowest.median(), low, high


def observations(table: pd.DataFrame, levels: Levels = SKILL) -> pd.DataFrame:
    """Return the paper's four observations on Fig. 6, for each source in ``table``: observation, source, numbers, seen.

    ``seen`` is "yes" or "no" if the intervals exclude the other answer, else "not resolved". "yes" also requires that means
    and medians agree with the paper. Observation (iii), the highest level does not gain, is "yes" if the interval of its gain
    contains zero and is not wider than 10 points. Observation (ii), the second level gains more than the lowest, needs three
    levels. A source with fewer than two levels has no observations.
    """
    rows = []
    for source, part in table.groupby("source", sort=False):
        cell = {(r.level, r.group): r for r in part.itertuples()}
        names = [name for name in levels.names if (name, GAIN) in cell]
        gains = [cell[name, GAIN] for name in names]
        if len(names) < 2 or any(gain.n == 0 for gain in gains):
            continue
        below, top, more = gains[:-1], gains[-1], cell[names[1], beyond(names)] if len(names) > 2 else None
        rose = all(getattr(cell[lv, LAST], s) > getattr(cell[lv, FIRST], s) for lv in names[:-1] for s in ("mean", "median"))
        steps = list(pairwise(cell[level, ALL] for level in names))
        rising = all(getattr(a, s) < getattr(b, s) for a, b in steps for s in ("mean", "median"))
        verdicts = (
            (f"(i) gain: {' and '.join(names[:-1])}", [_with_interval(g) for g in below],
             rose and all(g.ci_low > 0 for g in below), any(g.ci_high < 0 for g in below)),
            (f"(ii) {names[1]} gains more than {names[0]}", [_with_interval(more)] if more else ["two levels only"],
             more is not None and more.ci_low > 0, more is not None and more.ci_high < 0),
            (f"(iii) no gain: {names[-1]}", [_with_interval(top)],
             top.ci_low <= 0 <= top.ci_high and top.ci_high - top.ci_low <= 10, top.ci_low > 0 or top.ci_high < 0),
            ("(iv) the rate rises with the level", [f"{cell[level, ALL].mean:.1f}" for level in names],
             rising and all(a.ci_high < b.ci_low for a, b in steps), any(b.ci_high < a.ci_low for a, b in steps)),
        )  # fmt: skip
        for name, numbers, yes, no in verdicts:
            rows.append((name, source, "; ".join(numbers), "yes" if yes else "no" if no else "not resolved"))
    return pd.DataFrame(rows, columns=["observation", "source", "numbers", "seen"])


def _with_interval(row) -> str:
    return f"{row.mean:+.1f} [{row.ci_low:.1f}, {row.ci_high:.1f}]"


def rates_by_level(sequences: pd.DataFrame, levels: Levels = SKILL) -> pd.DataFrame:
    """Return BAR for each level (one line "all" for data without levels), with its chance level and its corrected value.

    Columns: level, performances, choreographies; in percent: bar with its 95 % interval over choreographies (bar_low,
    bar_high), bar_chance, and the 95 % range of the mean BAR by chance (bar_chance_low, bar_chance_high); bar_p
    (``chance.pooled``); bar_corrected (0: chance, 1: perfect); f70. Performances without a rate are left out.
    """
    known = sequences.dropna(subset="bar")
    names = [level for level in levels.names if (known["level"] == level).any()] or ["all"]
    rows = []
    for name in names:
        own = known if name == "all" else known[known["level"] == name]
        groups = own.groupby("choreography", dropna=False)["bar"].mean()
        mean, low, high = stats.mean_interval(groups)
        row = {"level": name, "performances": len(own), "choreographies": own["choreography"].nunique()}
        row |= {"bar": mean, "bar_low": low, "bar_high": high, "bar_chance": own["bar_chance"].mean()}
        by_chance = chance.pooled_rows(own)
        row |= {"bar_chance_low": row["bar_chance"] - by_chance.reach, "bar_chance_high": row["bar_chance"] + by_chance.reach}
        rows.append(row | {"bar_p": by_chance.p} | {column: own[column].mean() for column in ("bar_corrected", "f70")})
    return pd.DataFrame(rows)


NOTHING_TO_SEE = "no choreography has levels, a beat alignment rate and ten numbered trials, so these data cannot show progress"


def why_not(sequences: pd.DataFrame, levels: Levels) -> str:
    """Return the reason why these data have no Fig. 6, in one sentence; "" if they do."""
    return levels.why_no_skill("Fig. 6 (progression)") or ("" if complete(sequences)[0] else NOTHING_TO_SEE)


def predicted(outcomes: Outcomes, shots: int, seeds: Iterable[int]) -> tuple[pd.DataFrame, str]:
    """Return BAR as ours predicts it for the query performances (``predicted_sequences``), and "".

    If these data do not support the prediction, return an empty table and the reason in one sentence.
    """
    reason = outcomes.why_not()
    if not reason and outcomes.where.pieces.table["bar"].isna().any():
        reason = "Some pieces have no beat alignment rate, so it cannot be predicted."
    if reason:
        return pd.DataFrame(), reason
    predictions = [outcomes.outcome("ours", "prompt", seed, shots) for seed in seeds]
    return predicted_sequences(pd.concat([outcome.pieces for outcome in predictions])), ""


def predicted_sequences(pieces: pd.DataFrame) -> pd.DataFrame:
    """Return the predicted BAR of performances: sequence, choreography, level, trial, bar.

    ``pieces`` are query pieces with ``predicted_bar`` (``Outcome.pieces`` of one or several seeds). The value is the mean
    over the pieces of a performance and over the seeds that have it in the query.
    """
    names = {"true_choreography": "choreography", "true_level": "level", "trial": "trial"}
    means = pieces.groupby(["sequence", *names], sort=True)["predicted_bar"].mean().reset_index()
    return means.rename(columns=names | {"predicted_bar": "bar"})
