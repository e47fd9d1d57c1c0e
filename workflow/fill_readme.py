"""`make readme`: fill the tables of the READMEs from the committed results. A test compares the READMEs with the results.

A block is between ``<!-- name -->`` and ``<!-- end of name -->``: a table, or a few words in a sentence. The text between blocks
contains no measured number, and no word that follows from one: ahead, level with, behind (``MEASURED``; a test looks for them).
"""

from __future__ import annotations

import json
import re
import sys
from functools import partial
from pathlib import Path

import pandas as pd

from dancemvp_core.controls import unseen_dancers
from dancemvp_core.paper import comparison, prompting, tables
from dancemvp_core.paper.tables import signed
from dancemvp_core.pretraining import methods
from dancemvp_core.runs import profiles

ROOT = profiles.project_root()
sys.path.insert(0, str(ROOT / "benchmarks"))
from bench import markdown  # noqa: E402

RESULTS = ROOT / "results" / "study" / profiles.SYNTHDANCE
REAL = ROOT / "results" / "study" / "bandai-namco"
MEASURED = re.compile(r"\b(ahead|level with|behind|better|worse|underfit|collapsed|[\d.]+ (?:%|points?))", flags=re.IGNORECASE)
MEASURES = {"accuracy": "Task 1", "l2": "Task 2", "mse": "Task 3", "level_within": "*level within*"}


def difficulty_card() -> str:
    """Return the difficulty card: the floors and the ceiling."""
    shown = ["row", "role", "accuracy", "level_within", "score_spearman", "bar_mse"]
    return _text(pd.read_csv(RESULTS / "difficulty_card.csv")[shown].round(2))


def comparison_table(name: str) -> str:
    """Return Table 2 or 3 as in the notebooks."""
    return tables.markdown(tables.readable(pd.read_csv(RESULTS / name), tables.NAMES))


def short_table_2() -> str:
    """Return Table 2 with the pre-training of each row, its condition and our values, and the paper's values of Task 1 only."""
    table = pd.read_csv(RESULTS / "table2_baselines.csv").fillna({"condition": ""})
    text = tables.readable(table, tables.NAMES)
    known = methods.everyone()
    names = [f"`{known[name].pretraining}`" if name in known else "-" for name in table["method"]]
    conditions = [f", {condition}" if condition else "" for condition in table["condition"]]
    text.insert(1, "Pre-training", [name + condition for name, condition in zip(names, conditions, strict=True)])
    left_out = [c for c in text if ("paper" in c and "Task 1" not in c) or c.startswith("Score")] + ["Seeds"]
    return tables.markdown(text.drop(columns=left_out))


def real_table_2() -> str:
    """Return Table 2 on real motion, with the columns that it fills."""
    text = tables.readable(pd.read_csv(REAL / "table2_baselines.csv"), tables.NAMES)
    text = text.drop(columns=[c for c in text if "paper" in c])
    return tables.markdown(text[[c for c in text if (text[c] != "").any()]])


def real_few_shots() -> str:
    """Return the accuracy on real motion of ours, ours-sync and the floors, for each protocol and number of shots."""
    measured = pd.read_csv(REAL / "extra_synchrony.csv").query("protocol in ['prompt', 'finetune']")
    text = measured["protocol"] + ", " + measured["shots"].astype(str) + " shots"
    wide = measured.assign(column=text).pivot(index="method", columns="column", values="task1").round(1)
    wide = wide.reindex(measured["method"].unique())[text.unique()]
    flagged = pd.read_csv(REAL / "table2_baselines.csv").set_index("method")["condition"].dropna()
    wide = wide.rename(index=lambda name: tables.NAMES[name] + (f" ({flagged[name]})" if name in flagged.index else ""))
    return _text(wide.reset_index(names="Task 1, accuracy in %"))


def over() -> str:
    """Return over what the intervals of the run on SynthDance are, by the number of seeds of ours."""
    seeds = int(number("table2_baselines", "n_seeds", "method == 'ours'"))
    return f"{seeds} seeds and their performances" if seeds > 1 else "performances, with one seed: conditional on these fits"


def hours() -> str:
    """Return the time of all jobs of the run on SynthDance, in hours; each job has one core."""
    return f"{pd.read_csv(RESULTS / 'cost.csv')['wall_s'].sum() / 3600:.1f}"


