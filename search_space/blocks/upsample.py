"""Upsampling: `(B, C, H, W)` to `(B, C, 2H, 2W)`, or by another factor where a block accepts one."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from search_space.blocks.registries import UPSAMPLES
from search_space.channel_layout import ChannelTrace, Layout
from search_space.errors import SpaceError


@UPSAMPLES.register("nearest")
class Nearest(nn.Module):
    """Nearest-neighbour upsampling by 2: `(B, C, H, W)` to `(B, C, 2H, 2W)`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="nearest")


@UPSAMPLES.register("sni")
class SNI(nn.Module):
    """Soft nearest-neighbour interpolation: nearest by `factor`, times the fixed ratio of the areas, 1 / factor².

    `(B, C, H, W)` to `(B, C, factor * H, factor * W)`. It reduces the influence of the coarser level in a merge and
    has no weights. Source: SN2-YOLO, SNI.

    Raises:
        SpaceError: `factor` is not a whole number of at least 1.
    """

    def __init__(self, factor: int = 2) -> None:
        super().__init__()
        if not isinstance(factor, int) or factor < 1:
            raise SpaceError(
                f"sni factor must be a whole number of at least 1, got {factor!r}; use 2 between two levels"
            )
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=float(self.factor), mode="nearest") / self.factor**2


@UPSAMPLES.register("transposed")
class TransposedConv(nn.ConvTranspose2d):
    """A transposed 2x2 convolution with bias at stride 2: `(B, channels, H, W)` to `(B, channels, 2H, 2W)`.

    Source: YOLOv6 (Li et al., 2022).
    """

    by_name = True
    takes_channels = True

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 2, stride=2)

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        trace.parameter(self, "weight", x, x)
        trace.parameter(self, "bias", x)
        return x
