"""Frozen features of pieces, which are the input of every protocol, and how to compute them with an encoder."""

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

    Both are on the device of the pieces. A protocol is fitted on this device.
    """

    hidden: Tensor
    last: nn.Linear | None = None

    @property
    def z(self) -> Tensor:
        """The features z of the pre-trained encoder, (P, D)."""
        if self.last is None:
            return self.hidden
        with torch.no_grad():
            return self.last(self.hidden)

    @classmethod
    def none(cls, pieces: PieceSet) -> Features:
        """Return features for protocols that read none: one zero for each piece, (P, 1)."""
        return cls(pieces.motion.new_zeros(len(pieces), 1))

    @classmethod
    def encoded(cls, encoder: nn.Module, pieces: PieceSet, rows: np.ndarray) -> Features:
        """Return an encoder's features of the piece ``rows``; the features of all other pieces are zero.

        The last layer is a copy, so that later changes of the encoder do not change the features.
        """
        values, _ = training.encode(encoder, pieces, rows)
        return cls._of_rows(values, rows, copy.deepcopy(encoder.last), pieces)

    @classmethod
    def kept(cls, file: Path, pieces: PieceSet) -> tuple[Features, np.ndarray]:
        """Return the features in a finished encoder's file (``Pretraining.finished``), and the rows of their pieces."""
        with safe_open(file, framework="pt") as tensors:
            rows, values = tensors.get_tensor("features.rows").numpy(), tensors.get_tensor("features.hidden")
            weight, bias = tensors.get_tensor("encoder.last.weight"), tensors.get_tensor("encoder.last.bias")
        last = nn.Linear(weight.shape[1], weight.shape[0])
        last.load_state_dict({"weight": weight, "bias": bias})
        return cls._of_rows(values, rows, last, pieces), rows

    @classmethod
    def _of_rows(cls, values: Tensor, rows: np.ndarray, last: nn.Linear, pieces: PieceSet) -> Features:
        hidden, device = torch.zeros(len(pieces), values.shape[1]), pieces.motion.device
        hidden[rows] = values
        return cls(hidden.to(device), last.to(device))