def table_4() -> str:
    """Return Table 4: ours under every protocol, controls included, with all choreographies and with one."""
    table = pd.read_csv(RESULTS / "table4_prompting.csv")
    table = table[(table["method"] == "ours") & table["genres"].isin([1, table["genres"].max()])]
    text = tables.readable(table, tables.NAMES)
    text.insert(2, "g", table["genres"].astype(str).to_numpy())
    text.insert(3, "Shots", table["shots"].astype(str).to_numpy())
    return tables.markdown(text.drop(columns="Method"))


def forms() -> str:
    """Return by how much prompting is right more often than each other form of the prompt, by the number of shots, in points."""
    tests = pd.read_csv(RESULTS / "fig7_tests.csv").query("task == 1 and genres == genres.max()")
    tests = tests[tests["shots"].isin([*prompting.OTHER_FORMS_AT, tests["shots"].iloc[0]])]
    tests["cell"] = [f"{signed(r.difference)} [{signed(r.ci_low)}, {signed(r.ci_high)}] {r.stands}" for r in tests.itertuples()]
    tests["column"] = tests["shots"].map(lambda n: f"{n} shots" if n != 1 else "1 shot")
    order = tests.sort_values("shots")["column"].unique()
    wide = tests.pivot(index="protocol", columns="column", values="cell")[order]
    wide = wide.loc[[name for name in prompting.ROLES if name in wide.index]]
    wide.insert(0, "what", [prompting.ROLES[name] for name in wide.index])
    return _text(wide.reset_index(names="Prompting minus"))


def ours_against() -> str:
    """Return the differences between ours and every row, with their intervals; above 0, ours is better."""
    found = pd.read_csv(RESULTS / "significance.csv").fillna({"stands": "", "note": ""})
    found = found[found["method"] != "body_only"]  # its level accuracy is at chance by construction
    found["row"] = found["method"].map(tables.NAMES) + ", " + found["protocol"]
    found["cell"] = [
        f"{signed(r.difference)} [{signed(r.ci_low)}, {signed(r.ci_high)}] {r.stands}" if r.stands else r.note
        for r in found.itertuples()
    ]
    wide = found.pivot(index="row", columns="task", values="cell").reindex(found["row"].unique()).fillna("")
    heads = {1: "Task 1, accuracy (points)", 2: "Task 2, -L2", 3: "Task 3, -MSE"}
    return tables.markdown(wide.rename(columns=heads).reset_index(names="Ours (prompt) minus"))


def dancers() -> str:
    """Return the table with seen and unseen dancers side by side."""
    shown = unseen_dancers.readable(pd.read_csv(RESULTS / "extra_unseen_dancers.csv"))
    return _text(shown.assign(method=shown["method"].map(tables.NAMES).fillna(shown["method"])))


def released_code() -> str:
    """Return what each difference of the released code changes, with its interval; above 0, more is right or the error grows."""
    table = pd.read_csv(RESULTS / "released_code.csv").query("difference != 'ours'")
    text = pd.DataFrame({"As released": table["difference"], "Against": table["against"]})
    for name, head in (("task1", "Task 1, accuracy (points)"), ("task3", "Task 3, MSE")):
        parts = [table[f"{name}_{part}"] for part in ("effect", "low", "high")]
        text[head] = [f"{signed(mean)} [{signed(low)}, {signed(high)}]" for mean, low, high in zip(*parts, strict=True)]
    return tables.markdown(text)


def variants() -> str:
    """Return the measures of the variants of pre-training, on validation."""
    table = pd.read_csv(RESULTS / "extra_augmentation.csv")
    return _text(table[["variant", "accuracy", "level_within", "score_spearman", "bar_mse"]].round(2))


def all_as_released() -> str:
    """Return the accuracy of Task 1 with all differences of the released code, in %."""
    return number("released_code", "task1_mean", "difference == 'as released'", 1)


def verdicts() -> str:
    """Return the number of claims for each verdict, in a column for each source (one column for results without sources)."""
    table = pd.read_csv(RESULTS / "claims.csv")
    source = table["source"] if "source" in table else pd.Series("claims", index=table.index)
    counts = pd.crosstab(table["verdict"], source)[list(source.unique())]
    return tables.markdown(counts.rename(columns=str.capitalize).rename_axis("Verdict").reset_index())


