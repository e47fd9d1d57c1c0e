"""What each difference changes on the data in use: ours with one of them at a time, and with all ("as released").

Every reading pre-trains our encoder at the profile's width and is evaluated like ours. It differs from ours in what its
switches say, and in nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dancemvp_core import code_hash
from dancemvp_core.dance import music
from dancemvp_core.dance.pieces import Cutting, PieceSet, build, resample, spread_recordings
from dancemvp_core.dance.sequences import DanceDataset
from dancemvp_core.dance.skeleton import IMPERIALDANCE21, Skeleton, bone_lengths, canonical_body, spatial_partitions
from dancemvp_core.device import seeded
from dancemvp_core.models import encoders
from dancemvp_core.models.encoders import DanceEncoder, GraphConvolution
from dancemvp_core.models.prompter import PrompterSettings
from dancemvp_core.pretraining import methods, networks, objectives, pretrained, training
from dancemvp_core.pretraining.condition import CONDITIONS, condition
from dancemvp_core.pretraining.networks import Width
from dancemvp_core.pretraining.training import Training
from dancemvp_core.released import cutting, encoder, hits, prompting, splits, texts
from dancemvp_core.released.pretraining import TEMPERATURE, ReleasedTraining, two_views
from dancemvp_core.released.prompting import PromptTuning
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks import metrics, protocols, stats
from dancemvp_core.tasks import splits as our_splits
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.outcomes import prompter_settings
from dancemvp_core.tasks.protocols import Episode

OURS, ALL = "ours", "as released"
NOTHING: frozenset[str] = frozenset()
CUTTING = ("cuts", "clock", "acoustics", "split")  # switches that change the pieces
PRETRAINING = (*CUTTING, "lstm", "knee", "hops", "mlp", "augmentation", "silent music", "temperature", "optimiser")
RELEASED_PROMPT = ("logits", "text tower", "text")  # switches that leave our prompt as it is
DOWNSTREAM = ("trials", *RELEASED_PROMPT, "hit rate", "target")
SWITCHES = (*PRETRAINING, *DOWNSTREAM)
EVERYTHING = (*SWITCHES, ALL)
STOPPING = "stopping"  # no switch: the best epoch on test instead of the last one, in the same fit
PERFORMANCE = ["seed", "sequence", "stratum"]  # a stratum is a choreography and level
MEASURES = ["task1", "task1_best", "task3"]
COLUMNS = ["difference", "condition", *PERFORMANCE, *MEASURES]


class Reading(NamedTuple):
    """What is as released in a reading, and the name of the reading with which it is compared."""

    on: frozenset[str]
    against: str = OURS


def readings(differences: tuple[str, ...] = EVERYTHING) -> dict[str, Reading]:
    """Return name -> reading: ours (nothing as released), each difference alone, and "as released" with all of ``SWITCHES``.

    The released prompt has three parts, and each needs the one before: "logits", then the text tower, then the label's text.
    Raises ValueError for an unknown difference.
    """
    for name in differences:
        if name not in EVERYTHING:
            raise ValueError(f"no difference {name!r}; there are {', '.join(EVERYTHING)}")
    chain = RELEASED_PROMPT
    last = max((chain.index(name) for name in differences if name in chain), default=-1)
    found = {OURS: Reading(NOTHING)}
    for name in SWITCHES:
        if name in chain[: last + 1]:
            place = chain.index(name)
            found[name] = Reading(frozenset(chain[: place + 1]), chain[place - 1] if place else OURS)
        elif name in differences:
            found[name] = Reading(frozenset([name]))
    return found | ({ALL: Reading(frozenset(SWITCHES))} if ALL in differences else {})


@dataclass(frozen=True, eq=False)
class TwoViews(PieceSet):
    """Pieces with a second view of each, fixed before the training: ``batch`` has it as "second"."""

    second: Tensor = field(kw_only=True)

    def batch(self, rows) -> dict[str, Tensor]:
        """As ``PieceSet.batch``, with "second" (N, 3, T, V)."""
        rows = torch.as_tensor(rows, device=self.motion.device)
        return super().batch(rows) | {"second": self.second[rows]}


class InTurn:
    """In place of an augmentation: the first view of a batch at one call, the second at the next."""

    def __init__(self):
        self.calls = 0

    def __call__(self, pieces: dict[str, Tensor], generator, mirror=()) -> dict[str, Tensor]:
        self.calls += 1
        return pieces | {"motion": pieces["motion" if self.calls % 2 else "second"]}


@dataclass(frozen=True, eq=False)
class Study:
    """What all readings share: the data set, a notebook's parameters, and the settings of training and prompting.

    ``cache``: folder of the music analyses. Pieces, features and measures of our prompt are kept, so that readings with the same
    ones share them. Features are kept in files of ``folder``, so that an interrupted study does not train again.
    """

    dataset: DanceDataset
    params: object
    training: Training
    prompter: PrompterSettings
    tuning: PromptTuning
    folder: Path
    cache: Path | None = None
    cut: dict = field(default_factory=dict, repr=False)
    learned: dict = field(default_factory=dict, repr=False)
    conditions: dict = field(default_factory=dict, repr=False)
    prompted: dict = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, dataset: DanceDataset, where: Workspace, params) -> Study:
        """Return the study with a notebook's parameters; our reading has the pieces and the finished encoders of the run."""
        ours = methods.METHODS["ours"].pretraining
        how = pretrained.training_of(ours, params)
        places = (where.paths.build / "released", where.paths.music_cache)
        made = cls(dataset, params, how, prompter_settings(params), PromptTuning.of(params), *places)
        made.cut[NOTHING] = where.pieces
        for seed in range(made.seeds):
            file = where.paths.encoder(ours, seed)
            made.learned[NOTHING, seed] = Features.kept(file, where.pieces)[0]
            made.conditions[NOTHING, seed] = pretrained.encoder_facts(file)["condition"]
        return made

    @property
    def seeds(self) -> int:
        """The number of seeds of each reading: every reading is a pre-training of its own."""
        return min(self.params.seeds, self.params.seeds_costly)

    def pieces(self, on: frozenset[str]) -> PieceSet:
        """Return the pieces of a reading, on the device."""
        key = on & set(CUTTING)
        if key not in self.cut:
            self.cut[key] = self._cut(key).to(self.cut[NOTHING].motion.device)
        return self.cut[key]

    def _cut(self, on: frozenset[str]) -> PieceSet:
        params, dataset = self.params, self.dataset
        split = our_splits.assign(dataset.index, "released" if "split" in on else params.split)
        keep = spread_recordings(dataset.index, split, params.pretrain_recordings)
        clock = "crop" if "clock" in on else params.time_normalisation
        fixed = cutting.CUTS_S if "cuts" in on else None
        made = build(dataset, split, keep, Cutting(params.piece_frames, params.bar_scope, clock, fixed), self.cache)
        return replace(made, music=released_music(made, dataset, clock)) if "acoustics" in on else made

    def features(self, on: frozenset[str], seed: int) -> Features:
        """Return the frozen features of the test pieces after a reading's pre-training."""
        key = on & set(PRETRAINING), seed
        if key not in self.learned:
            self.learned[key] = self._kept(*key)
        return self.learned[key]

    def condition(self, on: frozenset[str], seed: int) -> str:
        """Return the condition of a reading's pre-training: "collapsed", "underfit" or ""."""
        self.features(on, seed)
        return self.conditions[on & set(PRETRAINING), seed]

    def _kept(self, on: frozenset[str], seed: int) -> Features:
        """Return the features from their file; if its stamp is of other pieces, settings or code, pre-train first."""
        pieces, rows = self.pieces(on), self.pieces(on).rows("test")
        settings = methods.settings(methods.METHODS["ours"])
        facts = [asdict(self.training), asdict(Width.of(self.params)), settings, code_hash.stamp(__name__), pieces.digest]
        stamp = json.dumps([sorted(on), seed, *facts])
        file = self.folder / f"{'+'.join(sorted(on))}-seed{seed}.safetensors"
        if not file.exists() or pretrained.encoder_facts(file).get("stamp") != stamp:
            made, history = self.pretrained(on, seed)
            facts = {"stamp": stamp, "condition": condition(history)}
            pretrained.save_encoder(file, made, rows, training.encode(made, pieces, rows)[0], facts)
        self.conditions[on, seed] = pretrained.encoder_facts(file)["condition"]
        return Features.kept(file, pieces)[0]

    def pretrained(self, on: frozenset[str], seed: int) -> tuple[DanceEncoder, pd.DataFrame]:
        """Return the encoder after a reading's pre-training, and its history."""
        pieces = self.pieces(on)
        learned = silenced(pieces) if "silent music" in on else pieces
        views = networks.augmentation(methods.METHODS["ours"].pretraining)
        if "augmentation" in on:
            learned, views = fixed_views(learned, self.dataset, seed), InTurn()
        how = self.training
        if "optimiser" in on:
            batches = len(pieces.rows("pretrain")) // how.batch_size
            how = ReleasedTraining(**asdict(replace(how, weight_decay=1e-4)), batches=max(batches, 1))
        temperature = {"temperature": TEMPERATURE} if "temperature" in on else {}
        with seeded(seed, pieces.motion.device):
            made = build_encoder(on, self.dataset.skeleton, Width.of(self.params), pieces)
            objective = objectives.InfoNCE(made, training.class_codes(pieces.table)[1], **temperature).to(pieces.motion.device)
        hooks = training.Hooks(watch=pretrained.watch_on(pieces))
        history = training.train(objective, learned, how, views, seed, self.dataset.skeleton.mirror, hooks)
        return objective.encoder, history

    def measure(self, on: frozenset[str], seed: int) -> pd.DataFrame:
        """Return the measures of one reading, a row for each query performance: COLUMNS without difference, means over its pieces.

        condition is that of the reading's pre-training (``pretraining.condition``).
        task1 is accuracy in %, task3 the squared error in squared percentage points. With the released prompt, task1 is the
        answer after the last epoch of tuning, and task1_best that after the best epoch *on test*, which is no estimate; else
        both are the same. task3 refers to the reading's own label. It is nan where the data have no rate.
        """
        key = on - set(RELEASED_PROMPT), seed
        if key not in self.prompted:
            self.prompted[key] = self._measure_prompt(*key)
        found = self.prompted[key]
        if "logits" in on:
            features = self.features(on, seed)
            episode = episode_of(on, self.pieces(on).table, self.params.shots, seed)
            how = self.tuning if "text tower" in on else replace(self.tuning, layers=1, heads=2)
            shown = prompting.label_texts if "text" in on else prompting.one_text
            right = 100.0 * prompting.answers(features, episode, texts.RELEASED_VOCABULARY, how, seed, shown)
            found = found.assign(task1=right[-1], task1_best=right[right.mean(axis=1).argmax()])
        return found.groupby(PERFORMANCE, as_index=False)[MEASURES].mean().assign(condition=self.condition(on, seed))

    def _measure_prompt(self, on: frozenset[str], seed: int) -> pd.DataFrame:
        """Return the measures of our prompt on a reading's features and labels, a row for each query piece."""
        table = labels_of(on, self.pieces(on).table, self.dataset)
        episode = episode_of(on, table, self.params.shots, seed)
        query = table.iloc[episode.query]
        predictions = protocols.run("prompt", self.features(on, seed), episode, seed, self.prompter)
        pieces = metrics.per_piece(predictions, query)
        stratum = query["choreography"].astype(str) + "/" + query["level"].astype(str)
        right = 100.0 * pieces["accuracy"]
        error = pieces["rate_error"] ** 2 if "rate_error" in pieces else np.nan
        facts = {"seed": seed, "sequence": query["sequence"], "stratum": stratum}
        return pd.DataFrame(facts | {"task1": right, "task1_best": right, "task3": error})


