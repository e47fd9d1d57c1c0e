"""The positive pairs as released: two of four augmentations, drawn once per file; and the music that they are given.

``data_aug/seg_dataset.py``. The views are made before the training, so a piece has the same two views in every epoch.
"""

from __future__ import annotations

import numpy as np
from scipy import signal

from dancemvp_core.released.cuts import FPS, cut_motion

SHIFT = 10.0  # added to all coordinates
NOISE_VARIANCE = 0.5  # of every coordinate, in the data's unit of length
SLOWER = 1.2
FROZEN_FRAMES = 100


def noisy(pieces: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pieces (..., T, V) with Gaussian noise of variance 0.5 (``spatial_aug_nosie``)."""
    return pieces + rng.normal(0.0, NOISE_VARIANCE**0.5, pieces.shape)


def shifted(pieces: np.ndarray) -> np.ndarray:
    """Pieces with 10 added to every coordinate (``spatial_aug_trans``)."""
    return pieces + SHIFT


def slowed(clip: np.ndarray, first_s: int) -> np.ndarray:
    """A clip (3, T, V) whose first ``first_s`` seconds take 1.2 times as long, and the rest what is left.

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
    """A clip (3, T, V) in which the pose at frame ``start`` stands still for a second (``temporal_aug_dropFrames``)."""
    out = clip.copy()
    out[:, start : start + FROZEN_FRAMES] = clip[:, start : start + 1]
    return out


def _slow(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cut_motion(slowed(clip, int(rng.integers(4, 8))))


def _freeze(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cut_motion(frozen(clip, int(rng.integers(0, clip.shape[1] - FROZEN_FRAMES))))


FAMILIES = {
    "noise": lambda clip, rng: noisy(cut_motion(clip), rng),
    "shift": lambda clip, rng: shifted(cut_motion(clip)),
    "slow": _slow,
    "freeze": _freeze,
}


def two_views(clips: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    """All trials of a file, (N, 3, T, V) -> two views of their pieces, each (3 N, 3, 300, V), and the two families.

    The families are drawn once for the file; within them, noise, split and start are drawn for each trial.
    """
    drawn = sorted(rng.choice(len(FAMILIES), 2, replace=False))
    names = [list(FAMILIES)[i] for i in drawn]
    first, second = (np.concatenate([FAMILIES[name](clip, rng) for clip in clips]) for name in names)
    return first, second, (names[0], names[1])


def music_of_zeros(features: np.ndarray) -> np.ndarray:
    """The music that the pieces of a file are given in pre-training, (P, 549, 130): zeros, but for the last piece.

    The array is made anew inside the loop that fills it, so what was filled before is lost. The file for the downstream task
    makes it before the loop (June 2024); the one for pre-training does not.
    """
    out = np.zeros_like(features)
    out[-1] = features[-1]
    return out
