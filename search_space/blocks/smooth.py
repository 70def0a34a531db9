"""Smoothing after a merge: a 3x3 of one kind or another with bias, without norm or activation, `(B, C, H, W)` kept."""

from __future__ import annotations

from torch import Tensor, nn

from search_space.blocks.registries import SMOOTHS
from search_space.errors import SpaceError


@SMOOTHS.register("dense")
class DenseSmooth(nn.Conv2d):
    """A full 3x3 convolution, as in FPN (Lin et al., CVPR 2017), `(B, C, H, W)` kept.

    `groups` is taken for uniformity and not used.
    """

    def __init__(self, channels: int, groups: int = 1) -> None:
        super().__init__(channels, channels, 3, padding=1)


@SMOOTHS.register("scconv")
class SCConv(nn.Module):
    """Sparsely connected convolution: a depthwise 3x3, then directly a 1x1 in `groups` groups, both with bias.

    `(B, C, H, W)` is kept. A position costs 9C + C²/groups multiply-adds. Source: TinyDet.

    Raises:
        SpaceError: where `groups` does not divide the channels.
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
    """A depthwise 3x3 and a full 1x1, `SCConv` with one group: `(B, C, H, W)` kept.

    `groups` is taken for uniformity and not used.
    """

    def __init__(self, channels: int, groups: int = 1) -> None:
        super().__init__(channels, 1)