def bench() -> str:
    """Return the tables of `make bench` for every machine with saved results."""
    parts = []
    for path in sorted((ROOT / "results" / "bench").glob("*.csv")):
        facts = json.loads(path.with_name(f"{path.name}.prov.json").read_text())["machine"]
        named = facts["gpu"] or f"{facts['processor']}, {facts['cores']} cores"
        rows = pd.read_csv(path).fillna({"against": "", "goal": "", "note": ""}).to_dict("records")
        parts.append(f"On {named} (load before: {facts['load_before']}):\n\n{markdown(rows)}")
    return "\n\n".join(parts)


def batch_size() -> str:
    """Return the study of the batch size: several sizes, with equal epochs and with equal seconds; "" without results."""
    parts = [pd.read_csv(path) for path in sorted((ROOT / "results" / "bench" / "batch_size").glob("demo-*.csv"))]
    if not parts:
        return ""
    table = pd.concat(parts).drop(columns="synthetic")
    digits = {"learning_rate": 4, "seconds": 0, "loss": 2, "task1_accuracy": 1, "task2_l2": 2, "task3_mse": 0}
    return _text(table.round(digits).astype({"seconds": int, "task3_mse": int}))


def standing(name: str, where: str, results: Path | None = None) -> str:
    """Return how the reference of a table of tests stands against the rows of a pandas query: "level in Task 1, ahead in Task 2".

    Where the rows of a measure stand differently, all their words are said. Rows without a verdict are left out, and said to be
    if nothing else is left. ``results``: the folder of a run (None: ``RESULTS``). Raises ValueError if there is no such row.
    """
    tests, measures = _rows(name, where, results), {}
    for metric, measure in MEASURES.items():
        own = tests[tests["metric"] == metric]
        words = [word for word in ("ahead", "level", "behind") if (own["stands"] == word).any()]
        if len(own):
            measures.setdefault(" or ".join(words) or "without a verdict", []).append(measure)
    text = ", ".join(f"{word} in {' and '.join(of_it)}" for word, of_it in measures.items())
    return text.replace("Task 1 and Task 2 and Task 3", "all three tasks")


def number(name: str, column: str, where: str, digits: int = 0, results: Path | None = None) -> str:
    """Return one number of a table, in the only row of a pandas query (``results`` as in ``standing``).

    Raises ValueError if there is not exactly one.
    """
    values = _rows(name, where, results)[column]
    if len(values) != 1:
        raise ValueError(f"{name}.csv: {len(values)} rows where {where}, expected one")
    return f"{values.iloc[0]:.{digits}f}".replace("-", "−")


def separated(attribute: str) -> str:
    """Return how pre-training separates an attribute in Fig. 5a beside the untrained encoder, by its nearest neighbours."""
    (row,) = _rows("fig5_separation", f"panel == '5a' and encoder == 'ours' and attribute == '{attribute}'").itertuples()
    word = comparison.stands(row.purity_lead_low, row.purity_lead_high)
    return {"ahead": "better", "level": "equally well", "behind": "worse", "": "without a verdict"}[word]


def findings() -> str:
    """Return who stands how in the run on SynthDance and in the run on real motion, a row for each question of ``ASKED``."""
    places = [("SynthDance (synthetic)", RESULTS), ("Bandai-Namco 2 (real motion)", REAL)]
    heads = ["", *(f"{place}, {shots} shots" for place, _ in places for shots in SHOTS)]
    found = [
        (label, *(_with_seeds(name, where.format(shots), results) for _, results in places for shots in SHOTS))
        for label, (name, where) in ASKED.items()
    ]
    return tables.markdown(pd.DataFrame(found, columns=heads))


def _with_seeds(name: str, where: str, results: Path) -> str:
    """Return ``standing``, and that its rows have one seed where they have; "not measured" without such rows."""
    rows = pd.read_csv(results / f"{name}.csv").query(where)
    if rows.empty:
        return "not measured"
    return standing(name, where, results) + (" (one seed)" if (rows["n_seeds"] == 1).all() else "")


def _rows(name: str, where: str, results: Path | None = None) -> pd.DataFrame:
    found = pd.read_csv((results or RESULTS) / f"{name}.csv").query(where)
    if found.empty:
        raise ValueError(f"{name}.csv: no row where {where}")
    return found


