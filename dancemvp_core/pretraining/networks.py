"""The networks of a pre-training: the encoder and the objective that the method table names."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.dance.skeleton import Skeleton
from dancemvp_core.device import seeded
from dancemvp_core.models import encoders
from dancemvp_core.pretraining import methods
from dancemvp_core.pretraining.augment import Augmentation
from dancemvp_core.pretraining.methods import Method
from dancemvp_core.pretraining.objectives import OBJECTIVES, MelodyAutoencoder, Objective
from dancemvp_core.pretraining.synchrony import Synchrony, SynchronyInfoNCE
from dancemvp_core.pretraining.training import class_codes


@dataclass(frozen=True)
class Width:
    """The size of the networks: widths of ST-GCN's blocks, width of the encoders' output, width of the features z."""

    channels: tuple[int, ...]
    dim: int
    features: int

    @classmethod
    def of(cls, params) -> Width:
        """Return the size that a notebook's parameters state."""
        return cls(params.channels, params.dim, params.features)


def augmentation(pretraining: str) -> Augmentation:
    """Return the augmentation that creates a pre-training's positive pairs."""
    return Augmentation(**methods.settings(methods.pretrainings()[pretraining])["augmentation"])


def build_encoder(method: Method, skeleton: Skeleton, width: Width) -> nn.Module:
    """Return a method's encoder with initial weights."""
    if method.music == "melody":
        return MelodyAutoencoder(encoders.MUSIC_FEATURES, len(skeleton.joints), width.dim)
    motion, music = (
        name and encoders.build(name, modality, skeleton, width.channels, width.dim)
        for name, modality in ((method.motion, "motion"), (method.music, "music"))
    )
    settings = methods.settings(method)
    # HappyFeet computes accelerations from positions; all other encoders use the selected representation.
    representation = "position" if method.motion == "cnn1d" else settings["representation"]
    interaction = Synchrony(len(skeleton.joints)) if method.objective == "synchrony" else None
    sizes = (width.dim, width.features, representation, settings["mlp_layers"])
    return encoders.DanceEncoder(motion, music, *sizes, interaction)


def build_objective(method: Method, encoder: nn.Module, classes: int) -> Objective:
    """Return the objective that trains a method's encoder; ``classes``: the number of classes in the pre-train set."""
    return (OBJECTIVES | {"synchrony": SynchronyInfoNCE})[method.objective](encoder, classes)


def new_objective(pretraining: str, seed: int, width: Width, pieces: PieceSet, skeleton: Skeleton) -> Objective:
    """Return a pre-training's objective with its encoder, initialised with the seed, on the device of the pieces."""
    method = methods.pretrainings()[pretraining]
    with seeded(seed, pieces.motion.device):
        encoder = build_encoder(method, skeleton, width)
        objective = build_objective(method, encoder, class_codes(pieces.table)[1])
    return objective.to(pieces.motion.device)
