"""Task 1 as released: the true label's text is an input, and [z ; text] are the logits (``test_our_text_prompt.py``).

``taken_apart`` asks what the text does: the same fit answers with the true text, with another label's, and with one text for
all. With the released vocabulary all texts are one token sequence, so the answers are bit-identical. With a vocabulary that
knows the words, the texts differ, but their numbers are logits of classes that do not exist: they leave the classes' order as
it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dancemvp_core.device import repeatable, seeded
from dancemvp_core.models.prompter import PrompterSettings
from dancemvp_core.released import texts
from dancemvp_core.tasks import metrics, protocols
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.protocols import Episode, class_table


@dataclass(frozen=True)
class PromptTuning:
    """How the released code tunes: Adam at 3e-2, batches of 32 without shuffling, 200 epochs; and the size of its tower."""

    epochs: int = 200
    batch_size: int = 32
    learning_rate: float = 3e-2
    width: int = 256
    layers: int = 12
    heads: int = 256

    @classmethod
    def of(cls, params) -> PromptTuning:
        """Return the tuning at a profile's size: its width, one head for each dimension, fewer epochs for few downstream steps."""
        return cls(epochs=min(cls.epochs, 1 + params.downstream_steps // 4), width=params.dim, heads=params.dim)


class ReleasedPrompter(nn.Module):
    """The MLP's last layer and the text tower; the logits are z and the text side by side."""

    def __init__(self, last: nn.Linear, words: int, how: PromptTuning):
        super().__init__()
        self.last = nn.Linear(last.in_features, last.out_features)
        self.last.load_state_dict({name: value.detach().cpu().clone() for name, value in last.state_dict().items()})
        self.tower = texts.TextTower(words, how.width, how.layers, how.heads, dim=how.width)

    def forward(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """Frozen features (N, H) and token numbers (N, 8) -> logits (N, D + E)."""
        distinct, place = ids.unique(dim=0, return_inverse=True)
        return texts.logits(self.last(hidden), self.tower(distinct)[place])


@repeatable()
def tune(
    features: Features,
    episode: Episode,
    words: dict[str, int],
    how: PromptTuning,
    seed: int = 0,
    shown: Callable[[pd.DataFrame], list[str]] | None = None,
    after_epoch: Callable[[ReleasedPrompter], None] = lambda prompter: None,
) -> ReleasedPrompter:
    """Tune the last layer and the tower on the support, and return both; the inputs are the true labels' texts.

    ``shown`` makes other texts of the support. ``after_epoch`` gets the prompter after each pass over the support. Raises
    ValueError if the features have no last layer, or fewer numbers than there are classes.
    """
    known, device = episode.known, features.hidden.device
    classes, codes = class_table(known)
    if features.last is None or features.last.out_features < len(classes):
        raise ValueError(f"the released prompt needs a last layer of at least {len(classes)} outputs, one per class")
    hidden = features.hidden[torch.as_tensor(episode.support, device=device)]
    ids = texts.token_ids((shown or label_texts)(known), words).to(device)
    target = torch.as_tensor(codes, device=device)
    with seeded(seed, device):
        prompter = ReleasedPrompter(features.last, len(words), how).to(device)
    optimizer = torch.optim.Adam(prompter.parameters(), how.learning_rate)
    for _ in range(how.epochs):
        for start in range(0, len(hidden), how.batch_size):
            rows = slice(start, start + how.batch_size)
            loss = F.cross_entropy(prompter(hidden[rows], ids[rows]), target[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        after_epoch(prompter)
    return prompter.eval()


def query_truth(episode: Episode) -> np.ndarray:
    """Return the class of each query piece, as an index into the support's classes, (Q,)."""
    classes, _ = class_table(episode.known)
    place = {key: i for i, key in enumerate(classes.itertuples(index=False, name=None))}
    names = episode.table.iloc[episode.query][list(classes.columns)].astype({"primitive": int})
    return np.array([place[key] for key in names.itertuples(index=False, name=None)])


def answers(
    features: Features,
    episode: Episode,
    words: dict[str, int],
    how: PromptTuning,
    seed: int = 0,
    shown: Callable[[pd.DataFrame], list[str]] | None = None,
    after_epoch: Callable[[float], None] = lambda accuracy: None,
) -> np.ndarray:
    """Return whether the answer to each query piece is right after each epoch, (epochs, Q).

    The released script prints the mean of each epoch. Support and query come with the true labels' texts, or with those that
    ``shown`` makes. ``after_epoch`` gets each accuracy in % at once.
    """
    truth, device = query_truth(episode), features.hidden.device
    hidden = features.hidden[torch.as_tensor(episode.query, device=device)]
    ids = texts.token_ids((shown or label_texts)(episode.table.iloc[episode.query]), words).to(device)
    found: list[np.ndarray] = []

    def ask(prompter: ReleasedPrompter) -> None:
        with torch.no_grad():
            found.append(prompter(hidden, ids).argmax(dim=1).cpu().numpy() == truth)
        after_epoch(100 * float(found[-1].mean()))

    tune(features, episode, words, how, seed, shown, ask)
    return np.stack(found)


def one_text(table: pd.DataFrame) -> list[str]:
    """Return the same text for each piece: that of the first."""
    return label_texts(table.iloc[:1]) * len(table)


def label_texts(table: pd.DataFrame) -> list[str]:
    """Return the released text of each piece's true class."""
    columns = ["genre", "choreography", "level", "primitive"]
    return [texts.label_text(*row) for row in table[columns].itertuples(index=False, name=None)]


def shown_texts(table: pd.DataFrame) -> dict[str, list[str]]:
    """Return three texts for each piece: its own label's, that of the next class in the table, and one for all."""
    true = label_texts(table)
    order = list(dict.fromkeys(true))
    other = {text: order[(i + 1) % len(order)] for i, text in enumerate(order)}
    return {"true label": true, "another label": [other[text] for text in true], "one for all": one_text(table)}


def taken_apart(
    features: Features, episode: Episode, words: dict[str, int], how: PromptTuning, seed: int = 0
) -> tuple[pd.DataFrame, dict[str, Tensor]]:
    """Return one row for each text that the query comes with, and the logits of each text.

    Columns: text, sequences (number of distinct token sequences), accuracy in %, bit_identical (whether the logits equal
    those of the true label's text).
    """
    prompter = tune(features, episode, words, how, seed)
    asked = episode.table.iloc[episode.query]
    truth = query_truth(episode)
    hidden = features.hidden[torch.as_tensor(episode.query, device=features.hidden.device)]
    found, rows = {}, []
    for name, shown in shown_texts(asked).items():
        ids = texts.token_ids(shown, words).to(hidden.device)
        with torch.no_grad():
            found[name] = prompter(hidden, ids).cpu()
        right = found[name].argmax(dim=1).numpy() == truth
        same = torch.equal(found[name], found["true label"])
        rows.append((name, len(ids.unique(dim=0)), 100 * right.mean(), same))
    return pd.DataFrame(rows, columns=["text", "sequences", "accuracy", "bit_identical"]), found


def compared(
    features: Features,
    episode: Episode,
    vocabularies: dict[str, dict[str, int]],
    how: PromptTuning,
    settings: PrompterSettings,
    seed: int = 0,
) -> pd.DataFrame:
    """Return ``taken_apart`` for each vocabulary, and Task 1 of our prompt and of the leaking oracle on the same features.

    Columns: vocabulary, text, sequences, accuracy in %, bit_identical; sequences and bit_identical are empty for our protocols.
    """
    parts = [taken_apart(features, episode, words, how, seed)[0].assign(vocabulary=name) for name, words in vocabularies.items()]
    truth = episode.table.iloc[episode.query]
    rows = []
    for protocol, text in (("prompt", "every candidate"), ("prompt-oracle", "true label")):
        predictions = protocols.run(protocol, features, episode, seed, settings, ("vocabulary",))
        right = metrics.per_piece(predictions, truth)["accuracy"]
        rows.append({"vocabulary": f"ours: {protocol}", "text": text, "accuracy": 100 * right.mean()})
    table = pd.concat([*parts, pd.DataFrame(rows)], ignore_index=True)
    return table[["vocabulary", "text", "sequences", "accuracy", "bit_identical"]].astype(
        {"sequences": "Int64", "bit_identical": "boolean"}
    )
