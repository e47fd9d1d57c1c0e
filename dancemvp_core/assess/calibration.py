"""Calibration and measures of an assessor: chosen on held-out validation performances, measured on held-out test performances.

A user is a dancer whom neither encoder nor head has seen. If a simulator can provide such dancers, they are measured too,
and nothing is chosen on them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dancemvp_core.assess.assessor import Assessor, Vocabulary
from dancemvp_core.assess.fitting import HELD_OUT
from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.dance.sequences import evenly_spaced
from dancemvp_core.tasks.protocols import CLASS_COLUMNS

FALSE_ALARMS = 0.025  # rate of each distance on known choreographies by another dancer; 5 % together
EIGHTS = 3  # eights of a performance in the data, so sharpness is fitted for 1 to 3
Z90 = 1.6449  # 90 % of a normal distribution lie within so many standard deviations of its mean
TEMPERATURES = np.geomspace(0.25, 4.0, 65)
SHARPNESS = np.linspace(0.05, 1.5, 59)

KINDS = {  # variants of a held-out performance that the assessor judges
    "known": "unchanged",
    "another dancer": "its dancer (its level of the choreography) is removed from the references",
    "another dance": "its choreography is removed from references and candidates",
    "other music": "its music is replaced by that of another choreography",
}


def class_logits(assessor: Assessor, hidden: Tensor, batch_size: int = 256) -> Tensor:
    """Task 1's candidate scores of pieces, (P, C) float64."""
    parts = [assessor.scores("vocabulary", hidden[i : i + batch_size]) for i in range(0, len(hidden), batch_size)]
    return torch.cat(parts).double()


