"""Benchmarks: references compute the same as what they are compared with, comparisons and floors say what is so."""

import sys
import time
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import batch_size
import bench
import cases
import compare
import reference
import roofline

from dancemvp_core.models import encoders, prompter
from dancemvp_core.pretraining import pretrained
from dancemvp_core.runs import profiles

RATES = roofline.Rates({"float32": 1e9, "bfloat16": 2e9}, 1e9)


def test_comparison_gives_ratio_and_spread():
    found = compare.compare(lambda: time.sleep(0.03), lambda: time.sleep(0.09), runs=3)
    assert found.candidate.low <= found.candidate.median <= found.candidate.high
    assert found.candidate.median >= 0.03 and found.ratio.median > 1.2
    assert found.ratio_float32 is None
    alone = compare.compare(lambda: None, runs=3)
    assert alone.reference is None and alone.ratio is None and alone.candidate.median < 0.01
    both = compare.compare(lambda: time.sleep(0.03), lambda: time.sleep(0.03), lambda: time.sleep(0.12), runs=3)
    assert both.ratio_float32.median > 1.5 * both.ratio.median, "the second ratio has its own function"


def test_peak_of_tensors():
    def work():
        a = torch.ones(1_000_000)  # 4 MB
        b = a + 1
        del a
        return b * 2

    if torch.cuda.is_available():
        pytest.skip("allocated on the CPU, counted on the GPU")
    assert compare.peak_tensors_mb(work) == pytest.approx(8, abs=0.1)


def test_textbook_is_the_same_function():
    torch.manual_seed(0)
    ours = encoders.build("stgcn", channels=(8, 16), dim=8)
    motion = torch.randn(3, 3, 20, 21)
    plain = reference.textbook(ours)
    assert cases.relative(ours(motion), plain(motion)) < 1e-5
    assert cases.relative(ours.eval()(motion), plain.eval()(motion)) < 1e-5


def test_work_of_the_whole_encoder_is_counted():
    encoder = encoders.DanceEncoder(encoders.build("stgcn", channels=(8,), dim=8), encoders.build("lstm", dim=8), 8, 4)
    pieces = {"motion": torch.zeros(2, 3, 9, 21), "music": torch.zeros(2, encoders.MUSIC_FEATURES, 9), "seconds": torch.ones(2)}
    work = roofline.inference(encoder, pieces, "float32")
    assert work.operations > 2 * 2 * 9 * 21 * 3 * 8 and work.bytes > 0


def test_pairwise_scores_are_the_same_function():
    torch.manual_seed(0)
    join, head = prompter.Join(6, 4, 8), torch.nn.Linear(8, 1)
    z, t = torch.randn(5, 6), torch.randn(3, 4)
    ours = head(join(z, t, True)).squeeze(-1)
    assert torch.allclose(reference.PairwiseScores(join, head)(z, t), ours, atol=1e-6)


def test_work_of_a_linear_layer_is_as_on_paper():
    layer, x = torch.nn.Linear(30, 20, bias=False), torch.ones(10, 30)
    assert roofline.inference(layer, x, "float32") == roofline.Work(2 * 10 * 30 * 20, 4 * (600 + 300 + 200))
    step = roofline.training_step(layer, x.requires_grad_(False), "float32")
    assert step.operations == 2 * 2 * 10 * 30 * 20  # forward, and the gradient of the weights
    assert step.bytes == 4 * (10 * 600 + 300) + 2 * 4 * 300  # what is kept: the input
    work = roofline.Work(4e9, 1e9)
    assert work.floor_s(RATES, "float32") == 4 and work.floor_s(RATES, "bfloat16") == 2
    assert work.bound(RATES, "float32") == "operations" and roofline.Work(1, 1e9).bound(RATES, "float32") == "bytes"


@pytest.mark.parametrize("name", ["stgcn", "lstm", "tx", "res18", "cnn1d"])
def test_training_is_more_work_than_inference(name):
    network = encoders.build(name, channels=(8, 16), dim=16)
    x = torch.ones(4, 3, 24, 21) if name != "lstm" else torch.ones(4, encoders.MUSIC_FEATURES, 24)
    step, batch = (work(network, x, "float32") for work in (roofline.training_step, roofline.inference))
    assert step.operations > 2 * batch.operations > 0 and step.bytes > batch.bytes > 0
    assert network.training and next(network.parameters()).device.type == "cpu"


