"""Study of the pre-training settings: variants of ours with one changed setting (``extra_augmentation``).

Each variant is measured with linear heads on frozen features of the validation choreographies. The test choreographies are
not used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from dancemvp_core.models.prompter import PrompterSettings
from dancemvp_core.pretraining import methods
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks.outcomes import Setting, evaluate
from dancemvp_core.tasks.rows import features_of

MEASURES = {
    "accuracy": (1, "accuracy"), "genre": (1, "genre"), "choreography": (1, "choreography"),
    "primitive": (1, "primitive"), "level": (1, "level"), "level_within": (1, "level_within"),
    "score_spearman": (2, "spearman"), "bar_spearman": (3, "spearman"), "bar_mse": (3, "mse"),
}  # fmt: skip
FLOORS = ("handcrafted", "random_init")


def rows(variants: Sequence[str]) -> dict[str, str]:
    """Return {label: row name}: ours as selected, the variants, ours with one modality, and two floors."""
    single = {name.replace("_", " "): name for name in methods.SINGLE_MODALITY}
    return {"selected": "ours"} | {name: name for name in variants} | single | {name: name for name in FLOORS}


def measure(rows: dict[str, str], where: Workspace, shots: int, progress: Callable = lambda rows: rows) -> pd.DataFrame:
    """Return one line for each row, with seed 0: variant (its label), kind ("selected", "variant", "floor"), ``MEASURES``."""
    out = []
    for label in progress(list(rows)):
        name = rows[label]
        features = features_of(name, 0, where, "validation")
        setting = Setting("finetune", 0, shots, split="validation")
        outcome = evaluate(name, features, where.pieces, setting, PrompterSettings())
        value = outcome.metrics.set_index(["task", "metric"])["value"]
        kind = "floor" if name in FLOORS else "selected" if label == "selected" else "variant"
        out.append({"variant": label, "kind": kind} | {c: value.get(key, float("nan")) for c, key in MEASURES.items()})
    return pd.DataFrame(out)
