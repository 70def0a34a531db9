"""Ghost modules: half of the channels by a convolution, the other half from them by a cheap depthwise one.

Maps are `(B, C, H, W)`. Source: Han et al., GhostNet, CVPR 2020, as in YOLOv5 (`GhostConv`, `C3Ghost`) and in the neck
of NanoDet-Plus (`GhostBottleneck` with depthwise 3x3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_space.blocks.conv import Conv
from search_space.blocks.csp import C3
from search_space.blocks.registries import DOWNSAMPLES, STAGES
from search_space.channel_layout import ChannelTrace, Layout, concatenated, equal_parts
from search_space.errors import SpaceError


class GhostConv(nn.Module):
    """`(B, in_channels, H, W)` to `(B, out_channels, ceil(H/stride), ceil(W/stride))`, the plain half first.

    Raises:
        SpaceError: `out_channels` is odd.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        cheap_kernel: int = 5,
        activation: bool = True,
    ) -> None:
        super().__init__()
        if out_channels % 2:
            raise SpaceError(f"a Ghost module needs an even out_channels, got {out_channels}; choose another width")
        half = out_channels // 2
        self.primary = Conv(in_channels, half, kernel_size, stride, activation=activation)
        self.cheap = Conv(half, half, cheap_kernel, groups=half, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        primary = self.primary(x)
        return torch.cat((primary, self.cheap(primary)), dim=1)

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        primary = trace(self.primary, x)
        return concatenated(primary=primary, cheap=trace(self.cheap, primary))


@DOWNSAMPLES.register("ghostconv")
class StridedGhostConv(GhostConv):
    """A 3x3 `GhostConv` at stride 2: `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/2), ceil(W/2))`."""

    by_name = True

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, 2)


class GhostBottleneck(nn.Module):
    """Two Ghost modules, the second without activation, and a shortcut: `(B, C, H, W)` to `(B, out_channels, H, W)`.

    The shortcut is a depthwise 5x5 and a 1x1, both without activation, where the channels change.
    """

    def __init__(self, in_channels: int, middle: int, out_channels: int, cheap_kernel: int = 3) -> None:
        super().__init__()
        self.expand = GhostConv(in_channels, middle, cheap_kernel=cheap_kernel)
        self.project = GhostConv(middle, out_channels, cheap_kernel=cheap_kernel, activation=False)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            depthwise = Conv(in_channels, in_channels, 5, groups=in_channels, activation=False)
            self.shortcut = nn.Sequential(depthwise, Conv(in_channels, out_channels, activation=False))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.expand(x)) + self.shortcut(x)
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        out = trace(self.project, trace(self.expand, x))
        if isinstance(self.shortcut, nn.Identity):
            return out
        return trace(self.shortcut, x, out=out)


@STAGES.register("ghost_bottleneck")
class GhostStage(nn.Sequential):
    """`repeats` Ghost bottlenecks: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`. Source: NanoDet-Plus."""

    by_name = True

    def __init__(self, in_channels: int, out_channels: int, repeats: int = 1) -> None:
        sizes = (in_channels, *(out_channels,) * repeats)
        super().__init__(*(GhostBottleneck(size, out_channels, out_channels) for size in sizes[:-1]))


@STAGES.register("c3_ghost")
class C3Ghost(C3):
    """`C3` with Ghost bottlenecks of half the width: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.

    Source: YOLOv5.
    """

    by_name = True

    def _inner(self, channels: int) -> nn.Module:
        return GhostBottleneck(channels, max(2, channels // 2), channels, cheap_kernel=5)

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        first, *inner = self.main
        hidden = self.join.conv.in_channels // 2
        last = trace(first, x, out=equal_parts(("primary", "cheap"), hidden // 2))
        for block in inner:
            last = trace(block, last)
        return trace(self.join, concatenated(main=last, bypass=trace(self.bypass, x)))
