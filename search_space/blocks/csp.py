"""Cross-stage partial blocks: split the channels, process one part, concatenate, and merge by a 1x1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_space.blocks.conv import Conv
from search_space.blocks.registries import STAGES
from search_space.blocks.split import ParallelConvs, SplitConv
from search_space.channel_layout import ChannelTrace, Layout, concatenated, one_part


class Bottleneck(nn.Module):
    """Two convolutions, `(B, C, H, W)` to the same shape, with an optional residual connection.

    The second is 3x3; the first is 3x3 by default.
    """

    def __init__(self, channels: int, expansion: float = 1.0, shortcut: bool = True, first_kernel: int = 3) -> None:
        super().__init__()
        hidden = max(1, int(channels * expansion))
        self.first: nn.Module = Conv(channels, hidden, first_kernel)
        self.second = Conv(hidden, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x))
        return x + out if self.shortcut else out


@STAGES.register("c3")
class C3(nn.Module):
    """The YOLOv5 stage block as in SN2-YOLO: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.

    Two parallel 1x1 branches, one through `repeats` bottlenecks of two 3x3, joined by 1x1; the residual is on in the
    backbone and off in the neck. YOLOv5 itself has `c3_light`.
    """

    first_kernel = 3
    repeated = ("main",)

    def __init__(self, in_channels: int, out_channels: int, repeats: int = 1, shortcut: bool = False) -> None:
        super().__init__()
        hidden = max(1, out_channels // 2)
        self.shortcut = shortcut
        self.main = nn.Sequential(Conv(in_channels, hidden), *(self._inner(hidden) for _ in range(repeats)))
        self.bypass = Conv(in_channels, hidden)
        self.join = Conv(2 * hidden, out_channels)

    def _inner(self, channels: int) -> nn.Module:
        return Bottleneck(channels, shortcut=self.shortcut, first_kernel=self.first_kernel)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.join(torch.cat((self.main(x), self.bypass(x)), dim=1))
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        return trace(self.join, concatenated(main=trace(self.main, x), bypass=trace(self.bypass, x)))

    @staticmethod
    def options(in_backbone: bool, level: int) -> dict[str, object]:
        """Returns the constructor arguments that depend on part and level."""
        return {"shortcut": in_backbone}


class C3k(C3):
    """`C3` of two bottlenecks with residuals and equal input and output channels: `(B, C, H, W)` to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, repeats=2, shortcut=True)


class SplitChain(nn.Module):
    """1x1 to two halves of `hidden` channels, a chain of `inner` blocks on the second half, 1x1 over all maps.

    `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.
    """

    repeated = ("inner",)
    halves: type[SplitConv] | type[ParallelConvs] = SplitConv

    def __init__(self, in_channels: int, out_channels: int, hidden: int, inner: list[nn.Module]) -> None:
        super().__init__()
        self.split = self.halves(in_channels, hidden)
        self.inner = nn.ModuleList(inner)
        self.join = Conv((2 + len(inner)) * hidden, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        maps = list(self.split(x))
        for block in self.inner:
            maps.append(block(maps[-1]))
        out: Tensor = self.join(torch.cat(maps, dim=1))
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        bypass, first = trace(self.split, x)
        maps = {"bypass": one_part(bypass.size), "first": one_part(first.size)}
        last = maps["first"]
        for number, block in enumerate(self.inner):
            last = maps[f"inner{number}"] = trace(block, last)
        return trace(self.join, concatenated(**maps))


@STAGES.register("c2f")
class C2f(SplitChain):
    """The YOLOv8 stage block: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.

    Full-width bottlenecks of two 3x3 convolutions; the residual is on in the backbone and off in the neck.
    """

    def __init__(self, in_channels: int, out_channels: int, repeats: int = 1, shortcut: bool = False) -> None:
        hidden = out_channels // 2
        inner: list[nn.Module] = [Bottleneck(hidden, shortcut=shortcut) for _ in range(repeats)]
        super().__init__(in_channels, out_channels, hidden, inner)

    @staticmethod
    def options(in_backbone: bool, level: int) -> dict[str, object]:
        """Returns the constructor arguments that depend on part and level."""
        return {"shortcut": in_backbone}


@STAGES.register("c2f_unsplit")
class C2fUnsplit(C2f):
    """`C2f` with two 1x1 convolutions in place of the first one and its split.

    `(B, in_channels, H, W)` to `(B, out_channels, H, W)`: the same function with the same counts. Its first weights are
    the two halves of the rows of that of `C2f`.
    """

    halves = ParallelConvs


@STAGES.register("c3k2")
class C3k2(SplitChain):
    """The YOLO11 stage block: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.

    Half-width bottlenecks, or `C3k` blocks where `nested` is set: at stride 16 and coarser, as in SO-Det and in the
    backbone of YOLO11. In the neck, `Neck.nested` can choose other blocks.
    """

    nests_by_level = True

    def __init__(
        self, in_channels: int, out_channels: int, repeats: int = 1, nested: bool = False, expansion: float = 0.5
    ) -> None:
        hidden = max(1, int(out_channels * expansion))
        inner: list[nn.Module] = [C3k(hidden) if nested else Bottleneck(hidden, 0.5) for _ in range(repeats)]
        super().__init__(in_channels, out_channels, hidden, inner)

    @staticmethod
    def options(in_backbone: bool, level: int) -> dict[str, object]:
        """Returns the constructor arguments that depend on part and level."""
        return {"nested": level >= 4, "expansion": 0.25 if in_backbone and level <= 3 else 0.5}


@STAGES.register("c3k2_nested")
class C3k2Nested(C3k2):
    """`C3k2` with `C3k` blocks on every level: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.

    As in the larger models of YOLO11 and in SO-Det l.
    """

    nests_by_level = False

    def __init__(self, in_channels: int, out_channels: int, repeats: int = 1, expansion: float = 0.5) -> None:
        super().__init__(in_channels, out_channels, repeats, nested=True, expansion=expansion)

    @staticmethod
    def options(in_backbone: bool, level: int) -> dict[str, object]:
        """Returns the constructor arguments that depend on part and level."""
        return {"expansion": C3k2.options(in_backbone, level)["expansion"]}


@STAGES.register("c3_light")
class C3Light(C3):
    """The stage block of the original YOLOv5: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.

    As `C3`, with a 1x1 and a 3x3 in each bottleneck.
    """

    first_kernel = 1
