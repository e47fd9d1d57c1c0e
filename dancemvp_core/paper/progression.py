"""Practice over the trials of one file ("Progression Modeling" in the paper): the numbers of Fig. 6.

The unit is a choreography: a level's trials in it are one dancer's, so they are not independent of each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pandas as pd

from dancemvp_core.dance.sequences import LEVELS
from dancemvp_core.tasks import stats
from dancemvp_core.tasks.outcomes import Outcomes

TRIALS = 100  # of a complete file
ENDS = 5  # trials in "the first 5" and "the last 5"
PANELS = dict(zip(LEVELS, "abc", strict=True))
COLUMNS = ["source", "panel", "level", "group", "n", "mean", "median", "ci_low", "ci_high"]
FIRST, LAST, GAIN, SLOPE, ALL = f"first {ENDS}", f"last {ENDS}", "gain", f"slope per {TRIALS} trials", "all"
BEYOND = "gain beyond the beginner's"


def complete(sequences: pd.DataFrame) -> tuple[list[str], int]:
    """The choreographies whose files are the longest on disk, and their number of trials.

    ``sequences`` has one row a performance: choreography, level, trial, bar. The paper's are those of 100 trials. None and 0
    where no choreography has levels, a rate and at least ten trials: then there is no progress to see.
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
    """Each choreography and level in numbers: choreography, level, first, last, gain, slope, all (percent).

    ``first`` and ``last`` are means over the trials 0..4 and trials-5..trials-1, of those that are there (NaN for
    none); ``gain`` is last - first, ``slope`` the least-squares line's rise over 100 trials, ``all`` the mean.
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
    """Fig. 6 in numbers (COLUMNS): panels a to c, per level the first and last 5 trials, their gain and the slope; d, all.

    ``sequences``: choreography, level, trial, bar in percent, from labels or predicted (``source``). n counts
    choreographies; the interval is Student's, 95 %, over them.
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
    """The paper's four observations on Fig. 6, for each source of ``table``: observation, source, numbers, seen.

    ``seen``: "yes" or "no" where the intervals leave no other answer, else "not resolved". For "yes", means and medians
    agree with the paper too. That experts do not gain (iii) is seen where the interval of their gain holds zero and
    is no wider than 10 points.
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
            ("(i) beginners and intermediates gain", [_told(g) for g in gains[:2]],
             rose and all(g.ci_low > 0 for g in gains[:2]), any(g.ci_high < 0 for g in gains[:2])),
            ("(ii) intermediates gain more", [_told(beyond)], beyond.ci_low > 0, beyond.ci_high < 0),
            ("(iii) experts do not gain", [_told(gains[2])],
             still and gains[2].ci_high - gains[2].ci_low <= 10, gains[2].ci_low > 0 or gains[2].ci_high < 0),
            ("(iv) the rate rises with the level", [f"{cell[level, ALL].mean:.1f}" for level in LEVELS],
             rising and all(a.ci_high < b.ci_low for a, b in steps), any(b.ci_high < a.ci_low for a, b in steps)),
        )  # fmt: skip
        for name, numbers, yes, no in verdicts:
            rows.append((name, source, "; ".join(numbers), "yes" if yes else "no" if no else "not resolved"))
    return pd.DataFrame(rows, columns=["observation", "source", "numbers", "seen"])


def _told(row) -> str:
    return f"{row.mean:+.1f} [{row.ci_low:.1f}, {row.ci_high:.1f}]"


def rates_by_level(sequences: pd.DataFrame) -> pd.DataFrame:
    """BAR per level (one line "all" without levels), with what chance gives and what is left of it.

    Columns: level, performances, choreographies, bar with its 95 % interval over choreographies (bar_low, bar_high),
    bar_chance, all in percent; bar_corrected (0: chance, 1: perfect); f70. Performances without a rate are left out.
    """
    known = sequences.dropna(subset="bar")
    names = [level for level in LEVELS if (known["level"] == level).any()] or ["all"]
    rows = []
    for name in names:
        own = known if name == "all" else known[known["level"] == name]
        groups = own.groupby("choreography", dropna=False)["bar"].mean()
        mean, low, high = stats.mean_interval(groups)
        row = {"level": name, "performances": len(own), "choreographies": own["choreography"].nunique()}
        row |= {"bar": mean, "bar_low": low, "bar_high": high}
        rows.append(row | {column: own[column].mean() for column in ("bar_chance", "bar_corrected", "f70")})
    return pd.DataFrame(rows)


NOTHING_TO_SEE = "no choreography has levels, a beat alignment rate and ten numbered trials, so there is no progress to show"


def predicted(outcomes: Outcomes, shots: int, seeds: Iterable[int]) -> tuple[pd.DataFrame, str]:
    """BAR that ours predicts for the query performances (``predicted_sequences``), or an empty table and the reason why not."""
    reason = outcomes.why_not(shots)
    if not reason and outcomes.where.pieces.table["bar"].isna().any():
        reason = "Without a beat alignment rate there is nothing to predict."
    if reason:
        return pd.DataFrame(), reason
    made = [outcomes.outcome("ours", "prompt", seed, shots) for seed in seeds]
    return predicted_sequences(pd.concat([outcome.pieces for outcome in made])), ""


def predicted_sequences(pieces: pd.DataFrame) -> pd.DataFrame:
    """From query pieces with ``predicted_bar`` (``Outcome.pieces``, of one or several seeds) to performances.

    The pieces of a performance, and the seeds that asked for it, are averaged: choreography, level, trial, bar.
    """
    names = {"true_choreography": "choreography", "true_level": "level", "trial": "trial"}
    means = pieces.groupby(["sequence", *names], sort=True)["predicted_bar"].mean().reset_index()
    return means.rename(columns=names | {"predicted_bar": "bar"}).drop(columns="sequence")
