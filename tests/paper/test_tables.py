"""Comparison tables from tidy metrics: columns, floors, seeds; a method that is added to the method table appears."""

import io
import itertools
from dataclasses import replace

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
    made = ((1, "accuracy", 60), (1, "level_within", 70), (2, "l2", -1.5), (2, "mse", 0.01), (3, "mse", 90))
    for row in lines:
        for s in range(row.seeds):
            for task, metric, value in made:
                if row.method.protocol == "direct" and task != 3:
                    continue
                rows.append((row.name, row.method.protocol, s, 5, 20, task, metric, value + rng.normal()))
    return pd.DataFrame(rows, columns=METRICS_COLUMNS)


def as_table(lines, metrics=None):
    metrics = fake_metrics(lines) if metrics is None else metrics
    keys = ["method", "protocol", "genres", "shots", "task", "metric"]
    means = fake_metrics(lines).groupby(keys)["value"].mean()
    intervals = {key: stats.Estimate(value, value - 1.0, value + 1.0, 0.5) for key, value in means.items()}
    return tables.comparison_table(metrics, intervals, [(r.name, r.method) for r in lines], True, {"svt": "collapsed"})


def test_columns_and_rows_of_the_contract():
    lines = rows.rows(2, seeds=3, costly=1)
    table = as_table(lines)
    assert list(table.columns[: len(CONTRACT)]) == CONTRACT
    assert list(table["method"]) == [*rows.FLOORS, *methods.table(2), *methods.EXTENSIONS]
    assert list(table["method"])[-2:] == ["ours", "ours-sync"] and (table["interpretation"].str.len() > 10).all()
    by_name = table.set_index("method")
    assert (by_name["n_seeds"] == 3).all()
    assert by_name.loc["ours", "paper_task1"] == 71.43 and pd.isna(by_name.loc["chance", "paper_task1"])
    assert by_name.loc["svt", "condition"] == "collapsed" and by_name["condition"].ne("").sum() == 1 and by_name["synthetic"].all()


def test_means_are_over_seeds_and_intervals_those_of_the_outcomes():
    lines = rows.rows(2, seeds=3, costly=1)
    metrics = fake_metrics(lines)
    by_name = as_table(lines, metrics).set_index("method")
    own = metrics[(metrics["method"] == "ours") & (metrics["metric"] == "accuracy")]["value"]
    assert by_name.loc["ours", "task1_mean"] == pytest.approx(own.mean())
    assert by_name.loc["ours", "task1_std"] == pytest.approx(own.std())
    assert by_name.loc["ours", ["task1_ci_low", "task1_ci_high"]].tolist() == pytest.approx([own.mean() - 1, own.mean() + 1])
    assert pd.isna(by_name.loc["direct", "task1_mean"]) and pd.notna(by_name.loc["direct", "task3_mean"])


def test_mixed_shots_are_refused():
    lines = rows.rows(3, seeds=1, costly=1)
    metrics = fake_metrics(lines)
    with pytest.raises(ValueError, match="choose shots and genres"):
        as_table(lines, pd.concat([metrics, metrics.assign(shots=5)]))
    with pytest.raises(ValueError, match="no column 'task'"):
        as_table(lines, metrics.drop(columns="task"))


def test_a_method_that_is_added_appears_in_table_2(monkeypatch):
    dummy = Method("Dummy", "stgcn", "lstm", "infonce", "finetune", (2,), "Nothing is open.")
    monkeypatch.setitem(methods.METHODS, "dummy", dummy)
    monkeypatch.setitem(methods.METHODS, "mine", replace(dummy, label="Mine"))  # not of the paper, without printed values
    monkeypatch.setitem(printed.RESULTS, "dummy", (1.0, 2.0, 3.0))
    lines = rows.rows(2, seeds=3, costly=1)
    table = as_table(lines).set_index("method")
    assert np.isnan(table.loc["mine", "paper_task1"]) and table.loc["mine", "task1_mean"] > 0
    assert table.loc["dummy", "interpretation"] == "Nothing is open." and table.loc["dummy", "paper_task3"] == 3.0
    assert "dummy" not in [row.name for row in rows.rows(3, 3, 1)]
    assert {row.method.protocol for row in rows.both_protocols(lines) if row.name == "dummy"} == {"prompt", "finetune"}


def test_all_rows_have_the_same_seeds_but_those_with_a_resnet_50():
    seeds = {row.name: row.seeds for number in (2, 3) for row in rows.rows(number, 3, 1)}
    few = {name for name, count in seeds.items() if count == 1}
    assert few == {name for name in seeds if "res50" in name} and set(seeds.values()) == {1, 3}
    assert {row.seeds for row in rows.rows(3, 1, 5)} == {1}


