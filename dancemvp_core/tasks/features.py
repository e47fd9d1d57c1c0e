"""Frozen features of pieces: what every protocol reads, and how an encoder makes them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.pretraining import training


@dataclass(frozen=True, eq=False)
class Features:
    """Frozen features of all pieces: ``hidden`` (P, H) and the MLP's last layer, Linear(H, D), or None for z = hidden.

    Both are on one device, the pieces': there a protocol fits.
    """

    hidden: Tensor
    last: nn.Linear | None = None

    @property
    def z(self) -> Tensor:
        """(P, D): the features as pre-training left them."""
        if self.last is None:
            return self.hidden
        with torch.no_grad():
            return self.last(self.hidden)

    @classmethod
    def none(cls, pieces: PieceSet) -> Features:
        """For protocols that look at no features: one zero a piece."""
        return cls(pieces.motion.new_zeros(len(pieces), 1))

    @classmethod
    def encoded(cls, encoder: nn.Module, pieces: PieceSet, rows: np.ndarray) -> Features:
        """An encoder's features of the piece ``rows``; those of the other pieces are zero.

        The last layer is a copy: what becomes of the encoder afterwards does not change the features.
        """
        made, _ = training.encode(encoder, pieces, rows)
        return cls._of_rows(made, rows, copy.deepcopy(encoder.last), pieces)

    @classmethod
    def kept(cls, file: Path, pieces: PieceSet) -> tuple[Features, np.ndarray]:
        """The features in a finished encoder's file (``Pretraining.finished``), and the piece rows that it keeps."""
        with safe_open(file, framework="pt") as tensors:
            rows, made = tensors.get_tensor("features.rows").numpy(), tensors.get_tensor("features.hidden")
            weight, bias = tensors.get_tensor("encoder.last.weight"), tensors.get_tensor("encoder.last.bias")
        last = nn.Linear(weight.shape[1], weight.shape[0])
        last.load_state_dict({"weight": weight, "bias": bias})
        return cls._of_rows(made, rows, last, pieces), rows

    @classmethod
    def _of_rows(cls, made: Tensor, rows: np.ndarray, last: nn.Linear, pieces: PieceSet) -> Features:
        hidden, device = torch.zeros(len(pieces), made.shape[1]), pieces.motion.device
        hidden[rows] = made
        return cls(hidden.to(device), last.to(device))
