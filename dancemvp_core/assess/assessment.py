"""The report on recordings: the content of the JSON file, which page and pictures show.

The report is a dict (times in s on the recording's clock; rates and probabilities in the units given here):

- ``format``; ``synthetic``: whether the reference performances are synthetic; ``assessor``: see ``assessor_summary``, with
  ``named``, which assessor it is, and ``card``, its model card;
- ``music``: {file, offset_s};
- ``recordings``, one each: {file, skeleton, frames, fps, duration_s, tempo_bpm, notes [sentence],
  ``recognition``, ``score``, ``nearest``, ``beat_alignment``, ``timeline``}:

  - ``recognition`` (None if it is switched off, with a note): {``unlike``: bool, ``distances``: {features, posture:
    {value, threshold}}, genre, choreography, level: [{name, probability}] in falling order, ``eights``: [{start_s, end_s,
    primitives: [{name, probability}]}]}. If ``unlike`` is true, the recording is out-of-distribution: the answer is "unlike
    anything I was trained on", and the other values are only the most likely known dance;
  - ``score`` (None if unknown or ``unlike``): {mean, low_90, high_90, range: [lowest, highest], curve: [[score, density]]};
  - ``nearest``: [{genre, choreography, level, trial, score, bar, distance}], reference performances, the nearest first;
  - ``beat_alignment``: {bar, chance, chance_low, chance_high in percent, p, corrected, f70, matched, lag_ms, lag_p, warning,
    music_peaks_s, motion_peaks_s}: the paper's BAR for the accents of the music (onset peaks), what it is by chance
    (``chance.by_shifts``), the best lag (``chance.any_lag``), and a sentence if music and motion do not go together;
  - ``timeline`` (None if no steady beat is found): {beat_s, hit, early, late, missed, free, beats, median_offset_ms,
    mean_abs_offset_ms, with_accent and with_accent_chance in percent, eights: [[{count, time_s, verdict, offset_ms, strong}]]}.
    A beat without an accent of the body is missed if the music has an accent there, and else free;

- ``progression`` (None for one recording): {measure: {values, slope, low, high, n}}: the change from one recording to the
  next with its 95 % interval (None below three recordings).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from dancemvp_core import files
from dancemvp_core.assess import card
from dancemvp_core.assess import timeline as beats
from dancemvp_core.assess.assessor import Assessor, score_distribution
from dancemvp_core.assess.recording import Analysis
from dancemvp_core.dance import chance, primitives, rhythm
from dancemvp_core.dance.orientation import to_front
from dancemvp_core.dance.sequences import DanceSequence

FORMAT = "dancemvp-assessment-2"
UNLIKE = "Unlike anything I was trained on"
WHY_UNLIKE = {
    "features": "music and motion together are farther from every reference performance than is usual for a new dancer",
    "posture": "the poses do not match the most similar choreography",
}
MEASURES = {"bar": "BAR (%)", "score": "score", "timing_ms": "distance from the beat (ms)"}


@dataclass(frozen=True)
class Trend:
    """A straight line through the values of recordings 1..n: the change from one recording to the next, with a 95 % interval."""

    slope: float
    low: float
    high: float
    at_mean: float

    def line(self, x: np.ndarray, n: int) -> np.ndarray:
        """The values of the line at recordings ``x`` (counted from 1)."""
        return self.at_mean + self.slope * (x - (n + 1) / 2)


def trend(values: list[float]) -> Trend | None:
    """Least-squares line over the order of the recordings, with Student's interval of the slope; None below three known values."""
    y = np.array([np.nan if v is None else v for v in values], dtype=float)
    x = np.arange(1, len(y) + 1, dtype=float)
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    if len(y) < 3:
        return None
    from scipy.stats import t as student_t  # the import takes almost a second, and only several recordings need it

    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    rest = y - y.mean() - slope * centred
    half = float(student_t.ppf(0.975, len(y) - 2) * np.sqrt(rest @ rest / (len(y) - 2) / (centred @ centred)))
    at_middle = float(y.mean() + slope * ((len(values) + 1) / 2 - x.mean()))
    return Trend(slope, slope - half, slope + half, at_middle)


def report(recordings: list[DanceSequence], heard: list[Analysis], assessor: Assessor, named: str = "") -> dict:
    """The report on recordings of one choreography, in the order of dancing.

    ``heard`` is the analysis of each recording (``recording.analyse``); ``named`` says which assessor it is. Returns the dict of
    the module's docstring.
    """
    parts = [assess(recording, own, assessor) for recording, own in zip(recordings, heard, strict=True)]
    first = recordings[0]
    return {
        "format": FORMAT,
        "synthetic": assessor.facts["synthetic"],
        "assessor": assessor_summary(assessor, named),
        "music": {"file": files.shown(first.music), "offset_s": first.music_offset_s},
        "recordings": parts,
        "progression": progression(parts) if len(parts) > 1 else None,
    }


