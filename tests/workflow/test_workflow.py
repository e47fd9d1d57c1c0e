"""The workflow on tiny notebooks: the plan, what makes a notebook stale, killed and resumed, refused parameters."""

import contextlib
import inspect
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import psutil
import pytest

from dancemvp_core import code_hash, files
from dancemvp_core.pretraining import methods
from dancemvp_core.runs import profiles, provenance

PROJECT = Path(__file__).resolve().parents[2]
WORKFLOW = PROJECT / "workflow"
sys.path.insert(0, str(WORKFLOW))

import disk  # noqa: E402
import keep_executed  # noqa: E402
import lifeline  # noqa: E402
import reproduce  # noqa: E402


def drawn(count: int) -> np.ndarray:
    """What a notebook's table holds; the same function stands in the notebook."""
    return np.random.default_rng(0).normal(size=count)


DRAWN = inspect.getsource(drawn)
WORK = {
    "01_table1_data": f"import numpy as np\n{DRAWN}\nrun.save_table('a.csv', pd.DataFrame({{'x': drawn(1000)}}))",
    "02_fig3_fig4_primitives": "files.write_text(run.paths.pieces / 'pieces.safetensors', 'pieces')",
}


def notebook(stage: str, work: str) -> nbformat.NotebookNode:
    code = nbformat.v4.new_code_cell
    cells = [
        code('profile: str = "smoke"\ndata: str = ""\nroot: str = ""', id="parameters", metadata={"tags": ["parameters"]}),
        code(
            "import pandas as pd\nfrom dancemvp_core import files\nfrom dancemvp_core.runs import profiles, provenance\n\n"
            f'params = profiles.validate("{stage}", globals())\nrun = provenance.start(params)',
            id="check",
        ),
        code(f"print('at work in', params.project)\n{work}\nrun.finish()", id="work"),
    ]
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": keep_executed.KERNEL})


def filled(folder: Path) -> Path:
    """A project's folder with a notebook for every stage and a data set called tiny."""
    (folder / "notebooks").mkdir(parents=True)
    (folder / "mine").mkdir()
    (folder / "mine" / "dataset.json").write_text('{"name": "tiny", "synthetic": true}')
    for stage in profiles.STAGES:
        nbformat.write(notebook(stage, WORK.get(stage, "")), folder / "notebooks" / f"{stage}.ipynb")
    return folder


@pytest.fixture(autouse=True)
def few_imports(monkeypatch):
    """These notebooks need few packages; the imports of the package's own ones take 9 s in every run."""
    monkeypatch.setenv("DANCEMVP_WARM_IMPORTS", "papermill,papermill.engines,ipykernel.kernelapp,ipykernel.ipkernel,pandas")


@pytest.fixture
def project(tmp_path):
    return filled(tmp_path)


def options(project: Path, *more: str) -> list[str]:
    named = {"root": project, "data": project / "mine", "aistpp": project / "mine", "notebooks": project / "notebooks"}
    return [part for key, value in named.items() for part in (f"--{key}", str(value))] + ["--profile", "smoke", *more]


def start(project: Path, *more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(WORKFLOW / "reproduce.py"), *options(project, *more)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=project,
    )  # fmt: skip


