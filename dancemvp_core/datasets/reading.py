"""Everything beside the motion: labels, dataset.json, audio files, and paths that stay inside a folder."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import soundfile

from dancemvp_core.dance.audio import open_sound
from dancemvp_core.dance.orientation import TURNS
from dancemvp_core.dance.sequences import LEVELS, DataError
from dancemvp_core.formats import tables

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
SHORTEST_MUSIC_S = 1.0
LOW_SCORES = 10.0  # scores that are all so low are hardly of 0 to 100
KNOWN_LEVELS = ("beginner", "intermediate", "advanced", "expert")
LEVEL_WORDS = {name: name for name in KNOWN_LEVELS} | {
    "b": "beginner", "n": "beginner", "novice": "beginner", "beginners": "beginner", "basic": "beginner",
    "i": "intermediate", "medium": "intermediate", "middle": "intermediate",
    "a": "advanced", "e": "expert", "master": "expert", "professional": "expert", "pro": "expert",
}  # fmt: skip


def level(text: str, place: str) -> str:
    """One of ImperialDance's levels from its word or first letter; DataError if the text is neither."""
    for name in LEVELS:
        if text.lower() in (name, name[0]):
            return name
    raise DataError(f"{place}: level is {text!r}, expected {', '.join(LEVELS)} or the first letter")


def one_spelling(texts: list[str | None], name: str) -> tuple[list[str | None], list[str]]:
    """(labels in the first spelling of each, notes): capitals and spaces make no other label."""
    first: dict[str, str] = {}
    others: dict[str, set[str]] = {}
    labels = []
    for text in texts:
        if text is not None:
            key = " ".join(text.split()).casefold()
            label = first.setdefault(key, text)
            if text != label:
                others.setdefault(label, set()).add(text)
            text = label
        labels.append(text)
    return labels, [f"{name}: {tables.listing(sorted(found))} is read as {label}" for label, found in others.items()]


def ordered_levels(
    texts: list[str | None], stated: list[str] | dict[str, str] | None
) -> tuple[list[str | None], tuple[str, ...], list[str]]:
    """(level of each recording, the levels from lowest to highest, notes).

    The order is the stated one (dataset.json: a list; or the words of the data with the names to show); else that of
    ``KNOWN_LEVELS`` if all are known; else that of first appearance. Words and letters that mean a known level become it.
    Raises DataError for a level that is not stated.
    """
    written = [text and " ".join(text.split()).casefold() for text in texts]
    if stated is not None:
        names = stated if isinstance(stated, dict) else dict(zip(stated, stated, strict=True))
        by_key = {word.casefold(): name for word, name in names.items()}
        unknown = next((text for text, key in zip(texts, written, strict=True) if key and key not in by_key), None)
        if unknown:
            raise DataError(f"level is {unknown!r}, expected one of dataset.json's levels, {', '.join(stated)}")
        renamed = [f"level {word} is named {name}" for word, name in names.items() if word != name]
        return [key and by_key[key] for key in written], tuple(names.values()), renamed
    used = {text for text in written if text}
    known = {text: LEVEL_WORDS[text] for text in used if text in LEVEL_WORDS}
    words = [name for text, name in known.items() if len(text) > 1]
    if len(known) == len(used) and len(set(words)) == len(words):  # two words for one level are two levels to their author
        notes = [f"level {word} is read as {name}" for word, name in sorted(known.items()) if word not in (name, name[0])]
        levels = [text and known[text] for text in written]
        present = tuple(name for name in KNOWN_LEVELS if name in levels)
        return levels, LEVELS if set(present) <= set(LEVELS) else present, notes
    labels, notes = one_spelling(texts, "level")
    order = tuple(dict.fromkeys(label for label in labels if label is not None))
    advice = f'levels in the order in which they appear: {", ".join(order)}; state another as "levels" in dataset.json'
    return labels, order, [*notes, advice]


def scaled_scores(scores: list[float | None], stated: list[float] | None) -> tuple[list[float | None], list[str]]:
    """(scores on 0..100, notes) from scores of the stated range (dataset.json), else as they are."""
    known = [score for score in scores if score is not None]
    if stated is not None and known:
        low, high = stated
        scores = [None if score is None else 100 * (score - low) / (high - low) for score in scores]
        return scores, [f"scores of {low:g} to {high:g} are scaled to 0 to 100"]
    if known and max(known) <= LOW_SCORES:
        few = f"all scores are {min(known):g} to {max(known):g} and taken as of 0 to 100; "
        return scores, [few + 'state their range as "score_range" in dataset.json, such as [0, 10]']
    return scores, []


def inside(root: Path, text: str, name: str, place: str) -> Path:
    """The path that a cell names, relative to ``root``; DataError if it is outside (links resolved)."""
    path = root / text
    if Path(text).is_absolute() or not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{place}: {name} {text!r} leads out of {root}, expected a path inside this folder")
    return path


