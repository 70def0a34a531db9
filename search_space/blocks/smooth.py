"""Smoothing convolutions after a merge: 3x3 with bias, without norm or activation. They keep `(B, C, H, W)`."""

from __future__ import annotations

from torch import Tensor, nn

from search_space.blocks.registries import SMOOTHS
from search_space.errors import SpaceError


@SMOOTHS.register("dense")
class DenseSmooth(nn.Conv2d):
    """A dense 3x3 convolution, as in FPN (Lin et al., CVPR 2017). Keeps `(B, C, H, W)`.

    `groups` is ignored; it is part of the common interface.
    """

    def __init__(self, channels: int, groups: int = 1) -> None:
        super().__init__(channels, channels, 3, padding=1)


@SMOOTHS.register("scconv")
class SCConv(nn.Module):
    """Sparsely connected convolution: a depthwise 3x3 and a 1x1 in `groups` groups, both with bias.

    Keeps `(B, C, H, W)`. A position costs 9C + C²/groups multiply-adds. Source: TinyDet.

    Raises:
        SpaceError: `groups` does not divide the channels.
    """

    def __init__(self, channels: int, groups: int = 1) -> None:
        super().__init__()
        if groups < 1 or channels % groups:
            raise SpaceError(f"scconv needs groups that divide its {channels} channels, got {groups}; choose a divisor")
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.depthwise(x))
        return out


@SMOOTHS.register("separable")
class SeparableSmooth(SCConv):
    """A depthwise 3x3 and a dense 1x1: `SCConv` with one group. Keeps `(B, C, H, W)`.

    `groups` is ignored; it is part of the common interface.
    """

    def __init__(self, channels: int, groups: int = 1) -> None:
        super().__init__(channels, 1)
