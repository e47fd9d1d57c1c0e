"""The report as one HTML page, light or dark, that asks nothing of the network; and all three files, written together."""

from __future__ import annotations

import html
from pathlib import Path

from dancemvp_core import files
from dancemvp_core.assess.assessment import MEASURES, UNLIKE, WHY_UNLIKE, dances
from dancemvp_core.assess.timeline import WITHIN_S

CSS = Path(__file__).with_name("page.css")
LISTED = 5  # names with a bar of their own
SETS = {"test": "held-out performances of the test choreographies", "unseen dancers": "performances by dancers never seen"}
NAMES = {"genre": "Genre", "choreography": "Choreography", "level": "Level"}


def write(out: Path, report: dict, figures: dict) -> list[Path]:
    """Write ``report.html``, ``report.json`` and the figures (name -> matplotlib Figure) to a folder, each replaced whole."""
    text = page(report)  # made first: whatever fails in it leaves the folder as it was
    files.write_json(out / "report.json", report)
    files.write_text(out / "report.html", text)
    for name, figure in figures.items():
        files.write_figure(out / f"{name}.png", figure, dpi=160)
    return [out / "report.html", out / "report.json", *(out / f"{name}.png" for name in figures)]


def page(report: dict) -> str:
    """The whole page as text."""
    parts = report["recordings"]
    title = "Dance assessment" if len(parts) > 1 else f"Dance assessment: {parts[0]['file']}"
    badge = '<span class="badge">reference performances are synthetic</span>' if report["synthetic"] else ""
    body = [f"<h1>{_e(title)}{badge}</h1>"]
    if report["progression"]:
        body.append(_progression(report))
        for number, part in enumerate(parts, 1):
            shown = " open" if number == len(parts) else ""
            summary = f"<summary><b>{number}. {_e(part['file'])}</b> {_answer(part)}</summary>"
            body.append(f'<details class="take"{shown}>{summary}{_recording(part, report)}</details>')
    else:
        body.append(f'<p class="answer">{_answer(parts[0])}</p>{_recording(parts[0], report)}')
    body.append(_about(report["assessor"]))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_e(title)}</title><style>\n{CSS.read_text(encoding='utf-8')}</style></head>\n"
        f"<body><main>\n{chr(10).join(body)}\n</main></body></html>\n"
    )


def _e(value) -> str:
    return html.escape(str(value))


def _percent(p: float) -> str:
    return "&lt;1 %" if p < 0.005 else "&gt;99 %" if p > 0.995 else f"{100 * p:.0f} %"


def _card(title: str, body: str, kind: str = "") -> str:
    return f'<section class="card {kind}"><h3>{title}</h3>{body}</section>'


def _recording(part: dict, report: dict) -> str:
    facts = (
        f"{_e(part['skeleton'])}, {part['frames']} frames at {part['fps']:.4g} per second, {part['duration_s']:.1f} s; "
        f"music {_e(report['music']['file'])} from {report['music']['offset_s']:g} s, {part['tempo_bpm']:.0f} BPM"
    )
    cards = []
    found = part["recognition"]
    if found:
        doubt = "doubt" if found["unlike"] else ""
        cards += [_card(NAMES[name], _bars(found[name]), doubt) for name in NAMES]
        cards.append(_card("Moves, eight by eight", _moves(found["eights"]), doubt))
    if part["score"]:
        cards.append(_card("Score", _score(part["score"])))
    cards.append(_card("On the beat", _bar_rate(part["beat_alignment"])))
    if part["timeline"]:
        cards.append(_card("Beat by beat", _timeline(part["timeline"]), "wide"))
    if part["nearest"]:
        cards.append(_card("Nearest reference performances", _nearest(part["nearest"]), "wide"))
    notes = "".join(f'<p class="small">Note: {_e(note)}.</p>' for note in part["notes"])
    return f'<p class="facts">{facts}</p>{notes}<div class="grid">\n' + "\n".join(cards) + "\n</div>"


def _answer(part: dict) -> str:
    found, score = part["recognition"], part["score"]
    told = []
    if found and found["unlike"]:
        why = "; ".join(WHY_UNLIKE[k] for k, d in found["distances"].items() if d["value"] > d["threshold"])
        told.append(f'<span class="no">{UNLIKE}</span>: {why}. What would have been said stands below, paler.')
    elif found:
        best = [found[name][0] for name in NAMES]
        told.append("Most likely " + ", ".join(f"<b>{_e(b['name'])}</b> ({_percent(b['probability'])})" for b in best) + ".")
    if score:
        told.append(f"Score <b>{score['mean']:.0f}</b> (90 %: {score['low_90']:.0f} to {score['high_90']:.0f}).")
    aligned = part["beat_alignment"]
    if aligned["bar"] is not None:
        told.append(f"On the beat <b>{aligned['bar']:.0f} %</b>, where chance gives {aligned['chance']:.0f} %.")
    return " ".join(told) or "Nothing can be said of this recording; the notes say why."


