"""The difficulty of a data set, before any method is trained on it: the floors, and the latent truth as a ceiling.

All rows use linear heads (protocol ``finetune``) on the test choreographies. No encoder is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dancemvp_core.models.prompter import PrompterSettings
from dancemvp_core.pretraining import methods
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks import floors, stats
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.outcomes import Setting, evaluate
from dancemvp_core.tasks.protocols import LOOK_AT_NOTHING, supported_tasks
from dancemvp_core.tasks.rows import features_of, untrained

UNTRAINED = {"random_init": "ours", "music_only": "music_only", "motion_only": "motion_only"}  # row -> method of its encoder
ROWS = {
    "chance": floors.DESCRIPTIONS["chance"],
    "body_only": "bone lengths of the normalised clip",
    "music_only": "our music encoder alone, without training",
    "motion_only": "our motion encoder alone, without training",
    "random_init": "both of our encoders, without training",
    "handcrafted": floors.DESCRIPTIONS["handcrafted"],
    "direct": floors.DESCRIPTIONS["direct"],
    "direct_calibrated": floors.DESCRIPTIONS["direct_calibrated"],
    "latent_truth": "the simulator's parameters of each performance, with choreography and primitive",
}
MEASURES = {  # column of the card -> task and metric
    "accuracy": (1, "accuracy"),
    "level": (1, "level"),
    "level_within": (1, "level_within"),
    "score_spearman": (2, "spearman"),
    "bar_mse": (3, "mse"),
}
LATENT = (
    "quality", "expected_score", "timing_sd_s", "timing_bias_s", "timing_rms_s", "missed_accents", "extra_accents",
    "amplitude", "pose_error_deg", "unsteadiness_deg", "slowness",
)  # fmt: skip
TOO_EASY = 90.0  # limit of a floor's accuracy, in percent
TOO_HARD = 200 / 3  # limit of the latent truth's level accuracy, in percent: the middle between chance and 100 %


def latent_truth(root: Path, table: pd.DataFrame) -> Features | None:
    """Return the simulator's values of each piece as features, (P, 11 + C).

    They are the latent values of its performance, and its choreography and primitive as one-hot code. Returns None if the
    data set has no truth.parquet; no real data set has one.
    """
    if not (root / "truth.parquet").is_file():
        return None
    names = ["choreography", "level", "trial"]
    with open(root / "truth.parquet", "rb") as file:  # pyarrow cannot open a file whose name is not UTF-8
        truth = pd.read_parquet(file, columns=[*names, *LATENT])
    latents = table[names].astype({"trial": int}).merge(truth, on=names, how="left")[list(LATENT)]
    which = pd.get_dummies(table["choreography"] + "/" + table["primitive"].astype(str), dtype=float)
    values = np.concatenate([latents.to_numpy(float), which.to_numpy()], axis=1)
    return Features(torch.as_tensor(values, dtype=torch.float32))


def measure(name: str, seed: int, where: Workspace, shots: int, root: Path) -> pd.DataFrame | None:
    """Return tidy measures (METRICS_COLUMNS) of one row of the card; None if the data do not support it."""
    pieces = where.pieces
    protocol = name if name in LOOK_AT_NOTHING else "finetune"
    if name.startswith("direct") and "rhythm" not in supported_tasks(pieces.table[pieces.table["split"] == "test"]):
        return None
    if name in UNTRAINED:
        features = Features.encoded(untrained(UNTRAINED[name], seed, where), pieces, pieces.rows("test"))
    elif name == "latent_truth":
        features = latent_truth(root, pieces.table)
        if features is None:
            return None
    else:
        features = features_of(name, seed, where)
    settings = PrompterSettings(**methods.selected().get("prompter", {}))
    return evaluate(name, features, pieces, Setting(protocol, seed, shots), settings).metrics


def card(where: Workspace, shots: int, seeds: int, root: Path, progress: Callable = lambda rows: rows) -> pd.DataFrame:
    """Return the difficulty card: one row for each of ``ROWS`` that the data support, in that order.

    Columns: row, role (floor or ceiling), features, n_seeds, and each of ``MEASURES`` with its 95 % interval over
    seeds (_low, _high; NaN for one seed): accuracies in percent, Spearman's rho of the score, mean squared error of BAR in
    squared percentage points. ``root`` is the folder of the data set. Raises DataError in the same cases as
    ``splits.support_and_query``.
    """
    jobs = [(name, seed) for name in ROWS for seed in range(seeds)]
    tidy = [measure(name, seed, where, shots, root) for name, seed in progress(jobs)]
    tidy = pd.concat([rows for rows in tidy if rows is not None])
    out = []
    for name, rows in tidy.groupby("method", sort=False):
        role = "ceiling" if name == "latent_truth" else "floor"
        row = {"row": name, "role": role, "features": ROWS[name], "n_seeds": rows["seed"].nunique()}
        for column, (task, metric) in MEASURES.items():
            values = rows.loc[(rows["task"] == task) & (rows["metric"] == metric), "value"]
            row[column], row[f"{column}_low"], row[f"{column}_high"] = stats.mean_interval(values, share=task == 1)
        out.append(row)
    return pd.DataFrame(out)


def verdict(card: pd.DataFrame) -> str:
    """Return whether the data set is too easy, too hard or neither, in one or two sentences with the numbers."""
    floor = card[(card["role"] == "floor") & card["accuracy"].notna()]
    best = floor.loc[floor["accuracy"].idxmax()]
    floor_text = f"the best floor, {best['row']}, classifies {best['accuracy']:.1f} % of the pieces correctly"
    if best["accuracy"] > TOO_EASY:
        return f"Too easy: {floor_text}, above {TOO_EASY:.0f} %."
    truth = card[card["role"] == "ceiling"]
    if truth.empty:
        return f"Not too easy: {floor_text}, below {TOO_EASY:.0f} %. These data have no latent truth, so there is no ceiling."
    level = truth["level_within"].iloc[0]
    truth_text = f"the latent truth gives {level:.1f} % of the levels within a choreography and primitive correctly"
    if level < TOO_HARD:
        return f"Too hard: {truth_text}, below {TOO_HARD:.0f} %."
    return f"Neither too easy nor too hard: {floor_text} (limit {TOO_EASY:.0f} %), and {truth_text} (at least {TOO_HARD:.0f} %)."
