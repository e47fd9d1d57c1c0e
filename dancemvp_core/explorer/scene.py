"""The data of the explorer: the maps of a run's features, the attributes of their points, and the clips of the pieces."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd
from matplotlib import colormaps, colors

from dancemvp_core import files, style
from dancemvp_core.dance import music, primitives
from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.dance.sequences import DanceDataset, DataError, Piece
from dancemvp_core.labels import Levels, Scores
from dancemvp_core.paper import embeddings
from dancemvp_core.player import binary, clips
from dancemvp_core.pretraining import methods, training
from dancemvp_core.pretraining.pretrained import load_encoder
from dancemvp_core.runs.provenance import Paths, Run
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks import feature_maps
from dancemvp_core.tasks.features import Features

NEIGHBOURS = 5
MISSING = 65535  # code of an unknown class
RAMP = [colors.to_hex(c) for c in colormaps["viridis"](np.linspace(0.12, 0.95, 5))]  # one colour for each fifth of a range
SPARE = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.SKY, style.VERMILION)
OUTCOMES = ("right", "level wrong", "move wrong", "choreography wrong")  # "level" is the data's word for it
OUTCOME_COLOURS = (style.GREEN, style.ORANGE, style.PURPLE, style.VERMILION)
MAPS = {
    "test": ("All test choreographies", "test"),
    "5b": ("One unseen choreography (Fig. 5b)", "test"),
    "5a": ("Seen in pre-training (Fig. 5a)", "pretrain"),
}


@dataclass(frozen=True, eq=False)
class Scene:
    """A data set, its pieces and their encoders, for one profile. Times are in s of the clip."""

    dataset: DanceDataset
    where: Workspace
    time_normalisation: str = "stretch"
    shots: int = 20
    tsne_points: int = 1350
    _heard: dict = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run, dataset: DanceDataset) -> Scene:
        """Return the scene of a notebook's run. Raises DataError if the profile's pieces have not been cut yet."""
        params = run.params
        where = Workspace.open(run, dataset.skeleton)
        return cls(dataset, where, params.time_normalisation, params.shots, params.tsne_points)

    @property
    def pieces(self) -> PieceSet:
        """The cut pieces."""
        return self.where.pieces

    @property
    def paths(self) -> Paths:
        """The folders of the run."""
        return self.where.paths

    # --- maps --------------------------------------------------------------------------------------------------------

    def encoders(self) -> list[str]:
        """Return the names of the finished pre-trainings, as name-seedN."""
        names = sorted(file.stem for file in self.paths.encoder("*", 0).parent.glob("*-seed*.safetensors"))
        return [name for name in names if _parts(name)[0] in methods.pretrainings()]

    def maps(self, encoder: str) -> pd.DataFrame:
        """Return the t-SNE maps of an encoder's features: map, row (of the pieces), x, y, z. They are saved in build/.

        "5a" and "5b" have Fig. 5's pieces, and Fig. 5's coordinates for its encoder; of Fig. 5a only the pieces that were in
        pre-training. "test" has ``tsne_points`` pieces of all test choreographies. Maps with too few pieces are left out.
        Raises DataError for an unknown encoder.
        """
        if encoder not in self.encoders():
            known = ", ".join(self.encoders()) or "none yet"
            raise DataError(f"encoder {encoder!r}: there is no such finished pre-training, expected one of: {known}")
        chosen = self._rows()
        kept = self.paths.build / "maps" / f"{encoder}.parquet"
        stamp = self._stamp(encoder, chosen)
        if kept.exists() and (table := pd.read_parquet(kept)).attrs.get("stamp") == stamp:
            return table
        parts = []
        for name, own in chosen.items():
            z = self._features(encoder, own["row"].to_numpy(copy=True))
            if encoder != _figure_5() or own["x"].isna().any():
                own = own.assign(**dict(zip("xy", feature_maps.tsne(z).T, strict=True)))
            parts.append(own.assign(map=name, z=list(z)))
        table = pd.concat(parts, ignore_index=True)
        table.attrs["stamp"] = stamp
        files.write_parquet(kept, table)
        return table

    def _rows(self) -> dict[str, pd.DataFrame]:
        """Return the rows of the pieces for each map, with Fig. 5's coordinates for Fig. 5's pieces (else NaN)."""
        rows = {}
        test = embeddings.spread_rows(self.pieces.table, self.pieces.rows("test"), self.tsne_points)
        rows["test"] = pd.DataFrame({"row": test, "x": np.nan, "y": np.nan})
        file = self.paths.results / "fig5_embeddings.parquet"
        if file.exists():
            figure, own = pd.read_parquet(file), self.pieces.table[["sequence", "start_s"]]
            figure = figure.merge(own.assign(row=np.arange(len(own))), on=["sequence", "start_s"])
            rows |= {panel: figure.loc[figure["panel"] == panel, ["row", "x", "y"]] for panel in ("5b", "5a")}
        if not any(map(len, rows.values())):  # data without a split: pre-training used all pieces
            seen = embeddings.spread_rows(self.pieces.table, self.pieces.rows("pretrain"), self.tsne_points)
            rows["5a"] = pd.DataFrame({"row": seen, "x": np.nan, "y": np.nan})
        return {name: table.reset_index(drop=True) for name, table in rows.items() if len(table) >= feature_maps.FEWEST_POINTS}

    def _features(self, encoder: str, rows: np.ndarray) -> np.ndarray:
        """Return z of piece rows, (N, D), from the encoder's file if it has them; else encode the pieces."""
        name, seed = _parts(encoder)
        file = self.paths.encoder(name, seed)
        features, kept = Features.kept(file, self.pieces)
        if np.isin(rows, kept).all():
            return features.z.cpu().numpy()[rows]
        net = load_encoder(file, name, self.where.width, self.where.skeleton)
        return training.encode(net.to(self.pieces.motion.device), self.pieces, rows)[1].numpy()

    def _stamp(self, encoder: str, chosen: dict[str, pd.DataFrame]) -> str:
        content = hashlib.sha256(files.fingerprint(self.paths.encoder(*_parts(encoder))).encode())
        for name, own in chosen.items():
            content.update(name.encode() + own.to_numpy(float).tobytes())
        return content.hexdigest()[:16]

    # --- attributes of the points ------------------------------------------------------------------------------------

    def predictions(self, encoder: str) -> tuple[pd.DataFrame | None, str]:
        """Return the run's predictions for its query pieces, by piece row, and a note on their source.

        Returns None and the reason if there are no predictions.
        """
        name, seed = _parts(encoder)
        choreographies = self.pieces.table.loc[self.pieces.table["split"] == "test", "choreography"].nunique()
        for protocol in ("prompt", "finetune"):
            file = self.paths.outcome(name, protocol, self.shots, choreographies, seed)
            if not file.exists():
                continue
            found = pd.read_parquet(file)
            fits = found.index.max() < len(self.pieces) and (
                found["sequence"].to_numpy() == self.pieces.table["sequence"].reindex(found.index).to_numpy()
            ).all()  # fmt: skip
            if fits and file.stat().st_mtime > self.paths.encoder(name, seed).stat().st_mtime:
                source = f"Predictions: {protocol}, {self.shots} shots, seed {seed}; only query pieces have predictions."
                return found, source
        return None, f"No predictions of {encoder} with {self.shots} shots yet: run the notebooks of Tables 2 and 4."

    def attributes(self, encoder: str, rows: np.ndarray) -> tuple[list[dict], dict[str, np.ndarray], str]:
        """Return the attributes that can colour the points: (descriptions, one array for each attribute, a note).

        Classes are uint16 codes (65535: unknown), numbers are float32 (NaN: unknown). Attributes without any known value are
        left out.
        """
        levels, scores = Levels.of(self.dataset), Scores.of(self.dataset)
        table = self.pieces.table.iloc[rows].assign(score=scores.shown(self.pieces.table["score"].iloc[rows]))
        predicted, note = self.predictions(encoder)
        columns: list[tuple[str, str, str, pd.Series]] = [
            (label, levels.said(label), "Label", table[label]) for label in ("genre", "choreography", "level")
        ]
        columns += [("primitive", "move (primitive)", "Label", table["primitive"] + 1)]
        columns += [("score", "score", "Label", table["score"]), ("bar", "BAR (%)", "Label", table["bar"])]
        if predicted is not None:
            own = predicted.reindex(rows)
            points = {name: scores.shown(own[name]) for name in ("true_score", "predicted_score") if name in own}
            own = own.assign(**points)
            for label in ("choreography", "primitive", "level"):
                if f"predicted_{label}" in own:
                    values = own[f"predicted_{label}"]
                    title = "predicted move" if label == "primitive" else f"predicted {levels.said(label)}"
                    columns += [(f"predicted_{label}", title, "Prediction", values + 1 if label == "primitive" else values)]
            for label, title in (("score", "score"), ("bar", "BAR (%)")):
                if f"predicted_{label}" in own:
                    columns += [(f"predicted_{label}", f"predicted {title}", "Prediction", own[f"predicted_{label}"])]
            if "predicted_choreography" in own:
                columns += [("error_class", "class: right or wrong", "Error", _outcome(own).map(levels.said, na_action="ignore"))]
            for label, title in (("score", "score, absolute error"), ("bar", "BAR, absolute error (%)")):
                if f"predicted_{label}" in own:
                    error = (own[f"predicted_{label}"] - own[f"true_{label}"]).abs()
                    columns += [(f"error_{label}", title, "Error", error)]
        described, arrays = [], {}
        for key, title, group, values in columns:
            if values.isna().all():
                continue
            about, arrays[f"piece.{key}"] = _described(key, values, levels, scores)
            described.append({"id": key, "title": title, "group": group} | about)
        return described, arrays, note

    def atlas(self, encoder: str, most: int | None = None) -> tuple[dict, bytes]:
        """Return (header, arrays): all data of the maps, without the clips.

        Points are numbered within a map, pieces over all maps. ``most``: largest number of pieces on each map, spread over
        genres, levels, primitives and trials. Neighbours are the nearest of these pieces by cosine in the feature space, not
        on the map.
        """
        maps = self.maps(encoder)
        if most is not None:
            kept = [
                part[part["row"].isin(embeddings.spread_rows(self.pieces.table, part["row"].to_numpy(), most))]
                for _, part in maps.groupby("map", sort=False)
            ]
            maps = pd.concat(kept)
        rows = np.unique(maps["row"])
        attributes, arrays, note = self.attributes(encoder, rows)
        table = self.pieces.table.iloc[rows]
        arrays["piece.sequence"] = table["sequence"].to_numpy(np.int32)
        place = self.pieces.table.groupby("sequence").cumcount()  # "primitive" is a class, and may be 0 for all pieces
        arrays["piece.move"] = place.iloc[rows].to_numpy(np.uint16)
        for name, part in maps.groupby("map", sort=False):
            arrays[f"map.{name}.xy"] = part[["x", "y"]].to_numpy(np.float32)
            arrays[f"map.{name}.piece"] = np.searchsorted(rows, part["row"]).astype(np.int32)
            near, similarity = _nearest(np.stack(part["z"].to_numpy()))
            arrays |= {f"map.{name}.near": near, f"map.{name}.similarity": similarity}
        dancers, practice = self._practice()
        layout, data = binary.pack(arrays | practice)
        header = {
            "dataset": self.dataset.name, "synthetic": self.dataset.synthetic, "encoder": encoder,
            "profile": self.paths.profile, "encoders": self.encoders(), "neighbours": NEIGHBOURS,
            "skeleton": clips.drawn_skeleton(self.dataset.skeleton),
            "maps": [{"id": name, "title": MAPS[name][0]} for name in maps["map"].unique()],
            "attributes": attributes, "dancers": dancers, "note": note, "ramp": RAMP, "arrays": layout,
        }  # fmt: skip
        return header, data

    def _practice(self) -> tuple[list[list], dict[str, np.ndarray]]:
        """Return the dancers ([choreography, level]), and sequence, dancer, trial, BAR and score of each performance."""
        known = self.pieces.sequences.dropna(subset=["choreography", "level", "trial"])
        rank = {level: i for i, level in enumerate(self.dataset.levels)}
        known = known.sort_values(["choreography", "level", "trial"], key=lambda c: c.map(rank) if c.name == "level" else c)
        names = known[["choreography", "level"]].drop_duplicates()
        code = pd.MultiIndex.from_frame(known[["choreography", "level"]])
        arrays = {
            "practice.sequence": known["sequence"].to_numpy(np.int32),
            "practice.dancer": pd.MultiIndex.from_frame(names).get_indexer(code).astype(np.uint16),
            "practice.trial": known["trial"].to_numpy(np.int32),
            "practice.bar": known["bar"].to_numpy(np.float32),
            "practice.score": Scores.of(self.dataset).shown(known["score"]).to_numpy(np.float32),
        }
        return names.to_numpy().tolist(), arrays

    # --- clips -------------------------------------------------------------------------------------------------------

    def clip(self, sequence: int, primitive: int) -> tuple[dict, bytes]:
        """Return a performance's piece for the browser (``clips.clip``); the header's "audio" is the key for ``audio``.

        The performance may be any in the data set, also one without a cut piece. Raises DataError for an unknown
        performance or primitive.
        """
        if not 0 <= sequence < len(self.dataset):
            raise DataError(f"performance {sequence}: expected 0 to {len(self.dataset) - 1}")
        danced = self.dataset.sequences[sequence]
        analysis = None
        if danced.music is not None:
            window = (danced.music, danced.music_offset_s, danced.music_window_s, danced.duration_s)
            analysis = music.analyse(*window, self.time_normalisation, self.paths.music_cache)
        pieces: list[Piece] = primitives.segment(danced, analysis.beats_s if analysis else ())
        if not 0 <= primitive < len(pieces):
            raise DataError(f"performance {sequence}: no primitive {primitive}, expected 0 to {len(pieces) - 1}")
        header, data, excerpt = clips.clip(pieces[primitive], analysis)
        score = None if header["score"] is None else Scores.of(self.dataset).shown(header["score"])
        header |= {"sequence": sequence, "audio": None, "score": score}
        if excerpt is not None:
            key = hashlib.sha256(repr(asdict(excerpt)).encode()).hexdigest()[:12]
            self._heard[key] = excerpt
            header["audio"] = key
        return header, data

    def clips_of(self, header: dict, data: bytes) -> list[tuple[int, int]]:
        """Return (sequence, primitive) of every piece in an atlas."""
        arrays = binary.unpack(header["arrays"], data)
        return [(int(s), int(m)) for s, m in zip(arrays["piece.sequence"], arrays["piece.move"], strict=True)]

    def audio(self, key: str) -> bytes:
        """Return the music of an earlier ``clip`` as FLAC. Raises DataError for an unknown key."""
        if key not in self._heard:
            raise DataError(f"music {key!r}: no clip with this music was shown")
        return clips.audio(self._heard[key])


