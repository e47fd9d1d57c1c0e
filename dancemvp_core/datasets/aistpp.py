"""AIST++ annotations: ``keypoints3d/*.pkl``, 17 COCO joints at 60 fps, in cm. No code in a pickle is ever run.

A file name such as gBR_sBM_cAll_d04_mBR2_ch08 states genre, situation, camera, dancer, music and choreography.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dancemvp_core import download
from dancemvp_core.dance.sequences import DanceDataset, DataError
from dancemvp_core.dance.skeleton import COCO17
from dancemvp_core.datasets import motionfiles, reading
from dancemvp_core.formats.pickled import FPS, read_keypoints
from dancemvp_core.formats.tables import listing, text_of

GENRES = {
    "BR": "break",
    "PO": "pop",
    "LO": "lock",
    "MH": "middle hip-hop",
    "LH": "LA hip-hop",
    "HO": "house",
    "WA": "waack",
    "KR": "krump",
    "JS": "street jazz",
    "JB": "ballet jazz",
}
STORE = "https://storage.googleapis.com/aist_plusplus_public/20210308"
FACTS = {
    "name": "aistpp",
    "licence": "annotations CC BY 4.0, Google LLC",
    "terms": "Music and videos are AIST's, under the terms of aistdancedb.ongaaccel.jp, and are not downloaded",
    "page": "https://google.github.io/aistplusplus_dataset/download.html",
}
FILE_NAME = "g{genre}_s{situation}_cAll_d{dancer}_m{music}_ch{n}.pkl"
_FILE_PATTERN = re.compile(r"g([A-Z]{2})_s([A-Z]{2})_c(\w+)_d(\d+)_(m[A-Z]{2}\d+)_(ch\d+)\.(?i:pkl)")


def parse_file_name(path: Path) -> dict[str, str]:
    """{genre, choreography, music, dancer} from a file name; DataError if it is not a name of AIST++'s form.

    The choreography is genre, situation, music and number together, because the numbers start again with each piece of
    music.
    """
    match = _FILE_PATTERN.fullmatch(path.name)
    if not match or match[1] not in GENRES:
        raise DataError(f"{path}: not a name of the data set, expected {FILE_NAME} with g {' '.join(GENRES)}")
    genre, situation, _, dancer, music, number = match.groups()
    return {
        "genre": GENRES[genre],
        "choreography": f"g{genre}_s{situation}_{music}_{number}",
        "music": music,
        "dancer": f"d{dancer}",
    }


def motion_files(folder: Path) -> list[Path]:
    """Every pickle in a folder that is not hidden, sorted."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() == ".pkl" and not p.name.startswith("."))


def ignored_names(root: Path, folder: Path) -> set[str]:
    """Names in AIST++'s ``ignore_list.txt``, one a line, beside the files or above; their annotations are faulty."""
    lists = [path for path in (root / "ignore_list.txt", folder / "ignore_list.txt") if path.is_file()]
    return {line.strip() for path in lists for line in text_of(path, "one name a line").splitlines()}


def load(
    path: str | Path, music: str | Path | None = None, gap_s: float = motionfiles.GAP_S, facts_of: Path | None = None
) -> DanceDataset:
    """Open AIST++ annotations: a folder with keypoints3d/, or the folder that contains the ``.pkl`` files.

    ``music`` is a folder with the tracks by id (mBR2.wav, .flac, .ogg or .mp3); the default is ``music/`` beside the
    motion. A pickle has no header, so each file is read once here; its motion is not kept. Sequences with a joint missing
    for longer than ``gap_s``, refused or damaged pickles, otherwise unusable motion, and what ``ignore_list.txt`` names are
    left out and counted in the notes. ``facts_of``: a description (``reading.located``) in place of the folder's dataset.json.
    Raises DataError for a foreign file name, or if no usable motion is left.
    """
    root = Path(path)
    folder = root / "keypoints3d" if (root / "keypoints3d").is_dir() else root
    if folder == root and root.name == "keypoints3d":
        root = root.parent
    if music is not None and not Path(music).is_dir():
        raise DataError(f"{music}: no such folder, expected the AIST++ tracks by id, such as mBR2.wav")
    tracks = reading.audio_files(Path(music) if music is not None else root / "music")
    name, facts = reading.read_facts(facts_of or root, "aistpp")

    found = _Found()
    ignored = ignored_names(root, folder)
    for file in motion_files(folder):
        if file.stem in ignored:
            found.ignored.append(file.stem)
        else:
            found.add(file, tracks, gap_s)
    reading.raise_all(found.faults)
    if not found.records:
        first = f"; the first: {found.dropped[0]}" if found.dropped else ""
        raise DataError(f"{folder}: no usable motion, expected {FILE_NAME}{first}")
    files = found.files
    return motionfiles.open_dataset(
        motionfiles.Source(
            name, root, found.records, lambda i: read_keypoints(files[i])[0], found.notes(), facts, gap_s,
            left_out=found.left_out(),
        ),
        track=[label["music"] for label in found.labels],
        dancer=[label["dancer"] for label in found.labels],
        duration_s=found.durations,
        file=files,
    )


