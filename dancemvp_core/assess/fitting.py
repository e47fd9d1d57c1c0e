"""Making an assessor (``11_assessor``): candidates of every choreography, calibrated on validation, measured on test.

Support and held-out performances are disjoint for every choreography and level. Everything is chosen on held-out
performances of the *validation* choreographies; those of the test choreographies, and dancers whom the simulator sends
for this, are only measured. The text encoder is needed here and stays here.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dancemvp_core import downstream, methods, music, rhythm, splits, texts
from dancemvp_core.assess.assessor import Assessor, Vocabulary, postures
from dancemvp_core.downstream import CLASS_COLUMNS, Features, Prompter, Prompting
from dancemvp_core.experiments import Width
from dancemvp_core.pieces import PieceSet, canonical_lengths, resample
from dancemvp_core.sequences import DanceDataset, DanceSequence

TASKS = ("vocabulary", "score")  # BAR is measured on a recording, not predicted
FALSE_ALARMS = 0.025  # of either distance, on known dances by another dancer: five in a hundred together
EIGHTS = 3  # of a performance in the data, so sharpness is fitted for as many
SEED = 0
JUDGED = 20  # held-out performances a choreography and level
Z90 = 1.6449  # standard deviations to either side that hold nine tenths of a normal distribution
TEMPERATURES = np.geomspace(0.25, 4.0, 65)
SHARPNESS = np.linspace(0.05, 1.5, 59)

KINDS = {  # how a held-out performance is shown to the assessor
    "known": "as it is",
    "another dancer": "its dancer (its level of the choreography) is taken out of the references",
    "another dance": "its choreography is taken out of references and candidates",
    "other music": "danced to the music of another choreography",
}


def support_and_held_out(table: pd.DataFrame, shots: int) -> tuple[np.ndarray, np.ndarray]:
    """Piece rows to learn from and to judge by, of disjoint performances of every choreography and level.

    Up to ``shots`` performances of each to learn from; to judge by, half of them, and no more than 20.
    """
    support, held_out = [], []
    known = table.dropna(subset=CLASS_COLUMNS)
    for choreography, group in known.groupby("choreography"):
        fewest = int(group.groupby("level")["sequence"].nunique().min())
        own, other = splits.support_and_query(known, [choreography], min(shots, fewest - fewest // 2), SEED)
        support.append(own)
        sequences = known["sequence"].loc[other]
        rank = sequences.groupby(known.loc[other, "level"]).transform(lambda s: pd.factorize(s)[0])
        held_out.append(other[(rank < JUDGED).to_numpy()])
    return np.concatenate(support), np.concatenate(held_out)


def music_scale(
    dataset: DanceDataset, pieces: PieceSet, time_normalisation: str, cache: Path | None
) -> tuple[Tensor, Tensor]:
    """(mean, spread) (54,) by which ``pieces.build`` standardised the music: those of the pre-train windows.

    A recording's music has to be brought onto the same scale, and a ``PieceSet`` does not keep it.
    """
    table = pieces.table
    windows = table[(table["split"] == "pretrain") & (table["window"] >= 0)].drop_duplicates("window")
    if windows.empty:
        return torch.zeros(pieces.music.shape[1]), torch.ones(pieces.music.shape[1])
    parts = []
    for row in windows.itertuples():
        s = dataset.sequences[row.sequence]
        heard = music.analyse(
            s.music, s.music_offset_s, s.music_window_s, s.duration_s, time_normalisation=time_normalisation, cache=cache
        )
        inside = (heard.feature_times_s >= row.start_s) & (heard.feature_times_s < row.end_s)
        parts.append(resample(heard.features[:, inside], pieces.music.shape[2]))
    raw = torch.from_numpy(np.stack(parts))
    return raw.mean(dim=(0, 2)), raw.std(dim=(0, 2), correction=0).clamp(min=1e-6)


def recorded_bar(sequence: DanceSequence, time_normalisation: str, cache: Path | None) -> float:
    """A performance's BAR in percent as ``dancemvp assess`` measures a recording's, so that the two can be compared.

    On the clock that the dancer heard, against the music's onset peaks; the data's own labels and clock (Task 3) differ.
    """
    if sequence.music is None:
        return float("nan")
    stretched = time_normalisation == "stretch" and sequence.music_window_s
    heard_s = sequence.music_window_s if stretched else sequence.duration_s
    fps = sequence.motion.shape[1] / heard_s
    heard = music.analyse(sequence.music, sequence.music_offset_s, clip_s=heard_s, cache=cache)
    return float(rhythm.alignment(replace(sequence, fps=fps, music_intensity_s=None), heard)["bar"])


def longest_beat_s(dataset: DanceDataset, table: pd.DataFrame) -> float | None:
    """The longest beat of the pieces, in seconds of their music as it is heard; None where no piece was cut by beats."""
    cut = table[table["segmentation"] == "beats"].drop_duplicates(["choreography", "primitive"])
    beats = []
    for row in cut.itertuples():
        s = dataset.sequences[row.sequence]
        stretch = s.duration_s / (s.music_window_s or s.duration_s)
        beats.append((row.end_s - row.start_s) / 8 / stretch)
    return max(beats, default=None)


def prompter_tensors(
    features: Features, table: pd.DataFrame, support: np.ndarray, settings: Prompting
) -> tuple[dict[str, Tensor], pd.DataFrame, float]:
    """Fit a prompter on the support; (its tensors as ``Assessor`` has them, the classes, the score's smallest spread).

    It is fitted on the features' device; the tensors are on the CPU.
    """
    device = features.hidden.device
    known = table.iloc[support]
    tasks = tuple(task for task in TASKS if task in downstream.supported_tasks(known))
    classes, codes = downstream.class_table(known)
    sentences = {"vocabulary": [texts.vocabulary_text(*row) for row in classes.itertuples(index=False)]}
    if "score" in tasks:
        sentences["score"] = [texts.score_text(value) for value in texts.LEVELS_OF_SCORE]
    target = {"vocabulary": torch.as_tensor(codes, device=device)}
    for task, column in (("score", "score"), ("rhythm", "bar")):
        target[task] = torch.as_tensor(known[column].fillna(0.0).to_numpy(dtype=np.float32) / 100, device=device)
    with downstream.seeded(SEED, device):
        prompter = Prompter(features, sentences, len(classes), tasks, True, False, settings, support)
        downstream.fit(prompter, features.hidden[torch.as_tensor(support, device=device)], None, target, settings)
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
        floor = downstream.SMALLEST_SPREAD + float(nn.functional.softplus(prompter.raw_spread))
    return {k: v.detach().to("cpu", copy=True) for k, v in tensors.items()}, classes, floor


def encoder_spec(method: methods.Method, width: Width) -> dict:
    """What ``assessor.encoder_of`` builds a method's encoder from."""
    recipe = methods.recipe(method)
    kept = {name: recipe[name] for name in ("representation", "mlp_layers")}
    return asdict(width) | {"motion": method.motion, "music": method.music} | kept


def make(
    encoder: nn.Module, spec: dict, dataset: DanceDataset, pieces: PieceSet, hidden: Tensor, support: np.ndarray,
    settings: Prompting, time_normalisation: str, cache: Path | None,
) -> Assessor:  # fmt: skip
    """An assessor of all choreographies in the support, not yet calibrated (``calibrate``).

    ``spec`` is ``encoder_spec``; ``hidden`` (P, H) the encoder's frozen features of all pieces, on the encoder's device.
    There the prompter is fitted; the assessor, with a copy of the encoder, is on the CPU. Raises DataError through the readers.
    """
    table = pieces.table
    tensors, classes, floor = prompter_tensors(Features(hidden, encoder.last), table, support, settings)
    mean, spread = music_scale(dataset, pieces, time_normalisation, cache)
    rows = torch.as_tensor(support)
    own = hidden[rows].cpu()
    centre, width = own.mean(dim=0), own.std(dim=0).clamp(min=1e-5)
    motion = pieces.motion[rows].cpu()
    poses = postures(motion, dataset.skeleton)
    _, codes = downstream.class_table(table.iloc[support])
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
        "encoder": spec,
        "piece_frames": int(pieces.motion.shape[2]),
        "bone_lengths": [float(v) for v in canonical_lengths(dataset)],
        "music_features": list(music.FEATURES),
        "longest_beat_s": longest_beat_s(dataset, table.iloc[support]),
        "support_performances": int(references["performance"].nunique()),
        "switched_off": [] if "score.values" in tensors else ["no scores in the data: how well is left out"],
        "score_floor": floor,
        "score_widening": 1.0,
        "temperature": 1.0,
        "sharpness": [1.0],
        "thresholds": {"features": 2.0, "posture": 2.0},  # cosine distances end there: nothing is strange yet
    }
    own_encoder = copy.deepcopy(encoder).cpu().eval()
    return Assessor(own_encoder, dataset.skeleton, tensors, classes, references[columns].reset_index(drop=True), facts)


