"""The figures: each function takes data and returns a matplotlib Figure in the package's style (``style``).

A figure is as wide as a column (3.3 in) or a page (6.9 in). Every figure of synthetic data has a badge that says so.
"""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.figure import Figure

from dancemvp_core.dance import rhythm
from dancemvp_core.dance.sequences import DanceSequence
from dancemvp_core.dance.skeleton import Skeleton, front_view
from dancemvp_core.labels import SKILL, Levels
from dancemvp_core.style import (
    BLACK,
    BLUE,
    COLUMN_IN,
    GREEN,
    GREY,
    PAGE_IN,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    badge,
    styled,
)
from dancemvp_core.tasks import feature_maps


@styled
def onset_correlation(correlations: pd.DataFrame, synthetic: bool) -> Figure | None:
    """Return a figure of the correlation of motion intensity and onset strength in each choreography.

    It compares stretched and cropped music. Returns None if no music window is longer than its clip, because then both are
    the same.
    """
    if not (correlations["stretch"] != correlations["crop"]).any():
        return None
    means = correlations.groupby("choreography", dropna=False)[["crop", "stretch"]].mean().sort_values("stretch")
    figure, ax = plt.subplots(figsize=(COLUMN_IN, 0.9 + 0.16 * len(means)))
    heights = np.arange(len(means))
    ax.hlines(heights, means["crop"], means["stretch"], color=GREY, lw=0.8, zorder=1)
    ax.scatter(means["crop"], heights, s=18, facecolor="white", edgecolor=VERMILION, zorder=2)
    ax.scatter(means["stretch"], heights, s=18, color=BLUE, zorder=2)
    ax.plot([0, 0], [-0.7, len(means) - 0.5], color=BLACK, lw=0.5)
    for column, colour, word in (("crop", VERMILION, "cropped"), ("stretch", BLUE, "stretched")):
        mean = means[column].mean()
        ax.plot([mean, mean], [-0.6, len(means) - 0.4], color=colour, lw=0.7, ls=(0, (3, 2)), zorder=0)
        ax.annotate(f"{word}\n{mean:+.2f}", (mean, len(means) - 0.4), (0, 2), textcoords="offset points", color=colour,
                    ha="center", va="bottom", fontsize=7)  # fmt: skip
    ax.set_yticks(heights, [str(name) if pd.notna(name) else "?" for name in means.index])
    ax.set(xlabel="correlation of motion intensity and onset strength", ylim=(-0.7, len(means) + 0.6))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.94))
    badge(figure, synthetic)
    return figure


# --- Figs. 3 and 4 -----------------------------------------------------------------------------------------------

GROUP_COLOURS = (SKY, YELLOW, PURPLE)


def stick(ax, pose: np.ndarray, skeleton: Skeleton, at: float, scale: float, colour: str | None = None, **line) -> None:
    """Draw one pose (V, 2), across and up, at x = ``at``: left limbs in blue, right limbs in red, the trunk in black."""
    left, right = ({side for pair in skeleton.pairs for side in pair[n : n + 1]} for n in (0, 1))
    for child, parent in skeleton.bones:
        own = colour or (BLUE if child in left else VERMILION if child in right else BLACK)
        ax.plot(at + scale * pose[[child, parent], 0], pose[[child, parent], 1], color=own, solid_capstyle="round", **line)