def test_killed_at_any_point_the_next_run_goes_on(project):
    paths = provenance.Paths("smoke", "tiny", project)
    slow = notebook("01_table1_data", "import time; time.sleep(600)")
    nbformat.write(slow, project / "notebooks" / "01_table1_data.ipynb")
    process = start(project, "--only", "01_table1_data,02_fig3_fig4_primitives", "--jobs", "2")
    deadline = time.monotonic() + 120
    executing, events = paths.build / "logs" / "01_table1_data.log", paths.build / "events.jsonl"
    # The record alone is not enough: Snakemake takes a job whose end it has not seen for unfinished.
    while not (executing.exists() and "Cell 3" in executing.read_text() and "job_finished" in events.read_text()):
        assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = paths.record("02_fig3_fig4_primitives").read_bytes()
    assert not paths.record("01_table1_data").exists()

    nbformat.write(notebook("01_table1_data", WORK["01_table1_data"]), project / "notebooks" / "01_table1_data.ipynb")
    process = start(project, "--only", "01_table1_data,02_fig3_fig4_primitives")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    files.write_csv(project / "undisturbed.csv", pd.DataFrame({"x": drawn(1000)}))
    assert (paths.results / "a.csv").read_bytes() == (project / "undisturbed.csv").read_bytes()
    assert paths.record("01_table1_data").exists() and (paths.pieces / "pieces.safetensors").exists()
    assert paths.record("02_fig3_fig4_primitives").read_bytes() == first, "a finished notebook was run again"
    assert re.search(r"start +01_table1_data", output) and not re.search(r"start +02_fig3_fig4_primitives", output)
    assert re.search(r"01_table1_data +\d:\d\d +\d+ MB", output), "no cost table"
    assert "about " in output and "Figures: figures/smoke/tiny" in output
    cost = (paths.results / "cost.csv").read_text().splitlines()
    assert cost[0] == "notebook,wall_s,peak_memory_mb"
    assert [row.split(",")[0] for row in cost[1:]] == ["01_table1_data", "02_fig3_fig4_primitives"]
    executed = nbformat.read(paths.notebook("01_table1_data"), 4)
    assert "at work in" in executed.cells[-1].outputs[0].text
    kept = keep_executed.settled(executed, project)
    assert [cell.id for cell in kept.cells] == ["parameters", "check", "work"]
    assert kept.cells[-1].outputs[0].text == "at work in .\n" and str(project) not in nbformat.writes(kept)
    assert "papermill" not in nbformat.writes(kept)


