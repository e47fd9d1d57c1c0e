"""Pre-training once, evaluating a row: files that come back as they went, tidy measures, and the mean over subsets."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import piece_set

from dancemvp_core import code_hash
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.models import prompter
from dancemvp_core.paper import comparison, printed, prompting, tables
from dancemvp_core.pretraining import methods, networks, pretrained, training
from dancemvp_core.pretraining.condition import condition
from dancemvp_core.pretraining.pretrained import Pretraining
from dancemvp_core.runs.provenance import METRICS_COLUMNS, Paths
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks import floors, linear_heads, outcomes, rows, splits
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.outcomes import Outcomes, Setting

OURS = methods.METHODS["ours"].pretraining
WIDTH = networks.Width((8,), 16, 12)
HOW = training.Training(epochs=2, batch_size=8, learning_rate=1e-3)
SETTINGS = prompter.PrompterSettings(steps=15, width=16, text_width=16)


@pytest.fixture(scope="module")
def pieces():
    return piece_set(trials=6)


def made(path, pieces, seed=0, how=HOW, checkpoint=None):
    return Pretraining(OURS, seed, pieces, IMPERIALDANCE21, WIDTH, how).finished(path, checkpoint)


def test_an_encoder_is_trained_once_and_comes_back_from_its_file(pieces, tmp_path, monkeypatch):
    path, checkpoint = tmp_path / "encoder.safetensors", tmp_path / "checkpoint.safetensors"
    encoder, history = made(path, pieces, checkpoint=checkpoint)
    assert list(tmp_path.iterdir()) == [path], "the checkpoint of a finished run is removed"
    facts = pretrained.encoder_facts(path)
    assert facts["condition"] == condition(history)
    assert {"loss", "trivial_loss", "spread", "knn_level_within", "watched"} <= set(history)

    features, rows = Features.kept(path, pieces)
    assert np.array_equal(rows, pieces.rows("test"))
    hidden, z = training.encode(encoder, pieces, rows)
    assert torch.equal(features.hidden[rows], hidden) and torch.allclose(features.z[rows], z, atol=2e-2)
    assert not features.hidden[pieces.rows("pretrain")].any()

    monkeypatch.setattr(Pretraining, "run", lambda *_: pytest.fail("trained again"))
    again, kept = made(path, pieces)
    assert torch.equal(training.encode(again, pieces, rows)[0], hidden) and not again.training
    pd.testing.assert_frame_equal(kept, history)


def test_other_settings_or_pieces_train_again(pieces, tmp_path):
    path = tmp_path / "encoder.safetensors"
    made(path, pieces)
    stamps = [pretrained.encoder_facts(path)["stamp"]]
    moved = piece_set(trials=6)
    moved.motion[0, 0, 0, 0] += 1e-4
    renamed = piece_set(trials=6)
    renamed.table.loc[0, "level"] = "intermediate"
    shorter = {"how": training.Training(epochs=1, batch_size=8)}
    for arguments in ({"seed": 1}, shorter, {"pieces": moved}, {"pieces": renamed}):
        made(path, **{"pieces": pieces} | arguments)
        stamps.append(pretrained.encoder_facts(path)["stamp"])
    assert len(set(stamps)) == len(stamps)


def test_one_seed_that_is_not_trained_enough_marks_its_row(pieces, tmp_path):
    where = Workspace(pieces, IMPERIALDANCE21, WIDTH, Paths("smoke", "tiny", tmp_path))
    source = Outcomes(where, SETTINGS)
    for seed, state in enumerate(("", "underfit", "collapsed")):
        encoder = networks.new_objective(OURS, seed, WIDTH, pieces, IMPERIALDANCE21).encoder
        rows, hidden = np.arange(2), torch.zeros(2, 32)
        pretrained.save_encoder(where.paths.encoder(OURS, seed), encoder, rows, hidden, {"condition": state})
    assert [source.condition("ours", seeds) for seeds in (1, 2, 3)] == ["", "underfit", "collapsed"]
    assert source.condition("contrastivedance", 2) == "underfit", "the same pre-training"
    assert source.condition("chance", 3) == source.condition("random_init", 3) == ""


def test_the_split_by_people_finds_out_features_that_know_the_person_and_not_the_level():
    """Everybody dances one level. So who is recognised has a level, if the head has met the person: six shots are enough."""
    pieces = piece_set(trials=12)
    table = pieces.table
    index = table.drop_duplicates("sequence").set_index("sequence")
    index["dancer"] = [f"{row.level} {row.trial % 3}" for row in index.itertuples()]
    named = replace(pieces, table=splits.name_people(table, index))
    moves = table["choreography"] + table["primitive"].astype(str)
    known = [pd.get_dummies(column).to_numpy(dtype="float32") for column in (moves, named.table["dancer"])]
    features = Features(torch.from_numpy(np.hstack(known)))
    right = [
        outcomes.evaluate("ours", features, cut, Setting("finetune", 0, 6), SETTINGS, ["vocabulary"]).pieces["level_within"].mean()
        for cut in (pieces, named)
    ]
    assert right[0] > 0.9 and right[1] < 0.7, "with half of the level known by chance"


def test_pieces_without_levels_and_few_of_them_pre_train_all_the_same(tmp_path):
    bare = piece_set(("b0",), trials=1)
    bare.table["level"] = None
    assert training.class_codes(bare.table)[1] == 3
    _, history = made(tmp_path / "encoder.safetensors", bare)
    assert np.isfinite(history["loss"]).all() and set(history.filter(like="knn")) == {"knn_primitive"}
    single = bare.table.assign(sequence=0)
    assert training.nearest_neighbour_accuracy(np.eye(6), single) == {}


@pytest.mark.parametrize("protocol", ["prompt", "prompt-query", "prompt-id", "finetune", "chance"])
def test_a_row_s_measures_are_tidy_and_its_pieces_are_the_query(pieces, protocol):
    features = floors.body_only(pieces, IMPERIALDANCE21)
    outcome = outcomes.evaluate("body_only", features, pieces, Setting(protocol, 0, 2), SETTINGS)
    tidy = outcome.metrics
    assert list(tidy.columns) == METRICS_COLUMNS
    assert set(tidy["task"]) == {1, 2, 3} and not tidy["value"].isna().any()
    assert (tidy[["method", "protocol", "seed", "genres", "shots"]] == ["body_only", protocol, 0, 2, 2]).all(axis=None)
    assert len(outcome.pieces) == 2 * 2 * 3 * 3  # choreographies, levels, query performances, primitives
    truth = pieces.table.loc[outcome.pieces.index]
    assert (outcome.pieces["true_level"] == truth["level"]).all()
    right = (outcome.pieces["predicted_level"] == outcome.pieces["true_level"]).mean()
    assert 100 * right == pytest.approx(tidy.loc[tidy["metric"] == "level", "value"].item())
    error = outcome.pieces["predicted_bar"] - outcome.pieces["true_bar"]
    assert np.allclose(error, outcome.pieces["rate_error"], atol=1e-4)


def test_fewer_choreographies_are_the_mean_over_the_cyclic_subsets():
    pieces = piece_set(("b0", "b4", "k4", "b14", "k24"), trials=4)
    features = floors.body_only(pieces, IMPERIALDANCE21)
    one = outcomes.evaluate("x", features, pieces, Setting("finetune", 0, 2, genres=1), SETTINGS)
    assert (one.metrics["genres"] == 1).all() and one.pieces["true_choreography"].nunique() == 4
    alone = []
    for choreography in ("b4", "k4", "b14", "k24"):
        table = pieces.table.copy()
        table.loc[(table["split"] == "test") & (table["choreography"] != choreography), "split"] = "validation"
        part = type(pieces)(pieces.motion, pieces.music, table, table)
        alone.append(outcomes.evaluate("x", features, part, Setting("finetune", 0, 2), SETTINGS).metrics["value"])
    assert np.allclose(one.metrics["value"], np.mean(alone, axis=0))
    two = outcomes.evaluate("x", features, pieces, Setting("chance", 0, 2, genres=2), SETTINGS)
    accuracy = two.metrics.loc[two.metrics["metric"] == "accuracy", "value"].item()
    assert accuracy == pytest.approx(100 / 12)  # 2 choreographies, 2 levels, 3 primitives
    assert len(two.pieces) == 4 * 2 * 2 * 2 * 3  # each choreography stands in two subsets


def test_direct_predicts_the_rate_alone(pieces):
    outcome = outcomes.evaluate("direct", Features.none(pieces), pieces, Setting("direct", 0, 2), SETTINGS)
    assert set(outcome.metrics["task"]) == {3} and "predicted_score" not in outcome.pieces
    assert outcome.metrics.loc[outcome.metrics["metric"] == "mse", "value"].item() == pytest.approx(0, abs=1e-9)


def test_every_row_gets_its_features_by_name_and_an_unknown_one_is_refused(pieces, tmp_path):
    where = Workspace(pieces, IMPERIALDANCE21, WIDTH, Paths("smoke", "tiny", tmp_path))
    made(where.paths.encoder(OURS, 0), pieces)
    test, validation = pieces.rows("test"), pieces.rows("pretrain")
    for name in ("chance", "direct", "body_only", "random_init", "ours"):
        assert len(rows.features_of(name, 0, where).hidden) == len(pieces)
    ours, anew = rows.features_of("ours", 0, where), rows.features_of("ours", 0, where, "pretrain")
    assert ours.hidden[test].any() and not ours.hidden[validation].any(), "those in the encoder's file"
    assert anew.hidden[validation].any() and not anew.hidden[test].any(), "encoded anew"
    with pytest.raises(ValueError, match="no row 'luck'; there are chance,"):
        rows.features_of("luck", 0, where)


def test_the_stamp_covers_every_module_that_makes_an_encoder(pieces, monkeypatch):
    job = Pretraining(OURS, 0, pieces, IMPERIALDANCE21, WIDTH, HOW)
    before = job.stamp
    read = code_hash._read
    for name in ("augment", "objectives", "networks", "training", "encoders", "resnet", "losses", "device"):
        code_hash.stamp.cache_clear()
        changed = lambda file, name=name: (read(file)[0] + (" changed" if file.stem == name else ""), read(file)[1])  # noqa: E731
        monkeypatch.setattr(code_hash, "_read", changed)
        assert job.stamp != before, name
    for name in ("methods", "provenance", "progress"):  # data, or nothing that a result depends on
        code_hash.stamp.cache_clear()
        changed = lambda file, name=name: (read(file)[0] + (" changed" if file.stem == name else ""), read(file)[1])  # noqa: E731
        monkeypatch.setattr(code_hash, "_read", changed)
        assert job.stamp == before, name
    monkeypatch.undo()
    code_hash.stamp.cache_clear()


# --- Table 4 and Fig. 7 ------------------------------------------------------------------------------------------


def test_points_are_the_table_s_then_each_curve_s():
    assert prompting.points(20, (1, 5, 20), (1, 3, 5), 5, 50) == [(20, 5), (1, 5), (5, 5), (10, 5), (16, 3), (50, 1)]
    assert prompting.points(5, (5,), (1, 2, 3, 4, 5), 2, 10) == [(5, 2), (10, 1)]
    assert prompting.points(1, (1,), (1, 2), 2, 1) == [(1, 2), (1, 1)], "no point without a performance"


@pytest.mark.parametrize("most", [10, 50])
def test_all_numbers_of_choreographies_have_equal_support(most):
    found = {g: n * g for n, g in prompting.points(20, (), (1, 2, 3, 4, 5), 5, most)[1:]}
    assert set(found) == {1, 2, 3, 4, 5} and all(most - g < total <= most for g, total in found.items())


def test_the_plan_fits_nothing_twice_and_floors_at_the_table_s_point_only():
    where = prompting.points(20, (1, 20), (1, 5), 5, 50)
    jobs = prompting.plan(where, 3)
    assert len(set(jobs)) == len(jobs)
    assert {(j.shots, j.genres) for j in jobs if j.name not in ("ours", "chance")} == {(20, 5)}
    for protocol in ("prompt", "finetune", "prompt-id", "prompt-query"):
        assert {(j.shots, j.genres) for j in jobs if j.name == "ours" and j.protocol == protocol} == set(where)
    assert {(j.shots, j.seed) for j in jobs if j.protocol == "prompt-minilm"} == {(20, 0), (1, 0)}
    assert {j.protocol for j in jobs if j.name == "music_only"} == {"prompt", "finetune"}
    assert {j.name for j in jobs} == {"ours", *rows.FLOORS}
    assert "prompt-oracle" not in {j.protocol for j in jobs}



def test_table_4_and_the_curves_hold_what_was_measured_beside_what_the_paper_prints(pieces, tmp_path, monkeypatch):
    monkeypatch.setattr(linear_heads, "STRENGTHS", dict.fromkeys(linear_heads.HEADS, (1.0,)))
    where = Workspace(pieces, IMPERIALDANCE21, WIDTH, Paths("smoke", "tiny", tmp_path))
    outcomes = Outcomes(where, replace(SETTINGS, steps=2))  # how well the prompters are fitted does not matter here
    for seed in range(2):
        made(where.paths.encoder(OURS, seed), pieces, seed)
    points = prompting.points(2, (1, 2), (1, 2), 2, 3)
    jobs = [job for job in prompting.plan(points, 2) if job.name in ("ours", "chance", "direct", "body_only")]
    found = [outcomes.outcome(*job) for job in jobs]
    metrics, intervals = pd.concat([o.metrics for o in found], ignore_index=True), comparison.estimates(found)

    table = prompting.table4(metrics, intervals, points, synthetic=True, conditions={"ours": "underfit"}, outcomes=outcomes)
    assert set(tables.COLUMNS) < set(table.columns)
    assert table[["method", "protocol", "genres"]].head(4).to_numpy().tolist() == [
        ["ours", "prompt", 2], ["ours", "finetune", 2], ["ours", "prompt", 1], ["ours", "finetune", 1]
    ]  # fmt: skip
    assert table["shots"].head(4).tolist() == [2, 2, 3, 3]
    paper_one = table[(table["method"] == "ours") & (table["genres"] == 1)].set_index("protocol")["paper_task1"]
    assert paper_one.to_dict() == {p: printed.TABLE4[p, 1][0] for p in ("prompt", "finetune")}
    assert table.loc[table["method"] != "ours", "paper_task1"].isna().all() and table["synthetic"].all()
    assert not table.duplicated(["method", "protocol", "genres"]).any()
    direct = table.set_index("method").loc["direct"]
    assert np.isnan(direct["task1_mean"]) and direct["task3_mean"] == pytest.approx(0, abs=1e-9)
    assert len(prompting.labels(table)) == len(table)

    curves = prompting.curves(metrics, intervals, points, 3, synthetic=True)
    assert set(curves["protocol"]) == {"prompt", "finetune", "prompt-id", "prompt-query", "chance"}
    assert (curves["n_seeds"] == 2).all() and curves["ci_low"].notna().all()
    assert set(curves.loc[curves["varied"] == "shots", "shots"]) == {1, 2}
    assert set(curves.loc[curves["varied"] == "genres", "genres"]) == {1, 2}
    at_table = curves[(curves["shots"] == 2) & (curves["genres"] == 2) & (curves["protocol"] == "prompt")]
    assert len(at_table) == 3 and set(at_table["varied"]) == {"shots"}
    over_g = curves[curves["varied"] == "genres"]
    assert set(zip(over_g["shots"], over_g["genres"], strict=True)) == {(3, 1), (1, 2)}, "equal support: three performances"
    first = table.iloc[0]
    assert at_table.loc[at_table["task"] == 1, "mean"].iloc[0] == pytest.approx(first["task1_mean"])

    tests = prompting.tests(found, points, {})
    other = tests["protocol"].isin(prompting.OTHER_FORMS)
    assert set(tests.loc[~other, "protocol"]) == {"finetune", "prompt-id", "prompt-query"}
    assert (tests["n_seeds"] == np.where(other, 1, 2)).all()
    assert set(zip(tests["shots"], tests["genres"], strict=True)) == set(points)
    few = tests[other].groupby("protocol")[["shots", "genres"]].apply(lambda own: set(map(tuple, own.to_numpy())))
    assert few.to_dict() == {key: {(2, 2), (1, 2)} for key in prompting.OTHER_FORMS}, "the table's point, and one shot"
    relative = prompting.relative(found, points, 3)
    losses = relative[relative["task"] == "mean"].set_index("what")["value"]
    assert losses["fine-tuning loses more by"] == pytest.approx(losses["loss of finetune"] - losses["loss of prompt"])
    of = metrics[(metrics["task"] == 1) & (metrics["metric"] == "accuracy") & (metrics["method"] == "ours")]
    at = of.groupby(["protocol", "shots", "genres"])["value"].mean()
    lost = relative[(relative["what"] == "loss of finetune") & (relative["task"] == "1")]["value"].iloc[0]
    assert lost == pytest.approx(100 * (1 - at["finetune", 1, 2] / at["finetune", 3, 1]))
    assert len(prompting.readable_tests(tests)) == 3 * len(points) + 2 * len(prompting.OTHER_FORMS)
    assert len(prompting.readable_relative(relative)) == 6
