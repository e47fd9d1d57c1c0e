"""The prompter's texts: the sentences of the three tasks, and the small text transformer that encodes them."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

LEVELS_OF_SCORE = np.linspace(0.0, 1.0, 21)  # candidates of Task 2 (score/100) and of Task 3 (BAR)
QUESTION = "Which genre, choreography, level and move is this?"


def vocabulary_text(genre: str, choreography: str, level: str, primitive: int) -> str:
    """Return Task 1's sentence as in Fig. 2, e.g. "Ballet, choreography 1, beginner and move 2"."""
    number = re.sub(r"^\D+", "", str(choreography)) or choreography
    return f"{str(genre).capitalize()}, choreography {number}, {level} and move {int(primitive) + 1}"


def score_text(score: float) -> str:
    """Return Task 2's sentence for a score on 0..1."""
    return f"The performance score is {round(100 * score)}"


def rate_text(rate: float) -> str:
    """Return Task 3's sentence for a beat alignment rate on 0..1."""
    return f"The beat alignment rate is {round(100 * rate)} percent"


def candidates(tasks: Iterable[str], classes: pd.DataFrame | None) -> dict[str, list[str]]:
    """Return each task's candidates as sentences: one for each class of Task 1, one for each of 21 values of Tasks 2 and 3.

    ``classes``: genre, choreography, level and primitive, one row for each class of Task 1.
    """
    every = {
        "vocabulary": lambda: [vocabulary_text(*row) for row in classes.itertuples(index=False)],
        "score": lambda: [score_text(value) for value in LEVELS_OF_SCORE],
        "rhythm": lambda: [rate_text(value) for value in LEVELS_OF_SCORE],
    }
    return {task: every[task]() for task in every if task in tasks}


def full_text(row: pd.Series) -> str:
    """Return all labels of a piece in words, rounded to the nearest candidates: the input of the leaking protocol."""
    parts = [vocabulary_text(row["genre"], row["choreography"], row["level"], row["primitive"])]
    nearest = lambda value: np.round(20 * value) / 20  # noqa: E731
    if np.isfinite(row["score"]):
        parts.append(score_text(nearest(row["score"] / 100)))
    if np.isfinite(row["bar"]):
        parts.append(rate_text(nearest(row["bar"] / 100)))
    return ". ".join(parts)


def tokenize(texts: list[str]) -> list[list[str]]:
    """Return the tokens of each text: lower-case words, digits and punctuation marks."""
    return [re.findall(r"\d|[^\W\d]+|[^\w\s]", text.lower()) for text in texts]


class TextEncoder(nn.Module):
    """A small BERT without pre-trained weights, texts -> (n, width): the mean of the tokens' last hidden states.

    The vocabulary consists of the words in ``texts``; any other word becomes "unknown". Each digit of a number is a token.
    """

    def __init__(self, texts: list[str], width: int = 64, layers: int = 1, heads: int = 2):
        super().__init__()
        from transformers import BertConfig, BertModel  # imported here because the import takes 6 s

        words = sorted({word for tokens in tokenize(texts) for word in tokens})
        self.index = {word: i + 2 for i, word in enumerate(words)}  # 0 pads, 1 is unknown
        config = BertConfig(
            vocab_size=len(words) + 2, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
            intermediate_size=2 * width, max_position_embeddings=64, hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0, pad_token_id=0, attn_implementation="eager",
        )  # fmt: skip
        self.bert = BertModel(config, add_pooling_layer=False)

    def ids(self, texts: list[str]) -> Tensor:
        """Return token ids, (n, longest), padded with 0."""
        rows = [[self.index.get(word, 1) for word in tokens] for tokens in tokenize(texts)]
        longest = max(map(len, rows))
        device = next(self.parameters()).device
        return torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)

    def forward(self, ids: Tensor) -> Tensor:
        mask = (ids > 0).float()
        states = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        return (states * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
