"""What the notebooks run: one pre-training end to end, and a row of a table as tidy measures and per-piece results.

``pretrain_and_encode`` makes an encoder and the frozen features of the pieces that are evaluated; ``evaluate`` puts
features through a protocol on a split. Every number of every table comes from here.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from dancemvp_core import (
    augment,
    device,
    downstream,
    encoders,
    files,
    floors,
    losses,
    methods,
    metrics,
    objectives,
    pretrain,
    resnet,
    splits,
)
from dancemvp_core.artifacts import METRICS_COLUMNS, Paths
from dancemvp_core.downstream import Features, Predictions, Prompting
from dancemvp_core.pieces import PieceSet
from dancemvp_core.skeleton import Skeleton

WATCHED = 450  # validation pieces, at most, on which the k-NN accuracy is followed while training


@dataclass(frozen=True)
class Width:
    """Size of the networks: ST-GCN's blocks, the encoders' output and the features z."""

    channels: tuple[int, ...]
    dim: int
    features: int

    @classmethod
    def of(cls, params) -> Width:
        """From a notebook's parameters."""
        return cls(params.channels, params.dim, params.features)


def prompting(params) -> Prompting:
    """The prompter's hyper-parameters as selected on validation, at the profile's number of steps."""
    return Prompting(steps=params.downstream_steps, **methods.selected().get("prompting", {}))


def training(params) -> pretrain.Training:
    """How long and how fast 02_pretrain's parameters say, and how the method's batches are drawn."""
    recipe = methods.recipe(methods.pretrainings()[params.pretraining])
    return pretrain.Training(
        params.epochs,
        params.batch_size,
        params.learning_rate * recipe.get("rate_factor", 1.0),
        schedule=params.schedule,
        same_music=recipe["same_music"],
    )


def new_objective(pretraining: str, seed: int, width: Width, pieces: PieceSet, skeleton: Skeleton) -> nn.Module:
    """A pre-training's encoder in its objective, initialised by the seed, on the pieces' device."""
    method = methods.pretrainings()[pretraining]
    with downstream.seeded(seed, pieces.motion.device):
        encoder = methods.build_encoder(method, skeleton, width.channels, width.dim, width.features)
        objective = methods.build_objective(method, encoder, pretrain.class_codes(pieces.table)[1])
    return objective.to(pieces.motion.device)


def pretrain_run(
    pretraining: str,
    seed: int,
    pieces: PieceSet,
    skeleton: Skeleton,
    width: Width,
    how: pretrain.Training,
    checkpoint: Path | None = None,
    progress: Callable = lambda epochs: epochs,
) -> tuple[nn.Module, pd.DataFrame]:
    """Pre-train by name and seed; returns the encoder and the history with k-NN accuracies on validation pieces."""
    objective = new_objective(pretraining, seed, width, pieces, skeleton)
    learned = pieces.rows("pretrain")
    rows = pieces.rows("validation")
    rows = rows if len(rows) else learned
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(WATCHED, len(learned))).round().astype(int))]
    watched = pieces.table.iloc[rows].reset_index(drop=True)

    def watch(encoder):
        return pretrain.nearest_neighbour_accuracy(pretrain.encode(encoder, pieces, rows)[1].numpy(), watched)

    augmentation = methods.augmentation(pretraining)
    history = pretrain.train(objective, pieces, how, augmentation, seed, skeleton.mirror, checkpoint, watch, progress)
    return objective.encoder, history


def settings_stamp(
    pretraining: str, seed: int, pieces: PieceSet, skeleton: Skeleton, width: Width, how: pretrain.Training
) -> str:
    """All that a pre-training's outcome depends on, as one line of text; pieces and code by their content."""
    code = (augment, device, encoders, losses, objectives, pretrain, resnet)
    code_hash = hashlib.sha256(b"".join(Path(module.__file__).read_bytes() for module in code)).hexdigest()
    method = methods.pretrainings()[pretraining]
    recipe = {k: v for k, v in methods.recipe(method).items() if k != "rate_factor"}  # which ``how`` has in it
    settings = [asdict(width), asdict(how), asdict(skeleton), method.settings, recipe]
    return json.dumps([pretraining, seed, settings, code_hash, pieces.digest])


