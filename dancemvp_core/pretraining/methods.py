"""The method table: the encoders, objective and protocol of every row of Tables 2 and 3, and our choices where needed.

To add a method, add an entry. The method then appears in its table and its pre-training in the workflow, without any
other edit. Rows with the same encoders and objective share one pre-training (``Method.pretraining``).

The authors' released code (``released``) settles much that the paper leaves open. Whether the profile "paper" uses it:

- 100 epochs: yes.
- Adam with weight decay 1e-4: this value, but decoupled from the gradient (AdamW). The learning rate falls to zero by a cosine
  after a warm-up; the released one hardly falls. We chose both before we had read that code, and keep them so that finished
  results stay valid.
- Temperature 0.07: no, 0.1 in all rows with Eq. 1, for the same reason. It was not chosen on validation.
- An MLP of three layers (512, 256, 256, 256): no. One layer was chosen on validation, against two (``two-layer-mlp``). With
  one, nothing is lost between the encoders and the layer that is trained downstream.
- Two augmentations of four, drawn once per file: no. Ours are drawn anew in every step and were chosen on validation.
- The pre-train and test choreographies: with ``SPLIT=released``. The default is another split, because pre-training on the
  released one hears the music of two test choreographies.

released_code.csv (``09_released_code``) has the effect of each released value on ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Method:
    """One row of a table.

    ``motion`` and ``music`` name encoders (None: the row does not use this modality). ``tables``: numbers of the paper's
    tables that contain the row. ``interpretation`` says what the paper does not state, what the released code has there, and
    what we chose. ``variant`` names an entry of ``CHANGES``. ``paper.printed`` has the values that the paper prints for a row.
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
        """The name of the row's pre-training; rows with the same encoders and objective have the same one."""
        name = f"{self.motion or 'none'}-{self.music or 'none'}-{self.objective}"
        return f"{name}-{self.variant}" if self.variant else name


