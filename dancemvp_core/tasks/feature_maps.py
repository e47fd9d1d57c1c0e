"""Maps of a feature space: t-SNE by direction, and how the points of a map are drawn (Fig. 5)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import colors, patheffects
from matplotlib.axes import Axes

from dancemvp_core.dance.sequences import DataError
from dancemvp_core.labels import SKILL, Levels
from dancemvp_core.style import BLUE, GENRE_COLOURS, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

SAME = 1e-9  # features whose directions differ by less are equal
FEWEST_POINTS = 5  # least number of points on a map
_PRIMITIVE_SHADES = (0.45, 0.0, -0.4)  # lighter, unchanged, darker


def on_sphere(features) -> np.ndarray:
    """Return the features scaled to length one, (N, D) float64, because InfoNCE and all measures compare directions."""
    x = np.asarray(features, dtype=np.float64)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def tsne(features, seed: int = 0, perplexity: float = 30.0) -> np.ndarray:
    """Return the t-SNE map of features, (N, 2).

    ``features`` (N, D) are compared by direction. The same features give the same map: PCA start, one thread, exact
    neighbours. ``perplexity`` is lower for few points. Raises DataError if the points have fewer than two directions or there
    are fewer than 5: no map can show them.
    """
    from openTSNE import TSNE

    x = on_sphere(features)
    if len(x) < FEWEST_POINTS:
        raise DataError(f"{len(x)} points, expected at least {FEWEST_POINTS} for a t-SNE map")
    if not np.ptp(x, axis=0).max() > SAME:
        raise DataError(f"the features of all {len(x)} points are equal, expected different ones: no map can show them")
    if x.shape[1] < 2:
        x = np.hstack([x, np.zeros_like(x)])  # the start is the first two principal components
    perplexity = min(perplexity, (len(x) - 1) / 3)
    model = TSNE(
        perplexity=perplexity, initialization="pca", neighbors="exact", negative_gradient_method="bh", n_jobs=1,
        random_state=seed,
    )  # fmt: skip
    # "bh" is two to four times as fast as "fft" for a few thousand points
    return np.asarray(model.fit(x))


def palette(points: pd.DataFrame, colour_by: str, levels: Levels = SKILL) -> dict[str, str]:
    """Return the colour of each value of ``colour_by``: levels in their order, all others by name; {"": grey} without values.

    Levels and genres have the colours of ``style``, and so have choreographies if each is of another genre. All others
    have spare colours.
    """
    found = points[colour_by].dropna().unique()
    names = levels.sorted(found) if colour_by == "level" else sorted(found)
    own = {name: levels.colour(name) for name in levels.names} if colour_by == "level" else GENRE_COLOURS
    if colour_by == "choreography":
        genres = points.groupby("choreography")["genre"].first()
        own = {name: GENRE_COLOURS[genre] for name, genre in genres.items() if genre in GENRE_COLOURS and genres.is_unique}
    spare = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
    known = all(name in own for name in names)
    return {name: own[name] if known else spare[i % len(spare)] for i, name in enumerate(names)} or {"": GREY}


def draw(ax: Axes, points: pd.DataFrame, colour_by: str, numbered: bool = True, levels: Levels = SKILL) -> dict[str, str]:
    """Draw the points of a map on axes without ticks, and return the colours by value (``palette``).

    ``points`` has x, y, genre, level, primitive. The colour shows ``colour_by``, the marker the level, the lightness the
    primitive. With ``numbered``, the primitive's number stands near its points, once for each colour, and on no other number.
    """
    found = palette(points, colour_by, levels)
    keys = [points[colour_by].fillna(""), points["level"].fillna(""), "primitive"]
    for (name, level, primitive), group in points.groupby(keys, sort=True):
        colour = _shade(found.get(name, GREY), _PRIMITIVE_SHADES[int(primitive) % 3])
        ax.scatter(group["x"], group["y"], s=15 if levels.marker(level) == "*" else 9, marker=levels.marker(level),
                   color=colour, lw=0, alpha=0.85, rasterized=len(points) > 1000)  # fmt: skip
    white = [patheffects.withStroke(linewidth=2.5, foreground="white")]
    groups = points.groupby([points[colour_by].fillna(""), "primitive"]) if numbered else ()
    anchors = {key: _medoid(group[["x", "y"]].to_numpy()) for key, group in groups}
    places = _label_places(list(anchors.values()), points[["x", "y"]].to_numpy())
    for (name, primitive), place in zip(anchors, places, strict=True):
        ax.annotate(f"{int(primitive) + 1}", place, fontsize=9, weight="bold", ha="center", va="center", path_effects=white,
                    zorder=5, color=_shade(found.get(name, GREY), -0.5), annotation_clip=False)  # fmt: skip
    ax.set(xticks=(), yticks=())
    ax.set_aspect("equal", adjustable="datalim")
    ax.spines[["left", "bottom"]].set_visible(False)
    return found


def _shade(colour: str, amount: float) -> tuple[float, ...]:
    rgb = np.array(colors.to_rgb(colour))
    return tuple(rgb + amount * ((1 - rgb) if amount > 0 else rgb))


def _medoid(xy: np.ndarray) -> np.ndarray:
    """Return the point with the least distance to all others: a label there is on its cluster, even if it has two parts."""
    return xy[np.linalg.norm(xy[:, None] - xy[None], axis=2).sum(axis=1).argmin()]


def _label_places(anchors: list[np.ndarray], points: np.ndarray, size: float = 0.05) -> list[np.ndarray]:
    """Return a place for each label, (2,), near its anchor: free of other labels, and where it covers the fewest points.

    ``size``: the distance of two labels, as a share of the map's longer side. Each label in turn takes its best place; if none
    is free, it takes the one that is farthest from the labels so far.
    """
    apart = size * float(np.ptp(points, axis=0).max())
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = apart * np.concatenate([[(0.0, 0.0)], *(r * np.stack([np.cos(angles), np.sin(angles)], 1) for r in (1, 1.5, 2))])
    places: list[np.ndarray] = []
    for anchor in anchors:
        here = anchor + ring
        room = np.min([np.linalg.norm(here - other, axis=1) for other in places], axis=0) if places else np.full(len(here), np.inf)
        covered = (np.abs(here[:, None] - points[None]) < apart / 2).all(axis=2).sum(axis=1)
        free = room >= apart
        places.append(here[np.where(free, covered, np.inf).argmin()] if free.any() else here[room.argmax()])
    return places