def released_music(made: PieceSet, dataset: DanceDataset, clock: str) -> Tensor:
    """Return the released acoustic features of every music window, (W, 549, frames): 3 s from its start, not standardised."""
    frames = made.music.shape[2]
    out = np.zeros((len(made.music), cutting.ROWS, frames), np.float32)
    firsts = made.table[made.table["window"] >= 0].drop_duplicates("window")
    for row in firsts.itertuples():
        danced = dataset.sequences[row.sequence]
        pace = (danced.music_window_s or danced.duration_s) / danced.duration_s if clock == "stretch" else 1.0
        start = danced.music_offset_s + row.start_s * pace
        samples, rate = music.load_audio(danced.music, max(start, 0.0), 3.0)
        out[row.window] = resample(cutting.music_features(samples, rate), frames)
    return torch.from_numpy(out)


def fixed_views(pieces: PieceSet, dataset: DanceDataset, seed: int) -> TwoViews:
    """Return the pieces with two fixed views of the pre-train ones: two of four augmentations of the clips, drawn once per file."""
    rng = np.random.default_rng(seed)
    motion, second = pieces.motion.cpu().numpy().copy(), pieces.motion.cpu().numpy().copy()
    table, frames = pieces.table, pieces.motion.shape[2]
    for _, file in table[table["split"] == "pretrain"].groupby(["choreography", "level"]):
        trials = list(dict.fromkeys(file["sequence"]))
        clips = np.stack([dataset.sequences[i].motion for i in trials])
        views = two_views(clips, rng)[:2]
        for row, piece in file.iterrows():
            danced = dataset.sequences[piece["sequence"]]
            span = slice(round(piece["start_s"] * danced.fps), round(piece["end_s"] * danced.fps))
            lengths = bone_lengths(motion[row], dataset.skeleton)
            for out, view in zip((motion, second), views, strict=True):
                part = resample(view[trials.index(piece["sequence"])][:, span].astype(np.float32), frames)
                out[row] = canonical_body(part, dataset.skeleton, lengths)
    device = pieces.motion.device
    moved = (torch.from_numpy(m).to(device) for m in (motion, second))
    return TwoViews(next(moved), pieces.music, table, pieces.sequences, second=next(moved))


