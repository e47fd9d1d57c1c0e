"""The rows of the tables (methods and floors), and the features of each row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from torch import nn

from dancemvp_core.pretraining import methods
from dancemvp_core.pretraining.methods import Method
from dancemvp_core.pretraining.networks import new_objective
from dancemvp_core.pretraining.pretrained import load_encoder
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks import floors
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.protocols import LOOK_AT_NOTHING


def _floor(name: str, label: str, motion: str | None, music: str | None, protocol: str) -> Method:
    return Method(label, motion, music, "none", protocol, (), floors.DESCRIPTIONS[name])


FLOORS: dict[str, Method] = {
    "chance": _floor("chance", "Chance", None, None, "chance"),
    "handcrafted": _floor("handcrafted", "Hand-crafted", None, None, "finetune"),
    "body_only": _floor("body_only", "Body only", None, None, "finetune"),
    "random_init": _floor("random_init", "Random init", "stgcn", "lstm", "prompt"),
    **{name: replace(m, interpretation=floors.DESCRIPTIONS[name]) for name, m in methods.SINGLE_MODALITY.items()},
    "direct": _floor("direct", "Direct", None, None, "direct"),
    "direct_calibrated": _floor("direct_calibrated", "Direct, calibrated", None, None, "direct_calibrated"),
}
BOTH = ("prompt", "finetune")


class Row(NamedTuple):
    """A line of a table: the name of a method or floor, its ``Method`` with the protocol, and its number of seeds."""

    name: str
    method: Method
    seeds: int


def rows(number: int, seeds: int, costly: int) -> list[Row]:
    """Return the lines of Table 2 or 3: the floors, the paper's rows, and the extensions, each under its own protocol."""
    lines = FLOORS | methods.table(number) | methods.EXTENSIONS
    return [Row(name, m, seeds if name in FLOORS else methods.seeds_of_method(name, seeds, costly)) for name, m in lines.items()]


def both_protocols(lines: Iterable[Row]) -> list[Row]:
    """Return every line whose protocol reads features twice, under ``prompt`` and ``finetune``, in the order of the lines."""
    return [
        Row(row.name, replace(row.method, protocol=protocol), row.seeds)
        for row in lines
        for protocol in BOTH
        if row.method.protocol in BOTH
    ]


def pretraining_of(name: str) -> str:
    """Return the source of a row's features: the name of its pre-training, or the row's own name if it has none."""
    known = methods.everyone()
    return known[name].pretraining if name in known else name


def encoder_of(name: str, seed: int, where: Workspace) -> nn.Module:
    """Return a row's finished encoder on the device of the pieces; for ``random_init``, our encoder before training."""
    if name == "random_init":
        return untrained("ours", seed, where)
    pretraining = methods.everyone()[name].pretraining
    file = where.paths.encoder(pretraining, seed)
    return load_encoder(file, pretraining, where.width, where.skeleton).to(where.pieces.motion.device)


def untrained(name: str, seed: int, where: Workspace) -> nn.Module:
    """Return a row's encoder with the initial weights of a seed."""
    return new_objective(methods.everyone()[name].pretraining, seed, where.width, where.pieces, where.skeleton).encoder


def features_of(name: str, seed: int, where: Workspace, split: str = "test") -> Features:
    """Return a row's frozen features of a split's pieces, by its name.

    The features of a method or single-modality floor come from its encoder's file if the file has these pieces; else the
    encoder computes them. Hand-crafted floors are computed. ``chance`` and the direct floors read no features. Raises ValueError
    for an unknown name.
    """
    pieces = where.pieces
    if name in LOOK_AT_NOTHING:
        return Features.none(pieces)
    if name == "handcrafted":
        return floors.handcrafted(pieces)
    if name == "body_only":
        return floors.body_only(pieces, where.skeleton)
    if name == "random_init":
        return Features.encoded(encoder_of(name, seed, where), pieces, pieces.rows(split))
    if name not in methods.everyone():
        raise ValueError(f"no row {name!r}; there are {', '.join(FLOORS | methods.everyone())}")
    kept, rows = Features.kept(where.paths.encoder(pretraining_of(name), seed), pieces)
    wanted = pieces.rows(split)
    return kept if np.isin(wanted, rows).all() else Features.encoded(encoder_of(name, seed, where), pieces, wanted)
