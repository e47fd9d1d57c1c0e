"""The trained part of an assessment: one small file, and its answers about the eights of a recording.

``fitting`` makes the file. It contains the encoder, the prompter's last layer and heads, the vector of every candidate's
text, the reference performances, and the values chosen on validation. So its use needs neither the text encoder nor a
library for text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from scipy.special import ndtr, ndtri
from torch import Tensor, nn

from dancemvp_core.dance.pieces import resample
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import TO_IMPERIALDANCE21, Skeleton, canonical_body
from dancemvp_core.labels import POINTS, Scores
from dancemvp_core.models import encoders

FORMAT = "dancemvp-assessor-3"
CURVE = np.linspace(0.0, 100.0, 101)  # scores at which the density of the distribution is computed
NEAREST = 5  # reference performances in the report
POSES = 8  # poses of a piece, one per beat
SAMPLES = 8  # of a recording for each frame of a piece: whole frames would move the answer with the frame rate
HALVES = ("reference.features", "class.postures")  # directions: the file has them in float16, which moves a distance by 1e-4


@dataclass(frozen=True, eq=False)
class Assessor:
    """The content of the file. R reference pieces, C classes, H hidden features.

    ``tensors``: ``last.*``, ``z.mean``, ``z.spread``; per task ``<task>.dance.*``, ``.text`` (C, W), ``.head.*``;
    ``score.values``; ``music.mean`` and ``.spread`` (54,); ``features.mean``, ``.spread`` (H,); ``reference.features`` (R,
    H); ``posture.mean`` (D,) and ``class.postures`` (C, D), D = 8 * 3 * V, directions from that mean. ``classes`` has
    genre, choreography, level and primitive of each class. ``references`` has one row per reference piece; its BAR is
    measured as that of a recording. ``facts`` has all other values.
    """

    encoder: nn.Module
    skeleton: Skeleton
    tensors: dict[str, Tensor]
    classes: pd.DataFrame
    references: pd.DataFrame
    facts: dict

    # --- from a recording to the input of the networks -----------------------------------------------------------

    def body(self, motion: np.ndarray, skeleton: Skeleton) -> np.ndarray | None:
        """A motion (3, T, V) on the assessor's skeleton; None if the skeletons do not match.

        COCO's and Human3.6M's joints are mapped to ImperialDance's. Any other skeleton must have all joints of the assessor's
        skeleton by name.
        """
        if skeleton.name in TO_IMPERIALDANCE21 and self.skeleton.name == "imperialdance21":
            return TO_IMPERIALDANCE21[skeleton.name](motion)
        if set(self.skeleton.joints) <= set(skeleton.joints):
            return motion[:, :, [skeleton.index(joint) for joint in self.skeleton.joints]]
        return None

    def motion_piece(self, motion: np.ndarray, fps: float, start_s: float, end_s: float) -> Tensor:
        """The encoder's input from an eight of a motion (3, t, V): canonical body, frames as in training.

        The motion is read at times that do not depend on its frame rate, on a straight line between two frames.
        """
        count = SAMPLES * self.facts["piece_frames"]
        frame = (start_s + (end_s - start_s) * np.arange(count) / count) * fps
        before = np.clip(frame.astype(int), 0, motion.shape[1] - 2)
        part = np.minimum(frame - before, 1.0)[:, None]
        resampled = resample(motion[:, before] * (1 - part) + motion[:, before + 1] * part, self.facts["piece_frames"])
        return torch.from_numpy(canonical_body(resampled, self.skeleton, self.facts["bone_lengths"]))

    def music_piece(self, features: np.ndarray) -> Tensor:
        """The acoustic features of an eight, (54, t), resampled and standardised as in training."""
        resampled = torch.from_numpy(resample(features, self.facts["piece_frames"]))
        return (resampled - self.tensors["music.mean"][:, None]) / self.tensors["music.spread"][:, None]

    @torch.inference_mode()
    def hidden(self, motion: Tensor, music: Tensor, seconds: Tensor) -> Tensor:
        """The frozen features of K eights, (K, H), from motion (K, 3, T, V), music (K, 54, T) and their lengths in s (K,)."""
        return self.encoder.hidden({"motion": motion, "music": music, "seconds": seconds}).float()

    # --- what is danced ----------------------------------------------------------------------------------------

    def scores(self, task: str, hidden: Tensor) -> Tensor:
        """The prompter's score of every candidate of a task, (K, C): w . GELU(W_z z + W_t t(c)), with encoded texts t(c)."""
        t = self.tensors
        z = (F.linear(hidden, t["last.weight"], t["last.bias"]) - t["z.mean"]) / t["z.spread"]
        dance = F.linear(z, t[f"{task}.dance.weight"], t[f"{task}.dance.bias"])
        return F.gelu(dance[:, None] + t[f"{task}.text"]) @ t[f"{task}.head.weight"] + t[f"{task}.head.bias"]

    def recognise(self, hidden: Tensor, without: np.ndarray | None = None) -> Recognition:
        """Recognise the eights of one performance together; ``without`` (C,) bool masks classes that are not candidates."""
        logits = self.scores("vocabulary", hidden).double() / self.facts["temperature"]
        if without is not None:
            logits = logits.masked_fill(torch.from_numpy(without), -torch.inf)
        return self.vocabulary.pooled(logits.softmax(dim=1).numpy(), self.facts["sharpness"])

    @property
    def score_range(self) -> Scores:
        """The range of the data's scores."""
        return Scores(*self.facts.get("score_range", (0, 100)))

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The classes, split into choreographies with levels and primitives."""
        return Vocabulary.of(self.classes)

    # --- how well ----------------------------------------------------------------------------------------------

    def score(self, hidden: Tensor) -> tuple[float, float]:
        """(mean, standard deviation) of the score, 0..100, of the eights of one performance.

        Each eight has an expectation and a variance over the 21 candidates, as in training. Both are averaged, because the
        errors of the eights of one performance are correlated. The standard deviation is then multiplied by
        ``score_widening``, chosen on validation.
        """
        weights = self.scores("score", hidden).softmax(dim=1)
        values = self.tensors["score.values"]
        mean = weights @ values
        variance = (weights * (values - mean[:, None]) ** 2).sum(dim=1) + self.facts["score_floor"] ** 2
        return 100 * float(mean.mean()), 100 * self.facts["score_widening"] * float(variance.mean().sqrt())

    # --- is it out-of-distribution ------------------------------------------------------------------------------

    def feature_distances(self, hidden: Tensor) -> Tensor:
        """Cosine distance from each eight's features to those of every reference piece, (K, R)."""
        standard = (hidden - self.tensors["features.mean"]) / self.tensors["features.spread"]
        return 1 - F.normalize(standard, dim=1) @ self.tensors["reference.features"].T

    def distances(
        self, hidden: Tensor, motion: Tensor, found: Recognition, references=None, classes=None
    ) -> dict[str, float]:
        """How far a performance is from all known ones: {features, posture}, two cosine distances with thresholds.

        ``features``: the distance to the nearest reference piece in the learned features, which music dominates.
        ``posture``: the distance of the poses on the beats to those of the recognised choreography's primitives, as
        deviations from the mean of all poses; music is not part of it. Both are means over the eights. ``references``
        (R,) and ``classes`` (C,) bool select what is compared; None selects all.
        """
        to_references = self.feature_distances(hidden)
        if references is not None:
            to_references = to_references[:, torch.from_numpy(references)]
        same = self.vocabulary.choreography_of == found.best_choreography
        same = same if classes is None else same & classes
        own = postures(motion, self.skeleton) - self.tensors["posture.mean"]
        to_postures = 1 - F.normalize(own, dim=1) @ self.tensors["class.postures"][torch.from_numpy(same)].T
        return {
            "features": float(to_references.min(dim=1).values.mean()),
            "posture": float(to_postures.min(dim=1).values.mean()),
        }

    def beyond_thresholds(self, distances: dict[str, float]) -> list[str]:
        """The names of the distances that exceed their thresholds; empty for a performance like the known ones."""
        return [kind for kind, value in distances.items() if value > self.facts["thresholds"][kind]]

    def nearest(self, hidden: Tensor) -> pd.DataFrame:
        """The nearest reference performances: labels, score (in the data's range), BAR, and distance, the mean over the eights."""
        per_eight = pd.DataFrame(self.feature_distances(hidden).T.numpy()).groupby(self.references["performance"].to_numpy()).min()
        order = per_eight.mean(axis=1).sort_values(kind="stable").head(NEAREST)
        rows = self.references.drop_duplicates("performance").set_index("performance").loc[order.index]
        shown = self.score_range.shown(rows["score"].astype(float))
        return rows.drop(columns="primitive").assign(score=shown, distance=order).reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class Recognition:
    """Probabilities for one performance: of the D ``dances`` (genre, choreography, level), and of each eight's primitive.

    ``probability`` (D,); ``primitives`` (K, P) for the primitives 0..P-1 of K eights.
    """

    dances: pd.DataFrame
    probability: np.ndarray
    primitives: np.ndarray

    def of(self, attribute: str) -> pd.Series:
        """Probability of each genre, choreography or level, in falling order."""
        sums = pd.Series(self.probability).groupby(self.dances[attribute].to_numpy()).sum()
        return sums.sort_values(ascending=False, kind="stable")

    @property
    def best_choreography(self) -> str:
        """The most likely choreography."""
        return self.of("choreography").index[0]

    @property
    def best_primitives(self) -> np.ndarray:
        """The most likely primitive of each eight, (K,)."""
        return self.primitives.argmax(axis=1)


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The C classes, split into D ``dances`` (genre, choreography, level) and primitives.

    For each class, ``dance`` (C,) is its row in ``dances``, ``move`` (C,) its primitive and ``choreography_of`` (C,) its
    choreography.
    """

    dances: pd.DataFrame
    dance: np.ndarray
    move: np.ndarray
    choreography_of: np.ndarray

    @classmethod
    def of(cls, classes: pd.DataFrame) -> Vocabulary:
        """From a table of genre, choreography, level and primitive, one row per class."""
        names = ["genre", "choreography", "level"]
        codes = classes.groupby(names, sort=False).ngroup().to_numpy()
        dances = classes[names].drop_duplicates().reset_index(drop=True)
        return cls(dances, codes, classes["primitive"].to_numpy(int), classes["choreography"].to_numpy(object))

    def pooled(self, probabilities: np.ndarray, sharpness: list[float]) -> Recognition:
        """Combine the calibrated probabilities (K, C) of a performance's eights into one recognition.

        Choreography and level are the same in all eights, so their log-probabilities (summed over the primitives) are
        added. The eights of one performance are not independent, so the sum is multiplied by ``sharpness[K - 1]``, which is
        fitted on validation for 1, 2 and 3 eights. More eights count as three, since no more were measured. The primitive
        of each eight is then computed given the dance.
        """
        table = np.zeros((len(probabilities), len(self.dances), int(self.move.max()) + 1))
        table[:, self.dance, self.move] = probabilities
        per_dance = table.sum(axis=2)
        eights = len(probabilities)
        fitted = min(eights, len(sharpness))
        logs = np.log(np.maximum(per_dance, 1e-300)).sum(axis=0) * sharpness[fitted - 1] * fitted / eights
        joint = np.exp(logs - logs.max())
        joint /= joint.sum()
        given = table / np.maximum(per_dance[..., None], 1e-300)
        moves = np.einsum("d,kdp->kp", joint, given)
        return Recognition(self.dances, joint, moves / moves.sum(axis=1, keepdims=True))


# --- the body --------------------------------------------------------------------------------------------------------


def postures(motion: Tensor, skeleton: Skeleton) -> Tensor:
    """Poses of pieces, (K, 3, T, V) -> (K, 8 * 3 * V): the mean pose of each beat, relative to the root.

    All bodies are turned to face the same direction.
    """
    poses = F.adaptive_avg_pool2d(motion - motion[..., skeleton.root, None], (POSES, motion.shape[-1]))
    if not skeleton.pairs:
        return poses.flatten(1)
    left, right = map(list, zip(*skeleton.pairs, strict=True))
    across = (poses[..., left] - poses[..., right]).mean(dim=(2, 3))
    angle = torch.atan2(across[:, 2], across[:, 0])[:, None, None]
    x, y, z = poses.unbind(dim=1)
    return torch.stack([angle.cos() * x + angle.sin() * z, y, -angle.sin() * x + angle.cos() * z], dim=1).flatten(1)


def score_distribution(mean: float, sd: float, scores: Scores = POINTS) -> dict:
    """A normal distribution, truncated to 0..100, in the range of the data's ``scores``.

    It is {"mean", "low_90", "high_90", "range": [lowest, highest], "curve": [[score, density], ...]}.
    """
    bottom, top = ndtr((0 - mean) / sd), ndtr((100 - mean) / sd)
    low, high = (mean + sd * float(ndtri(bottom + share * (top - bottom))) for share in (0.05, 0.95))
    density = np.exp(-0.5 * ((CURVE - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi)) / (top - bottom)
    expected = float(mean + sd**2 * (density[0] - density[-1]))  # the mean of a normal distribution that is truncated at both ends
    shown = {"mean": scores.shown(expected), "low_90": scores.shown(low), "high_90": scores.shown(high)}
    curve = np.column_stack([scores.shown(CURVE), density / scores.unit])
    return shown | {"range": [scores.low, scores.high], "curve": curve.tolist()}


# --- the file --------------------------------------------------------------------------------------------------------


def encoder_of(spec: dict, skeleton: Skeleton) -> encoders.DanceEncoder:
    """An untrained encoder from motion, music (names or None), channels, dim, features, representation and mlp_layers."""
    nets = [
        spec[modality] and encoders.build(spec[modality], modality, skeleton, tuple(spec["channels"]), spec["dim"])
        for modality in ("motion", "music")
    ]
    return encoders.DanceEncoder(*nets, spec["dim"], spec["features"], spec["representation"], spec["mlp_layers"])


def as_file(assessor: Assessor) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, metadata) of the safetensors file that ``load`` reads."""
    tensors = {f"encoder.{k}": v for k, v in assessor.encoder.state_dict().items()}
    tensors |= assessor.tensors
    skeleton = {k: getattr(assessor.skeleton, k) for k in ("name", "joints", "parents", "pairs")}
    tables = {k: json.loads(getattr(assessor, k).to_json(orient="columns")) for k in ("classes", "references")}
    text = json.dumps({"format": FORMAT, "skeleton": skeleton, "facts": assessor.facts, **tables}, allow_nan=False)
    tensors |= {k: tensors[k].half() for k in HALVES}
    return {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, {"assessor": text}


def load(path: str | Path) -> Assessor:
    """Read an assessor file (``as_file``). DataError, in one line, if there is no file or it is not an assessor of this version."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such assessor file; `make reproduce` makes one (12_assessor), or name one with --checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {})["assessor"])
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a dict)
        tensors |= {k: tensors[k].float() for k in HALVES}
        if metadata["format"] != FORMAT:
            raise ValueError(f"format {metadata['format']}")
        shape = metadata["skeleton"]
        pairs = tuple(tuple(pair) for pair in shape["pairs"])
        skeleton = Skeleton(shape["name"], tuple(shape["joints"]), tuple(shape["parents"]), pairs)
        encoder = encoder_of(metadata["facts"]["encoder"], skeleton)
        encoder.load_state_dict({k[len("encoder.") :]: v for k, v in tensors.items() if k.startswith("encoder.")})
    except (SafetensorError, KeyError, ValueError, RuntimeError, TypeError, OSError) as fault:
        reason = " ".join(str(fault).split())[:120]
        raise DataError(f"{path}: not an assessor of this version ({reason}); `make reproduce` makes one (12_assessor)") from None
    rest = {k: v for k, v in tensors.items() if not k.startswith("encoder.")}
    classes, references = (pd.DataFrame(metadata[k]).reset_index(drop=True) for k in ("classes", "references"))
    return Assessor(encoder.eval(), skeleton, rest, classes, references, metadata["facts"])