# --- choices on validation --------------------------------------------------------------------------------------------


def class_logits(assessor: Assessor, hidden: Tensor, batch_size: int = 256) -> Tensor:
    """Task 1's candidate scores of pieces, (P, C) float64."""
    parts = [assessor.scores("vocabulary", hidden[i : i + batch_size]) for i in range(0, len(hidden), batch_size)]
    return torch.cat(parts).double()


def temperature(logits: Tensor, codes: np.ndarray) -> float:
    """The temperature of the least negative log-likelihood of the true classes."""
    truth = torch.as_tensor(codes)
    losses = [float(nn.functional.cross_entropy(logits / t, truth)) for t in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def sharpness(probabilities: np.ndarray, table: pd.DataFrame, vocabulary: Vocabulary) -> list[float]:
    """For 1, 2 and 3 eights, what their summed log-probabilities are to be multiplied by: least loss of the true dance.

    ``probabilities`` (P, C) of the pieces in ``table``; runs of one, two and three consecutive pieces of every
    performance are asked about.
    """
    places = {key: i for i, key in enumerate(vocabulary.dances[["choreography", "level"]].itertuples(index=False, name=None))}
    truth = np.array([places[key] for key in table[["choreography", "level"]].itertuples(index=False, name=None)])
    performances = [np.sort(rows) for rows in table.reset_index(drop=True).groupby("sequence").indices.values()]
    fitted = []
    for eights in range(1, EIGHTS + 1):
        runs = [rows[i : i + eights] for rows in performances for i in range(len(rows) - eights + 1)]
        unscaled = [1.0] * eights
        logs = [np.log(np.maximum(vocabulary.pooled(probabilities[run], unscaled).probability, 1e-300)) for run in runs]
        x, goal = torch.as_tensor(np.array(logs)), torch.as_tensor(truth[[run[0] for run in runs]])
        losses = [float(nn.functional.cross_entropy(s * x, goal)) for s in SHARPNESS]
        fitted.append(float(SHARPNESS[int(np.argmin(losses))]))
    return fitted


def calibrate(assessor: Assessor, pieces: PieceSet, hidden: Tensor, rows: np.ndarray) -> Assessor:
    """The assessor with temperature, sharpness, score widening and thresholds chosen on held-out validation pieces ``rows``."""
    table = pieces.table.iloc[rows].reset_index(drop=True)
    logits = class_logits(assessor, hidden[torch.as_tensor(rows)].cpu())
    place = {key: i for i, key in enumerate(assessor.classes.itertuples(index=False, name=None))}
    codes = np.array([place[key] for key in table[CLASS_COLUMNS].astype({"primitive": int}).itertuples(index=False, name=None)])
    warm = temperature(logits, codes)
    facts = assessor.facts | {"temperature": warm}
    facts["sharpness"] = sharpness((logits / warm).softmax(dim=1).numpy(), table, assessor.vocabulary)
    settled = replace(assessor, facts=facts)
    seen = judged(settled, pieces, hidden, rows, ("another dancer",))
    if "score_sd" in seen:
        ratio = (seen["score"] - seen["true_score"]).abs() / seen["score_sd"]
        # never narrower than what the head itself says: those who use it are dancers whom nobody has seen
        facts["score_widening"] = max(1.0, float(ratio.quantile(0.9) / Z90))
    facts["thresholds"] = {k: float(seen[k].quantile(1 - FALSE_ALARMS)) for k in ("features", "posture")}
    return replace(assessor, facts=facts)


# --- measures ---------------------------------------------------------------------------------------------------------


def judged(assessor: Assessor, pieces: PieceSet, hidden: Tensor, rows: np.ndarray, kinds=tuple(KINDS)) -> pd.DataFrame:
    """What the assessor says of held-out performances (piece ``rows``): one row a performance and kind (``KINDS``).

    Columns: kind, sequence, true_<attribute>, true_score, <attribute> (the likeliest genre, choreography, level),
    <attribute>_p (its probability), moves_right (share of the eights), move_p, score, score_sd, features, posture.
    """
    table, hidden = pieces.table.iloc[rows], hidden.cpu()
    choreographies = sorted(assessor.classes["choreography"].unique())
    windows = pieces.table.drop_duplicates(["choreography", "primitive"]).set_index(["choreography", "primitive"])["window"]
    labels = {
        name: (part["choreography"].to_numpy(object), part["level"].to_numpy(object))
        for name, part in (("references", assessor.references), ("classes", assessor.classes))
    }
    out = []
    for sequence, group in table.groupby("sequence"):
        own, first = group.index.to_numpy(), group.iloc[0]
        motion = pieces.motion[torch.as_tensor(own.copy())].cpu()
        dance = {name: choreography == first["choreography"] for name, (choreography, _) in labels.items()}
        dancer = {name: dance[name] & (level == first["level"]) for name, (_, level) in labels.items()}
        for kind in kinds:
            features, without = hidden[torch.as_tensor(own.copy())], {name: np.zeros_like(mask) for name, mask in dance.items()}
            if kind == "another dancer":
                without = dancer
            elif kind == "another dance":
                without = dance
            elif kind == "other music":
                other = [c for c in choreographies if c != first["choreography"]][sequence % (len(choreographies) - 1)]
                # A choreography may have fewer moves than this one: its last one then serves again.
                played = [windows[other, min(int(k), int(windows[other].index.max()))] for k in group["primitive"]]
                features = assessor.hidden(motion, pieces.music[torch.as_tensor(played)].cpu())
            found = assessor.recognise(features, without["classes"] if kind == "another dance" else None)
            row = {"kind": kind, "sequence": sequence, "true_score": first["score"]}
            for attribute in ("genre", "choreography", "level"):
                ranked = found.of(attribute)
                row |= {f"true_{attribute}": first[attribute], attribute: ranked.index[0], f"{attribute}_p": ranked.iloc[0]}
            row["moves_right"] = float((found.best_primitives == group["primitive"].to_numpy()).mean())
            row["move_p"] = float(found.primitives.max(axis=1).mean())
            if "score.values" in assessor.tensors:
                row["score"], row["score_sd"] = assessor.score(features)
            counts = {name: ~mask for name, mask in without.items()}
            row |= assessor.strangeness(features, motion, found, counts["references"], counts["classes"])
            out.append(row)
    return pd.DataFrame(out)


def reliability(measured: pd.DataFrame, attribute: str, bins: int = 10) -> tuple[pd.DataFrame, float]:
    """(bins: confidence, right, performances; expected calibration error in points) of an attribute's likeliest value.

    ECE is the mean over performances of |share right - mean confidence| of their bin (Guo et al. 2017), bins equally wide.
    """
    confidence = measured[f"{attribute}_p"].to_numpy()
    right = (measured[attribute] == measured[f"true_{attribute}"]).to_numpy()
    edge = np.minimum((confidence * bins).astype(int), bins - 1)
    table = pd.DataFrame({"bin": edge, "confidence": confidence, "right": right}).groupby("bin").agg(
        confidence=("confidence", "mean"), right=("right", "mean"), performances=("right", "size")
    )  # fmt: skip
    error = (table["performances"] * (table["right"] - table["confidence"]).abs()).sum() / table["performances"].sum()
    return table.reset_index(drop=True), 100 * float(error)


def measures(assessor: Assessor, sets: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a set and kind of ``judged``: accuracy, mean confidence and ECE of each attribute in percent, the score's

    coverage of its 90 % interval, and the share called "unlike anything I was trained on".
    """
    lines = []
    for name, everything in sets.items():
        for kind, seen in everything.groupby("kind", sort=False):
            line = {"set": name, "kind": kind, "performances": len(seen)}
            if kind in ("known", "unseen dancer"):
                for attribute in ("genre", "choreography", "level"):
                    right = seen[attribute] == seen[f"true_{attribute}"]
                    line |= {attribute: 100 * right.mean(), f"{attribute}_confidence": 100 * seen[f"{attribute}_p"].mean()}
                    line[f"{attribute}_ece"] = reliability(seen, attribute)[1]
                line |= {"move": 100 * seen["moves_right"].mean(), "move_confidence": 100 * seen["move_p"].mean()}
                if "score" in seen:
                    error = (seen["score"] - seen["true_score"]).abs()
                    line |= {"score_error": error.mean(), "score_coverage": 100 * (error <= Z90 * seen["score_sd"]).mean()}
            far = seen.apply(lambda row: bool(assessor.stranger(row[["features", "posture"]].to_dict())), axis=1)
            out_of = {k: 100 * (seen[k] > assessor.facts["thresholds"][k]).mean() for k in ("features", "posture")}
            line |= {"unlike": 100 * far.mean()} | {f"unlike_by_{k}": v for k, v in out_of.items()}
            lines.append(line)
    return pd.DataFrame(lines)


def spread(table: pd.DataFrame, dancers: str) -> np.ndarray:
    """Rows of the pieces of so many performances a choreography and level by these ``dancers``, spread over the practice."""
    own = table[table["dancers"] == dancers].drop_duplicates("sequence")
    kept = []
    for _, group in own.groupby(["choreography", "level"]):
        order = group.sort_values("trial")["sequence"].to_numpy()
        kept.extend(order[np.unique(np.linspace(0, len(order) - 1, JUDGED).round().astype(int))])
    return np.flatnonzero((table["sequence"].isin(kept) & (table["dancers"] == dancers)).to_numpy())


def stated(table: pd.DataFrame) -> list[dict]:
    """What a report says of the assessor: the lines of ``measures`` on performances that nothing was chosen on."""
    told = table[table["kind"].isin(["known", "unseen dancer"]) & (table["set"] != "validation")].astype(object)
    return told.where(told.notna(), None).to_dict("records")
