"""Downsamplings of light detectors: `(B, in_channels, H, W)` with even H and W to half the height and width.

They save parameters and multiply-adds; none of them is predicted to save time on a board with TensorRT.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_space.blocks.conv import Conv
from search_space.blocks.csp_depthwise import separable
from search_space.blocks.registries import DOWNSAMPLES
from search_space.channel_layout import ChannelTrace, Layout, concatenated, one_part
from search_space.errors import SpaceError


@DOWNSAMPLES.register("adown")
class ADown(nn.Module):
    """A 2x2 mean at stride 1, then a strided 3x3 of one half of the channels, a max pool and a 1x1 of the other.

    `(B, in_channels, H, W)` to `(B, out_channels, H/2, W/2)`. Source: Wang et al., YOLOv9, ECCV 2024.

    Raises:
        SpaceError: A number of channels is odd.
    """

    by_name = True

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        if in_channels % 2 or out_channels % 2:
            raise SpaceError(
                f"adown needs even channels, got {in_channels} to {out_channels}; choose another width or downsampling"
            )
        self.conv = Conv(in_channels // 2, out_channels // 2, 3, 2)
        self.pooled = Conv(in_channels // 2, out_channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        first, second = F.avg_pool2d(x, 2, stride=1).chunk(2, dim=1)
        return torch.cat((self.conv(first), self.pooled(F.max_pool2d(second, 3, stride=2, padding=1))), dim=1)

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        half = one_part(self.conv.conv.in_channels)
        return concatenated(conv=trace(self.conv, half), pooled=trace(self.pooled, half))


@DOWNSAMPLES.register("aconv")
class AConv(Conv):
    """A 2x2 mean at stride 1, then a strided 3x3: `(B, in_channels, H, W)` to `(B, out_channels, H/2, W/2)`.

    Source: Wang et al., YOLOv9, ECCV 2024.
    """

    by_name = True

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.avg_pool2d(x, 2, stride=1))


@DOWNSAMPLES.register("scdown")
class SCDown(nn.Sequential):
    """A 1x1, then a strided depthwise 3x3 without activation.

    `(B, in_channels, H, W)` to `(B, out_channels, H/2, W/2)`. Source: Wang et al., YOLOv10, NeurIPS 2024.
    """

    by_name = True

    def __init__(self, in_channels: int, out_channels: int) -> None:
        depthwise = Conv(out_channels, out_channels, 3, 2, groups=out_channels, activation=False)
        super().__init__(Conv(in_channels, out_channels), depthwise)


@DOWNSAMPLES.register("depthwise")
class StridedSeparable(nn.Sequential):
    """A strided depthwise 3x3 and a 1x1, as in YOLOX-Nano and DAMO-YOLO nano.

    `(B, in_channels, H, W)` to `(B, out_channels, H/2, W/2)`.
    """

    by_name = True
    kernel_size = 3

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(*separable(in_channels, out_channels, self.kernel_size, stride=2))


@DOWNSAMPLES.register("depthwise5")
class StridedSeparable5(StridedSeparable):
    """`StridedSeparable` with a 5x5, as in NanoDet-Plus and PicoDet.

    `(B, in_channels, H, W)` to `(B, out_channels, H/2, W/2)`.
    """

    kernel_size = 5
