"""Fig. 8: what each pre-training recipe keeps of genre, choreography, level, primitive, score and beat alignment.

Measured on the validation choreographies, since recipes are chosen there; linear heads on frozen features.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from dancemvp_core import downstream, experiments, methods
from dancemvp_core.artifacts import Paths
from dancemvp_core.experiments import Width
from dancemvp_core.methods import Method
from dancemvp_core.pieces import PieceSet
from dancemvp_core.skeleton import Skeleton

MEASURES = {
    "accuracy": (1, "accuracy"), "genre": (1, "genre"), "choreography": (1, "choreography"),
    "primitive": (1, "primitive"), "level": (1, "level"), "level_within": (1, "level_within"),
    "score_spearman": (2, "spearman"), "bar_spearman": (3, "spearman"), "bar_mse": (3, "mse"),
}  # fmt: skip
FLOORS = ("handcrafted", "random_init")


def rows(recipes: tuple[str, ...]) -> dict[str, Method | None]:
    """Name -> pre-training of each row of Fig. 8: ours as selected, each variant, one modality alone; None for floors."""
    chosen = {name: methods.VARIANTS[name] for name in recipes}
    single = {name.replace("_", " "): m for name, m in methods.SINGLE_MODALITY.items()}
    return {"selected": methods.METHODS["ours"]} | chosen | single | dict.fromkeys(FLOORS)


def measure(
    rows: dict[str, Method | None], pieces: PieceSet, skeleton: Skeleton, params, paths: Paths, progress: Callable
) -> pd.DataFrame:
    """One row a recipe: recipe, kind ("selected", "variant", "floor") and the columns of ``MEASURES``; seed 0."""
    width, settings, out = Width.of(params), downstream.Prompting(), []
    for name in progress(list(rows)):
        method = rows[name]
        if method is None:
            features = experiments.floor_features(name, 0, pieces, skeleton, width, "validation")
        else:
            features = experiments.features_on("validation", method.pretraining, 0, pieces, skeleton, width, paths)
        outcome = experiments.evaluate(name, features, pieces, "finetune", 0, params.shots, settings, split="validation")
        value = outcome.metrics.set_index(["task", "metric"])["value"]
        kind = "floor" if method is None else "selected" if name == "selected" else "variant"
        out.append({"recipe": name, "kind": kind} | {c: value.get(key, float("nan")) for c, key in MEASURES.items()})
    return pd.DataFrame(out)
