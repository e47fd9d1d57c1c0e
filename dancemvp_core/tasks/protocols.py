"""Downstream protocols for the three tasks: vocabulary, score and rhythm ("Transformer-based Text Prompting").

A protocol is a function of frozen features and of an ``Episode``: labelled support pieces and query pieces to predict. The
encoders are frozen; ``prompt`` trains the text encoder, the MLP's last layer and the heads. At test time its texts are all
candidates and never the answer alone. ``prompt-oracle`` receives the answer; only the leak audit uses it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from dancemvp_core.device import repeatable, seeded
from dancemvp_core.models import texts
from dancemvp_core.models.losses import score_distribution
from dancemvp_core.models.prompter import SMALLEST_SPREAD, Prompter, PrompterSettings
from dancemvp_core.tasks.features import Features

TASKS = ("vocabulary", "score", "rhythm")  # Tasks 1, 2 and 3
FAIR = ("prompt", "prompt-query", "prompt-id", "finetune")
LEAKING = ("prompt-oracle",)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for the Q query pieces; None for a task that the data do not support.

    ``probabilities`` (Q, C) of the ``classes`` (C rows: genre, choreography, level, primitive); ``score`` and
    ``score_var`` (Q,) on score/100; ``rate`` (Q,) on 0..1.
    """

    classes: pd.DataFrame | None = None
    probabilities: np.ndarray | None = None
    score: np.ndarray | None = None
    score_var: np.ndarray | None = None
    rate: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Episode:
    """The data of a protocol: ``support`` and ``query`` are row numbers of ``table``, which has one row for each piece.

    Raises ValueError if support and query share pieces.
    """

    table: pd.DataFrame
    support: np.ndarray
    query: np.ndarray

    def __post_init__(self):
        if np.intersect1d(self.support, self.query).size:
            raise ValueError("support and query share pieces")

    @property
    def known(self) -> pd.DataFrame:
        """The labels of the support."""
        return self.table.iloc[self.support]


CLASS_COLUMNS = ["genre", "choreography", "level", "primitive"]