@styled
def primitives(
    danced: DanceSequence, groups: list[tuple[float, float]], synthetic: bool, waveform=(), beats_s=(), grid_s=(), poses: int = 4
) -> Figure:
    """Return Fig. 3: the waveform with tracked beats, fitted grid and the three groups; below it, poses in front view.

    ``waveform`` (n,): the performance's music, with the clip's duration. ``groups``: (start_s, end_s) of each. Grey poses
    behind those of the third group are the mirrored poses of the first group.
    """
    motion, fps, skeleton = danced.motion, danced.fps, danced.skeleton
    duration = motion.shape[1] / fps
    figure, (sound, body) = plt.subplots(2, 1, figsize=(PAGE_IN, 3.0), height_ratios=(1, 1.25), sharex=True)
    for n, (start, end) in enumerate(groups):
        for ax in (sound, body):
            ax.axvspan(start, end, color=GROUP_COLOURS[n % 3], alpha=0.18, lw=0)
        sound.text((start + end) / 2, 1.28, f"group {n + 1}", ha="center", va="bottom", fontsize=8)
    if len(waveform):
        parts = np.array_split(np.asarray(waveform) / np.abs(waveform).max(), 1500)
        times = (np.arange(len(parts)) + 0.5) * duration / len(parts)
        sound.fill_between(times, [p.min() for p in parts], [p.max() for p in parts], color=GREY, lw=0)
    else:
        sound.text(duration / 2, 0, "no music", ha="center", va="center", color=GREY)
    sound.vlines(grid_s, -1, 1, color=PURPLE, lw=0.7, ls=(0, (3, 2)))
    if len(beats_s):  # without any, the layout would make room for a marker in the figure's corner
        sound.plot(beats_s, np.full(len(beats_s), 1.14), "v", color=BLACK, ms=3, clip_on=False)
    sound.set(ylim=(-1.05, 1.25), yticks=())
    sound.set_ylabel("music")
    sound.spines[["left", "bottom"]].set_visible(False)
    sound.tick_params(axis="x", length=0)

    seen = front_view(motion, skeleton)
    low, high = np.percentile(seen[..., 1], [0.5, 99.5])
    tall = high - low
    spacing = min(end - start for start, end in groups) / poses
    scale = 0.95 * spacing / max(float(np.ptp(seen[..., 0], axis=1).max()), 1e-9)
    seconds_per_inch, units_per_inch = duration / (PAGE_IN - 0.4), 1.12 * tall / 1.25
    scale = min(scale, seconds_per_inch / units_per_inch)
    lift = np.array([0, tall * 0.06])
    for n, (start, end) in enumerate(groups):
        for k in range(poses):
            share = (k + 0.75) / poses  # shortly after an even beat, at the end of its movement
            at = start + (k + 0.5) / poses * (end - start)
            frame = min(round((start + share * (end - start)) * fps), motion.shape[1] - 1)
            if n == 2 and skeleton.pairs:
                a, b = groups[0]
                image = seen[min(round((a + share * (b - a)) * fps), len(seen) - 1)][list(skeleton.mirror)] * (-1, 1)
                stick(body, image + lift, skeleton, at, scale, "#BBBBBB", lw=2.6, zorder=2)
            stick(body, seen[frame] + lift, skeleton, at, scale, lw=1.1, zorder=3)
    body.set(xlim=(0, duration), ylim=(low - tall * 0.02, high + tall * 0.1), yticks=(), xlabel="time in the clip (s)")
    body.set_ylabel("motion")
    body.spines["left"].set_visible(False)
    key = (["▼ tracked beat", "┆ fitted grid"] if len(waveform) else []) + (
        ["grey: group 1, mirrored"] if skeleton.pairs and len(groups) > 2 else []
    )
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.95))
    figure.text(0.03, 0.995, "    ".join(key), fontsize=7, va="top", color=GREY)
    badge(figure, synthetic)
    return figure


