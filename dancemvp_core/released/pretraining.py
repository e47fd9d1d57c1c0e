"""Pre-training as released: two views of each file, drawn once; music of zeros; temperature, optimiser and schedule.

``data_aug/seg_dataset.py`` and ``momu_simclr.py``. The views are made before the training, so a piece has the same two views
in every epoch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import signal
from torch import Tensor, nn

from dancemvp_core.pretraining.training import Training
from dancemvp_core.released.cutting import FPS

TEMPERATURE = 0.07

SHIFT = 10.0  # added to all coordinates
NOISE_VARIANCE = 0.5  # of every coordinate, in the data's unit of length
SLOWER = 1.2
FROZEN_FRAMES = 100


def noisy(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a clip (3, T, V) with Gaussian noise of variance 0.5 (``spatial_aug_nosie``)."""
    return clip + rng.normal(0.0, NOISE_VARIANCE**0.5, clip.shape)


def shifted(clip: np.ndarray) -> np.ndarray:
    """Return a clip with 10 added to every coordinate (``spatial_aug_trans``)."""
    return clip + SHIFT


def slowed(clip: np.ndarray, first_s: int) -> np.ndarray:
    """Return a clip (3, T, V) whose first ``first_s`` seconds take 1.2 times as long; the rest fills the remaining time.

    ``temporal_aug_playspeed``. Both parts are resampled by Fourier's method. A frame that rounding leaves open is filled
    with the first one.
    """
    frames, at = clip.shape[1], first_s * FPS
    front = signal.resample(clip[:, :at], int(at * SLOWER), axis=1)
    rest = frames - front.shape[1]
    back = clip[:, at:]
    length = int(back.shape[1] / (max(back.shape[1], rest) / min(back.shape[1], rest)))
    whole = np.concatenate([front, signal.resample(back, length, axis=1)], axis=1)
    return np.concatenate([whole, whole[:, : frames - whole.shape[1]]], axis=1)[:, :frames]


def frozen(clip: np.ndarray, start: int) -> np.ndarray:
    """Return a clip (3, T, V) in which the pose at frame ``start`` stays for one second (``temporal_aug_dropFrames``)."""
    out = clip.copy()
    out[:, start : start + FROZEN_FRAMES] = clip[:, start : start + 1]
    return out


FAMILIES = {
    "noise": noisy,
    "shift": lambda clip, rng: shifted(clip),
    "slow": lambda clip, rng: slowed(clip, int(rng.integers(4, 8))),
    "freeze": lambda clip, rng: frozen(clip, int(rng.integers(0, clip.shape[1] - FROZEN_FRAMES))),
}


def two_views(clips: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    """Return two views of all trials of a file (N, 3, T, V), each (N, 3, T, V), and the names of the two augmentations.

    The families are drawn once for the file. Noise, split and start are drawn for each trial. The views are cut afterwards.
    """
    drawn = sorted(rng.choice(len(FAMILIES), 2, replace=False))
    names = [list(FAMILIES)[i] for i in drawn]
    first, second = (np.stack([FAMILIES[name](clip, rng) for clip in clips]) for name in names)
    return first, second, (names[0], names[1])


def music_of_zeros(features: np.ndarray) -> np.ndarray:
    """Return the music of a file's pieces in pre-training, (P, 549, 130): zeros for all but the last piece.

    The array is made anew inside the loop that fills it, so what was filled before is lost. The file for the downstream task
    makes it before the loop (June 2024); the one for pre-training does not.
    """
    out = np.zeros_like(features)
    out[-1] = features[-1]
    return out


@dataclass(frozen=True)
class ReleasedTraining(Training):
    """``level_contrastive_graph.py`` and ``momu_simclr.py``: Adam with weight decay 1e-4 in the gradient, a cosine schedule.

    The period of the cosine is the number of batches of an epoch, but the schedule advances once per epoch, from the tenth
    epoch on. So over 100 epochs of 421 batches the learning rate falls by 11 %. Only the motion encoder's gradient is
    clipped, at a norm of 0.25. ``batches``: number of batches per epoch.
    """

    batches: int = 421

    def rate(self, share: float) -> float:
        """Return the learning rate after a share 0..1 of the steps."""
        advanced = max(0, int(share * self.epochs + 1e-6) - 10)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * advanced / self.batches))

    def optimizer(self, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        """Return Adam; its weight decay is part of the gradient."""
        return torch.optim.Adam(weights, self.learning_rate, weight_decay=self.weight_decay, fused=True, capturable=True)

    def clip(self, objective: nn.Module, weights: list[nn.Parameter]) -> Tensor:
        """Clip the gradient of the motion encoder at a norm of 0.25, and return the norm of the whole gradient before."""
        norm = nn.utils.get_total_norm([w.grad for w in weights if w.grad is not None])
        nn.utils.clip_grad_norm_(objective.encoder.encoders["motion"].parameters(), 0.25)
        return norm
