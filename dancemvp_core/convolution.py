"""Layers: a convolution of small images that is right and fast on every processor, and batch norms for several views."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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


class _EachView:
    """A batch norm of a batch with several ``views``, one after the other: it normalises each view by itself."""

    def forward(self, x: Tensor, views: int = 1) -> Tensor:
        if views == 1 or not self.training:
            return super().forward(x)
        return torch.cat([super(_EachView, self).forward(view) for view in x.chunk(views)])


class BatchNorm1d(_EachView, nn.BatchNorm1d):
    """``nn.BatchNorm1d`` that normalises each of several ``views`` in a batch by itself."""


class BatchNorm2d(_EachView, nn.BatchNorm2d):
    """``nn.BatchNorm2d`` that normalises each of several ``views`` in a batch by itself."""


class InTurn(nn.Sequential):
    """``nn.Sequential`` whose batch norms normalise each of several ``views`` in a batch by itself; empty: no change."""

    def forward(self, x: Tensor, views: int = 1) -> Tensor:
        for layer in self:
            x = layer(x, views) if isinstance(layer, _EachView) else layer(x)
        return x
