"""UMONS-TAICHI (Tits et al., Data in Brief 2018): Taijiquan by 12 people of four levels, with the scores of three experts.

Read are the segmented Kinect files (``formats.kinect``), P{person}T{}C{}G{technique}D{side}S{}.txt, and Metadata.txt. The reader
is written from the published description and the authors' published code, and tested on small files in this form. **It is
untried on the real archive.**
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from dancemvp_core import download
from dancemvp_core.dance.sequences import DanceDataset, DataError
from dancemvp_core.datasets import motionfiles, reading
from dancemvp_core.formats import kinect, tables

RECORD = "https://zenodo.org/api/records/2784581"
ARCHIVE = "Segmented_Kinect.zip"
METADATA = "https://raw.githubusercontent.com/numediart/UMONS-TAICHI/master/Metadata.txt"
FACTS = {
    "name": "umons-taichi",
    "score_range": [0, 10],
    "licence": "CC BY-NC-SA 4.0, M. Tits et al., University of Mons",
    "terms": "No commercial use; share alike; cite doi.org/10.1016/j.dib.2018.05.088",
    "page": "https://zenodo.org/records/2784581",
}
FOLDER = "Segmented_Kinect"
LEVELS = ("novice", "intermediate", "advanced", "expert")
FILE_NAME = "P{person}T{type}C{clip}G{technique}D{side}S{sample}.txt"
_FILE_PATTERN = re.compile(r"(P\d{2})(T\d{2}C\d{2})(G(\d{2}))(D\d{2}S\d{2})\.(?i:txt)")
_MEMBERS = r"(?:.*/)?(?P<name>P\d{2}T\d{2}C\d{2}G\d{2}D\d{2}S\d{2}\.txt)"
EXERCISES = 5  # techniques 1 to 5 are exercises in the authors' labels ("ex1"), the others techniques ("tech1")


def motion_files(root: Path) -> list[Path]:
    """The files of the published names under Segmented_Kinect/, sorted by name."""
    return sorted((p for p in (root / FOLDER).rglob("*") if _FILE_PATTERN.fullmatch(p.name)), key=lambda p: p.name)


def read_people(path: Path) -> dict[str, tuple[str, float]]:
    """{person: (level, score)} of Metadata.txt; the score, 0 to 10, is the mean of the three experts'.

    Rows that are no person (mean, deviation) are left out. Raises DataError, with the line, for another level or score.
    """
    table = tables.read_table(path, ("ID", "Category"))
    experts = [name for name in table.header if re.match(r"Skill ?\d", name)]
    if not experts:
        raise DataError(f"{path}: no column Skill1, expected the scores of the experts")
    people = {}
    for place, row in table:
        if not re.fullmatch(r"P\d{2}", row["ID"]):
            continue
        level = row["Category"].lower()
        if level not in LEVELS:
            raise DataError(f"{place}: Category is {row['Category']!r}, expected {', '.join(LEVELS)}")
        scores = [tables.number(row[name], name, place, *FACTS["score_range"]) for name in experts]
        people[row["ID"]] = (level, sum(scores) / len(scores))
    return people


def load(path: str | Path, facts_of: Path | None = None) -> DanceDataset:
    """Open the data set: a folder with Segmented_Kinect/ and Metadata.txt. Returns the DanceDataset; motions stay in memory.

    A technique is read as a choreography, a person as a dancer. ``trial`` counts a person's takes of a technique, in the order
    of the names. Recordings that cannot be used are left out, and the notes count them. ``facts_of``: a description
    (``reading.located``) in place of the folder's dataset.json. Raises DataError if none is left, or if Metadata.txt lacks a
    person.
    """
    root = Path(path)
    found, metadata = motion_files(root), root / "Metadata.txt"
    name, facts = reading.read_facts(facts_of or root, FACTS["name"])
    facts |= {"score_range": FACTS["score_range"]}
    people = read_people(metadata) if metadata.exists() else {}
    files, motions, left_out = motionfiles.read_all(found, kinect.read)
    if not files:
        raise DataError(f"{root / FOLDER}: no usable motion among {len(found)} files, expected {FILE_NAME}; {' '.join(left_out)}")
    labels = [_FILE_PATTERN.fullmatch(file.name).groups() for file in files]
    unknown = sorted({person for person, *_ in labels} - set(people))
    if people and unknown:
        raise DataError(f"{metadata}: no row for {tables.listing(unknown)}, expected every person of the recordings")
    records, count = [], Counter()
    for file, motion, (person, _, technique, number, _) in zip(files, motions, labels, strict=True):
        level, score = people.get(person, (None, None))
        genre = "exercise" if int(number) <= EXERCISES else "technique"
        records.append(
            {"fps": motion.fps, "skeleton": motion.skeleton, "source": str(file), "music": None, "genre": genre}
            | {"choreography": technique, "level": level, "trial": count[person, technique], "score": score}
        )
        count[person, technique] += 1
    scores, notes = reading.scaled_scores([record["score"] for record in records], FACTS["score_range"])
    records = [record | {"score": score} for record, score in zip(records, scores, strict=True)]
    return motionfiles.open_dataset(
        motionfiles.Source(
            name, root, records, lambda i: motions[i].motion, [*notes, *_notes(people)], facts, left_out=left_out, levels=LEVELS
        ),
        dancer=[person for person, *_ in labels],
        duration_s=[motion.motion.shape[1] / motion.fps for motion in motions],
        file=files,
    )


def _notes(people: dict) -> list[str]:
    """What the labels are, and what is switched off."""
    notes = [
        "a person has one level and one score for all takes: measure both on people who are not in the support",
        "no music in this set: no music features, primitives are equal parts and BAR is left out",
    ]
    if not people:
        notes[0] = "no Metadata.txt: level recognition, Fig. 6 and Task 2 (scoring) are left out"
    return notes


def fetch(out: str | Path, say: Callable[[str], None] = print) -> int:
    """Download the segmented Kinect files and Metadata.txt (``download.fetch``). The record states addresses and MD5s."""
    page = FACTS["page"]
    listed = {str(file.get("key")): file for file in download.read_json(RECORD, page).get("files", [])}
    try:
        archive = listed[ARCHIVE]
        url, md5 = archive["links"]["self"], archive["checksum"].removeprefix("md5:")
        metadata = listed["Metadata.txt"]["links"]["self"] if "Metadata.txt" in listed else METADATA
    except (KeyError, TypeError, AttributeError):
        raise DataError(f"{RECORD}: lists no {ARCHIVE} with its address and MD5, see {page}") from None
    parts = [
        download.Part(metadata, "Metadata.txt"),
        download.Part(url, ARCHIVE, _MEMBERS, into=FOLDER, md5=md5),
    ]
    return download.fetch(out, FACTS, parts, say)
