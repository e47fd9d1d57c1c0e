"""Outcomes: the predictions of features under a protocol for each query piece, and their tidy measures.

An outcome of a row is computed once and saved in build/outcomes; Tables 2, 3 and 4, Fig. 7 and the claims share it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property

import pandas as pd

from dancemvp_core import code_hash, files
from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.dance.sequences import DanceDataset
from dancemvp_core.labels import POINTS, Scores
from dancemvp_core.models.prompter import PrompterSettings
from dancemvp_core.pretraining import methods
from dancemvp_core.pretraining.condition import CONDITIONS
from dancemvp_core.pretraining.pretrained import encoder_facts
from dancemvp_core.runs.provenance import METRICS_COLUMNS, Run
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks import metrics, protocols, splits
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.protocols import Episode
from dancemvp_core.tasks.rows import Row, features_of, pretraining_of

KEPT_FEATURES = 16  # features in memory, 10 MB each in the demo: enough for all seeds of all floors
FACTS = ("method", "protocol", "seed", "genres", "shots")


def prompter_settings(params) -> PrompterSettings:
    """Return the prompter's hyper-parameters as selected on validation, with the profile's number of steps and learning rate."""
    of_profile = {"steps": params.downstream_steps, "learning_rate": params.downstream_rate}
    return PrompterSettings(**of_profile | methods.selected().get("prompter", {}))


@dataclass(frozen=True, eq=False)
class Outcome:
    """The outcome of a row of a table: ``pieces`` has one row for each query piece (``metrics.per_piece``).

    Further columns are sequence, trial, subset (number of the cyclic subset of choreographies), method, protocol, seed,
    genres and shots.
    """

    pieces: pd.DataFrame

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Tidy measures (METRICS_COLUMNS): means over the subsets of choreographies."""
        parts = pd.concat([metrics.summary(own) for _, own in self.pieces.groupby("subset")])
        mean = parts.groupby(["task", "metric"], sort=False)["value"].mean().reset_index()
        return mean.assign(**{fact: self.pieces[fact].iloc[0] for fact in FACTS})[METRICS_COLUMNS]

    def named(self, name: str) -> Outcome:
        """Return the same outcome under the name of another row with the same pre-training."""
        return Outcome(self.pieces.assign(method=name))


@dataclass(frozen=True)
class Setting:
    """The setting of an evaluation: ``protocol``, ``seed`` (of support, query and initialisation) and ``shots``.

    ``genres``: number of choreographies (None: all); with fewer than all, the outcome covers all their cyclic subsets.
    ``scores``: the range of the score, for its sentences.
    """

    protocol: str
    seed: int
    shots: int
    genres: int | None = None
    split: str = "test"
    scores: Scores = POINTS


