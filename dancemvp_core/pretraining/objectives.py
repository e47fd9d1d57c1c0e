"""Objectives of pre-training, one class for each. ``training.train`` trains all of them.

An objective is a module with the ``encoder`` that is kept and with everything else that the training needs (heads,
momentum copies, queues). ``loss(views, labels)`` takes the two augmented views of a batch, ``trivial_loss(views, labels)`` says
what constant features reach on it. The training calls ``after_step(pace(share, steps))`` after each step of the optimiser;
``share`` is the part of the run that is done, ``steps`` the length of the run. A step runs on a GPU without the host
(``device.Recorded``): no method but ``pace`` may read the value of a tensor, or depend on the step in any other way.
"""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dancemvp_core.models import losses
from dancemvp_core.models.encoders import DanceEncoder

Views = tuple[dict[str, Tensor], dict[str, Tensor]]


class Objective(nn.Module):
    """An encoder and the loss that trains it; further arguments of a subclass are the objective's hyper-parameters."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def trivial_loss(self, views: Views, labels: Tensor) -> float | Tensor:
        """Return the loss on a batch of an encoder that gives all pieces the same features: a collapsed one."""
        raise NotImplementedError

    def pace(self, share: float, steps: int) -> float:
        """Return how far momentum copies move towards their originals in a step, 0..1: 1 - momentum. The default is 0."""
        return 0.0

    def after_step(self, pace: float | Tensor) -> None:
        """Update what the optimiser does not update; the default does nothing."""


def among_views(labels: Tensor) -> float:
    """Return the contrastive loss of N pieces with constant features: all 2N - 1 other views of the batch are equally near."""
    return math.log(2 * len(labels) - 1)


class InfoNCE(Objective):
    """The paper's objective: two views of a piece are a positive pair, all other views in the batch are negatives (Eq. 1).

    The paper does not state the temperature. The released code has 0.07 (``released.pretraining.TEMPERATURE``). All profiles
    keep 0.1, which we chose before we had read that code. The effect of 0.07 is a row of released_code.csv.
    """

    def __init__(self, encoder: DanceEncoder, classes: int, temperature: float = 0.1):
        super().__init__(encoder)
        self.temperature = temperature

    def loss(self, views: Views, labels: Tensor) -> Tensor:
        return losses.info_nce(*self.encoder.both(views), self.temperature)

    def trivial_loss(self, views: Views, labels: Tensor) -> float:
        return among_views(labels)


class SupCon(Objective):
    """Supervised contrastive learning: all views of pieces of one class are positives (Khosla et al. 2020)."""

    def __init__(self, encoder: DanceEncoder, classes: int, temperature: float = 0.1):
        super().__init__(encoder)
        self.temperature = temperature

    def loss(self, views: Views, labels: Tensor) -> Tensor:
        z = torch.cat(self.encoder.both(views))
        return losses.sup_con(z, torch.cat([labels, labels]), self.temperature)

    def trivial_loss(self, views: Views, labels: Tensor) -> float:
        return among_views(labels)


class CrossEntropy(Objective):
    """Cross-entropy of a linear classifier of the pre-train classes on the features of both views."""

    def __init__(self, encoder: DanceEncoder, classes: int):
        super().__init__(encoder)
        self.classifier = nn.Linear(encoder.last.out_features, classes)

    def loss(self, views: Views, labels: Tensor) -> Tensor:
        z = torch.cat(self.encoder.both(views))
        return F.cross_entropy(self.classifier(torch.relu(z)), torch.cat([labels, labels]))

    def trivial_loss(self, views: Views, labels: Tensor) -> float:
        return math.log(self.classifier.out_features)


def follow(slow: nn.Module, fast: nn.Module, pace: float | Tensor) -> None:
    """Move the weights of ``slow`` by the share ``pace`` towards those of ``fast`` (moving average), and copy the buffers."""
    with torch.no_grad():
        for old, new in zip(slow.parameters(), fast.parameters(), strict=True):
            old.lerp_(new, pace)
        for old, new in zip(slow.buffers(), fast.buffers(), strict=True):
            old.copy_(new)


def _frozen_copy(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).requires_grad_(False)


def slow_momentum(inertia: float, steps: int, least: float = 0.9) -> float:
    """Return the momentum of a moving average over the share ``inertia`` of a run of ``steps`` steps, at least ``least``.

    A paper's momentum is a number of steps: 0.999 looks back over 1,000 of them. In a run of a few hundred, such an average
    never leaves the initial weights.
    """
    return max(least, 1 - 1 / max(1.0, inertia * steps))


class MoCo(Objective):
    """MoCo (He et al. 2020): a momentum encoder computes the keys, and a first-in, first-out queue of keys has the negatives.

    As in the paper: a linear projection (``encoder.last``) with temperature 0.07. The temperature 0.2 belongs to MoCo v2, whose
    projection has a hidden layer.
    Scaled: the paper's momentum 0.999 is a memory of 1,000 steps of 10^6, and its queue has 5 % of the images. Here the memory is
    ``inertia`` of the run (``slow_momentum``), and the queue has 128 keys. The keys of a queue must come from similar encoders, so
    none may be older than the memory: with 512 keys of batches of 32, the oldest were made 16 steps ago.
    Other than in the paper: the optimiser (``Training``), and what keeps the batch norm from telling which key is of the query's
    batch. The paper shuffles the pieces among devices; on one device, the keys use the batch norm's running means (Cai et al.
    2021, EMAN).
    """

    def __init__(
        self, encoder: DanceEncoder, classes: int, temperature: float = 0.07, inertia: float = 0.02, queue: int = 128
    ):
        super().__init__(encoder)
        self.temperature, self.inertia = temperature, inertia
        self.key_encoder = _frozen_copy(encoder)
        start = torch.Generator().manual_seed(0)
        keys = torch.randn(queue, encoder.last.out_features, generator=start)
        self.register_buffer("queue", F.normalize(keys, dim=1))
        self.register_buffer("head", torch.zeros((), dtype=torch.long))
        self.fresh: Tensor | None = None

    def loss(self, views: Views, labels: Tensor) -> Tensor:
        with torch.no_grad():
            keys = F.normalize(self.key_encoder.eval()(views[1]), dim=1)
        self.fresh = keys
        return losses.queue_nce(self.encoder(views[0]), keys, self.queue, self.temperature)

    def trivial_loss(self, views: Views, labels: Tensor) -> float:
        return math.log(len(self.queue) + 1)

    def pace(self, share: float, steps: int) -> float:
        return 1 - slow_momentum(self.inertia, steps)

    def after_step(self, pace: float | Tensor) -> None:
        """Move the key encoder towards the query encoder, and replace the oldest keys in the queue by the newest."""
        follow(self.key_encoder, self.encoder, pace)
        place = (self.head + torch.arange(len(self.fresh), device=self.queue.device)) % len(self.queue)
        self.queue[place] = self.fresh
        self.head.copy_((self.head + len(self.fresh)) % len(self.queue))


class Prototypes(nn.Module):
    """DINO's head, (N, D) -> (N, K): an MLP with three layers, unit length, and the cosine to K prototypes of unit length.

    The MLP has batch norm, an option of DINO (Caron et al. 2021). The features of a new encoder differ little between pieces.
    Without batch norm, the head makes this difference smaller still: the teacher then answers all pieces alike, the centre takes
    this answer away, and nothing is left to learn.
    """

    def __init__(self, features: int, prototypes: int):
        super().__init__()
        hidden = 2 * features
        self.mlp = nn.Sequential(
            *(nn.Linear(features, hidden, bias=False), nn.BatchNorm1d(hidden), nn.GELU()),
            *(nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden), nn.GELU()),
            nn.Linear(hidden, features),
        )
        self.prototypes = nn.Parameter(torch.randn(prototypes, features))

    def forward(self, z: Tensor) -> Tensor:
        return F.linear(F.normalize(self.mlp(z), dim=1), F.normalize(self.prototypes, dim=1))


def _in_time(view: dict[str, Tensor], start: float, end: float, step: int = 1) -> dict[str, Tensor]:
    """Return the part of a view between two shares of its time, at every ``step``-th frame."""
    cut = {k: v[:, :, int(start * v.shape[2]) : int(end * v.shape[2]) : step] for k, v in view.items() if k != "seconds"}
    return cut | {"seconds": view["seconds"] * (end - start)}


class SVT(Objective):
    """Self-supervised Video Transformer (Ranasinghe et al. 2022): a student learns to match a teacher on other views.

    There are no negatives. The teacher's input is the whole piece, at full and at half frame rate. The student's input is
    these two views and both halves of the piece at full rate. The student predicts the teacher's prototypes of the other
    views.

    As in the paper, which has them from DINO: the head (``Prototypes``), the temperatures 0.1 and 0.04, the centre with momentum
    0.9, and a teacher whose momentum rises to 1 on a cosine.
    Scaled: DINO's first momentum 0.996 is a memory of 250 steps of 10^5; here it is ``inertia`` of the run (``slow_momentum``).
    There are 256 prototypes, where DINO has 65,536.
    Other than in the paper: the views are cut in time only, the prototypes are not frozen in the first epoch of the run (1 % of
    DINO's, but a quarter of a short one), and the weight decay is constant.
    """

    def __init__(self, encoder: DanceEncoder, classes: int, prototypes: int = 256, inertia: float = 0.003):
        super().__init__(encoder)
        self.inertia = inertia
        self.head = Prototypes(encoder.last.out_features, prototypes)
        self.teacher = _frozen_copy(nn.ModuleList([encoder, self.head]))
        self.register_buffer("centre", torch.zeros(prototypes))
        self.seen: Tensor | None = None

    @staticmethod
    def temporal_views(views: Views) -> tuple[list[dict[str, Tensor]], list[dict[str, Tensor]]]:
        """Return (global, local): the piece at full and at half frame rate; its first and its last half at full rate."""
        return [views[0], _in_time(views[1], 0.0, 1.0, step=2)], [_in_time(views[0], 0.0, 0.5), _in_time(views[1], 0.5, 1.0)]

    def loss(self, views: Views, labels: Tensor) -> Tensor:
        whole, parts = self.temporal_views(views)
        encoder, head = self.teacher
        with torch.no_grad():
            targets = [head(encoder(view)) for view in whole]
        self.seen = torch.cat(targets).mean(dim=0)
        guesses = [self.head(self.encoder(view)) for view in whole + parts]
        pairs = [(g, t) for i, g in enumerate(guesses) for j, t in enumerate(targets) if i != j]
        return sum(losses.self_distillation(g, t, self.centre) for g, t in pairs) / len(pairs)

    def trivial_loss(self, views: Views, labels: Tensor) -> float:
        """Return ln K: the centre takes from a constant teacher all that it says, and the targets are uniform."""
        return math.log(len(self.centre))

    def pace(self, share: float, steps: int) -> float:
        """Return 1 - momentum; the momentum rises to 1 on a cosine."""
        momentum = 1 - (1 - slow_momentum(self.inertia, steps)) * (math.cos(math.pi * share) + 1) / 2
        return 1 - momentum

    def after_step(self, pace: float | Tensor) -> None:
        """Move the teacher towards the student, and the centre towards the teacher's mean output (momentum 0.9)."""
        follow(self.teacher[0], self.encoder, pace)
        follow(self.teacher[1], self.head, pace)
        self.centre.lerp_(self.seen, 0.1)


class MelodyAutoencoder(nn.Module):
    """Dance with Melody (Tang et al. 2018) as an encoder of pieces: it predicts motion from music through a bottleneck.

    An LSTM encodes the music as a code. Another LSTM computes motion from the code and the first LSTM's hidden states. The
    features of a piece are the code and, for each joint, the distance between the danced and the predicted motion. Only
    these distances depend on the dancer.
    """

    def __init__(self, music_features: int, joints: int, dim: int = 256):
        super().__init__()
        self.read = nn.LSTM(music_features, dim, batch_first=True)
        self.write = nn.LSTM(2 * dim, dim, batch_first=True)
        self.pose = nn.Linear(dim, 3 * joints)
        self.last = nn.Linear(dim + 2 * joints, dim + 2 * joints)
        nn.init.eye_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def generate(self, music: Tensor) -> tuple[Tensor, Tensor]:
        """Return the code (N, D) of music (N, F, T), and the motion that it predicts (N, 3, T, V)."""
        states, (code, _) = self.read(music.transpose(1, 2))
        code = code[-1]
        repeated = code[:, None].expand(-1, states.shape[1], -1)
        frames = self.pose(self.write(torch.cat([states, repeated], dim=2))[0])
        return code, frames.view(len(music), states.shape[1], 3, -1).permute(0, 2, 1, 3)

    def hidden(self, pieces: dict[str, Tensor]) -> Tensor:
        """Return features (N, D + 2V): the code, and each joint's mean distance and mean speed difference to the prediction."""
        code, predicted = self.generate(pieces["music"])
        away = pieces["motion"] - predicted
        distance = away.norm(dim=1).mean(dim=1)
        speed = away.diff(dim=2).norm(dim=1).mean(dim=1)
        return torch.cat([code, distance, speed], dim=1)

    def forward(self, pieces: dict[str, Tensor]) -> Tensor:
        return self.last(self.hidden(pieces))


class MotionReconstruction(Objective):
    """Mean squared distance between the predicted and the danced motion, over both views."""

    def __init__(self, encoder: MelodyAutoencoder, classes: int):
        super().__init__(encoder)

    def loss(self, views: Views, labels: Tensor) -> Tensor:
        return sum(F.mse_loss(self.encoder.generate(v["music"])[1], v["motion"]) for v in views) / len(views)

    def trivial_loss(self, views: Views, labels: Tensor) -> Tensor:
        """Return the variance of the motion over the batch: the distance to the mean piece, which is the best single answer."""
        return torch.cat([v["motion"] for v in views]).var(dim=0, correction=0).mean()


OBJECTIVES = {
    "infonce": InfoNCE,
    "supcon": SupCon,
    "crossentropy": CrossEntropy,
    "moco": MoCo,
    "svt": SVT,
    "reconstruction": MotionReconstruction,
}
