"""Plain reference code for the benchmarks, written directly from the equations of the papers.

Each reference copies the weights of the network that it is compared with, so that the outputs can be compared too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.models.encoders import STGCN, STGCNBlock
from dancemvp_core.pretraining.augment import Augmentation
from dancemvp_core.pretraining.objectives import Objective
from dancemvp_core.pretraining.training import Training


class TextbookBlock(nn.Module):
    """An ST-GCN block as Yan et al. 2018 describe it: 1x1 convolution to all partitions, einsum, 9x1 convolution.

    (N, C, T, V) -> (N, C', T', V). The bias is added before the sum over neighbours. So it is the same function as our block
    only with initial edge weights, because then the weights of each joint sum to one.
    """

    def __init__(self, block: STGCNBlock):
        super().__init__()
        spatial = block.spatial
        partitions, width = len(spatial.graph), spatial.mix.out_channels
        weight = spatial.mix.weight.detach().view(width, partitions, -1, 1, 1).transpose(0, 1).flatten(0, 1)
        self.register_buffer("graph", spatial.graph.clone())
        self.edge_weight = nn.Parameter(spatial.edge_weight.detach().clone())
        self.mix = nn.Conv2d(weight.shape[1], partitions * width, 1, device=weight.device)
        self.mix.load_state_dict({"weight": weight, "bias": spatial.mix.bias.detach().repeat(partitions)})
        self.spatial_norm, self.temporal, self.temporal_norm, self.skip = (
            copy.deepcopy(part) for part in (block.spatial_norm, block.temporal, block.temporal_norm, block.skip)
        )

    def forward(self, x: Tensor, views: int = 1) -> Tensor:
        n, _, t, v = x.shape
        mixed = self.mix(x).view(n, len(self.graph), -1, t, v)
        gathered = torch.einsum("nkctv,kvw->nctw", mixed, self.graph * self.edge_weight)
        out = self.temporal_norm(self.temporal(torch.relu(self.spatial_norm(gathered, views))), views)
        return torch.relu(out if self.skip is None else out + self.skip(x, views))


def textbook(network: nn.Module) -> nn.Module:
    """Return a copy of a network in which every ST-GCN has textbook blocks."""
    out = copy.deepcopy(network)
    for module in out.modules():
        if isinstance(module, STGCN):
            module.blocks = nn.ModuleList(TextbookBlock(block) for block in module.blocks)
    return out


class AugmentedPieces(Dataset):
    """Two views of one piece, each augmented by itself: two dicts of "motion" (3, T, V) and "music" (F, T)."""

    def __init__(self, pieces: PieceSet, augmentation: Augmentation, mirror):
        self.pieces, self.augmentation, self.mirror = pieces.to("cpu"), augmentation, mirror
        self.rows = pieces.rows("pretrain")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> tuple[dict[str, Tensor], ...]:
        piece = self.pieces.batch(self.rows[i : i + 1])
        views = [self.augmentation(piece, torch.default_generator, self.mirror) for _ in range(2)]
        return tuple({name: x[0] for name, x in view.items()} for view in views)


def loader(pieces: PieceSet, augmentation: Augmentation, mirror, batch_size: int, workers: int) -> DataLoader:
    """Return a loader of batches of ``AugmentedPieces``; ``workers`` is the number of its processes (0: this process)."""
    return DataLoader(
        AugmentedPieces(pieces, augmentation, mirror), batch_size, shuffle=True, drop_last=True, num_workers=workers,
        persistent_workers=workers > 0, pin_memory=torch.cuda.is_available(),
    )  # fmt: skip


def on_device(batches: DataLoader, device) -> Iterator[tuple[dict[str, Tensor], ...]]:
    """Yield the batches of views of a loader, each moved to the device."""
    for views in batches:
        yield tuple({name: x.to(device, non_blocking=True) for name, x in view.items()} for view in views)


def epoch(objective: Objective, batches: DataLoader, training: Training, precision: Callable, device) -> Callable[[], None]:
    """Return a function that makes one pass over a loader with AdamW; ``precision(device)`` is the context of the loss."""
    weights = list(objective.parameters())
    optimizer = torch.optim.AdamW(weights, lr=training.learning_rate, weight_decay=training.weight_decay)

    def once() -> None:
        objective.train()
        total = 0.0
        for views in on_device(batches, device):
            with precision(device):
                loss = objective.loss(views, None)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 5.0)
            optimizer.step()
            total += loss.item()

    return once


class PairwiseScores(nn.Module):
    """w . GELU(W [z, t] + b) from the concatenation of every pair: z (B, D_z), t (C, D_t) -> (B, C).

    It builds a tensor of size B x C x (D_z + D_t). Its weights are those of a ``models.prompter.Join`` and its head.
    """

    def __init__(self, join: nn.Module, head: nn.Linear):
        super().__init__()
        weight = torch.cat([join.dance.weight, join.text.weight], dim=1).detach()
        self.mix = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device)
        self.mix.load_state_dict({"weight": weight, "bias": join.dance.bias.detach()})
        self.head = copy.deepcopy(head)

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        pairs = torch.cat([z[:, None].expand(-1, len(t), -1), t[None].expand(len(z), -1, -1)], dim=2)
        return self.head(F.gelu(self.mix(pairs))).squeeze(-1)