def _bars(rows: list[dict]) -> str:
    cells = "".join(
        f'<span>{_e(r["name"])}</span><u><i style="width:{100 * r["probability"]:.1f}%"></i></u>'
        f"<span>{_percent(r['probability'])}</span>"
        for r in rows[:LISTED]
    )
    rest = len(rows) - LISTED
    more = f'<p class="small">{rest} others: {_percent(sum(r["probability"] for r in rows[LISTED:]))}</p>' if rest > 0 else ""
    return f'<div class="bars">{cells}</div>{more}'


def _moves(eights: list[dict]) -> str:
    rows = []
    for i, eight in enumerate(eights, 1):
        cells = "".join(f'<td class="n">{_percent(p["probability"])}</td>' for p in eight["primitives"])
        rows.append(f'<tr><td>{i}</td><td class="n">{eight["start_s"]:.1f}–{eight["end_s"]:.1f} s</td>{cells}</tr>')
    names = "".join(f'<th class="n">{_e(p["name"])}</th>' for p in eights[0]["primitives"])
    return f'<table><tr><th>eight</th><th class="n">time</th>{names}</tr>{"".join(rows)}</table>'


def _score(score: dict) -> str:
    width, height, base = 320, 120, 100
    top = max(d for _, d in score["curve"])
    x = lambda s: 10 + (width - 20) * s / 100  # noqa: E731
    y = lambda d: base - 84 * d / top  # noqa: E731
    curve = [(x(s), y(d)) for s, d in score["curve"]]
    low, high = score["low_90"], score["high_90"]
    inside = [(x(s), y(d)) for s, d in score["curve"] if low <= s <= high]
    area = " ".join(f"{a:.1f},{b:.1f}" for a, b in [(x(low), base), *inside, (x(high), base)])
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in curve)
    ticks = "".join(f'<text x="{x(s):.0f}" y="116" text-anchor="middle">{s}</text>' for s in (0, 25, 50, 75, 100))
    at = x(score["mean"])
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="score distribution">'
        f'<polygon points="{area}" style="fill:var(--blue);opacity:.22"/>'
        f'<polyline points="{line}" style="fill:none;stroke:var(--blue);stroke-width:2"/>'
        f'<line x1="{at:.1f}" x2="{at:.1f}" y1="14" y2="{base}" style="stroke:var(--ink);stroke-width:1"/>'
        f'<line x1="10" x2="{width - 10}" y1="{base}" y2="{base}" style="stroke:var(--line)"/>{ticks}</svg>'
        f'<p class="small">Expected {score["mean"]:.0f}; nine in ten performances like this one score '
        f"{low:.0f} to {high:.0f}.</p>"
    )


def _bar_rate(aligned: dict) -> str:
    if aligned["bar"] is None:
        return '<p class="small">No accents in the music to be on.</p>'
    peaks = len(aligned["music_peaks_s"])
    corrected = "" if aligned["corrected"] is None else f" Above chance: {aligned['corrected']:+.2f} (1 is perfect)."
    return (
        f'<p class="number">{aligned["bar"]:.0f} % <small>chance {aligned["chance"]:.0f} %</small></p>'
        f'<p class="small">Beat alignment rate: of the music\'s {peaks} accents so many have an accent of the body within '
        f"{WITHIN_S * 1000:.0f} ms. Chance: the same movements out of step.{corrected} "
        f"F-measure at 70 ms: {aligned['f70']:.2f}.</p>"
    )


def _timeline(timeline: dict) -> str:
    cells = ['<span></span>', *(f'<span class="head">{n}</span>' for n in range(1, 9))]
    for number, row in enumerate(timeline["eights"], 1):
        cells.append(f'<span class="eight">eight {number}<br>{row[0]["time_s"]:.1f} s</span>')
        cells += [_beat(beat) for beat in row] + ["<span></span>"] * (8 - len(row))
    typical = timeline["median_offset_ms"]
    told = "" if typical is None else f" Typically {abs(typical):.0f} ms {'early' if typical < 0 else 'late'} (median)."
    return (
        f'<p>{timeline["hit"]} hit, {timeline["early"]} early, {timeline["late"]} late, {timeline["missed"]} missed of '
        f'{timeline["beats"]} beats.{told} An accent of the body is near {timeline["with_accent"]:.0f} % of the beats; '
        f'by chance it would be {timeline["with_accent_chance"]:.0f} %.</p>'
        f'<div class="beats">{"".join(cells)}</div>'
        '<p class="small">Hit: within 70 ms. Early, late: within 200 ms. Missed: no accent of the body within 200 ms, which a '
        "dance may well mean. ▾ marks the music's own accents, which BAR counts. Beats are tracked to about 20 ms.</p>"
    )


def _beat(beat: dict) -> str:
    offset, strong = beat["offset_ms"], '<span class="strong" title="accent of the music">▾</span>' if beat["strong"] else ""
    if offset is None:
        number, dot = "–", ""
    else:
        number = f"{offset:+.0f}".replace("-", "−")
        place = 50 + 50 * max(-1.0, min(1.0, offset / (1000 * WITHIN_S)))
        dot = f'<span class="dot" style="left:{place:.0f}%"></span>'
    return (
        f'<span class="beat {beat["verdict"]}" title="{beat["time_s"]:.2f} s">{strong}<b>{number}</b>'
        f'<span class="axis" style="display:block">{dot}</span><span class="word">{beat["verdict"]}</span></span>'
    )