def test_what_a_reader_sees():
    lines = rows.rows(2, seeds=3, costly=1)
    shown = tables.readable(as_table(lines), {"ours": "Ours"})
    assert "Task 1 ↑ (synthetic)" in shown and "Task 2 (paper)" in shown
    ours = shown[shown["Method"] == "Ours"].iloc[0]
    assert "±" in ours["Task 1 ↑ (synthetic)"] and ours["Task 2 (paper)"] == "2.56×10^-4" and ours["Seeds"] == "3"
    assert "nan" not in shown.to_string()
    scores = ["Score MSE ↓ (synthetic)", "Score ρ ↑ (synthetic)", "Score in 90 % interval (synthetic)"]
    places = [list(shown).index(name) for name in ("Task 2 (paper)", *scores)]
    assert places == list(range(places[0], places[0] + 4)), "beside the paper's L2"
    assert list(shown.loc[shown["Method"] == "svt", "Seeds"]) == ["3 (collapsed)"]
    again = tables.readable(pd.read_csv(io.StringIO(as_table(lines).to_csv())), {"ours": "Ours"})
    assert list(again["Seeds"]) == list(shown["Seeds"]), "also of a table that was read from its file"
    text = tables.markdown(shown)
    assert len(text.splitlines()) == len(shown) + 2 and text.startswith("| Method |")
    assert "Shots" not in shown, "all classes have as many performances as the support"
    few = tables.readable(as_table(lines).assign(shots=20, fewest_shots=5))
    assert set(few["Shots"]) == {"20 (smallest class: 5)"}


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
    tests = comparison.significance(made, {"random_init": "underfit"}).set_index(["method", "task"])
    assert ("direct", 1) not in tests.index and ("direct", 3) in tests.index
    assert tests.loc[("simclr", 1), "note"] == comparison.CONDITIONAL and tests.loc[("simclr", 1), "stands"]
    flagged = tests.loc["random_init"]
    assert (flagged["note"] == "no verdict: random_init is underfit").all() and (flagged["stands"] == "").all()
    assert flagged["p_holm"].isna().all() and flagged["difference"].notna().all()
    own = comparison.significance(made, {"ours": "underfit"})
    assert (own["stands"] == "").all() and own["note"].str.contains("ours is underfit").all()
    assert tests.loc[("chance", 2), "n_seeds"] == 2
    assert (tests["p_holm"].dropna() >= tests["p"].dropna()).all()
    # BAR is computed exactly by ``direct`` here, so ours must come out behind
    direct = tests.loc[("direct", 3)]
    assert direct["difference"] < 0 and direct["effect_size"] < 0 and direct["stands"] in ("behind", "level")
    metrics, found = pd.concat([o.metrics for o in made]), comparison.estimates(made)
    table = tables.comparison_table(metrics, found, [(r.name, r.method) for r in lines], True, {}).set_index("method")
    assert table.loc["chance", "task1_mean"] == pytest.approx(100 / 12, abs=1e-9)
    assert table.loc["ours", "task1_ci_low"] <= table.loc["ours", "task1_mean"] <= table.loc["ours", "task1_ci_high"]
    for (name, protocol, *_, task, metric), interval in found.items():  # the same means as the tidy measures
        own = metrics[(metrics["method"] == name) & (metrics["protocol"] == protocol) & (metrics["task"] == task)]
        assert interval.mean == pytest.approx(own.loc[own["metric"] == metric, "value"].mean()), (name, metric)
    own = [o.pieces for o in made if o.pieces["method"].iloc[0] == "chance"]
    errors = [p["predicted_score"] - p["true_score"] for p in own]
    inside = [e.abs() <= 1.6449 * p["predicted_score_sd"] for e, p in zip(errors, own, strict=True)]
    chance = table.loc["chance"]
    assert chance["score_mse"] == pytest.approx(np.mean([(e**2).mean() for e in errors])), "squared points of 0 to 100"
    assert chance["score_coverage_90"] == pytest.approx(100 * np.mean([i.mean() for i in inside]))
    assert table.loc["direct", ["score_mse", "score_coverage_90"]].isna().all(), "direct has no score"