def _alignment_panel(ax, danced: dict) -> None:
    """Draw one performance of Fig. 4: motion intensity below (0 to 1), music intensity above, and a line for each match."""
    foot, height = 1.25, 0.75  # of the music's curve
    intensity = rhythm.smoothed(danced["intensity"], danced["fps"])
    curve, times = intensity / intensity.max(), np.arange(len(intensity)) / danced["fps"]
    music, motion = np.sort(danced["music_peaks"]), np.sort(danced["motion_peaks"])
    heights, tops = np.interp(motion, times, curve), np.full(len(music), foot)
    ax.plot(times, curve, color=BLACK, lw=0.9)
    if "music_intensity" in danced:
        at = danced["music_times"]
        strength = rhythm.smoothed(danced["music_intensity"], 1 / (at[1] - at[0]))
        strength = foot + height * strength / strength.max()
        ax.fill_between(at, foot, strength, color=PURPLE, alpha=0.15, lw=0)
        ax.plot(at, strength, color=PURPLE, lw=0.6)
        tops = np.interp(music, at, strength)
    pairs = rhythm.match_peaks(music, motion)
    for i, j in pairs:
        ax.plot([music[i], music[i], motion[j]], [tops[i], 1.15, heights[j]], color=PURPLE, lw=0.9, zorder=1)
    missed = np.setdiff1d(np.arange(len(music)), [i for i, _ in pairs])
    extra = np.setdiff1d(np.arange(len(motion)), [j for _, j in pairs])
    hit = [j for _, j in pairs]
    ax.plot(music, tops, "v", color=PURPLE, ms=5)
    ax.plot(music[missed], tops[missed], "x", color=VERMILION, ms=8, mew=1.4, zorder=4)
    ax.plot(motion[hit], heights[hit], "o", color=GREEN, ms=4.5, zorder=3)
    ax.plot(motion[extra], heights[extra], "o", mfc="white", mec=GREEN, ms=4.5, zorder=3)
    rate = f"{len(pairs)} of {len(music)} matched" if len(music) else "no music peaks"
    share = f", BAR {100 * len(pairs) / len(music):.0f} %" if len(music) else ""
    ax.set_title(f"{danced['name']}: {rate}{share}", loc="left")
    rows = {"motion": 0.5} | ({"music": foot + height / 2} if _heard(danced) else {})
    ax.set_yticks(list(rows.values()), list(rows))
    ax.set_ylim(0, 2.15 if _heard(danced) else 1.15)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _heard(danced: dict) -> bool:
    return len(danced["music_peaks"]) > 0 or "music_intensity" in danced


@styled
def beat_alignment(performances: list[dict], duration_s: float, synthetic: bool, labelled: bool) -> Figure:
    """Return Fig. 4: motion intensity with its peaks, the music's intensity with its peaks above it, and the matches.

    Without music only the motion is drawn.

    ``performances``: name, intensity (T,), fps, and the times of motion_peaks and music_peaks in s; one panel for each.
    Optional: the music's curve, music_intensity (K,) at music_times (K,) in s. Both curves are smoothed by 50 ms.
    ``labelled``: the music peaks are labels by dancers (else onset peaks).
    """
    count, heard = len(performances), any(map(_heard, performances))
    height = 0.65 + (1.6 if heard else 1.0) * count
    figure, axes = plt.subplots(count, 1, figsize=(PAGE_IN, height), sharex=True, squeeze=False)
    for ax, danced in zip(axes[:, 0], performances, strict=True):
        _alignment_panel(ax, danced)
        ax.set_xlim(0, duration_s)
    axes[-1, 0].set_xlabel("time in the clip (s)")
    figure.supylabel("intensity (share of its maximum)" if heard else "share of maximum", fontsize=8)
    music_word = f"music peak ({'labelled' if labelled else 'onset'})"
    if heard:
        key = [(PURPLE, "v", music_word, {}), (GREEN, "o", "motion peak, matched", {}),
               (GREEN, "o", "unmatched", {"mfc": "white"}), (VERMILION, "x", "music peak missed", {})]  # fmt: skip
    else:
        key = [(GREEN, "o", "motion peak", {"mfc": "white"})]
    if any("music_intensity" in danced for danced in performances):
        key.insert(0, (PURPLE, "", "onset strength", {"ls": "-", "lw": 0.9}))
    handles = [plt.Line2D([], [], color=c, marker=m, ms=4.5, label=t, **{"ls": ""} | more) for c, m, t, more in key]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(key), handletextpad=0.3, columnspacing=1.2)
    badge(figure, synthetic)
    return figure


# --- Fig. 6 ------------------------------------------------------------------------------------------------------


