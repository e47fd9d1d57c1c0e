"""The text prompt as released: the label in words, of which the vocabulary knows none; and the CLIP-like text tower."""

from __future__ import annotations

import re
from collections import Counter

import torch
from torch import Tensor, nn

SENTENCE = "The genre is {}, the choerography is {}, the dance primitive is {}, the expertise levels is {}."  # its spelling
GENRES = {"ballet": "ballet", "k-pop": "kpop", "jazz": "jazz", "hip-hop": "hiphop", "urban": "urban"}
UNKNOWN = "<unk>"
TOKENS = 8


def tokenize(text: str) -> list[str]:
    """Return lower-case words and marks, as torchtext's ``basic_english`` splits these texts."""
    return re.sub(r"([.,])", r" \1 ", text.lower()).split()


def label_text(genre: str, choreography: str, level: str, primitive: int) -> str:
    """Return the true class of a piece in words, "kpop,1,move 1,expert" (``get_prompt_text``); it is an input at test time too."""
    number = re.sub(r"^\D+", "", str(choreography)) or str(choreography)
    return f"{GENRES.get(genre, genre)},{number},move {int(primitive) + 1},{level}"


def vocabulary(texts: list[str]) -> dict[str, int]:
    """Return word -> number: <unk> is 0, then by frequency and spelling, as torchtext's ``build_vocab_from_iterator``."""
    count = Counter(word for text in texts for word in tokenize(text))
    words = sorted(count, key=lambda word: (-count[word], word))
    return {word: number for number, word in enumerate([UNKNOWN, *words])}


RELEASED_VOCABULARY = vocabulary([SENTENCE])  # of the sentence with its blanks: no genre, number, move or level is in it


def token_ids(texts: list[str], words: dict[str, int]) -> Tensor:
    """Return the token numbers of label texts, (N, 8); 0 for a word that the vocabulary lacks."""
    return torch.tensor([[words.get(word, 0) for word in tokenize(text)] for text in texts])


class _Attention(nn.Module):
    """One residual block of the tower: causal self-attention and an MLP with QuickGELU, both after a layer norm."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.before_attention(x)
        x = x + self.attention(y, y, y, need_weights=False, attn_mask=mask)[0]
        wide = self.widen(self.before_mlp(x))
        return x + self.narrow(wide * torch.sigmoid(1.702 * wide))


class TextTower(nn.Module):
    """``prompting/charmodel.py``: CLIP's text tower, token numbers (N, 8) -> (N, 256).

    Width 256, 12 layers, 256 heads (so one dimension each). The feature of a text is that of its token with the largest number.
    """

    def __init__(self, words: int, width: int = 256, layers: int = 12, heads: int = 256, dim: int = 256, tokens: int = TOKENS):
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.position = nn.Parameter(0.01 * torch.randn(tokens, width))
        self.blocks = nn.ModuleList(_Attention(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Parameter(width**-0.5 * torch.randn(width, dim))
        self.register_buffer("mask", torch.full((tokens, tokens), -torch.inf).triu(1), persistent=False)
        nn.init.normal_(self.embedding.weight, std=0.02)
        for block in self.blocks:
            nn.init.normal_(block.attention.in_proj_weight, std=width**-0.5)
            nn.init.normal_(block.attention.out_proj.weight, std=width**-0.5 * (2 * layers) ** -0.5)
            nn.init.normal_(block.widen.weight, std=(2 * width) ** -0.5)
            nn.init.normal_(block.narrow.weight, std=width**-0.5 * (2 * layers) ** -0.5)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids) + self.position
        for block in self.blocks:
            x = block(x, self.mask)
        return self.norm(x)[torch.arange(len(ids), device=ids.device), ids.argmax(dim=1)] @ self.projection


def logits(z: Tensor, text: Tensor) -> Tensor:
    """Return features and text side by side as logits (``test_our_text_prompt.py``), (N, D), (N, E) -> (N, D + E).

    With 45 classes, class c is number c of z. The text's numbers are logits of classes that do not exist.
    """
    return torch.cat([z, text], dim=1)
