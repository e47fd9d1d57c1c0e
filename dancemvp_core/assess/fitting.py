"""Making an assessor (``12_assessor``): a prompter whose candidates are all choreographies, and its reference performances.

Support and held-out performances are disjoint for every choreography and level. ``calibration`` uses only the held-out
ones. The text encoder is needed only here: the assessor stores its vectors.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dancemvp_core.assess.assessor import Assessor, postures
from dancemvp_core.dance import music, rhythm
from dancemvp_core.dance.pieces import PieceSet, canonical_lengths, resample
from dancemvp_core.dance.sequences import DanceDataset, DanceSequence
from dancemvp_core.device import full_precision
from dancemvp_core.labels import POINTS, Levels, Scores
from dancemvp_core.models.prompter import SMALLEST_SPREAD, Prompter, PrompterSettings
from dancemvp_core.pretraining import methods
from dancemvp_core.pretraining.augment import Augmentation
from dancemvp_core.pretraining.networks import Width
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks import prompting, protocols, splits
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.outcomes import prompter_settings
from dancemvp_core.tasks.protocols import CLASS_COLUMNS
from dancemvp_core.tasks.rows import encoder_of

TASKS = ("vocabulary", "score")  # BAR is measured on a recording, not predicted
SEED = 0
HELD_OUT = 20  # held-out performances per choreography and level
NOISY_COPIES, MUSIC_NOISE = 2, 0.5  # copies of the support, and the noise in their music in standard deviations of a feature


def why_not(table: pd.DataFrame) -> str:
    """The reason why no assessor can be made of the pieces in ``table``, in one sentence; "" if it can."""
    if table.loc[table["split"] == "validation", ["genre", "level"]].isna().any(axis=None):
        return "The validation choreographies have no genres or levels: no assessor is made."
    return splits.why_not_evaluable(table, "validation")


def support_and_held_out(table: pd.DataFrame, shots: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows of support pieces, rows of held-out pieces), of disjoint performances of every choreography and level.

    The support has up to ``shots`` performances of each level of a choreography, and at most half of those of its smallest
    level. Up to 20 of the other performances are held out.
    """
    support, held_out = [], []
    known = table.dropna(subset=CLASS_COLUMNS)
    for choreography, group in known.groupby("choreography"):
        fewest = int(group.groupby("level")["sequence"].nunique().min())
        own, other = splits.support_and_query(known, [choreography], min(shots, fewest - fewest // 2), SEED)
        support.append(own)
        sequences = known["sequence"].loc[other]
        rank = sequences.groupby(known.loc[other, "level"]).transform(lambda s: pd.factorize(s)[0])
        held_out.append(other[(rank < HELD_OUT).to_numpy()])
    return np.concatenate(support), np.concatenate(held_out)


def music_scale(
    dataset: DanceDataset, pieces: PieceSet, time_normalisation: str, cache: Path | None
) -> tuple[Tensor, Tensor]:
    """(mean, standard deviation) (54,) with which ``pieces.build`` standardised the music: of the pre-train windows.

    The music of a recording needs the same scale, and a ``PieceSet`` does not store it.
    """
    table = pieces.table
    windows = table[(table["split"] == "pretrain") & (table["window"] >= 0)].drop_duplicates("window")
    if windows.empty:
        return torch.zeros(pieces.music.shape[1]), torch.ones(pieces.music.shape[1])
    parts = []
    for row in windows.itertuples():
        s = dataset.sequences[row.sequence]
        analysis = music.analyse(
            s.music, s.music_offset_s, s.music_window_s, s.duration_s, time_normalisation=time_normalisation, cache=cache
        )
        inside = (analysis.feature_times_s >= row.start_s) & (analysis.feature_times_s < row.end_s)
        parts.append(resample(analysis.features[:, inside], pieces.music.shape[2]))
    raw = torch.from_numpy(np.stack(parts))
    return raw.mean(dim=(0, 2)), raw.std(dim=(0, 2), correction=0).clamp(min=1e-6)


def recorded_bar(sequence: DanceSequence, time_normalisation: str, cache: Path | None) -> float:
    """A performance's BAR in percent, measured as ``dancemvp assess`` measures a recording, so that both are comparable.

    It uses the clock of the dancer's music and the music's onset peaks. Task 3 uses the labels and the clock of the data
    set.
    """
    if sequence.music is None:
        return float("nan")
    stretched = time_normalisation == "stretch" and sequence.music_window_s
    duration_s = sequence.music_window_s if stretched else sequence.duration_s
    fps = sequence.motion.shape[1] / duration_s
    analysis = music.analyse(sequence.music, sequence.music_offset_s, clip_s=duration_s, cache=cache)
    return float(rhythm.alignment(replace(sequence, fps=fps, music_intensity_s=None), analysis)["bar"])


def longest_beat_s(dataset: DanceDataset, table: pd.DataFrame) -> float | None:
    """The longest beat of the pieces in s, on the clock of their music; None if no piece was cut by beats."""
    cut = table[table["segmentation"] == "beats"].drop_duplicates(["choreography", "primitive"])
    beats = []
    for row in cut.itertuples():
        s = dataset.sequences[row.sequence]
        stretch = s.duration_s / (s.music_window_s or s.duration_s)
        beats.append((row.end_s - row.start_s) / 8 / stretch)
    return max(beats, default=None)


def prompter_tensors(
    features: Features, table: pd.DataFrame, support: np.ndarray, settings: PrompterSettings, scores: Scores = POINTS
) -> tuple[dict[str, Tensor], pd.DataFrame, float]:
    """Fit a prompter on the support. Returns (its tensors as in ``Assessor``, the classes, the smallest spread of the score).

    ``scores`` is the range of the score, for its sentences.

    Both tasks share its weights, so it stops where Task 1 is best; ``calibration`` then widens the score. The prompter is
    fitted on the features' device; the tensors are on the CPU.
    """
    device = features.hidden.device
    known = table.iloc[support]
    tasks = tuple(task for task in TASKS if task in protocols.supported_tasks(known))
    classes, codes = protocols.class_table(known)
    hidden = features.hidden[torch.as_tensor(support, device=device)]
    target = protocols.targets(known.fillna({"score": 0.0, "bar": 0.0}), codes, device)
    said = prompting.candidates(tasks, classes, scores)

    def new(hidden: Tensor) -> Prompter:
        return Prompter(features.last, hidden, said, tasks, len(classes), "words", settings)

    named = classes.astype(str).to_numpy()
    problem = prompting.Problem(new, prompting.Inputs(hidden), target, splits.folds(known), named)
    prompter = prompting.fit_until_best(problem, "vocabulary", settings, SEED)
    with torch.inference_mode():
        encoded = prompter.encode_texts()
        weight, bias = prompter.last.folded()
        tensors = {
            "last.weight": weight,
            "last.bias": bias,
            "z.mean": prompter.mean,
            "z.spread": prompter.spread,
        }
        for task in tasks:
            join, head = prompter.joins[task], prompter.heads[task]
            tensors |= {
                f"{task}.dance.weight": join.dance.weight,
                f"{task}.dance.bias": join.dance.bias,
                f"{task}.text": join.text(encoded[task]),
                f"{task}.head.weight": head.weight[0],
                f"{task}.head.bias": head.bias[0],
            }
        if "score" in tasks:
            tensors["score.values"] = prompter.values
        floor = SMALLEST_SPREAD + float(nn.functional.softplus(prompter.raw_spread))
    return {k: v.detach().to("cpu", copy=True) for k, v in tensors.items()}, classes, floor


def encoder_spec(method: methods.Method, width: Width) -> dict:
    """The specification from which ``assessor.encoder_of`` builds a method's encoder."""
    settings = methods.settings(method)
    kept = {name: settings[name] for name in ("representation", "mlp_layers")}
    return asdict(width) | {"motion": method.motion, "music": method.music} | kept


@dataclass(frozen=True, eq=False)
class Material:
    """What an assessor is made from: a data set and its pieces, a frozen encoder and its spec, the prompter and music settings."""

    pieces: PieceSet
    dataset: DanceDataset
    encoder: nn.Module
    spec: dict
    settings: PrompterSettings
    time_normalisation: str = "stretch"
    cache: Path | None = None

    @classmethod
    def of(cls, name: str, where: Workspace, dataset: DanceDataset, params) -> Material:
        """With the encoder of a table row (seed 0), from a notebook's parameters."""
        spec = encoder_spec(methods.METHODS[name], where.width)
        how = (prompter_settings(params), params.time_normalisation, where.paths.music_cache)
        return cls(where.pieces, dataset, encoder_of(name, 0, where), spec, *how)


def with_noisy_music(material: Material, hidden: Tensor, support: np.ndarray) -> tuple[Tensor, pd.DataFrame, np.ndarray]:
    """(features, table, support rows) with ``NOISY_COPIES`` of each support piece with music, whose music has noise.

    A lossy copy of a song moves its features a little, and features of songs that pre-training has not heard differ little. A
    prompter that was fitted on one copy of each song may take another copy for another choreography.
    """
    pieces, encoder = material.pieces, material.encoder.eval()
    heard = support[(pieces.table["window"].iloc[support] >= 0).to_numpy()]
    copied, parts = np.tile(heard, NOISY_COPIES), [hidden]
    noise, generator = Augmentation(music_noise=MUSIC_NOISE), torch.Generator(device=hidden.device).manual_seed(SEED)
    with torch.inference_mode(), full_precision():
        for start in range(0, len(copied), 64):
            parts.append(encoder.hidden(noise(pieces.batch(copied[start : start + 64]), generator)))
    table = pd.concat([pieces.table, pieces.table.iloc[copied]], ignore_index=True)
    return torch.cat(parts), table, np.concatenate([support, np.arange(len(pieces), len(table))])


def make(material: Material, hidden: Tensor, support: np.ndarray) -> Assessor:
    """An assessor of all choreographies in the support, not yet calibrated (``calibration.calibrate``).

    ``hidden`` (P, H) are the encoder's frozen features of all pieces, on the encoder's device, where the prompter is
    fitted. The assessor and its copy of the encoder are on the CPU. Raises DataError if the readers do.
    """
    pieces, dataset, encoder, cache = material.pieces, material.dataset, material.encoder, material.cache
    time_normalisation = material.time_normalisation
    table = pieces.table
    features, copied, with_copies = with_noisy_music(material, hidden, support)
    tensors, classes, floor = prompter_tensors(
        Features(features, encoder.last), copied, with_copies, material.settings, Scores.of(dataset)
    )
    mean, spread = music_scale(dataset, pieces, time_normalisation, cache)
    rows = torch.as_tensor(support)
    own = hidden[rows].cpu()
    centre, width = own.mean(dim=0), own.std(dim=0).clamp(min=1e-5)
    motion = pieces.motion[rows].cpu()
    poses = postures(motion, dataset.skeleton)
    _, codes = protocols.class_table(table.iloc[support])
    tensors |= {
        "music.mean": mean,
        "music.spread": spread,
        "features.mean": centre,
        "features.spread": width,
        "reference.features": nn.functional.normalize((own - centre) / width, dim=1),
        "posture.mean": poses.mean(dim=0),
        "class.postures": nn.functional.normalize(
            torch.stack([poses[torch.as_tensor(codes == c)].mean(dim=0) for c in range(len(classes))]) - poses.mean(dim=0), dim=1
        ),
    }
    references = table.iloc[support].rename(columns={"sequence": "performance"})
    performed = references["performance"].unique()
    bars = {i: recorded_bar(dataset.sequences[i], time_normalisation, cache) for i in performed.tolist()}
    references["bar"] = references["performance"].map(bars)
    columns = ["performance", *CLASS_COLUMNS, "trial", "score", "bar"]
    facts = {
        "dataset": dataset.name,
        "synthetic": dataset.synthetic,
        "level_name": Levels.of(dataset).word,
        "score_range": [Scores.of(dataset).low, Scores.of(dataset).high],
        "encoder": material.spec,
        "piece_frames": int(pieces.motion.shape[2]),
        "bone_lengths": [float(v) for v in canonical_lengths(dataset)],
        "music_features": list(music.FEATURES),
        "longest_beat_s": longest_beat_s(dataset, table.iloc[support]),
        "support_performances": int(references["performance"].nunique()),
        "switched_off": [] if "score.values" in tensors else ["no scores in the data: the score is left out"],
        "music_noise": MUSIC_NOISE,
        "score_floor": floor,
        "score_widening": 1.0,
        "temperature": 1.0,
        "sharpness": [1.0],
        "thresholds": {"features": 2.0, "posture": 2.0},  # the largest cosine distance: nothing exceeds it before calibration
    }
    own_encoder = copy.deepcopy(encoder).cpu().eval()
    return Assessor(own_encoder, dataset.skeleton, tensors, classes, references[columns].reset_index(drop=True), facts)