def silenced(pieces: PieceSet) -> PieceSet:
    """Return the pieces with silence for all pre-train pieces but the last of each file."""
    table = pieces.table.copy()
    own = table["split"] == "pretrain"
    last = table[own].groupby(["choreography", "level"]).tail(1).index
    table.loc[own & ~table.index.isin(last), "window"] = -1
    return PieceSet(pieces.motion, pieces.music, table, pieces.sequences)


def build_encoder(on: frozenset[str], skeleton: Skeleton, width: Width, pieces: PieceSet) -> DanceEncoder:
    """Return our encoder with the networks that a reading switches."""
    motion = encoders.build("stgcn", "motion", skeleton, width.channels, width.dim)
    if on & {"knee", "hops"}:
        graph = torch.from_numpy(graph_of(on, skeleton))
        for layer in motion.modules():
            if isinstance(layer, GraphConvolution):
                layer.graph = graph
    rows, frames = pieces.music.shape[1:]
    if "lstm" in on:
        sound: nn.Module = encoder.MusicEncoder(frames, width.dim, dim=width.dim)
    else:
        sound = encoders.LSTM(rows, width.dim)
    settings = methods.settings(methods.METHODS["ours"])
    made = DanceEncoder(motion, sound, width.dim, width.features, settings["representation"], settings["mlp_layers"])
    if "mlp" in on:
        size = width.dim
        made.mix = nn.Sequential(nn.Linear(2 * size, size), nn.ReLU(), nn.Linear(size, size), nn.ReLU())
        made.last = nn.Linear(size, width.features)
    return made


