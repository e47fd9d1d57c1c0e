"""Augmentations that create the positive pairs: batched tensor operations on the device, with a seeded generator.

Skill shows in timing, amplitude and steadiness, which an augmentation can hide. So each kind of augmentation has its own
strength, and the validation choreographies decide which kinds to use (``extra_augmentation`` shows what each one costs).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """The strength of each kind of augmentation; 0 switches a kind off.

    turn: largest turn about the vertical axis, in degrees. mirror: probability that left and right change places. shear:
    largest off-diagonal element (SkeletonCLR: 0.5). scale: amplitude is multiplied by 1 +- scale at most. crop: a temporal
    crop keeps at least the share 1 - crop of the piece. joints: share of joints set to zero. noise: standard deviation in
    trunk lengths. music_noise: standard deviation in units of each feature's own standard deviation. music_mask: share of
    music features set to zero.
    """

    turn: float = 0.0
    mirror: float = 0.0
    shear: float = 0.0
    scale: float = 0.0
    crop: float = 0.0
    joints: float = 0.0
    noise: float = 0.0
    music_noise: float = 0.0
    music_mask: float = 0.0

    def __call__(self, pieces: dict[str, Tensor], generator: torch.Generator, mirror=()) -> dict[str, Tensor]:
        """Return one random view of each piece: {"motion": (N, 3, T, V), "music": (N, F, T), "seconds": (N,)} -> the same shapes.

        ``mirror`` is ``Skeleton.mirror``; from a tensor on the device, nothing is copied. The second coordinate is the vertical
        one in all data (``dance.orientation``).
        """
        motion, music, seconds = pieces["motion"], pieces["music"], pieces["seconds"]
        n, joints = motion.shape[0], motion.shape[3]
        device = motion.device

        def uniform(*shape, low=0.0, high=1.0):
            return torch.rand(*shape, generator=generator, device=device) * (high - low) + low

        def normal(like):
            return torch.randn(like.shape, generator=generator, device=device)

        if self.crop:
            start_share = uniform(n)
            keep = uniform(n, low=1.0 - self.crop)
            motion, music = (_crop(x, (1 - keep) * start_share, keep) for x in (motion, music))
            seconds = seconds * keep
        if self.turn or self.shear or self.scale or self.mirror:
            change = torch.eye(3, device=device).repeat(n, 1, 1)
            if self.shear:
                off = uniform(n, 3, 3, low=-self.shear, high=self.shear)
                change = change + off * (1 - torch.eye(3, device=device))
            if self.turn:
                change = _turn(uniform(n, low=-self.turn, high=self.turn)) @ change
            if self.scale:
                change = change * uniform(n, 1, 1, low=1 - self.scale, high=1 + self.scale)
            if self.mirror and len(mirror):
                flip = uniform(n) < self.mirror
                swapped = motion[..., torch.as_tensor(mirror, device=device)]
                motion = torch.where(flip[:, None, None, None], swapped, motion)
                across = torch.arange(3, device=device) == 0
                change = torch.where(flip[:, None, None] & across, -change, change)
            motion = torch.einsum("nij,njtv->nitv", change, motion)
        if self.noise:
            motion = motion + self.noise * normal(motion)
        if self.joints:
            motion = motion * (uniform(n, 1, 1, joints) >= self.joints)
        if self.music_noise:
            music = music + self.music_noise * normal(music)
        if self.music_mask:
            music = music * (uniform(n, music.shape[1], 1) >= self.music_mask)
        return {"motion": motion, "music": music, "seconds": seconds}


def _turn(degrees: Tensor) -> Tensor:
    """Return rotations about the vertical (second) axis, (N,) -> (N, 3, 3)."""
    angle = torch.deg2rad(degrees)
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    rows = [cos, zero, sin, zero, one, zero, -sin, zero, cos]
    return torch.stack(rows, dim=1).view(-1, 3, 3)


def _crop(x: Tensor, start: Tensor, keep: Tensor) -> Tensor:
    """Stretch the part start..start+keep (shares of the time) of each piece to full length, (N, ..., T, V) or (N, F, T)."""
    image = x if x.ndim == 4 else x.unsqueeze(-1)
    n, _, frames, width = image.shape
    share = start[:, None] + keep[:, None] * torch.linspace(0, 1, frames, device=x.device)
    place = share * 2 - 1
    across = torch.linspace(-1, 1, width, device=x.device) if width > 1 else torch.zeros(1, device=x.device)
    grid = torch.stack([across.expand(n, frames, width), place[:, :, None].expand(n, frames, width)], dim=-1)
    out = F.grid_sample(image, grid.to(image.dtype), align_corners=True, padding_mode="border")
    return out if x.ndim == 4 else out.squeeze(-1)
