"""A user's recording: a motion file of any kind (``formats.motion``), with any skeleton and any frame rate, and its music."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dancemvp_core import files
from dancemvp_core.dance import orientation
from dancemvp_core.dance.sequences import DanceSequence, DataError
from dancemvp_core.dance.skeleton import SKELETONS, Skeleton, load_skeleton
from dancemvp_core.datasets import motionfiles, reading
from dancemvp_core.datasets.manifest import FASTEST_FPS
from dancemvp_core.formats import motion as motion_formats

if TYPE_CHECKING:
    from dancemvp_core.dance.music import MusicAnalysis


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
        raise DataError(f"{path}: no such file, expected a motion file ({', '.join(motion_formats.FORMATS)})")
    if fps is not None and not 1 <= fps <= FASTEST_FPS:
        raise DataError(f"{path}: {fps:g} frames per second, expected 1 to {FASTEST_FPS:g}")
    motion, fps, skeleton, notes = motion_formats.read(path, skeleton, layout, fps)
    if fps is None:
        raise DataError(f"{path}: the frame rate is unknown, expected --fps with the frames per second")
    frames, joints, zeros = motion.shape[1], len(skeleton.joints), motionfiles.zero_filled(motion)
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
    doubt = orientation.doubt(motion, skeleton)
    motion = orientation.turn_y_up(motion, upright.axis)
    said = [f"read {joints} joints at {fps:.5g} fps from {files.shown(path)}; up axis {upright.axis}", *notes, *upright.notes]
    if zeros.any():
        said.append(f"{int(zeros.sum())} joint positions at exactly 0, 0, 0 are taken as missing, of {frames * joints}")
    if doubt:
        said.append(f"this is no likely body of {skeleton.name}: {doubt}; is the order of the joints another one?")
    return DanceSequence(motion, fps, skeleton, music, offset_s, source=str(path), notes=tuple(said))


def analyse(recording: DanceSequence) -> Analysis:
    """Analyse a recording's music, and its beat alignment. DataError for music that cannot be read."""
    from dancemvp_core.dance import music, rhythm  # librosa and scipy.signal take seconds to import

    analysis = music.analyse(recording.music, recording.music_offset_s, clip_s=recording.duration_s)
    return Analysis(analysis, rhythm.alignment(recording, analysis))


def sound(recording: DanceSequence) -> bytes:
    """A recording's music, from the offset to the end of the dance, as a FLAC file. DataError as ``analyse``."""
    from dancemvp_core.player import clips

    return clips.audio(clips.Excerpt(str(recording.music), recording.music_offset_s, recording.duration_s))
