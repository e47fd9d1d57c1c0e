"""Downstream protocols: what is danced, how well, how much on the beat ("Transformer-based Text Prompting").

Every protocol is a function of frozen features, the table of labels, and the support and query rows. The encoders
are frozen; ``prompt`` trains the text encoder, the MLP's last layer and the head. See the README on why the
text at test time is every candidate and never the answer; ``prompt-oracle`` is shown in the leak audit only.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from dancemvp_core import texts
from dancemvp_core.device import repeatable
from dancemvp_core.losses import score_distribution

TASKS = ("vocabulary", "score", "rhythm")  # Tasks 1, 2 and 3
SMALLEST_SPREAD = 0.01  # of a predicted score, on 0..1
AT_ONCE = 256  # pieces, in prediction
FAIR = ("prompt", "prompt-query", "prompt-id", "finetune")
LEAKING = ("prompt-oracle",)


@dataclass(frozen=True, eq=False)
class Features:
    """Frozen features of all pieces: ``hidden`` (P, H) and the MLP's last layer, Linear(H, D), or None for z = hidden.

    Both are on one device, the pieces': there a protocol fits.
    """

    hidden: Tensor
    last: nn.Linear | None = None

    @property
    def z(self) -> Tensor:
        """(P, D): the features as pre-training left them."""
        if self.last is None:
            return self.hidden
        with torch.no_grad():
            return self.last(self.hidden)


@dataclass(frozen=True)
class Prompting:
    """Hyper-parameters of the prompter and of the linear heads, chosen on the validation choreographies.

    ``steps`` at most, and at most ``passes`` over the support: more of them on a few pieces, and the score distribution
    becomes far too sure of itself (fewer, and Task 1 is not learned yet). ``shrinkage``: what whitening adds to every
    variance of the frozen features, as a share of the largest.
    """

    steps: int = 300
    passes: int = 56
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    dropout: float = 0.5
    width: int = 128
    text_width: int = 32
    shrinkage: float = 0.01
    logistic_c: float = 1.0


@dataclass(frozen=True, eq=False)
class Predictions:
    """Of the Q query pieces, tasks that the data cannot support being None.

    ``probabilities`` (Q, C) over ``classes`` (C rows: genre, choreography, level, primitive); ``score`` and
    ``score_var`` (Q,) on score/100; ``rate`` (Q,) on 0..1.
    """

    classes: pd.DataFrame | None = None
    probabilities: np.ndarray | None = None
    score: np.ndarray | None = None
    score_var: np.ndarray | None = None
    rate: np.ndarray | None = None


@contextlib.contextmanager
def seeded(seed: int, device: torch.device):
    """Within it PyTorch's random numbers on the CPU and on ``device`` start from the seed; afterwards they go on as before."""
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
        torch.manual_seed(seed)
        yield


CLASS_COLUMNS = ["genre", "choreography", "level", "primitive"]


