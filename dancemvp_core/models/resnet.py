"""ResNet (He et al. 2016) for small images: a piece's motion as (3, T, V), its music as (1, F, T)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dancemvp_core.convolution import BatchNorm2d, Conv2d

DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, or (``bottleneck``) 1x1, 3x3, and 1x1 to four times the width."""

    def __init__(self, channels_in: int, width: int, stride: int, bottleneck: bool):
        super().__init__()
        channels = [channels_in, width, width, 4 * width] if bottleneck else [channels_in, width, width]
        kernels, strides = ([1, 3, 1], [1, stride, 1]) if bottleneck else ([3, 3], [stride, 1])
        self.convolutions = nn.ModuleList(
            Conv2d(a, b, kernel, step, kernel // 2, bias=False)
            for a, b, kernel, step in zip(channels[:-1], channels[1:], kernels, strides, strict=True)
        )
        self.norms = nn.ModuleList(BatchNorm2d(width) for width in channels[1:])
        self.skip = self.skip_norm = None
        if stride > 1 or channels_in != channels[-1]:
            self.skip = Conv2d(channels_in, channels[-1], 1, stride, bias=False)
            self.skip_norm = BatchNorm2d(channels[-1])

    def forward(self, x: Tensor, views: int = 1) -> Tensor:
        out = x
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            out = norm(convolution(F.relu(out) if i else out), views)
        return F.relu(out + (x if self.skip is None else self.skip_norm(self.skip(x), views)))


class ResNet(nn.Module):
    """ResNet-18 or -50: image (N, C, H, W) or, for one channel, (N, H, W) -> (N, D).

    ``views``: the number of views of the same pieces in the batch, one after the other. Batch norm treats each view by
    itself, so that the result is the same as one call for each view.
    """

    def __init__(self, depth: int, image_channels: int, dim: int = 256):
        super().__init__()
        self.stem = Conv2d(image_channels, 64, 7, 2, 3, bias=False)
        self.stem_norm = BatchNorm2d(64)
        bottleneck, channels, blocks = depth == 50, 64, []
        for stage, count in enumerate(DEPTHS[depth]):
            width = 64 << stage
            for i in range(count):
                blocks.append(Block(channels, width, 2 if stage and i == 0 else 1, bottleneck))
                channels = 4 * width if bottleneck else width
        self.blocks = nn.ModuleList(blocks)
        self.out = nn.Linear(channels, dim)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, views: int = 1) -> Tensor:
        image = (x if x.ndim == 4 else x.unsqueeze(1)).contiguous(memory_format=torch.channels_last)
        out = F.max_pool2d(F.relu(self.stem_norm(self.stem(image), views)), 3, 2, 1)
        for block in self.blocks:
            out = block(out, views)
        return self.out(out.mean(dim=(2, 3)))