def assessor_summary(assessor: Assessor, named: str = "") -> dict:
    """The trained part: which one it is (``named``), its data, its candidates, its measured performance, and its card."""
    facts = assessor.facts
    keys = ("dataset", "synthetic", "profile", "support_performances", "switched_off", "measured")
    return {k: facts.get(k) for k in keys} | {
        "choreographies": sorted(assessor.classes["choreography"].unique().tolist()),
        "skeleton": assessor.skeleton.name,
        "level_name": facts.get("level_name", "level"),
        "named": named,
        "card": card.card(assessor),
    }


def assess(recording: DanceSequence, heard: Analysis, assessor: Assessor) -> dict:
    """One recording's part of the report."""
    duration = recording.duration_s
    notes = [*recording.notes, *assessor.facts["switched_off"]]
    analysis, measured = heard
    grid = beats.beat_grid(analysis.beats_s, duration, assessor.facts["longest_beat_s"])
    eights = beats.eights(grid, duration)
    if grid is None:
        notes.append("no steady beat in the music: the timeline is left out, and the recording is cut into pieces of 3 s")
        eights = primitives.eight_beats([], duration, None)
    elif not eights:
        notes.append("no complete eight beats in the recording: recognition and score are left out")
    if not len(measured["music_peaks"]):
        notes.append("no accents in the music: BAR is left out")
    if not len(measured["motion_peaks"]):
        notes.append("no accents in the motion: its intensity has no prominent peak")
    part = {
        "file": files.shown(recording.source),
        "skeleton": recording.skeleton.name,
        "frames": recording.motion.shape[1],
        "fps": recording.fps,
        "duration_s": duration,
        "tempo_bpm": analysis.tempo_bpm,
        "notes": notes,
        **recognise_and_score(recording, analysis, eights, assessor, notes),
        "beat_alignment": _alignment(measured, duration),
        "timeline": None if grid is None else _timeline(grid, measured, duration),
    }
    return part


def recognise_and_score(recording: DanceSequence, analysis, eights, assessor: Assessor, notes: list[str]) -> dict:
    """{recognition, score, nearest}. What is switched off is None (or empty) and adds its sentence to ``notes``."""
    switched_off = {"recognition": None, "score": None, "nearest": []}
    motion = assessor.body(recording.motion, recording.skeleton)
    if motion is None:
        notes.append(
            f"the skeleton {recording.skeleton.name} lacks joints of {assessor.skeleton.name}, the skeleton of the assessor: "
            "recognition and score are left out"
        )
    if motion is None or not eights:
        return switched_off
    fps, times = recording.fps, analysis.feature_times_s
    motion = np.einsum("ij,jtv->itv", to_front(motion, assessor.skeleton, fps), motion)
    body = torch.stack([assessor.motion_piece(motion, fps, a, b) for a, b in eights])
    sound = torch.stack([assessor.music_piece(analysis.features[:, (times >= a) & (times < b)]) for a, b in eights])
    hidden = assessor.hidden(body, sound, torch.tensor([b - a for a, b in eights], dtype=torch.float32))
    found = assessor.recognise(hidden)
    distances = assessor.distances(hidden, body, found)
    unlike = assessor.beyond_thresholds(distances)
    recognition = {
        "unlike": bool(unlike),
        "distances": {k: {"value": v, "threshold": assessor.facts["thresholds"][k]} for k, v in distances.items()},
        **{name: ranked(found.of(name)) for name in ("genre", "choreography", "level")},
        "level_name": assessor.facts.get("level_name", "level"),
        "eights": [
            {
                "start_s": a,
                "end_s": b,
                "primitives": [{"name": f"move {k + 1}", "probability": float(p)} for k, p in enumerate(row)],
            }
            for (a, b), row in zip(eights, found.primitives, strict=True)
        ],
    }
    score = None
    if "score.values" in assessor.tensors and not unlike:
        score = score_distribution(*assessor.score(hidden), assessor.score_range)
    nearest = assessor.nearest(hidden).astype(object)
    return {
        "recognition": recognition,
        "score": score,
        "nearest": nearest.where(nearest.notna(), None).to_dict("records"),
    }


def ranked(probabilities) -> list[dict]:
    """A series of probabilities as [{name, probability}], in its order."""
    return [{"name": str(name), "probability": float(p)} for name, p in probabilities.items()]


_ALIGNMENT = {
    "bar": "bar", "chance": "bar_chance", "chance_low": "bar_chance_low", "chance_high": "bar_chance_high", "p": "bar_p",
    "corrected": "bar_corrected", "f70": "f70",
}  # fmt: skip


def _alignment(measured: dict, duration: float) -> dict:
    out = {name: float(measured[key]) if np.isfinite(measured[key]) else None for name, key in _ALIGNMENT.items()}
    peaks = measured["music_peaks"], measured["motion_peaks"]
    lagged = chance.any_lag(*peaks, duration)
    out |= {"lag_ms": 1000 * lagged.lag_s, "lag_p": lagged.p} if lagged else {"lag_ms": None, "lag_p": None}
    out |= {"matched": len(rhythm.match_peaks(*peaks)), "warning": _out_of_time(out)}
    return out | {f"{kind}_s": [float(t) for t in measured[kind]] for kind in ("music_peaks", "motion_peaks")}


