"""The report as one HTML page, light or dark, that loads nothing from the network; and the writing of all report files.

Numbers and drawings are computed here as plain data. The markup is in ``templates/``. The page shows the dance itself with
the scripts of ``player``: the skeleton, the music, and each beat's verdict on the moving body.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dancemvp_core import files
from dancemvp_core.assess.assessment import MEASURES, UNLIKE, WHY_UNLIKE, dances, points
from dancemvp_core.assess.timeline import WITHIN_S
from dancemvp_core.dance.sequences import DanceSequence, Piece
from dancemvp_core.player import binary, clips, scripts

HERE = Path(__file__).parent
CSS = HERE / "page.css"
LISTED = 5  # number of names with their own bar
NAMES = ("genre", "choreography", "level")


def write(
    out: Path, report: dict, figures: dict, recordings: Sequence[DanceSequence] = (), music: bytes | None = None
) -> list[Path]:
    """Write ``report.html``, ``report.json`` and the figures (name -> matplotlib Figure) to a folder. Returns their paths.

    Each file is replaced as a whole. The page shows the ``recordings``, if they are given, with their ``music`` (``page``).
    """
    text = page(report, recordings, music)  # made first, as the drawings are: if one fails, there is no folder
    for figure in figures.values():
        figure.draw_without_rendering()
    files.write_json(out / "report.json", report)
    files.write_text(out / "report.html", text)
    for name, figure in figures.items():
        files.write_figure(out / f"{name}.png", figure, dpi=160)
    return [out / "report.html", out / "report.json", *(out / f"{name}.png" for name in figures)]


def page(report: dict, recordings: Sequence[DanceSequence] = (), music: bytes | None = None) -> str:
    """The whole page as HTML text.

    ``recordings`` are those of the report, to be shown dancing; ``music`` is a sound file of their music from the offset on.
    """
    parts = report["recordings"]
    dances = [_dance(recording, part["timeline"]) for recording, part in zip(recordings, parts, strict=bool(recordings))]
    template = _environment().get_template("report.html.j2")
    return template.render(
        title="Dance assessment" if len(parts) > 1 else f"Dance assessment: {parts[0]['file']}",
        css=CSS.read_text(encoding="utf-8"),
        synthetic=report["synthetic"],
        music=report["music"],
        recordings=[_recording(part) for part in parts],
        dances=dances,
        sound=None if music is None else base64.b64encode(music).decode("ascii"),
        script=scripts.script(),
        progression=_progression(report) if report["progression"] else None,
        assessor=report["assessor"],
    )


def _environment() -> Environment:
    """The environment of the templates: every value is escaped, and a missing value is an error."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    made.filters |= {"number": format, "percent": _percent}
    made.globals["UNLIKE"] = UNLIKE
    return made


def _percent(p: float) -> str:
    return "<1 %" if p < 0.005 else ">99 %" if p > 0.995 else f"{100 * p:.0f} %"


# --- one recording ---------------------------------------------------------------------------------------------------


def _recording(part: dict) -> dict:
    """A recording's part of the report, with the data for its cards."""
    found = part["recognition"]
    return part | {
        "unlike": bool(found and found["unlike"]),
        "reasons": _reasons(found["distances"]) if found else [],
        "best": [found[name][0] for name in NAMES] if found else [],
        "bars": [{"title": _title(name, found), **_bars(found[name])} for name in NAMES] if found else [],
        "score": _score(part["score"]) if part["score"] else None,
        "accents": len(part["beat_alignment"]["music_peaks_s"]),
        "within_ms": 1000 * WITHIN_S,
        "timeline": _timeline(part["timeline"]) if part["timeline"] else None,
        "nearest": [_neighbour(row) for row in part["nearest"]],
    }


def _title(name: str, found: dict) -> str:
    """The title of an attribute's card: a level has the data's word for it."""
    return (found["level_name"] if name == "level" else name).capitalize()


def _dance(recording: DanceSequence, timeline: dict | None) -> dict:
    """What the player shows of a recording (``player/js/recording.js``): its body at about 50 frames per s, and its beats."""
    whole = Piece(recording, 0, 0.0, recording.duration_s, "recording")
    header, joints = clips.body(whole, clips.frames(whole))
    layout, data = binary.pack({"joints": joints})
    beats = [beat for row in timeline["eights"] for beat in row] if timeline else []
    return {
        "header": header | {"arrays": layout, "recorded_per_s": 1.0},
        "joints": base64.b64encode(data).decode("ascii"),
        "skeleton": clips.drawn_skeleton(recording.skeleton),
        "beats": [{name: beat[name] for name in ("time_s", "verdict", "offset_ms")} for beat in beats],
    }


def _reasons(distances: dict) -> list[str]:
    return [WHY_UNLIKE[kind] for kind, d in distances.items() if d["value"] > d["threshold"]]


