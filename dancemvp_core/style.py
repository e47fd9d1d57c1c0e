"""The style of all figures: sizes, palette, matplotlib settings, the badge "synthetic data", captions."""

from __future__ import annotations

import functools
from collections.abc import Callable

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

COLUMN_IN, PAGE_IN = 3.3, 6.9

# Okabe and Ito's palette, which readers with any colour vision can distinguish. A genre or level has one colour everywhere.
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILION, PURPLE, BLACK, GREY = "#0072B2", "#D55E00", "#CC79A7", "#000000", "#8A8A8A"
LEVEL_COLOURS = {"beginner": ORANGE, "intermediate": GREEN, "expert": BLUE}
LEVEL_MARKERS = {"beginner": "o", "intermediate": "^", "expert": "*"}
FURTHER_COLOURS, FURTHER_MARKERS = (ORANGE, GREEN, BLUE, VERMILION, PURPLE, SKY), "o^*sDvP"  # of other levels, in order
GENRE_COLOURS = {"ballet": PURPLE, "k-pop": VERMILION, "jazz": BLUE, "hip-hop": GREEN, "urban": ORANGE}

STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.0,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.bbox": None,  # keeps the figure's size, so that fonts have their stated size in print
}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorate a drawing function: it draws in the package's style, and returns None if its first argument is None."""

    @functools.wraps(draw)
    def in_style(first, *args, **kwargs) -> Figure | None:
        if first is None:
            return None
        with matplotlib.rc_context(STYLE):
            figure = draw(first, *args, **kwargs)
        if figure is not None:
            plt.close(figure)  # otherwise a notebook shows it a second time
        return figure

    return in_style


def badge(figure: Figure, synthetic: bool) -> None:
    """Write "synthetic data" into the figure's upper right corner, outside the axes, if the data are synthetic."""
    if synthetic:
        figure.text(0.995, 0.995, "synthetic data", ha="right", va="top", fontsize=7, color=GREY, style="italic")


def caption(text: str, synthetic: bool, dataset: str) -> str:
    """Return a caption that names the data set and says if it is synthetic."""
    return f"{text} Data: {dataset}{', which is synthetic' if synthetic else ''}."
