"""Outcomes of rows: computed once, kept under build/outcomes, and shared by Tables 2, 3 and 4, Fig. 7 and the claims."""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field

import pandas as pd

from dancemvp_core import code_hash, files
from dancemvp_core.dance.skeleton import Skeleton
from dancemvp_core.models.prompter import PrompterSettings
from dancemvp_core.pretraining import methods
from dancemvp_core.pretraining.pretrained import encoder_facts
from dancemvp_core.runs.provenance import Run
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks import evaluation, splits
from dancemvp_core.tasks.evaluation import Outcome, Setting
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.rows import Row, features_of, pretraining_of

KEPT_FEATURES = 16  # in memory, of 10 MB each in the demo: all seeds of all floors


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Where outcomes come from: a workspace and the prompter's settings."""

    where: Workspace
    prompter: PrompterSettings
    in_use: dict[tuple[str, int], Features] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, run: Run, skeleton: Skeleton) -> Outcomes:
        """Of a notebook's run. DataError as ``Workspace.open``."""
        return cls(Workspace.open(run, skeleton), evaluation.prompter_settings(run.params))

    def why_not(self, shots: int) -> str:
        """Why the three tasks cannot be evaluated with these data, in one sentence; "" where they can."""
        return splits.why_not_evaluable(self.where.pieces.table, shots)

    def features(self, name: str, seed: int) -> Features:
        """A row's frozen features (``rows.features_of``) of the test pieces.

        The last few are kept: a row is fitted several times in succession, and an untrained encoder has to encode anew.
        """
        if (name, seed) not in self.in_use:
            while len(self.in_use) >= KEPT_FEATURES:
                del self.in_use[next(iter(self.in_use))]
            self.in_use[name, seed] = features_of(name, seed, self.where)
        return self.in_use[name, seed]

    def outcome(self, name: str, protocol: str, seed: int, shots: int, genres: int | None = None) -> Outcome:
        """A row under a protocol for one seed: read from build/outcomes where it was made from the same things.

        Rows that share a pre-training share its outcomes. Two notebooks that want the same one at once: one computes
        it, the other waits. ``Outcome.pieces.attrs`` has "seconds", the time that fitting and predicting took.
        """
        choreographies = self.where.choreographies
        setting = Setting(protocol, seed, shots, min(genres or choreographies, choreographies))
        source, paths = pretraining_of(name), self.where.paths
        file = paths.outcome(source, protocol, shots, setting.genres, seed)
        file.parent.mkdir(parents=True, exist_ok=True)
        encoder = files.fingerprint(paths.encoder(source, seed)) if name in methods.everyone() else ""
        stamp = self._stamp(source, encoder, setting)
        with open(file.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if file.exists() and (kept := pd.read_parquet(file)).attrs["stamp"] == stamp:
                return Outcome(kept).named(name)
            features = self.features(name, seed)
            started = time.perf_counter()
            made = evaluation.evaluate(name, features, self.where.pieces, setting, self.prompter)
            made.pieces.attrs = {"stamp": stamp, "seconds": time.perf_counter() - started}
            files.write_parquet(file, made.pieces)
        return made

    def evaluate(self, lines: Iterable[Row], shots: int, progress: Callable = lambda jobs: jobs) -> list[Outcome]:
        """The outcomes of every line and seed on all test choreographies; none where the tasks cannot be evaluated."""
        if self.why_not(shots):
            return []
        jobs = dict.fromkeys((r.name, r.method.protocol, seed) for r in lines for seed in range(r.seeds))
        return [self.outcome(*job, shots) for job in progress(jobs)]

    def underfit(self, name: str) -> bool:
        """Whether the validation curve of a row's pre-training (seed 0) was still improving at its end."""
        if name not in methods.everyone():
            return False
        return json.loads(encoder_facts(self.where.paths.encoder(pretraining_of(name), 0)).get("underfit", "false"))

    def _stamp(self, *key) -> str:
        """Hash of everything that an outcome depends on."""
        parts = [key, asdict(self.prompter), asdict(self.where.width), code_hash.stamp(__name__), self.where.pieces.digest]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