def fetch(out: str | Path, say: Callable[[str], None] = print) -> int:
    """Download the 3-D keypoints (834 MB) and the list of faulty ones (``download.fetch``).

    The list is published in the archive of the whole data set only (2.3 GB). It is read out of it by ranges.
    """
    parts = [
        download.Part(f"{STORE}/fullset.zip", "fullset.zip", r"(?:.*/)?(?P<name>ignore_list\.txt)", whole=False),
        download.Part(f"{STORE}/keypoints3d.zip", "keypoints3d.zip", r"(?:.*/)?(?P<name>g\w+\.pkl)", into="keypoints3d"),
    ]
    return download.fetch(out, FACTS, parts, say)


@dataclass
class _Found:
    """The contents of a folder's files, and the faults in some of them."""

    records: list[dict] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    labels: list[dict] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)
    faults: list[DataError] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    raw: int = 0
    missing: set[str] = field(default_factory=set)  # tracks
    short: set[str] = field(default_factory=set)  # audio files
    audio_s: dict[Path, float] = field(default_factory=dict)  # length of each audio file

    def add(self, file: Path, tracks: dict[str, Path], gap_s: float) -> None:
        """Read one file and store its record, or its fault."""
        try:
            label = parse_file_name(file)
        except DataError as fault:
            self.faults.append(fault)
            return
        try:
            motion, key = read_keypoints(file)
            motionfiles.check_motion(motion, COCO17, FPS, str(file), gap_s)
        except DataError as fault:
            self.dropped.append(str(fault))
            return
        duration_s = motion.shape[1] / FPS
        audio = self._audio(tracks.get(label["music"]), label["music"], duration_s)
        self.raw += key == "keypoints3d"
        self.files.append(file)
        self.labels.append(label)
        self.durations.append(duration_s)
        known = {name: label[name] for name in ("genre", "choreography")}
        self.records.append({"fps": FPS, "skeleton": COCO17, "music": audio, "source": str(file)} | known)

    def _audio(self, audio: Path | None, track: str, duration_s: float) -> Path | None:
        """The audio file, if it exists and is as long as the dance; else None."""
        if audio is None:
            self.missing.add(track)
            return None
        if audio not in self.audio_s:
            try:
                self.audio_s[audio] = reading.audio_duration(audio)
            except DataError as fault:
                self.faults.append(fault)
                self.audio_s[audio] = np.inf
        if self.audio_s[audio] < duration_s:
            self.short.add(audio.name)
            return None
        return audio

    def left_out(self) -> list[str]:
        """The sentences that count and name what is left out of the data set."""
        said, total = [], len(self.ignored) + len(self.dropped) + len(self.records)
        if self.dropped:
            said.append(f"{len(self.dropped)} of {total} sequences are left out as unusable; the first: {self.dropped[0]}")
        if self.ignored:
            said.append(f"{len(self.ignored)} of {total} sequences are left out, as ignore_list.txt says: {listing(self.ignored)}")
        return said

    def notes(self) -> list[str]:
        """What was read otherwise, and what is switched off."""
        notes, count = [], len(self.records)
        if self.raw:
            notes.append(f"{self.raw} of {count} files have no keypoints3d_optim: their raw keypoints3d are used")
        notes.append("no levels in AIST++: level recognition and Fig. 6 are left out")
        notes.append("no scores in AIST++: Task 2 (scoring) is left out")
        if self.missing:
            notes.append(
                f"no music for {listing(sorted(self.missing))}: no music features, pieces are 3 s long "
                "and BAR is left out there; put the tracks into music/, named by id, such as mBR2.wav"
            )
        if self.short:
            notes.append(f"music ends before the dance in {listing(sorted(self.short))}: this music is not used")
        return notes