OTHERS = [name for name, method in methods.table(2).items() if method.pretraining != methods.METHODS["ours"].pretraining]
WORDS = "protocol == 'prompt-id' and genres == 5 and task == 1 and shots == {}"
STYLE = "method == 'ours' and protocol == 'prompt' and cast == '{}' and dancers == '{}'"
BY_HAND = STYLE.replace("'ours'", "'handcrafted'").replace("'prompt'", "'finetune'")
FEW = "reference == '{}' and method == '{}' and shots == {}"  # rows of extra_synchrony_tests.csv
FINETUNED = "method == 'ours' and protocol == 'finetune' and genres == genres.max() and shots == {}"
SHOTS = (20, 5)
# question -> (table of tests, its rows); "{}" takes the number of shots
ASKED = {
    "Ours, prompted, against the same network untrained, prompted":
        ("extra_synchrony_tests", FEW.format("ours, prompt", "random_init", "{}") + " and protocol == 'prompt'"),
    "Ours, prompted, against the other pre-trainings of Table 2 that have a verdict, prompted":
        ("significance", f"method in {OTHERS} and protocol == 'prompt' and shots == {{}}"),
    "Ours, prompted, against ours, fine-tuned": ("fig7_tests", FINETUNED),
    "Ours, prompted, against hand-crafted statistics, both protocols":
        ("extra_synchrony_tests", FEW.format("ours, prompt", "handcrafted", "{}")),
    "Ours, fine-tuned, against hand-crafted statistics, both protocols":
        ("extra_synchrony_tests", FEW.format("ours, finetune", "handcrafted", "{}")),
    "Ours-sync (beyond the paper), prompted, against hand-crafted statistics, both protocols":
        ("extra_synchrony_tests", FEW.format("ours-sync, prompt", "handcrafted", "{}")),
    "Ours-sync, fine-tuned, against hand-crafted statistics, both protocols":
        ("extra_synchrony_tests", FEW.format("ours-sync, finetune", "handcrafted", "{}")),
}  # fmt: skip
# block -> function: accuracies in Task 1 on real motion with few shots, prompted and fine-tuned
REAL_FEW = {
    f"{name}, real": partial(
        number, "extra_synchrony", "task1", f"method == '{name}' and protocol == 'prompt' and shots == 5", 1, REAL
    )
    for name in ("ours", "handcrafted", "random_init")
}
REAL_TUNED = {
    f"{name}, real, fine-tuned": partial(
        number, "extra_synchrony", "task1", f"method == '{name}' and protocol == 'finetune' and shots == 5", 1, REAL
    )
    for name in ("ours", "handcrafted", "random_init")
}
# block -> function: the words and numbers of what a run says
FINDINGS = {
    "music alone": lambda: number("difficulty_card", "accuracy", "row == 'music_only'", 1),
    "untrained": lambda: standing("significance", "method == 'random_init' and protocol == 'prompt'"),
    "rivals": lambda: standing("significance", f"method in {OTHERS} and protocol == 'prompt'"),
    "by hand, fine-tuned": lambda: standing("significance", "method == 'handcrafted' and protocol == 'finetune'"),
    "by hand, prompted": lambda: standing("significance", "method == 'handcrafted' and protocol == 'prompt'"),
    "calibrated": lambda: standing("significance", "method == 'direct_calibrated'"),
    "ResNet-18 for music": lambda: standing("table3_significance", "method == 'stgcn-res18-infonce'"),
    "supervised": lambda: standing("table3_significance", "method == 'stgcn-lstm-supcon'"),
    "map of genres": lambda: separated("genre"),
    "map of levels": lambda: separated("level"),
    "map of primitives": lambda: separated("primitive"),
    "20 shots": lambda: standing("fig7_tests", "protocol == 'finetune' and genres == 5 and shots == 20"),
    "5 shots": lambda: standing("fig7_tests", "protocol == 'finetune' and genres == 5 and shots == 5"),
    "gain": lambda: number("fig7_relative", "value", "what == 'gain' and shots == 5 and task == 'mean'"),
    "words, 1": lambda: number("fig7_tests", "difference", WORDS.format(1)),
    "words, 20": lambda: number("fig7_tests", "difference", WORDS.format(20)),
    "all as released": all_as_released,
    "loss of prompting": lambda: number("fig7_relative", "value", "what == 'loss of prompt' and task == 'mean'"),
    "loss of fine-tuning": lambda: number("fig7_relative", "value", "what == 'loss of finetune' and task == 'mean'"),
    "sync": lambda: standing("significance", "method == 'ours-sync' and protocol == 'prompt'"),
    "sync by hand, 20": lambda: standing("extra_synchrony_tests", FEW.format("ours-sync, prompt", "handcrafted", 20)),
    "sync by hand, fine-tuned, 20": lambda: standing("extra_synchrony_tests", FEW.format("ours-sync, finetune", "handcrafted", 20)),
    "sync by hand, fine-tuned, 5": lambda: standing("extra_synchrony_tests", FEW.format("ours-sync, finetune", "handcrafted", 5)),
    "sync calibrated, 20": lambda: standing("extra_synchrony_tests", FEW.format("ours-sync, prompt", "direct_calibrated", 20)),
    "sync calibrated, 5": lambda: standing("extra_synchrony_tests", FEW.format("ours-sync, prompt", "direct_calibrated", 5)),
    "levels of the truth": lambda: number("difficulty_card", "level_within", "row == 'latent_truth'"),
    "BAR of the truth": lambda: number("difficulty_card", "bar_mse", "row == 'latent_truth'"),
    "levels of sync": lambda: number("table2_baselines", "level_within", "method == 'ours-sync'"),
    "BAR of sync": lambda: number("table2_baselines", "task3_mean", "method == 'ours-sync'"),
    "levels by hand": lambda: number("difficulty_card", "level_within", "row == 'handcrafted'"),
    "sync by hand, 5": lambda: standing("extra_synchrony_tests", FEW.format("ours-sync, prompt", "handcrafted", 5)),
    "real, 1 shot": lambda: standing("fig7_tests", FINETUNED.format(1), REAL),
    "real, by hand, 5": lambda: standing("extra_synchrony_tests", FEW.format("ours, finetune", "handcrafted", 5), REAL),
    "real, by hand, 20": lambda: standing("extra_synchrony_tests", FEW.format("ours, finetune", "handcrafted", 20), REAL),
    "real, words": lambda: standing("fig7_tests", FINETUNED.replace("'finetune'", "'prompt-id'").format(1), REAL),
    **REAL_FEW,
    **{
        f"{who}, {cast}, {dancers}": partial(number, "extra_unseen_dancers", "level_within", where.format(cast, dancers))
        for who, where in (("ours", STYLE), ("by hand", BY_HAND))
        for cast in ("default", "strong style")
        for dancers in ("seen", "unseen")
    },
}

