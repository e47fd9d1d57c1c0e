"""The method table: every row of Tables 2 and 3 as encoders, objective, protocol, and what had to be chosen.

To add a method, add an entry: it appears in its table, and its pre-training in the workflow, with no other edit.
Rows with the same encoders and objective share one pre-training (``Method.pretraining``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:  # the workflow reads this table before every run and should not wait for torch
    from dancemvp_core.augment import Augmentation
    from dancemvp_core.objectives import Objective
    from dancemvp_core.skeleton import Skeleton


@dataclass(frozen=True)
class Method:
    """One row. ``paper`` holds the paper's values for Tasks 1 to 3 (mean; NaN where it prints none).

    ``motion`` and ``music`` name encoders (None: that modality is not used); ``tables`` the paper tables that
    the row stands in; ``interpretation`` says what the paper leaves open and what was chosen.
    """

    label: str
    motion: str | None
    music: str | None
    objective: str
    protocol: str
    tables: tuple[int, ...]
    interpretation: str
    paper: tuple[float, float, float]
    settings: dict = field(default_factory=dict)
    recipe: str = ""

    @property
    def pretraining(self) -> str:
        """Name of the pre-training that the row uses, shared by all rows with the same one."""
        name = f"{self.motion or 'none'}-{self.music or 'none'}-{self.objective}"
        return f"{name}-{self.recipe}" if self.recipe else name


_PAPER_ROW = "Encoders, loss and protocol are the paper's; augmentations and epochs, which it does not state, are ours."
_ENCODER_ROW = "Ours with other encoders and nothing else changed; "

METHODS: dict[str, Method] = {
    "ours": Method(
        "Ours (ST-GCN-LSTM-InfoNCE)", "stgcn", "lstm", "infonce", "prompt", (2, 3, 4), _PAPER_ROW, (71.43, 2.56e-4, 2.52)
    ),
    "simclr": Method(
        "SimCLR",
        "res18",
        "lstm",
        "infonce",
        "finetune",
        (2,),
        "Two augmented views, NT-Xent, which is Eq. 1; the encoder is not stated: ResNet-18 on motion as an image, LSTM "
        "on music. The MLP that joins them is the projection.",
        (31.85, 0.069, 19.23),
    ),
    "moco": Method(
        "MoCo",
        "res18",
        "lstm",
        "moco",
        "finetune",
        (2,),
        "MoCo v2: momentum encoder and queue; encoders not stated, as SimCLR's. Momentum 0.99 and a queue of 512 because "
        "a run here has hundreds of steps where the original has millions.",
        (16.29, 2.85e-5, 6.60),
    ),
    "svt": Method(
        "SVT",
        "tx",
        "lstm",
        "svt",
        "finetune",
        (2,),
        "Student and teacher over temporal views at full and half frame rate and over halves; the video transformer "
        "becomes a transformer over skeleton frames.",
        (55.08, 0.013, 10.89),
    ),
    "crossentropy": Method(
        "CrossEntropy",
        "res18",
        "lstm",
        "crossentropy",
        "finetune",
        (2,),
        "Supervised on the pre-train classes (choreography, level, primitive); the paper cites ResNet, depth not stated.",
        (12.76, 1.06e-3, 15.65),
    ),
    "supcon": Method(
        "SupCon",
        "res18",
        "lstm",
        "supcon",
        "finetune",
        (2,),
        "Supervised contrastive on the pre-train classes; encoders not stated, as CrossEntropy's.",
        (30.72, 0.199, 4.20),
    ),
    "contrastivedance": Method(
        "ContrastiveDance",
        "stgcn",
        "lstm",
        "infonce",
        "finetune",
        (2, 4),
        "No code is public; the paper prints the same numbers for it as for fine-tuning its own features at g = 5, so it "
        "is read as our pre-training under fine-tuning.",
        (66.85, 0.097, 13.65),
    ),
    "happyfeet": Method(
        "HappyFeet",
        "cnn1d",
        None,
        "crossentropy",
        "finetune",
        (2,),
        "A CNN on body-worn accelerometers, no code public: here a 1-D CNN on the joints' accelerations, supervised on "
        "the pre-train classes, without music.",
        (15.63, 2.52e-5, 16.49),
    ),
    "dance_with_melody": Method(
        "Dance w/ Melody",
        None,
        "melody",
        "reconstruction",
        "finetune",
        (2,),
        "An LSTM autoencoder from music to motion, no code public: features are its code and each joint's distance from "
        "the motion that the music predicts.",
        (21.44, 2.83e-4, 5.30),
    ),
    "tx-tx-infonce": Method(
        "Tx-Tx-InfoNCE",
        "tx",
        "tx",
        "infonce",
        "prompt",
        (3,),
        _ENCODER_ROW + "depth and width of the transformer are not stated: four layers.",
        (54.46, 0.023, 14.48),
    ),
    "tx-lstm-infonce": Method(
        "Tx-LSTM-InfoNCE",
        "tx",
        "lstm",
        "infonce",
        "prompt",
        (3,),
        _ENCODER_ROW + "four transformer layers.",
        (29.94, 0.014, 16.89),
    ),
    "res18-res18-infonce": Method(
        "Res18-Res18-InfoNCE",
        "res18",
        "res18",
        "infonce",
        "prompt",
        (3,),
        _ENCODER_ROW + "motion is a (3, T, V) image, music a (1, F, T) one.",
        (43.49, 2.86e-3, 4.06),
    ),
    "res50-res50-infonce": Method(
        "Res50-Res50-InfoNCE",
        "res50",
        "res50",
        "infonce",
        "prompt",
        (3,),
        _ENCODER_ROW + "motion is a (3, T, V) image, music a (1, F, T) one.",
        (39.84, 5.79e-3, 5.33),
    ),
    "res18-lstm-infonce": Method(
        "Res18-LSTM-InfoNCE",
        "res18",
        "lstm",
        "infonce",
        "prompt",
        (3,),
        _ENCODER_ROW + "motion is a (3, T, V) image.",
        (55.21, 1.37e-3, 2.08),
    ),
    "res50-lstm-infonce": Method(
        "Res50-LSTM-InfoNCE",
        "res50",
        "lstm",
        "infonce",
        "prompt",
        (3,),
        _ENCODER_ROW + "motion is a (3, T, V) image.",
        (60.68, 1.42e-3, 2.44),
    ),
    "stgcn-res18-infonce": Method(
        "ST-GCN-Res18-InfoNCE",
        "stgcn",
        "res18",
        "infonce",
        "prompt",
        (3,),
        _ENCODER_ROW + "music is a (1, F, T) image.",
        (69.01, 2.72e-4, 2.79),
    ),
    "stgcn-res50-infonce": Method(
        "ST-GCN-Res50-InfoNCE",
        "stgcn",
        "res50",
        "infonce",
        "prompt",
        (3,),
        _ENCODER_ROW + "music is a (1, F, T) image.",
        (64.32, 0.031, 3.44),
    ),
    "stgcn-lstm-supcon": Method(
        "ST-GCN-LSTM-SupCon",
        "stgcn",
        "lstm",
        "supcon",
        "prompt",
        (3,),
        "Ours with the supervised contrastive loss on the pre-train classes.",
        (67.61, 0.0060, 5.51),
    ),
}

# Pre-trainings that are in no table of the paper: our encoders with one modality, as floors.
SINGLE_MODALITY = {
    "music_only": Method("Music only", None, "lstm", "infonce", "prompt", (), "Ours without motion.", (float("nan"),) * 3),
    "motion_only": Method("Motion only", "stgcn", None, "infonce", "prompt", (), "Ours without music.", (float("nan"),) * 3),
}


# Ours with one thing changed (fig8_augmentation): what is not named is as selected.
RECIPES: dict[str, dict] = {
    "position": {"representation": "position"},
    "two-layer-mlp": {"mlp_layers": 2},
    "same-music": {"same_music": 8},
    "no-augmentation": {"augmentation": {"turn": 0.0}},
    "turn": {"augmentation": {"turn": 180.0}},
    "joints": {"augmentation": {"turn": 180.0, "joints": 0.3}},
    "crop": {"augmentation": {"turn": 180.0, "crop": 0.5}},
    "scale": {"augmentation": {"turn": 180.0, "scale": 0.3}},
    "music-masked": {"augmentation": {"turn": 180.0, "music_noise": 0.3, "music_mask": 0.3}},
    "skeletonclr-normal": {"augmentation": {"turn": 0.0, "shear": 0.5, "crop": 0.25}},
    "skeletonclr-strong": {
        "augmentation": {"turn": 30.0, "shear": 0.5, "crop": 0.25, "mirror": 0.5, "noise": 0.01, "joints": 0.2}
    },
}
VARIANTS = {
    recipe: Method(f"Ours, {recipe}", "stgcn", "lstm", "infonce", "prompt", (), "", (float("nan"),) * 3, recipe=recipe)
    for recipe in RECIPES
}


def table(number: int) -> dict[str, Method]:
    """The methods that stand in a table of the paper, in its order, ours last."""
    rows = {name: m for name, m in METHODS.items() if number in m.tables}
    return {name: m for name, m in rows.items() if name != "ours"} | {n: m for n, m in rows.items() if n == "ours"}


def seeds_of(name: str, seeds: int, others: int) -> int:
    """How many seeds a row gets: ``seeds`` for ours, its fine-tuning, the floors that pre-train and what did best on
    validation (``more_seeds`` in selected.yaml), ``others`` for the rest."""
    return seeds if name in ("ours", "contrastivedance", *SINGLE_MODALITY, *selected().get("more_seeds", [])) else others


def pretrainings() -> dict[str, Method]:
    """Each distinct pre-training and one method that uses it."""
    return {m.pretraining: m for m in reversed([*METHODS.values(), *SINGLE_MODALITY.values(), *VARIANTS.values()])}


@cache
def selected() -> dict:
    """Settings chosen on the validation choreographies by ``make select``: selected.yaml."""
    return yaml.safe_load((Path(__file__).parent / "selected.yaml").read_text())


def recipe(method: Method) -> dict:
    """How a method pre-trains: representation, mlp_layers, same_music, augmentation, rate_factor.

    As selected for all, then for its pre-training (a variant's is ours), then what makes it a variant.
    """
    own = selected().get(replace(method, recipe="").pretraining, {})
    return selected()["default"] | own | RECIPES.get(method.recipe, {})


def augmentation(pretraining: str) -> Augmentation:
    """The augmentation that makes a pre-training's positive pairs."""
    from dancemvp_core.augment import Augmentation

    return Augmentation(**recipe(pretrainings()[pretraining])["augmentation"])


def build_encoder(method: Method, skeleton: Skeleton, channels, dim: int, features: int):
    """A method's encoder, untrained."""
    from dancemvp_core import encoders
    from dancemvp_core.objectives import MelodyAutoencoder

    if method.music == "melody":
        return MelodyAutoencoder(encoders.MUSIC_FEATURES, len(skeleton.joints), dim)
    motion, music = (
        name and encoders.build(name, modality, skeleton, channels, dim)
        for name, modality in ((method.motion, "motion"), (method.music, "music"))
    )
    # Accelerations are HappyFeet's own representation; all other encoders see the one that was selected for all.
    representation = "position" if method.motion == "cnn1d" else recipe(method)["representation"]
    return encoders.DanceEncoder(motion, music, dim, features, representation, recipe(method)["mlp_layers"])


def build_objective(method: Method, encoder, classes: int) -> Objective:
    """A method's encoder wrapped in the objective that trains it; ``classes`` are the pre-train classes."""
    from dancemvp_core.objectives import OBJECTIVES

    settings = method.settings | recipe(method).get("objective", {})
    return OBJECTIVES[method.objective](encoder, classes, **settings)
