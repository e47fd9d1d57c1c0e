"""The floors: baselines that show which values are possible without the method. They are in every table.

Each floor is a set of frozen features for a protocol. Two floors are protocols without features: ``chance``, and
``direct``, which computes BAR (Task 3) from the piece's own peaks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.dance.skeleton import Skeleton
from dancemvp_core.tasks.features import Features

DESCRIPTIONS = {
    "chance": "class frequencies, mean and variance of the support",
    "handcrafted": "speed, acceleration and range statistics for each joint, music statistics; logistic and ridge heads",
    "random_init": "our architecture without training",
    "music_only": "our method without motion: all performances of a choreography have the same music",
    "motion_only": "our method without music",
    "body_only": "bone lengths of the normalised clip; its level accuracy must be at chance",
    "direct": "BAR computed from the piece's own peaks, without learning",
}


def music_statistics(pieces: PieceSet) -> Tensor:
    """Return mean and standard deviation over time of each acoustic feature, (P, 2F)."""
    music = pieces.batch(torch.arange(len(pieces)))["music"]
    return torch.cat([music.mean(dim=2), music.std(dim=2)], dim=1)


def motion_statistics(pieces: PieceSet) -> Tensor:
    """Return statistics of each joint, (P, 9V), in canonical trunk lengths and seconds.

    They are mean, standard deviation and maximum of speed and of acceleration, and the range along each axis.
    """
    seconds = torch.as_tensor((pieces.table["end_s"] - pieces.table["start_s"]).to_numpy(copy=True), dtype=torch.float32)
    rate = (pieces.motion.shape[2] / seconds).to(pieces.motion.device)[:, None, None]
    parts = []
    for order in (1, 2):
        size = pieces.motion.diff(n=order, dim=2).norm(dim=1) * rate**order
        parts += [size.mean(dim=1), size.std(dim=1), size.amax(dim=1)]
    reach = pieces.motion.amax(dim=2) - pieces.motion.amin(dim=2)
    return torch.cat([*parts, reach.flatten(1)], dim=1)


def handcrafted(pieces: PieceSet) -> Features:
    """Return hand-crafted features, (P, 9V + 2F): ``motion_statistics`` and ``music_statistics``."""
    return Features(torch.cat([motion_statistics(pieces), music_statistics(pieces)], dim=1))


def body_only(pieces: PieceSet, skeleton: Skeleton) -> Features:
    """Return mean bone lengths, (P, V - 1), of the motion that is the encoders' input."""
    child, parent = map(list, zip(*skeleton.bones, strict=True))
    bones = pieces.motion[..., child] - pieces.motion[..., parent]
    return Features(bones.norm(dim=1).mean(dim=1))
