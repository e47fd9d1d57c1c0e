"""Maps of the feature space (Fig. 5), and measures of how well attributes separate in it.

The maps are only pictures. The rules judge the claims by silhouette and neighbour purity in the feature space, each in
comparison with the same measure for permuted labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dancemvp_core.dance.pieces import Cutting, PieceSet, build, evenly_spaced
from dancemvp_core.dance.sequences import DanceDataset
from dancemvp_core.dance.skeleton import Skeleton, canonical_body, coco17_to_imperialdance21
from dancemvp_core.device import full_precision
from dancemvp_core.pretraining import training
from dancemvp_core.tasks.feature_maps import FEWEST_POINTS, on_sphere, tsne

POINT_COLUMNS = ["genre", "choreography", "level", "primitive", "sequence", "trial"]

# Attribute -> attributes that are held fixed. "level" measures the separation of levels over all pieces; "level | genre,
# primitive" measures it within each genre and primitive, which is the paper's claim.
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "genre": (),
    "level": (),
    "primitive": (),
    "level | genre, primitive": ("genre", "primitive"),
    "primitive | genre, level": ("genre", "level"),
}


def spread_rows(table: pd.DataFrame, rows: np.ndarray, points: int) -> np.ndarray:
    """Return at most ``points`` of the piece rows: equally many of each genre, level and primitive, spread over the trials."""
    chosen = table.iloc[rows].assign(row=rows)
    groups = [group["row"].to_numpy() for _, group in chosen.groupby(["genre", "level", "primitive"], dropna=False)]
    most = max(1, points // max(len(groups), 1))
    kept = [evenly_spaced(group, most) for group in groups]
    return np.sort(np.concatenate(kept)) if kept else np.zeros(0, dtype=int)


def one_choreography_each(table: pd.DataFrame, split: str, genres: int, wanted: Sequence[str] = ()) -> list[str]:
    """Return the first choreography of each genre in a split, for the first ``genres`` genres; ``wanted`` genres come first."""
    chosen = table[table["split"] == split].dropna(subset=["genre", "choreography"])
    names = sorted(chosen["genre"].unique(), key=lambda g: (list(wanted).index(g) if g in wanted else len(wanted), g))
    return [min(chosen.loc[chosen["genre"] == genre, "choreography"]) for genre in names[:genres]]


@full_precision()
@torch.inference_mode()
def motion_features(encoder: nn.Module, pieces: PieceSet, rows, batch_size: int = 256) -> Tensor:
    """Return the output of the motion encoder alone, (N, D) on the CPU. The maps use it for a data set without music."""
    encoder.eval()
    parts = []
    for start in range(0, len(rows), batch_size):
        parts.append(encoder.encode("motion", pieces.batch(rows[start : start + batch_size])).cpu())
    return torch.cat(parts)


def foreign_pieces(
    dataset: DanceDataset, skeleton: Skeleton, cutting: Cutting, genres: int, points: int, cache: Path | None = None
) -> PieceSet | None:
    """Return pieces of another data set (AIST++) on the encoder's skeleton, for Fig. 5c.

    COCO's 17 joints are converted to ImperialDance's 21; otherwise both skeletons must be the same. The pieces, about
    ``points``, come from the ``genres`` genres with the most sequences. Returns None if the skeletons do not match or if
    there are too few pieces.
    """
    convertible = (dataset.skeleton.name, skeleton.name) == ("coco17", "imperialdance21")
    if not convertible and dataset.skeleton.joints != skeleton.joints:
        return None
    known = dataset.index["genre"].dropna()
    names = known.value_counts().sort_index().sort_values(ascending=False, kind="stable").index[:genres]
    keep = np.zeros(len(dataset), dtype=bool)
    for name in names:
        of_genre = np.flatnonzero((dataset.index["genre"] == name).to_numpy())
        most = max(1, points // (3 * len(names)))  # a sequence has three primitives
        keep[evenly_spaced(of_genre, most)] = True
    chosen = np.flatnonzero(keep)
    part = DanceDataset(
        dataset.name, dataset.root, dataset.skeleton, dataset.index.iloc[chosen].reset_index(drop=True),
        [dataset.sequences[i] for i in chosen], dataset.synthetic,
    )  # fmt: skip
    everything = pd.Series("pretrain", index=part.index.index)
    cut = build(part, everything, np.ones(len(part), bool), cutting, cache)
    if len(cut) < FEWEST_POINTS:
        return None
    if not convertible:
        return cut
    motion = [canonical_body(coco17_to_imperialdance21(m), skeleton) for m in cut.motion.numpy()]
    return PieceSet(torch.from_numpy(np.stack(motion)), cut.music, cut.table, cut.sequences)


def kind(other: DanceDataset) -> str:
    """Return a description of Fig. 5c's data set for the caption."""
    return "a synthetic stand-in for AIST++, in its format" if other.synthetic else "AIST++"


