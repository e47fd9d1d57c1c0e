"""Measure the time of functions in turn in one process, and the memory of a call."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

RUNS, QUICK_RUNS = 7, 3
SHORTEST_S = 0.02  # a faster function is called several times in a run, so that the run takes at least this time


@dataclass(frozen=True)
class Pair:
    """A candidate and its reference: functions without arguments.

    The reference computes in the candidate's precision, so that the ratio shows what the code is worth. ``in_float32`` is the
    reference in float32, where the candidate has another precision: this second ratio shows code and precision together.
    ``per``: units of work in a call (e.g. steps); times are for one unit. ``floor_s``: shortest possible seconds of a unit on
    the device. ``memory`` measures the peak memory of a function's call in MB. ``difference``: relative difference of the two
    outputs, |a - b| / |b|. In a pair that shows growth, the reference has the larger input.
    """

    what: str
    candidate: Callable[[], object]
    against: str = ""
    reference: Callable[[], object] | None = None
    in_float32: Callable[[], object] | None = None
    goal: str = ""
    per: int = 1
    floor_s: float = math.nan
    memory: Callable[[Callable[[], object]], float] | None = None
    difference: float = math.nan
    note: str = ""


@dataclass(frozen=True)
class Spread:
    """The median and the middle half of a sample."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values) -> Spread:
        """Return the spread of a sequence of numbers."""
        low, median, high = np.percentile(np.asarray(values, dtype=float), [25, 50, 75])
        return cls(float(median), float(low), float(high))


@dataclass(frozen=True)
class Comparison:
    """The seconds of a call of candidate and reference, and the ratios of the references to the candidate; None without one."""

    candidate: Spread
    reference: Spread | None
    ratio: Spread | None
    ratio_float32: Spread | None


def timed(work: Callable[[], object], calls: int = 1) -> float:
    """Return the mean seconds of ``calls`` successive calls, including the work of a GPU."""
    started = time.perf_counter()
    for _ in range(calls):
        work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / calls


def compare(
    candidate: Callable, reference: Callable | None = None, in_float32: Callable | None = None, runs: int = RUNS
) -> Comparison:
    """Measure functions in turn, after one call of each that does not count; the order alternates between runs."""
    works = {"candidate": candidate, "reference": reference, "float32": in_float32}
    works = {name: work for name, work in works.items() if work}
    for work in works.values():
        timed(work)
    calls = {name: max(1, math.ceil(SHORTEST_S / max(timed(work), 1e-9))) for name, work in works.items()}
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for run in range(runs):
        for name in works if run % 2 == 0 else reversed(works):
            seconds[name].append(timed(works[name], calls[name]))
    ratios = {name: Spread.of(np.divide(values, seconds["candidate"])) for name, values in seconds.items()}
    spread = Spread.of(seconds["reference"]) if reference else None
    return Comparison(Spread.of(seconds["candidate"]), spread, ratios.get("reference"), ratios.get("float32"))


def peak_tensors_mb(work: Callable[[], object]) -> float:
    """Return the peak memory of a call's own tensors in MB; earlier tensors do not count."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = np.cumsum([e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())])
    return float(max(held.max(initial=0), 0)) / 1e6
