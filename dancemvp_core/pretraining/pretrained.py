"""One pre-training, from its name to the file of its encoder: run it, save it, and load it again.

The file contains the encoder's weights, the frozen features of the evaluated pieces, the history, and a stamp of
everything that the outcome depends on. A finished encoder is used again if its stamp has not changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from dancemvp_core import code_hash, files
from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.dance.sequences import evenly_spaced
from dancemvp_core.dance.skeleton import Skeleton
from dancemvp_core.pretraining import methods, training
from dancemvp_core.pretraining.condition import condition, level_within, spread
from dancemvp_core.pretraining.networks import Width, augmentation, build_encoder, new_objective
from dancemvp_core.pretraining.training import Training

SLOW = ("crossentropy", "reconstruction")  # objectives that learn slower than the contrastive ones
WATCHED = 450  # largest number of validation pieces for the k-NN accuracy during training


def training_of(pretraining: str, params) -> Training:
    """Return the training settings of a pre-training from a notebook's parameters and from the method's settings."""
    settings = methods.settings(methods.pretrainings()[pretraining])
    rate = params.learning_rate * settings.get("rate_factor", 1.0)
    parts = pretraining.split("-")
    slow = any(objective in parts for objective in SLOW)
    epochs = params.epochs_resnet50 if "res50" in parts else params.epochs_slow if slow else params.epochs
    least = params.least_steps * epochs // params.epochs
    more = {"schedule": params.schedule, "same_music": settings["same_music"], "least_steps": least}
    return Training(epochs, params.batch_size, rate, **more)


@dataclass(frozen=True, eq=False)
class Pretraining:
    """A pre-training of the method table with its seed, pieces, skeleton, width of the networks and training settings."""

    name: str
    seed: int
    pieces: PieceSet
    skeleton: Skeleton
    width: Width
    training: Training

    def run(self, checkpoint: Path | None = None, progress: Callable = lambda epochs: epochs) -> tuple[nn.Module, pd.DataFrame]:
        """Train, and return the encoder and its history, with the measures of ``watch_on``.

        ``checkpoint`` and ``progress`` are those of ``training.Hooks``.
        """
        objective = new_objective(self.name, self.seed, self.width, self.pieces, self.skeleton)
        hooks = training.Hooks(checkpoint, watch_on(self.pieces), progress)
        how = (self.training, augmentation(self.name), self.seed, self.skeleton.mirror, hooks)
        history = training.train(objective, self.pieces, *how)
        return objective.encoder, history

    @property
    def stamp(self) -> str:
        """Everything that the outcome depends on, as one line of text; hashes represent pieces and code."""
        method = methods.pretrainings()[self.name]
        entry = [method.motion, method.music, method.objective]
        settings = {k: v for k, v in methods.settings(method).items() if k != "rate_factor"}  # ``training`` contains it
        facts = [asdict(self.width), asdict(self.training), asdict(self.skeleton), entry, settings]
        return json.dumps([self.name, self.seed, facts, code_hash.stamp(__name__), self.pieces.digest])

    def finished(
        self, path: Path, checkpoint: Path | None = None, progress: Callable = lambda epochs: epochs
    ) -> tuple[nn.Module, pd.DataFrame]:
        """Load the encoder in ``path`` if its stamp is the same as ``stamp``; else train an encoder and save it there.

        Returns the encoder, on the device of the pieces, and its history. Deletes the checkpoint when the training ends.
        """
        if path.exists() and (facts := encoder_facts(path)).get("stamp") == self.stamp:
            encoder = load_encoder(path, self.name, self.width, self.skeleton).to(self.pieces.motion.device)
            return encoder, pd.DataFrame(json.loads(facts["history"]))
        encoder, history = self.run(checkpoint, progress)
        rows = evaluated_rows(self.pieces, self.name)
        facts = {"stamp": self.stamp, "condition": condition(history), "history": json.dumps(history.to_dict("records"))}
        save_encoder(path, encoder, rows, training.encode(encoder, self.pieces, rows)[0], facts)
        if checkpoint:
            checkpoint.unlink(missing_ok=True)
        return encoder, history


def watch_on(pieces: PieceSet) -> Callable[[nn.Module], dict[str, float]]:
    """Return a function of an encoder for ``training.Hooks``: k-NN accuracies and the spread of z on validation pieces.

    ``condition`` needs them. Without validation pieces, it measures on pre-train pieces.
    """
    learned, rows = pieces.rows("pretrain"), pieces.rows("validation")
    rows = evenly_spaced(rows if len(rows) else learned, min(WATCHED, len(learned)))
    watched = pieces.table.iloc[rows].reset_index(drop=True)

    def watch(encoder: nn.Module) -> dict[str, float]:
        z = training.encode(encoder, pieces, rows)[1].numpy()
        return training.nearest_neighbour_accuracy(z, watched) | level_within(z, watched) | {"spread": spread(z)}

    return watch


def evaluated_rows(pieces: PieceSet, pretraining: str) -> np.ndarray:
    """Return the rows of the pieces whose features are saved: the test pieces.

    For a variant (``extra_augmentation``) these are the validation pieces. They are all pieces if the data have no such set.
    """
    rows = pieces.rows("validation" if methods.pretrainings()[pretraining].variant else "test")
    return rows if len(rows) else np.arange(len(pieces))


def encoder_facts(path: Path) -> dict[str, str]:
    """Return the facts that ``Pretraining.finished`` writes into an encoder's file, as texts: stamp, condition, history (JSON)."""
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def save_encoder(path: Path, encoder: nn.Module, rows: np.ndarray, hidden: Tensor, facts: dict[str, str]) -> None:
    """Write an encoder's file: its weights, the ``hidden`` features (N, H) of the evaluated piece ``rows``, and ``facts``."""
    tensors = {f"encoder.{k}": v.detach().cpu().contiguous() for k, v in encoder.state_dict().items()}
    tensors |= {"features.rows": torch.as_tensor(rows), "features.hidden": hidden.contiguous()}
    files.write_tensors(path, tensors, facts)


def load_encoder(path: Path, pretraining: str, width: Width, skeleton: Skeleton) -> nn.Module:
    """Return the encoder that ``save_encoder`` wrote, on the CPU and in evaluation mode."""
    encoder = build_encoder(methods.pretrainings()[pretraining], skeleton, width)
    tensors = load_file(path)
    encoder.load_state_dict({k[len("encoder.") :]: v for k, v in tensors.items() if k.startswith("encoder.")})
    return encoder.eval()
