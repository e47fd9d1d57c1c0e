"""`make reproduce`: run the notebooks with Snakemake, and report the running jobs, the remaining time and the cost.

Every file is replaced as a whole, and every notebook writes a record when it is done. So a run can be stopped or killed at
any point, and the next one continues there.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import fcntl
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import disk
import lifeline
from warm import FIXED

from dancemvp_core import files
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.runs import profiles, provenance
from dancemvp_core.runs.progress import print_anything

PROJECT = Path(__file__).resolve().parents[1]
HEARTBEAT_S = 30.0
STOP_S = 5.0
# Expected seconds of a job without an earlier run: with the profile smoke on two cores, and factors for larger profiles.
TYPICAL_S = {
    "synthdance": 15, "aistpp_standin": 5, "01_table1_data": 30, "02_fig3_fig4_primitives": 30, "03_pretraining": 20,
    "04_fig5_embeddings": 30, "05_table2_baselines": 40, "06_table3_ablation": 40, "07_table4_fig7_prompting": 40,
    "08_fig6_progression": 20, "09_released_code": 60, "13_claims": 20,
}  # fmt: skip
LARGER = {"smoke": 1, "demo": 5, "study": 40, "paper": 200}


class Stopped(Exception):
    """The run must stop: it received a signal, or make has ended."""


def main(arguments: list[str] | None = None) -> int:
    """Run the pipeline; return 0 for success, 1 if a notebook failed, 2 for a wrong argument, 130 if the run was stopped."""
    print_anything()
    above = lifeline.line_of_make()
    options = parse(arguments)
    try:
        given = {name: getattr(options, name) for name in profiles.GIVEN if getattr(options, name)}
        profile = profiles.load(options.profile, **given)
        data = existing_folder("DATA", options.data)
        aistpp = existing_folder("AISTPP", options.aistpp)
        split = profiles.known_split(options.split)
        dataset = profiles.with_split(provenance.dataset_name(Path(data)) if data else profiles.SYNTHDANCE, split)
    except (profiles.ParameterError, DataError) as fault:
        print(f"reproduce: {fault}", file=sys.stderr)
        return 2
    root = Path(options.root).resolve()
    if not is_utf8(root):
        print(f"reproduce: {root}: this name is not UTF-8, and safetensors cannot open a file in such a folder", file=sys.stderr)
        return 2
    paths = provenance.Paths(options.profile, dataset, root)
    settings = {"profile": options.profile, "data": data, "aistpp": aistpp, "split": split, "root": str(root)}
    settings |= given
    settings |= {"only": options.only} if options.only else {}
    settings |= {"notebooks": str(Path(options.notebooks).resolve())} if options.notebooks else {}
    needs = disk.needed(profile, bool(data), bool(aistpp), bool(options.only))
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _raise_stopped)
    try:
        with only_one(root) as mark:
            if lack := disk.lacking(paths, needs):
                print(f"reproduce: {lack}", file=sys.stderr)
                return 2
            forget_incomplete(paths)
            return run(paths, settings, options.jobs, mark, above, needs)
    except Stopped:
        print("\nStopped. The next `make reproduce` continues from here.", file=sys.stderr)
        return 130
    except BlockingIOError:
        print(f"reproduce: another run is active in {root}; wait for it or stop it", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise  # the reader of the output has ended
    except OSError as fault:
        if files.disk_is_full(fault):
            print(f"reproduce: {full_disk(paths, needs)}", file=sys.stderr)
        else:
            print(f"reproduce: {fault.filename or root}: {fault.strerror or fault}", file=sys.stderr)
        return 2


def is_utf8(path: Path) -> bool:
    """Return whether a path is valid UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line; empty values, which make passes, mean the default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="demo", help="smoke, demo, study or paper (default: demo)")
    parser.add_argument("--data", default="", help="folder of the data set (default: SynthDance, which the run creates)")
    parser.add_argument("--aistpp", default="", help="folder of AIST++ (default: a stand-in, which the run creates)")
    parser.add_argument("--split", default="", help="released: the split of the authors' released code (default: the data's own)")
    parser.add_argument("--seeds", default="", type=_count, help="number of seeds (default: the profile's)")
    parser.add_argument("--shots", default="", type=_count, help="performances of each class to learn from (default: as seeds)")
    parser.add_argument("--jobs", default="", type=_count, help="number of parallel notebooks, one core each (default: all cores)")
    parser.add_argument("--root", default=str(PROJECT), help="folder of build/, results/, figures/ (default: the project)")
    parser.add_argument("--notebooks", default="", help="folder of the notebooks (default: the project's)")
    parser.add_argument("--only", default="", help="notebooks to run (and those that they need), e.g. 01_table1_data,13_claims")
    options = parser.parse_args(arguments)
    options.profile = options.profile or "demo"
    options.jobs = options.jobs or usable_cores()
    return options


