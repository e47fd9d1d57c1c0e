"""A recording as the user has it: ``.npy``, CSV, AIST++ ``.pkl`` or BVH, on any skeleton, at any frame rate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dancemvp_core.dance import orientation
from dancemvp_core.dance.sequences import DanceSequence, DataError
from dancemvp_core.dance.skeleton import IMPERIALDANCE21, SKELETONS, Skeleton, load_skeleton
from dancemvp_core.datasets import aistpp, bvh, motioncsv, motionfiles, reading
from dancemvp_core.datasets.manifest import FASTEST_FPS

if TYPE_CHECKING:
    from dancemvp_core.dance.music import MusicAnalysis

FORMATS = (".npy", ".csv", ".pkl", ".bvh")
LAYOUTS = {"TVC": (2, 0, 1), "CTV": (0, 1, 2)}  # axes that bring a file's array to (3, T, V)


class Heard(NamedTuple):
    """A recording's music (``music.analyse``), and how its accents fall on it (``rhythm.alignment``)."""

    music: MusicAnalysis
    alignment: dict


def skeleton_of(text: str | None) -> Skeleton | None:
    """The skeleton that a user names: built in, or a JSON file; None for none. DataError where it is neither."""
    if text is None or text in SKELETONS:
        return SKELETONS.get(text)
    try:
        return load_skeleton(text)
    except ValueError as fault:
        raise DataError(str(fault)) from None


def read(
    path: str | Path,
    music: str | Path,
    offset_s: float = 0.0,
    fps: float | None = None,
    layout: str | None = None,
    skeleton: Skeleton | None = None,
) -> DanceSequence:
    """One recording: its motion, checked, turned y-up and with short gaps bridged, and the music from ``offset_s`` on.

    ``fps`` is needed for ``.npy`` and for a CSV without ``time_s``; elsewhere it stands in place of the file's own rate.
    ``layout`` (of ``.npy``) and ``skeleton`` None are recognised: 21 joints are ImperialDance's, 17 COCO's. Raises
    DataError, in one line, for what cannot be read or cannot be a dance, and for music that ends before it.
    """
    path, music = Path(path), Path(music)
    if not path.is_file():
        raise DataError(f"{path}: no such file, expected a motion file ({', '.join(FORMATS)})")
    if fps is not None and not 1 <= fps <= FASTEST_FPS:
        raise DataError(f"{path}: {fps:g} frames per second, expected 1 to {FASTEST_FPS:g}")
    motion, own_fps, skeleton = _motion(path, layout, skeleton)
    fps = fps or own_fps
    if fps is None:
        raise DataError(f"{path}: its frame rate is not known, expected --fps with the frames per second")
    motion = motionfiles.check_motion(motion, skeleton, fps, str(path))
    duration_s = motion.shape[1] / fps
    lasting = reading.audio_duration(music)
    if not 0 <= offset_s < lasting:
        raise DataError(f"{music}: an offset of {offset_s:g} s, expected one within its {lasting:.2f} s")
    if offset_s + duration_s > lasting + 0.05:  # encoders round a file's length to their blocks
        raise DataError(
            f"{music}: lasts {lasting:.2f} s, expected music for the whole dance, {offset_s:g} to {offset_s + duration_s:.2f} s"
        )
    upright = orientation.settle([motion], skeleton)
    motion = orientation.stood_up(motion, upright.axis)
    return DanceSequence(motion, fps, skeleton, music, offset_s, source=str(path), notes=upright.notes)


def _motion(path: Path, layout: str | None, skeleton: Skeleton | None) -> tuple[np.ndarray, float | None, Skeleton]:
    """(motion (3, T, V), fps or None, skeleton) by the file's suffix."""
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        return *bvh.read(path, skeleton or IMPERIALDANCE21), skeleton or IMPERIALDANCE21
    if suffix == ".csv":
        return motioncsv.read(path, skeleton)
    if suffix == ".pkl":
        if skeleton not in (None, aistpp.COCO17):
            raise DataError(f"{path}: an AIST++ file, expected no skeleton but coco17, got {skeleton.name}")
        return aistpp.read_keypoints(path)[0], aistpp.FPS, aistpp.COCO17
    if suffix == ".npy":
        return _npy(path, layout, skeleton)
    raise DataError(f"{path}: no motion format is known by this suffix, expected {', '.join(FORMATS)}")


def _npy(path: Path, layout: str | None, skeleton: Skeleton | None) -> tuple[np.ndarray, None, Skeleton]:
    shape, _ = motionfiles.npy_header(path)
    if len(shape) != 3:
        raise DataError(f"{path}: shape is {shape}, expected one recording, (frames, joints, 3) or (3, frames, joints)")
    candidates = [skeleton] if skeleton else list(SKELETONS.values())
    layouts = [layout] if layout else list(LAYOUTS)
    fits = [
        (known, form)
        for form in layouts
        for known in candidates
        if (shape[LAYOUTS[form][0]], shape[LAYOUTS[form][2]]) == (3, len(known.joints))
    ]
    if not fits:
        joints = " or ".join(f"{len(known.joints)} joints of {known.name}" for known in candidates)
        raise DataError(f"{path}: shape is {shape}, expected {joints} as {' or '.join(layouts)}; name others with --skeleton")
    if len(fits) > 1:
        raise DataError(f"{path}: shape {shape} reads as both {' and '.join(f for _, f in fits)}, expected --layout")
    known, form = fits[0]
    return np.array(motionfiles.open_npy(path)).transpose(LAYOUTS[form]), None, known


def hear(recording: DanceSequence) -> Heard:
    """Listen to a recording's music and set the body's accents against it. DataError for music that cannot be read."""
    from dancemvp_core.dance import music, rhythm  # librosa and scipy.signal: seconds to import

    heard = music.analyse(recording.music, recording.music_offset_s, clip_s=recording.duration_s)
    return Heard(heard, rhythm.alignment(recording, heard))
