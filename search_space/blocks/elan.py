"""ELAN blocks: the outputs of all layers of a chain are concatenated. `elan7` of YOLOv7-tiny, and that of SYOLO.

Maps are `(B, C, H, W)`; height and width are kept.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_space.blocks.conv import Conv
from search_space.blocks.csp import C2f
from search_space.blocks.gsconv import GSConvE1
from search_space.blocks.registries import STAGES
from search_space.channel_layout import ChannelTrace, Layout, concatenated


class ElanLayers(nn.Module):
    """Two 1x1 branches, one through GSConvE-I and three 3x3 of half the width: `(B, in_channels, H, W)` to 4 x `width`.

    All six maps are concatenated, the last one first.
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        half = width // 2
        self.bypass = Conv(in_channels, width)
        self.main = Conv(in_channels, width)
        self.chain = nn.ModuleList([GSConvE1(width, half), *(Conv(half, half, 3) for _ in range(3))])

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.bypass(x), self.main(x)]
        for layer in self.chain:
            maps.append(layer(maps[-1]))
        return torch.cat(maps[::-1], dim=1)

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        maps = {"bypass": trace(self.bypass, x), "main": trace(self.main, x)}
        last = maps["main"]
        for number, layer in enumerate(self.chain):
            last = maps[f"chain{number}"] = trace(layer, last)
        return concatenated(**dict(reversed(maps.items())))


@STAGES.register("elan")
class Elan(nn.Module):
    """`repeats` times `ElanLayers` with a 1x1 in between, then a C2f.

    `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.
    SYOLO has two repeats, but one at its first merge; see `lighter_first_merge`. Source: SN2-YOLO, SYOLO.

    Raises:
        SpaceError: `out_channels` is not divisible by 4.
    """

    lighter_first_merge = True
    repeated = ("layers",)

    def __init__(self, in_channels: int, out_channels: int, repeats: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = [ElanLayers(in_channels, out_channels)]
        for _ in range(repeats - 1):
            layers += [Conv(4 * out_channels, out_channels), ElanLayers(out_channels, out_channels)]
        self.layers = nn.Sequential(*layers)
        self.join = C2f(4 * out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.join(self.layers(x))
        return out


@STAGES.register("elan7")
class Elan7(nn.Module):
    """The block of YOLOv7-tiny: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.

    Two parallel 1x1, a chain of two 3x3 for each of the `repeats` on one of them, 1x1 over all maps, the last one
    first. No split and no residual. All maps have half of the output channels. Source: Wang et al., CVPR 2023.
    """

    repeated = ("chain",)
    divisor = 2

    def __init__(self, in_channels: int, out_channels: int, repeats: int = 1) -> None:
        super().__init__()
        hidden = max(1, out_channels // self.divisor)
        self.bypass = Conv(in_channels, hidden)
        self.main = Conv(in_channels, hidden)
        self.chain = nn.ModuleList([self.layer(hidden) for _ in range(2 * repeats)])
        self.join = Conv((2 + len(self.chain)) * hidden, out_channels)

    @staticmethod
    def layer(channels: int) -> nn.Module:
        """Returns one layer of the chain."""
        return Conv(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.bypass(x), self.main(x)]
        for layer in self.chain:
            maps.append(layer(maps[-1]))
        out: Tensor = self.join(torch.cat(maps[::-1], dim=1))
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        maps = {"bypass": trace(self.bypass, x), "main": trace(self.main, x)}
        last = maps["main"]
        for number, layer in enumerate(self.chain):
            last = maps[f"chain{number}"] = trace(layer, last)
        return trace(self.join, concatenated(**dict(reversed(maps.items()))))


@STAGES.register("elan7_gsconve1")
class Elan7GSConvE1(Elan7):
    """`Elan7` with GSConvE-I in place of the first 3x3 of each repeat, as in the neck of SN2-YOLOv7-tiny.

    `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.

    Raises:
        SpaceError: `out_channels` is not divisible by 4.
    """

    by_name = True

    def __init__(self, in_channels: int, out_channels: int, repeats: int = 1) -> None:
        super().__init__(in_channels, out_channels, repeats)
        hidden = max(1, out_channels // self.divisor)
        for number in range(0, len(self.chain), 2):
            self.chain[number] = GSConvE1(hidden, hidden)


@STAGES.register("elan4")
class Elan4(Elan7):
    """`Elan7` whose maps have a quarter of the output channels.

    `(B, in_channels, H, W)` to `(B, out_channels, H, W)`. Of ELAN-like blocks the one with the fewest multiply-adds and
    the least predicted time on a board with TensorRT.
    """

    divisor = 4
