"""Pieces as released: three fixed cuts of three seconds, whatever the beats, and 549 rows of acoustic features."""

from __future__ import annotations

import numpy as np

CUTS_S = ((1.0, 4.0), (4.0, 7.0), (7.0, 10.0))
FPS = 100
SAMPLE_RATE = 22050

MUSIC_FRAMES = 130  # of 3 s at 22,050 Hz with a hop of 512 samples
HOP = 512
MFCC, CONSTANT_Q, TEMPOGRAM = 40, 84, 384
ROWS = 2 * MFCC + CONSTANT_Q + TEMPOGRAM + 1

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


def music_features(samples: np.ndarray, sr: int = 22050) -> np.ndarray:
    """Acoustic features of 3 s of music, (n,) -> (549, 130) float32.

    ``MusicFeatures.generate_features``: 40 MFCC, their 40 deltas, 84 bins of constant-Q *magnitude*, 384 of the *tempogram*,
    onset strength; more than 130 frames are cut. The paper names a constant-Q chromagram and tempo instead. Raises
    ValueError where the music is too short for 130 frames.
    """
    import librosa  # seconds to import

    samples = np.asarray(samples, dtype=np.float32)
    if len(samples) < (MUSIC_FRAMES - 1) * HOP:
        raise ValueError(f"music of {len(samples) / sr:.2f} s: expected 3 s, for {MUSIC_FRAMES} frames of {HOP} samples")
    mfcc = librosa.feature.mfcc(y=samples, sr=sr, n_mfcc=MFCC)
    onset = librosa.onset.onset_strength(y=samples, sr=sr, hop_length=HOP)
    rows = (
        mfcc,
        librosa.feature.delta(mfcc),
        np.abs(librosa.cqt(samples, sr=sr)),
        librosa.feature.tempogram(onset_envelope=onset, sr=sr, hop_length=HOP),
        onset[None],
    )
    return np.concatenate([row[:, :MUSIC_FRAMES] for row in rows]).astype(np.float32)
