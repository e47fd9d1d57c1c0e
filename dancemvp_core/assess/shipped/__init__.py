"""What comes with the package: an assessor with its card, and an example recording. ``make ship`` makes all of it from a run."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parent
ASSESSOR, CARD, EXAMPLE = HERE / "assessor.safetensors", HERE / "CARD.md", HERE / "example.json"


def example() -> dict:
    """The example: {motion, music: Path; fps: float; truth: {genre, choreography, level, score, said}}. It is synthetic."""
    facts = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    return facts | {name: HERE / facts[name] for name in ("motion", "music")}
