"""The networks as released: ST-GCN on a graph without the right knee, an LSTM that steps through feature rows, the MLP.

Modules and weights carry the released names, so that its checkpoint loads (``checkpoint``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dancemvp_core.dance.sequences import DanceDataset
from dancemvp_core.dance.skeleton import IMPERIALDANCE21, Skeleton
from dancemvp_core.device import full_precision
from dancemvp_core.released import cutting

MISSING_BONE = ("RShin", "RThigh")
WIDTHS = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
MUSIC_FRAMES = 130
BATCH, CPU_BATCH = 32, 2  # performances of three pieces each; on a processor, more than 2 are slower


def edges(skeleton: Skeleton = IMPERIALDANCE21, knee: bool = False) -> list[tuple[int, int]]:
    """Return the bones of the graph as pairs of joints (``models/utils/graph.py``, layout ``mocap``): RThigh-RShin is missing.

    The right shin, foot and toe are then a part of their own. With ``knee`` the bone is there.
    """
    cut = {skeleton.joints.index(name) for name in MISSING_BONE}
    return [(a, b) for a, b in skeleton.bones if knee or {a, b} != cut]


def partitions(joints: int, bones: list[tuple[int, int]], centre: int) -> np.ndarray:
    """Return the adjacency in three partitions, (3, V, V) float32 (``models/utils/graph.py``, strategy ``spatial``, one hop).

    Entry [k, v, w]: what joint w takes from joint v, by v's degree. k = 0 is the joint itself; 1 has neighbours that are
    farther from the centre than w, or equally far; 2 those that are nearer. Distances are known up to one bone only: all
    joints that are not the centre or its neighbours count as equally far (infinitely). The paper's reference (Yan et al.
    2018) uses the true distances.
    """
    near = np.eye(joints)
    for a, b in bones:
        near[a, b] = near[b, a] = 1
    normalised = near / near.sum(axis=0)
    distance = np.where(np.arange(joints) == centre, 0.0, np.where(near[:, centre] > 0, 1.0, np.inf))
    neighbour = (near > 0) & ~np.eye(joints, dtype=bool)
    nearer = distance[:, None] < distance[None]
    parts = (np.eye(joints) * normalised, normalised * (neighbour & ~nearer), normalised * (neighbour & nearer))
    return np.stack(parts).astype(np.float32)


class SpatialConvolution(nn.Module):
    """``models/utils/tgcn.py``: channels are mixed for each partition, then neighbours are summed."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, 3 * channels_out, 1)

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        n, _, t, v = x.shape
        return torch.einsum("nkctv,kvw->nctw", self.conv(x).view(n, 3, -1, t, v), graph)