def _box(ax, at: float, values: np.ndarray, colour: str) -> None:
    """Draw one box without caps on its whiskers: the median is a line, the mean a diamond."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return
    ax.boxplot([values], positions=[at], widths=0.5, showfliers=False, patch_artist=True, showcaps=False,
               boxprops={"facecolor": colour, "alpha": 0.3, "lw": 0.6, "edgecolor": colour},
               whiskerprops={"color": colour, "lw": 0.8}, medianprops={"color": colour, "lw": 1.8})  # fmt: skip
    ax.plot([at], [values.mean()], "D", color="white", mec=BLACK, mew=0.9, ms=4.5, zorder=4)


@styled
def progression(
    sources: dict[str, pd.DataFrame], synthetic: bool, trials: int, levels: Levels = SKILL, unit: str = "choreography"
) -> Figure:
    """Return Fig. 6 with one row of panels for each source of BAR.

    Panels (a), (b), ... compare the first and the last 5 trials of each level; the last panel shows all trials. ``sources``:
    name of the source -> its ``progression.per_unit``. A dot is a ``unit``, a choreography or a person.
    """
    known = set(pd.concat(list(sources.values()))["level"])
    names = [name for name in levels.names if name in known]
    figure, grid = plt.subplots(len(sources), len(names) + 1, figsize=(PAGE_IN, 0.35 + 1.75 * len(sources)), sharey=True,
                                squeeze=False, width_ratios=(*[1] * len(names), 0.45 * len(names)))  # fmt: skip
    spread = np.random.default_rng(0)
    for axes, (source, values) in zip(grid, sources.items(), strict=True):
        by_level = {level: values[values["level"] == level] for level in names}
        for ax, (level, own), letter in zip(axes, by_level.items(), "abcdefghijklmnopqrstuvwxyz", strict=False):
            colour = levels.colour(level)
            pairs = own[["first", "last"]].to_numpy()
            ax.plot([0, 1], pairs.T, color=colour, lw=0.5, alpha=0.5, marker="o", ms=2)
            for at, column in enumerate(("first", "last")):
                _box(ax, at, own[column], colour)
            gain = own["gain"].mean()
            ax.set_title(f"({letter}) {level}", loc="left")
            text = f"{gain:+.1f} points" if np.isfinite(gain) else "no values"
            ax.text(0.5, 0.02, text, ha="center", va="bottom", fontsize=7, transform=ax.transAxes, color=BLACK)
            ax.set_xticks((0, 1), ("first 5", "last 5"))
        for at, (level, own) in enumerate(by_level.items()):
            dots = own["all"].dropna()
            axes[-1].plot(at + spread.uniform(-0.16, 0.16, len(dots)), dots, "o", color=levels.colour(level), ms=2, alpha=0.6)
            _box(axes[-1], at, own["all"], levels.colour(level))
        axes[-1].set_title(f"({chr(ord('a') + len(names))}) all {trials} trials", loc="left")
        axes[-1].set_xticks(range(len(names)), [name if len(name) < 10 else f"{name[:8]}." for name in names])
        axes[0].set_ylabel(f"BAR (%)\n{source}")
        for ax in axes:
            ax.set(ylim=(0, 106), yticks=(0, 25, 50, 75, 100), xlim=(-0.55, len(ax.get_xticks()) - 0.45))
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.96))
    figure.text(0.08, 0.995, f"◇ mean   ▬ median   · a {unit}", fontsize=7, va="top", color=GREY)
    badge(figure, synthetic)
    return figure


# --- pre-training, Figs. 5 and 7 ---------------------------------------------------------------------------------


def _spread(heights: np.ndarray, apart: float) -> np.ndarray:
    """Return heights (n,) for labels beside curves, moved up so that the labels are at least ``apart`` in the same order."""
    order, out = np.argsort(heights, kind="stable"), np.array(heights, dtype=float)
    for below, above in itertools.pairwise(order):
        out[above] = max(out[above], out[below] + apart)
    return out


@styled
def pretraining(history: pd.DataFrame, synthetic: bool, levels: Levels = SKILL) -> Figure:
    """Return a figure of one pre-training over its epochs: the loss (left), the k-NN accuracy on validation pieces (right).

    A dashed line is the loss of constant features (``trivial_loss``).
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(COLUMN_IN, 1.9), width_ratios=(1, 1.25))
    epochs = history["epoch"]
    marker = "o" if len(epochs) <= 12 else ""
    left.plot(epochs, history["loss"], color=BLACK, marker=marker, ms=2.5)
    left.plot(epochs, history["trivial_loss"], color=GREY, ls="--")
    left.set(xlabel="epoch", title="loss (dashed: trivial)")
    curves = {c.removeprefix("knn_").replace("_", " "): 100 * history[c] for c in history if c.startswith("knn_")}
    colours = {"genre": VERMILION, "choreography": PURPLE, "primitive": GREEN, "level": GREY, "level within": BLUE}
    ends = _spread(np.array([curve.iloc[-1] for curve in curves.values()]), 9) if curves else ()
    for (label, curve), end in zip(curves.items(), ends, strict=True):
        right.plot(epochs, curve, color=colours[label], marker=marker, ms=2.5)
        at = {"xy": (1.03, end), "xycoords": ("axes fraction", "data")}
        right.annotate(levels.said(label), **at, color=colours[label], fontsize=7, va="center")
    right.set(xlabel="epoch", ylim=(0, 104), yticks=(0, 50, 100), title="k-NN accuracy (%)")
    if not curves:
        right.text(0.5, 0.5, "no labels", ha="center", color=GREY, transform=right.transAxes)
    for ax in (left, right):
        ax.title.set_ha("left")
        ax.title.set_x(0)
        ax.xaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))
        ax.set_xlim(epochs.min() - 0.3, max(epochs.max(), 2) + 0.2)
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.93))
    badge(figure, synthetic)
    return figure