# file -> block -> function that returns its text
BLOCKS = {
    "README.md": {
        "findings": findings,
        "over": over,
        "Table 2 in short": short_table_2,
        "all as released": all_as_released,
        "ours of the code": lambda: number("released_code", "task1_mean", "difference == 'ours'", 1),
        "real, 5 shots": lambda: standing("fig7_tests", FINETUNED.format(5), REAL),
        "real, 10 shots": lambda: standing("fig7_tests", FINETUNED.format(10), REAL),
        **REAL_FEW,
        **REAL_TUNED,
    },
    "results/README.md": {
        "difficulty card": difficulty_card,
        "over": over,
        "Table 2": lambda: comparison_table("table2_baselines.csv"),
        "Table 3": lambda: comparison_table("table3_ablation.csv"),
        "hours": hours,
        "Table 4": table_4,
        "forms of the prompt": forms,
        "Table 2, real": real_table_2,
        "few shots, real": real_few_shots,
        "ours against": ours_against,
        "unseen dancers": dancers,
        "released code": released_code,
        "variants": variants,
        "claims": verdicts,
        **FINDINGS,
    },
    "benchmarks/README.md": {"bench": bench, "batch size": batch_size},
}


def filled(file: str, text: str) -> str:
    """Return the ``text`` of a file in ``BLOCKS`` with all blocks filled from the results.

    Raises ValueError if a block is missing.
    """
    for name, content in BLOCKS[file].items():
        text, count = re.subn(
            f"(<!-- {name} -->(\n?)).*?(<!-- end of {name} -->)",
            lambda m, content=content: m[1] + content() + m[2] + m[3], text, flags=re.S,
        )  # fmt: skip
        if count != 1:
            raise ValueError(f"{file}: {count} blocks <!-- {name} -->, expected one")
    return text


def _text(table: pd.DataFrame) -> str:
    return tables.markdown(table.astype(object).where(table.notna(), "").astype(str))


if __name__ == "__main__":
    for name in BLOCKS:
        path = Path(ROOT / name)
        path.write_text(filled(name, path.read_text(encoding="utf-8")), encoding="utf-8")
