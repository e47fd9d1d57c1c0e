"""Motion and music encoders (section "Motion and Music Encoders"), their fusion, and the table that builds them.

Every encoder maps motion (N, 3, T, V) or music (N, F, T) to (N, D). The defaults are the paper's full width.
"""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from dancemvp_core.convolution import BatchNorm1d, BatchNorm2d, InTurn
from dancemvp_core.dance.skeleton import IMPERIALDANCE21, Skeleton, spatial_partitions
from dancemvp_core.models.resnet import ResNet

MUSIC_FEATURES = 54  # music.FEATURES: 20 MFCC, 20 deltas, 12 chroma, tempo, onset strength
FULL_WIDTH = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)


class GraphConvolution(nn.Module):
    """Sum over the partitions of (A_k * M_k) x W_k, (N, C, T, V) -> (N, C', T, V) (Yan et al., eq. 10).

    It gathers the neighbours before it mixes the channels: this gives the same sum and is cheaper for C <= C'. Both steps
    are matrix products with the channels last. The result keeps this layout for the temporal convolution.
    """

    def __init__(self, channels_in: int, channels_out: int, graph: Tensor):
        super().__init__()
        self.register_buffer("graph", graph, persistent=False)
        self.edge_weight = nn.Parameter(torch.ones_like(graph))
        self.mix = nn.Conv2d(channels_in * len(graph), channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v = x.shape
        graph = (self.graph * self.edge_weight).permute(2, 0, 1).flatten(0, 1)  # (V * 3, V): weights of each joint's neighbours
        graph, rows = graph.to(x.dtype), x.permute(0, 2, 3, 1).reshape(n * t, v, c)
        # ``@`` copies the rows to make one product of all; this pays for few channels only.
        gathered = graph @ rows if c < v else torch.bmm(graph.expand(n * t, -1, -1), rows)
        return F.linear(gathered.view(n, t, v, -1), self.mix.weight.flatten(1), self.mix.bias).permute(0, 3, 1, 2)


class STGCNBlock(nn.Module):
    """A graph convolution, then a temporal convolution over 9 frames, with a residual path; a stride of 2 halves time."""

    def __init__(self, channels_in: int, channels_out: int, graph: Tensor, stride: int, residual: bool):
        super().__init__()
        self.spatial = GraphConvolution(channels_in, channels_out, graph)
        self.spatial_norm = BatchNorm2d(channels_out)
        self.temporal = nn.Conv2d(channels_out, channels_out, (9, 1), (stride, 1), (4, 0))
        self.temporal_norm = BatchNorm2d(channels_out)
        same = channels_in == channels_out and stride == 1
        fit = () if same or not residual else (nn.Conv2d(channels_in, channels_out, 1, (stride, 1)), BatchNorm2d(channels_out))
        self.skip = InTurn(*fit) if residual else None

    def forward(self, x: Tensor, views: int = 1) -> Tensor:
        out = torch.relu(self.spatial_norm(self.spatial(x), views))
        out = self.temporal_norm(self.temporal(out), views)
        return torch.relu(out if self.skip is None else out + self.skip(x, views))


class STGCN(nn.Module):
    """ST-GCN (Yan, Xiong and Lin 2018), motion (N, 3, T, V) -> (N, D): p = phi(m) in the paper.

    ``channels`` has one width for each block. A block that is wider than the one before halves time, as in the original.
    ``views`` as in ``ResNet``.
    """

    def __init__(self, skeleton: Skeleton = IMPERIALDANCE21, channels=FULL_WIDTH, dim: int = 256):
        super().__init__()
        graph = torch.from_numpy(spatial_partitions(skeleton))
        self.input_norm = BatchNorm1d(3 * len(skeleton.joints))
        blocks, before = [], 3
        for i, width in enumerate(channels):
            stride = 2 if i > 0 and width > before else 1
            blocks.append(STGCNBlock(before, width, graph, stride, residual=i > 0))
            before = width
        self.blocks = nn.ModuleList(blocks)
        self.out = nn.Linear(before, dim)

    def forward(self, motion: Tensor, views: int = 1) -> Tensor:
        n, c, t, v = motion.shape
        x = self.input_norm(motion.permute(0, 1, 3, 2).reshape(n, c * v, t), views)
        x = x.view(n, c, v, t).permute(0, 1, 3, 2).contiguous()
        for block in self.blocks:
            x = block(x, views)
        return self.out(x.mean(dim=(2, 3)))


def _frames(x: Tensor) -> Tensor:
    """Return one vector for each frame: motion (N, 3, T, V) -> (N, T, 3V); music (N, F, T) -> (N, T, F)."""
    return x.permute(0, 2, 1, 3).flatten(2) if x.ndim == 4 else x.transpose(1, 2)


class LSTM(nn.Module):
    """Two-layer LSTM over frames; its output is the last hidden state, (N, F, T) -> (N, D): q = psi(a) in the paper."""

    def __init__(self, inputs: int = MUSIC_FEATURES, dim: int = 256, layers: int = 2):
        super().__init__()
        self.lstm = nn.LSTM(inputs, dim, layers, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(_frames(x))[1][0][-1]


class Transformer(nn.Module):
    """Transformer encoder over frames with sinusoidal positions; its output is the mean over time -> (N, D)."""

    def __init__(self, inputs: int, dim: int = 256, layers: int = 4, heads: int = 4):
        super().__init__()
        self.embed = nn.Linear(inputs, dim)
        layer = nn.TransformerEncoderLayer(dim, heads, 2 * dim, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(dim), enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(_frames(x))
        steps = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)
        rates = torch.exp(torch.arange(0, x.shape[2], 2, device=x.device) * (-np.log(1e4) / x.shape[2]))
        angles = steps[:, None] * rates
        x = x + torch.cat([angles.sin(), angles.cos()], dim=1).to(x.dtype)
        # The fused kernels do not guarantee repeatable gradients, and on so few frames they are slower on a CPU.
        with sdpa_kernel(SDPBackend.MATH):
            return self.layers(x).mean(dim=1)


class AccelerationCNN(nn.Module):
    """1-D CNN on the joints' accelerations, (N, 3, T, V) -> (N, D): HappyFeet's network, adapted to motion capture."""

    def __init__(self, joints: int, dim: int = 256, channels=(64, 128, 128)):
        super().__init__()
        layers, before = [nn.BatchNorm1d(3 * joints)], 3 * joints
        for width in channels:
            layers += [nn.Conv1d(before, width, 5, padding=2), nn.BatchNorm1d(width), nn.ReLU(), nn.MaxPool1d(2)]
            before = width
        self.net = nn.Sequential(*layers)
        self.out = nn.Linear(before, dim)

    def forward(self, motion: Tensor) -> Tensor:
        return self.out(self.net(motion.diff(n=2, dim=2).permute(0, 1, 3, 2).flatten(1, 2)).mean(dim=2))


def _sizes(modality: str, skeleton: Skeleton) -> tuple[int, int]:
    """Return (numbers in a frame, channels of an image) of motion or music."""
    return (3 * len(skeleton.joints), 3) if modality == "motion" else (MUSIC_FEATURES, 1)


# name -> (modalities that it reads, the default first; function that builds it)
ENCODERS = {
    "stgcn": (("motion",), lambda m, skeleton, channels, dim: STGCN(skeleton, channels, dim)),
    "lstm": (("music", "motion"), lambda m, skeleton, channels, dim: LSTM(_sizes(m, skeleton)[0], dim)),
    "tx": (("motion", "music"), lambda m, skeleton, channels, dim: Transformer(_sizes(m, skeleton)[0], dim)),
    "res18": (("motion", "music"), lambda m, skeleton, channels, dim: ResNet(18, _sizes(m, skeleton)[1], dim)),
    "res50": (("motion", "music"), lambda m, skeleton, channels, dim: ResNet(50, _sizes(m, skeleton)[1], dim)),
    "cnn1d": (("motion",), lambda m, skeleton, channels, dim: AccelerationCNN(len(skeleton.joints), dim)),
}


def build(name: str, modality: str | None = None, skeleton: Skeleton = IMPERIALDANCE21,
          channels: tuple[int, ...] = FULL_WIDTH, dim: int = 256) -> nn.Module:  # fmt: skip
    """Return a new encoder by name: motion (N, 3, T, V) or music (N, F, T) -> (N, dim).

    ``modality`` defaults to the encoder's first (res18, res50, tx: motion). ``channels`` are the widths of ST-GCN's blocks.
    Raises ValueError for a name that is not in ``ENCODERS`` and for a modality that the encoder cannot read.
    """
    if name not in ENCODERS:
        raise ValueError(f"no encoder {name!r}; there are {', '.join(ENCODERS)}")
    modalities, make = ENCODERS[name]
    modality = modality or modalities[0]
    if modality not in modalities:
        raise ValueError(f"encoder {name!r} reads {' or '.join(modalities)}, not {modality!r}")
    return make(modality, skeleton, tuple(channels), dim)


def velocity(motion: Tensor, seconds: Tensor) -> Tensor:
    """Return joint velocities, (N, 3, T, V) -> (N, 3, T, V), in trunk lengths per second; zero in the first frame.

    Skill shows in speed and steadiness, which are small changes of large positions. An encoder of positions hardly learns
    such changes (``extra_augmentation`` compares positions and velocities).
    """
    return F.pad(motion.diff(dim=2), (0, 0, 1, 0)) * (motion.shape[2] / seconds)[:, None, None, None]


# Devices on which an encoder trains in bfloat16, if the device has it and ``device.bfloat16_is_right`` accepts it. ST-GCN
# loses no accuracy on validation with two seeds (benchmarks/precision.py). A ResNet may lose accuracy, and on some
# processors its gradients in bfloat16 change from call to call. The Transformer and the others are too small to gain.
BFLOAT16 = {STGCN: ("cpu", "cuda"), LSTM: (), Transformer: (), ResNet: (), AccelerationCNN: ()}
ONE_FOR_BOTH = (LSTM, Transformer)  # encoders whose state does not change with the number of calls (batch norm's does)
NORMS_BY_VIEW = (ResNet, STGCN)  # encoders with batch norms, which normalise each view by itself
JOINS_VIEWS = {"cpu": (ResNet,)}  # encoders that join both views in one call; on a GPU all named above do

REPRESENTATIONS = {"position": lambda motion, seconds: motion, "velocity": velocity}


class DanceEncoder(nn.Module):
    """Motion and music encoders and the MLP that joins them: z = MLP([p, q]) ("Motion and Music Encoders").

    ``hidden`` computes the input of the MLP's last layer: these features stay frozen downstream. ``last`` is the MLP's
    last layer: the prompter continues to train it. The paper does not state the MLP's depth, and the released code has three
    layers (``released.encoder.MLP``): with ``mlp_layers`` 1, ``last`` is the whole MLP and ``hidden`` is [p, q]; with 2, a
    linear layer with ReLU comes before ``last``. A modality whose encoder is None is left out. An ``interaction`` adds features
    of motion and music together (``pretraining.synchrony``; beyond the paper). The input is a dict with
    "motion" (N, 3, T, V), positions that ``representation`` converts for the motion encoder, and "music" (N, F, T).
    ``bfloat16`` lets the encoders train in that precision (``BFLOAT16``). In evaluation all computations are in float32, and
    those of the MLP always.
    """

    def __init__(self, motion: nn.Module | None, music: nn.Module | None, dim: int = 256, features: int = 128,
                 representation: str = "position", mlp_layers: int = 1, interaction: nn.Module | None = None):  # fmt: skip
        super().__init__()
        if mlp_layers not in (1, 2):
            raise ValueError(f"an MLP of {mlp_layers} layers: expected 1 or 2")
        self.encoders = nn.ModuleDict({k: net for k, net in {"motion": motion, "music": music}.items() if net is not None})
        self.interaction = interaction
        joined = dim * len(self.encoders) + (interaction.features if interaction else 0)
        self.mix = nn.Identity() if mlp_layers == 1 else nn.Sequential(nn.Linear(joined, dim), nn.ReLU())
        self.last = nn.Linear(joined if mlp_layers == 1 else dim, features)
        self.represent = REPRESENTATIONS[representation]
        self.bfloat16 = False

    def encode(self, modality: str, pieces: dict[str, Tensor], views: int = 1) -> Tensor:
        """Return one modality's features, (N, dim) float32: p or q in the paper; the batch has ``views``, one after the other."""
        net, x = self.encoders[modality], pieces[modality]
        x = self.represent(x, pieces["seconds"]) if modality == "motion" else x  # in full precision, because it subtracts positions
        half = self.bfloat16 and self.training and x.device.type in BFLOAT16.get(type(net), ())
        with torch.autocast(x.device.type, torch.bfloat16) if half else nullcontext():  # not all devices have autocast
            return (net(x, views) if isinstance(net, NORMS_BY_VIEW) else net(x)).to(x.dtype)

    def hidden(self, pieces: dict[str, Tensor], music: Tensor | None = None) -> Tensor:
        """Return the input of the MLP's last layer, (N, H). ``music`` (N, dim): q, if it is known already."""
        known = {} if music is None else {"music": music}
        return self.join([known[name] if name in known else self.encode(name, pieces) for name in self.encoders], pieces)

    def join(self, encoded: list[Tensor], pieces: dict[str, Tensor]) -> Tensor:
        """Return the input of the MLP's last layer (N, H) from the encoders' features, each (N, dim)."""
        return self.mix(torch.cat([*encoded, self.interaction(pieces)] if self.interaction else encoded, dim=1))

    def forward(self, pieces: dict[str, Tensor]) -> Tensor:
        """Return z, (N, features)."""
        return self.last(self.hidden(pieces))

    def both(self, views: tuple[dict[str, Tensor], dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
        """Return z of both views of the same pieces, each (N, features): the same as two calls of ``forward``."""
        return tuple(map(self.last, self.hidden_of_both(views)))

    def hidden_of_both(self, views: tuple[dict[str, Tensor], dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
        """Return ``hidden`` of both views, each (N, H).

        Those in ``JOINS_VIEWS`` compute both views in one call; those in ``ONE_FOR_BOTH`` compute once what both share.
        """
        encoded = []
        for name, net in self.encoders.items():
            if isinstance(net, ONE_FOR_BOTH) and views[0][name] is views[1][name]:  # music that no augmentation changes
                encoded.append([self.encode(name, views[0])] * 2)
            elif isinstance(net, JOINS_VIEWS.get(views[0][name].device.type, NORMS_BY_VIEW + ONE_FOR_BOTH)):
                together = {part: torch.cat([view[part] for view in views]) for part in (name, "seconds")}
                encoded.append(self.encode(name, together, views=2).chunk(2))
            else:
                encoded.append([self.encode(name, view) for view in views])
        return tuple(self.join(list(parts), view) for parts, view in zip(zip(*encoded, strict=True), views, strict=True))
