"""Downsampling blocks: `(B, in_channels, H, W)` with even H and W to half the height and width."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_space.blocks.attention import ECA
from search_space.blocks.conv import Conv
from search_space.blocks.registries import DOWNSAMPLES
from search_space.channel_layout import ChannelTrace, Layout, concatenated
from search_space.errors import SpaceError


def output_channels(downsample: str, out_channels: int) -> int:
    """Returns the output channels of the named downsampling built with `out_channels`."""
    return out_channels * int(getattr(DOWNSAMPLES.get(downsample), "channel_factor", 1))


@DOWNSAMPLES.register("conv")
class StridedConv(Conv):
    """A 3x3 at stride 2, batch norm and SiLU: `(B, in_channels, H, W)` to `(B, out_channels, H/2, W/2)`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, 2)


@DOWNSAMPLES.register("cdown")
class CDown(nn.Module):
    """Convolution at full resolution, space to depth and ECA, giving 4 x `out_channels`.

    `(B, in_channels, H, W)` to `(B, 4 * out_channels, H/2, W/2)`. The four blocks of channels are the (row, column)
    parities (even, even), (odd, even), (even, odd), (odd, odd). The kernel size of ECA depends on `out_channels`.
    Source: SO-Det.
    """

    channel_factor = 4

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = Conv(in_channels, out_channels, 3)
        self.attention = ECA(4 * out_channels, kernel_channels=out_channels)

    def forward(self, x: Tensor) -> Tensor:
        u = self.conv(x)
        parities = (u[..., ::2, ::2], u[..., 1::2, ::2], u[..., ::2, 1::2], u[..., 1::2, 1::2])
        out: Tensor = self.attention(torch.cat(parities, dim=1))
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        u = trace(self.conv, x)
        return trace(self.attention, concatenated(even_even=u, odd_even=u, even_odd=u, odd_odd=u))


def extended_pools(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the average and the maximum over 4x4 windows at stride 2, padding 1, `(B, C, H/2, W/2)` each.

    The padding counts in the average: the divisor is always 16.
    """
    return F.avg_pool2d(x, 4, stride=2, padding=1), F.max_pool2d(x, 4, stride=2, padding=1)


@DOWNSAMPLES.register("esd1")
class ESD1(nn.Module):
    """Extended spatial window downsampling for light models: strided convolution plus both pools, no extra weights.

    `(B, in_channels, H, W)` to `(B, out_channels, H/2, W/2)`. If the channels are kept, the three are added; if they
    double, the average is added to the first half and the maximum to the second. Source: SN2-YOLO, ESD-I.

    Raises:
        SpaceError: Any other ratio of channels, which the paper does not define.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        if out_channels not in (in_channels, 2 * in_channels):
            raise SpaceError(
                f"esd1 takes {in_channels} channels to {in_channels} or {2 * in_channels}, not to {out_channels}; "
                "choose another width or another downsampling"
            )
        self.conv = Conv(in_channels, out_channels, 3, 2)
        self.doubles = out_channels != in_channels

    def forward(self, x: Tensor) -> Tensor:
        average, maximum = extended_pools(x)
        pooled = torch.cat((average, maximum), dim=1) if self.doubles else average + maximum
        out: Tensor = pooled + self.conv(x)
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        return trace(self.conv, x, out=concatenated(average=x, maximum=x) if self.doubles else x)


@DOWNSAMPLES.register("esd2")
class ESD2(nn.Module):
    """Extended spatial window downsampling for normal models: both pools and the convolution, merged by a plain 1x1.

    `(B, in_channels, H, W)` to `(B, out_channels, H/2, W/2)`. Source: SN2-YOLO, ESD-II.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = Conv(in_channels, out_channels, 3, 2)
        self.join = nn.Conv2d(2 * in_channels + out_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.join(torch.cat((*extended_pools(x), self.conv(x)), dim=1))
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        return trace(self.join, concatenated(average=x, maximum=x, conv=trace(self.conv, x)))
