"""Maps of the feature space (Fig. 5), and measures of how well attributes separate in it.

The maps are only pictures. The rules judge the claims by silhouette and neighbour purity in the feature space, each in
comparison with the same measure for permuted labels and with the same measure in the features of the untrained encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dancemvp_core.dance.pieces import Cutting, PieceSet, build, canonical_lengths
from dancemvp_core.dance.sequences import DanceDataset, DataError, evenly_spaced
from dancemvp_core.dance.skeleton import Skeleton, canonical_body, coco17_to_imperialdance21
from dancemvp_core.device import full_precision
from dancemvp_core.pretraining import training
from dancemvp_core.tasks import stats
from dancemvp_core.tasks.feature_maps import FEWEST_POINTS, on_sphere, tsne

POINT_COLUMNS = ["genre", "choreography", "level", "primitive", "sequence", "start_s", "trial"]

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
    part = _some(dataset, np.flatnonzero(keep), dataset.skeleton)
    everything = pd.Series("pretrain", index=part.index.index)
    cut = build(part, everything, np.ones(len(part), bool), cutting, cache)
    if len(cut) < FEWEST_POINTS:
        return None
    if not convertible:
        return cut
    motion = [canonical_body(coco17_to_imperialdance21(m), skeleton) for m in cut.motion.numpy()]
    return PieceSet(torch.from_numpy(np.stack(motion)), cut.music, cut.table, cut.sequences)


def _some(dataset: DanceDataset, rows: np.ndarray, skeleton: Skeleton) -> DanceDataset:
    """Return a data set of some sequences of ``dataset``, with the canonical body of ``skeleton``."""
    index, sequences = dataset.index.iloc[rows].reset_index(drop=True), [dataset.sequences[i] for i in rows]
    return DanceDataset(dataset.name, dataset.root, skeleton, index, sequences, dataset.synthetic)


def seen_pieces(
    dataset: DanceDataset, pieces: PieceSet, cutting: Cutting, points: int, cache: Path | None = None
) -> tuple[PieceSet, np.ndarray]:
    """Return Fig. 5a's pieces, about ``points``, and which of them were in pre-training, (P,) bool.

    They are of one choreography in each of three genres (urban, jazz, K-pop), with equally many performances of each level,
    spread over all trials on disk: with 100 trials the paper's 3 x 1 x 3 x 3 x 100 = 2,700. A small profile pre-trains on
    ``pieces`` of few of these trials, and the others only get features. Body and music are standardised as in ``pieces``.
    """
    known, trained = pieces.sequences, pieces.table[pieces.table["split"] == "pretrain"]
    chosen = one_choreography_each(known, "pretrain", 3, ("urban", "jazz", "k-pop"))
    pool = known[(known["split"] == "pretrain") & (known["choreography"].isin(chosen) | (not chosen))]
    files = [rows for _, rows in pool.groupby(["choreography", "level"], dropna=False).groups.items()]
    each = round(len(trained) / max(1, trained["sequence"].nunique()))  # pieces of a performance: three in the paper
    most = max(1, points // (max(1, each) * len(files)))
    shown = np.concatenate([evenly_spaced(rows.to_numpy(), most) for rows in files])
    # One performance of each music window in pre-training, because these windows standardise the music.
    heard = trained.drop_duplicates("window")["sequence"]
    rows = np.union1d(shown, heard)
    body = replace(dataset.skeleton, lengths=tuple(canonical_lengths(dataset)))
    splits = pd.Series(np.where(np.isin(rows, heard), "pretrain", "more"))
    cut = build(_some(dataset, rows, body), splits, np.ones(len(rows), bool), cutting, cache)
    table = cut.table.assign(sequence=rows[cut.table["sequence"]])
    keep = np.flatnonzero(table["sequence"].isin(shown))
    table = table.iloc[keep].reset_index(drop=True)
    cut = PieceSet(cut.motion[keep], cut.music, table, known).to(pieces.motion.device)
    return cut, table["sequence"].isin(trained["sequence"]).to_numpy()


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
    """Return each point's silhouette from symmetric distances (N, N) and class codes (N,) or (P, N), in the codes' shape.

    It is 0 for the only point of a class. One matrix product serves all P codes: P products would each read all distances.
    """
    member = np.eye(codes.max() + 1)[codes]
    size = member.sum(axis=-2)
    total = np.moveaxis(np.tensordot(member, distances, axes=(-2, 0)), -1, -2)
    own, own_size = codes[..., None], np.take_along_axis(size, codes, axis=-1)
    inside = np.take_along_axis(total, own, axis=-1)[..., 0] / np.maximum(own_size - 1, 1)
    outside = total / np.maximum(size, 1)[..., None, :]
    outside[np.broadcast_to(size[..., None, :] == 0, outside.shape)] = np.inf
    np.put_along_axis(outside, own, np.inf, axis=-1)
    nearest = outside.min(axis=-1)
    widest = np.maximum(np.maximum(inside, nearest), 1e-12)
    return np.where((own_size > 1) & np.isfinite(nearest), (nearest - inside) / widest, 0.0)


def purity(neighbours: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return for each point the share of its ``neighbours`` (N, k, indices) that have the same class; codes (N,) or (P, N)."""
    return (codes[..., neighbours] == codes[..., None]).mean(axis=-1)


