"""The floors: how far one gets without the method. They stand in every table (design, section 5).

Each is a set of frozen features to run a protocol on; ``chance`` is a protocol of its own, and ``direct`` a
prediction: BAR is a function of its input, so for Task 3 it can be computed from the piece.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.dance.skeleton import Skeleton
from dancemvp_core.tasks.features import Features

DESCRIPTIONS = {
    "chance": "support class frequencies; support mean and variance",
    "handcrafted": "speed, acceleration and range statistics per joint, music statistics; logistic and ridge heads",
    "random_init": "our architecture, untrained",
    "music_only": "our method without motion: all performances of a choreography share their music",
    "motion_only": "our method without music",
    "body_only": "bone lengths of the normalised clip: must be at chance for level",
    "direct": "BAR computed from the piece's own peaks, no learning",
}


def music_statistics(pieces: PieceSet) -> Tensor:
    """Mean and spread over time of each acoustic feature, (P, 2F)."""
    music = pieces.batch(torch.arange(len(pieces)))["music"]
    return torch.cat([music.mean(dim=2), music.std(dim=2)], dim=1)


def motion_statistics(pieces: PieceSet) -> Tensor:
    """Per joint: mean, spread and maximum of speed and of acceleration, and the range per axis, (P, 9V).

    In canonical trunk lengths and seconds.
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
    """What a careful engineer would measure, without learning."""
    return Features(torch.cat([motion_statistics(pieces), music_statistics(pieces)], dim=1))


def body_only(pieces: PieceSet, skeleton: Skeleton) -> Features:
    """Mean bone lengths, (P, V - 1), of the motion that the encoders see."""
    child, parent = map(list, zip(*skeleton.bones, strict=True))
    bones = pieces.motion[..., child] - pieces.motion[..., parent]
    return Features(bones.norm(dim=1).mean(dim=1))