@styled
def feature_map(points: pd.DataFrame, colour_by: str, synthetic: bool, order: Levels = SKILL) -> Figure:
    """Return a t-SNE map of Fig. 5; ``points`` has x, y, genre, level, primitive; ``order`` are the levels of the data.

    The colour shows ``colour_by`` (genre or level), the marker the level; the lightness and the number show the primitive, if
    there are several.
    """
    wide, high = (float(np.ptp(points[axis])) for axis in "xy")
    figure, ax = plt.subplots(figsize=(COLUMN_IN, 0.85 + (COLUMN_IN - 0.1) * np.clip(high / max(wide, 1e-9), 0.45, 1.0)))
    several = points["primitive"].nunique() > 1
    palette = feature_maps.draw(ax, points, colour_by, numbered=several, levels=order)
    names, levels = [name for name in palette if name], points["level"].fillna("")
    handles = [plt.Line2D([], [], marker=order.marker(n) if colour_by == "level" else "s", ls="", ms=4.5,
                          color=palette[n], label=n) for n in names]  # fmt: skip
    if colour_by != "level" and (levels != "").any():
        key = [plt.Line2D([], [], marker=m, ls="", ms=4.5, color=GREY, label=n)
               for n, m in ((name, order.marker(name)) for name in order.sorted(levels[levels != ""]))]  # fmt: skip
        handles = [h for pair in itertools.zip_longest(handles, key) for h in pair if h]  # legends fill columns first
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=3, handletextpad=0.1, columnspacing=1.2)
    if several:
        figure.text(0.02, 0.995, "1 2 3: primitive, light to dark", fontsize=7, va="top", color=GREY)
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.95))
    badge(figure, synthetic)
    return figure


_TASK_AXES = (("Task 1: accuracy (%) ↑", 1), ("Task 2: L2 of the score ↓", 2), ("Task 3: MSE of BAR (pp²) ↓", 3))


@styled
def comparison(table: pd.DataFrame, labels: dict[str, str], floors: set[str], synthetic: bool) -> Figure:
    """Return Table 2 or 3 as a picture: one dot with its 95 % interval for each row and each task that has values.

    ``table`` is ``tables.comparison_table``; ``labels`` and ``floors`` are names of its methods. Floors are grey, ours is blue
    with a line through all rows. A hollow dot: the pre-training is underfit or collapsed.
    """
    tasks = [(title, task) for title, task in _TASK_AXES if table[f"task{task}_mean"].notna().any()]
    figure, grid = plt.subplots(1, len(tasks), figsize=(PAGE_IN, 0.6 + 0.17 * len(table)), sharey=True, squeeze=False)
    heights = np.arange(len(table))
    for ax, (title, task) in zip(grid[0], tasks, strict=True):
        for y, row in zip(heights, table.to_dict("records"), strict=True):
            mean, low, high = (row[f"task{task}_{part}"] for part in ("mean", "ci_low", "ci_high"))
            ours, flagged = row["method"] == "ours", isinstance(row["condition"], str) and row["condition"]
            colour = BLUE if ours else GREY if row["method"] in floors else BLACK
            ax.plot([low, high], [y, y], color=colour, lw=0.9)
            ax.plot([mean], [y], "o", color=colour, mfc="white" if flagged else colour, ms=3.5)
            if ours:
                ax.axvline(mean, color=BLUE, lw=0.5, ls=(0, (3, 2)), zorder=0)
        ax.set_title(title, loc="left")
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="y", lw=0.3, color="0.9")
    pairs = zip(table["method"], table["protocol"], strict=True)
    names = [labels.get(name, name) + (f" ({protocol})" if protocol != name else "") for name, protocol in pairs]
    grid[0, 0].set_yticks(heights, names)
    grid[0, 0].invert_yaxis()
    key = "grey: floors   blue: ours" + ("   hollow: underfit or collapsed" if table["condition"].fillna("").ne("").any() else "")
    figure.text(0.01, 0.995, key, fontsize=7, va="top", color=GREY)
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.965))
    badge(figure, synthetic)
    return figure