def _nearest(rows: list[dict]) -> str:
    head = "<tr><th>choreography</th><th>genre</th><th>level</th>" + "".join(
        f'<th class="n">{name}</th>' for name in ("trial", "score", "BAR", "distance")
    )
    lines = []
    for r in rows:
        trial = "" if r["trial"] is None else int(r["trial"]) + 1
        score = "" if r["score"] is None else f"{r['score']:.0f}"
        rate = "" if r["bar"] is None else f"{r['bar']:.0f} %"
        numbers = "".join(f'<td class="n">{v}</td>' for v in (trial, score, rate, f"{r['distance']:.3f}"))
        lines.append(f"<tr><td>{_e(r['choreography'])}</td><td>{_e(r['genre'])}</td><td>{_e(r['level'])}</td>{numbers}</tr>")
    return f"<table>{head}</tr>{''.join(lines)}</table>"


def _progression(report: dict) -> str:
    parts, measures = report["recordings"], report["progression"]
    danced = dances(parts)
    what = f" of {_e(danced[0])}" if len(danced) == 1 else ""
    warning = ""
    if len(danced) > 1:
        warning = f"<p>These recordings are taken for different choreographies ({_e(', '.join(danced))}): a trend means little.</p>"
    cards = [_card(title, _trend(measures[name]), "") for name, title in MEASURES.items() if measures[name]["n"]]
    return f"<h2>Progression over {len(parts)} recordings{what}</h2>{warning}<div class='grid'>{''.join(cards)}</div>"


def _trend(measure: dict) -> str:
    values = measure["values"]
    width, height, left, base = 320, 130, 34, 108
    known = [(i, v) for i, v in enumerate(values) if v is not None]
    low, high = min(v for _, v in known), max(v for _, v in known)
    room = max(high - low, 1.0) * 0.15
    low, high = low - room, high + room
    x = lambda i: left + (width - left - 12) * (i + 0.5) / len(values)  # noqa: E731
    y = lambda v: base - (base - 8) * (v - low) / (high - low)  # noqa: E731
    dots = "".join(f'<circle cx="{x(i):.1f}" cy="{y(v):.1f}" r="4" style="fill:var(--blue)"/>' for i, v in known)
    ticks = "".join(f'<text x="{x(i):.0f}" y="124" text-anchor="middle">{i + 1}</text>' for i in range(len(values)))
    sides = "".join(f'<text x="28" y="{y(v) + 4:.0f}" text-anchor="end">{v:.0f}</text>' for v in (low + room, high - room))
    line, told = "", "A trend needs three recordings."
    if measure["slope"] is not None:
        mean_i, mean_v = sum(i for i, _ in known) / len(known), sum(v for _, v in known) / len(known)
        ends = [(i, mean_v + measure["slope"] * (i - mean_i)) for i in (known[0][0], known[-1][0])]
        points = " ".join(f"{x(i):.1f},{y(max(low, min(high, v))):.1f}" for i, v in ends)
        line = f'<polyline points="{points}" style="fill:none;stroke:var(--red);stroke-width:1.6;stroke-dasharray:5 4"/>'
        sure = "" if measure["low"] <= 0 <= measure["high"] else " The interval leaves out zero."
        told = f"{measure['slope']:+.1f} a recording, 95 % interval {measure['low']:+.1f} to {measure['high']:+.1f}.{sure}"
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="values by recording">'
        f'<line x1="{left}" x2="{width}" y1="{base}" y2="{base}" style="stroke:var(--line)"/>{line}{dots}{ticks}{sides}</svg>'
        f'<p class="small">{told}</p>'
    )


def _about(about: dict) -> str:
    kind = "synthetic data" if about["synthetic"] else "recorded data"
    lines = [
        f"The assessor learned {len(about['choreographies'])} choreographies ({_e(', '.join(about['choreographies']))}) from "
        f"{about['support_performances']} performances of {_e(about['dataset'])}, {kind}. Probabilities, and the thresholds for "
        "“unlike anything I was trained on”, were calibrated on performances held out of that."
    ]
    for row in about["measured"] or []:
        name = _e(SETS.get(row["set"], row["set"]))
        lines.append(
            f"On {row['performances']} {name}: choreography right {row['choreography']:.0f} % (stated "
            f"{row['choreography_confidence']:.0f} %), level right {row['level']:.0f} % (stated {row['level_confidence']:.0f} %), "
            + (f"90 % interval of the score held {row['score_coverage']:.0f} %, " if row.get("score_coverage") is not None else "")
            + f"wrongly called unlike anything {row['unlike']:.0f} %."
        )
    lines.append(
        "In the training data one level of a choreography is danced by one person, so a level may be recognised by the person. "
        "Times are the recording's own; the first beat heard is counted as one."
    )
    return "<h2>What this rests on</h2>" + "".join(f'<p class="small">{line}</p>' for line in lines)
