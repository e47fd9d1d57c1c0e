"""Comparison tables from tidy metrics: columns, floors, seeds; a method that is added to the method table appears."""

import io
import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import piece_set

from dancemvp_core import files
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.models.prompter import PrompterSettings
from dancemvp_core.paper import comparison, printed, tables
from dancemvp_core.pretraining import methods, networks
from dancemvp_core.pretraining.methods import Method
from dancemvp_core.runs.provenance import METRICS_COLUMNS, Paths
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks import outcomes, protocols, rows, stats
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.outcomes import Outcomes

CONTRACT = (
    "method motion_encoder music_encoder objective protocol n_seeds task1_mean task1_std task1_ci_low task1_ci_high "
    "task2_mean task2_std task2_ci_low task2_ci_high task3_mean task3_std task3_ci_low task3_ci_high "
    "paper_task1 paper_task2 paper_task3 interpretation".split()
)


def fake_metrics(lines, seed=0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for row in lines:
        for s in range(row.seeds):
            for task, metric, value in ((1, "accuracy", 60), (1, "level_within", 70), (2, "l2", -1.5), (3, "mse", 90)):
                if row.method.protocol == "direct" and task != 3:
                    continue
                rows.append((row.name, row.method.protocol, s, 5, 20, task, metric, value + rng.normal()))
    return pd.DataFrame(rows, columns=METRICS_COLUMNS)


def as_table(lines, metrics=None):
    metrics = fake_metrics(lines) if metrics is None else metrics
    conditions = {"svt": "collapsed", "ours": ""}
    return tables.comparison_table(metrics, [(r.name, r.method) for r in lines], synthetic=True, conditions=conditions)


def test_columns_and_rows_of_the_contract():
    lines = rows.rows(2, seeds=3, others=1)
    table = as_table(lines)
    assert list(table.columns[: len(CONTRACT)]) == CONTRACT
    assert list(table["method"]) == [*rows.FLOORS, *methods.table(2), *methods.EXTENSIONS]
    assert list(table["method"])[-2:] == ["ours", "ours-sync"] and (table["interpretation"].str.len() > 10).all()
    by_name = table.set_index("method")
    assert by_name.loc["ours", "n_seeds"] == 3 and by_name.loc["simclr", "n_seeds"] == 1
    assert by_name.loc["ours", "paper_task1"] == 71.43 and pd.isna(by_name.loc["chance", "paper_task1"])
    assert by_name.loc["svt", "condition"] == "collapsed" and (by_name["condition"].drop("svt") == "").all()
    assert by_name["synthetic"].all()


def test_means_and_intervals_are_over_seeds():
    lines = rows.rows(2, seeds=3, others=1)
    metrics = fake_metrics(lines)
    by_name = as_table(lines, metrics).set_index("method")
    own = metrics[(metrics["method"] == "ours") & (metrics["metric"] == "accuracy")]["value"]
    assert by_name.loc["ours", "task1_mean"] == pytest.approx(own.mean())
    assert by_name.loc["ours", "task1_std"] == pytest.approx(own.std())
    assert by_name.loc["ours", "task1_ci_low"] < own.mean() < by_name.loc["ours", "task1_ci_high"]
    assert by_name.loc["simclr", ["task1_std", "task1_ci_low", "task1_ci_high"]].isna().all(), "no interval from one seed"
    assert pd.isna(by_name.loc["direct", "task1_mean"]) and pd.notna(by_name.loc["direct", "task3_mean"])


def test_mixed_shots_are_refused():
    lines = rows.rows(3, seeds=1, others=1)
    metrics = fake_metrics(lines)
    with pytest.raises(ValueError, match="choose shots and genres"):
        as_table(lines, pd.concat([metrics, metrics.assign(shots=5)]))
    with pytest.raises(ValueError, match="no column 'task'"):
        as_table(lines, metrics.drop(columns="task"))


def test_a_method_that_is_added_appears_in_table_2(monkeypatch):
    dummy = Method("Dummy", "stgcn", "lstm", "infonce", "finetune", (2,), "Nothing is open.")
    monkeypatch.setitem(methods.METHODS, "dummy", dummy)
    monkeypatch.setitem(printed.RESULTS, "dummy", (1.0, 2.0, 3.0))
    lines = rows.rows(2, seeds=3, others=1)
    table = as_table(lines).set_index("method")
    assert table.loc["dummy", "interpretation"] == "Nothing is open." and table.loc["dummy", "paper_task3"] == 3.0
    assert "dummy" not in [row.name for row in rows.rows(3, 3, 1)]
    assert {row.method.protocol for row in rows.both_protocols(lines) if row.name == "dummy"} == {"prompt", "finetune"}


def test_seeds_go_where_they_are_needed(monkeypatch):
    monkeypatch.setattr(methods, "selected", lambda: {"more_seeds": ["supcon"]})
    seeds = {name: rows.seeds_of_row(name, 3, 1) for name in ("ours", "contrastivedance", "chance", "supcon", "simclr")}
    assert seeds == {"ours": 3, "contrastivedance": 3, "chance": 3, "supcon": 3, "simclr": 1}


def test_what_a_reader_sees():
    lines = rows.rows(2, seeds=3, others=1)
    shown = tables.readable(as_table(lines), {"ours": "Ours"})
    assert "Task 1 ↑ (synthetic)" in shown and "Task 2 (paper)" in shown
    ours = shown[shown["Method"] == "Ours"].iloc[0]
    assert "±" in ours["Task 1 ↑ (synthetic)"] and ours["Task 2 (paper)"] == "2.56×10^-4" and ours["Seeds"] == "3"
    assert "nan" not in shown.to_string()
    assert list(shown.loc[shown["Method"] == "svt", "Seeds"]) == ["1 (collapsed)"]
    again = tables.readable(pd.read_csv(io.StringIO(as_table(lines).to_csv())), {"ours": "Ours"})
    assert list(again["Seeds"]) == list(shown["Seeds"]), "also of a table that was read from its file"
    text = tables.markdown(shown)
    assert len(text.splitlines()) == len(shown) + 2 and text.startswith("| Method |")


def test_numbers_as_the_paper_prints_them():
    assert [tables.number(v) for v in (71.43, 0.097, 2.56e-4, 13.65, 0.0, float("nan"), -1.5, 123.4)] == [
        "71.4", "0.0970", "2.56×10^-4", "13.7", "0.00", "", "-1.50", "123",
    ]  # fmt: skip


def test_best_of_a_task():
    table = as_table(rows.rows(2, 1, 1))
    table.loc[table["method"] == "svt", ["task1_mean", "task3_mean"]] = 99.0, 1.0
    assert tables.best(table, "task1") == tables.best(table, "task3") == "svt"
    assert tables.best(table, "task1", ["ours"]) == "ours" and tables.best(table, "task1", ["none"]) == ""


# --- outcomes ----------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Four floors-like rows without encoders: features are the motion's statistics, or noise."""
    pieces = piece_set()
    width, paths = networks.Width((8,), 8, 8), Paths("smoke", "tiny", tmp_path)
    bench = Outcomes(Workspace(pieces, IMPERIALDANCE21, width, paths), PrompterSettings(steps=20))
    for name, seed in (("ours", 0), ("ours", 1), ("simclr", 0)):
        files.write_text(paths.encoder(methods.METHODS[name].pretraining, seed), name)

    def features_of(name, seed, where):
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(pieces), 6, generator=generator)
        return Features(noise if name == "random_init" else torch.cat([noise, pieces.motion.abs().mean(dim=(1, 2))], dim=1))

    monkeypatch.setattr(outcomes, "features_of", features_of)
    return bench


