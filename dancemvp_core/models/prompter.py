"""The prompter scores sentences (candidates) against a piece's frozen features ("Transformer-based Text Prompting")."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dancemvp_core.models import texts

SMALLEST_SPREAD = 0.01  # least standard deviation of a predicted score, on 0..1
LEVELS = [i / 20 for i in range(21)]  # candidates of Task 2 (score/100) and of Task 3 (BAR)
TOWERS = {"words": texts.TextEncoder, "input": texts.TextEncoder, "pre-trained": texts.MiniLM}
AT_ONCE = 256  # pieces in one batch of a prediction


@dataclass(frozen=True)
class PrompterSettings:
    """Hyper-parameters of the prompter, chosen on the validation choreographies.

    A fit takes at most ``steps`` steps; cross-validation on the support stops each task earlier (``tasks.prompting``).
    ``shrinkage``: whitening adds this share of the largest variance of the frozen features to every variance.
    """

    steps: int = 200
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    dropout: float = 0.5
    width: int = 128
    text_width: int = 32
    shrinkage: float = 0.01


class Join(nn.Module):
    """GELU(W_z z + W_t t) joins dance and text. z (B, D) with t (B, E) -> (B, W); ``every_pair``: t (C, E) -> (B, C, W)."""

    def __init__(self, features: int, text_width: int, width: int):
        super().__init__()
        self.dance = nn.Linear(features, width)
        self.text = nn.Linear(text_width, width, bias=False)

    def forward(self, z: Tensor, t: Tensor, every_pair: bool) -> Tensor:
        dance, text = self.dance(z), self.text(t)
        return F.gelu(dance[:, None] + text[None] if every_pair else dance + text)


class LastLayer(nn.Module):
    """The MLP's last layer on whitened frozen features. Before training it computes the same z as the pre-trained layer.

    Whitening removes the support's covariance from the frozen features (N, H). So the layer learns a direction of small
    variance (between primitives with the same track) as fast as one of large variance (between tracks).
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
        """Return z, (N, H) -> (N, D)."""
        return self.layer((hidden - self.centre) @ self.whiten)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return whitening and layer as one linear layer on the frozen features: (weight (D, H), bias (D,))."""
        weight = self.layer.weight @ self.whiten.T
        return weight, self.layer.bias - weight @ self.centre


class Prompter(nn.Module):
    """The MLP's last layer, one join and one head for each task, and the texts of the candidates.

    ``text`` says how a candidate is represented. "words": a text encoder encodes its sentence. "pre-trained": a linear layer
    reads the vector of a pre-trained sentence encoder. "vectors": each candidate has a learned vector and no words (control).
    In these cases a head scores every candidate, w . GELU(W_z z + W_t t(c)),
    and the softmax over the candidates is the prediction. "input": each piece comes with one text, and a linear head
    predicts the answer from the joined features (control, and the leaking oracle).
    """

    def __init__(self, last: nn.Linear | None, support: Tensor, sentences: dict[str, list[str]], tasks: tuple[str, ...],
                 classes: int, text: str, settings: PrompterSettings):  # fmt: skip
        """Start from the pre-trained ``last`` (None: z is the frozen features). ``support`` (N, H): its frozen features.

        ``tasks``: "score" (Task 2), "rhythm" (Task 3), and names of classifications, such as "vocabulary" (Task 1).
        ``sentences``: the candidates of each task, or {"input": [...]}. ``classes``: the number of classes in Task 1.
        """
        super().__init__()
        self.last = nn.Identity() if last is None else LastLayer(last, support, settings.shrinkage)
        with torch.no_grad():
            z = self.last(support)
        self.register_buffer("mean", z.mean(dim=0))
        self.register_buffer("spread", z.std(dim=0).clamp(min=1e-5))
        self.text, self.tasks, self.dropout, self.sentences = text, tasks, settings.dropout, sentences
        if text == "vectors":
            self.vectors = nn.ParameterDict({task: torch.randn(len(s), settings.text_width) for task, s in sentences.items()})
        else:
            self.encoder = TOWERS[text]([sentence for said in sentences.values() for sentence in said], settings.text_width)
        outputs = {"vocabulary": classes, "score": 2, "rhythm": 1}
        self.joins = nn.ModuleDict({t: Join(z.shape[1], settings.text_width, settings.width) for t in tasks})
        self.heads = nn.ModuleDict({t: nn.Linear(settings.width, outputs[t] if text == "input" else 1) for t in tasks})
        self.raw_spread = nn.Parameter(torch.tensor(-3.0))
        self.register_buffer("values", torch.tensor(LEVELS), persistent=False)
        self.to(support.device)

    def encode_texts(self, which: Tensor | None = None) -> dict[str, Tensor]:
        """Return the encoded candidates of all tasks, {task: (C, E)}; or the texts numbered ``which`` (B,), {"input": (B, E)}."""
        if self.text == "vectors":
            return {task: self.text_norm(vectors) for task, vectors in self.vectors.items()}
        if self.text == "input":
            few = not self.training or len(self.sentences["input"]) <= len(which)
            return {"input": self.text_norm(self.encoder())[which] if few else self.text_norm(self.encoder(which))}
        sizes = [len(s) for s in self.sentences.values()]
        encoded = self.encoder().split(sizes)
        return {task: self.text_norm(t) for task, t in zip(self.sentences, encoded, strict=True)}

    @staticmethod
    def text_norm(t: Tensor) -> Tensor:
        """Return texts (C, E) standardised over the C texts: this removes what all have in common; a single text becomes 0."""
        return (t - t.mean(dim=0)) / (t.std(dim=0, correction=0) + 1e-3)

    def forward(self, hidden: Tensor, which: Tensor | None = None, encoded: dict[str, Tensor] | None = None) -> dict[str, tuple]:
        """Return {task: prediction}: (logits,), (mean, log_var) or (rate,). ``encoded``: what ``encode_texts`` has returned."""
        encoded = encoded or self.encode_texts(which)
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
        """Return the predictions of ``forward`` for any number of pieces (P, H); ``which`` (P,): numbers of the input texts.

        It works in batches, because the joined features of all pieces and candidates, (P, C, W), do not fit a CPU's cache.
        """
        encoded = None if self.text == "input" else self.encode_texts()
        parts = [
            self(hidden[i : i + AT_ONCE], None if which is None else which[i : i + AT_ONCE], encoded)
            for i in range(0, len(hidden), AT_ONCE)
        ]
        return {task: tuple(map(torch.cat, zip(*(p[task] for p in parts), strict=True))) for task in self.tasks}

    def read_candidates(self, task: str, logits: Tensor) -> tuple[Tensor, ...]:
        """Return a task's prediction from candidate scores (B, C): Tasks 2 and 3 take the mean of the candidates' values."""
        if task not in ("score", "rhythm"):
            return (logits,)
        weights = logits.softmax(dim=1)
        mean = weights @ self.values
        if task == "rhythm":
            return (mean,)
        spread = SMALLEST_SPREAD + F.softplus(self.raw_spread)
        variance = (weights * (self.values - mean[:, None]) ** 2).sum(dim=1) + spread**2
        return mean, variance.log()
