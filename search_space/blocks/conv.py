"""Convolution with batch norm and activation, spatial pyramid pooling, and a plain 1x1 convolution."""

from __future__ import annotations

from math import gcd

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_space.blocks.registries import LAYERS, UNITS
from search_space.channel_layout import ChannelTrace, Layout, concatenated

BN_EPS = 1e-3
BN_MOMENTUM = 0.03


@LAYERS.register("conv")
class Conv(nn.Module):
    """Convolution without bias, batch norm, SiLU: `(B, in_channels, H, W)` to `(B, out_channels, H/stride, W/stride)`.

    Zero padding of half the kernel (2 for the 6x6 stem of YOLOv5, which halves at stride 2); batch norm with eps 1e-3
    and momentum 0.03, as in the YOLO family.

    A strided 1x1 convolution takes every `stride`-th cell before it: the gradient of one with a stride writes beyond
    its memory in oneDNN 3.12 of PyTorch 2.13, on CPUs with AVX-512, for channels last that are no multiple of 16 and
    maps of 96 cells a side or more.

    Raises:
        ValueError: A number of channels is below 1, as after splitting a single channel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: bool = True,
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels) < 1:  # PyTorch builds it with a warning only
            raise ValueError(f"a convolution of {in_channels} to {out_channels} channels is none")
        padding = (kernel_size - 1) // 2
        self.every, stride = (stride, 1) if kernel_size == 1 else (1, stride)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out_channels, eps=BN_EPS, momentum=BN_MOMENTUM)
        self.activation = nn.SiLU(inplace=True) if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.every == 1 else x[..., :: self.every, :: self.every]
        out: Tensor = self.activation(self.norm(self.conv(x)))
        return out


def depthwise(in_channels: int, out_channels: int, kernel_size: int = 3) -> Conv:
    """Returns a `Conv` with as many groups as both channel counts allow."""
    return Conv(in_channels, out_channels, kernel_size, groups=gcd(in_channels, out_channels))


@LAYERS.register("deep")
class DeepStem(nn.Sequential):
    """Three 3x3 `Conv`, the first one strided; the first two have half of the channels. Source: RTMDet.

    `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/stride), ceil(W/stride))`.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 2) -> None:
        half = max(1, out_channels // 2)
        super().__init__(
            Conv(in_channels, half, kernel_size, stride),
            Conv(half, half, kernel_size),
            Conv(half, out_channels, kernel_size),
        )


def chained_pools(x: Tensor, kernel_size: int = 5) -> list[Tensor]:
    """Returns the map and those after one, two and three max pools of stride 1, `(B, C, H, W)` each."""
    maps = [x]
    for _ in range(3):
        maps.append(F.max_pool2d(maps[-1], kernel_size, stride=1, padding=kernel_size // 2))
    return maps


def pooled_layout(x: Layout) -> Layout:
    """Returns the layout of the concatenation of `chained_pools`."""
    return concatenated(reduced=x, pool5=x, pool9=x, pool13=x)


@UNITS.register("sppf")
@LAYERS.register("sppf")
class SPPF(nn.Module):
    """Spatial pyramid pooling by three chained 5x5 max pools: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.

    The same function as SPP, which takes the maxima of 5x5, 9x9 and 13x13 windows of one map, and as SPPELAN.

    Args:
        shortcut: As in YOLO26: no activation after the first 1x1, and the input is added.

    Raises:
        ValueError: `shortcut` is set and the channels change.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 5, shortcut: bool = False) -> None:
        super().__init__()
        if shortcut and in_channels != out_channels:
            raise ValueError(f"a shortcut needs equal channels, got {in_channels} and {out_channels}")
        hidden = in_channels // 2
        self.reduce = Conv(in_channels, hidden, activation=not shortcut)
        self.expand = Conv(4 * hidden, out_channels)
        self.kernel_size, self.shortcut = kernel_size, shortcut

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.expand(torch.cat(chained_pools(self.reduce(x), self.kernel_size), dim=1))
        return x + out if self.shortcut else out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        return trace(self.expand, pooled_layout(trace(self.reduce, x)), out=x if self.shortcut else None)


@LAYERS.register("csp_sppf")
class CSPSPPF(nn.Module):
    """`SPPF` on one of two parallel 1x1 branches, with a 3x3 before and after it, joined by a 1x1.

    `(B, in_channels, H, W)` to `(B, out_channels, H, W)`. Source: YOLOv6 3.0 (Li et al., 2023).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        hidden = out_channels // 2
        self.enter = nn.Sequential(Conv(in_channels, hidden), Conv(hidden, hidden, 3), Conv(hidden, hidden))
        self.leave = nn.Sequential(Conv(4 * hidden, hidden), Conv(hidden, hidden, 3))
        self.bypass = Conv(in_channels, hidden)
        self.join = Conv(2 * hidden, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        main = self.leave(torch.cat(chained_pools(self.enter(x)), dim=1))
        out: Tensor = self.join(torch.cat((self.bypass(x), main), dim=1))
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        main = trace(self.leave, pooled_layout(trace(self.enter, x)))
        return trace(self.join, concatenated(bypass=trace(self.bypass, x), main=main))


@LAYERS.register("csp_sppf_half")
class HalvingCSPSPPF(nn.Module):
    """Pyramid pooling on one of two parallel 1x1 branches, joined by a 1x1: the context of YOLOv7-tiny.

    `(B, in_channels, H, W)` to `(B, out_channels, H, W)`. Both branches have `out_channels`, which is half of the input
    there. The pools of 13x13, 9x9 and 5x5 on one map are those of `chained_pools`. Source: Wang et al., CVPR 2023.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.enter = Conv(in_channels, out_channels)
        self.leave = Conv(4 * out_channels, out_channels)
        self.bypass = Conv(in_channels, out_channels)
        self.join = Conv(2 * out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        main = self.leave(torch.cat(chained_pools(self.enter(x))[::-1], dim=1))
        out: Tensor = self.join(torch.cat((main, self.bypass(x)), dim=1))
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        entered = trace(self.enter, x)
        main = trace(self.leave, concatenated(pool13=entered, pool9=entered, pool5=entered, reduced=entered))
        return trace(self.join, concatenated(main=main, bypass=trace(self.bypass, x)))


@LAYERS.register("pointwise")
class Pointwise(nn.Conv2d):
    """A 1x1 convolution with bias, no norm, no activation: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)
