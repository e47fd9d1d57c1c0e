"""`make bench`: compare the speed of the package with plain reference code that computes the same.

    python benchmarks/bench.py                 all cases: prints the table and writes results/bench/MACHINE.csv
    python benchmarks/bench.py --only stgcn    some cases (comma-separated): prints the table only
    python benchmarks/bench.py --quick         tiny shapes and three runs: a test that all cases work; saves nothing

Each case in ``cases.py`` yields pairs of functions. The functions of a pair run in turn in one process, so that other load on the
machine affects both. The ratio is the median of reference / candidate over the runs, and the spread is the middle half of the
runs. The reference has the candidate's precision; what a lower precision adds has a column of its own. Above a load of 0.5 before
the run, the table is printed and not saved. There are no absolute limits; each row states its goal for the reader. "of the floor"
is the shortest possible time on the device (``roofline.py``) divided by the candidate's time.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import roofline
import torch
from cases import CASES, Setting
from compare import QUICK_RUNS, RUNS, Pair, compare

from dancemvp_core import files
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.device import pick_device
from dancemvp_core.runs import profiles, provenance
from dancemvp_core.runs.profiles import Parameters
from dancemvp_core.runs.workspace import Workspace

QUIET = 0.5  # largest load before a run whose times are kept


def measured(case: str, pair: Pair, runs: int) -> dict:
    """Measure a pair and return its row of the table (COLUMNS), in seconds and MB."""
    found = compare(pair.candidate, pair.reference, pair.in_float32, runs)
    row = {"case": case, "what": pair.what, "against": pair.against, "goal": pair.goal, "runs": runs, "note": pair.note}
    for name, spread, per in (
        ("seconds", found.candidate, pair.per),
        ("reference_seconds", found.reference, pair.per),
        ("ratio", found.ratio, 1),
        ("ratio_float32", found.ratio_float32, 1),
    ):
        values = (math.nan,) * 3 if spread is None else (spread.median / per, spread.low / per, spread.high / per)
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
    row["of_floor"] = pair.floor_s / row["seconds"]
    row["difference"] = pair.difference
    row["peak_mb"] = pair.memory(pair.candidate) if pair.memory else math.nan
    row["reference_peak_mb"] = pair.memory(pair.reference) if pair.memory and pair.reference else math.nan
    return row


COLUMNS = [
    "case", "what", "against", "seconds", "seconds_low", "seconds_high", "reference_seconds", "reference_seconds_low",
    "reference_seconds_high", "ratio", "ratio_low", "ratio_high", "ratio_float32", "ratio_float32_low", "ratio_float32_high",
    "goal", "of_floor", "peak_mb", "reference_peak_mb", "difference", "runs", "note",
]  # fmt: skip


def markdown(rows: list[dict]) -> str:
    """Return the table as Markdown; a cell has a median and the middle half."""
    head = ["case", "what", "time", "against", "its time", "ratio", "in float32", "goal", "of the floor", "peak MB", "difference"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        peaks = [f"{row[name]:.1f}" for name in ("peak_mb", "reference_peak_mb") if math.isfinite(row[name])]
        cells = [
            row["case"],
            row["what"] + (f" ({row['note']})" if row["note"] else ""),
            _range(row, "seconds", _clock),
            row["against"],
            _range(row, "reference_seconds", _clock),
            _range(row, "ratio", "{:.2f}".format),
            _range(row, "ratio_float32", "{:.2f}".format),
            row["goal"],
            f"{row['of_floor']:.0%}" if math.isfinite(row["of_floor"]) else "",
            " against ".join(peaks),
            f"{row['difference']:.0e}" if math.isfinite(row["difference"]) else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _range(row: dict, name: str, form: Callable[[float], str]) -> str:
    if not math.isfinite(row.get(name, math.nan)):  # results of before may lack a column
        return ""
    return f"{form(row[name])} ({form(row[f'{name}_low'])}–{form(row[f'{name}_high'])})"


def _clock(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{1e3 * seconds:.2f} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.0f} µs"


def machine(device: torch.device) -> dict:
    """Return the facts about this machine: processor, cores, threads, memory, GPU and load."""
    cpu = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.+)$", cpu.read_text(), flags=re.MULTILINE) if cpu.is_file() else []
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "gpu": torch.cuda.get_device_name() if device.type == "cuda" else None,
        "load_before": round(os.getloadavg()[0], 2),
    }


def slug(facts: dict) -> str:
    """Return a file name for the machine: its GPU, or its processor and cores."""
    name = facts["gpu"] or f"{facts['processor']} {facts['cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def opened(study: str, profile: str) -> tuple[Parameters, Workspace] | None:
    """Return the parameters and the workspace of a finished run for a ``study``; print a line and return None without one."""
    params = profiles.validate("03_pretraining", profile=profile)
    try:
        return params, Workspace.open(provenance.start(params), IMPERIALDANCE21)
    except DataError as fault:
        print(f"{study}: {fault}", file=sys.stderr)
        return None


def main(arguments: list[str] | None = None) -> int:
    """Run the cases, print and save the table; return 0, or 2 for a wrong argument."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"some of {', '.join(CASES)}")
    parser.add_argument("--quick", action="store_true", help="tiny shapes and three runs; saves nothing")
    options = parser.parse_args(arguments)
    chosen = options.only.split(",") if options.only else list(CASES)
    for name in chosen:
        if name not in CASES:
            print(f"bench: --only {name}: there is no such case, expected some of {', '.join(CASES)}", file=sys.stderr)
            return 2

    device = pick_device()
    facts = machine(device)
    rates = roofline.measure(device, options.quick)
    print(f"{facts}\n{roofline.describe(rates)}", flush=True)
    rows, runs = [], QUICK_RUNS if options.quick else RUNS
    with Setting(device, rates, options.quick) as setting:
        for name in chosen:
            for pair in CASES[name](setting):
                if isinstance(pair, str):
                    print(f"{name}: {pair}", flush=True)
                    continue
                rows.append(measured(name, pair, runs))
                print(f"{name}: {pair.what}: {_range(rows[-1], 'seconds', _clock)}", flush=True)
    print(f"\n{markdown(rows)}")
    if options.quick or options.only:
        return 0
    if facts["load_before"] > QUIET:
        print(f"\nNot saved: the load before the run was {facts['load_before']}, expected at most {QUIET}", file=sys.stderr)
        return 0
    path = profiles.project_root() / "results" / "bench" / f"{slug(facts)}.csv"
    files.write_csv(path, pd.DataFrame(rows, columns=COLUMNS))
    sidecar = {"file": path.name, "sha256": files.sha256(path), "machine": facts}
    sidecar |= {"operations_per_s": rates.operations, "copied_bytes_per_s": rates.copied}
    files.write_json(path.with_name(f"{path.name}.prov.json"), sidecar | provenance.environment())
    print(f"\nSaved in {os.path.relpath(path)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