@pytest.mark.parametrize("who", ["make", "reproduce", "server", "snakemake", "papermill"])
@pytest.mark.skipif(not shutil.which("make"), reason="no make here")
def test_nothing_goes_on_when_one_of_the_chain_is_killed(project, who):
    nbformat.write(notebook("01_table1_data", "import time; time.sleep(600)"), project / "notebooks" / "01_table1_data.ipynb")
    command = shlex.join([sys.executable, str(WORKFLOW / "reproduce.py"), *options(project, "--only", "01_table1_data")])
    (project / "Makefile").write_text(f"all:\n\t@exec {command} > output 2>&1\n")
    make = subprocess.Popen(["make"], cwd=project, env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")})
    executing = provenance.Paths("smoke", "tiny", project).build / "logs" / "01_table1_data.log"
    wait_until(lambda: executing.exists() and "Cell 3" in executing.read_text(), project / "output")
    mark = (project / "build" / "reproduce.lock").read_text()
    started: dict[str, psutil.Process] = {}
    for process in [psutil.Process(make.pid), *psutil.Process(make.pid).children(recursive=True)]:
        started.setdefault(name_of(process), process)  # the server before what is forked off it
    assert {"make", "reproduce", "lifeline", "server", "snakemake", "papermill", "kernel"} <= set(started)
    assert {started[name] for name in ("server", "snakemake", "papermill", "kernel")} <= set(lifeline.marked(mark))
    started[who].kill()
    make.wait(timeout=60)
    wait_until(lambda: not [p for p in started.values() if is_at_work(p)] and not lifeline.marked(mark), project / "output")
    ended = "Snakemake was ended by SIGKILL"
    words = {"snakemake": ended, "server": ended, "papermill": "01_table1_data failed", "make": "Stopped."}
    assert words.get(who, "") in (project / "output").read_text()


def name_of(process: psutil.Process) -> str:
    """What a process of the chain is, by its command line."""
    command = " ".join(process.cmdline())
    parts = {"lifeline.py": "lifeline", "--serve": "server", "run_notebook.py": "papermill", "ipykernel": "kernel",
             "-m snakemake": "snakemake", "reproduce.py": "reproduce"}  # fmt: skip
    found = next((name for part, name in parts.items() if part in command), process.name())
    return "shell" if process.name() in ("sh", "bash") else found


def is_at_work(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_until(done, log: Path) -> None:
    """Wait for a condition; the limit is only for a fault, so that a slow machine passes."""
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline, log.read_text() if log.exists() else log
        time.sleep(0.1)


# Quotes, what shells, Snakemake, YAML and printf take for their own, an accent; and a byte that is no UTF-8.
ANY_NAME = "Télé \"q\" 'a' {profile} $HOME $(b) %s: #\\ ~"
NO_UTF8 = "" if sys.platform == "darwin" else "\udcff"  # where all names are UTF-8


@pytest.fixture
def strange(tmp_path):
    """A project whose folder has such a name."""
    return filled(tmp_path / ANY_NAME)


def test_any_letter_in_a_path_and_ascii_output(strange):
    (strange / "mine" / "dataset.json").unlink()  # the folder names the data set
    data = (strange / "mine").rename(strange / f"dance {strange.name}{NO_UTF8}")
    (data / f"file {strange.name}{NO_UTF8}").write_text("x")
    work = """
import torch, types, matplotlib.pyplot as plt
print(run.add_input(params.data_root), "\u00e9")
run.save_table("a.csv", pd.DataFrame({"file": [ascii(path.name) for path in params.data_root.iterdir()]}))
run.save_table("b.parquet", pd.DataFrame({"x": [1]}))
run.save_tensors("c.safetensors", {"x": torch.ones(1)})
run.save_figure("d", plt.figure(), "caption", types.SimpleNamespace(name="x", synthetic=False))"""
    nbformat.write(notebook("01_table1_data", work), strange / "notebooks" / "01_table1_data.ipynb")
    named = ["--root", strange, "--data", data, "--notebooks", strange / "notebooks", "--profile", "smoke"]
    named += ["--only", "01_table1_data"]
    done = subprocess.run(
        [sys.executable, str(WORKFLOW / "reproduce.py"), *named], capture_output=True, cwd=strange, timeout=240,
        env=os.environ | {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.isascii() and b"Tables: results/smoke/dance T\\xe9l" in done.stdout
    paths = provenance.Paths("smoke", provenance.dataset_name(data), strange)
    assert "{" not in paths.dataset and "%7Bprofile%7D" in paths.dataset
    assert {f.name for f in paths.results.iterdir() if "prov" not in f.name} == {"a.csv", "b.parquet", "c.safetensors", "cost.csv"}
    record = json.loads(paths.record("01_table1_data").read_text(encoding="utf-8"))
    assert list(record["inputs"]) == [data.relative_to(strange).as_posix()]
    executed = nbformat.read(paths.notebook("01_table1_data"), 4)
    assert executed.metadata.papermill.parameters.data == str(data)
    again = subprocess.run([sys.executable, str(WORKFLOW / "reproduce.py"), *named], capture_output=True, cwd=strange, timeout=120)
    assert b"Everything was up to date." in again.stdout, again.stdout + again.stderr


def test_a_named_split_reaches_the_notebooks_and_has_its_own_folders(project):
    process = start(project, "--only", "01_table1_data", "--split", "released")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert "smoke on tiny-released-split" in output
    ours, released = (provenance.Paths("smoke", name, project) for name in ("tiny", "tiny-released-split"))
    assert released.record("01_table1_data").exists() and not ours.build.exists() and not ours.results.exists()
    sidecar = json.loads((released.results / "a.csv.prov.json").read_text(encoding="utf-8"))
    assert sidecar["parameters"]["split"] == "released" and sidecar["dataset"] == "tiny-released-split"


def test_shots_and_a_description_of_data_elsewhere_reach_the_notebooks(project):
    """The data lie in a folder that is only read; the description names them, and the number of shots is the user's."""
    work = "run.save_table('shots.csv', pd.DataFrame({'shots': [params.shots], 'profile': [params.label]}))"
    nbformat.write(notebook("extra_difficulty", work), project / "notebooks" / "extra_difficulty.ipynb")
    description = project / "theirs.json"
    description.write_text('{"folder": "mine", "name": "theirs"}')
    given = options(project, "--only", "extra_difficulty", "--shots", "3", "--data", str(description))
    assert reproduce.main(given) == 0
    made = project / "results" / "smoke" / "theirs" / "shots.csv"
    assert pd.read_csv(made).to_dict("records") == [{"shots": 3, "profile": "smoke"}]


def test_make_hands_names_on_as_they_are(strange):
    if not shutil.which("make"):
        pytest.skip("no make here")
    name = strange.name + NO_UTF8
    for variables, environment in ([f"DATA={name}"], {}), ([], {"DATA": name}):
        recipe = subprocess.run(
            ["make", "--no-print-directory", "-f", PROJECT / "Makefile", "-f", "-", "show", *variables],
            input=b'show: ; @printf %s "$$DATA"\n', capture_output=True, env=os.environ | environment, cwd=PROJECT,
        )  # fmt: skip
        assert recipe.stdout == os.fsencode(name), recipe.stderr


@pytest.mark.skipif(not NO_UTF8, reason="all names are UTF-8 here")
def test_a_root_that_is_no_utf8_is_refused_in_one_line(tmp_path, capsys):
    (tmp_path / NO_UTF8).mkdir()
    assert reproduce.main(["--profile", "smoke", "--root", str(tmp_path / NO_UTF8)]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not list((tmp_path / NO_UTF8).iterdir())


def test_plan_and_a_failing_notebook(project):
    faulty = notebook("01_table1_data", "profiles.validate('01_table1_data', lr=1)")
    nbformat.write(faulty, project / "notebooks" / "01_table1_data.ipynb")
    files.write_json(project / "config.json", {"profile": "study", "root": project, "notebooks": project / "notebooks"})
    plan = subprocess.run(
        [*reproduce.snakemake(project / "config.json", 2), "-n"],
        capture_output=True, text=True, env=reproduce.environment(), cwd=project,
    )  # fmt: skip
    stats = dict(re.findall(r"^(\w+) +(\d+)$", plan.stdout + plan.stderr, flags=re.MULTILINE))
    assert stats.pop("synthdance") == "1" and stats.pop("aistpp_standin") == "1", plan.stderr
    assert int(stats.pop("03_pretraining")) >= len(methods.pretrainings()), "a method without its encoder"
    once = {stage for stage, count in stats.items() if count == "1"}
    assert once >= {"01_table1_data", "02_fig3_fig4_primitives", "07_table4_fig7_prompting"}

    process = start(project, "--only", "01_table1_data")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "01_table1_data failed: ParameterError: notebook 01_table1_data: unknown parameter 'lr'" in output
    assert "Traceback" not in output
    assert not provenance.Paths("smoke", "tiny", project).record("01_table1_data").exists()


def test_after_a_full_disk_the_tables_are_those_of_an_undisturbed_run(small_disk):
    project = filled(small_disk(60) / "project")
    cell = f"import numpy as np\n{DRAWN}\nrun.save_table('big.parquet', pd.DataFrame({{'x': drawn(3_000_000)}}))"
    nbformat.write(notebook("01_table1_data", cell), project / "notebooks" / "01_table1_data.ipynb")
    (project / "filler").write_bytes(bytes(40_000_000))  # the pieces of such a run have room, this table has not
    process = start(project, "--only", "01_table1_data,02_fig3_fig4_primitives")
    output, _ = process.communicate(timeout=240)
    paths = provenance.Paths("smoke", "tiny", project)
    assert process.returncode == 1
    assert re.search(r"01_table1_data failed: OSError: .*the disk is full.*big\.parquet", output), output
    told = rf"reproduce: the disk is full: \d+ MB are free in {re.escape(str(project))}, smoke needs \d+ MB"
    assert re.search(told, output), output
    assert not list(paths.results.glob("**/*big*")), "half a file"

    (project / "filler").unlink()
    process = start(project, "--only", "01_table1_data,02_fig3_fig4_primitives")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    files.write_parquet(project / "undisturbed.parquet", pd.DataFrame({"x": drawn(3_000_000)}))
    assert (paths.results / "big.parquet").read_bytes() == (project / "undisturbed.parquet").read_bytes()


def test_a_run_without_room_is_not_started(project, capsys, monkeypatch):
    usage = shutil._ntuple_diskusage(10**9, 10**9 - 50 * disk.MB, 50 * disk.MB)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert reproduce.main(options(project)) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"reproduce: the disk has too little free space: 50 MB are free in {project}, smoke needs 1."), said
    assert "encoders" in said and said.endswith("pieces 10 MB\n") and said.count("\n") == 1
    assert not list((project / "build").rglob("snakemake.log"))


def test_a_notebook_that_cannot_start_says_why(project, capfd):
    (project / "notebooks" / "01_table1_data.ipynb").write_text("{")
    assert reproduce.main(options(project, "--only", "01_table1_data")) == 1
    said = capfd.readouterr().err
    assert "the workflow did not start: JSONDecodeError: Expecting property name" in said and "snakemake.log" in said


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--profile", "full"], "expected one of smoke, demo, study, paper"),
        (["--data", "/nowhere"], "DATA=/nowhere: no such folder"),
        (["--split", "x"], "split 'x': expected released or validation2 or validation3 or people, or none for the data's own\n"),
        (["--seeds", "0"], "expected a whole number from 1, got '0'"),
        (["--shots", "few"], "expected a whole number from 1, got 'few'"),
        (["--jobs", "two"], "expected a whole number from 1, got 'two'"),
    ],
)
def test_wrong_arguments(project, more, message, capsys):
    with pytest.raises(SystemExit) as caught:
        sys.exit(reproduce.main(options(project, *more)))
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_only_one_run_at_a_time(project, capsys, monkeypatch):
    monkeypatch.setattr(reproduce, "STOP_S", 0.1)
    handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with reproduce.only_one(project):
        assert reproduce.main(options(project)) == 2
    for name, handler in handlers.items():
        signal.signal(name, handler)
    assert "another run is active" in capsys.readouterr().err


def test_deleted_results_are_made_again(project):
    paths = provenance.Paths("smoke", "tiny", project)
    for job, file in (("01_table1_data", "results/a.csv"), ("02_fig3_fig4_primitives", "results/b.csv")):
        files.write_json(paths.record(job), {"files": [file]})
        files.write_text(project / file, "")
    (project / "results" / "b.csv").unlink()
    reproduce.forget_incomplete(paths)
    assert paths.record("01_table1_data").exists() and not paths.record("02_fig3_fig4_primitives").exists()


def test_estimates_follow_the_pace(project):
    paths = provenance.Paths("smoke", "tiny", project)
    with open(os.devnull, "w") as nowhere:
        progress = reproduce.Progress(paths, 2, {"01_table1_data": 100.0, "03_pretraining-a-seed0": 60.0}, nowhere)
        progress.take({"event": "run_info", "stats": {"01_table1_data": 1, "03_pretraining": 2, "all": 1}})
        assert progress.total == 3 and progress.left() == "about 2 min left"  # (100 + 60 + 60) / 2 = 110 s
        logs = ["b/01_table1_data.ipynb", "b/01_table1_data.log"]
        progress.take({"event": "job_info", "jobid": 4, "rule_name": "01_table1_data", "log": logs})
        assert list(progress.running) == [4] and progress.running[4].name == "01_table1_data"
        progress.running[4].started -= 300  # three times as long as last time
        progress.take({"event": "job_finished", "job_id": 4})
        assert progress.done == 1 and progress.left() == "about 3 min left"  # 3 * (60 + 60) / 2
        logs = ["b/03_pretraining-a-seed0.ipynb", "b/03_pretraining-a-seed0.log"]
        progress.take({"event": "job_error", "jobid": 5, "rule_name": "03_pretraining", "log": logs})
    assert progress.failed[0].log == "b/03_pretraining-a-seed0.log"


def test_hashes_see_code_and_not_prose(tmp_path):
    before = nbformat.read(nbformat_file(tmp_path, "x = 1", outputs=True), 4)
    assert code_hash.notebook_hash(nbformat_file(tmp_path, "x = 1", outputs=True)) == code_hash.notebook_hash(
        nbformat_file(tmp_path, "x = 1", outputs=False)
    )
    assert code_hash.notebook_hash(nbformat_file(tmp_path, "x = 1")) != code_hash.notebook_hash(
        nbformat_file(tmp_path, "x = 2")
    )
    assert before.cells[0].source == "x = 1"
    imports = "from dancemvp_core.dance import rhythm\nfrom dancemvp_core.runs import provenance"
    path = nbformat_file(tmp_path, f"%matplotlib inline\n{imports}")
    assert "dancemvp_core.dance.rhythm" in code_hash.notebook_imports(path)
    named = ["dancemvp_core.dance.rhythm", "dancemvp_core.dance", "dancemvp_core.runs"]
    assert code_hash.modules_hash([path]) == code_hash.modules_hash(named)


def nbformat_file(folder: Path, source: str, outputs: bool = False) -> Path:
    cell = nbformat.v4.new_code_cell(source, id="a")
    if outputs:
        cell.outputs = [nbformat.v4.new_output("stream", text="1")]
        cell.execution_count = 1
    path = folder / f"{len(list(folder.iterdir()))}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    return path


def test_modules_hash_follows_imports_and_ignores_comments(tmp_path, monkeypatch):
    core = tmp_path / "dancemvp_core"
    core.mkdir()
    monkeypatch.setattr(code_hash, "CORE", core)

    def hashed(inner: str, ignore=()) -> str:
        (core / "__init__.py").write_text("")
        (core / "outer.py").write_text("from dancemvp_core import inner, figures\n")
        (core / "inner.py").write_text(inner)
        code_hash._read.cache_clear()
        return code_hash.modules_hash(["dancemvp_core.outer"], ignore)

    (core / "figures.py").write_text("A = 1\n")
    first = hashed('"""Doc."""\ndef f():\n    """Say."""\n    return 1\n')
    assert first == hashed('"""Other."""\n# note\ndef f():\n    """Told."""\n    return 1\n')
    assert first != hashed('"""Doc."""\ndef f():\n    """Say."""\n    return 2\n')
    without = hashed("x = 1", ignore=("figures",))
    (core / "figures.py").write_text("A = 2\n")
    assert without == hashed("x = 1", ignore=("figures",))
    (core / "chosen.yaml").write_text("a: 1")
    named = hashed("x = 'chosen.yaml'")
    (core / "chosen.yaml").write_text("a: 2")
    assert named != hashed("x = 'chosen.yaml'")


def test_last_error_and_last_output(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("Executing Cell 1\n\x1b[31mValueError: first\x1b[0m\nx.y.DataError: f.npy: bad\nEnding Cell 1\n")
    assert reproduce.last_error(log) == "DataError: f.npy: bad"
    log.write_text("Executing Cell 1---\nepoch 3/8 loss 4.2\n\n")
    assert reproduce.last_output(log) == ": epoch 3/8 loss 4.2"
    assert reproduce.last_output(tmp_path / "none") == ""


def test_no_package_index_and_no_absolute_path_in_the_set_up():
    scripts, locks = ("workflow/setup.sh", "workflow/can_install.py", ".ci/run"), ("requirements.lock", "requirements-test.lock")
    for name in ("Makefile", "environment.yml", "pyproject.toml", *scripts, *locks):
        text = (PROJECT / name).read_text()
        assert not re.search(r"https?://|--(extra-)?index-url|/root/|/home/", text), name


def test_json_parameters_reach_papermill_as_written():
    # -y is YAML: what json.dumps writes must mean the same there, also for names that look like numbers
    import yaml

    values = {"profile": "smoke", "data": "/a b/1e3: 'x' #y", "seed": 0, "pretraining": "1e3"}
    assert yaml.safe_load(json.dumps(values)) == values
