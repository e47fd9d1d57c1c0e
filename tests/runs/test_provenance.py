"""Files are replaced whole or not at all, sidecars say where results come from, same content gives same bytes."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest

from dancemvp_core import files
from dancemvp_core.runs import profiles, provenance

matplotlib.use("agg")


@pytest.fixture
def run(tmp_path):
    data = tmp_path / "mine"
    data.mkdir()
    (data / "dataset.json").write_text('{"name": "tiny", "synthetic": true}')
    params = profiles.validate("07_table4_fig7_prompting", data=str(data), root=str(tmp_path / "out"))
    return provenance.start(params, inputs=[data])


def metrics(value: float, method: str = "ours") -> pd.DataFrame:
    row = [method, "prompt", 0, 5, 20, 1, "accuracy", value]
    return pd.DataFrame([row], columns=provenance.METRICS_COLUMNS)


def test_a_table_and_its_sidecar(run):
    path = run.save_table("table4_prompting.csv", pd.DataFrame({"task1": [0.5]}), reason="why")
    assert path == run.paths.root / "results" / "smoke" / "tiny" / "table4_prompting.csv"
    assert path.read_text() == "task1\n0.5\n"
    prov = json.loads(path.with_name("table4_prompting.csv.prov.json").read_text())
    assert prov["notebook"] == "07_table4_fig7_prompting" and prov["dataset"] == "tiny" and prov["reason"] == "why"
    assert prov["sha256"] == files.sha256(path) and prov["rows"] == 1
    assert prov["seeds"] == [0] and prov["parameters"]["shots"] == profiles.PROFILES["smoke"].shots
    assert set(prov["git"]) == {"commit", "dirty"} and len(prov["lock"]) == 64
    assert prov["inputs"] == {"mine": files.fingerprint(run.params.data_root)}
    assert prov["wall_s"] >= 0 and 10 < prov["peak_memory_mb"] < 50_000
    assert str(run.paths.root.parent) not in json.dumps(prov), "no path of this machine in what may be published"


def test_a_sidecar_says_what_the_data_were_downloaded_from(run):
    assert "downloads" not in run.provenance()
    read = [{"url": "https://example.org/moves.zip", "sha256": "ab" * 32}]
    (run.params.data_root / "dataset.json").write_text(json.dumps({"name": "tiny", "downloads": read}))
    assert run.provenance()["downloads"] == read


def test_a_figure_is_the_same_bytes_twice(run):
    from matplotlib import pyplot as plt

    def draw():
        figure, axes = plt.subplots()
        axes.plot([1, 2, 3], label="a")
        axes.legend()
        run.save_figure("fig6_progression", figure, "BAR.", SimpleNamespace(name="tiny", synthetic=True))
        plt.close(figure)
        return [(run.paths.figures / f"fig6_progression.{kind}").read_bytes() for kind in ("png", "pdf")]

    first = draw()
    time.sleep(1.1)  # a date in the metadata would have moved on
    assert first == draw()
    sidecar = json.loads((run.paths.figures / "fig6_progression.prov.json").read_text())
    assert sidecar["caption"] == "BAR. Data: tiny, which is synthetic."


def test_a_figure_that_could_not_be_drawn_is_named_and_not_written(run, capsys):
    assert run.save_figure("fig5c", None, "A map.", SimpleNamespace(name="tiny", synthetic=True)) is None
    assert "fig5c is left out" in capsys.readouterr().out and not run.paths.figures.exists()


def test_a_notebook_that_the_data_do_not_support_ends_with_its_record_and_without_old_measures(run):
    run.require("")
    row = ("ours", "prompt", 0, 5, 20, 1, "accuracy", 90.0)
    run.save_metrics(pd.DataFrame([row], columns=provenance.METRICS_COLUMNS))
    with pytest.raises(provenance.LeftOut, match="no levels"):
        run.require("no levels")
    assert run.paths.record(run.params.job).exists()
    assert pd.read_parquet(run.paths.results / "metrics.parquet").empty, "the measures of other data in the same place"


def test_tensors_come_back(run):
    import torch
    from safetensors.torch import load_file

    path = run.save_tensors(run.paths.encoder("ours", 0), {"w": torch.arange(3.0)}, {"why": "test"})
    assert load_file(path)["w"].tolist() == [0, 1, 2]
    assert path.with_name("ours-seed0.safetensors.prov.json").exists()


def test_metrics_of_several_notebooks_do_not_depend_on_their_order(run, tmp_path):
    other = provenance.start(profiles.validate("05_table2_baselines", data=run.params.data, root=run.params.root))
    run.save_metrics(metrics(1.0))
    other.save_metrics(pd.concat([metrics(3.0), metrics(2.0, "svt")]))
    path = run.save_metrics(pd.concat([metrics(3.0), metrics(4.0, "moco")]))
    # by notebook, own rows replaced, and what both have stands there once
    assert pd.read_parquet(path)["value"].tolist() == [3.0, 2.0, 4.0]
    with pytest.raises(ValueError, match="expected the columns method, protocol"):
        run.save_metrics(metrics(1.0).drop(columns="seed"))


def test_the_record_lists_what_was_written(run):
    run.save_table("a.csv", pd.DataFrame({"x": [1]}))
    run.finish()
    record = json.loads(run.paths.record("07_table4_fig7_prompting").read_text())
    assert record["files"] == ["results/smoke/tiny/a.csv", "results/smoke/tiny/a.csv.prov.json"]
    assert all((run.paths.root / file).exists() for file in record["files"])


def test_a_failing_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": np.float32(1.5), "p": tmp_path})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="Out of range"):
        files.write_json(path, {"a": float("nan")})
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    code = f"""
        import pathlib, time
        from dancemvp_core import files
        with files.replacing(pathlib.Path({str(path)!r})) as temporary:
            temporary.write_text("half")
            print("writing", flush=True)
            time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert path.read_text() == "old"


