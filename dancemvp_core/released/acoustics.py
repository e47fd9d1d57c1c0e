"""Acoustic features as released: 549 rows, not standardised (``data_aug/process_music.py``)."""

from __future__ import annotations

import numpy as np

FRAMES = 130  # of 3 s at 22,050 Hz with a hop of 512 samples
HOP = 512
MFCC, CONSTANT_Q, TEMPOGRAM = 40, 84, 384
ROWS = 2 * MFCC + CONSTANT_Q + TEMPOGRAM + 1


def music_features(samples: np.ndarray, sr: int = 22050) -> np.ndarray:
    """Acoustic features of 3 s of music, (n,) -> (549, 130) float32.

    ``MusicFeatures.generate_features``: 40 MFCC, their 40 deltas, 84 bins of constant-Q *magnitude*, 384 of the *tempogram*,
    onset strength; more than 130 frames are cut. The paper names a constant-Q chromagram and tempo instead. Raises
    ValueError where the music is too short for 130 frames.
    """
    import librosa  # seconds to import

    samples = np.asarray(samples, dtype=np.float32)
    if len(samples) < (FRAMES - 1) * HOP:
        raise ValueError(f"music of {len(samples) / sr:.2f} s: expected 3 s, for {FRAMES} frames of {HOP} samples")
    mfcc = librosa.feature.mfcc(y=samples, sr=sr, n_mfcc=MFCC)
    onset = librosa.onset.onset_strength(y=samples, sr=sr, hop_length=HOP)
    rows = (
        mfcc,
        librosa.feature.delta(mfcc),
        np.abs(librosa.cqt(samples, sr=sr)),
        librosa.feature.tempogram(onset_envelope=onset, sr=sr, hop_length=HOP),
        onset[None],
    )
    return np.concatenate([row[:, :FRAMES] for row in rows]).astype(np.float32)