def test_outcomes_are_computed_once_and_again_when_something_changed(bench, monkeypatch):
    calls = []
    evaluate = outcomes.evaluate
    monkeypatch.setattr(outcomes, "evaluate", lambda *a, **k: calls.append(a) or evaluate(*a, **k))
    first = bench.outcome("handcrafted", "finetune", 0, shots=2)
    again = bench.outcome("handcrafted", "finetune", 0, shots=2)
    assert len(calls) == 1
    pd.testing.assert_frame_equal(first.metrics, again.metrics)
    pd.testing.assert_frame_equal(first.pieces, again.pieces)
    assert list(again.metrics.columns) == METRICS_COLUMNS and again.pieces.attrs["seconds"] > 0
    bench.outcome("handcrafted", "finetune", 0, shots=3)
    bench.outcome("handcrafted", "finetune", 0, shots=2, genres=1)
    assert len(calls) == 3
    other = Outcomes(bench.where, PrompterSettings(steps=21, dropout=0.1))
    other.outcome("handcrafted", "finetune", 0, shots=2)
    assert len(calls) == 4, "other settings, old outcome"
    assert bench.outcome("handcrafted", "finetune", 0, shots=2, genres=99).metrics["genres"].eq(2).all()


def test_rows_of_a_table_become_tests_against_ours(bench):
    lines = [
        rows.Row("ours", methods.METHODS["ours"], 2),
        rows.Row("chance", rows.FLOORS["chance"], 2),
        rows.Row("random_init", rows.FLOORS["random_init"], 2),
        rows.Row("direct", rows.FLOORS["direct"], 2),
        rows.Row("simclr", methods.METHODS["simclr"], 1),
    ]
    made = bench.evaluate(lines, shots=3)
    assert len(made) == 9
    tests = comparison.significance(made).set_index(["method", "task"])
    assert list(tests.reset_index().columns) != [] and ("direct", 1) not in tests.index and ("direct", 3) in tests.index
    assert tests.loc[("simclr", 1), "note"] == "one seed: no test" and pd.isna(tests.loc[("simclr", 1), "p"])
    assert tests.loc[("chance", 2), "n_seeds"] == 2
    assert (tests["p_holm"].dropna() >= tests["p"].dropna()).all()
    # BAR is computed exactly by ``direct`` here, so ours must come out behind
    assert tests.loc[("direct", 3), "difference"] < 0 and tests.loc[("direct", 3), "effect_size"] < 0
    table = tables.comparison_table(pd.concat([o.metrics for o in made]), [(r.name, r.method) for r in lines], True)
    chance = table.set_index("method").loc["chance"]
    assert chance["task1_mean"] == pytest.approx(100 / 12, abs=1e-9)


