"""The prompter: candidates in words, scored against the frozen features of a dance ("Transformer-based Text Prompting")."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dancemvp_core.models import texts

SMALLEST_SPREAD = 0.01  # of a predicted score, on 0..1
AT_ONCE = 256  # pieces, in prediction



@dataclass(frozen=True)
class PrompterSettings:
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
    """The MLP's last layer, one join and one head per task, and the candidates' texts.

    ``text`` says what stands for a candidate. "words": a text encoder reads its sentence. "vectors": a learned vector
    each, without words (control). In both a head scores every candidate, w . GELU(W_z z + W_t t(c)), and the softmax
    over the candidates is the prediction. "input": a text comes with each piece, and a linear head reads the answer off
    the joined features (control, and the leaking oracle).
    """

    def __init__(self, last: nn.Linear | None, support: Tensor, sentences: dict[str, list[str]], tasks: tuple[str, ...],
                 classes: int, text: str, settings: PrompterSettings):  # fmt: skip
        """``last``: the MLP's last layer as pre-training left it (None: z is the frozen features), ``support`` (N, H) the

        frozen features to be learned from; ``sentences`` per task, or {"input": [...]}; ``classes``: how many Task 1 has.
        """
        super().__init__()
        self.last = nn.Identity() if last is None else LastLayer(last, support, settings.shrinkage)
        with torch.no_grad():
            z = self.last(support)
        self.register_buffer("mean", z.mean(dim=0))
        self.register_buffer("spread", z.std(dim=0).clamp(min=1e-5))
        self.text, self.tasks, self.dropout = text, tasks, settings.dropout
        self.sentences = sentences
        if text == "vectors":
            drawn = {task: torch.randn(len(s), settings.text_width) for task, s in sentences.items()}
            self.vectors = nn.ParameterDict(drawn)
        else:
            everything = [sentence for task in sentences for sentence in sentences[task]]
            self.encoder = texts.TextEncoder(everything, settings.text_width)
            self.register_buffer("token_ids", self.encoder.ids(everything), persistent=False)
        outputs = {"vocabulary": classes, "score": 2, "rhythm": 1}
        self.joins = nn.ModuleDict({t: Join(z.shape[1], settings.text_width, settings.width) for t in tasks})
        self.heads = nn.ModuleDict({t: nn.Linear(settings.width, outputs[t] if text == "input" else 1) for t in tasks})
        self.raw_spread = nn.Parameter(torch.tensor(-3.0))
        self.register_buffer("values", torch.tensor(texts.LEVELS_OF_SCORE, dtype=torch.float32))
        self.to(support.device)

    def encode_texts(self, which: Tensor | None = None) -> dict[str, Tensor]:
        """Every candidate of every task, encoded once: {task: (C, E)}; or the inputs ``which`` (B,): {"input": (B, E)}."""
        if self.text == "vectors":
            return {task: self.text_norm(vectors) for task, vectors in self.vectors.items()}
        if self.text == "input":
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
            if self.text == "input":
                answer = self.heads[task](self.joins[task](z, encoded["input"], every_pair=False))
                answer = answer.unbind(dim=1) if task != "vocabulary" else (answer,)
            else:
                answer = self.heads[task](self.joins[task](z, encoded[task], every_pair=True))
                answer = self.read_candidates(task, answer.squeeze(-1))
            out[task] = answer
        return out

    @torch.inference_mode()
    def predict(self, hidden: Tensor, which: Tensor | None = None) -> dict[str, tuple[Tensor, ...]]:
        """As ``forward`` for any number of pieces (P, H), with the texts ``which`` (P,) where the text is an input.

        In slices: all candidates' joined features of all pieces at once, (P, C, W), would leave a processor's cache.
        """
        encoded = None if self.text == "input" else self.encode_texts()
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
