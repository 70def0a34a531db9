"""GSConv and its extensions: a dense 3x3 computes half or a quarter of the channels, cheaper layers the others.

Each is a transform, `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/stride), ceil(W/stride))`, and with stride 2
a downsampling. Activations are SiLU unless stated otherwise. Source: SN2-YOLO (Rethinking Features-Fused-Pyramid-Neck,
ECCV 2024) and, for GSConv, Slim-neck by GSConv.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_space.blocks.conv import Conv
from search_space.blocks.registries import DOWNSAMPLES, TRANSFORMS
from search_space.channel_layout import ChannelTrace, Layout, concatenated, multiplied
from search_space.errors import SpaceError

WIDEST_FAST = 13
"""The widest depthwise kernel for which bfloat16 is fast on a CPU."""


def interleave(first: Tensor, second: Tensor) -> Tensor:
    """Interleaves the channels of two maps `(B, C, H, W)`: `(B, 2C, H, W)`.

    This is the two-group channel shuffle of their concatenation: 0..7 becomes 0, 4, 1, 5, 2, 6, 3, 7.
    """
    return torch.stack((first, second), dim=2).flatten(1, 2)


def _part(block: str, out_channels: int, parts: int) -> int:
    if out_channels % parts:
        raise SpaceError(f"{block} needs out_channels divisible by {parts}, got {out_channels}; choose another width")
    return out_channels // parts


@TRANSFORMS.register("conv")
class PlainTransform(Conv):
    """A 3x3 `Conv`, the baseline of the other transforms.

    `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/stride), ceil(W/stride))`.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, 3, stride)


@TRANSFORMS.register("gsconv")
class GSConv(nn.Module):
    """Half the channels by a 3x3, the other half from them by a depthwise 5x5, interleaved.

    `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/stride), ceil(W/stride))`. Source: Slim-neck by
    GSConv.

    Raises:
        SpaceError: `out_channels` is odd.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        hidden = _part("gsconv", out_channels, 2)
        self.dense = Conv(in_channels, hidden, 3, stride)
        self.cheap = Conv(hidden, hidden, 5, groups=hidden)

    def forward(self, x: Tensor) -> Tensor:
        u = self.dense(x)
        return interleave(u, self.cheap(u))

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        dense = trace(self.dense, x)
        trace(self.cheap, dense)
        return multiplied(dense, 2)


@TRANSFORMS.register("gsconve1")
class GSConvE1(nn.Module):
    """GSConvE-I, for normal models: the second half by a dense and a depthwise 3x3 without norm, then GELU.

    `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/stride), ceil(W/stride))`.
    There is no activation between the two convolutions, so together they are one linear 5x5 convolution. It is no
    cheaper than a 3x3 where the channels double.

    Raises:
        SpaceError: `out_channels` is odd.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        hidden = _part("gsconve1", out_channels, 2)
        self.dense = Conv(in_channels, hidden, 3, stride)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1, bias=False)
        self.spread = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False)
        self.activation = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        u = self.dense(x)
        return interleave(u, self.activation(self.spread(self.mix(u))))

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        dense = trace(self.dense, x)
        trace(self.spread, trace(self.mix, dense))
        return multiplied(dense, 2)


class WideDepthwise(nn.Conv2d):
    """A depthwise convolution wider than 13x13, in float32 on a CPU: oneDNN's bfloat16 kernels for it take minutes.

    Keeps `(B, C, H, W)`.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu":
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.to(self.weight.dtype)).to(input.dtype)


def _window(channels: int, kernel_size: int) -> Conv:
    """Returns a depthwise `Conv` with a kernel as wide as in GSConvE-II."""
    window = Conv(channels, channels, kernel_size, groups=channels)
    if kernel_size > WIDEST_FAST:
        window.conv = WideDepthwise(
            channels, channels, kernel_size, padding=kernel_size // 2, groups=channels, bias=False
        )
    return window


@TRANSFORMS.register("gsconve2")
class GSConvE2(nn.Module):
    """GSConvE-II, for light models: a quarter of the channels by a 3x3, the others by depthwise 9x9, 13x13 and 17x17.

    `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/stride), ceil(W/stride))`.
    The quarters u, d9, d13, d17 are shuffled in two groups: u with d13, then d9 with d17. The published code does not
    run, because it pads all four kernels equally; this follows the later fix of the authors.

    Raises:
        SpaceError: `out_channels` is not divisible by 4.
    """

    kernel_sizes = (9, 13, 17)

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        quarter = _part("gsconve2", out_channels, 4)
        self.dense = Conv(in_channels, quarter, 3, stride)
        self.windows = nn.ModuleList(_window(quarter, size) for size in self.kernel_sizes)

    def forward(self, x: Tensor) -> Tensor:
        u = self.dense(x)
        d9, d13, d17 = (window(u) for window in self.windows)
        return torch.cat((interleave(u, d13), interleave(d9, d17)), dim=1)

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        dense = trace(self.dense, x)
        for window in self.windows:
            trace(window, dense)
        pair = multiplied(dense, 2)
        return concatenated(dense_d13=pair, d9_d17=pair)


@DOWNSAMPLES.register("gsconv")
class StridedGSConv(GSConv):
    """`GSConv` with stride 2: `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/2), ceil(W/2))`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2)


@DOWNSAMPLES.register("gsconve1")
class StridedGSConvE1(GSConvE1):
    """`GSConvE1` with stride 2: `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/2), ceil(W/2))`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2)


@DOWNSAMPLES.register("gsconve2")
class StridedGSConvE2(GSConvE2):
    """`GSConvE2` with stride 2: `(B, in_channels, H, W)` to `(B, out_channels, ceil(H/2), ceil(W/2))`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2)