def permuted(codes: np.ndarray, units: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return codes (N,) in random order. If all pieces of each unit (performance) have the same code, permute whole units."""
    _, first, place = np.unique(units, return_index=True, return_inverse=True)
    if (codes == codes[first][place]).all():
        return rng.permutation(codes[first])[place]
    return rng.permutation(codes)


@dataclass(frozen=True, eq=False)
class _Cell:
    """Points that share the attributes held fixed: distances (n, n), neighbours (n, k), class codes (n,), sequences (n,)."""

    distances: np.ndarray
    neighbours: np.ndarray
    codes: np.ndarray
    units: np.ndarray

    def measures(self, codes: np.ndarray) -> np.ndarray:
        """Return silhouette and purity of the points for class codes (n,) or (P, n): (2, n) or (2, P, n)."""
        return np.stack([silhouette(self.distances, codes), purity(self.neighbours, codes)])


def _spaces(x: np.ndarray, table: pd.DataFrame, fixed: tuple[str, ...], neighbours: int) -> list[tuple]:
    """Return (points, distances, neighbours) of each combination of the ``fixed`` attributes with at least 4 points."""
    cells = table.groupby(list(fixed), sort=False).ngroup().to_numpy() if fixed else np.zeros(len(table), int)
    out = []
    for inside in (np.flatnonzero(cells == cell) for cell in np.unique(cells)):
        if len(inside) >= 4:
            distances = 1 - x[inside] @ x[inside].T
            np.fill_diagonal(distances, 0)
            order = np.argsort(distances + 9 * np.eye(len(inside)), axis=1, kind="stable")
            out.append((inside, distances, order[:, : min(neighbours, len(inside) - 1)]))
    return out


def _cells(features, table: pd.DataFrame, neighbours: int) -> dict[str, list[_Cell]]:
    """Return the cells of each attribute, without those with one class; without attributes that are unknown somewhere."""
    x, units, out = on_sphere(features), table["sequence"].to_numpy(), {}
    spaces = {fixed: _spaces(x, table, fixed, neighbours) for fixed in set(ATTRIBUTES.values())}
    for attribute, fixed in ATTRIBUTES.items():
        name = attribute.split(" | ")[0]
        if table[[name, *fixed]].isna().any(axis=None):
            continue
        coded = [(pd.factorize(table[name].iloc[space[0]], sort=True)[0], space) for space in spaces[fixed]]
        cells = [_Cell(distances, order, codes, units[i]) for codes, (i, distances, order) in coded if codes.max() > 0]
        out |= {attribute: cells} if cells else {}
    return out


MEASURES = ("silhouette", "purity")


def separation(features, table: pd.DataFrame, neighbours: int = 10, permutations: int = 199, seed: int = 0) -> pd.DataFrame:
    """Return how well each attribute separates in the feature space: one row for each attribute.

    ``features`` (N, D) are compared by direction; ``table`` has their N rows. Columns: attribute, points, classes,
    neighbours, permutations, silhouette and purity (share of the ``neighbours`` nearest points with the same label). Both
    measures have a _chance (mean over ``permutations`` of the labels, see ``permuted``) and a _p (one-sided). For an
    attribute with others held fixed, both are computed within each combination of the others and averaged over the points.
    Unknown attributes and those with a single value are left out.
    """
    rng, rows = np.random.default_rng(seed), []
    for attribute, cells in _cells(features, table, neighbours).items():
        observed = np.concatenate([c.measures(c.codes) for c in cells], axis=-1).mean(axis=-1)
        shuffled = [np.stack([permuted(c.codes, c.units, rng) for _ in range(permutations)]) for c in cells]
        chance = np.concatenate([c.measures(codes) for c, codes in zip(cells, shuffled, strict=True)], axis=-1).mean(axis=-1)
        row = {"attribute": attribute, "points": sum(len(c.codes) for c in cells)}
        row["classes"] = int(table[attribute.split(" | ")[0]].nunique())
        for kind, value, others in zip(MEASURES, observed, chance, strict=True):
            above = (others >= value - 1e-12).sum()
            row |= {kind: value, f"{kind}_chance": others.mean(), f"{kind}_p": (1 + above) / (1 + permutations)}
        rows.append(row | {"neighbours": neighbours, "permutations": permutations})
    return pd.DataFrame(rows)


def lead(features, others, table: pd.DataFrame, neighbours: int = 10) -> pd.DataFrame:
    """Return how much better each attribute separates in ``features`` (N, D) than in ``others`` (N, D'): one row for each.

    Columns: attribute, and for silhouette and purity the mean difference over the N points of ``table`` (_lead), with its
    95 % t-interval over performances (_lead_low, _lead_high): the pieces of one performance are alike, so each performance
    has one value. The interval is for these two encoders, and not for others with another seed.
    """
    rows, (own, other) = [], (_cells(x, table, neighbours) for x in (features, others))
    for attribute, cells in own.items():
        here, there = (np.concatenate([c.measures(c.codes) for c in found[attribute]], axis=-1) for found in (own, other))
        units = np.concatenate([c.units for c in cells])
        row = {"attribute": attribute}
        for kind, difference in zip(MEASURES, here - there, strict=True):
            interval = stats.mean_interval(pd.Series(difference).groupby(units).mean())
            row |= dict(zip((f"{kind}_lead", f"{kind}_lead_low", f"{kind}_lead_high"), interval, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class Maps:
    """The panels of Fig. 5 in one run. ``encoders`` by name: the maps show the first one, the last one is untrained."""

    encoders: dict[str, nn.Module]
    points: list[pd.DataFrame] = field(default_factory=list)
    measures: list[pd.DataFrame] = field(default_factory=list)

    def add(self, name: str, pieces: PieceSet, rows, dataset: DanceDataset, music: bool = True) -> pd.DataFrame | None:
        """Compute map and measures of piece rows for the panel ``name``; return its points.

        Returns None if there are too few, and with a printed line if the first encoder gives all of them the same features.

        Points: panel, x, y, the labels, sequence, trial, features (z, or motion without ``music``), dataset, synthetic.
        Measures: as ``separation``, with panel, encoder, features, dataset and synthetic; and in the first encoder's rows its
        ``lead`` over the last, which is untrained.
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
        try:
            x, y = tsne(next(iter(z.values()))).T
        except DataError as fault:  # a collapsed encoder has no map, and the run goes on
            print(f"Panel {name}: {fault}.")
            return None
        self.points.append(table.assign(panel=name, x=x, y=y, **facts))
        measured = [separation(values, table).assign(panel=name, encoder=encoder, **facts) for encoder, values in z.items()]
        ahead = lead(next(iter(z.values())), list(z.values())[-1], table).assign(encoder=next(iter(z)))
        measured = pd.concat(measured, ignore_index=True).merge(ahead, on=["encoder", "attribute"], how="left")
        first = ["panel", "encoder"]
        self.measures.append(measured[first + [c for c in measured if c not in first]])
        return self.points[-1]

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the points and the measures of all panels; empty tables if no panel could be drawn."""
        columns = (["panel", "x", "y", *POINT_COLUMNS], ["panel", "encoder", "attribute"])
        return tuple(
            pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)
            for parts, names in zip((self.points, self.measures), columns, strict=True)
        )

    def measured(self, name: str) -> pd.DataFrame | None:
        """Return a readable table of the measures of a panel; None if the panel was not drawn."""
        own = [m for m in self.measures if m["panel"].eq(name).any()]
        return readable(own[0]) if own else None


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