def evaluate(
    name: str,
    features: Features,
    pieces: PieceSet,
    setting: Setting,
    prompter: PrompterSettings,
    tasks: Iterable[str] = protocols.TASKS,
) -> Outcome:
    """Return the outcome of features under a protocol on a split's choreographies; ``name`` becomes its method."""
    choreographies = pieces.table.loc[pieces.table["split"] == setting.split, "choreography"].unique()
    genres = setting.genres or len(choreographies)
    parts = []
    for number, subset in enumerate(splits.cyclic_subsets(choreographies, genres)):
        drawn = splits.support_and_query(pieces.table, subset, setting.shots, setting.seed)
        episode = Episode(pieces.table, *drawn, setting.scores)
        truth = pieces.table.iloc[episode.query]
        predictions = protocols.run(setting.protocol, features, episode, setting.seed, prompter, tuple(tasks))
        measured = metrics.per_piece(predictions, truth)
        parts.append(measured.assign(sequence=truth["sequence"], trial=truth["trial"], subset=number))
    facts = {"method": name, "protocol": setting.protocol, "seed": setting.seed, "genres": genres, "shots": setting.shots}
    return Outcome(pd.concat(parts).assign(**facts))


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The source of outcomes: a workspace, the prompter's settings and the range of the data's scores."""

    where: Workspace
    prompter: PrompterSettings
    scores: Scores = POINTS
    in_use: dict[tuple[str, int], Features] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, run: Run, dataset: DanceDataset) -> Outcomes:
        """Return the outcomes of a notebook's run on its data. Raises DataError in the same cases as ``Workspace.open``."""
        return cls(Workspace.open(run, dataset.skeleton), prompter_settings(run.params), Scores.of(dataset))

    def why_not(self) -> str:
        """Return the reason why these data do not support the three tasks, in one sentence; "" if they do."""
        return splits.why_not_evaluable(self.where.pieces.table)

    @property
    def most_shots(self) -> int:
        """The largest support that every class has (``splits.most_shots``)."""
        return splits.most_shots(self.where.pieces.table)

    def about_support(self, shots: int) -> str:
        """Return what is unusual about the support, in sentences (``splits.about_support``)."""
        return splits.about_support(self.where.pieces.table, shots)

    def features(self, name: str, seed: int) -> Features:
        """Return a row's frozen features (``rows.features_of``) of the test pieces.

        The last ``KEPT_FEATURES`` stay in memory, because the protocols use the features of a row several times in
        succession and an untrained encoder has no file with its features.
        """
        if (name, seed) not in self.in_use:
            while len(self.in_use) >= KEPT_FEATURES:
                del self.in_use[next(iter(self.in_use))]
            self.in_use[name, seed] = features_of(name, seed, self.where)
        return self.in_use[name, seed]

    def outcome(self, name: str, protocol: str, seed: int, shots: int, genres: int | None = None) -> Outcome:
        """Return the outcome of a row under a protocol for one seed; read it from build/outcomes if its stamp is the same.

        Rows with the same pre-training share its outcomes. If two notebooks need the same outcome at the same time, one
        computes it and the other waits. ``Outcome.pieces.attrs`` has "seconds": the time of fit and prediction.
        """
        choreographies = self.where.choreographies
        setting = Setting(protocol, seed, shots, min(genres or choreographies, choreographies), scores=self.scores)
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
            outcome = evaluate(name, features, self.where.pieces, setting, self.prompter)
            outcome.pieces.attrs = {"stamp": stamp, "seconds": time.perf_counter() - started}
            files.write_parquet(file, outcome.pieces)
        return outcome

    def evaluate(self, lines: Iterable[Row], shots: int, progress: Callable = lambda jobs: jobs) -> list[Outcome]:
        """Return the outcomes of all lines and seeds on all test choreographies; [] if the data do not support the tasks."""
        if self.why_not():
            return []
        jobs = dict.fromkeys((r.name, r.method.protocol, seed) for r in lines for seed in range(r.seeds))
        return [self.outcome(*job, shots) for job in progress(jobs)]

    def condition(self, name: str, seeds: int) -> str:
        """Return the condition of a row over its seeds 0, 1, ...: "collapsed" or "underfit" if one of them is, else "".

        ``pretraining.condition`` defines them. A row without a pre-training has none.
        """
        if name not in methods.everyone():
            return ""
        found = {encoder_facts(self.where.paths.encoder(pretraining_of(name), seed)).get("condition", "") for seed in range(seeds)}
        return next((worst for worst in CONDITIONS if worst in found), "")

    def conditions(self, seeds: dict[str, int]) -> dict[str, str]:
        """Return the ``condition`` of the rows that have one, by their names; ``seeds`` has the number of seeds of each row."""
        return {name: flag for name, number in seeds.items() if (flag := self.condition(name, number))}

    def _stamp(self, *key) -> str:
        """Return a hash of everything that an outcome depends on."""
        parts = [key, asdict(self.prompter), asdict(self.where.width), code_hash.stamp(__name__), self.where.pieces.digest]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
