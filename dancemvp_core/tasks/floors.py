"""The floors: baselines that show which values are possible without the method. They are in every table.

Each floor is a set of frozen features for a protocol. Three floors are protocols without features: ``chance``; ``direct``,
which computes BAR (Task 3) from the piece's own peaks; and ``direct_calibrated``, which puts it on the label's scale.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dancemvp_core.dance.music import FEATURES
from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.dance.skeleton import Skeleton
from dancemvp_core.tasks.features import Features

DESCRIPTIONS = {
    "chance": "class frequencies, mean and variance of the support",
    "handcrafted": "speed, acceleration and range statistics for each joint, the motion-intensity curve and its correlation "
    "with onset strength at six lags, music statistics; logistic and ridge heads",
    "random_init": "our architecture without training",
    "music_only": "our method without motion: all performances of a choreography have the same music",
    "motion_only": "our method without music",
    "body_only": "bone lengths of the normalised clip; its level accuracy must be at chance",
    "direct": "BAR computed from the piece's own peaks, without learning",
    "direct_calibrated": "BAR computed from the piece's own peaks, put on the label's scale by one line fitted on the support",
}
BEATS = 8  # in a piece
LAGS = (-0.25, -0.125, 0.0, 0.125, 0.25, 0.375)  # of motion behind music, in beats


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


def intensity_curve(pieces: PieceSet) -> Tensor:
    """Return the motion intensity of each piece: the sum of its joints' speeds, (P, T - 1), trunk lengths per second.

    It is the paper's own quantity ("Dance Rhythm Evaluation").
    """
    seconds = torch.as_tensor((pieces.table["end_s"] - pieces.table["start_s"]).to_numpy(copy=True), dtype=torch.float32)
    rate = (pieces.motion.shape[2] / seconds).to(pieces.motion.device)[:, None]
    return pieces.motion.diff(dim=2).norm(dim=1).sum(dim=2) * rate


def in_step(curve: Tensor, onsets: Tensor, lags=LAGS) -> Tensor:
    """Return the correlation of motion intensity (P, T) with onset strength (P, T) at each lag in beats, (P, lags).

    A piece has ``BEATS`` beats, so a lag in beats is the same part of every piece. At a lag above 0, motion follows music.
    The correlation is 0 where a curve is constant, as that of silence.
    """
    frames = curve.shape[1]
    place = torch.arange(frames, dtype=torch.float32, device=curve.device)
    out = []
    for lag in lags:
        moved = place - lag * frames / BEATS
        inside = (moved >= 0) & (moved <= frames - 1)
        low = moved[inside].floor().long().clamp(max=frames - 2)
        part = moved[inside] - low
        heard = onsets[:, low] * (1 - part) + onsets[:, low + 1] * part
        out.append(_correlation(curve[:, inside], heard))
    return torch.stack(out, dim=1)


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return Pearson's correlation of the rows of a and b, (P, T) -> (P,); 0 where one is constant."""
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    size = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(size > 1e-6, (a * b).sum(dim=1) / size.clamp(min=1e-6), torch.zeros_like(size))


def handcrafted(pieces: PieceSet) -> Features:
    """Return hand-crafted features, (P, 9V + 2F + T - 1 + 6).

    They are ``motion_statistics``, ``music_statistics``, ``intensity_curve``, and its correlation with onset strength
    (``in_step``).
    """
    curve = intensity_curve(pieces)
    onsets = pieces.batch(torch.arange(len(pieces)))["music"][:, FEATURES.index("onset_strength"), 1:]
    parts = (motion_statistics(pieces), music_statistics(pieces), curve, in_step(curve, onsets))
    return Features(torch.cat(parts, dim=1))


def body_only(pieces: PieceSet, skeleton: Skeleton) -> Features:
    """Return mean bone lengths, (P, V - 1), of the motion that is the encoders' input."""
    child, parent = map(list, zip(*skeleton.bones, strict=True))
    bones = pieces.motion[..., child] - pieces.motion[..., parent]
    return Features(bones.norm(dim=1).mean(dim=1))