def existing(path: Path, root: Path, name: str, place: str) -> Path:
    """The path of a file that is there; DataError if it is not."""
    if not path.is_file():
        raise DataError(f"{place}: {name} {path.relative_to(root).as_posix()!r} does not exist, expected a file in {root}")
    return path


def located(path: str | Path) -> Path:
    """The folder of a data set: the path itself, or the ``folder`` that a description states (``read_facts``).

    A description is a JSON file of the user's own, for data whose folder is not theirs to write in. Its ``folder`` is relative
    to it. Raises DataError if there is no such folder.
    """
    path = Path(path)
    if path.suffix.lower() != ".json" or not path.is_file():
        return path
    folder = _json(path).get("folder")
    if not (isinstance(folder, str) and folder and (path.parent / folder).is_dir()):
        raise DataError(f"{path}: folder is {folder!r}, expected the folder of the data set, from here {path.parent}")
    return path.parent / folder


def read_facts(root: Path, name: str) -> tuple[str, dict]:
    """(name, all facts) from an optional dataset.json; ``name`` is the default. The name is used in paths of results.

    ``root`` is a folder, or a description (``located``), whose statements come before those of the folder's dataset.json.
    ``synthetic`` (default false), ``up``, the upright axis, ``levels``, from lowest to highest, ``level_name``, the word for
    them, and ``score_range`` are checked; all other facts are kept as they are.
    """
    path, folder = root / "dataset.json", located(root)
    facts = _json(folder / "dataset.json") if (folder / "dataset.json").exists() else {}
    if folder != root:
        path, facts = root, facts | _json(root)
    name, synthetic = facts.get("name", name), facts.get("synthetic", False)
    if "name" in facts and not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", name)):
        raise DataError(f"{path}: name is {name!r}, expected letters, digits and ._+- (it names folders)")
    if not isinstance(synthetic, bool):
        raise DataError(f"{path}: synthetic is {synthetic!r}, expected true or false")
    if "up" in facts and facts["up"] not in list(TURNS):  # a list, because the value may not be hashable
        raise DataError(f"{path}: up is {facts['up']!r}, expected the upright axis, one of {', '.join(TURNS)}")
    word = facts.get("level_name", "level")
    if not (isinstance(word, str) and re.fullmatch(r"[a-z]{2,20}", word)):
        raise DataError(f"{path}: level_name is {word!r}, expected one word of small letters, such as style")
    levels, scores = facts.get("levels", ["any"]), facts.get("score_range", [0, 100])
    names = [*levels, *levels.values()] if isinstance(levels, dict) else levels
    if not (isinstance(names, list) and names and all(isinstance(x, str) and x for x in names)):
        raise DataError(f"{path}: levels is {levels!r}, expected a list of names, from lowest to highest")
    numbers = isinstance(scores, list) and len(scores) == 2 and all(type(x) in (int, float) for x in scores)
    if not (numbers and -math.inf < scores[0] < scores[1] < math.inf):
        raise DataError(f"{path}: score_range is {scores!r}, expected the lowest and the highest score, such as [0, 10]")
    return name, facts | {"synthetic": synthetic}


def _json(path: Path) -> dict:
    """The object in a JSON file; DataError if it is none."""
    try:
        facts = json.loads(path.read_bytes())  # of bytes, json finds the encoding
    except (OSError, ValueError) as fault:
        raise DataError(f"{path}: not JSON ({fault})") from None
    if not isinstance(facts, dict):
        raise DataError(f'{path}: expected an object such as {{"name": ..., "synthetic": ...}}')
    return facts


def audio_duration(path: Path) -> float:
    """Length of an audio file in s; DataError if it is not audio or shorter than 1 s."""
    if not path.is_file():
        raise DataError(f"{path}: no such file, expected an audio file (wav, flac, ogg, mp3)")
    try:
        with open_sound(path) as file:
            duration = file.frames / file.samplerate
    except (soundfile.SoundFileError, OSError, TypeError):  # TypeError: a suffix for files without a header
        raise DataError(f"{path}: not readable as audio, expected WAV, FLAC, OGG or MP3") from None
    if not duration >= SHORTEST_MUSIC_S:
        raise DataError(f"{path}: music lasts {duration:.2f} s, expected at least {SHORTEST_MUSIC_S:g} s")
    return duration


def audio_files(folder: Path) -> dict[str, Path]:
    """Audio files of a folder by stem; DataError if two files have the same stem, because either could be meant."""
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix.lower() not in AUDIO_SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise DataError(f"{path}: the same name as {found[path.stem].name}, expected one file per track")
        found[path.stem] = path
    return found


def raise_all(faults: list[DataError]) -> None:
    """Raise the first of several faults, with the others as its notes. Without faults, nothing happens."""
    if faults:
        for other in faults[1:]:
            faults[0].add_note(str(other))
        raise faults[0]