_PAPER_ROW = (
    "Encoders, loss and protocol are the paper's. It does not state the other settings; the released code has 100 epochs, Adam "
    "with weight decay 1e-4, temperature 0.07, a three-layer MLP, two fixed views and named choreographies. The profile paper "
    "has its epochs and weight decay (in AdamW), and its choreographies with SPLIT=released. Temperature 0.1 is our choice; the "
    "one-layer MLP and the augmentations were chosen on validation."
)
_ENCODER_ROW = "Ours with other encoders and no other change; "

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
        "Two augmented views and NT-Xent, which is Eq. 1. The paper does not state the encoders; we use ResNet-18 on motion "
        "as an image and LSTM on music. The MLP that joins them is the projection.",
    ),
    "moco": Method(
        "MoCo",
        "res18",
        "lstm",
        "moco",
        "finetune",
        (2,),
        "Momentum encoder and queue, with the temperature 0.07 and the linear projection of the MoCo paper. The paper does not "
        "state the encoders; we use SimCLR's. The momentum looks back over 2 % of the run, at least ten steps, and the queue has "
        "128 keys, because a run here has hundreds of steps and the original a million. The keys' batch norm uses running means "
        "instead of a shuffle among devices.",
    ),
    "svt": Method(
        "SVT",
        "tx",
        "lstm",
        "svt",
        "finetune",
        (2,),
        "Student and teacher use temporal views at full and half frame rate; the student also uses halves. A transformer "
        "over skeleton frames replaces the video transformer. The head is DINO's with batch norm and 256 prototypes. The teacher's "
        "momentum first looks back over 0.3 % of the run, at least ten steps.",
    ),
    "crossentropy": Method(
        "CrossEntropy",
        "res18",
        "lstm",
        "crossentropy",
        "finetune",
        (2,),
        "Supervised on the pre-train classes (choreography, level, primitive). The paper cites ResNet without its depth.",
    ),
    "supcon": Method(
        "SupCon",
        "res18",
        "lstm",
        "supcon",
        "finetune",
        (2,),
        "Supervised contrastive on the pre-train classes. The paper does not state the encoders; we use CrossEntropy's.",
    ),
    "contrastivedance": Method(
        "ContrastiveDance",
        "stgcn",
        "lstm",
        "infonce",
        "finetune",
        (2, 4),
        "We know of no public code of it. The paper prints the same numbers for it as for fine-tuning of the paper's features "
        "at g = 5, so we use our pre-training under fine-tuning.",
    ),
    "happyfeet": Method(
        "HappyFeet",
        "cnn1d",
        None,
        "crossentropy",
        "finetune",
        (2,),
        "A CNN on body-worn accelerometers; we know of no public code. We use a 1-D CNN on the joints' accelerations, supervised "
        "on the pre-train classes, without music.",
    ),
    "dance_with_melody": Method(
        "Dance w/ Melody",
        None,
        "melody",
        "reconstruction",
        "finetune",
        (2,),
        "An LSTM autoencoder from music to motion; we know of no public code. The features are its code and each joint's distance "
        "from the motion that the music predicts. Its views are crops only, because music predicts no turn and no hidden joint.",
    ),
    "tx-tx-infonce": Method(
        "Tx-Tx-InfoNCE",
        "tx",
        "tx",
        "infonce",
        "prompt",
        (3,),
        _ENCODER_ROW + "the paper does not state depth and width of the transformer; we use four layers.",
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

# Beyond the paper: in its tables, named as such, and in no claim.
EXTENSIONS = {
    "ours-sync": Method(
        "Ours-sync (beyond the paper)", "stgcn", "lstm", "synchrony", "prompt", (),
        "Beyond the paper: ours with an interaction of motion and music, which says when the strokes fall by the clock of the "
        "music (pretraining/synchrony.py).",
    )
}  # fmt: skip

# Pre-trainings of our encoders with one modality. They serve as floors and are in no table of the paper.
SINGLE_MODALITY = {
    "music_only": Method("Music only", None, "lstm", "infonce", "prompt", (), "Ours without motion."),
    "motion_only": Method("Motion only", "stgcn", None, "infonce", "prompt", (), "Ours without music."),
}


# Variants of ours with one changed setting (extra_augmentation). All other settings are as selected.
CHANGES: dict[str, dict] = {
    "position": {"representation": "position"},
    "two-layer-mlp": {"mlp_layers": 2},
    "same-music": {"same_music": 8},
    "no-augmentation": {"augmentation": {}},
    "joints": {"augmentation": {"joints": 0.3}},
    "more-joints": {"augmentation": {"joints": 0.5}},
    "turn": {"augmentation": {"joints": 0.3, "turn": 180.0}},
    "crop": {"augmentation": {"joints": 0.3, "crop": 0.5}},
    "turn-and-crop": {"augmentation": {"joints": 0.3, "turn": 180.0, "crop": 0.5}},
    "scale": {"augmentation": {"joints": 0.3, "scale": 0.3}},
    "music-masked": {"augmentation": {"joints": 0.3, "music_noise": 0.3, "music_mask": 0.3}},
    "skeletonclr-normal": {"augmentation": {"shear": 0.5, "crop": 0.25}},
    "skeletonclr-strong": {
        "augmentation": {"turn": 30.0, "shear": 0.5, "crop": 0.25, "mirror": 0.5, "noise": 0.01, "joints": 0.2}
    },
}
VARIANTS = {
    name: Method(f"Ours, {name}", "stgcn", "lstm", "infonce", "prompt", (), "Ours with one setting changed.", variant=name)
    for name in CHANGES
}


def everyone() -> dict[str, Method]:
    """Return all rows with a pre-training, by name: the paper's, the extensions, ours with one modality, its variants."""
    return METHODS | EXTENSIONS | SINGLE_MODALITY | VARIANTS


def table(number: int) -> dict[str, Method]:
    """Return the methods of Table 2, 3 or 4 of the paper, by name, in the paper's order, with ours last."""
    rows = {name: m for name, m in METHODS.items() if number in m.tables}
    return {name: m for name, m in rows.items() if name != "ours"} | {n: m for n, m in rows.items() if n == "ours"}


def seeds_of_method(name: str, seeds: int, costly: int) -> int:
    """Return the number of seeds of a row: ``seeds``, and at most ``costly`` for a row with a ResNet-50."""
    method = everyone()[name]
    return min(seeds, costly) if "res50" in (method.motion, method.music) else seeds


def pretrainings() -> dict[str, Method]:
    """Return each different pre-training by name, with one method that uses it."""
    return {m.pretraining: m for m in reversed(everyone().values())}


# Settings that follow from an objective, and that no data choose. Music cannot predict where a dancer was turned or which joints
# were hidden: with the augmentation of the others, the loss of a reconstruction stays at its trivial value.
OF_OBJECTIVE: dict[str, dict] = {"reconstruction": {"augmentation": {"crop": 0.5}}}

SELECTED = Path(__file__).parent / "selected.yaml"
_TRIED: dict[str, dict] = {}


@cache
def _file() -> dict:
    return yaml.safe_load(SELECTED.read_text())


def selected() -> dict:
    """Return the settings in selected.yaml, which ``make select`` chooses on validation choreographies."""
    return changed(_file(), _TRIED)


@contextmanager
def trying(changes: dict[str, dict]) -> Iterator[None]:
    """Change the selected settings inside a ``with`` block (``changed``). Only ``make select`` tries other settings."""
    _TRIED.update(changes)
    try:
        yield
    finally:
        _TRIED.clear()


def changed(settings: dict, changes: dict[str, dict]) -> dict:
    """Return settings, name -> values, in which the values of some names have changed."""
    return settings | {name: settings.get(name, {}) | values for name, values in changes.items()}


def settings_name(method: Method) -> str:
    """Return the pre-training whose entry in selected.yaml a method has: its own, without a variant and with ResNet-18 for 50."""
    return replace(method, variant="").pretraining.replace("res50", "res18")


def settings(method: Method) -> dict:
    """Return a method's settings of pre-training: representation, mlp_layers, same_music, augmentation, rate_factor.

    The settings for all methods come first. Those that follow from the objective replace them, then those of the method's
    pre-training (for a variant: those of ours), and the changes of a variant replace all.
    """
    own = selected().get(settings_name(method), {})
    return selected()["default"] | OF_OBJECTIVE.get(method.objective, {}) | own | CHANGES.get(method.variant, {})
