"""The rows that are compared, methods and floors, and their outcomes: computed once, kept for every notebook.

A row is a ``Method``; a floor is one without a place in the paper. ``outcome`` puts a row through a protocol for one
seed and keeps the result under build/outcomes, so that Tables 2, 3 and 4, Fig. 7, the tests and the claims share it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dancemvp_core import (
    downstream,
    encoders,
    experiments,
    files,
    floors,
    losses,
    methods,
    metrics,
    splits,
    stats,
    texts,
)
from dancemvp_core.artifacts import METRICS_COLUMNS, Paths
from dancemvp_core.downstream import Features, Prompting
from dancemvp_core.experiments import Outcome, Width
from dancemvp_core.methods import Method
from dancemvp_core.pieces import PieceSet
from dancemvp_core.skeleton import Skeleton

_NONE = (float("nan"),) * 3


def _floor(name: str, label: str, motion: str | None, music: str | None, protocol: str) -> Method:
    return Method(label, motion, music, "none", protocol, (), floors.DESCRIPTIONS[name], _NONE)


FLOORS: dict[str, Method] = {
    "chance": _floor("chance", "Chance", None, None, "chance"),
    "handcrafted": _floor("handcrafted", "Hand-crafted", None, None, "finetune"),
    "body_only": _floor("body_only", "Body only", None, None, "finetune"),
    "random_init": _floor("random_init", "Random init", "stgcn", "lstm", "prompt"),
    **{k: replace(m, interpretation=floors.DESCRIPTIONS[k]) for k, m in methods.SINGLE_MODALITY.items()},
    "direct": _floor("direct", "Direct", None, None, "direct"),
}
BOTH = ("prompt", "finetune")
KEPT_FEATURES = 16  # by a bench, of 10 MB each in the demo: all seeds of all floors


class Row(NamedTuple):
    """A line of a table: a method or floor by name, under a protocol, for so many seeds."""

    name: str
    method: Method
    seeds: int


def seeds_of(name: str, seeds: int, others: int) -> int:
    """How many seeds a row gets: as ``methods.seeds_of``, and ``seeds`` for every floor."""
    return seeds if name in FLOORS else methods.seeds_of(name, seeds, others)


def rows(number: int, seeds: int, others: int) -> list[Row]:
    """The lines of Table 2 or 3: the floors, then the paper's rows, each under its own protocol."""
    return [Row(name, m, seeds_of(name, seeds, others)) for name, m in (FLOORS | methods.table(number)).items()]


def made_by(name: str) -> str:
    """What a row's features come from: its pre-training, which rows may share, or its own name."""
    known = methods.METHODS | methods.SINGLE_MODALITY
    return known[name].pretraining if name in known else name


def both_protocols(lines: Iterable[Row]) -> list[Row]:
    """Every line with features of its own under both ``prompt`` and ``finetune``, in the lines' order."""
    return [
        Row(row.name, replace(row.method, protocol=protocol), row.seeds)
        for row in lines
        for protocol in BOTH
        if row.method.protocol in BOTH
    ]


