"""The unit of ShuffleNetV2 (Ma et al., ECCV 2018): half of the channels pass, and the halves are interleaved."""

from __future__ import annotations

from torch import Tensor, nn

from search_space.blocks.conv import Conv
from search_space.blocks.csp import SplitChain
from search_space.blocks.gsconv import interleave
from search_space.blocks.mobile import alignment
from search_space.blocks.registries import STAGES, UNITS
from search_space.channel_layout import ChannelTrace, Layout, multiplied, one_part
from search_space.errors import SpaceError


@UNITS.register("shuffle")
class ShuffleUnit(nn.Module):
    """1x1, depthwise 3x3 without activation, 1x1, on half of the channels; the other half passes; interleaved.

    `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/stride), ceil(W/stride))`. With a stride, or where the
    channels change, both halves come from the whole map: the first one by a depthwise 3x3 and a 1x1. `aligned` as in
    `search_space.blocks.mobile`.

    Raises:
        SpaceError: `out_channels` is odd.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, aligned: bool = False) -> None:
        super().__init__()
        if out_channels % 2:
            raise SpaceError(f"a shuffle unit needs an even out_channels, got {out_channels}; choose another width")
        half = out_channels // 2
        self.passes = stride == 1 and in_channels == out_channels
        source = half if self.passes else in_channels
        self.width = half
        self.bypass: nn.Module = nn.Identity()
        if not self.passes:
            self.bypass = nn.Sequential(*self._depthwise(source, stride, aligned), Conv(source, half))
        self.main = nn.Sequential(Conv(source, half), *self._depthwise(half, stride, aligned), Conv(half, half))

    @staticmethod
    def _depthwise(channels: int, stride: int, aligned: bool) -> list[nn.Module]:
        conv = Conv(channels, channels, 3, stride, groups=channels, activation=False)
        return [alignment(aligned, stride), conv] if aligned else [conv]

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1) if self.passes else (x, x)
        return interleave(self.bypass(first), self.main(second))

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        half = one_part(self.width)
        source = half if self.passes else x
        trace(self.bypass, source)
        trace(self.main, source)
        return multiplied(half, 2)


@STAGES.register("c2f_shuffle")
class C2fShuffle(SplitChain):
    """`C2f` with units of ShuffleNetV2: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`."""

    by_name = True

    def __init__(self, in_channels: int, out_channels: int, repeats: int = 1) -> None:
        hidden = out_channels // 2
        super().__init__(in_channels, out_channels, hidden, [ShuffleUnit(hidden, hidden) for _ in range(repeats)])