def test_quick_run_prints_a_table_and_keeps_nothing(capsys, monkeypatch):
    monkeypatch.setattr(bench.files, "write_csv", pytest.fail)
    assert bench.main(["--quick", "--only", "prompt_scoring"]) == 0
    assert "| prompt_scoring | B = 16, C = 9" in capsys.readouterr().out
    assert bench.main(["--only", "nothing"]) == 2
    assert "no such case" in capsys.readouterr().err


def test_times_on_a_busy_machine_are_not_kept(capsys, monkeypatch):
    kept = []
    monkeypatch.setattr(bench, "CASES", {"one": lambda setting: iter(())})
    monkeypatch.setattr(bench.roofline, "measure", lambda *_: RATES)
    monkeypatch.setattr(bench.roofline, "describe", lambda rates: "")
    monkeypatch.setattr(bench.files, "write_csv", lambda path, table: kept.append(path))
    monkeypatch.setattr(bench.files, "write_json", lambda path, facts: None)
    monkeypatch.setattr(bench.files, "sha256", lambda path: "")
    monkeypatch.setattr(bench, "machine", lambda device: {"processor": "p", "cores": 2, "gpu": None, "load_before": 1.7})
    assert bench.main([]) == 0 and not kept and "the load before the run was 1.7" in capsys.readouterr().err
    monkeypatch.setattr(bench, "machine", lambda device: {"processor": "p", "cores": 2, "gpu": None, "load_before": 0.3})
    assert bench.main([]) == 0 and len(kept) == 1


def test_headline_ratios_are_of_one_precision():
    with cases.Setting(torch.device("cpu"), RATES, quick=True) as setting:
        pairs = [pair for pair in cases.stgcn(setting) if not isinstance(pair, str)]
    for pair in pairs:
        assert pair.what.rsplit(", ", 1)[-1] == pair.against.rsplit(", ", 1)[-1], pair.what
        assert (pair.in_float32 is None) == pair.what.endswith("float32")


def test_a_row_of_the_table():
    pair = compare.Pair("a", lambda: time.sleep(0.03), "b", lambda: None, goal="2x", per=3, floor_s=0.001, difference=1e-4)
    row = bench.measured("case", pair, 3)
    assert set(row) == set(bench.COLUMNS) and 0.01 <= row["seconds"] < 0.03 * 3
    assert row["of_floor"] == pytest.approx(0.001 / row["seconds"])
    assert "| case | a | " in bench.markdown([row]) and "| 2x |" in bench.markdown([row])


def test_batch_sizes_are_compared_at_equal_epochs_and_at_equal_seconds(monkeypatch):
    trials = []

    def trial(pieces, params, how):
        trials.append((how.batch_size, how.learning_rate, how.epochs))
        seconds = how.epochs * (2.0 if how.batch_size == 16 else 0.5)
        return {"seconds": seconds, "loss": 1.0, "task1_accuracy": 50.0, "task2_l2": -1.0, "task3_mse": 200.0}

    monkeypatch.setattr(batch_size, "trial", trial)
    params = profiles.validate("03_pretraining", profile="demo")
    table = batch_size.study(None, params, epochs=4)
    assert table.groupby("equal", sort=False).size().to_dict() == {"epochs": 5, "seconds": 5}
    assert table[["batch_size", "learning_rate"]].iloc[0].tolist() == [16, 3e-4], "the paper's first"
    own = pretrained.training_of(params.pretraining, params)
    assert table["learning_rate"][table["batch_size"] == own.batch_size].unique() == pytest.approx(own.learning_rate)
    assert (table["epochs"][table["equal"] == "epochs"] == 4).all()
    assert (table["seconds"][table["equal"] == "seconds"] == 8.0).all()
    assert len(trials) == len(set(trials)) == 5 + 3, "what needs as many epochs as before is not trained again"


def test_operations_are_counted_without_views():
    x = torch.ones(3, 4)
    with cases.Operations() as counted:
        (x + 1).view(-1)[2:].sum()
    assert counted.count == 2


def test_a_step_is_counted_where_it_cannot_be_recorded():
    with cases.Setting(torch.device("cpu"), RATES, quick=True) as setting:
        (line,) = cases.recorded_step(setting)
    assert 100 < int(line.split("starts ")[1].split()[0]) < 10_000


@pytest.mark.parametrize("name", ["pretrain_step", "inference", "fits"])
def test_quick_case_runs(name):
    with cases.Setting(torch.device("cpu"), RATES, quick=True) as setting:
        pair = next(pair for pair in cases.CASES[name](setting) if not isinstance(pair, str))
        pair.candidate()
        pair.reference()
