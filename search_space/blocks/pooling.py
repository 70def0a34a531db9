"""Downsampling without weights: `(B, C, H, W)` to `(B, C, H/2, W/2)`; each class states how odd sides are rounded."""

from __future__ import annotations

from torch import Tensor, nn

from search_space.blocks.registries import LAYERS


@LAYERS.register("subsample")
class Subsample(nn.Module):
    """Every second row and column, without a filter: `(B, C, H, W)` to `(B, C, ceil(H/2), ceil(W/2))`."""

    def forward(self, x: Tensor) -> Tensor:
        return x[..., ::2, ::2]


@LAYERS.register("max_pool")
class MaxPool(nn.MaxPool2d):
    """The maximum of 2x2 windows: `(B, C, H, W)` to `(B, C, H//2, W//2)`, or rounded up with `ceil_mode`."""

    def __init__(self, ceil_mode: bool = False) -> None:
        super().__init__(2, stride=2, ceil_mode=ceil_mode)


@LAYERS.register("mean_pool")
class MeanPool(nn.AvgPool2d):
    """The mean of 2x2 windows: `(B, C, H, W)` to `(B, C, H//2, W//2)`."""

    def __init__(self) -> None:
        super().__init__(2, stride=2)