def test_performance_values_pair_by_performance():
    def outcome(seed, right):
        pieces = pd.DataFrame(
            {"sequence": [4, 4, 7, 7], "accuracy": right, "seed": seed, "method": "ours", "protocol": "prompt"}
        )
        return outcomes.Outcome(pieces)

    values = comparison.performance_values([outcome(0, [1, 1, 0, 0]), outcome(1, [1, 0, 0, 1])], task=1)
    assert values.to_dict() == {4: 75.0, 7: 25.0}
    assert comparison.performance_values([outcome(0, [1, 1, 0, 0])], task=2).empty


def test_a_row_by_two_names_is_tested_once_and_ours_never_against_itself():
    def outcome(method, protocol, seed):
        right = np.random.default_rng([seed, protocol == "prompt", method == "simclr"]).integers(0, 2, 40)
        pieces = pd.DataFrame({"sequence": np.arange(40), "accuracy": right, "seed": seed})
        return outcomes.Outcome(pieces.assign(method=method, protocol=protocol))

    names = ["ours", "contrastivedance", "simclr"]  # of which the first two share their pre-training
    made = [outcome(*row) for row in itertools.product(names, ("finetune", "prompt"), (0, 1))]
    tests = comparison.significance(made)
    tested = set(tests[["method", "protocol"]].itertuples(index=False, name=None))
    assert tested == {("ours", "finetune"), ("simclr", "finetune"), ("simclr", "prompt")}
    np.testing.assert_allclose(tests["p_holm"], stats.holm(tests["p"]))


def test_data_without_a_test_set_gives_no_outcomes(bench):
    bench.where.pieces.table["split"] = "pretrain"
    assert bench.why_not(2)
    assert bench.evaluate(rows.rows(2, 3, 1), shots=2) == []
    assert comparison.significance([]).empty
    empty = tables.comparison_table(pd.DataFrame(columns=METRICS_COLUMNS), [("ours", methods.METHODS["ours"])], True)
    assert empty.empty and list(empty.columns) == tables.COLUMNS


def test_protocols_of_the_floors_exist():
    assert {floor.protocol for floor in rows.FLOORS.values()} <= {*protocols.PROTOCOLS}
