"""The compact inverted blocks (CIB) of YOLOv10: depthwise and 1x1 convolutions alone. Maps are `(B, C, H, W)`.

Source: Wang et al., YOLOv10: Real-Time End-to-End Object Detection, NeurIPS 2024.
"""

from __future__ import annotations

from torch import Tensor, nn

from search_space.blocks.conv import Conv
from search_space.blocks.csp import SplitChain
from search_space.blocks.registries import STAGES
from search_space.blocks.rep import RepConv


class CIB(nn.Module):
    """Depthwise 3x3, 1x1 to twice the channels, depthwise 3x3, 1x1 back, depthwise 3x3, plus the input.

    Keeps `(B, C, H, W)`. With `large_kernel` the middle one is a 7x7 with a 3x3 branch until it is deployed.
    """

    def __init__(self, channels: int, large_kernel: bool = False) -> None:
        super().__init__()
        wide = 2 * channels
        middle: nn.Module = Conv(wide, wide, 3, groups=wide)
        if large_kernel:
            middle = RepConv(wide, wide, 7, groups=wide, identity=False, small_kernel=3)
        self.layers = nn.Sequential(
            Conv(channels, channels, 3, groups=channels),
            Conv(channels, wide),
            middle,
            Conv(wide, channels),
            Conv(channels, channels, 3, groups=channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


@STAGES.register("c2f_cib")
class C2fCIB(SplitChain):
    """`C2f` with compact inverted blocks: `(B, in_channels, H, W)` to `(B, out_channels, H, W)`."""

    by_name = True
    large_kernel = False

    def __init__(self, in_channels: int, out_channels: int, repeats: int = 1) -> None:
        hidden = out_channels // 2
        inner: list[nn.Module] = [CIB(hidden, self.large_kernel) for _ in range(repeats)]
        super().__init__(in_channels, out_channels, hidden, inner)


@STAGES.register("c2f_cib_large")
class C2fCIBLarge(C2fCIB):
    """`C2fCIB` with depthwise 7x7, as in the last block of YOLOv10 n.

    `(B, in_channels, H, W)` to `(B, out_channels, H, W)`.
    """

    large_kernel = True
