"""Beyond the paper: when does a stroke fall, by the clock of the music? The interaction of ``ours-sync``.

ST-GCN averages over time, and the LSTM hears the music apart. So their features do not say whether a stroke falls on its beat.
Here the music learns when a stroke is to be expected. Around each such time, attention over the motion intensity finds the
stroke. The distribution of its lag, and the size of each joint's movement in it, are features beside those of the encoders.
They need no label, no beat and no rate.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dancemvp_core.models import losses
from dancemvp_core.models.encoders import MUSIC_FEATURES, DanceEncoder
from dancemvp_core.pretraining.objectives import Objective, Views, among_views

BEATS = 8  # in a piece
LAGS = 13  # places of the distribution, from one beat early to one beat late
GATE = 4.0  # slope of the weights of times around the threshold


def standardised(x: Tensor) -> Tensor:
    """Return each row with mean 0 and standard deviation 1 over time, (..., T)."""
    return (x - x.mean(dim=-1, keepdim=True)) / (x.std(dim=-1, keepdim=True) + 1e-4)


def around(x: Tensor, reach: int, outside: float = 0.0) -> Tensor:
    """Return x at each time and lag, (N, T) -> (N, T, 2 reach + 1); ``outside`` stands before the start and after the end."""
    return F.pad(x, (reach, reach), value=outside).unfold(1, 2 * reach + 1, 1)


def shifts(frames: int) -> int:
    """Return by how many of the piece's ``frames`` the music is shifted at most, either way: 1.25 beats."""
    return round(1.25 * frames / BEATS)


def _shared(lags: int, device: torch.device) -> Tensor:
    """Return how ``lags`` places share out their weight over ``LAGS`` places, (lags, LAGS): each over its two neighbours."""
    place = torch.linspace(0, LAGS - 1, lags, device=device)[:, None]
    return (1 - (place - torch.arange(LAGS, device=device)).abs()).clamp(min=0)


class Synchrony(nn.Module):
    """Features of motion (N, 3, T, V) and music (N, F, T) together, (N, LAGS + 1 + 2V).

    Only ``listen`` learns (``loss``). The music's expectation, standardised over the piece, becomes weights of its times: they
    rise around the ``threshold``. ``sharpness`` of the attention to the motion intensity; ``nothing``: the score of the answer
    "there is no stroke". Their values come from trials on validation choreographies (synthetic).
    """

    def __init__(self, joints: int, width: int = 16, threshold: float = 1.25, sharpness: float = 4.0, nothing: float = 1.0):
        super().__init__()
        self.listen = nn.Sequential(
            nn.Dropout1d(0.4), nn.Conv1d(MUSIC_FEATURES, width, 5, padding=2), nn.ReLU(), nn.Conv1d(width, 1, 5, padding=2)
        )
        self.log_scale = nn.Parameter(torch.tensor(2.3))  # of the correlations in ``loss``: 1 / temperature
        self.threshold, self.sharpness, self.nothing = threshold, sharpness, nothing
        self.features = LAGS + 1 + 2 * joints
        self.norm = nn.BatchNorm1d(self.features, affine=False)

    def streams(self, pieces: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return (the music's expectation of a stroke, the motion intensity), each (N, T), standardised over time."""
        music = standardised(pieces["music"])
        if self.training:
            music = music + torch.randn_like(music)
        speed = torch.gradient(pieces["motion"], dim=2)[0].norm(dim=1).sum(dim=2)
        smooth = F.avg_pool1d(speed[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
        return standardised(self.listen(music)[:, 0]), standardised(smooth)

    def loss(self, pieces: dict[str, Tensor]) -> Tensor:
        """Return InfoNCE of motion and music in time; the negatives are the same music, shifted by up to 1.25 beats."""
        heard, danced = self.streams(pieces)
        frames, reach = heard.shape[1], shifts(heard.shape[1])
        correlations = torch.einsum("nt,ntl->nl", heard, around(danced, reach)) / frames
        return F.cross_entropy(self.log_scale.exp() * correlations, torch.full((len(heard),), reach, device=heard.device))

    def strokes(self, pieces: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the distribution of the strokes over the lags (N, LAGS + 1), and over the frames of the motion (N, T).

        The last place of the first one is the share of expected times without a stroke.
        """
        heard, danced = self.streams(pieces)
        frames = heard.shape[1]
        beat = round(frames / BEATS)
        weight = torch.sigmoid(GATE * (heard - self.threshold))
        weight = weight / weight.sum(dim=1, keepdim=True)
        near = self.sharpness * around(danced, beat, -1e4)
        attention = torch.softmax(torch.cat([near, torch.full_like(near[..., :1], self.nothing)], dim=-1), dim=-1)
        together = weight[..., None] * attention
        lags = together.sum(dim=1)
        placed = lags[:, :-1] @ _shared(2 * beat + 1, lags.device)
        at = F.fold(together[..., :-1], (1, frames + 2 * beat), (1, frames))[:, 0, 0, beat : beat + frames]
        return torch.cat([placed, lags[:, -1:]], dim=1), at / at.sum(dim=1, keepdim=True).clamp(min=1e-4)

    def forward(self, pieces: dict[str, Tensor]) -> Tensor:
        """Return the lags of the strokes, and the logarithms of each joint's speed and acceleration in them."""
        with torch.no_grad():
            lags, at = self.strokes(pieces)
            step = torch.gradient(pieces["motion"], dim=2)[0]
            rate = (step.shape[2] / pieces["seconds"])[:, None, None]  # of frames, to speeds in trunk lengths per second
            sizes = torch.cat([step.norm(dim=1) * rate, torch.gradient(step, dim=2)[0].norm(dim=1) * rate**2], dim=2)
            return self.norm(torch.cat([lags, torch.einsum("nt,ntk->nk", at, torch.log(sizes + 0.05))], dim=1))




class SynchronyInfoNCE(Objective):
    """Eq. 1 with and without the features of the interaction, and the loss that teaches the interaction to listen.

    A turn changes no speed, so the interaction alone could tell the positive pair; Eq. 1 without it keeps the encoders at work.
    """

    def __init__(self, encoder: DanceEncoder, classes: int, temperature: float = 0.1):
        super().__init__(encoder)
        self.temperature = temperature

    def loss(self, views: Views, labels: Tensor) -> Tensor:
        encoder = self.encoder
        hidden = encoder.hidden_of_both(views)
        alone = [torch.cat([h[:, : -encoder.interaction.features], torch.zeros_like(h[:, -encoder.interaction.features :])], 1)
                 for h in hidden]  # fmt: skip
        agree = sum(losses.info_nce(*map(encoder.last, pair), self.temperature) for pair in (hidden, alone)) / 2
        return agree + sum(encoder.interaction.loss(view) for view in views) / 2

    def trivial_loss(self, views: Views, labels: Tensor) -> float:
        """Return the trivial values of Eq. 1 and of the interaction, which without features takes all shifts for equally likely."""
        return among_views(labels) + math.log(2 * shifts(views[0]["music"].shape[2]) + 1)