def _bars(rows: list[dict]) -> dict:
    """The most likely names, and the number and total probability of the others."""
    others = rows[LISTED:]
    return {"rows": rows[:LISTED], "others": len(others), "rest": sum(row["probability"] for row in others)}


def _score(score: dict) -> dict:
    """The numbers of the score, and its density as SVG points in a box of ``width`` x ``height``."""
    width, height, base = 320, 120, 100
    top = max(d for _, d in score["curve"])
    bottom, full = score["range"]
    x = lambda s: 10 + (width - 20) * (s - bottom) / (full - bottom)  # noqa: E731
    y = lambda d: base - 84 * d / top  # noqa: E731
    low, high = score["low_90"], score["high_90"]
    inside = [(x(s), y(d)) for s, d in score["curve"] if low <= s <= high]
    return score | {
        "width": width,
        "height": height,
        "base": base,
        "line": _points((x(s), y(d)) for s, d in score["curve"]),
        "area": _points([(x(low), base), *inside, (x(high), base)]),
        "at": x(score["mean"]),
        "ticks": [(x(s), f"{s:g}") for s in np.linspace(bottom, full, 5)],
        "said": {name: points(score, name) for name in ("mean", "low_90", "high_90")},
    }


def _points(pairs) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in pairs)


def _timeline(timeline: dict) -> dict:
    """The timeline with the content of each beat's cell, and the median offset in words."""
    typical = timeline["median_offset_ms"]
    words = "" if typical is None else f"{abs(typical):.0f} ms {'early' if typical < 0 else 'late'}"
    return timeline | {"typical": words, "eights": [[_beat(beat) for beat in row] for row in timeline["eights"]]}


def _beat(beat: dict) -> dict:
    """A beat with its offset as text, and its place in percent of the axis; None if it is missed."""
    offset = beat["offset_ms"]
    if offset is None:
        return beat | {"number": "–", "place": None}
    reach = max(-1.0, min(1.0, offset / (1000 * WITHIN_S)))
    return beat | {"number": f"{offset:+.0f}".replace("-", "−"), "place": 50 + 50 * reach}


def _neighbour(row: dict) -> dict:
    """A reference performance with its numbers as text, empty if unknown."""
    return row | {
        "trial": "" if row["trial"] is None else str(int(row["trial"]) + 1),
        "score": "" if row["score"] is None else f"{row['score']:.3g}",
        "bar": "" if row["bar"] is None else f"{row['bar']:.0f} %",
    }


# --- several recordings ----------------------------------------------------------------------------------------------


def _progression(report: dict) -> dict:
    """The choreographies of the recordings, and a drawing of each known measure."""
    measures = report["progression"]
    known = {name: title for name, title in MEASURES.items() if measures[name]["n"]}
    return {
        "dances": dances(report["recordings"]),
        "measures": [{"title": title, **_trend(measures[name])} for name, title in known.items()],
    }


def _trend(measure: dict) -> dict:
    """The values as SVG circles in a box of ``width`` x ``height``, with the straight line if there is a trend."""
    width, height, left, base = 320, 130, 34, 108
    count = len(measure["values"])
    known = [(i, v) for i, v in enumerate(measure["values"]) if v is not None]
    low, high = min(v for _, v in known), max(v for _, v in known)
    room = max(high - low, 1.0) * 0.15
    bottom, top = low - room, high + room
    x = lambda i: left + (width - left - 12) * (i + 0.5) / count  # noqa: E731
    y = lambda v: base - (base - 8) * (v - bottom) / (top - bottom)  # noqa: E731
    ends = _ends(known, measure["slope"])
    return {
        "width": width,
        "height": height,
        "left": left,
        "base": base,
        "dots": [(x(i), y(v)) for i, v in known],
        "ticks": [(x(i), i + 1) for i in range(count)],
        "sides": [(y(v) + 4, v) for v in (low, high)],
        "line": _points((x(i), y(max(bottom, min(top, v)))) for i, v in ends),
        "words": _trend_in_words(measure),
    }


def _ends(known: list[tuple[int, float]], slope: float | None) -> list[tuple[int, float]]:
    """First and last point of the straight line through the known values; empty without a trend."""
    if slope is None:
        return []
    middle, mean = (sum(column) / len(known) for column in zip(*known, strict=True))
    return [(i, mean + slope * (i - middle)) for i in (known[0][0], known[-1][0])]


def _trend_in_words(measure: dict) -> str:
    if measure["slope"] is None:
        return "A trend needs three recordings."
    sure = "" if measure["low"] <= 0 <= measure["high"] else " The interval excludes zero."
    return f"{measure['slope']:+.1f} per recording, 95 % interval {measure['low']:+.1f} to {measure['high']:+.1f}.{sure}"
