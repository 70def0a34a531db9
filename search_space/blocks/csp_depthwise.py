"""CSP blocks with depthwise convolutions: of YOLOX-Nano, RTMDet (CSPNeXt) and DAMO-YOLO nano.

Maps are `(B, C, H, W)`; height and width are kept. They save multiply-adds, not time on a board with TensorRT.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_space.blocks.conv import Conv
from search_space.blocks.csp import C3
from search_space.blocks.registries import STAGES
from search_space.channel_layout import ChannelTrace, Layout, concatenated

DEEPEST_RESIDUAL = 4
"""Coarsest level whose bottlenecks have residuals in the backbone of YOLOX and RTMDet."""


def separable(in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> nn.Sequential:
    """Returns a depthwise convolution and a 1x1, each with norm and activation."""
    depthwise = Conv(in_channels, in_channels, kernel_size, stride, groups=in_channels)
    return nn.Sequential(depthwise, Conv(in_channels, out_channels))


class DepthwiseBottleneck(nn.Module):
    """A convolution, then a depthwise and a 1x1 one: `(B, C, H, W)` to the same shape, optionally residual."""

    def __init__(self, channels: int, first_kernel: int, depthwise_kernel: int, shortcut: bool) -> None:
        super().__init__()
        self.first = Conv(channels, channels, first_kernel)
        self.second = separable(channels, channels, depthwise_kernel)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x))
        return x + out if self.shortcut else out


@STAGES.register("c3_depthwise")
class C3Depthwise(C3):
    """The stage block of YOLOX-Nano: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.

    As `C3`, with a 1x1 and a depthwise separable 3x3 in each bottleneck; residuals in the backbone up to P4. Source: Ge
    et al., YOLOX, 2021.
    """

    by_name = True

    def _inner(self, channels: int) -> nn.Module:
        return DepthwiseBottleneck(channels, 1, 3, self.shortcut)

    @staticmethod
    def options(in_backbone: bool, level: int) -> dict[str, object]:
        """Returns the constructor arguments that depend on part and level."""
        return {"shortcut": in_backbone and level <= DEEPEST_RESIDUAL}


class ChannelAttention(nn.Module):
    """The channel attention of RTMDet: a hard sigmoid of one full 1x1 of the mean. Keeps `(B, C, H, W)`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.gate(F.adaptive_avg_pool2d(x, 1)))

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        return trace(self.gate, x, out=x)


@STAGES.register("cspnext")
class CSPNeXt(C3Depthwise):
    """The stage block of RTMDet: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.

    As `C3`, with a 3x3 and a depthwise separable 5x5 in each bottleneck; in the backbone, residuals up to P4 and a
    channel attention before the last 1x1. Source: Lyu et al., RTMDet, 2022.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        repeats: int = 1,
        shortcut: bool = False,
        attention: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, repeats, shortcut)
        self.attention = ChannelAttention(self.join.conv.in_channels) if attention else nn.Identity()

    def _inner(self, channels: int) -> nn.Module:
        return DepthwiseBottleneck(channels, 3, 5, self.shortcut)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.join(self.attention(torch.cat((self.main(x), self.bypass(x)), dim=1)))
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        both = concatenated(main=trace(self.main, x), bypass=trace(self.bypass, x))
        return trace(self.join, trace(self.attention, both))

    @staticmethod
    def options(in_backbone: bool, level: int) -> dict[str, object]:
        """Returns the constructor arguments that depend on part and level."""
        return {**C3Depthwise.options(in_backbone, level), "attention": in_backbone}


@STAGES.register("cspnext_plain")
class CSPNeXtPlain(CSPNeXt):
    """`CSPNeXt` without channel attention: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`."""

    @staticmethod
    def options(in_backbone: bool, level: int) -> dict[str, object]:
        """Returns the constructor arguments that depend on part and level."""
        return C3Depthwise.options(in_backbone, level)


class DepthwiseInverted(nn.Module):
    """1x1 to `hidden` channels, depthwise 5x5, 1x1 back without activation, plus the input. Keeps `(B, C, H, W)`."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand = Conv(channels, hidden)
        self.depthwise = Conv(hidden, hidden, 5, groups=hidden)
        self.project = Conv(hidden, channels, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.project(self.depthwise(self.expand(x)))
        return out


@STAGES.register("csp_inverted")
class CSPInverted(nn.Module):
    """The neck block of DAMO-YOLO nano: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.

    Two parallel 1x1; `repeats` inverted residuals of three times the width, rounded to a multiple of 8, in a chain on
    one of them; 1x1 over the other and the output of each. Source: Xu et al., DAMO-YOLO, 2022.
    """

    by_name = True
    repeated = ("inner",)
    ratio = 3

    def __init__(self, in_channels: int, out_channels: int, repeats: int = 1) -> None:
        super().__init__()
        half = max(1, out_channels // 2)
        self.bypass = Conv(in_channels, half)
        self.main = Conv(in_channels, half)
        hidden = max(8, (self.ratio * half + 4) // 8 * 8)
        self.inner = nn.ModuleList([DepthwiseInverted(half, hidden) for _ in range(repeats)])
        self.join = Conv((1 + repeats) * half, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        maps, last = [self.bypass(x)], self.main(x)
        for block in self.inner:
            last = block(last)
            maps.append(last)
        out: Tensor = self.join(torch.cat(maps, dim=1))
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        maps, last = {"bypass": trace(self.bypass, x)}, trace(self.main, x)
        for number, block in enumerate(self.inner):
            last = maps[f"inner{number}"] = trace(block, last, out=last)
        return trace(self.join, concatenated(**maps))