def usable_cores() -> int:
    """Return the number of cores that this process may use, or that of the machine if the system does not state it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _count(text: str) -> int | None:
    if text == "":
        return None
    if not (text.isdigit() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def existing_folder(name: str, text: str) -> str:
    """Return the absolute path of a folder that the user named, or of a JSON that describes one; "" for none.

    Raises DataError if it does not exist.
    """
    if not text:
        return ""
    path = Path(text) if Path(text).is_dir() else Path(os.path.expanduser(text))
    if not path.is_dir() and not (path.is_file() and path.suffix.lower() == ".json"):
        raise DataError(f"{name}={text}: no such folder, expected a data set's")
    return str(path.resolve())


def forget_incomplete(paths: provenance.Paths) -> None:
    """Delete each record with a missing table or figure, so that its notebook runs again."""
    for record in paths.record("").parent.glob("[!.]*.json"):
        files = json.loads(record.read_text(encoding="utf-8"))["files"]
        if not all((paths.root / file).exists() for file in files):
            record.unlink()


# --- one run at a time, without leftover processes ---------------------------------------------------------------


@contextlib.contextmanager
def only_one(root: Path):
    """Context that holds the project's lock and yields a new mark for the processes of this run (``lifeline``).

    The system releases the lock when this process ends, in any way. First, the processes with the mark of the last run are
    ended, because that run may have been killed together with its watcher. Raises BlockingIOError if another run has the
    lock.
    """
    path = root / "build" / "reproduce.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        deadline = time.monotonic() + 2 * STOP_S  # a run whose make was killed needs some time to stop
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        file.seek(0)
        if last := file.read().strip():
            lifeline.end(last)
        mark = uuid.uuid4().hex
        file.truncate(0)
        file.write(mark)
        file.flush()
        with lifeline.held(mark):
            yield mark


def _raise_stopped(number, frame):
    raise Stopped


# --- the run -----------------------------------------------------------------------------------------------------


@dataclass
class Job:
    """A job as Snakemake reports it; ``started`` is in seconds of the monotonic clock."""

    rule: str
    name: str = ""
    log: str = ""
    started: float = 0.0


@dataclass
class Progress:
    """The progress that Snakemake has reported so far (``logger``), and an estimate of the remaining time."""

    paths: provenance.Paths
    cores: int
    expected_s: dict[str, float]
    say: io.TextIOBase
    waiting: dict[str, int] = field(default_factory=dict)  # rule -> number of jobs that have not started
    running: dict[int, Job] = field(default_factory=dict)  # Snakemake's number -> job
    failed: list[Job] = field(default_factory=list)
    total: int = 0
    done: int = 0
    pace: list[float] = field(default_factory=list)  # actual time / expected time of each finished job
    began: float = field(default_factory=time.monotonic)

    def take(self, event: dict) -> None:
        """Process one event of Snakemake's logger."""
        kind = event["event"]
        if kind == "run_info":
            self._plan(event["stats"])
        elif kind == "job_finished":
            self._ended(event["job_id"])
        elif event["rule_name"] != "all":
            log = (event.get("log") or [""])[-1]
            job = Job(event["rule_name"], Path(log).stem or event["rule_name"], log, time.monotonic())
            if kind == "job_error":
                self.failed.append(job)
            else:
                self._started(event["jobid"], job)

    def _plan(self, stats: dict[str, int]) -> None:
        if self.total:  # Snakemake repeats its plan after a checkpoint; only the first one counts
            return
        self.waiting = {rule: count for rule, count in stats.items() if rule not in ("all", "total")}
        self.total = sum(self.waiting.values())
        if self.total:
            self.print_line(f"{_plural(self.total, 'step')} on {_plural(self.cores, 'core')}, {self.left()}")

    def _started(self, number: int, job: Job) -> None:
        self.waiting[job.rule] = self.waiting.get(job.rule, 1) - 1
        self.running[number] = job
        self.print_line(f"start  {job.name}")

    def _ended(self, number: int) -> None:
        job = self.running.pop(number, None)
        if job:
            self.done += 1
            took = time.monotonic() - job.started
            self.pace.append(took / self.expected(job))
            self.print_line(f"done   {job.name} in {_clock(took)}; {self.done} of {self.total}, {self.left()}")

    def expected(self, job: Job) -> float:
        """Return the expected seconds of a job: the time of its last run, of similar jobs, or a typical time."""
        if job.name in self.expected_s:
            return self.expected_s[job.name]
        same = [s for name, s in self.expected_s.items() if name.startswith(job.rule)]
        return sum(same) / len(same) if same else TYPICAL_S.get(job.rule, 30) * LARGER[self.paths.profile]

    def left(self) -> str:
        """Return the remaining time in words: the expected work, corrected by the pace so far, divided by the cores."""
        pace = sum(self.pace) / len(self.pace) if self.pace else 1.0
        now = time.monotonic()
        rests = [max(pace * self.expected(j) - (now - j.started), 1.0) for j in self.running.values()]
        rests += [pace * self.expected(Job(rule)) for rule, count in self.waiting.items() for _ in range(count)]
        if not rests:
            return "nothing left"
        return f"about {_roughly(max(sum(rests) / min(self.cores, len(rests)), max(rests)))} left"

    def heartbeat(self) -> None:
        """Print each running job with the last line of its output."""
        for job in self.running.values():
            elapsed = time.monotonic() - job.started
            if elapsed < HEARTBEAT_S / 2:
                continue
            self.print_line(f"       {job.name} since {_clock(elapsed)}{last_output(self.paths.root / job.log)}; {self.left()}")

    def print_line(self, text: str) -> None:
        """Print one line after the time since the start."""
        with contextlib.suppress(BrokenPipeError):  # the reader of the output has ended; the run continues
            print(f"[{_clock(time.monotonic() - self.began):>7}] {text}", file=self.say, flush=True)