class Block(nn.Module):
    """``models/st_gcn.py``: spatial convolution, then a temporal one of 9 frames, with a residual path; dropout 0."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, residual: bool):
        super().__init__()
        self.gcn = SpatialConvolution(channels_in, channels_out)
        temporal = nn.Conv2d(channels_out, channels_out, (9, 1), (stride, 1), (4, 0))
        self.tcn = nn.Sequential(nn.BatchNorm2d(channels_out), nn.ReLU(), temporal, nn.BatchNorm2d(channels_out), nn.Dropout(0))
        self.with_residual = residual
        changes = channels_in != channels_out or stride != 1
        skip = nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, (stride, 1)), nn.BatchNorm2d(channels_out))
        self.residual = skip if residual and changes else nn.Identity()

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        out = self.tcn(self.gcn(x, graph))
        return torch.relu(out + self.residual(x) if self.with_residual else out)


class MotionEncoder(nn.Module):
    """``models/st_gcn.py``, ``GraphModel``: motion (N, 3, T, V) -> (N, 256), the mean over frames and joints.

    ``fcn``, a layer of nine classes, is in the checkpoint and is not used.
    """

    def __init__(self, skeleton: Skeleton = IMPERIALDANCE21, knee: bool = False):
        super().__init__()
        joints = len(skeleton.joints)
        graph = partitions(joints, edges(skeleton, knee), skeleton.joints.index("Hip"))
        self.register_buffer("A", torch.from_numpy(graph))
        self.data_bn = nn.BatchNorm1d(3 * joints)
        before = (3, *WIDTHS[:-1])
        strides = [2 if i and wide > narrow else 1 for i, (narrow, wide) in enumerate(zip(before, WIDTHS, strict=True))]
        self.st_gcn_networks = nn.ModuleList(
            Block(*channels, stride, residual=i > 0)
            for i, (*channels, stride) in enumerate(zip(before, WIDTHS, strides, strict=True))
        )
        self.edge_importance = nn.ParameterList([nn.Parameter(torch.ones_like(self.A)) for _ in WIDTHS])
        self.fcn = nn.Conv2d(WIDTHS[-1], 9, 1)

    def forward(self, motion: Tensor) -> Tensor:
        n, c, t, v = motion.shape
        x = self.data_bn(motion.permute(0, 3, 1, 2).reshape(n, v * c, t))
        x = x.view(n, v, c, t).permute(0, 2, 3, 1)
        for block, importance in zip(self.st_gcn_networks, self.edge_importance, strict=True):
            x = block(x, self.A * importance)
        return x.mean(dim=(2, 3))


class MusicEncoder(nn.Module):
    """``models/lstm.py``: eight layers, (N, R, 130) -> (N, 256).

    It steps through the R = 549 feature *rows* and reads the 130 frames as inputs, where the paper has an LSTM over time.
    """

    def __init__(self, inputs: int = MUSIC_FRAMES, hidden: int = 256, layers: int = 8, dim: int = 256):
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, layers, batch_first=True)
        self.fc = nn.Linear(hidden, dim)

    def forward(self, music: Tensor) -> Tensor:
        return self.fc(self.lstm(music)[0][:, -1])


class MLP(nn.Module):
    """``models/mlp.py``: 512 -> 256 -> 256 -> 256, ReLU between; the last output is z."""

    def __init__(self, inputs: int = 512, dim: int = 256):
        super().__init__()
        self.input_fc, self.hidden_fc, self.output_fc = nn.Linear(inputs, 256), nn.Linear(256, 256), nn.Linear(256, dim)

    def hidden(self, x: Tensor) -> Tensor:
        """(N, 256): the input of the last layer."""
        return torch.relu(self.hidden_fc(torch.relu(self.input_fc(x))))

    def forward(self, x: Tensor) -> Tensor:
        return self.output_fc(self.hidden(x))


class ReleasedEncoder(nn.Module):
    """The whole encoder as released: {"motion": (N, 3, 300, 21), "music": (N, 549, 130)} -> z (N, 256).

    ``hidden`` and ``last`` are as in ``models.encoders.DanceEncoder``, so that every protocol can use it.
    """

    def __init__(self, knee: bool = False):
        super().__init__()
        self.motion, self.music, self.mlp = MotionEncoder(knee=knee), MusicEncoder(), MLP()

    @property
    def last(self) -> nn.Linear:
        """The MLP's last layer: what is tuned downstream."""
        return self.mlp.output_fc

    def hidden(self, pieces: dict[str, Tensor]) -> Tensor:
        """(N, 256): the input of the MLP's last layer."""
        return self.mlp.hidden(torch.cat([self.motion(pieces["motion"]), self.music(pieces["music"])], dim=1))

    def forward(self, pieces: dict[str, Tensor]) -> Tensor:
        return self.last(self.hidden(pieces))


class Encoded(NamedTuple):
    """Performances in three pieces each: ``hidden`` and ``z``, both (3 N, 256) on the CPU, and their N ``rows`` in the data set.

    ``left_out``: why performances are left out -> how many.
    """

    hidden: Tensor
    z: Tensor
    rows: list[int]
    left_out: Counter[str]


@full_precision()
@torch.inference_mode()
def encode(
    encoder: ReleasedEncoder, dataset: DanceDataset, rows: Sequence[int], progress: Callable = lambda rows: rows
) -> Encoded:
    """Cut the performances ``rows`` of a data set as released, and encode them in float32 on the device of the encoder.

    Each music window is encoded once. Raises DataError for unusable motion or music.
    """
    device, up = next(encoder.parameters()).device, getattr(dataset.sequences, "up", "y")
    batch = CPU_BATCH if device.type == "cpu" else BATCH
    heard: dict[tuple, Tensor] = {}
    left_out: Counter[str] = Counter()
    kept: list[int] = []
    waiting: list[tuple[Tensor, Tensor]] = []
    hidden = [torch.zeros(0, encoder.last.in_features, device=device)]

    def finish_batch() -> None:
        motion, sound = (torch.cat(part).to(device) for part in zip(*waiting, strict=True))
        hidden.append(encoder.mlp.hidden(torch.cat([encoder.motion(motion), sound], dim=1)))
        waiting.clear()

    for row in progress(rows):
        danced = dataset.sequences[int(row)]
        reason = cutting.why_left_out(danced)
        if reason:
            left_out[reason] += 1
            continue
        window = cutting.music_window(danced)
        if window not in heard:
            heard[window] = encoder.music(torch.from_numpy(cutting.music_of(danced)).to(device))
        waiting.append((torch.from_numpy(cutting.motion_of(danced, up)), heard[window]))
        kept.append(int(row))
        if len(waiting) == batch:
            finish_batch()
    if waiting:
        finish_batch()
    joined = torch.cat(hidden)
    return Encoded(joined.cpu(), encoder.last(joined).cpu(), kept, left_out)
