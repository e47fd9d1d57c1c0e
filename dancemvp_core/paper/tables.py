"""Comparison tables from tidy metrics, with columns that other code depends on, and their form in notebooks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from dancemvp_core.dance.sequences import DanceDataset
from dancemvp_core.labels import POINTS, SKILL, Levels, Scores
from dancemvp_core.paper import arithmetic, printed
from dancemvp_core.pretraining import methods
from dancemvp_core.pretraining.methods import Method
from dancemvp_core.runs.provenance import METRICS_COLUMNS
from dancemvp_core.tasks import stats
from dancemvp_core.tasks.metrics import HIGHER_IS_BETTER, TASKS
from dancemvp_core.tasks.rows import FLOORS

# The label of every row of the tables, by its name.
NAMES = {name: method.label for name, method in (FLOORS | methods.METHODS | methods.EXTENSIONS).items()}
ATTRIBUTES = ("genre", "choreography", "primitive", "level", "level_within")  # Task 1's accuracies for each label, in %

UNKNOWN = stats.Estimate(*[float("nan")] * 4)
_STATISTICS = ("mean", "std", "ci_low", "ci_high")
COLUMNS = [
    *("method", "motion_encoder", "music_encoder", "objective", "protocol", "n_seeds"),
    *(f"{task}_{s}" for task in TASKS for s in _STATISTICS),
    *(f"paper_{task}" for task in TASKS),
    "interpretation",
    *ATTRIBUTES,
    *("level_within_ci_low", "level_within_ci_high", "score_spearman", "bar_spearman", "synthetic", "condition"),
    *("score_mse", "score_coverage_90", "score_coverage_90_ci_high"),  # in squared points of the data's score range; in %
    *("shots", "fewest_shots"),  # performances of each class in the support, and of the smallest class
]
_RANKS = {"score_spearman": (2, "spearman"), "bar_spearman": (3, "spearman")}
_SCORE = {"score_mse": (2, "mse"), "score_coverage_90": (2, "coverage_90")}
# What stands beside the paper's L2 in a table for readers.
SCORE_HEADINGS = {
    "score_mse": "Score MSE ↓", "score_spearman": "Score ρ ↑", "score_coverage_90": "Score in 90 % interval",
}  # fmt: skip


def comparison_table(
    metrics: pd.DataFrame,
    intervals: dict[tuple, stats.Estimate],
    lines: Iterable[tuple],
    synthetic: bool,
    conditions: dict[str, str],
    paper: Callable[[str, Method], tuple[float, float, float]] = lambda name, method: printed.results(name),
    scores: Scores = POINTS,
) -> pd.DataFrame:
    """Return a table (COLUMNS) with one row for each line (name, method under its protocol, ...).

    ``metrics`` is tidy (METRICS_COLUMNS) and has one number of shots and one of choreographies, which the caller chooses.
    ``intervals``: ``comparison.estimates`` of the same outcomes, over seeds and performances; ``std`` is over seeds. Lines
    without metrics are left out. Values that are undefined or not predicted are nan. ``conditions``: "underfit" or "collapsed"
    for the methods whose pre-training is. ``paper`` returns the paper's values for a line. ``scores`` is the range of the score.
    ``fewest_shots`` is left to the caller, who knows the data. Raises ValueError for a missing column and for a line with two
    values for one seed.
    """
    missing = [column for column in METRICS_COLUMNS if column not in metrics]
    if missing:
        raise ValueError(f"metrics: no column {missing[0]!r}; expected {', '.join(METRICS_COLUMNS)}")
    rows = []
    for name, method, *_ in lines:
        own = metrics[(metrics["method"] == name) & (metrics["protocol"] == method.protocol)]
        if not len(own):
            continue
        if own.duplicated(["seed", "task", "metric"]).any():
            raise ValueError(f"{name} under {method.protocol}: more than one value for a seed; choose shots and genres")
        values = {key: group["value"].to_numpy() for key, group in own.groupby(["task", "metric"])}
        row = {
            "method": name, "motion_encoder": method.motion or "none", "music_encoder": method.music or "none",
            "objective": method.objective, "protocol": method.protocol, "n_seeds": own["seed"].nunique(),
            "interpretation": method.interpretation, "synthetic": synthetic, "condition": conditions.get(name, ""),
        }  # fmt: skip
        point = (name, method.protocol, int(own["genres"].iloc[0]), int(own["shots"].iloc[0]))
        for task, key in TASKS.items():
            mean, std, *_ = stats.t_interval(values.get(key, ()))
            found = intervals.get((*point, *key), UNKNOWN)
            row |= dict(zip((f"{task}_{s}" for s in _STATISTICS), (mean, std, found.low, found.high), strict=True))
        row |= {f"paper_{task}": number for task, number in zip(TASKS, paper(name, method), strict=True)}
        beside = {a: (1, a) for a in ATTRIBUTES} | _RANKS | _SCORE
        row |= {column: values[key].mean() if key in values else float("nan") for column, key in beside.items()}
        row["score_mse"] *= (100 * scores.unit) ** 2  # the metric is on score/100
        row |= {"shots": point[3], "fewest_shots": point[3]}
        within = intervals.get((*point, 1, "level_within"), UNKNOWN)
        row |= {"level_within_ci_low": within.low, "level_within_ci_high": within.high}
        rows.append(row | {"score_coverage_90_ci_high": intervals.get((*point, 2, "coverage_90"), UNKNOWN).high})
    return pd.DataFrame(rows, columns=COLUMNS)


def table1(dataset: DanceDataset) -> pd.DataFrame:
    """Return the paper's Table 1, with one more row that is computed from the data set in use.

    Columns: data_set, levels, choreographies, samples, subjects, seconds, source, note. ``samples`` is the number of
    repetitions of one choreography at one level. Unknown values are empty.
    """
    columns = ["data_set", "levels", "choreographies", "samples", "subjects", "seconds"]
    table = pd.DataFrame(printed.TABLE1, columns=columns).astype(dict.fromkeys(columns[2:], "Int64"))
    table["levels"] = table["levels"].map({True: "yes", False: "no"})
    table["source"], table["note"] = "paper, Table 1", ""
    stated = table["data_set"] == "ImperialDance"
    table.loc[stated, "note"] = arithmetic.dataset_seconds().text
    index, levels = dataset.index, Levels.of(dataset)
    files = index.dropna(subset=["choreography", "level"]).groupby(["choreography", "level"]).size()
    own = {
        "data_set": dataset.name,
        "levels": "yes" if levels.skill and index["level"].notna().any() else "no",
        "choreographies": index["choreography"].nunique() or pd.NA,
        "samples": int(files.max()) if len(files) else pd.NA,
        "subjects": index["dancer"].nunique() or pd.NA if "dancer" in index else pd.NA,
        "seconds": round(index["duration_s"].sum()),
        "source": "computed from the files",
        "note": "; ".join(["synthetic"] * dataset.synthetic + [f"{levels.plural}: {', '.join(levels.names)}"] * (not levels.skill)),
    }
    return pd.concat([table, pd.DataFrame([own]).astype(dict.fromkeys(columns[2:], "Int64"))], ignore_index=True)


# --- tables for readers ------------------------------------------------------------------------------------------


def number(value: float, digits: int = 3) -> str:
    """Return a number as text with ``digits`` significant digits, a small one with 10^x as in the paper; "" for nan."""
    if pd.isna(value):
        return ""
    if value != 0 and abs(value) < 1e-3:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}×10^{int(exponent)}"
    places = max(0, digits - 1 - (int(np.floor(np.log10(abs(value)))) if value else 0))
    return f"{value:.{places}f}"


def signed(value: float) -> str:
    """Return a difference as text with its sign and three significant digits; "" for nan."""
    return "" if pd.isna(value) else f"{'−' if value < 0 else '+'}{number(abs(value))}"


def with_spread(row: pd.Series, task: str) -> str:
    """Return mean and interval as text; only the mean without an interval.

    "61.2 ± 3.4" has half of the interval's width. An interval whose middle is far from the mean, as near 100 %, is written out:
    "99.4 [97.8, 99.9]".
    """
    mean, low, high = (row[f"{task}_{part}"] for part in ("mean", "ci_low", "ci_high"))
    half = (high - low) / 2
    if pd.isna(half):
        return number(mean)
    if abs(low + half - mean) > half / 4 and number(low) != number(high):
        return f"{number(mean)} [{number(low)}, {number(high)}]"
    return f"{number(mean)} ± {number(half, 2)}"


def readable(table: pd.DataFrame, labels: dict[str, str] | None = None, levels: Levels = SKILL) -> pd.DataFrame:
    """Return a comparison table as text: for each task our value with its interval and the paper's value; and the seeds.

    Beside the paper's L2, which can be negative, stand three measures of the score whose sign and size need no formula: the
    mean squared error in squared points of the score's range, the rank correlation, and the share of true scores in the
    predicted 90 % interval: "overconfident" where that share is below 90 % beyond chance.
    The heading of a measured column says "synthetic" if the data are synthetic.
    """
    where = "synthetic" if table["synthetic"].any() else "measured"
    out = pd.DataFrame({"Method": table["method"].map(lambda m: (labels or {}).get(m, m)), "Protocol": table["protocol"]})
    signs = {task: "↑" if up else "↓" for task, up in HIGHER_IS_BETTER.items()}
    for i, (task, sign) in enumerate(signs.items(), start=1):
        out[f"Task {i} {sign} ({where})"] = [with_spread(row, task) for _, row in table.iterrows()]
        out[f"Task {i} (paper)"] = table[f"paper_{task}"].map(number)
        if task == "task2":
            for column, heading in SCORE_HEADINGS.items():
                out[f"{heading} ({where})"] = table[column].map(number)
            if "score_coverage_90_ci_high" in table:  # older tables do not have it
                narrow = (table["score_coverage_90_ci_high"] < 90).map({True: " (overconfident)", False: ""})
                out[f"{SCORE_HEADINGS['score_coverage_90']} ({where})"] += narrow
    if table["level_within"].notna().any():
        out[f"Level within ({where})"] = table["level_within"].map(number)
    if "fewest_shots" in table and (table["fewest_shots"] < table["shots"]).any():
        out["Shots"] = [f"{most} (smallest class: {fewest})" if fewest < most else str(most)
                        for most, fewest in zip(table["shots"], table["fewest_shots"], strict=True)]  # fmt: skip
    flags = table["condition"].map(lambda flag: f" ({flag})" if pd.notna(flag) and flag else "")
    out["Seeds"] = table["n_seeds"].astype(str) + flags
    return levels.shown(out.astype(str).reset_index(drop=True))


def beside(run: pd.DataFrame, other: pd.DataFrame, heads: tuple[str, str], labels: dict[str, str] | None = None) -> pd.DataFrame:
    """Return our values of two comparison tables side by side, as text: the rows of ``run``, with those that ``other`` has.

    ``heads`` names the two in the headings. The conditions of the pre-trainings stand in the columns of the seeds.
    """
    texts = []
    for table in (run, other):
        text = readable(table, labels)
        text.columns = [column.removesuffix(" (synthetic)").removesuffix(" (measured)") for column in text]
        shown = [c for c in text if c.startswith(("Method", "Protocol", "Task", "Level within", "Seeds")) and "paper" not in c]
        texts.append(text[shown])
    names = [column for column in texts[0].columns[2:] if column in texts[1]]
    joined = texts[0].merge(texts[1], "left", ["Method", "Protocol"], suffixes=[f", {head}" for head in heads]).fillna("")
    return joined[["Method", "Protocol", *(f"{name}, {head}" for name in names for head in heads)]]


def markdown(table: pd.DataFrame) -> str:
    """Return a table of text as Markdown."""
    cells = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(str(c).replace("|", "\\|") for c in row) + " |" for row in cells)


def best(table: pd.DataFrame, task: str, among: Iterable[str] | None = None) -> str:
    """Return the method with the best mean in a task, of those in ``among`` or of all; "" if none has a value."""
    chosen = table if among is None else table[table["method"].isin(set(among))]
    means = chosen.set_index("method")[f"{task}_mean"].dropna()
    if not len(means):
        return ""
    return str(means.idxmax() if HIGHER_IS_BETTER[task] else means.idxmin())


def styled(table: pd.DataFrame, labels: dict[str, str] | None = None, levels: Levels = SKILL) -> Styler:
    """Return ``readable`` for a notebook, with the best mean in bold and the floors in grey."""
    text = readable(table, labels, levels)
    rival = table["paper_task1"].notna().to_numpy() | table["method"].isin(methods.EXTENSIONS).to_numpy()
    marks = pd.DataFrame("", index=text.index, columns=text.columns)
    marks.loc[~rival] = "color: #777"
    for i, task in enumerate(TASKS, start=1):
        column = next(c for c in text if c.startswith(f"Task {i} ") and "paper" not in c)
        marks.loc[(table["method"] == best(table, task, table.loc[rival, "method"])).to_numpy(), column] = (
            "font-weight: bold"
        )
    return show(text, marks)


def side_by_side(both: pd.DataFrame, labels: dict[str, str] | None = None) -> Styler:
    """Return a table of every row under both protocols: one column for each task and protocol, the paper's protocol in bold."""
    where = "synthetic" if both["synthetic"].any() else "measured"
    cells, marks = {}, {}
    for _, row in both.iterrows():
        for i, (task, up) in enumerate(HIGHER_IS_BETTER.items(), start=1):
            key = (f"Task {i} {'↑' if up else '↓'} ({where})", row["protocol"])
            cells.setdefault(key, {})[row["method"]] = with_spread(row, task)
            marks.setdefault(key, {})[row["method"]] = "font-weight: bold" if row["paper_pairing"] else ""
    text = pd.DataFrame(cells).fillna("")
    names = {name: (labels or {}).get(name, name) for name in text.index}
    return show(text.rename(index=names), pd.DataFrame(marks).fillna("").rename(index=names), index=True)


