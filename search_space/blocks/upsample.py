"""Ways to double a map: `(B, C, H, W)` to `(B, C, 2H, 2W)`."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from search_space.blocks.registries import UPSAMPLES


@UPSAMPLES.register("nearest")
class Nearest(nn.Module):
    """Nearest-neighbour upsampling by 2."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="nearest")


@UPSAMPLES.register("sni")
class SNI(nn.Module):
    """Soft nearest-neighbour interpolation by 2: nearest, times the fixed ratio of the areas, 1/4.

    It softens what the coarser level says before it is merged; it has no weights. Source: SN2-YOLO, SNI.
    """

    def forward(self, x: Tensor) -> Tensor:
        return 0.25 * F.interpolate(x, scale_factor=2.0, mode="nearest")
