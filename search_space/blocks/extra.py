"""Extra stages after a backbone, which compute the coarse maps of SSD: a 1x1, then a 3x3 that shrinks the map.

`pattern` decides the size of the output. S: stride 2, padded, ceil(H/2). P: stride 2, unpadded, (H - 3) // 2 + 1. V:
stride 1, unpadded, H - 2. Without padding the sides must be at least 3. Source: Liu et al., SSD,
ECCV 2016; the separable form and the letters: Mudassar and Mukhopadhyay, BMVC 2019.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from search_space.blocks.registries import EXTRAS
from search_space.blocks.vgg import init_without_norm
from search_space.errors import check_known

PATTERNS = {"S": (2, 1), "P": (2, 0), "V": (1, 0)}
"""Stride and padding of the 3x3."""


def stride_and_padding(pattern: str) -> tuple[int, int]:
    """Returns the stride and the padding of the 3x3; raises SpaceError unless `pattern` is one of PATTERNS."""
    check_known("extra stage pattern", pattern, PATTERNS)
    return PATTERNS[pattern]


@EXTRAS.register("separable")
class SeparableExtra(nn.Module):
    """1x1 and depthwise 3x3, each with batch norm and ReLU6, then 1x1 with batch norm and ReLU; no biases.

    `(B, in_channels, H, W)` to `(B, out_channels, ., .)`, with sides by `pattern`. Source: Mudassar and
    Mukhopadhyay, BMVC 2019.

    Raises:
        SpaceError: The pattern is unknown.
    """

    def __init__(self, in_channels: int, out_channels: int, pattern: str) -> None:
        super().__init__()
        stride, padding = stride_and_padding(pattern)
        self.reduce = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.reduce_norm = nn.BatchNorm2d(out_channels)
        self.shrink = nn.Conv2d(out_channels, out_channels, 3, stride, padding, groups=out_channels, bias=False)
        self.shrink_norm = nn.BatchNorm2d(out_channels)
        self.mix = nn.Conv2d(out_channels, out_channels, 1, bias=False)
        self.mix_norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.reduce_norm(self.reduce(x)), inplace=True)
        x = F.relu6(self.shrink_norm(self.shrink(x)), inplace=True)
        return F.relu(self.mix_norm(self.mix(x)), inplace=True)


@EXTRAS.register("plain")
class PlainExtra(nn.Module):
    """1x1 to half the channels and a 3x3 to all channels, each with bias and ReLU, no norm.

    `(B, in_channels, H, W)` to `(B, out_channels, ., .)`, with sides by `pattern`. Starts as `init_without_norm` says.
    Source: Liu et al., SSD, ECCV 2016.

    Raises:
        SpaceError: The pattern is unknown.
    """

    def __init__(self, in_channels: int, out_channels: int, pattern: str) -> None:
        super().__init__()
        stride, padding = stride_and_padding(pattern)
        self.reduce = nn.Conv2d(in_channels, out_channels // 2, 1)
        self.shrink = nn.Conv2d(out_channels // 2, out_channels, 3, stride, padding)
        init_without_norm(self)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.reduce(x), inplace=True)
        return F.relu(self.shrink(x), inplace=True)