def describe_foreign(foreign: PieceSet | None, other: DanceDataset, skeleton: Skeleton) -> str:
    """Return one line about ``foreign_pieces``: their number, genres and data set, and whether they have music."""
    if foreign is None:
        return f"{skeleton.name} does not match {other.skeleton.name}, or there are too few pieces: Fig. 5c is left out."
    features = "motion and music" if (foreign.table["window"] >= 0).all() else "no music, so only the motion features"
    return f"{len(foreign)} pieces of {foreign.table['genre'].nunique()} genres of {other.name}, {kind(other)}: {features}"


def silhouette(distances: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return each point's silhouette, (N,), from distances (N, N) and class codes (N,); 0 for the only point of a class."""
    member = np.eye(codes.max() + 1)[codes]
    size = member.sum(axis=0)
    total = distances @ member
    own = np.arange(len(codes)), codes
    inside = total[own] / np.maximum(size[codes] - 1, 1)
    outside = total / np.maximum(size, 1)
    outside[own] = np.inf
    outside[:, size == 0] = np.inf
    nearest = outside.min(axis=1)
    widest = np.maximum(np.maximum(inside, nearest), 1e-12)
    return np.where((size[codes] > 1) & np.isfinite(nearest), (nearest - inside) / widest, 0.0)


def purity(neighbours: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return for each point the share (N,) of its ``neighbours`` (N, k, indices) that have the same class."""
    return (codes[neighbours] == codes[:, None]).mean(axis=1)


def permuted(codes: np.ndarray, units: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return codes (N,) in random order. If all pieces of each unit (performance) have the same code, permute whole units."""
    _, first, place = np.unique(units, return_index=True, return_inverse=True)
    if (codes == codes[first][place]).all():
        return rng.permutation(codes[first])[place]
    return rng.permutation(codes)


def separation(features, table: pd.DataFrame, neighbours: int = 10, permutations: int = 199, seed: int = 0) -> pd.DataFrame:
    """Return how well each attribute separates in the feature space: one row for each attribute.

    ``features`` (N, D) are compared by direction; ``table`` has their N rows. Columns: attribute, points, classes,
    neighbours, permutations, silhouette and purity (share of the ``neighbours`` nearest points with the same label). Both
    measures have a _chance (mean over ``permutations`` of the labels, see ``permuted``) and a _p (one-sided). For an
    attribute with others held fixed, both are computed within each combination of the others and averaged over the points.
    Unknown attributes and those with a single value are left out.
    """
    x, rng, rows = on_sphere(features), np.random.default_rng(seed), []
    for attribute, fixed in ATTRIBUTES.items():
        name = attribute.split(" | ")[0]
        if table[[name, *fixed]].isna().any(axis=None):
            continue
        cells = table.groupby(list(fixed), sort=False).ngroup().to_numpy() if fixed else np.zeros(len(table), int)
        groups = []
        for cell in np.unique(cells):
            inside = np.flatnonzero(cells == cell)
            codes = pd.factorize(table[name].iloc[inside], sort=True)[0]
            if codes.max() == 0 or len(inside) < 4:
                continue
            distances = 1 - x[inside] @ x[inside].T
            np.fill_diagonal(distances, 0)
            nearest = min(neighbours, len(inside) - 1)
            order = np.argsort(distances + 9 * np.eye(len(inside)), axis=1, kind="stable")[:, :nearest]
            groups.append((distances, order, codes, table["sequence"].to_numpy()[inside]))
        if not groups:
            continue
        points = sum(len(codes) for _, _, codes, _ in groups)

        def measure(labels, groups=groups):
            values = [(silhouette(d, c), purity(o, c)) for (d, o, _, _), c in zip(groups, labels, strict=True)]
            return np.array([np.concatenate(column).mean() for column in zip(*values, strict=True)])

        observed = measure([codes for _, _, codes, _ in groups])
        chance = np.array(
            [measure([permuted(codes, units, rng) for _, _, codes, units in groups]) for _ in range(permutations)]
        )
        row = {"attribute": attribute, "points": points, "classes": int(table[name].nunique())}
        for i, kind in enumerate(("silhouette", "purity")):
            above = (chance[:, i] >= observed[i] - 1e-12).sum()
            row |= {kind: observed[i], f"{kind}_chance": chance[:, i].mean(), f"{kind}_p": (1 + above) / (1 + permutations)}
        rows.append(row | {"neighbours": neighbours, "permutations": permutations})
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class Maps:
    """The panels of Fig. 5 in one run. ``encoders`` by name: the maps show the first one, the measures cover all."""

    encoders: dict[str, nn.Module]
    points: list[pd.DataFrame] = field(default_factory=list)
    measures: list[pd.DataFrame] = field(default_factory=list)

    def add(self, name: str, pieces: PieceSet, rows, dataset: DanceDataset, music: bool = True) -> pd.DataFrame | None:
        """Compute map and measures of piece rows for the panel ``name``; return its points, or None if there are too few.

        Points: panel, x, y, the labels, sequence, trial, features (z, or motion without ``music``), dataset, synthetic.
        Measures: as ``separation``, with panel, encoder, features, dataset and synthetic.
        """
        rows = np.asarray(rows)
        if len(rows) < FEWEST_POINTS:
            return None
        table = pieces.table.iloc[rows][POINT_COLUMNS].reset_index(drop=True)
        facts = {"features": "z" if music else "motion", "dataset": dataset.name, "synthetic": dataset.synthetic}
        z = {
            encoder: (training.encode(net, pieces, rows)[1] if music else motion_features(net, pieces, rows)).numpy()
            for encoder, net in self.encoders.items()
        }
        x, y = tsne(next(iter(z.values()))).T
        self.points.append(table.assign(panel=name, x=x, y=y, **facts))
        measured = [separation(values, table).assign(panel=name, encoder=encoder, **facts) for encoder, values in z.items()]
        measured = pd.concat(measured, ignore_index=True)
        first = ["panel", "encoder"]
        self.measures.append(measured[first + [c for c in measured if c not in first]])
        return self.points[-1]

    def measured(self, name: str) -> pd.DataFrame | None:
        """Return a readable table of the measures of a panel; None if the panel was not drawn."""
        own = [m for m in self.measures if m["panel"].eq(name).any()]
        return readable(own[0]) if own else None


def seen_rows(table: pd.DataFrame, rows: np.ndarray, points: int) -> np.ndarray:
    """Return Fig. 5a's pieces among the pre-train ``rows``: one choreography in each of three genres (urban, jazz, K-pop)."""
    chosen = one_choreography_each(table, "pretrain", 3, ("urban", "jazz", "k-pop"))
    rows = rows[table["choreography"].iloc[rows].isin(chosen)] if chosen else rows
    return spread_rows(table, rows, points)


def unseen_rows(table: pd.DataFrame, rows: np.ndarray, points: int) -> np.ndarray:
    """Return Fig. 5b's pieces among the test ``rows``: the first test choreography of ballet, or else of the first genre."""
    chosen = one_choreography_each(table, "test", 1, ("ballet",))
    return spread_rows(table, rows[table["choreography"].iloc[rows].isin(chosen)], points)


def readable(report: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return ``separation`` of one panel as text: one row for each attribute, "measured (chance)" for each encoder."""
    if report is None or report.empty:
        return None
    cells = {
        (kind, row["encoder"], row["attribute"]): f"{row[kind]:.2f} ({row[f'{kind}_chance']:.2f})"
        + ("*" if row[f"{kind}_p"] <= 0.05 else "")
        for kind in ("silhouette", "purity")
        for _, row in report.iterrows()
    }
    table = pd.Series(cells).unstack([0, 1], sort=False)
    where = "synthetic" if report["synthetic"].any() else "real"
    return table.rename_axis(index=f"{where} data; measured (chance), * p ≤ 0.05")