def graph_of(on: frozenset[str], skeleton: Skeleton) -> np.ndarray:
    """Return the graph of a reading, (3, V, V): without the right knee, with distances up to one bone, or both."""
    joints = [skeleton.joints.index(name) for name in encoder.MISSING_BONE]
    if "hops" in on:
        bones = encoder.edges(skeleton, knee="knee" not in on)
        return encoder.partitions(len(skeleton.joints), bones, skeleton.parents.index(-1))
    graph = spatial_partitions(skeleton)
    for a, b in (joints, joints[::-1]):
        graph[:, a, b] = 0
    return graph / graph.sum(axis=(0, 1), keepdims=True)


def labels_of(on: frozenset[str], table: pd.DataFrame, dataset: DanceDataset) -> pd.DataFrame:
    """Return a pieces' table with Task 3's label as the reading has it: BAR or the hit rate, of the piece or the file's mean."""
    table = table.copy()
    asked = table["split"] == "test"
    if "hit rate" in on:
        heard: dict[tuple, np.ndarray] = {}
        found = {}
        for sequence in table.loc[asked, "sequence"].unique():
            danced = dataset.sequences[sequence]
            window = (danced.music, danced.music_offset_s, danced.duration_s)
            if danced.music is None:
                continue
            if window not in heard:
                heard[window] = hits.beats_of(*window)
            found[sequence] = hits.rate_and_chance(danced, heard[window])[0]
        table.loc[asked, "bar"] = table.loc[asked, "sequence"].map(found)
    if "target" in on:
        mean = table[asked].groupby(["choreography", "level"])["bar"].transform("mean")
        table.loc[asked, "bar"] = mean
    return table


