"""The networks of a pre-training: encoder and objective as its entry in the method table names them."""

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
from dancemvp_core.pretraining.training import class_codes


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


def augmentation(pretraining: str) -> Augmentation:
    """The augmentation that makes a pre-training's positive pairs."""
    return Augmentation(**methods.settings(methods.pretrainings()[pretraining])["augmentation"])


def build_encoder(method: Method, skeleton: Skeleton, width: Width) -> nn.Module:
    """A method's encoder, untrained."""
    if method.music == "melody":
        return MelodyAutoencoder(encoders.MUSIC_FEATURES, len(skeleton.joints), width.dim)
    motion, music = (
        name and encoders.build(name, modality, skeleton, width.channels, width.dim)
        for name, modality in ((method.motion, "motion"), (method.music, "music"))
    )
    settings = methods.settings(method)
    # Accelerations are HappyFeet's own representation; all other encoders see the one that was selected for all.
    representation = "position" if method.motion == "cnn1d" else settings["representation"]
    return encoders.DanceEncoder(motion, music, width.dim, width.features, representation, settings["mlp_layers"])


def build_objective(method: Method, encoder: nn.Module, classes: int) -> Objective:
    """A method's encoder wrapped in the objective that trains it; ``classes`` are the pre-train classes."""
    return OBJECTIVES[method.objective](encoder, classes)


def new_objective(pretraining: str, seed: int, width: Width, pieces: PieceSet, skeleton: Skeleton) -> Objective:
    """A pre-training's encoder in its objective, initialised by the seed, on the pieces' device."""
    method = methods.pretrainings()[pretraining]
    with seeded(seed, pieces.motion.device):
        encoder = build_encoder(method, skeleton, width)
        objective = build_objective(method, encoder, class_codes(pieces.table)[1])
    return objective.to(pieces.motion.device)
