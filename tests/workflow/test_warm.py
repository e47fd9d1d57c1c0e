"""Warm starts: a forked process is like one that Python started, and it ends with the one who asked for it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

WARM = Path(__file__).resolve().parents[2] / "workflow" / "warm.py"
RUN = '"$PYTHON" "$WARM"'  # in a script: starts a program, through the server where that is possible
FEW = {"DANCEMVP_WARM_IMPORTS": "json"}  # how a process ends does not depend on what the server imports


def served(folder: Path, script: str, **environment) -> subprocess.CompletedProcess:
    """Run a shell script under the server."""
    env = os.environ | {"PYTHON": sys.executable, "WARM": str(WARM), "PYTHONHASHSEED": "0"} | environment
    return subprocess.run(
        [sys.executable, str(WARM), "--serve", "sh", "-c", script], cwd=folder, env=env, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip


def test_forked_processes_are_like_fresh_ones(tmp_path):
    (tmp_path / "job.py").write_text(
        "import os, sys\n"
        "print(sys.argv[1:], os.environ['NAME'], os.getcwd() == sys.argv[2], 'torch' in sys.modules, __name__)\n"
        "print('to stderr', file=sys.stderr)\n"
        "sys.exit(int(sys.argv[1]))\n"
    )
    (tmp_path / "fails.py").write_text("raise ValueError('on purpose')")
    script = f"""
        NAME=one {RUN} job.py 3 {tmp_path}; echo status $?
        NAME=two PYTHONHASHSEED=1 {RUN} job.py 0 {tmp_path}; echo status $?
        {RUN} fails.py; echo status $?
        {RUN} json.tool --help > out.txt; echo status $?
        exit 7"""
    done = served(tmp_path, script)
    lines = done.stdout.splitlines()
    assert done.returncode == 7, done.stderr
    assert lines[:2] == [f"['3', '{tmp_path}'] one True True __main__", "status 3"]
    # another hash seed cannot be had by forking: that job ran in its own process, where nothing is imported
    assert lines[2:4] == [f"['0', '{tmp_path}'] two True False __main__", "status 0"]
    assert lines[4:] == ["status 1", "status 0"] and "ValueError: on purpose" in done.stderr
    assert done.stderr.count("to stderr") == 2 and "json.tool" in (tmp_path / "out.txt").read_text()


def test_without_a_server_the_program_runs_here(tmp_path):
    (tmp_path / "job.py").write_text("import sys\nsys.exit('one line')")
    env = {k: v for k, v in os.environ.items() if k != "DANCEMVP_WARM"}
    done = subprocess.run([sys.executable, str(WARM), "job.py"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == "one line\n"


@pytest.mark.parametrize("who", ["asker", "server"])
def test_a_forked_process_ends_with_the_asker_and_the_server(tmp_path, who):
    (tmp_path / "long.py").write_text(
        "import os, pathlib, time\npathlib.Path('pid.tmp').write_text(str(os.getpid()))\n"
        "os.rename('pid.tmp', 'pid')\ntime.sleep(300)"
    )
    wait = "while [ ! -e pid ]; do sleep 0.1; done"
    script = f"{RUN} long.py & {wait}; kill $!; wait; sleep 1" if who == "asker" else f"{RUN} long.py & {wait}"
    served(tmp_path, script, **FEW)
    deadline = time.monotonic() + 20
    while psutil.pid_exists(int((tmp_path / "pid").read_text())) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_process_that_has_answered_may_still_end_in_peace(tmp_path):
    (tmp_path / "ends_slowly.py").write_text(
        "import atexit, pathlib, time\natexit.register(lambda: (time.sleep(1), pathlib.Path('ended').touch()))"
    )
    wait = "n=0; while [ ! -e ended ] && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done"
    done = served(tmp_path, f"{RUN} ends_slowly.py; {wait}", **FEW)
    assert (tmp_path / "ended").exists(), done.stderr
