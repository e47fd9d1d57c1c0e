"""The Bandai-Namco-Research-Motiondataset, 1 and 2, as published: BVH files of everyday moves in acted styles, at 30 fps.

A file name such as dataset-2_raise-up-both-hands_active_001 states the set, the move and the style. A move is read as a
choreography, and its first word as the genre. A style stands in the place of a level and is called a style (``level_name``):
three actors, who are not named, act it, and no style is a skill.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from dancemvp_core import download
from dancemvp_core.dance.sequences import DanceDataset, DataError
from dancemvp_core.datasets import motionfiles, reading
from dancemvp_core.formats import bvh

REPOSITORY = "https://github.com/BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset"
ARCHIVE = "https://codeload.github.com/BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset/zip/refs/heads/master"
FACTS = {
    "name": "bandai-namco",
    "level_name": "style",
    "licence": "CC BY-NC 4.0, Bandai Namco Research Inc.",
    "terms": "No commercial use; name the source; see the LICENSE of each set",
    "page": REPOSITORY,
}
FILE_NAME = "dataset-{1|2}_{move}_{style}_{number}.bvh"
_STEM_PATTERN = re.compile(r"dataset-(\d)_([a-z-]+)_([a-z-]+)_(\d+)")
_PLACES = ("*.bvh", "data/*.bvh", "dataset/*/data/*.bvh")  # from the folder of the files up to that of the repository
_MEMBERS = r"[^/]+/(?P<name>dataset/[\w-]+/(?:LICENSE|README\.md|data/dataset-[\w-]+\.bvh))"


def motion_files(root: Path) -> list[Path]:
    """The files of the published names in a folder: the repository's, one set's, or that of the files themselves; sorted."""
    found = (path for place in _PLACES for path in root.glob(place))  # in any letter case of the suffix where the disk has none
    return sorted(path for path in found if path.suffix.lower() == ".bvh" and _STEM_PATTERN.fullmatch(path.stem))


def styles(files: list[Path]) -> list[str]:
    """Return the style that each file's name states, for a manifest of these motions in another form; [] for other files."""
    found = [_STEM_PATTERN.fullmatch(file.stem) for file in files]
    return [match[3] for match in found] if found and all(found) else []


def load(path: str | Path, facts_of: Path | None = None) -> DanceDataset:
    """Open the data set, or one of its two sets. Returns the DanceDataset; its motions stay in memory.

    ``trial`` counts the performances of a move in a style, in the order of the sets and numbers. Recordings that cannot be
    used are left out, and the notes count them. ``facts_of``: a description (``reading.located``) in place of the folder's
    dataset.json. Raises DataError if none is left.
    """
    root = Path(path)
    found = motion_files(root)
    name, facts = reading.read_facts(facts_of or root, FACTS["name"])
    files, motions, left_out = motionfiles.read_all(found, bvh.read)
    if not files:
        raise DataError(f"{root}: no usable motion among {len(found)} files, expected {FILE_NAME}; {' '.join(left_out)}")
    records, count = [], Counter()
    for file, motion in zip(files, motions, strict=True):
        _, move, style, _ = _STEM_PATTERN.fullmatch(file.stem).groups()
        records.append(
            {"fps": motion.fps, "skeleton": motion.skeleton, "source": str(file), "music": None, "score": None}
            | {"genre": move.split("-")[0], "choreography": move, "level": style, "trial": count[move, style]}
        )
        count[move, style] += 1
    notes = [
        "the styles are acted, by three actors who are not named: a style is no skill, and people are unknown",
        "no music in this set: no music features, primitives are equal parts and BAR is left out",
        "no scores in this set: Task 2 (scoring) is left out",
    ]
    return motionfiles.open_dataset(
        motionfiles.Source(
            name, root, records, lambda i: motions[i].motion, notes, {"level_name": FACTS["level_name"]} | facts,
            left_out=left_out, levels=tuple(sorted({record["level"] for record in records})),
        ),
        duration_s=[motion.motion.shape[1] / motion.fps for motion in motions],
        file=files,
    )  # fmt: skip


def fetch(out: str | Path, say: Callable[[str], None] = print) -> int:
    """Download the BVH files and licences of both sets from the publisher's repository (``download.fetch``)."""
    return download.fetch(out, FACTS, [download.Part(ARCHIVE, "bandai-namco.zip", _MEMBERS)], say)