def run(paths: provenance.Paths, settings: dict, jobs: int, mark: str, above: list, needs: dict[str, int]) -> int:
    """Run Snakemake to its end, print the report, and return the exit status.

    ``above`` are the processes above this one, up to make (``lifeline.line_of_make``). Raises Stopped if one of them ends.
    """
    began = time.monotonic()
    progress = Progress(paths, jobs, {name: cost["wall_s"] for name, cost in costs(paths).items()}, sys.stdout)
    log, config, events = (paths.build / name for name in ("snakemake.log", "config.json", "events.jsonl"))
    files.write_json(config, settings)
    files.write_text(events, "")
    warm = [sys.executable, str(PROJECT / "workflow" / "warm.py"), "--serve"]
    env = environment() | {lifeline.MARK: mark, "DANCEMVP_EVENTS": str(events)}
    process = subprocess.Popen(
        [*warm, *snakemake(config, jobs)], cwd=paths.root, env=env,
        encoding="utf-8", errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    progress.print_line(f"{paths.profile} on {paths.dataset}: finding the notebooks to run")
    reader = threading.Thread(target=_copy, args=(process.stdout, log), daemon=True)
    reader.start()
    beat, read = time.monotonic(), 0
    try:
        while process.poll() is None:
            time.sleep(0.2)
            read = take_new(events, read, progress)
            if lifeline.broken(above):
                raise Stopped  # nobody waits for this run any more
            if time.monotonic() - beat >= HEARTBEAT_S:
                beat = time.monotonic()
                progress.heartbeat()
    finally:
        lifeline.end(mark)  # also ends the jobs of a Snakemake that was killed
        process.wait()
    reader.join(timeout=STOP_S)
    take_new(events, read, progress)
    if process.returncode:
        return report_failure(paths, progress, log, process.returncode, needs)
    report(paths, time.monotonic() - began, progress.done)
    return 0


def snakemake(config: Path, jobs: int) -> list[str]:
    """Return the Snakemake command, which must run in the root folder.

    The number of parallel notebooks with a GPU is the number of GPUs; without a GPU there is no such limit.
    """
    slots = len(gpus()) or jobs
    return [
        sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "workflow" / "Snakefile"),
        "--workflow-profile", str(PROJECT / "workflow" / "profiles" / "local"),
        "--nolock",  # only_one is the lock, and the system releases it in any case
        "--cores", str(jobs), "--resources", f"gpu={slots}", "--logger", "dancemvp",
        # A file accepts every path unchanged; --config reads some letters as YAML.
        "--configfile", str(config),
    ]  # fmt: skip