def verdicts(significance: pd.DataFrame, labels: dict[str, str] | None = None) -> Styler:
    """Return ``comparison.significance`` for a notebook: the difference with its interval, and the corrected p for each task.

    Green: ours is ahead (the interval is above 0); red: ours is behind.
    """
    cells, marks = {}, {}
    for row in significance.itertuples():
        key, name = f"Task {row.task}: difference, p (Holm)", f"{(labels or {}).get(row.method, row.method)}, {row.protocol}"
        interval = f"{signed(row.difference)} [{signed(row.ci_low)}, {signed(row.ci_high)}]"
        cells.setdefault(key, {})[name] = f"{interval}, {_p(row.p_holm)}" if row.stands else f"{signed(row.difference)}; {row.note}"
        marks.setdefault(key, {})[name] = {"ahead": "color: #00704f", "behind": "color: #b04a00"}.get(row.stands, "")
    return show(pd.DataFrame(cells).fillna(""), pd.DataFrame(marks).fillna(""), index=True)


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def show(text: pd.DataFrame, css: pd.DataFrame | None = None, index: bool = False) -> Styler:
    """Return a table of text as HTML; ``css`` has the style of each cell. The same table gives the same HTML."""
    name = hashlib.sha256(text.to_csv().encode()).hexdigest()[:8]
    styler = Styler(text, uuid=name, cell_ids=False)
    styler = styler.set_properties(**{"text-align": "left"})
    if css is not None:
        styler = styler.apply(lambda _: css, axis=None)
    return styler if index else styler.hide(axis="index")


VERDICT_COLOURS = {
    "verified": "#cdeee1", "holds": "#cdeee1", "contradicted": "#f9d9c3", "does not hold": "#f9d9c3",
    "inconclusive": "#fdf3c7", "not testable": "#ececec",
}  # fmt: skip


def verdict_page(claims: pd.DataFrame) -> Styler:
    """Return claims.csv for a notebook: claim, source, place, coloured verdict, finding, and the check with fixed numbers."""
    text = claims.reindex(columns=["claim", "source", "place", "verdict", "finding", "arithmetic"]).fillna("").astype(str)
    text.columns = ["Claim (in our words)", "Source", "Place", "Verdict", "Finding of this run", "By fixed numbers"]
    marks = pd.DataFrame("", index=text.index, columns=text.columns)
    colours = claims["verdict"].map(lambda v: next(c for start, c in VERDICT_COLOURS.items() if v.startswith(start)))
    marks["Verdict"] = "background-color: " + colours + "; color: black"
    return show(text, marks)
