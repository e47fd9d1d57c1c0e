"""Pieces as released: three fixed cuts of three seconds, whatever the beats, and 549 rows of acoustic features."""

from __future__ import annotations

import numpy as np

from dancemvp_core.dance import music, orientation
from dancemvp_core.dance.pieces import resample
from dancemvp_core.dance.sequences import DanceSequence

CUTS_S = ((1.0, 4.0), (4.0, 7.0), (7.0, 10.0))
CLIP_S = CUTS_S[-1][1]  # only this much of a clip and of its music is used
FPS = 100
SAMPLE_RATE = 22050

MUSIC_FRAMES = 130  # of 3 s at 22,050 Hz with a hop of 512 samples
HOP = 512
MFCC, CONSTANT_Q, TEMPOGRAM = 40, 84, 384
ROWS = 2 * MFCC + CONSTANT_Q + TEMPOGRAM + 1


def cut_motion(motion: np.ndarray) -> np.ndarray:
    """Return the three pieces of a clip (3, T, V) of at least 10 s at 100 fps, (3 pieces, 3, 300, V).

    ``data_aug/seg_dataset.py``, ``seg_motion``. The first second belongs to no piece. ValueError on a shorter clip.
    """
    if motion.shape[1] < CUTS_S[-1][1] * FPS:
        raise ValueError(f"a clip of {motion.shape[1]} frames: expected at least 1,000 (10 s at 100 fps)")
    return np.stack([motion[:, round(a * FPS) : round(b * FPS)] for a, b in CUTS_S])


def cut_music(samples: np.ndarray, sr: int = SAMPLE_RATE) -> np.ndarray:
    """Return the music of the three pieces from the samples of a music file, (n,) -> (3 pieces, 3 s).

    ``data_aug/seg_dataset.py``, ``seg_music``: the seconds of the file are those of the clip, so a longer window of music is
    cropped (``time_normalisation: crop``) and not stretched. ValueError where the music is shorter.
    """
    if len(samples) < CUTS_S[-1][1] * sr:
        raise ValueError(f"music of {len(samples) / sr:.1f} s: expected at least 10 s")
    return np.stack([samples[round(a * sr) : round(b * sr)] for a, b in CUTS_S])


def music_features(samples: np.ndarray, sr: int = 22050) -> np.ndarray:
    """Return the acoustic features of 3 s of music, (n,) -> (549, 130) float32.

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


# --- a performance -----------------------------------------------------------------------------------------------------


def why_left_out(danced: DanceSequence) -> str:
    """Return why a performance cannot be cut as released, as a phrase; "" if it can be cut."""
    if danced.music is None:
        return "without music"
    if danced.duration_s < CLIP_S - 1e-9:
        return f"shorter than {CLIP_S:.0f} s"
    return f"with less than {CLIP_S:.0f} s of music" if _music_s(danced) < CLIP_S - music.WINDOW_SLACK_S else ""


def motion_of(danced: DanceSequence, up: str = "y") -> np.ndarray:
    """Return the three pieces of a performance's motion, (3 pieces, 3, 300, V) float32, at 100 fps.

    ``up`` is the upright axis in the file. As released, the coordinates of the file are used as they are, so the motion is
    turned back.
    """
    clip = danced.motion[:, : round(CLIP_S * danced.fps)]
    order, signs = orientation.TURNS[up]
    stored = np.empty(clip.shape, clip.dtype)
    stored[list(order)] = clip * np.array(signs, clip.dtype)[:, None, None]
    return cut_motion(stored if danced.fps == FPS else resample(stored, round(CLIP_S * FPS)))


def music_window(danced: DanceSequence) -> tuple:
    """Return what the music of a performance's pieces depends on: the file, where in it the music starts, its length in s."""
    return danced.music, danced.music_offset_s, min(CLIP_S, _music_s(danced))


def music_of(danced: DanceSequence) -> np.ndarray:
    """Return the acoustic features of a performance's three pieces, (3 pieces, 549, 130) float32.

    Music that ends up to 0.05 s early, because its decoder rounds, is filled with zeros. Raises DataError for unusable music.
    """
    samples, rate = music.load_audio(*music_window(danced))
    samples = np.pad(samples, (0, max(0, round(CLIP_S * rate) - len(samples))))
    return np.stack([music_features(piece, rate) for piece in cut_music(samples, rate)])


def _music_s(danced: DanceSequence) -> float:
    return danced.music_window_s or danced.duration_s
