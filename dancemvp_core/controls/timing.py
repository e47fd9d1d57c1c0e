"""Times on this machine for the paper's two claims about time: medians of repeated runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
from torch import nn

from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.models.prompter import Prompter, PrompterSettings
from dancemvp_core.runs import provenance
from dancemvp_core.tasks import prompting, protocols, splits
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.outcomes import Outcome, Outcomes
from dancemvp_core.tasks.protocols import Episode
from dancemvp_core.tasks.rows import encoder_of

COLUMNS = ["what", "median_s", "min_s", "max_s", "runs", "device", "synthetic"]
INFERENCE, RATIO = "inference of 32 pieces", "prompt over finetune"
BATCH = 32


def repeated(work: Callable[[], object], runs: int = 9, warm: int = 2) -> list[float]:
    """Return the seconds of each of ``runs`` calls, after ``warm`` calls that do not count."""
    seconds = []
    for run in range(warm + runs):
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if run >= warm:
            seconds.append(time.perf_counter() - started)
    return seconds


def inference(
    encoder: nn.Module, features: Features, episode: Episode, pieces: PieceSet, settings: PrompterSettings
) -> list[float]:
    """Return the seconds of several calls that encode 32 query pieces and prompt all tasks that the data support.

    The prompter is not trained, because its time does not depend on its weights.
    """
    known = episode.known
    tasks = protocols.supported_tasks(known)
    classes = protocols.class_table(known)[0] if "vocabulary" in tasks else pd.DataFrame()
    support = features.hidden[torch.as_tensor(episode.support, device=features.hidden.device)]
    said = prompting.candidates(tasks, classes)
    prompter = Prompter(features.last, support, said, tasks, len(classes), "words", settings).eval()
    encoder.eval()
    batch = pieces.batch(episode.query[:BATCH])

    @torch.inference_mode()
    def once():
        return prompter(encoder.hidden(batch))

    return repeated(once)


def inference_of_ours(outcomes: Outcomes, shots: int) -> list[float]:
    """Return the seconds of ``inference`` for ours (seed 0) on all test choreographies."""
    pieces = outcomes.where.pieces
    test = pieces.table.loc[pieces.table["split"] == "test", "choreography"].unique()
    episode = Episode(pieces.table, *splits.support_and_query(pieces.table, test, shots, 0))
    features = outcomes.features("ours", 0)
    return inference(encoder_of("ours", 0, outcomes.where), features, episode, pieces, outcomes.prompter)


def prompting_over_finetuning(outcomes: Iterable[Outcome]) -> list[float]:
    """Return, for each row and seed with both protocols, the time of prompting divided by the time of fine-tuning.

    The times are those of fit and prediction.
    """
    seconds: dict[tuple, dict[str, float]] = {}
    for outcome in outcomes:
        facts = outcome.pieces.iloc[0]
        seconds.setdefault((facts["method"], facts["seed"]), {})[facts["protocol"]] = outcome.pieces.attrs["seconds"]
    return [own["prompt"] / own["finetune"] for own in seconds.values() if {"prompt", "finetune"} <= set(own)]


def table(measured: dict[str, list[float]], synthetic: bool) -> pd.DataFrame:
    """Return a table (COLUMNS) with one row for each measurement with values; a ratio is in the columns of the seconds."""
    rows = [
        (what, np.median(v), min(v), max(v), len(v), provenance.device(), synthetic) for what, v in measured.items() if len(v)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
