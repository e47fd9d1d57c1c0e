"""An example recording for the assessment: SynthDance's unseen dancers, written in the form of a user's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dancemvp_core import datasets, files
from dancemvp_core.dance.sequences import DanceDataset, evenly_spaced
from dancemvp_core.runs import profiles


def write(folder: Path, dataset: DanceDataset, choreography: str, level: str, count: int) -> tuple[list[Path], Path, float]:
    """Write ``count`` trials, spread over a dancer's practice. Returns (motion files in order, music file, fps).

    The clips' music is stretched to 10 s. A user's recording is not stretched, so the frame rate is set such that the
    motion is as long as the music. Raises ValueError if the data set has no such performances.
    """
    index = dataset.index
    own = index[(index["choreography"] == choreography) & (index["level"] == level)].sort_values("trial")
    if own.empty:
        raise ValueError(f"no performance of {choreography} by a {level} in {dataset.name}")
    rows = evenly_spaced(own.index, count)
    made = []
    for row in rows:
        sequence = dataset.sequences[int(row)]
        path = folder / f"{choreography}_{level}_trial{sequence.trial + 1:03d}.npy"
        with files.replacing(path) as temporary:
            np.save(temporary, np.asarray(sequence.motion))
        made.append(path)
    fps = sequence.motion.shape[1] / (sequence.music_window_s or sequence.duration_s)
    return made, sequence.music, fps


def recordings(params, folder: Path) -> tuple[list[Path], Path, float | None]:
    """(motion files, music file, fps) from a notebook's parameters; else of the example, written to ``folder``.

    There are no motion files if the parameters name none and the assessor was made from the user's own data.
    """
    if params.motions or params.data:
        return [Path(motion) for motion in params.motions], Path(params.music), params.fps or None
    others = datasets.load(profiles.unseen_dancers_root(params.project, params.profile, params.split))
    return write(folder, others, others.index["choreography"].iloc[0], "intermediate", 6)
