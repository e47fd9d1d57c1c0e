"""Cutting as released: three fixed cuts of three seconds, whatever the beats (``seg_motion``, ``seg_music``)."""

from __future__ import annotations

import numpy as np

CUTS_S = ((1.0, 4.0), (4.0, 7.0), (7.0, 10.0))
FPS = 100
SAMPLE_RATE = 22050
PIECE_FRAMES = 300


def cut_motion(motion: np.ndarray) -> np.ndarray:
    """A clip (3, T, V) of at least 10 s at 100 fps -> its three pieces, (3 pieces, 3, 300, V).

    ``data_aug/seg_dataset.py``, ``seg_motion``. The first second belongs to no piece. ValueError on a shorter clip.
    """
    if motion.shape[1] < CUTS_S[-1][1] * FPS:
        raise ValueError(f"a clip of {motion.shape[1]} frames: expected at least 1,000 (10 s at 100 fps)")
    return np.stack([motion[:, round(a * FPS) : round(b * FPS)] for a, b in CUTS_S])


def cut_music(samples: np.ndarray, sr: int = SAMPLE_RATE) -> np.ndarray:
    """The first 10 s of a music file, (n,) -> the music of the three pieces, (3 pieces, 3 s).

    ``data_aug/seg_dataset.py``, ``seg_music``: the seconds of the file are those of the clip, so a longer window of music is
    cropped (``time_normalisation: crop``) and not stretched. ValueError where the music is shorter.
    """
    if len(samples) < CUTS_S[-1][1] * sr:
        raise ValueError(f"music of {len(samples) / sr:.1f} s: expected at least 10 s")
    return np.stack([samples[round(a * sr) : round(b * sr)] for a, b in CUTS_S])
