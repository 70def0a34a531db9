"""A 1x1 convolution whose output is two maps, and its split-free form."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from search_space.blocks.conv import Conv
from search_space.channel_layout import ChannelTrace, Layout, concatenated, equal_parts


class SplitConv(Conv):
    """One 1x1 `Conv` whose channels are split: `(B, in_channels, H, W)` to two maps `(B, hidden, H, W)`."""

    def __init__(self, in_channels: int, hidden: int) -> None:
        super().__init__(in_channels, 2 * hidden)
        self.hidden = hidden

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        bypass, first = super().forward(x).chunk(2, dim=1)
        return bypass, first

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of both maps and records those of the tensors; see `search_space.channel_layout`."""
        return trace(self, x, out=equal_parts(("bypass", "first"), self.hidden))

    @torch.no_grad()
    def unsplit(self) -> ParallelConvs:
        """Returns two convolutions with the same outputs: each has half of the rows of the weight and of the norm."""
        parallel = ParallelConvs(self.conv.in_channels, self.hidden).to(self.conv.weight)
        for half, start in ((parallel.bypass, 0), (parallel.first, self.hidden)):
            own = half.state_dict()
            for name, value in self.state_dict().items():
                own[name].copy_(value[start : start + self.hidden] if value.ndim else value)
            half.activation = deepcopy(self.activation)
        return parallel.train(self.training)


class ParallelConvs(nn.Module):
    """Two 1x1 `Conv` of one map: `(B, in_channels, H, W)` to two maps `(B, hidden, H, W)`.

    The same function as `SplitConv`, without an operator that splits.
    """

    def __init__(self, in_channels: int, hidden: int) -> None:
        super().__init__()
        self.bypass = Conv(in_channels, hidden)
        self.first = Conv(in_channels, hidden)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.bypass(x), self.first(x)

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of both maps and records those of the tensors; see `search_space.channel_layout`."""
        return concatenated(bypass=trace(self.bypass, x), first=trace(self.first, x))
