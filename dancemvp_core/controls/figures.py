"""The figures of the additional studies: difficulty, confusion, unseen dancers, augmentation, released code."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dancemvp_core.labels import SKILL, Levels
from dancemvp_core.paper import tables
from dancemvp_core.style import (
    BLACK,
    BLUE,
    COLUMN_IN,
    GREEN,
    GREY,
    PAGE_IN,
    VERMILION,
    badge,
    styled,
)

ROW_LABELS = {
    "chance": "chance", "body_only": "body only", "music_only": "music only*", "motion_only": "motion only*",
    "random_init": "music and motion*", "handcrafted": "hand-crafted", "latent_truth": "latent truth",
}  # fmt: skip


@styled
def difficulty_card(card: pd.DataFrame, too_easy: float, synthetic: bool, levels: Levels = SKILL) -> Figure:
    """Return a figure of ``difficulty.card``: Task 1 accuracy, and level accuracy within choreography and primitive, in %."""
    rows = card[card["row"].isin(ROW_LABELS)].iloc[::-1].reset_index(drop=True)
    figure, axes = plt.subplots(1, 2, figsize=(COLUMN_IN, 2.3), sharey=True, width_ratios=(1, 1))
    for ax, column, title in zip(
        axes, ("accuracy", "level_within"), ("class of the piece", levels.said("level, all else given")), strict=True
    ):
        for y, row in rows.iterrows():
            value, ceiling = row[column], row["role"] == "ceiling"
            colour = BLUE if ceiling else BLACK
            ax.plot([0, value], [y, y], color=colour, lw=0.6)
            ax.plot([value], [y], "D" if ceiling else "o", color=colour, ms=4)
            left = value > 70
            ax.annotate(f"{value:.0f}", (value, y), (-4 if left else 4, 2), textcoords="offset points", fontsize=7,
                        ha="right" if left else "left", color=colour)  # fmt: skip
        ax.set(xlim=(0, 104), xticks=(0, 50, 100), xlabel="%", ylim=(-0.6, len(rows) - 0.2))
        ax.set_title(title, loc="left")
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(rows)), [ROW_LABELS[name] for name in rows["row"]])
    axes[0].axvline(too_easy, color=VERMILION, lw=0.8, ls=(0, (3, 2)))
    top = len(rows) - 0.4  # beside the row of chance, where the space is free
    axes[0].annotate("too easy", (too_easy - 2, top), rotation=90, fontsize=7, color=VERMILION, ha="right", va="top")
    axes[1].axvline(100 / len(levels.names), color=GREY, lw=0.8, ls=(0, (1, 2)), zorder=0)
    figure.text(0.01, 0.02, "* untrained", fontsize=7, color=GREY)
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.94))
    badge(figure, synthetic)
    return figure


@styled
def confusion(matrix: pd.DataFrame, study: pd.DataFrame, synthetic: bool, levels: Levels = SKILL) -> Figure:
    """Return a figure of (a) Task 1's confusion matrix (``confusion.matrix``), (b) confusion and similarity of primitives.

    ``study`` is ``confusion.study``; its pairs are of two choreographies.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE_IN, 3.2), width_ratios=(1.12, 1))
    image = left.imshow(matrix.to_numpy(), cmap="cividis", vmin=0, vmax=100, interpolation="nearest")
    choreographies = matrix.index.get_level_values("choreography")
    names = list(dict.fromkeys(choreographies))
    starts = [list(choreographies).index(name) for name in names]
    ends = [*starts[1:], len(matrix)]
    middles = [(a + b - 1) / 2 for a, b in zip(starts, ends, strict=True)]
    for end in ends[:-1]:
        left.axhline(end - 0.5, color="white", lw=0.6)
        left.axvline(end - 0.5, color="white", lw=0.6)
    side_by_side = sum(map(len, names)) <= 45
    left.set_xticks(middles, names, **({} if side_by_side else {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}))
    left.set_yticks(middles, names)
    left.tick_params(length=0)
    left.set(xlabel="predicted class", ylabel=levels.said("true class (in each: primitive, level)"))
    left.set_title(f"(a) ours, {len(matrix)} classes", loc="left")
    bar = figure.colorbar(image, ax=left, shrink=0.75, pad=0.02)
    bar.set_label("% of true class")
    bar.outline.set_visible(False)

    top = max(1.0, study["confusion"].max())
    for i, (name, own) in enumerate(study.groupby("method", sort=False)):
        colour, marker = ((BLUE, "o"), (VERMILION, "^"), (GREEN, "s"))[i % 3]
        right.plot(own["similarity"], own["confusion"], marker, color=colour, ms=3.2, alpha=0.65, mew=0)
        rho, p = own[["rho", "p"]].iloc[0]
        found = "nothing confused" if np.isnan(rho) else f"ρ = {rho:.2f}, p = {p:.2g}"
        title = name.replace("_", " ")
        right.text(0.02, 0.98 - 0.075 * i, f"{title}: {found}", color=colour, transform=right.transAxes, va="top", fontsize=7)
    right.set(xlabel="correlation of the mean motions", ylabel="confusion (%)")
    right.set_ylim(-0.03 * top, 1.35 * top)
    right.set_title("(b) pairs of primitives", loc="left")
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.96))
    badge(figure, synthetic)
    return figure


