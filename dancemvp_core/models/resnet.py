"""ResNet (He et al. 2016) for small images: a piece's motion as (3, T, V), its music as (1, F, T)."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
SMALL_IMAGE = 99  # up to so many pixels, a 1x1 convolution is computed as a matrix product
SMALL_OUTPUT = 16  # up to so many output pixels, any other convolution is computed as one too


@cache
@torch.inference_mode(False)  # training uses the same tensors
def _taps(image: tuple, kernel: tuple, stride: tuple, pad: tuple, device: torch.device) -> tuple[Tensor, tuple[slice, slice]]:
    """Return the pixel under each tap at each output pixel, and the rows and columns of the kernel that meet the image at all.

    A pixel is a number in the flattened image, and H * W for the padding.
    """
    outside = image[0] * image[1]
    pixels = F.pad(torch.arange(outside).view(image), (pad[1], pad[1], pad[0], pad[0]), value=outside)
    taps = pixels.unfold(0, kernel[0], stride[0]).unfold(1, kernel[1], stride[1])
    met = tuple(slice(int(at.min()), int(at.max()) + 1) for at in (taps < outside).nonzero().T[2:])
    return taps[:, :, *met].flatten().to(device), met


class Conv2d(nn.Conv2d):
    """``nn.Conv2d`` that computes a matrix product if the image is small, so that most of the time goes into reading weights.

    The matrix product was faster on every processor that we tried. It is also correct in bfloat16: with a stride and an
    output of width 1, oneDNN's bfloat16 convolution (torch 2.15, AMX) gives values that change between calls, up to NaN.
    """

    def forward(self, x: Tensor) -> Tensor:
        (kernel_h, kernel_w), (stride_h, stride_w), (pad_h, pad_w) = self.kernel_size, self.stride, self.padding
        height, width = x.shape[2:]
        out_h = (height + 2 * pad_h - kernel_h) // stride_h + 1
        out_w = (width + 2 * pad_w - kernel_w) // stride_w + 1
        rows, weight = x.permute(0, 2, 3, 1), self.weight
        if kernel_h == kernel_w == 1 and height * width <= SMALL_IMAGE:
            taps = rows[:, ::stride_h, ::stride_w]
        elif out_h * out_w <= SMALL_OUTPUT or out_w == 1:
            pixels, met = _taps((height, width), self.kernel_size, self.stride, self.padding, x.device)
            taps = F.pad(rows.flatten(1, 2), (0, 0, 0, 1)).index_select(1, pixels).view(len(x), out_h, out_w, -1)
            weight = weight[:, :, *met]
        else:
            return super().forward(x)
        return F.linear(taps, weight.permute(0, 2, 3, 1).flatten(1), self.bias).permute(0, 3, 1, 2)


class BatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` for a batch of several ``views``, one after the other: it normalises each view by itself."""

    def forward(self, x: Tensor, views: int = 1) -> Tensor:
        if views == 1 or not self.training:
            return super().forward(x)
        return torch.cat([super(BatchNorm2d, self).forward(view) for view in x.chunk(views)])


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
