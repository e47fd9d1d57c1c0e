"""Measure the time of two functions in turn in one process, and the memory of a call."""

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

    ``per``: units of work in a call (e.g. steps); times are for one unit. ``floor_s``: shortest possible seconds of a unit on
    the device. ``memory`` measures the peak memory of a function's call in MB. ``difference``: relative difference of the two
    outputs, |a - b| / |b|. In a pair that shows growth, the reference has the larger input.
    """

    what: str
    candidate: Callable[[], object]
    against: str = ""
    reference: Callable[[], object] | None = None
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
    """The seconds of a call of both functions, and the ratio reference / candidate; None without a reference."""

    candidate: Spread
    reference: Spread | None
    ratio: Spread | None


def timed(work: Callable[[], object], calls: int = 1) -> float:
    """Return the mean seconds of ``calls`` successive calls, including the work of a GPU."""
    started = time.perf_counter()
    for _ in range(calls):
        work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / calls


def compare(candidate: Callable, reference: Callable | None = None, runs: int = RUNS) -> Comparison:
    """Measure two functions in turn, after one call of each that does not count; the order alternates between runs."""
    both = [work for work in (candidate, reference) if work]
    for work in both:
        timed(work)
    calls = [max(1, math.ceil(SHORTEST_S / max(timed(work), 1e-9))) for work in both]
    seconds: list[list[float]] = [[] for _ in both]
    for run in range(runs):
        for i in range(len(both)) if run % 2 == 0 else reversed(range(len(both))):
            seconds[i].append(timed(both[i], calls[i]))
    spreads = [Spread.of(values) for values in seconds]
    if reference is None:
        return Comparison(spreads[0], None, None)
    return Comparison(*spreads, Spread.of(np.divide(seconds[1], seconds[0])))


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
