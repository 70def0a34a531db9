"""Partial convolutions: a 3x3 of the first quarter of the channels, the others pass. Maps are `(B, C, H, W)`.

Source: Chen et al., Run, Don't Walk: Chasing Higher FLOPS for Faster Neural Networks (FasterNet), CVPR 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_space.blocks.conv import Conv
from search_space.blocks.csp import SplitChain
from search_space.blocks.elan import Elan7
from search_space.blocks.registries import STAGES
from search_space.channel_layout import ChannelTrace, Layout, concatenated, one_part
from search_space.errors import SpaceError


class PartialConv(nn.Module):
    """A 3x3 without norm of the first quarter of the channels. Keeps `(B, C, H, W)`.

    Raises:
        SpaceError: There are fewer than 4 channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        mixed = channels // 4
        if mixed < 1:
            raise SpaceError(f"a partial convolution needs at least 4 channels, got {channels}; choose another width")
        self.sizes = (mixed, channels - mixed)
        self.conv = nn.Conv2d(mixed, mixed, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        first, rest = torch.split(x, list(self.sizes), dim=1)
        return torch.cat((self.conv(first), rest), dim=1)

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        mixed, rest = map(one_part, self.sizes)
        return concatenated(mixed=trace(self.conv, mixed), rest=rest)


class FasterNetBlock(nn.Module):
    """A partial convolution, 1x1 to twice the channels, 1x1 back without norm, plus the input. Keeps `(B, C, H, W)`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = PartialConv(channels)
        self.expand = Conv(channels, 2 * channels)
        self.project = nn.Conv2d(2 * channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.project(self.expand(self.mix(x)))
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        return trace(self.project, trace(self.expand, trace(self.mix, x)), out=x)


@STAGES.register("c2f_faster")
class C2fFaster(SplitChain):
    """`C2f` with FasterNet blocks: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`."""

    by_name = True

    def __init__(self, in_channels: int, out_channels: int, repeats: int = 1) -> None:
        hidden = out_channels // 2
        super().__init__(in_channels, out_channels, hidden, [FasterNetBlock(hidden) for _ in range(repeats)])


@STAGES.register("elan7_partial")
class Elan7Partial(Elan7):
    """`Elan7` with a partial convolution and a 1x1 in place of each 3x3, as in LEAF-YOLO.

    `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.
    """

    by_name = True

    @staticmethod
    def layer(channels: int) -> nn.Module:
        """Returns one layer of the chain."""
        return nn.Sequential(PartialConv(channels), Conv(channels, channels))
