"""GELAN, the stage block of YOLOv9 (Wang et al., ECCV 2024). Maps are `(B, C, H, W)`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_space.blocks.conv import Conv
from search_space.blocks.csp import C3, Bottleneck
from search_space.blocks.registries import STAGES
from search_space.blocks.rep import RepConv
from search_space.blocks.split import SplitConv
from search_space.channel_layout import ChannelTrace, Layout, concatenated, one_part


class RepBottleneck(Bottleneck):
    """A residual bottleneck whose first 3x3 has a 1x1 branch until it is deployed. Keeps `(B, C, H, W)`."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.first = RepConv(channels, channels, identity=False)


class RepCSP(C3):
    """`C3` with residual, re-parameterised bottlenecks: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`."""

    def __init__(self, in_channels: int, out_channels: int, repeats: int = 1) -> None:
        super().__init__(in_channels, out_channels, repeats, shortcut=True)

    def _inner(self, channels: int) -> nn.Module:
        return RepBottleneck(channels)


@STAGES.register("gelan")
class GELAN(nn.Module):
    """1x1 to two halves; two pairs of a CSP of `repeats` bottlenecks and a 3x3 in a chain; 1x1 over all maps.

    `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.
    """

    by_name = True

    def __init__(self, in_channels: int, out_channels: int, repeats: int = 1) -> None:
        super().__init__()
        half = max(2, out_channels // 2)
        self.split = SplitConv(in_channels, half)
        self.chain = nn.ModuleList([nn.Sequential(RepCSP(half, half, repeats), Conv(half, half, 3)) for _ in range(2)])
        self.join = Conv(4 * half, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        maps = list(self.split(x))
        for layer in self.chain:
            maps.append(layer(maps[-1]))
        out: Tensor = self.join(torch.cat(maps, dim=1))
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        bypass, first = trace(self.split, x)
        last = one_part(first.size)
        maps = {"bypass": one_part(bypass.size), "first": last}
        for number, layer in enumerate(self.chain):
            last = maps[f"chain{number}"] = trace(layer, last)
        return trace(self.join, concatenated(**maps))
