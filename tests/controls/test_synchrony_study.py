"""The comparison of ours-sync: who is in it, and what its verdict says."""

import pandas as pd

from dancemvp_core.controls import synchrony_study
from dancemvp_core.paper import tables
from dancemvp_core.pretraining import methods
from dancemvp_core.runs.provenance import METRICS_COLUMNS
from dancemvp_core.tasks import rows


def test_every_floor_and_ours_are_rivals_and_no_row_is_twice():
    found = synchrony_study.rivals()
    assert {name for name, _ in found} == {"ours", *rows.FLOORS} and len(set(found)) == len(found)
    assert ("direct_calibrated", "direct_calibrated") in found and ("handcrafted", "prompt") in found


def test_the_verdict_names_what_it_is_not_ahead_of():
    def line(shots, protocol, name, own, task, metric, stands):
        return {"shots": shots, "reference": f"ours-sync, {protocol}", "method": name, "protocol": own, "task": task,
                "metric": metric, "stands": stands, "note": "" if stands else f"no verdict: {name} is underfit"}  # fmt: skip

    tests = pd.DataFrame([
        line(5, "prompt", "ours", "prompt", 1, "accuracy", "ahead"),
        line(5, "prompt", "handcrafted", "finetune", 1, "accuracy", "level"),
        line(5, "prompt", "direct_calibrated", "direct_calibrated", 3, "mse", "behind"),
        line(20, "prompt", "ours", "prompt", 1, "level_within", "ahead"), line(20, "finetune", "moco", "prompt", 2, "l2", ""),
        line(20, "finetune", "ours", "prompt", 2, "l2", "ahead"), line(50, "prompt", "ours", "prompt", 2, "l2", ""),
    ])  # fmt: skip
    few, many, tuned, flagged = synchrony_study.verdict(tests)
    behind, level = "behind direct_calibrated direct_calibrated on task3", "level with handcrafted finetune on task1"
    assert few == f"5 shots, ours-sync, prompt: {behind}; {level}"
    assert many == "20 shots, ours-sync, prompt: ahead of every row in every measure"
    assert tuned == "20 shots, ours-sync, finetune: no verdict against moco prompt on task2"
    assert flagged == "50 shots, ours-sync, prompt: no verdict: ours is underfit"


def test_an_extension_is_named_as_beyond_the_paper_and_is_in_no_table_of_it():
    for method in methods.EXTENSIONS.values():
        assert "beyond the paper" in method.label and method.interpretation.startswith("Beyond the paper") and not method.tables
    line = rows.rows(2, 1, 1)[-1]
    table = tables.comparison_table(pd.DataFrame(columns=METRICS_COLUMNS), {}, [(line.name, line.method)], True, {})
    assert table[["paper_task1", "paper_task2", "paper_task3"]].isna().all(axis=None)