def episode_of(on: frozenset[str], table: pd.DataFrame, shots: int, seed: int) -> Episode:
    """Return support and query: half of the trials at random or, as released, the last quarter in order of practice."""
    test = table.loc[table["split"] == "test", "choreography"].unique()
    if "trials" not in on:
        return Episode(table, *our_splits.support_and_query(table, test, shots, seed))
    own = table[table["choreography"].isin(test)]
    rank = own.groupby(["choreography", "level"])["trial"].rank(pct=True)
    first, last = (splits.SUPPORT_TRIALS.start / 100, splits.QUERY_TRIALS.start / 100)
    return Episode(table, np.array(own.index[(rank > first) & (rank <= last)]), np.array(own.index[rank > last]))


def why_not(dataset: DanceDataset, sequences: pd.DataFrame) -> str:
    """Return the reason why the released code cannot read a data set, in one sentence; "" if it can.

    ``sequences`` is ``PieceSet.sequences``.
    """
    missing = sorted({*our_splits.PRETRAIN, *our_splits.TEST} - set(dataset.index["choreography"].dropna()))
    if dataset.skeleton.joints != IMPERIALDANCE21.joints:
        return "The released code reads the 21 joints of ImperialDance only: this notebook is left out."
    if missing:
        return f"The released code names choreographies that the data lack ({missing[0]}): this notebook is left out."
    if dataset.index["track"].isna().any():
        return "The released code needs music for every performance: this notebook is left out."
    shortest = float(sequences["duration_s"].min())
    if shortest < cutting.CUTS_S[-1][1]:
        return f"The released code cuts 10 s, and the shortest performance has {shortest:.1f} s: this notebook is left out."
    return ""


def run(differences: tuple[str, ...], study: Study, progress: Callable = lambda jobs: jobs) -> pd.DataFrame:
    """Return the measures of ``readings``: COLUMNS, a row for each reading and query performance; without names, of all."""
    plan = readings(differences or EVERYTHING)
    jobs = [(name, reading.on, seed) for name, reading in plan.items() for seed in range(study.seeds)]
    parts = [study.measure(on, seed).assign(difference=name) for name, on, seed in progress(jobs)]
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def effects(measured: pd.DataFrame) -> pd.DataFrame:
    """Return what each reading changes against the reading with which it is compared.

    Mean, and the 95 % interval of the difference over seeds and query performances (``stats.crossed``); with one seed it is
    conditional on that fit. Columns: difference, against, n_seeds, condition (the worst one of the reading's pre-trainings), and
    for task1 (points of accuracy) and task3 (squared percentage points): _mean, _effect, _low, _high. The rows "stopping" and
    "as released, best epoch" are the best epoch on test against the last epoch of the same fit.
    """
    of = {name: own.set_index(PERFORMANCE) for name, own in measured.groupby("difference", sort=False)}
    plan = readings(tuple(name for name in of if name in EVERYTHING))
    rows = [_effect(name, plan[name].against, own, of[plan[name].against]) for name, own in of.items()]
    for name, label in (("text", STOPPING), (ALL, f"{ALL}, best epoch")):
        if name in of:
            best = of[name].assign(task1=of[name]["task1_best"])
            rows.append(_effect(label, name, best, of[name]))
    return pd.DataFrame(rows)