def pretrained(
    path: Path,
    pretraining: str,
    seed: int,
    pieces: PieceSet,
    skeleton: Skeleton,
    width: Width,
    how: pretrain.Training,
    checkpoint: Path | None = None,
    progress: Callable = lambda epochs: epochs,
) -> tuple[nn.Module, pd.DataFrame]:
    """The encoder in ``path`` where it was made with these very settings, else one trained and saved there.

    Returns the encoder, on the pieces' device, and its history. The checkpoint of a finished run is removed.
    """
    stamp = settings_stamp(pretraining, seed, pieces, skeleton, width, how)
    if path.exists() and (facts := encoder_facts(path)).get("stamp") == stamp:
        encoder = load_encoder(path, pretraining, width, skeleton).to(pieces.motion.device)
        return encoder, pd.DataFrame(json.loads(facts["history"]))
    encoder, history = pretrain_run(pretraining, seed, pieces, skeleton, width, how, checkpoint, progress)
    rows = evaluated_rows(pieces, pretraining)
    underfit = json.dumps(pretrain.still_improving(history))
    facts = {"stamp": stamp, "underfit": underfit, "history": json.dumps(history.to_dict("records"))}
    save_encoder(path, encoder, (rows, pretrain.encode(encoder, pieces, rows)[0]), facts)
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    return encoder, history


def encoder_facts(path: Path) -> dict[str, str]:
    """What ``pretrained`` notes in an encoder's file, as JSON texts: stamp, history, underfit (``still_improving``)."""
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def save_encoder(path: Path, encoder: nn.Module, features: tuple[np.ndarray, torch.Tensor], meta: dict[str, str]) -> None:
    """One file an encoder: its weights, and the hidden features of the piece rows that are evaluated."""
    rows, hidden = features
    tensors = {f"encoder.{k}": v.detach().cpu().contiguous() for k, v in encoder.state_dict().items()}
    tensors |= {"features.rows": torch.as_tensor(rows), "features.hidden": hidden.contiguous()}
    files.write_tensors(path, tensors, meta)


def load_encoder(path: Path, pretraining: str, width: Width, skeleton: Skeleton) -> nn.Module:
    """The encoder that ``save_encoder`` wrote, in evaluation mode."""
    method = methods.pretrainings()[pretraining]
    encoder = methods.build_encoder(method, skeleton, width.channels, width.dim, width.features)
    tensors = load_file(path)
    encoder.load_state_dict({k[len("encoder.") :]: v for k, v in tensors.items() if k.startswith("encoder.")})
    return encoder.eval()


def load_features(path: Path, pieces: PieceSet) -> Features:
    """The frozen features in an encoder's file, on the pieces' device, (P, H) with zeros for those that were not encoded."""
    with safe_open(path, framework="pt") as file:
        rows, encoded = file.get_tensor("features.rows"), file.get_tensor("features.hidden")
        weight, bias = file.get_tensor("encoder.last.weight"), file.get_tensor("encoder.last.bias")
    hidden = torch.zeros(len(pieces), encoded.shape[1])
    hidden[rows] = encoded
    last = nn.Linear(weight.shape[1], weight.shape[0])
    last.load_state_dict({"weight": weight, "bias": bias})
    return Features(hidden.to(pieces.motion.device), last.to(pieces.motion.device))


def evaluated_rows(pieces: PieceSet, pretraining: str) -> np.ndarray:
    """The pieces whose features are kept: the test pieces, of a variant (fig8_augmentation) the validation pieces.

    All of them where the data cannot be split.
    """
    variant = methods.pretrainings()[pretraining].recipe in methods.VARIANTS
    rows = pieces.rows("validation" if variant else "test")
    return rows if len(rows) else np.arange(len(pieces))


def floor_features(name: str, seed: int, pieces: PieceSet, skeleton: Skeleton, width: Width, split="test") -> Features:
    """Features of an untrained floor: handcrafted, body_only or random_init."""
    if name == "handcrafted":
        return floors.handcrafted(pieces)
    if name == "body_only":
        return floors.body_only(pieces, skeleton)
    if name != "random_init":
        raise ValueError(f"no floor {name!r} with features of its own; there are handcrafted, body_only, random_init")
    return untrained_features(methods.METHODS["ours"].pretraining, seed, pieces, skeleton, width, split)


def untrained_features(
    pretraining: str, seed: int, pieces: PieceSet, skeleton: Skeleton, width: Width, split="test"
) -> Features:
    """Features of a split's pieces by a pre-training's encoder as the seed initialises it."""
    return encoded_features(new_objective(pretraining, seed, width, pieces, skeleton).encoder, pieces, pieces.rows(split))


def encoded_features(encoder: nn.Module, pieces: PieceSet, rows: np.ndarray) -> Features:
    """An encoder's frozen features, (P, H) with zeros for the pieces that are not among ``rows``; all on the pieces' device.

    The last layer is a copy: what becomes of the encoder afterwards does not change the features.
    """
    encoded, _ = pretrain.encode(encoder, pieces, rows)
    hidden = torch.zeros(len(pieces), encoded.shape[1])
    hidden[rows] = encoded
    return Features(hidden.to(pieces.motion.device), copy.deepcopy(encoder.last))


