"""The method table: every row of Tables 2 and 3 as encoders, objective, protocol, and what had to be chosen.

To add a method, add an entry: it appears in its table, and its pre-training in the workflow, with no other edit.
Rows with the same encoders and objective share one pre-training (``Method.pretraining``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Method:
    """One row of a table.

    ``motion`` and ``music`` name encoders (None: that modality is not used); ``tables`` are the paper's tables in which
    the row stands; ``interpretation`` says what the paper leaves open and what was chosen; ``variant`` names an entry of
    ``CHANGES``. The values that the paper prints for a row are in ``paper.printed``.
    """

    label: str
    motion: str | None
    music: str | None
    objective: str
    protocol: str
    tables: tuple[int, ...]
    interpretation: str
    variant: str = ""

    @property
    def pretraining(self) -> str:
        """Name of the pre-training that the row uses, shared by all rows with the same one."""
        name = f"{self.motion or 'none'}-{self.music or 'none'}-{self.objective}"
        return f"{name}-{self.variant}" if self.variant else name


_PAPER_ROW = "Encoders, loss and protocol are the paper's; augmentations and epochs, which it does not state, are ours."
_ENCODER_ROW = "Ours with other encoders and nothing else changed; "

METHODS: dict[str, Method] = {
    "ours": Method(
        "Ours (ST-GCN-LSTM-InfoNCE)", "stgcn", "lstm", "infonce", "prompt", (2, 3, 4), _PAPER_ROW
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
    ),
    "crossentropy": Method(
        "CrossEntropy",
        "res18",
        "lstm",
        "crossentropy",
        "finetune",
        (2,),
        "Supervised on the pre-train classes (choreography, level, primitive); the paper cites ResNet, depth not stated.",
    ),
    "supcon": Method(
        "SupCon",
        "res18",
        "lstm",
        "supcon",
        "finetune",
        (2,),
        "Supervised contrastive on the pre-train classes; encoders not stated, as CrossEntropy's.",
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
    ),
    "tx-tx-infonce": Method(
        "Tx-Tx-InfoNCE",
        "tx",
        "tx",
        "infonce",
        "prompt",
        (3,),
        _ENCODER_ROW + "depth and width of the transformer are not stated: four layers.",
    ),
    "tx-lstm-infonce": Method(
        "Tx-LSTM-InfoNCE",
        "tx",
        "lstm",
        "infonce",
        "prompt",
        (3,),
        _ENCODER_ROW + "four transformer layers.",
    ),
    "res18-res18-infonce": Method(
        "Res18-Res18-InfoNCE",
        "res18",
        "res18",
        "infonce",
        "prompt",
        (3,),
        _ENCODER_ROW + "motion is a (3, T, V) image, music a (1, F, T) one.",
    ),
    "res50-res50-infonce": Method(
        "Res50-Res50-InfoNCE",
        "res50",
        "res50",
        "infonce",
        "prompt",
        (3,),
        _ENCODER_ROW + "motion is a (3, T, V) image, music a (1, F, T) one.",
    ),
    "res18-lstm-infonce": Method(
        "Res18-LSTM-InfoNCE",
        "res18",
        "lstm",
        "infonce",
        "prompt",
        (3,),
        _ENCODER_ROW + "motion is a (3, T, V) image.",
    ),
    "res50-lstm-infonce": Method(
        "Res50-LSTM-InfoNCE",
        "res50",
        "lstm",
        "infonce",
        "prompt",
        (3,),
        _ENCODER_ROW + "motion is a (3, T, V) image.",
    ),
    "stgcn-res18-infonce": Method(
        "ST-GCN-Res18-InfoNCE",
        "stgcn",
        "res18",
        "infonce",
        "prompt",
        (3,),
        _ENCODER_ROW + "music is a (1, F, T) image.",
    ),
    "stgcn-res50-infonce": Method(
        "ST-GCN-Res50-InfoNCE",
        "stgcn",
        "res50",
        "infonce",
        "prompt",
        (3,),
        _ENCODER_ROW + "music is a (1, F, T) image.",
    ),
    "stgcn-lstm-supcon": Method(
        "ST-GCN-LSTM-SupCon",
        "stgcn",
        "lstm",
        "supcon",
        "prompt",
        (3,),
        "Ours with the supervised contrastive loss on the pre-train classes.",
    ),
}

# Pre-trainings that are in no table of the paper: our encoders with one modality, as floors.
SINGLE_MODALITY = {
    "music_only": Method("Music only", None, "lstm", "infonce", "prompt", (), "Ours without motion."),
    "motion_only": Method("Motion only", "stgcn", None, "infonce", "prompt", (), "Ours without music."),
}


# Ours with one thing changed (extra_augmentation): what is not named is as selected.
CHANGES: dict[str, dict] = {
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
    name: Method(f"Ours, {name}", "stgcn", "lstm", "infonce", "prompt", (), "Ours with one setting changed.", variant=name)
    for name in CHANGES
}


def everyone() -> dict[str, Method]:
    """Every row that has a pre-training, by name: the paper's, our encoders with one modality, and the variants of ours."""
    return METHODS | SINGLE_MODALITY | VARIANTS


def table(number: int) -> dict[str, Method]:
    """The methods that stand in a table of the paper, in its order, ours last."""
    rows = {name: m for name, m in METHODS.items() if number in m.tables}
    return {name: m for name, m in rows.items() if name != "ours"} | {n: m for n, m in rows.items() if n == "ours"}


def seeds_of_method(name: str, seeds: int, others: int) -> int:
    """How many seeds a row gets: ``seeds`` for ours, its fine-tuning, the floors that pre-train and what did best on
    validation (``more_seeds`` in selected.yaml), ``others`` for the rest."""
    return seeds if name in ("ours", "contrastivedance", *SINGLE_MODALITY, *selected().get("more_seeds", [])) else others


def pretrainings() -> dict[str, Method]:
    """Each distinct pre-training and one method that uses it."""
    return {m.pretraining: m for m in reversed(everyone().values())}


@cache
def selected() -> dict:
    """Settings chosen on the validation choreographies by ``make select``: selected.yaml."""
    return yaml.safe_load((Path(__file__).parent / "selected.yaml").read_text())


def settings(method: Method) -> dict:
    """How a method pre-trains: representation, mlp_layers, same_music, augmentation, rate_factor.

    As selected for all, then for its pre-training (a variant's is ours), then what makes it a variant.
    """
    own = selected().get(replace(method, variant="").pretraining, {})
    return selected()["default"] | own | CHANGES.get(method.variant, {})