def class_table(table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the sorted Task 1 classes (CLASS_COLUMNS) of the pieces in ``table``, and the class number of each piece."""
    names = table[CLASS_COLUMNS].astype({"primitive": int})
    classes = names.drop_duplicates().sort_values(CLASS_COLUMNS[1:]).reset_index(drop=True)
    place = {key: i for i, key in enumerate(classes.itertuples(index=False, name=None))}
    return classes, np.array([place[key] for key in names.itertuples(index=False, name=None)])


def supported_tasks(support: pd.DataFrame) -> tuple[str, ...]:
    """Return the tasks for which all support pieces have labels: the class columns, the score, or BAR."""
    has = {
        "vocabulary": support[CLASS_COLUMNS].notna().all(axis=None),
        "score": support["score"].notna().all(),
        "rhythm": support["bar"].notna().all(),
    }
    return tuple(task for task in TASKS if has[task])


def run(
    protocol: str,
    features: Features,
    episode: Episode,
    seed: int = 0,
    settings: PrompterSettings | None = None,
    tasks: tuple[str, ...] = TASKS,
) -> Predictions:
    """Fit a protocol on the support of an episode, and return its predictions for the query.

    ``protocol`` is one of ``PROTOCOLS``. It learns those ``tasks`` jointly for which the support has labels. A fair
    protocol reads only the ``features`` of the query pieces. Raises ValueError for an unknown protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")
    tasks = tuple(t for t in tasks if t in supported_tasks(episode.known))
    return PROTOCOLS[protocol](features, episode, seed, settings or PrompterSettings(), tasks)


def chance(features, episode, seed, settings, tasks) -> Predictions:
    """Floor: predict the support's class frequencies, mean and variance for every query piece."""
    known, n = episode.known, len(episode.query)
    out = Predictions()
    if "vocabulary" in tasks:
        classes, codes = class_table(known)
        share = np.bincount(codes) / len(codes)
        out = replace(out, classes=classes, probabilities=np.tile(share, (n, 1)))
    if "score" in tasks:
        score = known["score"].to_numpy() / 100
        out = replace(out, score=np.full(n, score.mean()), score_var=np.full(n, max(score.var(), SMALLEST_SPREAD**2)))
    if "rhythm" in tasks:
        out = replace(out, rate=np.full(n, known["bar"].mean() / 100))
    return out


def finetune(features, episode, seed, settings, tasks) -> Predictions:
    """Logistic and ridge heads on frozen features: the protocol that the paper compares with prompting (Table 4).

    Leave-one-out on the support chooses the ridge strength. Its error is also the predicted variance of the score.
    """
    z = features.z.double().cpu().numpy()
    known, support, query = episode.known, z[episode.support], z[episode.query]
    out = Predictions()
    if "vocabulary" in tasks:
        classes, codes = class_table(known)
        model = make_pipeline(_Scale(), LogisticRegression(C=settings.logistic_c, max_iter=500))
        probabilities = np.zeros((len(query), len(classes)))
        probabilities[:, np.unique(codes)] = model.fit(support, codes).predict_proba(query)
        out = replace(out, classes=classes, probabilities=probabilities)
    for task, column in (("score", "score"), ("rhythm", "bar")):
        if task not in tasks:
            continue
        scale = _Scale()
        ridge = RidgeCV(np.logspace(-1, 5, 13), store_cv_results=True)
        ridge.fit(scale.fit_transform(support), known[column].to_numpy() / 100)
        mean = ridge.predict(scale.transform(query))
        if task == "score":
            error = max(float(ridge.cv_results_.mean(axis=0).min()), SMALLEST_SPREAD**2)
            out = replace(out, score=mean, score_var=np.full(len(query), error))
        else:
            out = replace(out, rate=mean)
    return out


class _Scale(StandardScaler):
    """StandardScaler that treats a standard deviation of the size of rounding errors as zero: constants stay constant."""

    def fit(self, x, y=None, sample_weight=None):
        super().fit(x, y, sample_weight)
        self.scale_ = np.where(np.sqrt(self.var_) < 1e-5 * (1 + np.abs(self.mean_)), 1e9, self.scale_)
        return self


@repeatable()
def prompted(features, episode, seed, settings, tasks, text="words", oracle=False):
    """Train a ``Prompter`` on the support, and return its predictions for the query; ``text`` is that of ``Prompter``."""
    device = features.hidden.device
    support, query = (features.hidden[torch.as_tensor(rows, device=device)] for rows in (episode.support, episode.query))
    known = episode.known
    classes, codes = class_table(known) if "vocabulary" in tasks else (None, np.zeros(len(known), int))
    sentences, which, which_query = texts.candidates(tasks, classes), None, None
    if text == "input":
        rows = np.concatenate([episode.support, episode.query])
        labels = (row for _, row in episode.table.iloc[rows].iterrows())
        inputs = [texts.full_text(row) for row in labels] if oracle else [texts.QUESTION] * len(rows)
        distinct, number = np.unique(inputs, return_inverse=True)
        sentences, number = {"input": list(distinct)}, torch.as_tensor(number, device=device)
        which, which_query = number[: len(support)], number[len(support) :]
    count = 0 if classes is None else len(classes)
    with seeded(seed, device):
        prompter = Prompter(features.last, support, sentences, tasks, count, text, settings)
        fit(prompter, support, which, targets(known, codes, device), settings)
    return answers(prompter.predict(query, which_query), classes)


def targets(known: pd.DataFrame, codes: np.ndarray, device: torch.device) -> dict[str, Tensor]:
    """Return the targets of a prompter, (N,) for each task: the number of the class, score/100 and BAR/100."""
    values = {task: known[column].to_numpy(dtype=np.float32) / 100 for task, column in (("score", "score"), ("rhythm", "bar"))}
    return {task: torch.as_tensor(value, device=device) for task, value in ({"vocabulary": codes} | values).items()}


def answers(predicted: dict[str, tuple[Tensor, ...]], classes: pd.DataFrame | None) -> Predictions:
    """Return a prompter's output as ``Predictions``, in float64 on the CPU."""
    joined = {task: [column.cpu().numpy() for column in columns] for task, columns in predicted.items()}
    out = Predictions()
    if "vocabulary" in joined:
        logits = torch.from_numpy(joined["vocabulary"][0]).double()
        out = replace(out, classes=classes, probabilities=logits.softmax(dim=1).numpy())
    if "score" in joined:
        mean, log_var = (column.astype(np.float64) for column in joined["score"])
        out = replace(out, score=mean, score_var=np.exp(np.clip(log_var, 2 * np.log(SMALLEST_SPREAD), 10)))
    if "rhythm" in joined:
        out = replace(out, rate=joined["rhythm"][0].astype(np.float64))
    return out


def fit(
    prompter: Prompter, hidden: Tensor, which: Tensor | None, target: dict[str, Tensor], settings: PrompterSettings
) -> None:
    """Train a prompter in place on frozen features (N, H). The loss is the sum of the tasks' losses.

    The cross-entropy is divided by the logarithm of the number of classes, and BAR's squared error by the variance of BAR.
    The score's log-likelihood has no divisor. ``which`` (N,): number of each piece's text, if the text is an input.
    """
    optimizer = torch.optim.AdamW(
        prompter.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    batch_size = min(settings.batch_size, len(hidden))
    steps = min(settings.steps, settings.passes * len(hidden) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=steps, pct_start=0.1)
    rate_variance = target["rhythm"].var().clamp(min=1e-4)
    classes = max(int(target["vocabulary"].max()) + 1, 2)
    order = torch.randperm(len(hidden), device=hidden.device)
    prompter.train()
    place = 0
    for _ in range(steps):
        if place + batch_size > len(hidden):
            order, place = torch.randperm(len(hidden), device=hidden.device), 0
        rows = order[place : place + batch_size]
        place += batch_size
        guess = prompter(hidden[rows], prompter.encode_texts(None if which is None else which[rows]))
        loss = hidden.new_zeros(())
        if "vocabulary" in guess:
            loss = loss + F.cross_entropy(guess["vocabulary"][0], target["vocabulary"][rows]) / np.log(classes)
        if "score" in guess:
            loss = loss + score_distribution(*guess["score"], target["score"][rows])
        if "rhythm" in guess:
            loss = loss + F.mse_loss(guess["rhythm"][0], target["rhythm"][rows]) / rate_variance
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(prompter.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    prompter.eval()


def prompt(*arguments) -> Predictions:
    """The method: score every candidate's text against the dance."""
    return prompted(*arguments)


def prompt_query(*arguments) -> Predictions:
    """Control: one question for all pieces, so that only the trained last layer and the heads can help."""
    return prompted(*arguments, text="input")


def prompt_id(*arguments) -> Predictions:
    """Control: as ``prompt``, but with a learned vector instead of each candidate's text."""
    return prompted(*arguments, text="vectors")


def prompt_oracle(*arguments) -> Predictions:
    """A leaking protocol on purpose: the text with the ground truth is the input, at test time too."""
    return prompted(*arguments, text="input", oracle=True)


def direct(features, episode, seed, settings, tasks) -> Predictions:
    """Floor for Task 3 only: BAR computed from the piece. A piece without a music peak gets the mean of the others."""
    rate = episode.table["bar_direct"].iloc[episode.query] / 100
    return Predictions(rate=rate.fillna(rate.mean()).to_numpy())


PROTOCOLS = {
    "prompt": prompt,
    "prompt-query": prompt_query,
    "prompt-id": prompt_id,
    "prompt-oracle": prompt_oracle,
    "finetune": finetune,
    "chance": chance,
    "direct": direct,
}
LOOK_AT_NOTHING = ("chance", "direct")  # protocols that read no features
