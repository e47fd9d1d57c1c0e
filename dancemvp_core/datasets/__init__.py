"""Data sources, one file each. All of them return a lazy DanceDataset. ``load`` recognises the source."""

from __future__ import annotations

from pathlib import Path

from dancemvp_core.dance.sequences import DanceDataset, DataError
from dancemvp_core.datasets import aistpp, bandainamco, imperialdance, manifest, reading, umonstaichi


def load(path: str | Path, trials: int | None = None, music: str | Path | None = None) -> DanceDataset:
    """Open a data set; the source is recognised from the folder. Motion is read, and turned y-up, when a sequence is requested.

    A folder with manifest.csv (or a CSV itself) is a manifest; one with keypoints3d/ (or ``.pkl`` files directly inside) is
    AIST++; one with Segmented_Kinect/ is UMONS-TAICHI; one with ``.bvh`` files of Bandai Namco's names, or their repository's
    dataset/, is theirs; one with ``.npy`` files is an ImperialDance tree. A JSON file is a description of data in another folder
    (``reading.located``): its statements come before those of the folder. ``trials`` (ImperialDance): use only that many evenly
    spaced trials of each file. ``music`` (AIST++): the folder of tracks by id. Returns the DanceDataset. Raises DataError, with
    what was expected, if the path is none of these or a file cannot be used.
    """
    root = reading.located(path)
    facts_of = None if root == Path(path) else Path(path)
    expected = (
        f"expected manifest.csv (bring your own), keypoints3d/ (AIST++), {umonstaichi.FOLDER}/ (UMONS-TAICHI), "
        f"{bandainamco.FILE_NAME} (Bandai Namco) or {imperialdance.FILE_NAME} (ImperialDance)"
    )
    try:
        if root.is_file():
            if root.suffix.lower() != ".csv":
                raise DataError(f"{root}: neither a folder nor a CSV, {expected}")
            return manifest.load(root)
        if not root.is_dir():
            raise DataError(f"{root}: no such folder, {expected}")
        if (root / "manifest.csv").exists():
            return manifest.load(root, facts_of)
        if (root / "keypoints3d").is_dir() or aistpp.motion_files(root):
            return aistpp.load(root, music=music, facts_of=facts_of)
        if (root / umonstaichi.FOLDER).is_dir():
            return umonstaichi.load(root, facts_of)
        if bandainamco.motion_files(root):
            return bandainamco.load(root, facts_of)
        if imperialdance.motion_files(root):
            return imperialdance.load(root, trials, facts_of)
    except OSError as fault:
        raise DataError(f"{fault.filename or root}: cannot be read ({fault.strerror}), {expected}") from None
    raise DataError(f"{root}: no dance data in this folder, {expected}")
