"""The scripts of the player in the browser. Files of one script share one scope, so they are joined and not imported."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

JS = Path(__file__).parent / "js"
# A dance alone: from the small things to what puts them together. The explorer uses all but the last (``explorer.widget``).
PARTS = ("basics", "data", "stage", "music", "player", "recording")


def joined(files: Iterable[Path]) -> str:
    """The files as one text."""
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def script() -> str:
    """All that runs on the page of an assessment, as one ES module without exports."""
    return joined(JS / f"{part}.js" for part in PARTS)