@styled
def unseen_dancers(table: pd.DataFrame, synthetic: bool, levels: Levels = SKILL) -> Figure | None:
    """Return a figure of the level accuracy of each row on seen (filled) and on unseen dancers (hollow), a panel for each cast.

    ``table`` is ``unseen_dancers.table``. Returns None without levels.
    """
    if "level_within" not in table or table["level_within"].isna().all():
        return None
    known = table.dropna(subset="level_within")
    rows = list(known[["method", "protocol"]].drop_duplicates().itertuples(index=False, name=None))
    casts = list(known["cast"].unique())
    figure, grid = plt.subplots(1, len(casts), figsize=(PAGE_IN, 0.9 + 0.19 * len(rows)), sharey=True, sharex=True, squeeze=False)
    for ax, cast in zip(grid[0], casts, strict=True):
        own = known[known["cast"] == cast].set_index(["method", "protocol", "dancers"])["level_within"]
        for y, row in enumerate(rows):
            seen, unseen = (own.get((*row, who), np.nan) for who in ("seen", "unseen"))
            colour = BLUE if row[0] == "ours" else BLACK
            ax.plot([seen, unseen], [y, y], color=colour, lw=0.8)
            ax.plot([seen], [y], "o", color=colour, ms=4)
            ax.plot([unseen], [y], "o", color=colour, mfc="white", ms=4)
        ax.axvline(100 / len(levels.names), color=GREY, lw=0.8, ls=(0, (1, 2)), zorder=0)
        ax.set(xlim=(0, 104), xlabel=levels.said("level, all else given (%)"))
        ax.set_title(f"cast: {cast}", loc="left")
        ax.tick_params(axis="y", length=0)
    names = [tables.NAMES.get(name, name) + (f" ({protocol})" if protocol != name else "") for name, protocol in rows]
    grid[0, 0].set_yticks(range(len(rows)), names)
    grid[0, 0].invert_yaxis()
    figure.text(0.01, 0.995, "filled: seen dancers   hollow: unseen   dotted: chance", fontsize=7, va="top", color=GREY)
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.95))
    badge(figure, synthetic)
    return figure


_ABLATION_AXES = {
    "level_within": "level within\nchoreography (%) ↑",
    "choreography": "choreography (%) ↑",
    "primitive": "primitive (%) ↑",
    "score_spearman": "score, Spearman ↑",
    "bar_mse": "BAR, MSE (pp²) ↓",
}


