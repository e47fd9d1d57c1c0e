"""How long things take on this machine: medians of repeated runs, for the paper's two claims on time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
from torch import nn

from dancemvp_core import artifacts, downstream, texts
from dancemvp_core.downstream import Features, Prompter, Prompting
from dancemvp_core.experiments import Outcome
from dancemvp_core.pieces import PieceSet

COLUMNS = ["what", "median_s", "min_s", "max_s", "runs", "device", "synthetic"]
INFERENCE, RATIO = "inference of 32 pieces", "prompt over finetune"
BATCH = 32


def repeated(work: Callable[[], object], runs: int = 9, warm: int = 2) -> list[float]:
    """Seconds of each of ``runs`` calls, after ``warm`` that are not counted."""
    seconds = []
    for run in range(warm + runs):
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if run >= warm:
            seconds.append(time.perf_counter() - started)
    return seconds


def inference(encoder: nn.Module, features: Features, pieces: PieceSet, support: np.ndarray, query: np.ndarray,
              settings: Prompting) -> list[float]:  # fmt: skip
    """Seconds to encode 32 query pieces and prompt all tasks that the data support, several times.

    The prompter is not trained: its time does not depend on its weights.
    """
    known = pieces.table.iloc[support]
    tasks = downstream.supported_tasks(known)
    classes, _ = downstream.class_table(known) if "vocabulary" in tasks else (pd.DataFrame(), None)
    sentences = {
        "vocabulary": [texts.vocabulary_text(*row) for row in classes.itertuples(index=False)],
        "score": [texts.score_text(v) for v in texts.LEVELS_OF_SCORE],
        "rhythm": [texts.rate_text(v) for v in texts.LEVELS_OF_SCORE],
    }
    asked = {task: sentences[task] for task in tasks}
    prompter = Prompter(features, asked, len(classes), tasks, True, False, settings, support).eval()
    encoder.eval()
    batch = pieces.batch(query[:BATCH])

    @torch.inference_mode()
    def once():
        return prompter(encoder.hidden(batch), prompter.encode_texts())

    return repeated(once)


def prompting_over_finetuning(outcomes: Iterable[Outcome]) -> list[float]:
    """Of each row and seed that has both, the time of prompting (fit and predict) over that of fine-tuning."""
    seconds: dict[tuple, dict[str, float]] = {}
    for outcome in outcomes:
        facts = outcome.pieces.iloc[0]
        seconds.setdefault((facts["method"], facts["seed"]), {})[facts["protocol"]] = outcome.pieces.attrs["seconds"]
    return [own["prompt"] / own["finetune"] for own in seconds.values() if {"prompt", "finetune"} <= set(own)]


def table(measured: dict[str, list[float]], synthetic: bool) -> pd.DataFrame:
    """COLUMNS, one row a measurement that has values (a ratio stands in the columns of seconds)."""
    rows = [
        (what, np.median(v), min(v), max(v), len(v), artifacts.device(), synthetic) for what, v in measured.items() if len(v)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