def encoder_of(name: str, seed: int, pieces: PieceSet, skeleton: Skeleton, width: Width, paths: Paths) -> nn.Module:
    """The encoder of a table row by its name, on the pieces' device: a finished one, or random_init's."""
    known = methods.METHODS | methods.SINGLE_MODALITY
    if name == "random_init":
        return new_objective(methods.METHODS["ours"].pretraining, seed, width, pieces, skeleton).encoder
    pretraining = known[name].pretraining
    return load_encoder(paths.encoder(pretraining, seed), pretraining, width, skeleton).to(pieces.motion.device)


def features_of(name: str, seed: int, pieces: PieceSet, skeleton: Skeleton, width: Width, paths: Paths) -> Features:
    """Frozen features of a table row by its name, on the pieces' device: a method, a single-modality floor, or an untrained one.

    Zeros for ``chance`` and ``direct``, which look at none.
    """
    if name in ("chance", "direct"):
        return Features(pieces.motion.new_zeros(len(pieces), 1))
    known = methods.METHODS | methods.SINGLE_MODALITY
    if name in known:
        return load_features(paths.encoder(known[name].pretraining, seed), pieces)
    return floor_features(name, seed, pieces, skeleton, width)


def features_on(split: str, pretraining: str, seed: int, pieces: PieceSet, skeleton: Skeleton, width: Width, paths: Paths):
    """Frozen features of a split's pieces by a finished pre-training: those in its file, or encoded anew."""
    path, rows = paths.encoder(pretraining, seed), pieces.rows(split)
    with safe_open(path, framework="pt") as file:
        kept = file.get_tensor("features.rows").numpy()
    if np.isin(rows, kept).all():
        return load_features(path, pieces)
    return encoded_features(load_encoder(path, pretraining, width, skeleton).to(pieces.motion.device), pieces, rows)


@dataclass(frozen=True, eq=False)
class Outcome:
    """Tidy ``metrics`` (METRICS_COLUMNS) and ``pieces``, one row a query piece, of one row of a table."""

    metrics: pd.DataFrame
    pieces: pd.DataFrame


def evaluate(
    name: str,
    features: Features,
    pieces: PieceSet,
    protocol: str,
    seed: int,
    shots: int,
    settings: Prompting,
    genres: int | None = None,
    split: str = "test",
    tasks: Iterable[str] = downstream.TASKS,
) -> Outcome:
    """Put features through a protocol on a split's choreographies.

    ``genres`` below all of them takes the mean over the cyclic subsets of that many choreographies (design,
    section 4). ``seed`` draws support, query and the protocol's own initialisation.
    """
    choreographies = pieces.table.loc[pieces.table["split"] == split, "choreography"].unique()
    genres = genres or len(choreographies)
    parts, per_piece = [], []
    for subset in splits.cyclic_subsets(choreographies, genres):
        support, query = splits.support_and_query(pieces.table, subset, shots, seed)
        truth = pieces.table.iloc[query]
        if protocol == "direct":
            predictions = floors.direct(pieces, query)
        else:
            predictions = downstream.run(protocol, features, pieces.table, support, query, seed, settings, tuple(tasks))
        parts.append(metrics.summary(predictions, truth))
        per_piece.append(_with_predictions(predictions, truth))
    mean = pd.concat(parts).groupby(["task", "metric"], sort=False)["value"].mean().reset_index()
    facts = {"method": name, "protocol": protocol, "seed": seed, "genres": genres, "shots": shots}
    tidy = mean.assign(**facts)[METRICS_COLUMNS]
    return Outcome(tidy, pd.concat(per_piece).assign(**facts))


def _with_predictions(predictions: Predictions, truth: pd.DataFrame) -> pd.DataFrame:
    """``metrics.per_piece`` with sequence, trial, the labels (true_*) and what was predicted (predicted_*)."""
    out = metrics.per_piece(predictions, truth).assign(sequence=truth["sequence"], trial=truth["trial"])
    for label in (*downstream.CLASS_COLUMNS, "score", "bar"):
        out[f"true_{label}"] = truth[label]
    if predictions.probabilities is not None:
        best = predictions.classes.iloc[predictions.probabilities.argmax(axis=1)]
        for label in downstream.CLASS_COLUMNS:
            out[f"predicted_{label}"] = best[label].to_numpy()
    if predictions.score is not None:
        out["predicted_score"], out["predicted_score_sd"] = 100 * predictions.score, 100 * np.sqrt(predictions.score_var)
    if predictions.rate is not None:
        out["predicted_bar"] = 100 * predictions.rate
    return out