def test_performance_values_pair_by_performance():
    def outcome(seed, right):
        pieces = pd.DataFrame(
            {"sequence": [4, 4, 7, 7], "accuracy": right, "seed": seed, "true_choreography": "b4", "true_level": list("eeii")}
        )
        return outcomes.Outcome(pieces)

    values = comparison.performance_values([outcome(0, [1, 1, 0, 0]), outcome(1, [1, 0, 0, 1])], 1, "accuracy")
    assert values.to_dict() == {(0, 4, "b4/e"): 100.0, (0, 7, "b4/i"): 0.0, (1, 4, "b4/e"): 50.0, (1, 7, "b4/i"): 50.0}
    assert comparison.performance_values([outcome(0, [1, 1, 0, 0])], 2, "l2").empty


def test_the_lead_is_the_ratio_of_the_means_and_its_interval_that_of_the_delta_method():
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_tuples([(s, p, p % 3) for s in range(2) for p in range(60)], names=comparison.INDEX)
    other = pd.Series(rng.uniform(40, 60, 120), index)
    ours = other * 1.2 + rng.normal(0, 3, 120)
    for task, expected in ((1, 100 * (ours.mean() / other.mean() - 1)), (3, 100 * (1 - ours.mean() / other.mean()))):
        values = comparison.lead(ours, other, task)
        assert values.mean() == pytest.approx(expected)
    ratios = []
    for _ in range(2000):  # a bootstrap over the performances of one seed
        rows = rng.integers(60, size=60)
        ratios.append(ours[0].to_numpy()[rows].mean() / other[0].to_numpy()[rows].mean())
    one = comparison.lead(ours.loc[[0]], other.loc[[0]], 1).reset_index(name="value").assign(stratum=0)
    interval = stats.crossed(one)
    assert interval.high - interval.low == pytest.approx(100 * 2 * 1.96 * np.std(ratios), rel=0.15)
    assert comparison.lead(ours, other * 0, 1).isna().all()


def test_what_a_reader_sees_of_intervals_near_their_end_and_of_scores_that_claim_too_much():
    unknown = dict.fromkeys(tables.COLUMNS, np.nan) | {"protocol": "prompt", "n_seeds": 3, "synthetic": False, "condition": ""}
    sure = {"method": "sure", "task1_mean": 61.24, "task1_ci_low": 57.8, "task1_ci_high": 64.6} | {
        "score_coverage_90": 52.0, "score_coverage_90_ci_high": 60.0
    }
    fair = {"method": "fair", "task1_mean": 99.4, "task1_ci_low": 97.4, "task1_ci_high": 99.9} | {
        "score_coverage_90": 88.0, "score_coverage_90_ci_high": 91.0
    }
    text = tables.readable(pd.DataFrame([unknown | sure, unknown | fair])).set_index("Method")
    assert text["Task 1 ↑ (measured)"].to_dict() == {"sure": "61.2 ± 3.4", "fair": "99.4 [97.4, 99.9]"}
    assert text["Score in 90 % interval (measured)"].to_dict() == {"sure": "52.0 (overconfident)", "fair": "88.0"}


def test_one_word_for_a_comparison():
    assert [comparison.stands(*i) for i in ((1, 2), (-2, -1), (-1, 1), (np.nan, np.nan))] == ["ahead", "behind", "level", ""]


def test_a_row_by_two_names_is_tested_once_and_ours_never_against_itself():
    def outcome(method, protocol, seed):
        right = np.random.default_rng([seed, protocol == "prompt", method == "simclr"]).integers(0, 2, 40)
        pieces = pd.DataFrame({"sequence": np.arange(40), "accuracy": right, "seed": seed, "genres": 1, "shots": 5})
        return outcomes.Outcome(pieces.assign(method=method, protocol=protocol, true_choreography="b4", true_level="expert"))

    names = ["ours", "contrastivedance", "simclr"]  # of which the first two share their pre-training
    made = [outcome(*row) for row in itertools.product(names, ("finetune", "prompt"), (0, 1))]
    tests = comparison.significance(made, {})
    tested = set(tests[["method", "protocol"]].itertuples(index=False, name=None))
    assert tested == {("ours", "finetune"), ("simclr", "finetune"), ("simclr", "prompt")}
    np.testing.assert_allclose(tests["p_holm"], stats.holm(tests["p"]))


def test_data_without_a_test_set_gives_no_outcomes(bench):
    bench.where.pieces.table["split"] = "pretrain"
    assert bench.why_not()
    assert bench.evaluate(rows.rows(2, 3, 1), shots=2) == []
    assert comparison.significance([], {}).empty
    empty = tables.comparison_table(pd.DataFrame(columns=METRICS_COLUMNS), {}, [("ours", methods.METHODS["ours"])], True, {})
    assert empty.empty and list(empty.columns) == tables.COLUMNS


def test_protocols_of_the_floors_exist():
    assert {floor.protocol for floor in rows.FLOORS.values()} <= {*protocols.PROTOCOLS}
