"""The compact inverted blocks (CIB) of YOLOv10: depthwise and 1x1 convolutions alone. Maps are `(B, C, H, W)`.

Source: Wang et al., YOLOv10: Real-Time End-to-End Object Detection, NeurIPS 2024.
"""

from __future__ import annotations

from torch import Tensor, nn

from search_space.blocks.conv import Conv
from search_space.blocks.csp import SplitChain
from search_space.blocks.registries import STAGES


class CIB(nn.Module):
    """Depthwise 3x3, 1x1 to twice the channels, depthwise 3x3, 1x1 back, depthwise 3x3, plus the input.

    Keeps `(B, C, H, W)`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Conv(channels, channels, 3, groups=channels),
            Conv(channels, 2 * channels),
            Conv(2 * channels, 2 * channels, 3, groups=2 * channels),
            Conv(2 * channels, channels),
            Conv(channels, channels, 3, groups=channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


@STAGES.register("c2f_cib")
class C2fCIB(SplitChain):
    """`C2f` with compact inverted blocks: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`."""

    by_name = True

    def __init__(self, in_channels: int, out_channels: int, repeats: int = 1) -> None:
        hidden = out_channels // 2
        super().__init__(in_channels, out_channels, hidden, [CIB(hidden) for _ in range(repeats)])