def gpus() -> list[str]:
    """Return the NVIDIA GPUs that this process may use, with their names in CUDA_VISIBLE_DEVICES."""
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"], capture_output=True, text=True)
    found = listed.stdout.split() if listed.returncode == 0 else []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return found if visible is None or not found else [gpu for gpu in visible.split(",") if gpu not in ("", "-1")]


def environment() -> dict[str, str]:
    """Return the environment for Snakemake: that of this process with the GPUs' names, without another Snakemake profile.

    Logs are in UTF-8 and can contain any file name.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SNAKEMAKE_")}
    # PYTHONPATH is for Snakemake's logger. By default its events go to os.devnull, for a dry run.
    places = [str(PROJECT / "workflow" / "logger"), os.environ.get("PYTHONPATH")]
    kept |= {"PYTHONPATH": os.pathsep.join(filter(None, places)), "DANCEMVP_EVENTS": os.devnull}
    kept |= dict.fromkeys(FIXED, "1") | {"PYTHONHASHSEED": "0"}  # one thread for each job: the results do not depend on the cores
    kept |= {"CUDA_VISIBLE_DEVICES": ",".join(gpus())} if gpus() else {}
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8:backslashreplace"}


def _copy(stream: Iterable[str], log: Path) -> None:
    with open(log, "w", encoding="utf-8") as copy:
        for text in stream:
            with contextlib.suppress(OSError):  # the disk is full; without a reader, Snakemake would stop
                copy.write(text)
                copy.flush()


def take_new(events: Path, read: int, progress: Progress) -> int:
    """Pass the events after the first ``read`` bytes of the file to ``progress``; return the number of bytes read so far."""
    with open(events, "rb") as file:
        file.seek(read)
        whole = file.read().rpartition(b"\n")[0]
    for line in whole.splitlines():
        progress.take(json.loads(line))
    return read + len(whole) + 1 if whole else read


# --- reports -----------------------------------------------------------------------------------------------------


def costs(paths: provenance.Paths) -> dict[str, dict[str, float]]:
    """Return wall_s (seconds) and peak_memory_mb (MiB) of the last run of each finished notebook, by its name.

    Snakemake measures the time of the whole job and samples its memory. The notebook's record has the exact peak of its
    kernel. The larger of the two peaks counts.
    """
    out = {}
    for file in sorted((paths.build / "cost").glob("*.tsv")):
        record = paths.record(file.stem)
        rows = list(csv.DictReader(file.read_text().splitlines(), delimiter="\t"))
        if rows and record.exists():
            kernel = json.loads(record.read_text(encoding="utf-8"))["peak_memory_mb"]
            sampled = _number_or_zero(rows[-1]["max_rss"])
            out[file.stem] = {"wall_s": float(rows[-1]["s"]), "peak_memory_mb": max(kernel, sampled)}
    return out


def _number_or_zero(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # "NA": the job ended before the first sample
        return 0.0


def report(paths: provenance.Paths, wall_s: float, done: int) -> None:
    """Print the cost table and the folders of the results, and write ``cost.csv``."""
    table = costs(paths)
    text = "notebook,wall_s,peak_memory_mb\n"
    text += "".join(f"{name},{c['wall_s']:.1f},{c['peak_memory_mb']:.0f}\n" for name, c in table.items())
    path = paths.results / "cost.csv"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        files.write_text(path, text)
        sidecar = {"file": path.name, "sha256": files.sha256(path), "cores": os.cpu_count()}
        files.write_json(path.with_name("cost.csv.prov.json"), sidecar | provenance.environment())
    width = max([len("notebook"), *map(len, table)])
    print(f"\n{'notebook':<{width}}  {'wall time':>9}  {'peak memory':>11}")
    for name, cost in table.items():
        print(f"{name:<{width}}  {_clock(cost['wall_s']):>9}  {cost['peak_memory_mb']:>8.0f} MB")
    if table:
        total, largest = sum(c["wall_s"] for c in table.values()), max(c["peak_memory_mb"] for c in table.values())
        print(f"{'total':<{width}}  {_clock(total):>9}  {largest:>8.0f} MB at most")
    print("Everything was up to date." if done == 0 else f"{_plural(done, 'step')} in {_clock(wall_s)}.")
    folders = {"Figures": paths.figures, "Tables": paths.results, "Executed notebooks": paths.build / "notebooks"}
    for what, folder in folders.items():
        print(f"{what}: {os.path.relpath(folder)}")


def report_failure(paths: provenance.Paths, progress: Progress, log: Path, status: int, needs: dict[str, int]) -> int:
    """Print one line about each failed job and the path of its log, and return the exit status."""
    full = any(files.disk_is_full(text_of(file)) for file in [log, *(paths.root / j.log for j in progress.failed if j.log)])
    for job in {job.name or job.rule: job for job in progress.failed}.values():
        fault = last_error(paths.root / job.log) if job.log else ""
        print(f"\n{job.name or job.rule} failed: {fault or 'see its log'}", file=sys.stderr)
        if job.log:
            print(f"  log: {os.path.relpath(paths.root / job.log)}", file=sys.stderr)
        executed = paths.notebook(job.name)
        if job.name and executed.exists():
            print(f"  notebook, executed up to the error: {os.path.relpath(executed)}", file=sys.stderr)
    if full or shutil.disk_usage(paths.root).free < disk.MB:
        print(f"\nreproduce: {full_disk(paths, needs)}", file=sys.stderr)
    elif status < 0:
        print(f"reproduce: Snakemake was ended by {signal.Signals(-status).name}", file=sys.stderr)
    elif not progress.failed:
        print(f"reproduce: the workflow did not start: {why_not_started(log) or 'see its log'}", file=sys.stderr)
        print(f"  log: {os.path.relpath(log)}", file=sys.stderr)
    return 1


def full_disk(paths: provenance.Paths, needs: dict[str, int]) -> str:
    """Return the message for a full disk, in one line."""
    return (
        f"the disk is full: {disk.room(paths.root)}, {paths.profile} needs {disk.megabytes(sum(needs.values()))} in total;"
        " free some space, and the next run continues from here"
    )


def why_not_started(log: Path) -> str:
    """Return the error in Snakemake's output, in one line; "" if there is none.

    Snakemake writes the name and place of an error, its message on the next lines, and then the traceback.
    """
    text = text_of(log)
    fault = r"^(\w*(?:Error|Exception|Exit)\w*)(?: in .+, line \d+)?:\s*\n((?:(?!  File ).*\S.*\n)+)"
    found = re.search(fault, text, flags=re.MULTILINE)
    return f"{found[1]}: {' '.join(found[2].split())}" if found else last_error(log)


def text_of(log: Path) -> str:
    """Return the text of a log without colours; "" if there is no log."""
    if not log.is_file():
        return ""
    return re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(encoding="utf-8", errors="replace"))


def last_error(log: Path) -> str:
    """Return the last line of a log that names an exception, else its last line; "" if there is none. Colours are removed."""
    text = text_of(log)
    found = re.findall(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Interrupt|Exit|Died)\w*: .+)$", text, flags=re.MULTILINE)
    return found[-1] if found else (text.strip().splitlines() or [""])[-1]


def last_output(log: Path) -> str:
    """Return the last line that a notebook printed, as ": ...", without papermill's own lines; "" if there is none."""
    if not log.is_file():
        return ""
    with open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    papermill = ("Executing ", "Ending Cell", "Input Notebook", "Output Notebook")
    printed = [line.strip() for line in lines if line.strip() and not line.startswith(papermill)]
    return f": {printed[-1][:100]}" if printed else ""


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}" if minutes >= 60 else f"{minutes}:{seconds:02}"


def _roughly(seconds: float) -> str:
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # `make reproduce | head`: the run is done, only the last output is lost
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status)