def _effect(name: str, against: str, own: pd.DataFrame, other: pd.DataFrame) -> dict:
    row = {"difference": name, "against": against, "n_seeds": own.index.get_level_values("seed").nunique()}
    row["condition"] = next((worst for worst in CONDITIONS if (own["condition"] == worst).any()), "")
    for task in ("task1", "task3"):
        found = _difference(own[task].dropna(), other[task].dropna())
        row |= {f"{task}_mean": own[task].groupby("seed").mean().mean(), f"{task}_effect": found.mean}
        row |= {f"{task}_low": found.low, f"{task}_high": found.high}
    return row


def _difference(own: pd.Series, other: pd.Series) -> stats.Estimate:
    """Return the difference of two readings: paired, or of two groups where they ask other performances (trials, split)."""
    if own.index.sort_values().equals(other.index.sort_values()):
        return stats.crossed((own - other).reset_index(name="value"))
    a, b = (stats.crossed(values.reset_index(name="value")) for values in (own, other))
    mean, half = a.mean - b.mean, float(np.hypot(a.high - a.mean, b.high - b.mean))
    return stats.Estimate(mean, mean - half, mean + half, np.nan)


def heard_music(study: Study, differences: tuple[str, ...], progress: Callable = lambda jobs: jobs) -> pd.DataFrame:
    """Return Task 1 for each test choreography, by whether pre-training has heard its music, on our and the released split.

    Columns: split ("ours", "released"), encoder ("pre-trained", "untrained"), seed, choreography, heard, shares_with (the
    pre-train choreographies with the same track), pieces, accuracy and level_within (in %). The choreographies of the two
    splits differ, so the untrained encoder shows how difficult they are without any pre-training. The released split is
    pre-trained on only if "split" is one of the ``differences`` that are measured (none named: all are).
    """
    readings = {study.params.split or OURS: NOTHING, "released": frozenset(["split"])}
    measured = [(split, True) for split, on in readings.items() if on <= set(differences or SWITCHES)]
    jobs = [(*job, seed) for job in [*measured, *((split, False) for split in readings)] for seed in range(study.seeds)]
    rows = []
    for split, trained, seed in progress(jobs):
        on = readings[split]
        pieces = study.pieces(on)
        if trained:
            features = study.features(on, seed)
        else:
            with seeded(seed, pieces.motion.device):
                fresh = build_encoder(on, study.dataset.skeleton, Width.of(study.params), pieces).to(pieces.motion.device)
            features = Features.encoded(fresh, pieces, pieces.rows("test"))
        episode = episode_of(on, pieces.table, study.params.shots, seed)
        predictions = protocols.run("prompt", features, episode, seed, study.prompter, ("vocabulary",))
        query = pieces.table.iloc[episode.query]
        right = metrics.per_piece(predictions, query)[["accuracy", "level_within"]]
        index = study.dataset.index
        shared = our_splits.heard_in_pretraining(index, our_splits.assign(index, "released" if on else study.params.split))
        for name, own in right.groupby(query["choreography"].to_numpy()):
            facts = (split, "pre-trained" if trained else "untrained", seed, name)
            rows.append((*facts, name in shared, ", ".join(shared.get(name, ())), len(own), *(100 * own.mean())))
    names = ["split", "encoder", "seed", "choreography", "heard", "shares_with", "pieces", "accuracy", "level_within"]
    return pd.DataFrame(rows, columns=names)
