"""What the labels of a data set are called, in which order its levels are, and in which range its scores are."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from dancemvp_core.style import FURTHER_COLOURS, FURTHER_MARKERS, GREY, LEVEL_COLOURS, LEVEL_MARKERS


@dataclass(frozen=True)
class Levels:
    """The ordered attribute of a data set: its ``names`` from lowest to highest, and the ``word`` for it.

    The word is "level" for levels of skill. A data set may state another one, such as "style" for acted styles, which are no
    skill. All that a reader sees has this word; files keep the column ``level``.
    """

    names: tuple[str, ...] = tuple(LEVEL_COLOURS)
    word: str = "level"

    @classmethod
    def of(cls, dataset) -> Levels:
        """Return those of a DanceDataset."""
        return cls(tuple(dataset.levels), dataset.facts.get("level_name", "level"))

    @property
    def skill(self) -> bool:
        """Whether they are levels of skill, so that the paper's claims on levels can be asked."""
        return self.word == "level"

    @property
    def note(self) -> str:
        """A line for the top of a notebook: what its text calls a level; "" for levels of skill."""
        told = f"{self.plural} ({', '.join(self.names)})"
        return "" if self.skill else f"What the text calls levels are {told} in these data, and no levels of skill.\n"

    def why_no_skill(self, what: str) -> str:
        """Return the sentence that leaves out ``what``, which needs levels of skill; "" if these are."""
        told = f"{self.plural} ({', '.join(self.names)})"
        return "" if self.skill else f"These data have {told}, which are no levels of skill: {what} is left out."

    @property
    def plural(self) -> str:
        """The plural of the word."""
        return f"{self.word[:-1]}ies" if re.search("[^aeiou]y$", self.word) else f"{self.word}s"

    def rank(self, level) -> int:
        """Return the place of a level in the order; unknown ones come last."""
        return self.names.index(level) if level in self.names else len(self.names)

    def sorted(self, found) -> list:
        """Return distinct levels in their order; unknown ones follow by name."""
        return sorted(set(found), key=lambda name: (self.rank(name), str(name)))

    def colour(self, level) -> str:
        """Return a level's colour: the paper's three have theirs everywhere; grey if the level is unknown."""
        return self._usual(LEVEL_COLOURS, FURTHER_COLOURS).get(level, GREY)

    def marker(self, level) -> str:
        """Return a level's marker; a dot if the level is unknown."""
        return self._usual(LEVEL_MARKERS, FURTHER_MARKERS).get(level, "o")

    def _usual(self, papers: dict, further) -> dict:
        return papers if set(self.names) <= set(papers) else dict(zip(self.names, itertools.cycle(further), strict=False))

    def said(self, text: str) -> str:
        """Return a text with the data's word where it says "level"."""
        if self.skill:
            return text
        words = {"level": self.word, "levels": self.plural}
        words |= {name.capitalize(): word.capitalize() for name, word in words.items()}
        return re.sub(r"(?<![A-Za-z])[Ll]evels?(?![A-Za-z])", lambda found: words[found[0]], text)

    def shown(self, table):
        """Return a pandas table with the data's word in its headings and row names, for a reader. None stays None."""
        if table is None or self.skill:
            return table
        said = lambda name: self.said(name) if isinstance(name, str) else name  # noqa: E731
        return table.rename(index=said, columns=said).rename_axis(index=said, columns=said)


@dataclass(frozen=True)
class Scores:
    """The stated range of a data set's scores. All code computes with 0 to 100; a reader sees the stated range."""

    low: float = 0.0
    high: float = 100.0

    @classmethod
    def of(cls, dataset) -> Scores:
        """Return that of a DanceDataset."""
        return cls(*dataset.facts.get("score_range", (0, 100)))

    @property
    def unit(self) -> float:
        """One hundredth of the range, in points of the stated range."""
        return (self.high - self.low) / 100

    @property
    def usual(self) -> bool:
        """Whether the range is 0 to 100."""
        return (self.low, self.high) == (0, 100)

    def shown(self, score):
        """Return a score (a number or an array) of 0 to 100 in the stated range."""
        return self.low + score * self.unit


SKILL = Levels()  # the paper's levels
POINTS = Scores()  # the paper's range