def _parts(encoder: str) -> tuple[str, int]:
    """Return pre-training and seed of "name-seedN"; ("", 0) for any other text."""
    name, _, seed = encoder.rpartition("-seed")
    return (name, int(seed)) if seed.isdecimal() else ("", 0)


def _figure_5() -> str:
    return f"{methods.METHODS['ours'].pretraining}-seed0"


def _nearest(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each point's nearest points by cosine: numbers (N * k,) int32, nearest first, and similarities (N * k,) float32.

    k is ``NEIGHBOURS``; missing neighbours are -1 and NaN.
    """
    x = feature_maps.on_sphere(z)
    cosine = x @ x.T
    np.fill_diagonal(cosine, -np.inf)
    most = min(NEIGHBOURS, len(x) - 1)
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :most]
    near = np.full((len(x), NEIGHBOURS), -1, dtype=np.int32)
    similarity = np.full((len(x), NEIGHBOURS), np.nan, dtype=np.float32)
    near[:, :most], similarity[:, :most] = order, np.take_along_axis(cosine, order, axis=1)
    return near.ravel(), similarity.ravel()


def _outcome(predicted: pd.DataFrame) -> pd.Series:
    """Return the coarsest error in each piece's predicted class: one of OUTCOMES, None for a piece without prediction."""
    out = pd.Series(OUTCOMES[0], index=predicted.index, dtype=object)
    for label, outcome in (("level", OUTCOMES[1]), ("primitive", OUTCOMES[2]), ("choreography", OUTCOMES[3])):
        if f"predicted_{label}" in predicted:
            out[predicted[f"predicted_{label}"] != predicted[f"true_{label}"]] = outcome
    out[predicted["predicted_choreography"].isna()] = None
    return out


def _described(key: str, values: pd.Series, levels: Levels, scores: Scores) -> tuple[dict, np.ndarray]:
    """Return an attribute's kind, names (levels, and errors from none to coarse, in order) and colours or range, and its values."""
    label = key.removeprefix("predicted_")
    if label in ("score", "bar") or key in ("error_score", "error_bar"):
        points = scores if "score" in key else Scores()
        low, high = (0.0, max(np.ceil(values.max() / points.unit / 10) * 10, 1.0) * points.unit) if key.startswith("error") else (
            points.low, points.high)  # fmt: skip
        return {"kind": "number", "low": float(low), "high": float(high)}, values.to_numpy(np.float32)
    outcomes, found = [levels.said(name) for name in OUTCOMES], list(values.dropna().unique())
    in_order = {"level": levels.sorted, "error_class": lambda found: sorted(found, key=outcomes.index)}
    names = in_order.get(label, sorted)(found)
    codes = pd.Categorical(values, categories=names).codes.astype(np.int32)
    shown = [str(int(n)) if isinstance(n, (int, float, np.number)) else str(n) for n in names]
    palette = {
        "genre": {n: style.GENRE_COLOURS.get(n) for n in names}, "level": {n: levels.colour(n) for n in names},
        "error_class": dict(zip(outcomes, OUTCOME_COLOURS, strict=True)),
    }.get(label, {})  # fmt: skip
    described = {
        "kind": "class", "names": shown,
        "colours": [palette.get(n) or _spare(i) for i, n in enumerate(names)],
    }  # fmt: skip
    return described, np.where(codes < 0, MISSING, codes).astype(np.uint16)


def _spare(i: int) -> str:
    """Return colour number i: a colour of the palette; after the last one, the same colours lighter, then darker."""
    rgb = np.array(colors.to_rgb(SPARE[i % len(SPARE)]))
    round_ = i // len(SPARE)
    return colors.to_hex(rgb if round_ == 0 else rgb + 0.5 * (1 - rgb) if round_ % 2 else rgb * 0.6)