_PROTOCOL_LOOK = {
    "prompt": ("prompting", BLUE, "o", "-"), "finetune": ("fine-tuning", VERMILION, "s", "-"),
    "prompt-id": ("control: vectors instead of words", SKY, "^", "--"),
    "prompt-query": ("control: one question for all", GREEN, "v", "--"), "chance": ("chance", GREY, "", ":"),
}  # fmt: skip


@styled
def prompt_vs_finetune(curves: pd.DataFrame, synthetic: bool) -> Figure:
    """Return Fig. 7: protocols over shots (upper row) and over choreographies g (lower row), one column for each task.

    Tasks without values have no column; the curves of a single task are side by side. ``curves`` is ``prompting.curves``. Bars
    are its intervals over seeds, if there are at least two. The axes show all means; a longer bar is cut.
    """
    tasks = [(title, task) for title, task in _TASK_AXES if (curves["task"] == task).any()] or _TASK_AXES
    shape, height = ((1, 2), 2.5) if len(tasks) == 1 else ((2, len(tasks)), 3.9)
    figure, grid = plt.subplots(*shape, squeeze=False, figsize=(PAGE_IN, height))
    for axes, (varied, words) in zip(
        grid.reshape(2, len(tasks)),
        {"shots": "shots (performances a class)", "genres": "choreographies g (equal support)"}.items(),
        strict=True,
    ):
        for ax, (title, task) in zip(axes, tasks, strict=True):
            here = curves[(curves["varied"] == varied) & (curves["task"] == task)]
            for i, (protocol, (_, colour, marker, line)) in enumerate(_PROTOCOL_LOOK.items()):
                own = here[here["protocol"] == protocol].sort_values(varied)
                if own.empty:
                    continue
                shift = 1 + (0.02 * (2 * i - 3) if protocol != "chance" else 0)
                x = own[varied] * shift if varied == "shots" else own[varied] + 2 * (shift - 1)
                ax.plot(x, own["mean"], color=colour, marker=marker, ms=3.5, ls=line)
                if own["ci_low"].notna().any():
                    ax.vlines(x, own["ci_low"], own["ci_high"], color=colour, lw=0.8)
            ticks = sorted(here[varied].unique())
            if len(here) and np.ptp(here["mean"]) > 0:
                margin = 0.15 * np.ptp(here["mean"])
                ax.set_ylim(here["mean"].min() - margin, here["mean"].max() + margin)
            if varied == "shots":
                ax.set_xscale("log")
                ax.minorticks_off()
            if ticks:
                ax.set_xticks(ticks, [str(t) for t in ticks])
            else:
                ax.set_xticks(())
                ax.set_yticks(())
                ax.text(0.5, 0.5, "no values", ha="center", va="center", color=GREY, transform=ax.transAxes)
            ax.set_xlabel(words)
            if varied == "shots":
                ax.set_title(title, loc="left")
    handles = [plt.Line2D([], [], color=c, marker=m, ls=ls, ms=3.5, label=n) for n, c, m, ls in _PROTOCOL_LOOK.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.96))
    badge(figure, synthetic)
    return figure