@styled
def augmentation(rows: pd.DataFrame, floors: pd.DataFrame, synthetic: bool, levels: Levels = SKILL) -> Figure:
    """Return a figure with one dot for each variant and measure; dashed lines are floors.

    ``rows`` and ``floors`` have the columns of ``augmentation_study.measure``; the index of ``floors`` is the variant.
    """
    order = rows.iloc[::-1].reset_index(drop=True)
    figure, axes = plt.subplots(1, len(_ABLATION_AXES), figsize=(6.9, 0.6 + 0.21 * len(rows)), sharey=True)
    for ax, (column, label) in zip(axes, _ABLATION_AXES.items(), strict=True):
        colours = [VERMILION if kind == "selected" else BLUE for kind in order["kind"]]
        ax.hlines(order.index, order[column].min(), order[column], color="0.85", lw=1, zorder=1)
        ax.scatter(order[column], order.index, c=colours, s=18, zorder=3)
        for name, style in (("handcrafted", "--"), ("random_init", ":")):
            ax.axvline(floors.loc[name, column], color="0.45", lw=0.9, ls=style, zorder=2)
        ax.set_xlabel(levels.said(label))
        ax.margins(x=0.12)
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(order.index, order["variant"])
    axes[-1].text(1.02, 0.0, "-- handcrafted\n··· random init", transform=axes[-1].transAxes, color="0.35", fontsize=7)
    badge(figure, synthetic)
    return figure


@styled
def released_effects(effects: pd.DataFrame, synthetic: bool) -> Figure:
    """Return a figure of what each difference of the released code changes on Task 1, sorted, and all together below a line.

    ``effects`` is ``released.study.effects``. Bars are points of accuracy against the reading named in brackets, if it is not
    ours; thin lines are 95 % intervals over seeds and performances.
    """
    whole = effects["difference"].str.startswith("as released")
    single = effects[~whole & (effects["difference"] != "ours")].sort_values("task1_effect", ascending=False)
    rows = pd.concat([single, effects[whole]]).reset_index(drop=True)
    place = [i + (0.6 if i >= len(single) else 0) for i in range(len(rows))]
    figure, ax = plt.subplots(figsize=(PAGE_IN * 0.72, 0.7 + 0.19 * len(rows)))
    effect = rows["task1_effect"]
    ax.barh(place, effect, height=0.66, color=[VERMILION if value < 0 else BLUE for value in effect])
    known = rows["task1_low"].notna()
    ax.hlines(np.array(place)[known], rows.loc[known, "task1_low"], rows.loc[known, "task1_high"], color=BLACK, lw=0.8)
    for y, row in zip(place, rows.itertuples(), strict=True):
        ends = [0.0, row.task1_effect, row.task1_low, row.task1_high]
        ax.annotate(f"{row.task1_effect:+.1f}", (np.nanmax(ends), y), (3, 0), textcoords="offset points", fontsize=7, va="center")
    names = [
        row.difference if row.against == "ours" else f"{row.difference} [{row.against}]" for row in rows.itertuples()
    ]
    ax.set_yticks(place, names)
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.axvline(0, color=BLACK, lw=0.6)
    if whole.any():
        ax.axhline(len(single) - 0.2, color="0.85", lw=0.8)
    ax.margins(x=0.1)
    ours = effects.loc[effects["difference"] == "ours", "task1_mean"].iloc[0]
    seeds = int(effects["n_seeds"].iloc[0])
    ax.set_xlabel(f"change of Task 1 accuracy (points); ours: {ours:.1f} %, {seeds} seed{'s' if seeds > 1 else ''}")
    badge(figure, synthetic)
    return figure


@styled
def two_readings(rates: pd.DataFrame, synthetic: bool, levels: Levels = SKILL) -> Figure:
    """Return a figure of the hit rate as released against BAR, one dot for each performance (``released.hits.both_readings``)."""
    figure, ax = plt.subplots(figsize=(COLUMN_IN, COLUMN_IN * 0.9))
    for level, own in rates.groupby("level", sort=False):
        ax.plot(own["bar"], own["hit_rate"], levels.marker(level), color=levels.colour(level), ms=3, alpha=0.6, mew=0,
                label=level)  # fmt: skip
    ax.axvline(rates["bar_chance"].mean(), color=GREY, lw=0.8, ls=(0, (3, 2)))
    ax.axhline(rates["hit_chance"].mean(), color=GREY, lw=0.8, ls=(0, (3, 2)))
    rho = rates["bar"].corr(rates["hit_rate"], method="spearman")
    ax.set(xlabel="BAR, our reading of the paper (%)", ylabel="hit rate, as released (%)")
    ax.set_title(f"{len(rates)} performances, ρ = {rho:.2f}", loc="left")
    ax.legend(loc="best", markerscale=1.5)
    badge(figure, synthetic)
    return figure
