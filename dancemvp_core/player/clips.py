"""The clip of a piece for the browser: joints, intensities and their peaks, labels, and the excerpt of its music."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from dancemvp_core.dance import rhythm
from dancemvp_core.dance.sequences import DanceSequence, Piece
from dancemvp_core.dance.skeleton import Skeleton, across
from dancemvp_core.player import binary

if TYPE_CHECKING:
    from dancemvp_core.dance.music import MusicAnalysis

FRAMES_PER_S = 50  # largest number; the browser interpolates between frames, and fewer frames are fewer bytes


@dataclass(frozen=True)
class Excerpt:
    """The place of a piece's music in its file: from ``start_s``, with ``length_s``, in seconds of the recording."""

    path: str
    start_s: float
    length_s: float


def drawn_skeleton(skeleton: Skeleton) -> dict:
    """Return joints, bones (child, parent), sides of the joints (0 trunk, 1 left, 2 right), head (-1: none) and limb ends."""
    sides = [0] * len(skeleton.joints)
    for left, right in skeleton.pairs:
        sides[left], sides[right] = 1, 2
    head = next((i for i, name in enumerate(skeleton.joints) if name.lower() in ("head", "nose")), -1)
    leaves = [j for j in range(len(sides)) if j not in skeleton.parents and sides[j]]
    return {"joints": skeleton.joints, "bones": skeleton.bones, "sides": sides, "head": head, "ends": leaves}


def standing(motion: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Return a motion (3, T, V) as (T, V, 3), turned about the vertical axis and shifted; the unit stays the same.

    The axes are: across (the dancer's left is positive), up, and forward from the dancer. The floor is at height 0, and the
    root's mean position is 0 across and forward.
    """
    motion = np.asarray(motion, dtype=np.float64)
    x, z = across(motion, skeleton)
    placed = np.einsum("ia,atv->tvi", np.array([[x, 0, z], [0, 1, 0], [-z, 0, x]]), motion)
    placed -= placed[:, skeleton.root].mean(axis=0)
    placed[..., 1] -= placed[..., 1].min()
    return placed


def frames(piece: Piece) -> np.ndarray:
    """Return the numbers of the sequence's frames in a clip: those of the piece, at a rate of about 50 per second or less."""
    fps, last = piece.sequence.fps, piece.sequence.motion.shape[1] - 1
    stride = max(1, round(fps / FRAMES_PER_S))
    return np.arange(round(piece.start_s * fps), min(round(piece.end_s * fps), last) + 1, stride)


def body(piece: Piece, shown: np.ndarray) -> tuple[dict, np.ndarray]:
    """Return the body at the frames ``shown`` of a piece: (header, joints (T, V, 3) int16 as ``binary.quantise`` makes them)."""
    sequence = piece.sequence
    placed = standing(sequence.motion[:, shown], sequence.skeleton)
    joints, centre, step = binary.quantise(placed)
    reach = max(np.abs(placed[..., [0, 2]]).max(), placed[..., 1].max() / 2)
    return {
        "duration": piece.end_s - piece.start_s, "start": piece.start_s, "fps": float(sequence.fps / (shown[1] - shown[0])),
        "frames": len(shown), "joints": len(sequence.skeleton.joints), "centre": centre, "step": step,
        "reach": float(reach), "height": float(placed[..., 1].max()),
    }, joints  # fmt: skip


def clip(piece: Piece, analysis: MusicAnalysis | None) -> tuple[dict, bytes, Excerpt | None]:
    """Return a piece for the browser: (header, arrays, excerpt of its music or None).

    Times are in s from the start of the piece. Peaks are matched over the whole performance, because BAR is computed over
    it; the clip has the peaks within the piece. ``header["arrays"]`` is the layout of joints (T, V, 3) int16; motion and
    music intensity (T,) in 1/65535 of their maxima (motion_max in units per s, music_max in onset strength); motion_peaks
    and music_peaks in s; and the matched pairs (numbers of the peaks, music first), with -1 for a peak outside the piece.
    """
    sequence = piece.sequence
    shown = frames(piece)
    header, joints = body(piece, shown)
    header |= {
        "segmentation": piece.segmentation,
        "genre": sequence.genre, "choreography": sequence.choreography, "level": sequence.level,
        "trial": sequence.trial, "primitive": piece.primitive, "score": sequence.score,
        "labelled": bool(sequence.music_intensity_s),
    }  # fmt: skip
    measured = rhythm.alignment(sequence, analysis)
    header["bar"] = None if np.isnan(measured["bar"]) else float(measured["bar"])
    arrays = {"joints": joints} | _peaks(piece, measured)
    for name, curve in _curves(sequence, analysis, shown).items():
        header[f"{name}_max"] = float(curve.max())
        arrays[name] = np.rint(65535 * curve.clip(0) / max(curve.max(), 1e-12)).astype(np.uint16)
    header["arrays"], data = binary.pack(arrays)
    if analysis is None:
        return header, data, None
    header["recorded_per_s"] = 1 / analysis.stretch
    start = sequence.music_offset_s + piece.start_s / analysis.stretch
    return header, data, Excerpt(str(sequence.music), start, (piece.end_s - piece.start_s) / analysis.stretch)


def _curves(sequence: DanceSequence, analysis: MusicAnalysis | None, shown: np.ndarray) -> dict[str, np.ndarray]:
    """Return the intensities (T,) at the frames of the clip, smoothed as for the search of peaks."""
    motion = rhythm.smoothed(rhythm.motion_intensity(sequence.motion, sequence.fps), sequence.fps)[shown]
    if analysis is None:
        return {"motion": motion}
    return {"motion": motion, "music": np.interp(shown / sequence.fps, analysis.feature_times_s, analysis.onset)}


def _peaks(piece: Piece, measured: dict) -> dict[str, np.ndarray]:
    """Return the peaks within the piece, and the pairs with at least one of these peaks."""
    times = {kind: np.sort(measured[f"{kind}_peaks"]) for kind in ("music", "motion")}
    inside = {kind: np.flatnonzero((t >= piece.start_s) & (t < piece.end_s)) for kind, t in times.items()}
    number = {kind: {int(i): n for n, i in enumerate(found)} for kind, found in inside.items()}
    pairs = [(number["music"].get(i, -1), number["motion"].get(j, -1)) for i, j in rhythm.match_peaks(*times.values())]
    pairs = np.array([pair for pair in pairs if max(pair) >= 0], dtype=np.int16).reshape(-1, 2)
    peaks = {f"{kind}_peaks": (times[kind][inside[kind]] - piece.start_s).astype(np.float32) for kind in times}
    return peaks | {"pairs": pairs}


def audio(excerpt: Excerpt) -> bytes:
    """Return the excerpt as a mono FLAC file. FLAC is lossless, so the start is exact, and every browser plays it.

    Raises DataError if the file or the window cannot be read.
    """
    from dancemvp_core.dance import music  # librosa takes seconds to import

    samples, rate = music.load_audio(excerpt.path, excerpt.start_s, excerpt.length_s)
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()
