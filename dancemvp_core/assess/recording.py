"""A user's recording: ``.npy``, CSV, AIST++ ``.pkl`` or BVH, with any skeleton and any frame rate."""

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
LAYOUTS = {"TVC": (2, 0, 1), "CTV": (0, 1, 2)}  # the transposition of a file's array to (3, T, V)


class Analysis(NamedTuple):
    """The analysis of a recording: its music (``music.analyse``), and its beat alignment (``rhythm.alignment``)."""

    music: MusicAnalysis
    alignment: dict


def skeleton_of(text: str | None) -> Skeleton | None:
    """The skeleton that a user names: built in, or a JSON file; None for None. DataError if it is neither."""
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
    """Read one recording: its motion, checked, turned y-up and with short gaps bridged, and its music from ``offset_s`` on.

    ``fps`` is needed for ``.npy`` and for a CSV without ``time_s``; otherwise it replaces the rate of the file. If
    ``layout`` (of ``.npy``) or ``skeleton`` is None, it is recognised: 21 joints are ImperialDance's, 17 are COCO's. Raises
    DataError, in one line, for files that cannot be read, for motion that cannot be a dance, and for music that ends before
    the motion.
    """
    path, music = Path(path), Path(music)
    if not path.is_file():
        raise DataError(f"{path}: no such file, expected a motion file ({', '.join(FORMATS)})")
    if fps is not None and not 1 <= fps <= FASTEST_FPS:
        raise DataError(f"{path}: {fps:g} frames per second, expected 1 to {FASTEST_FPS:g}")
    motion, own_fps, skeleton = _motion(path, layout, skeleton)
    fps = fps or own_fps
    if fps is None:
        raise DataError(f"{path}: the frame rate is unknown, expected --fps with the frames per second")
    motion = motionfiles.check_motion(motion, skeleton, fps, str(path))
    duration_s = motion.shape[1] / fps
    music_s = reading.audio_duration(music)
    if not 0 <= offset_s < music_s:
        raise DataError(f"{music}: an offset of {offset_s:g} s, expected an offset within its {music_s:.2f} s")
    if offset_s + duration_s > music_s + 0.05:  # audio encoders round a file's length to whole blocks
        raise DataError(
            f"{music}: lasts {music_s:.2f} s, expected music for the whole dance, {offset_s:g} to {offset_s + duration_s:.2f} s"
        )
    upright = orientation.find_upright([motion], skeleton)
    motion = orientation.turn_y_up(motion, upright.axis)
    return DanceSequence(motion, fps, skeleton, music, offset_s, source=str(path), notes=upright.notes)


def _motion(path: Path, layout: str | None, skeleton: Skeleton | None) -> tuple[np.ndarray, float | None, Skeleton]:
    """(motion (3, T, V), fps or None, skeleton), read by the file's suffix."""
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        return *bvh.read(path, skeleton or IMPERIALDANCE21), skeleton or IMPERIALDANCE21
    if suffix == ".csv":
        return motioncsv.read(path, skeleton)
    if suffix == ".pkl":
        if skeleton not in (None, aistpp.COCO17):
            raise DataError(f"{path}: the skeleton of an AIST++ file is given as {skeleton.name}, expected coco17")
        return aistpp.read_keypoints(path)[0], aistpp.FPS, aistpp.COCO17
    if suffix == ".npy":
        return _npy(path, layout, skeleton)
    raise DataError(f"{path}: no motion format has this suffix, expected {', '.join(FORMATS)}")


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
        raise DataError(f"{path}: shape {shape} fits both {' and '.join(f for _, f in fits)}, expected --layout")
    known, form = fits[0]
    return np.array(motionfiles.open_npy(path)).transpose(LAYOUTS[form]), None, known


def analyse(recording: DanceSequence) -> Analysis:
    """Analyse a recording's music, and its beat alignment. DataError for music that cannot be read."""
    from dancemvp_core.dance import music, rhythm  # librosa and scipy.signal take seconds to import

    analysis = music.analyse(recording.music, recording.music_offset_s, clip_s=recording.duration_s)
    return Analysis(analysis, rhythm.alignment(recording, analysis))
