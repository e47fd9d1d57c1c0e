"""Evaluation of features under a protocol on a split: predictions for each query piece, and tidy measures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.models.prompter import PrompterSettings
from dancemvp_core.pretraining import methods
from dancemvp_core.runs.provenance import METRICS_COLUMNS
from dancemvp_core.tasks import metrics, protocols, splits
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.protocols import Episode

FACTS = ("method", "protocol", "seed", "genres", "shots")


def prompter_settings(params) -> PrompterSettings:
    """Return the prompter's hyper-parameters as selected on validation, with the profile's number of steps."""
    return PrompterSettings(steps=params.downstream_steps, **methods.selected().get("prompter", {}))


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
    """

    protocol: str
    seed: int
    shots: int
    genres: int | None = None
    split: str = "test"


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
        episode = Episode(pieces.table, *splits.support_and_query(pieces.table, subset, setting.shots, setting.seed))
        truth = pieces.table.iloc[episode.query]
        predictions = protocols.run(setting.protocol, features, episode, setting.seed, prompter, tuple(tasks))
        measured = metrics.per_piece(predictions, truth)
        parts.append(measured.assign(sequence=truth["sequence"], trial=truth["trial"], subset=number))
    facts = {"method": name, "protocol": setting.protocol, "seed": setting.seed, "genres": genres, "shots": setting.shots}
    return Outcome(pd.concat(parts).assign(**facts))