def class_table(table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """The distinct Task 1 classes of some pieces, sorted, and each piece's class as an index into them."""
    names = table[CLASS_COLUMNS].astype({"primitive": int})
    classes = names.drop_duplicates().sort_values(CLASS_COLUMNS[1:]).reset_index(drop=True)
    place = {key: i for i, key in enumerate(classes.itertuples(index=False, name=None))}
    return classes, np.array([place[key] for key in names.itertuples(index=False, name=None)])


def supported_tasks(support: pd.DataFrame) -> tuple[str, ...]:
    """The tasks for which the support has labels: vocabulary needs levels and genres, the others numbers."""
    has = {
        "vocabulary": support[CLASS_COLUMNS].notna().all(axis=None),
        "score": support["score"].notna().all(),
        "rhythm": support["bar"].notna().all(),
    }
    return tuple(task for task in TASKS if has[task])


def run(
    protocol: str,
    features: Features,
    table: pd.DataFrame,
    support: np.ndarray,
    query: np.ndarray,
    seed: int = 0,
    settings: Prompting | None = None,
    tasks: tuple[str, ...] = TASKS,
) -> Predictions:
    """Fit a protocol on the support rows of ``table`` and predict its query rows.

    ``protocol`` is one of ``PROTOCOLS``; ``tasks`` are learned jointly. Of the query rows the fair protocols read
    ``features`` alone. Raises ValueError on an unknown protocol, or support and query that overlap.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")
    if np.intersect1d(support, query).size:
        raise ValueError("support and query share pieces")
    tasks = tuple(t for t in tasks if t in supported_tasks(table.iloc[support]))
    return PROTOCOLS[protocol](features, table, support, query, seed, settings or Prompting(), tasks)


def chance(features, table, support, query, seed, settings, tasks) -> Predictions:
    """Floor: the support's class frequencies, its mean and its variance, whatever the piece."""
    known, n = table.iloc[support], len(query)
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


def finetune(features, table, support, query, seed, settings, tasks) -> Predictions:
    """Logistic and ridge heads on frozen features: the paper's rival of prompting (Table 4).

    The ridge strength is the support's best in leave-one-out, whose error is also the score's predicted variance.
    """
    z = features.z.double().cpu().numpy()
    known, x, ask = table.iloc[support], z[support], z[query]
    out = Predictions()
    if "vocabulary" in tasks:
        classes, codes = class_table(known)
        model = make_pipeline(_Scale(), LogisticRegression(C=settings.logistic_c, max_iter=500))
        probabilities = np.zeros((len(query), len(classes)))
        probabilities[:, np.unique(codes)] = model.fit(x, codes).predict_proba(ask)
        out = replace(out, classes=classes, probabilities=probabilities)
    for task, column in (("score", "score"), ("rhythm", "bar")):
        if task not in tasks:
            continue
        scale = _Scale()
        ridge = RidgeCV(np.logspace(-1, 5, 13), store_cv_results=True)
        ridge.fit(scale.fit_transform(x), known[column].to_numpy() / 100)
        mean = ridge.predict(scale.transform(ask))
        if task == "score":
            error = max(float(ridge.cv_results_.mean(axis=0).min()), SMALLEST_SPREAD**2)
            out = replace(out, score=mean, score_var=np.full(len(query), error))
        else:
            out = replace(out, rate=mean)
    return out


class _Scale(StandardScaler):
    """StandardScaler that treats spreads of rounding size as none, so that constants stay constants."""

    def fit(self, x, y=None, sample_weight=None):
        super().fit(x, y, sample_weight)
        self.scale_ = np.where(np.sqrt(self.var_) < 1e-5 * (1 + np.abs(self.mean_)), 1e9, self.scale_)
        return self


class Join(nn.Module):
    """GELU(W_z z + W_t t): where dance meets text. z (B, D) with t (B, E) -> (B, W), or with t (C, E) -> (B, C, W)."""

    def __init__(self, features: int, text_width: int, width: int):
        super().__init__()
        self.dance = nn.Linear(features, width)
        self.text = nn.Linear(text_width, width, bias=False)

    def forward(self, z: Tensor, t: Tensor, every_pair: bool) -> Tensor:
        dance, text = self.dance(z), self.text(t)
        return F.gelu(dance[:, None] + text[None] if every_pair else dance + text)


class LastLayer(nn.Module):
    """The MLP's last layer as the prompter trains it: on whitened frozen features, at first the very layer of pre-training.

    Of the frozen features (N, H) the support's covariance is taken out, so that a direction in which they hardly differ
    (the eights of one track) is learned as fast as one in which they do (one track and another).
    """

    def __init__(self, last: nn.Linear, support: Tensor, shrinkage: float):
        super().__init__()
        own = support.double()
        variance, axes = torch.linalg.eigh((own - own.mean(dim=0)).T @ (own - own.mean(dim=0)) / max(len(own) - 1, 1))
        spread = (variance.clamp(min=0) + shrinkage * variance.max()).sqrt().clamp(min=1e-5)
        self.register_buffer("centre", own.mean(dim=0).float())
        self.register_buffer("whiten", (axes / spread).float())
        self.layer = nn.Linear(*last.weight.shape[::-1], device=last.weight.device)
        with torch.no_grad():
            self.layer.weight.copy_(last.weight.double() @ (axes * spread))
            self.layer.bias.copy_(last(self.centre))

    def forward(self, hidden: Tensor) -> Tensor:
        """(N, H) -> (N, D)."""
        return self.layer((hidden - self.centre) @ self.whiten)

    def folded(self) -> tuple[Tensor, Tensor]:
        """(weight (D, H), bias (D,)) of the one linear layer on the frozen features that this is."""
        weight = self.layer.weight @ self.whiten.T
        return weight, self.layer.bias - weight @ self.centre


class Prompter(nn.Module):
    """Text encoder (or a vector per candidate), the MLP's last layer and one head per task.

    With ``candidates`` True a head scores every candidate, w . GELU(W_z z + W_t t(c)), and the softmax over them is
    the prediction; else the text is an input and a linear head reads the answer off the joined features.
    """

    def __init__(self, features: Features, sentences: dict[str, list[str]], classes: int, tasks, candidates: bool,
                 ids: bool, settings: Prompting, support: np.ndarray):  # fmt: skip
        super().__init__()
        hidden = features.hidden[torch.as_tensor(support, device=features.hidden.device)]
        self.last = nn.Identity() if features.last is None else LastLayer(features.last, hidden, settings.shrinkage)
        with torch.no_grad():
            z = self.last(hidden)
        self.register_buffer("mean", z.mean(dim=0))
        self.register_buffer("spread", z.std(dim=0).clamp(min=1e-5))
        self.candidates, self.tasks, self.dropout = candidates, tasks, settings.dropout
        self.sentences = sentences
        if ids:
            self.vectors = nn.ParameterDict(
                {task: torch.randn(len(s), settings.text_width) for task, s in sentences.items()}
            )
        else:
            everything = [text for task in sentences for text in sentences[task]]
            self.encoder = texts.TextEncoder(everything, settings.text_width)
            self.register_buffer("token_ids", self.encoder.ids(everything), persistent=False)
        self.ids = ids
        outputs = {"vocabulary": classes, "score": 2, "rhythm": 1}
        self.joins = nn.ModuleDict({t: Join(z.shape[1], settings.text_width, settings.width) for t in tasks})
        self.heads = nn.ModuleDict({t: nn.Linear(settings.width, 1 if candidates else outputs[t]) for t in tasks})
        self.raw_spread = nn.Parameter(torch.tensor(-3.0))
        self.register_buffer("values", torch.tensor(texts.LEVELS_OF_SCORE, dtype=torch.float32))
        self.to(hidden.device)

    def encode_texts(self, which: Tensor | None = None) -> dict[str, Tensor]:
        """Every candidate of every task, encoded once: {task: (C, E)}; or the inputs ``which`` (B,): {"input": (B, E)}."""
        if self.ids:
            return {task: self.text_norm(vectors) for task, vectors in self.vectors.items()}
        if which is not None:
            distinct, place = which.unique(return_inverse=True)
            return {"input": self.encoder(self.token_ids[distinct])[place]}
        sizes = [len(s) for s in self.sentences.values()]
        encoded = self.encoder(self.token_ids).split(sizes)
        return {task: self.text_norm(t) for task, t in zip(self.sentences, encoded, strict=True)}

    @staticmethod
    def text_norm(t: Tensor) -> Tensor:
        """Standardise over the candidates: what all candidates share says nothing about any of them."""
        return (t - t.mean(dim=0)) / (t.std(dim=0) + 1e-3)

    def forward(self, hidden: Tensor, encoded: dict[str, Tensor]) -> dict[str, tuple]:
        """{task: prediction}: (logits,), (mean, log_var) or (rate,), from ``encode_texts``."""
        z = F.dropout((self.last(hidden) - self.mean) / self.spread, self.dropout, self.training)
        out = {}
        for task in self.tasks:
            text = encoded[task] if self.candidates else encoded["input"]
            answer = self.heads[task](self.joins[task](z, text, self.candidates))
            if not self.candidates:
                answer = answer.unbind(dim=1) if task != "vocabulary" else (answer,)
            else:
                answer = self.read_candidates(task, answer.squeeze(-1))
            out[task] = answer
        return out

    @torch.inference_mode()
    def predict(self, hidden: Tensor, which: Tensor | None = None) -> dict[str, tuple[Tensor, ...]]:
        """As ``forward`` for any number of pieces (P, H), with the texts ``which`` (P,) where the text is an input.

        In slices: all candidates' joined features of all pieces at once, (P, C, W), would leave a processor's cache.
        """
        encoded = self.encode_texts() if self.candidates else None
        parts = [
            self(hidden[i : i + AT_ONCE], encoded or self.encode_texts(which[i : i + AT_ONCE]))
            for i in range(0, len(hidden), AT_ONCE)
        ]
        return {task: tuple(map(torch.cat, zip(*(p[task] for p in parts), strict=True))) for task in self.tasks}

    def read_candidates(self, task: str, logits: Tensor) -> tuple[Tensor, ...]:
        """From candidate scores (B, C) to a task's prediction: the expectation over the candidates' values."""
        if task == "vocabulary":
            return (logits,)
        weights = logits.softmax(dim=1)
        mean = weights @ self.values
        if task == "rhythm":
            return (mean,)
        spread = SMALLEST_SPREAD + F.softplus(self.raw_spread)
        variance = (weights * (self.values - mean[:, None]) ** 2).sum(dim=1) + spread**2
        return mean, variance.log()


@repeatable()
def prompted(features, table, support, query, seed, settings, tasks, candidates=True, ids=False, oracle=False):
    """Train a ``Prompter`` on the support and predict the query."""
    device = features.hidden.device
    known = table.iloc[support]
    classes, codes = class_table(known) if "vocabulary" in tasks else (None, np.zeros(len(known), int))
    if candidates:
        sentences = {}
        if "vocabulary" in tasks:
            sentences["vocabulary"] = [texts.vocabulary_text(*row) for row in classes.itertuples(index=False)]
        if "score" in tasks:
            sentences["score"] = [texts.score_text(v) for v in texts.LEVELS_OF_SCORE]
        if "rhythm" in tasks:
            sentences["rhythm"] = [texts.rate_text(v) for v in texts.LEVELS_OF_SCORE]
        which = which_query = None
    elif oracle:
        described = [texts.full_text(row) for _, row in table.iloc[np.concatenate([support, query])].iterrows()]
        distinct, place = np.unique(described, return_inverse=True)
        sentences = {"input": list(distinct)}
        place = torch.as_tensor(place, device=device)
        which, which_query = place[: len(support)], place[len(support) :]
    else:
        sentences = {"input": [texts.QUESTION]}
        which, which_query = (torch.zeros(len(r), dtype=torch.long, device=device) for r in (support, query))

    target = {
        "vocabulary": torch.as_tensor(codes, device=device),
        "score": torch.as_tensor(known["score"].to_numpy(dtype=np.float32) / 100, device=device),
        "rhythm": torch.as_tensor(known["bar"].to_numpy(dtype=np.float32) / 100, device=device),
    }
    with seeded(seed, device):
        prompter = Prompter(
            features, sentences, 0 if classes is None else len(classes), tasks, candidates, ids, settings, support
        )
        fit(prompter, features.hidden[torch.as_tensor(support, device=device)], which, target, settings)
    answers = prompter.predict(features.hidden[torch.as_tensor(query, device=device)], which_query)
    joined = {task: [column.cpu().numpy() for column in columns] for task, columns in answers.items()}
    out = Predictions()
    if "vocabulary" in tasks:
        logits = torch.from_numpy(joined["vocabulary"][0]).double()
        out = replace(out, classes=classes, probabilities=logits.softmax(dim=1).numpy())
    if "score" in tasks:
        mean, log_var = (column.astype(np.float64) for column in joined["score"])
        out = replace(out, score=mean, score_var=np.exp(np.clip(log_var, 2 * np.log(SMALLEST_SPREAD), 10)))
    if "rhythm" in tasks:
        out = replace(out, rate=joined["rhythm"][0].astype(np.float64))
    return out


def fit(prompter: Prompter, hidden: Tensor, which: Tensor | None, target: dict[str, Tensor], settings: Prompting) -> None:
    """Minimise the sum of the tasks' losses, each brought to the scale of one (design, section 6)."""
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
        answers = prompter(hidden[rows], prompter.encode_texts(None if which is None else which[rows]))
        loss = hidden.new_zeros(())
        if "vocabulary" in answers:
            loss = loss + F.cross_entropy(answers["vocabulary"][0], target["vocabulary"][rows]) / np.log(classes)
        if "score" in answers:
            loss = loss + score_distribution(*answers["score"], target["score"][rows])
        if "rhythm" in answers:
            loss = loss + F.mse_loss(answers["rhythm"][0], target["rhythm"][rows]) / rate_variance
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(prompter.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    prompter.eval()


def prompt(*arguments) -> Predictions:
    """The method: every candidate's text, scored against the dance."""
    return prompted(*arguments)


def prompt_query(*arguments) -> Predictions:
    """Control: one question for all, so that only the unfrozen last layer and the heads can help."""
    return prompted(*arguments, candidates=False)


def prompt_id(*arguments) -> Predictions:
    """Control: as ``prompt``, with a learned vector in place of each candidate's text."""
    return prompted(*arguments, ids=True)


def prompt_oracle(*arguments) -> Predictions:
    """Leaks by design: the ground truth, in words, is the input, at test time too."""
    return prompted(*arguments, candidates=False, oracle=True)


PROTOCOLS = {
    "prompt": prompt,
    "prompt-query": prompt_query,
    "prompt-id": prompt_id,
    "prompt-oracle": prompt_oracle,
    "finetune": finetune,
    "chance": chance,
}
