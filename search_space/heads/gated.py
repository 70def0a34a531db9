"""The blocks of the anchor-free head of PicoDet: a gate before the predictor, and a map that lowers class scores."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_space.blocks.conv import Conv
from search_space.blocks.registries import HEADS
from search_space.channel_layout import ChannelTrace, Layout, one_part
from search_space.heads.anchor_free import JointLevel

LEAST = 1e-9
"""Added to the product of both logistics before its root, as in PicoDet, and to its distance from 1."""


class GatedTower(nn.Module):
    """Weights the channels by the logistic of a full 1x1 of their means, then 1x1 `Conv`. Keeps `(B, C, H, W)`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(channels, channels, 1)
        self.conv = Conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x * self.gate(F.adaptive_avg_pool2d(x, 1)).sigmoid())
        return out

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        return trace(self.conv, trace(self.gate, x, out=x))


@HEADS.register("anchor_free_gated")
class GatedLevel(JointLevel):
    """A `JointLevel` with a gate and an alignment map: `(B, C, H, W)` to `(B, 4 * bins + num_classes, H, W)`.

    The predictor reads a `GatedTower` of the tower. The alignment map, `(B, 1, H, W)`, comes from the tower by a 5x5
    and a 1x1. The score of a class is the root of the product of both logistics. The outputs are the logits of these
    scores, so that they are read and trained like those of other heads.

    Args:
        channels: of the tower.
        branch: kind of the tower, one of `TOWERS`.
        sizes: of `HeadLevel`.

    Source: PicoDet, Yu et al., 2021, in the version with LCNet of PaddleDetection.
    """

    def __init__(
        self, in_channels: int, channels: int, num_classes: int, stride: int, branch: str = "plain", **sizes: Any
    ) -> None:
        super().__init__(in_channels, channels, num_classes, stride, branch, **sizes)
        self.gated = GatedTower(channels)
        self.alignment = nn.Sequential(Conv(channels, 1, 5), Conv(1, 1, activation=False))

    def _predicted(self, shared: Tensor) -> Tensor:
        table = super()._predicted(self.gated(shared))
        sides, classes = table[:, : 4 * self.bins], table[:, 4 * self.bins :]
        return torch.cat((sides, aligned_logits(classes, self.alignment(shared))), dim=1)

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        shared = trace(self.tower, self._stemmed(trace, x), variant=self.branch)
        trace(self.alignment, shared, out=one_part(1))
        self._trace_scale(trace)
        out = self._side_parts() + trace.classes(self.num_classes)
        return trace(self.logits, trace(self.gated, shared), out=out)


def aligned_logits(classes: Tensor, alignment: Tensor) -> Tensor:
    """Returns the logits `(B, num_classes, H, W)` of the root of the product of two logistics.

    The logit of p is written as the logarithm of p (1 + p) / (1 - p^2). The denominator is a sum without cancellation.
    The logistics are exponentials of softplus, which runtimes compute more precisely for small values than a logistic.

    Args:
        classes: class logits `(B, num_classes, H, W)`.
        alignment: logits `(B, 1, H, W)`.
    """
    yes, no = -F.softplus(-classes), -F.softplus(classes)
    square = torch.exp(yes - F.softplus(-alignment)) + LEAST
    distance = torch.exp(no) + torch.exp(yes - F.softplus(alignment)) + LEAST
    return 0.5 * torch.log(square) + torch.log(1 + square.sqrt()) - torch.log(distance)