def _out_of_time(aligned: dict) -> str | None:
    """A sentence if music and motion do not go together, or only at another lag; None if they do or too little is known."""
    if aligned["bar"] is None or aligned["lag_p"] is None or aligned["p"] <= chance.ALPHA:
        return None
    if aligned["lag_p"] > chance.ALPHA:
        return (
            "Music and motion show no alignment at any lag: is this the music that was danced to? "
            "Do not rely on what is said about the beat."
        )
    if abs(aligned["lag_ms"]) > 1000 * beats.WITHIN_S:
        side = "behind" if aligned["lag_ms"] > 0 else "ahead of"
        return (
            f"The motion goes with the music only if it is taken to be {abs(aligned['lag_ms']):.0f} ms {side} it: "
            "does the music start where --offset says?"
        )
    return None


def _timeline(grid: np.ndarray, measured: dict, duration: float) -> dict:
    rows = beats.timeline(grid, measured["motion_peaks"], measured["music_peaks"], duration)
    flat = [beat for row in rows for beat in row]
    eights = [
        [
            {
                "count": beat.count,
                "time_s": beat.time_s,
                "verdict": beat.verdict,
                "offset_ms": None if beat.offset_s is None else 1000 * beat.offset_s,
                "strong": beat.strong,
            }
            for beat in row
        ]
        for row in rows
    ]
    spacing = float(np.mean(np.diff(grid)))
    return {"beat_s": spacing} | beats.summary(flat, measured["motion_peaks"], duration) | {"eights": eights}


def progression(parts: list[dict]) -> dict:
    """The values of each measure over the recordings, and its trend."""
    values = {
        "bar": [part["beat_alignment"]["bar"] for part in parts],
        "score": [part["score"] and part["score"]["mean"] for part in parts],
        "timing_ms": [part["timeline"] and part["timeline"]["mean_abs_offset_ms"] for part in parts],
    }
    out = {}
    for name, column in values.items():
        fitted = trend(column)
        known = sum(v is not None for v in column)
        line = {"slope": None, "low": None, "high": None} if fitted is None else vars(fitted)
        out[name] = {"values": column, "n": known} | {k: line[k] for k in ("slope", "low", "high")}
    return out


def dances(parts: list[dict]) -> list[str]:
    """The most likely choreography of each recording, without repetition; out-of-distribution recordings are left out."""
    found = [p["recognition"]["choreography"][0]["name"] for p in parts if p["recognition"] and not p["recognition"]["unlike"]]
    return list(dict.fromkeys(found))


def points(score: dict, name: str) -> str:
    """A number of a score distribution as text: with one decimal place where the range is less than 50 wide."""
    low, high = score["range"]
    return f"{score[name]:.{0 if high - low >= 50 else 1}f}"


def headline(part: dict) -> list[str]:
    """A recording's result as a few lines of plain text."""
    lines = []
    if part["recognition"]:
        found = part["recognition"]
        best = {name: found[name][0] for name in ("genre", "choreography", "level")}
        likeliest = ", ".join(f"{best[n]['name']} {100 * best[n]['probability']:.0f} %" for n in best)
        if found["unlike"]:
            why = [WHY_UNLIKE[k] for k, d in found["distances"].items() if d["value"] > d["threshold"]]
            lines.append(f"{UNLIKE}: {'; '.join(why)}. (The most likely known dance: {likeliest}.)")
        else:
            lines.append(f"Most likely {likeliest}.")
    if part["score"]:
        s = part["score"]
        low, high = s["range"]
        of = f"of {high:g}" if low == 0 else f"on {low:g} to {high:g}"
        lines.append(f"Score {points(s, 'mean')}, 90 % interval {points(s, 'low_90')} to {points(s, 'high_90')} {of}.")
    aligned = part["beat_alignment"]
    if aligned["bar"] is not None:
        accents, reached = len(aligned["music_peaks_s"]), f"{aligned['chance_low']:.0f} to {aligned['chance_high']:.0f} %"
        by_chance = f"by chance {aligned['chance']:.0f} %, range {reached}, p = {aligned['p']:.2f}"
        answered = f"The body answers {aligned['matched']} of the music's {accents} accents"
        lines.append(f"{answered}: BAR {aligned['bar']:.0f} % ({by_chance}).")
    if aligned["warning"]:
        lines.append(f"WARNING: {aligned['warning']}")
    if part["timeline"]:
        t = part["timeline"]
        typical = f" The median offset is {t['median_offset_ms']:+.0f} ms." if t["median_offset_ms"] is not None else ""
        counts = f"{t['hit']} are hit, {t['early']} early, {t['late']} late, {t['missed']} missed"
        free = f", and {t['free']} are free (neither body nor music has an accent there)"
        lines.append(f"Of {t['beats']} beats, {counts}{free}.{typical}")
    return lines + [f"Note: {note}." for note in part["notes"]]
