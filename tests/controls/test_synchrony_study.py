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


def measures(name, protocol, task1, task2, task3, level=70.0, shots=5):
    row = {"shots": shots, "method": name, "protocol": protocol, "n_seeds": 1}
    return row | {"task1": task1, "task2": task2, "task3": task3, "level_within": level}


def test_the_verdict_names_who_is_ahead_and_in_what():
    nan = float("nan")
    table = pd.DataFrame([
        measures("ours-sync", "prompt", 80.0, -1.6, 160.0), measures("ours", "prompt", 72.0, -1.4, 240.0),
        measures("handcrafted", "finetune", 81.0, -1.4, 200.0),
        measures("direct_calibrated", "direct_calibrated", nan, nan, 150.0, nan),
        measures("ours-sync", "prompt", 80.0, -1.6, 160.0, shots=20), measures("ours", "prompt", 72.0, -1.4, 240.0, shots=20),
    ])  # fmt: skip
    few, many = synchrony_study.verdict(table)
    assert few == "5 shots, prompt: behind on task1: handcrafted finetune; task3: direct_calibrated direct_calibrated"
    assert many == "20 shots, prompt: ahead of every row"


def test_an_extension_is_named_as_beyond_the_paper_and_is_in_no_table_of_it():
    for method in methods.EXTENSIONS.values():
        assert "beyond the paper" in method.label and method.interpretation.startswith("Beyond the paper") and not method.tables
    line = rows.rows(2, 1, 1)[-1]
    table = tables.comparison_table(pd.DataFrame(columns=METRICS_COLUMNS), [(line.name, line.method)], True)
    assert table[["paper_task1", "paper_task2", "paper_task3"]].isna().all(axis=None)
