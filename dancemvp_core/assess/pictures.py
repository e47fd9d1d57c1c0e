"""Figures for print: one recording's assessment, the progression of several recordings, and the assessor's calibration."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dancemvp_core.assess.assessment import MEASURES, UNLIKE, points, trend
from dancemvp_core.dance import rhythm
from dancemvp_core.dance.sequences import DanceSequence
from dancemvp_core.labels import SKILL, Levels
from dancemvp_core.style import BLACK, BLUE, GREEN, GREY, PAGE_IN, PURPLE, SKY, VERMILION, badge, styled

VERDICT_COLOURS = {"hit": GREEN, "early": BLUE, "late": VERMILION, "missed": BLACK, "free": GREY}
LISTED = 4


def all_of(report: dict, recordings: list[DanceSequence]) -> dict[str, Figure]:
    """All figures by file name. One recording: ``report``.

    Several recordings: ``report`` is the progression, and ``recording-01``, ``recording-02``, ... are the recordings.
    """
    parts = report["recordings"]
    figures = [assessment(part, recording, report["synthetic"]) for part, recording in zip(parts, recordings, strict=True)]
    if len(parts) == 1:
        return {"report": figures[0]}
    numbered = {f"recording-{n:02d}": figure for n, figure in enumerate(figures, 1)}
    return {"report": progression(report["progression"], report["synthetic"])} | numbered


@styled
def assessment(part: dict, recording: DanceSequence, synthetic: bool) -> Figure:
    """One recording: probabilities, score distribution, motion intensity with the beats, and the offset of each beat."""
    figure = plt.figure(figsize=(PAGE_IN, 4.9))
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.35))
    axes = upper.subplots(1, 4, width_ratios=(1, 1, 1, 1.35))
    found = part["recognition"]
    for ax, name in zip(axes, ("genre", "choreography", "level"), strict=False):
        _bars(ax, name, found)
        if found and name == "level":
            ax.set_title(found["level_name"], loc="left")
    _score(axes[3], part["score"])
    curve_ax, beat_ax = lower.subplots(2, 1, sharex=True, height_ratios=(1, 1))
    _intensity(curve_ax, part, recording)
    _beats(beat_ax, part["timeline"], part["duration_s"])
    title = part["file"] + (f": {UNLIKE[0].lower()}{UNLIKE[1:]}" if found and found["unlike"] else "")
    figure.text(0.01, 0.995, title, fontsize=8, va="top")
    upper.get_layout_engine().set(rect=(0, 0, 1, 0.97))
    _reference_badge(figure, synthetic)
    return figure


def _reference_badge(figure: Figure, synthetic: bool) -> None:
    """State that the reference performances are synthetic; the recording itself may be real."""
    if synthetic:
        text = "reference performances are synthetic"
        figure.text(0.995, 0.995, text, ha="right", va="top", fontsize=7, color=GREY, style="italic")


def _empty(ax, text: str) -> None:
    ax.text(0.5, 0.5, text, ha="center", va="center", color=GREY, fontsize=7, transform=ax.transAxes)
    ax.set(xticks=(), yticks=())
    ax.spines[["left", "bottom"]].set_visible(False)


def _bars(ax, name: str, found: dict | None) -> None:
    ax.set_title(name, loc="left")
    if not found:
        return _empty(ax, "switched off")
    rows = found[name][:LISTED]
    places = np.arange(len(rows))
    ax.barh(places, [100 * r["probability"] for r in rows], color=GREY if found["unlike"] else BLUE, height=0.55)
    ax.set_yticks(places, [r["name"] for r in rows])
    ax.set(xlim=(0, 100), xticks=(0, 50, 100), xlabel="probability (%)", ylim=(LISTED - 0.4, -0.6))
    ax.tick_params(axis="y", length=0)
    return None


def _score(ax, score: dict | None) -> None:
    ax.set_title("score", loc="left")
    if not score:
        return _empty(ax, "not given")
    x, y = np.array(score["curve"]).T
    inside = (x >= score["low_90"]) & (x <= score["high_90"])
    ax.fill_between(x, y, where=inside, color=SKY, alpha=0.4, lw=0)
    ax.plot(x, y, color=BLUE)
    ax.axvline(score["mean"], color=BLACK, lw=0.8)
    text = f"{points(score, 'mean')} [{points(score, 'low_90')}, {points(score, 'high_90')}]"
    ax.set(yticks=(), xlim=score["range"], xticks=np.linspace(*score["range"], 5), ylim=(0, None))
    ax.set_xlabel(f"expected [90 %]: {text}")
    ax.spines["left"].set_visible(False)
    return None


def _intensity(ax, part: dict, recording: DanceSequence) -> None:
    aligned = part["beat_alignment"]
    intensity = rhythm.smoothed(rhythm.motion_intensity(recording.motion, recording.fps), recording.fps)
    times = np.arange(len(intensity)) / recording.fps
    curve = intensity / max(intensity.max(), 1e-12)
    for time in aligned["music_peaks_s"]:
        ax.axvspan(time - rhythm.TOLERANCE_S, time + rhythm.TOLERANCE_S, color=SKY, alpha=0.25, lw=0)
    ax.plot(times, curve, color=BLACK, lw=0.8)
    peaks = np.array(aligned["motion_peaks_s"])
    ax.plot(peaks, np.interp(peaks, times, curve), "o", color=GREEN, ms=3)
    rate = "no accents in the music"
    if aligned["bar"] is not None:
        rate = f"BAR {aligned['bar']:.0f} %, chance {aligned['chance']:.0f} % (p = {aligned['p']:.2f})"
    ax.set_title(f"motion intensity, its peaks, and the music's accents (±0.2 s): {rate}", loc="left")
    ax.set(xlim=(0, part["duration_s"]), yticks=(), ylim=(0, 1.1))


def _beats(ax, timeline: dict | None, duration_s: float) -> None:
    if not timeline:
        return _empty(ax, "no steady beat")
    beats = [beat for row in timeline["eights"] for beat in row]
    reach = 1000 * rhythm.TOLERANCE_S
    ax.axhspan(-70, 70, color=GREEN, alpha=0.12, lw=0)
    for row in timeline["eights"]:
        ax.axvline(row[0]["time_s"], color=GREY, lw=0.6, ls=(0, (3, 2)))
    for beat in beats:
        colour, offset = VERDICT_COLOURS[beat["verdict"]], beat["offset_ms"]
        if offset is None:
            ax.plot(beat["time_s"], -reach * 1.12, "x", color=colour, ms=4)
        else:
            ax.plot([beat["time_s"]] * 2, [0, offset], color=colour, lw=1)
            ax.plot(beat["time_s"], offset, "o", color=colour, ms=3.5)
    counts = ", ".join(f"{timeline[word]} {word}" for word in VERDICT_COLOURS)
    ax.set_title(f"each beat: {counts} (dashed: count one; ×: no accent of the body)", loc="left")
    ax.set(xlim=(0, duration_s), ylim=(-reach * 1.25, reach * 1.1), xlabel="time in the recording (s)")
    ax.set_ylabel("early  ←  ms  →  late")
    ax.set_yticks((-200, -70, 0, 70, 200))
    return None


@styled
def progression(measures: dict, synthetic: bool) -> Figure:
    """Each measure against the number of the recording, with its trend and the 95 % interval of the slope."""
    shown = {name: title for name, title in MEASURES.items() if measures[name]["n"]}
    figure, axes = plt.subplots(1, len(shown), figsize=(PAGE_IN, 2.2), squeeze=False)
    for ax, (name, title) in zip(axes[0], shown.items(), strict=True):
        values = np.array([np.nan if v is None else v for v in measures[name]["values"]], dtype=float)
        number = np.arange(1, len(values) + 1)
        ax.plot(number, values, "o", color=BLUE, ms=4)
        slope_text, fitted = "a trend needs three recordings", trend(measures[name]["values"])
        if fitted:
            middle = (len(values) + 1) / 2
            for slope, style in ((fitted.slope, "-"), (fitted.low, ":"), (fitted.high, ":")):
                ax.plot(number, fitted.at_mean + slope * (number - middle), color=VERMILION, lw=1, ls=style)
            slope_text = f"{fitted.slope:+.1f} per recording [{fitted.low:+.1f}, {fitted.high:+.1f}]"
        ax.set_title(f"{title}\n{slope_text}", loc="left")
        ax.set(xlabel="recording", xticks=number if len(number) <= 12 else None, xlim=(0.5, len(values) + 0.5))
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.94))
    _reference_badge(figure, synthetic)
    return figure


_SET_LOOK = ((BLACK, "o"), (BLUE, "s"), (VERMILION, "^"))


@styled
def reliability(
    curves: dict[str, dict[str, tuple[pd.DataFrame, float]]], synthetic: bool, levels: Levels = SKILL
) -> Figure:
    """Stated against measured probability: {attribute: {set: ``calibration.reliability``}}.

    The area of a marker is its share of the performances.
    """
    figure, axes = plt.subplots(1, len(curves), figsize=(PAGE_IN, 2.5), sharey=True, squeeze=False)
    for ax, (attribute, sets) in zip(axes[0], curves.items(), strict=True):
        ax.plot([0, 1], [0, 1], color=GREY, lw=0.7, ls=(0, (3, 2)))
        for i, ((name, (bins, error)), (colour, marker)) in enumerate(zip(sets.items(), _SET_LOOK, strict=False)):
            share = bins["performances"] / bins["performances"].sum()
            ax.plot(bins["confidence"], bins["right"], color=colour, lw=0.6, alpha=0.6)
            ax.scatter(bins["confidence"], bins["right"], s=8 + 90 * share, color=colour, marker=marker, lw=0, alpha=0.85)
            ax.text(0.03, 0.97 - 0.085 * i, f"{name}: ECE {error:.1f}", color=colour, fontsize=7, va="top", transform=ax.transAxes)
        ax.set_title(levels.said(attribute), loc="left")
        ax.set(xlim=(0, 1.03), ylim=(0, 1.38), yticks=(0, 0.5, 1), xticks=(0, 0.5, 1), xlabel="stated probability")
    axes[0][0].set_ylabel("share right")
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.95))
    badge(figure, synthetic)
    return figure


@styled
def thresholds(seen: pd.DataFrame, chosen: dict[str, float], synthetic: bool) -> Figure:
    """The threshold of each distance, with the cumulative shares of known and out-of-distribution performances on validation."""
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_IN, 2.4), sharey=True)
    looks = {"known": GREY, "another dancer": BLUE, "another dance": VERMILION, "other music": PURPLE}
    for ax, (kind, threshold) in zip(axes, chosen.items(), strict=True):
        for name, colour in looks.items():
            values = np.sort(seen.loc[seen["kind"] == name, kind].to_numpy())
            ax.step(values, 100 * np.arange(1, len(values) + 1) / max(len(values), 1), color=colour, where="post", label=name)
        ax.axvline(threshold, color=BLACK, lw=0.8)
        ax.annotate(f" {threshold:.2f}", (threshold, 4), fontsize=7)
        ax.set(ylim=(0, 102), xlim=(0, None), xlabel=f"{kind}: cosine distance", yticks=(0, 50, 100))
    axes[0].set_ylabel("performances up to it (%)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.95))
    badge(figure, synthetic)
    return figure
