"""Progress over the trials of one file ("Progression Modeling" in the paper): the numbers of Fig. 6.

The unit of the statistics is a choreography. One dancer performs all trials of a choreography and level, so the trials are
not independent.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pandas as pd

from dancemvp_core.dance import chance
from dancemvp_core.dance.sequences import LEVELS
from dancemvp_core.tasks import stats
from dancemvp_core.tasks.outcomes import Outcomes

TRIALS = 100  # number of trials in a complete file
ENDS = 5  # number of trials in "the first 5" and "the last 5"
PANELS = dict(zip(LEVELS, "abc", strict=True))
COLUMNS = ["source", "panel", "level", "group", "n", "mean", "median", "ci_low", "ci_high"]
FIRST, LAST, GAIN, SLOPE, ALL = f"first {ENDS}", f"last {ENDS}", "gain", f"slope per {TRIALS} trials", "all"
BEYOND = "gain beyond the beginner's"


def complete(sequences: pd.DataFrame) -> tuple[list[str], int]:
    """Return the choreographies with the longest files, and the number of their trials (100 in the paper).

    ``sequences`` has one row for each performance: choreography, level, trial, bar. Returns ([], 0) if no choreography has
    levels, a beat alignment rate and at least ten trials, because such data cannot show progress.
    """
    known = sequences.dropna(subset=["choreography", "level", "trial", "bar"])
    if known.empty:
        return [], 0
    per_file = known.groupby(["choreography", "level"]).size()
    shortest = per_file.groupby("choreography").min()
    longest = min(int(shortest.max()), TRIALS)
    if longest < 2 * ENDS:
        return [], 0
    return sorted(shortest.index[shortest >= longest]), longest


def per_choreography(sequences: pd.DataFrame, trials: int) -> pd.DataFrame:
    """Return the measures of each choreography and level: choreography, level, first, last, gain, slope, all (percent).

    ``first`` and ``last`` are means over the trials 0..4 and trials-5..trials-1 that exist (NaN if there are none). ``gain``
    is last - first. ``slope`` is the rise of the least-squares line over 100 trials. ``all`` is the mean of all trials.
    """
    rows = []
    for (choreography, level), file in sequences.groupby(["choreography", "level"], sort=False):
        trial, bar = file["trial"].to_numpy(float), file["bar"].to_numpy(float)
        first, last = bar[trial < ENDS], bar[trial >= trials - ENDS]
        row = {"choreography": choreography, "level": level}
        row |= {"first": first.mean() if len(first) else np.nan, "last": last.mean() if len(last) else np.nan}
        row["gain"] = row["last"] - row["first"]
        row["slope"] = TRIALS * np.polyfit(trial, bar, 1)[0] if len(np.unique(trial)) > 1 else np.nan
        rows.append(row | {"all": bar.mean()})
    return pd.DataFrame(rows)


def table(sequences: pd.DataFrame, trials: int, source: str) -> pd.DataFrame:
    """Return the numbers of Fig. 6 (COLUMNS).

    Panels a to c have the first and last 5 trials of each level, their gain and the slope; panel d has all trials.
    ``sequences``: choreography, level, trial, bar in percent; ``source`` says where bar comes from (labels or predictions).
    n is the number of choreographies. The intervals are Student's, 95 %, over the choreographies.
    """
    values = per_choreography(sequences, trials).set_index("choreography")
    gains = {level: values.loc[values["level"] == level, "gain"] for level in LEVELS}
    columns = {FIRST: "first", LAST: "last", GAIN: "gain", SLOPE: "slope"}
    lines = [
        (PANELS[level], level, group, values.loc[values["level"] == level, column])
        for level in LEVELS
        for group, column in columns.items()
    ]
    lines.append((PANELS["intermediate"], "intermediate", BEYOND, gains["intermediate"] - gains["beginner"]))
    lines += [("d", level, ALL, values.loc[values["level"] == level, "all"]) for level in LEVELS]
    rows = []
    for panel, level, group, numbers in lines:
        known = numbers.dropna()
        mean, low, high = stats.mean_interval(known)
        rows.append((source, panel, level, group, len(known), mean, known.median(), low, high))
    return pd.DataFrame(rows, columns=COLUMNS).sort_values("panel", kind="stable", ignore_index=True)


def observations(table: pd.DataFrame) -> pd.DataFrame:
    """Return the paper's four observations on Fig. 6, for each source in ``table``: observation, source, numbers, seen.

    ``seen`` is "yes" or "no" if the intervals exclude the other answer, else "not resolved". "yes" also requires that means
    and medians agree with the paper. Observation (iii), experts do not gain, is "yes" if the interval of their gain contains
    zero and is not wider than 10 points.
    """
    rows = []
    for source, part in table.groupby("source", sort=False):
        cell = {(r.level, r.group): r for r in part.itertuples()}
        gains, beyond = [cell[level, GAIN] for level in LEVELS], cell["intermediate", BEYOND]
        if any(gain.n == 0 for gain in gains):
            continue
        rose = all(getattr(cell[lv, LAST], s) > getattr(cell[lv, FIRST], s) for lv in LEVELS[:2] for s in ("mean", "median"))
        still = gains[2].ci_low <= 0 <= gains[2].ci_high
        steps = list(pairwise(cell[level, ALL] for level in LEVELS))
        rising = all(getattr(a, s) < getattr(b, s) for a, b in steps for s in ("mean", "median"))
        verdicts = (
            ("(i) beginners and intermediates gain", [_with_interval(g) for g in gains[:2]],
             rose and all(g.ci_low > 0 for g in gains[:2]), any(g.ci_high < 0 for g in gains[:2])),
            ("(ii) intermediates gain more", [_with_interval(beyond)], beyond.ci_low > 0, beyond.ci_high < 0),
            ("(iii) experts do not gain", [_with_interval(gains[2])],
             still and gains[2].ci_high - gains[2].ci_low <= 10, gains[2].ci_low > 0 or gains[2].ci_high < 0),
            ("(iv) the rate rises with the level", [f"{cell[level, ALL].mean:.1f}" for level in LEVELS],
             rising and all(a.ci_high < b.ci_low for a, b in steps), any(b.ci_high < a.ci_low for a, b in steps)),
        )  # fmt: skip
        for name, numbers, yes, no in verdicts:
            rows.append((name, source, "; ".join(numbers), "yes" if yes else "no" if no else "not resolved"))
    return pd.DataFrame(rows, columns=["observation", "source", "numbers", "seen"])


def _with_interval(row) -> str:
    return f"{row.mean:+.1f} [{row.ci_low:.1f}, {row.ci_high:.1f}]"


def rates_by_level(sequences: pd.DataFrame) -> pd.DataFrame:
    """Return BAR for each level (one line "all" for data without levels), with its chance level and its corrected value.

    Columns: level, performances, choreographies; in percent: bar with its 95 % interval over choreographies (bar_low,
    bar_high), bar_chance, and the 95 % range of the mean BAR by chance (bar_chance_low, bar_chance_high); bar_p
    (``chance.pooled``); bar_corrected (0: chance, 1: perfect); f70. Performances without a rate are left out.
    """
    known = sequences.dropna(subset="bar")
    names = [level for level in LEVELS if (known["level"] == level).any()] or ["all"]
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


def predicted(outcomes: Outcomes, shots: int, seeds: Iterable[int]) -> tuple[pd.DataFrame, str]:
    """Return BAR as ours predicts it for the query performances (``predicted_sequences``), and "".

    If these data do not support the prediction, return an empty table and the reason in one sentence.
    """
    reason = outcomes.why_not(shots)
    if not reason and outcomes.where.pieces.table["bar"].isna().any():
        reason = "Some pieces have no beat alignment rate, so it cannot be predicted."
    if reason:
        return pd.DataFrame(), reason
    predictions = [outcomes.outcome("ours", "prompt", seed, shots) for seed in seeds]
    return predicted_sequences(pd.concat([outcome.pieces for outcome in predictions])), ""


def predicted_sequences(pieces: pd.DataFrame) -> pd.DataFrame:
    """Return the predicted BAR of performances: choreography, level, trial, bar.

    ``pieces`` are query pieces with ``predicted_bar`` (``Outcome.pieces`` of one or several seeds). The value is the mean
    over the pieces of a performance and over the seeds that have it in the query.
    """
    names = {"true_choreography": "choreography", "true_level": "level", "trial": "trial"}
    means = pieces.groupby(["sequence", *names], sort=True)["predicted_bar"].mean().reset_index()
    return means.rename(columns=names | {"predicted_bar": "bar"}).drop(columns="sequence")