def temperature(logits: Tensor, codes: np.ndarray) -> float:
    """The temperature with the smallest negative log-likelihood of the true classes."""
    truth = torch.as_tensor(codes)
    losses = [float(nn.functional.cross_entropy(logits / t, truth)) for t in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def sharpness(probabilities: np.ndarray, table: pd.DataFrame, vocabulary: Vocabulary) -> list[float]:
    """Factors for the summed log-probabilities of 1, 2 and 3 eights: those with the smallest loss of the true dance.

    ``probabilities`` (P, C) belong to the pieces in ``table``. The loss is over all runs of one, two and three consecutive
    pieces of every performance. There are fewer factors if no performance has so many pieces.
    """
    places = {key: i for i, key in enumerate(vocabulary.dances[["choreography", "level"]].itertuples(index=False, name=None))}
    truth = np.array([places[key] for key in table[["choreography", "level"]].itertuples(index=False, name=None)])
    performances = [np.sort(rows) for rows in table.reset_index(drop=True).groupby("sequence").indices.values()]
    fitted = []
    for eights in range(1, min(EIGHTS, max(map(len, performances))) + 1):
        runs = [rows[i : i + eights] for rows in performances for i in range(len(rows) - eights + 1)]
        unscaled = [1.0] * eights
        logs = [np.log(np.maximum(vocabulary.pooled(probabilities[run], unscaled).probability, 1e-300)) for run in runs]
        x, goal = torch.as_tensor(np.array(logs)), torch.as_tensor(truth[[run[0] for run in runs]])
        losses = [float(nn.functional.cross_entropy(s * x, goal)) for s in SHARPNESS]
        fitted.append(float(SHARPNESS[int(np.argmin(losses))]))
    return fitted


def calibrate(assessor: Assessor, pieces: PieceSet, hidden: Tensor, rows: np.ndarray) -> Assessor:
    """The assessor with temperature, sharpness, score widening and thresholds.

    They are chosen on the held-out validation pieces ``rows``; ``hidden`` (P, H) are the frozen features of all pieces.
    """
    table = pieces.table.iloc[rows].reset_index(drop=True)
    logits = class_logits(assessor, hidden[torch.as_tensor(rows)].cpu())
    place = {key: i for i, key in enumerate(assessor.classes.itertuples(index=False, name=None))}
    codes = np.array([place[key] for key in table[CLASS_COLUMNS].astype({"primitive": int}).itertuples(index=False, name=None)])
    chosen = temperature(logits, codes)
    facts = assessor.facts | {"temperature": chosen}
    facts["sharpness"] = sharpness((logits / chosen).softmax(dim=1).numpy(), table, assessor.vocabulary)
    calibrated = replace(assessor, facts=facts)
    seen = judged(calibrated, pieces, hidden, rows, ("another dancer",))
    if "score_sd" in seen:
        ratio = (seen["score"] - seen["true_score"]).abs() / seen["score_sd"]
        # never narrower than the head's own interval, because users are unseen dancers
        facts["score_widening"] = max(1.0, float(ratio.quantile(0.9) / Z90))
    facts["thresholds"] = {k: float(seen[k].quantile(1 - FALSE_ALARMS)) for k in ("features", "posture")}
    return replace(assessor, facts=facts)


def judged(assessor: Assessor, pieces: PieceSet, hidden: Tensor, rows: np.ndarray, kinds=tuple(KINDS)) -> pd.DataFrame:
    """The assessor's answers on held-out performances (pieces ``rows``): one row per performance and kind (``KINDS``).

    Columns: kind, sequence, true_<attribute>, true_score, <attribute> (the most likely genre, choreography, level),
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
                # The other choreography may have fewer primitives: its last one is then used again.
                played = [windows[other, min(int(k), int(windows[other].index.max()))] for k in group["primitive"]]
                features = assessor.hidden(motion, pieces.music[torch.as_tensor(played)].cpu(), pieces.seconds[own].cpu())
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
            row |= assessor.distances(features, motion, found, counts["references"], counts["classes"])
            out.append(row)
    return pd.DataFrame(out)


def reliability(measured: pd.DataFrame, attribute: str, bins: int = 10) -> tuple[pd.DataFrame, float]:
    """(table of bins: confidence, right, performances; expected calibration error in points) of an attribute's likeliest value.

    The expected calibration error (ECE) is the mean over performances of ``|share right - mean confidence|`` of their bin (Guo
    et al. 2017). The bins have equal width.
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
    """One row per set and kind of ``judged``.

    Columns: accuracy, mean confidence and ECE of each attribute, coverage of the score's 90 % interval, and ``unlike``, the
    share called "unlike anything I was trained on", all in percent; score_error in points of the score's range; performances, a
    number.
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
                    line["score_error"] = error.mean() * assessor.score_range.unit
                    line["score_coverage"] = 100 * (error <= Z90 * seen["score_sd"]).mean()
            unlike = seen.apply(lambda row: bool(assessor.beyond_thresholds(row[["features", "posture"]].to_dict())), axis=1)
            by_distance = {k: 100 * (seen[k] > assessor.facts["thresholds"][k]).mean() for k in ("features", "posture")}
            line |= {"unlike": 100 * unlike.mean()} | {f"unlike_by_{k}": v for k, v in by_distance.items()}
            lines.append(line)
    return pd.DataFrame(lines)


def spread(table: pd.DataFrame, dancers: str) -> np.ndarray:
    """Rows of the pieces of up to 20 performances per choreography and level by these ``dancers``.

    The performances are evenly spread over the practice.
    """
    own = table[table["dancers"] == dancers].drop_duplicates("sequence")
    kept = []
    for _, group in own.groupby(["choreography", "level"]):
        order = group.sort_values("trial")["sequence"].to_numpy()
        kept.extend(evenly_spaced(order, HELD_OUT))
    return np.flatnonzero((table["sequence"].isin(kept) & (table["dancers"] == dancers)).to_numpy())


def stated(table: pd.DataFrame) -> list[dict]:
    """The measures that a report states: rows of ``measures`` for performances on which nothing was chosen, as records."""
    independent = table[table["kind"].isin(["known", "unseen dancer"]) & (table["set"] != "validation")].astype(object)
    return independent.where(independent.notna(), None).to_dict("records")


def curves(sets: dict[str, pd.DataFrame], attributes=("choreography", "level")) -> dict[str, dict[str, tuple]]:
    """``reliability`` of each attribute and set of ``judged``, for known choreographies and for unseen dancers."""
    usual = {name: seen[seen["kind"].isin(["known", "unseen dancer"])] for name, seen in sets.items()}
    return {attribute: {name: reliability(seen, attribute) for name, seen in usual.items()} for attribute in attributes}