def test_fingerprint_sees_content_names_and_sizes(tmp_path):
    big, small = tmp_path / "big.npy", tmp_path / "small.csv"
    big.write_bytes(b"x" * (3 << 20))
    small.write_text("a")
    seen = {files.fingerprint(tmp_path)}
    small.write_text("b")
    seen.add(files.fingerprint(tmp_path))
    big.write_bytes(b"y" + b"x" * ((3 << 20) - 1))
    seen.add(files.fingerprint(tmp_path))
    small.rename(tmp_path / "other.csv")
    seen.add(files.fingerprint(tmp_path))
    assert len(seen) == 4
    before = files.fingerprint(tmp_path)
    os.utime(big)
    (tmp_path / ".hidden").write_text("x")
    assert files.fingerprint(tmp_path) == before
    with pytest.raises(FileNotFoundError):
        files.fingerprint(tmp_path / "none")


def test_code_version_without_git_and_in_somebody_elses_checkout(tmp_path, monkeypatch):
    nothing = {"commit": None, "dirty": None}
    assert provenance.code_version(tmp_path) == nothing
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "inner").mkdir()
    assert provenance.code_version(tmp_path / "inner") == nothing
    monkeypatch.setenv("PATH", "")
    (tmp_path / "third").mkdir()
    assert provenance.code_version(tmp_path / "third") == nothing


def test_code_version_of_a_checkout(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "code.py").write_text("1")
    git("add", "code.py")
    git("commit", "-qm", "first")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "table.csv").write_text("1")
    version = provenance.code_version(tmp_path)
    assert len(version["commit"]) == 40 and version["dirty"] is False
    (tmp_path / "code.py").write_text("2")
    provenance.code_version.cache_clear()
    assert provenance.code_version(tmp_path)["dirty"] is True


def test_results_of_two_splits_have_folders_of_their_own(tmp_path):
    ours, released = (
        provenance.Paths.of(profiles.validate("01_table1_data", root=str(tmp_path), data=str(tmp_path), split=split))
        for split in ("", "released")
    )
    assert ours.dataset == tmp_path.name and released.dataset == f"{tmp_path.name}-released-split"
    for folder in ("results", "figures", "build", "pieces"):
        assert not getattr(released, folder).is_relative_to(getattr(ours, folder))
    assert released.music_cache == ours.music_cache
    roots = {profiles.unseen_dancers_root(tmp_path, "smoke", split) for split in profiles.SPLITS}
    styled = {profiles.strong_style_root(tmp_path, "smoke", who, s) for who in ("seen", "unseen") for s in profiles.SPLITS}
    assert len(roots) == len(profiles.SPLITS), "other dancers dance the test choreographies of the split"
    assert len(styled) == 2 * len(roots)


def test_dataset_name_is_the_folders_without_dataset_json(tmp_path):
    assert provenance.dataset_name(tmp_path) == tmp_path.name