@dataclass(frozen=True, eq=False)
class Bench:
    """Where outcomes come from: the pieces, the skeleton, the networks' size, the folders and the prompter's settings."""

    pieces: PieceSet
    skeleton: Skeleton
    width: Width
    paths: Paths
    settings: Prompting
    in_use: dict[tuple[str, int], Features] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, params, paths: Paths, pieces: PieceSet, skeleton: Skeleton) -> Bench:
        """From a notebook's parameters."""
        return cls(pieces, skeleton, Width.of(params), paths, experiments.prompting(params))

    @property
    def choreographies(self) -> int:
        """Number of test choreographies: g of the tables."""
        return self.pieces.table.loc[self.pieces.table["split"] == "test", "choreography"].nunique()

    def features(self, name: str, seed: int) -> Features:
        """A row's frozen features, as ``experiments.features_of`` has them.

        The last few are kept: a row is fitted several times on end, and an untrained encoder has to encode anew.
        """
        if (name, seed) not in self.in_use:
            while len(self.in_use) >= KEPT_FEATURES:
                del self.in_use[next(iter(self.in_use))]
            where = (self.skeleton, self.width, self.paths)
            self.in_use[name, seed] = experiments.features_of(name, seed, self.pieces, *where)
        return self.in_use[name, seed]

    def outcome(self, name: str, protocol: str, seed: int, shots: int, genres: int | None = None) -> Outcome:
        """A row under a protocol for one seed: read from build/outcomes where it was made from the same things.

        Rows that share a pre-training share its outcomes. Two notebooks that want the same one at once: one computes
        it, the other waits. ``Outcome.pieces.attrs`` has "seconds", the time that fitting and predicting took.
        """
        genres = min(genres or self.choreographies, self.choreographies)
        source, known = made_by(name), methods.METHODS | methods.SINGLE_MODALITY
        file = self.paths.build / "outcomes" / f"{source}-{protocol}-{shots}shots-g{genres}-seed{seed}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        encoder = files.fingerprint(self.paths.encoder(source, seed)) if name in known else ""
        stamp = self._stamp(source, encoder, protocol, seed, shots, genres)
        with open(file.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if file.exists():
                kept = pd.read_parquet(file)
                if kept.attrs["stamp"] == stamp:
                    tidy = pd.DataFrame(kept.attrs["metrics"])[METRICS_COLUMNS]
                    return Outcome(tidy.assign(method=name), kept.assign(method=name))
            features = self.features(name, seed)
            started = time.perf_counter()
            made = experiments.evaluate(name, features, self.pieces, protocol, seed, shots, self.settings, genres)
            seconds = time.perf_counter() - started
            made.pieces.attrs = {"stamp": stamp, "seconds": seconds, "metrics": made.metrics.to_dict("list")}
            files.write_parquet(file, made.pieces)
        return made

    def evaluate(self, lines: Iterable[Row], shots: int, progress: Callable = lambda jobs: jobs) -> list[Outcome]:
        """The outcomes of every line and seed on all test choreographies; none where ``splits.obstacle`` names a reason."""
        if splits.obstacle(self.pieces.table, shots):
            return []
        jobs = dict.fromkeys((r.name, r.method.protocol, seed) for r in lines for seed in range(r.seeds))
        return [self.outcome(*job, shots) for job in progress(jobs)]

    def underfit(self, name: str) -> bool:
        """Whether the validation curve of a row's pre-training (seed 0) was still improving at its end."""
        known = methods.METHODS | methods.SINGLE_MODALITY
        if name not in known:
            return False
        return json.loads(experiments.encoder_facts(self.paths.encoder(known[name].pretraining, 0)).get("underfit", "false"))

    def _stamp(self, *key) -> str:
        """Hash of everything that an outcome depends on."""
        parts = [key, asdict(self.settings), asdict(self.width), _code_hash(), self.pieces.digest]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


@cache
def _code_hash() -> str:
    """Hash of the modules that turn features into outcomes; what the workflow runs again must not find old ones."""
    modules = (downstream, encoders, experiments, floors, losses, metrics, splits, texts)
    return hashlib.sha256(b"".join(Path(m.__file__).read_bytes() for m in modules)).hexdigest()


# --- tests -------------------------------------------------------------------------------------------------------

# Per piece, larger is better: what is right in Task 1, and the negative loss of Tasks 2 and 3.
PIECE_VALUES: dict[int, Callable[[pd.DataFrame], pd.Series]] = {
    1: lambda pieces: 100.0 * pieces["accuracy"],
    2: lambda pieces: -pieces["l2"],
    3: lambda pieces: -(pieces["rate_error"] ** 2),
}
_PIECE_COLUMN = {1: "accuracy", 2: "l2", 3: "rate_error"}


def performance_values(outcomes: Iterable[Outcome], task: int) -> pd.Series:
    """A row's value for each query performance (index: sequence): mean over its primitives, then over the seeds.

    Seeds draw their own query halves, so a performance's mean is over the seeds that asked for it.
    """
    parts = [o.pieces for o in outcomes if _PIECE_COLUMN[task] in o.pieces]
    if not parts:
        return pd.Series(dtype=float)
    pieces = pd.concat([p.assign(value=PIECE_VALUES[task](p)) for p in parts])
    per_seed = pieces.groupby(["sequence", "seed"])["value"].mean()
    return per_seed.groupby("sequence").mean()


def significance(outcomes: Iterable[Outcome], reference: tuple[str, str] = ("ours", "prompt")) -> pd.DataFrame:
    """The reference, ours, against every other (method, protocol): paired permutation tests, Holm-corrected per task.

    Pairs are query performances, averaged over the seeds that both have. Rows with the same features under the same
    protocol are one row by several names: it is tested once, and the reference not at all. Columns: method, protocol, task,
    n_seeds, performances, ours, other (mean values), difference (above 0: ours is better), effect_size (Cohen's d_z), p,
    p_holm, note. One seed: no test. It generalises over performances of these choreographies, not over choreographies.
    """
    by_row: dict[tuple[str, str], dict[int, Outcome]] = {}
    for o in outcomes:
        facts = o.pieces.iloc[0]
        by_row.setdefault((facts["method"], facts["protocol"]), {})[int(facts["seed"])] = o
    out, told = [], {(made_by(reference[0]), reference[1])}
    for (method, protocol), seeds in by_row.items():
        if (made_by(method), protocol) in told or reference not in by_row:
            continue
        told.add((made_by(method), protocol))
        shared = sorted(set(seeds) & set(by_row[reference]))
        for task in PIECE_VALUES:
            values = [performance_values([rows[s] for s in shared], task) for rows in (by_row[reference], seeds)]
            if not all(len(v) for v in values):
                continue
            ours, other = (v.sort_index().to_numpy() for v in values)
            enough = len(shared) > 1
            out.append({
                "method": method, "protocol": protocol, "task": task, "n_seeds": len(shared), "performances": len(ours),
                "ours": ours.mean(), "other": other.mean(), "difference": (ours - other).mean(),
                "effect_size": stats.effect_size(ours, other) if enough else np.nan,
                "p": stats.paired_permutation(ours, other) if enough else np.nan,
                "note": "" if enough else "one seed: no test",
            })  # fmt: skip
    table = pd.DataFrame(out, columns=SIGNIFICANCE_COLUMNS)
    table["p_holm"] = table.groupby("task")["p"].transform(stats.holm) if len(table) else np.nan
    return table


SIGNIFICANCE_COLUMNS = "method protocol task n_seeds performances ours other difference effect_size p p_holm note".split()
GENERALISES = "performances of these test choreographies, not choreographies"
