"""The anchor-free decoupled head: a box-distribution branch and a class branch on each level."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn

from search_space.blocks.conv import Conv, depthwise
from search_space.blocks.registries import HEADS

REG_MAX = 16
"""Bins of the distribution of each side's distance, in cells: 0 to 15."""


def class_channels(finest_channels: int, num_classes: int) -> int:
    """Returns the width of the class branches on all levels; it follows from the finest level, as in YOLOv8."""
    return max(finest_channels, min(num_classes, 100))


def plain_class_tower(in_channels: int, channels: int) -> nn.Sequential:
    """Two 3x3 convolutions, the class tower of YOLOv8."""
    return nn.Sequential(Conv(in_channels, channels, 3), Conv(channels, channels, 3))


def depthwise_class_tower(in_channels: int, channels: int) -> nn.Sequential:
    """Two pairs of depthwise 3x3 and 1x1, the class tower of YOLO11."""
    first = (depthwise(in_channels, in_channels), Conv(in_channels, channels))
    return nn.Sequential(*first, depthwise(channels, channels), Conv(channels, channels))


CLASS_TOWERS = {"plain": plain_class_tower, "depthwise": depthwise_class_tower}


@HEADS.register("anchor_free")
class AnchorFreeLevel(nn.Module):
    """The head of one level: `(B, in_channels, H, W)` to `(B, 4 * REG_MAX + num_classes, H, W)` logits.

    The first 4 * REG_MAX channels are the distributions of the distances to the left, top, right and bottom side, in
    cells; the rest are class logits. Biases start at 1 for boxes, and for classes at the odds of 5 objects in an image
    of 640 pixels. Source: YOLOv8; distributions after Li et al., Generalized Focal Loss, NeurIPS 2020.
    """

    def __init__(
        self,
        in_channels: int,
        box_channels: int,
        class_channels: int,
        num_classes: int,
        stride: int,
        class_branch: str = "plain",
    ) -> None:
        super().__init__()
        self.box_tower = nn.Sequential(Conv(in_channels, box_channels, 3), Conv(box_channels, box_channels, 3))
        self.box_logits = nn.Conv2d(box_channels, 4 * REG_MAX, 1)
        self.class_tower = CLASS_TOWERS[class_branch](in_channels, class_channels)
        self.class_logits = nn.Conv2d(class_channels, num_classes, 1)
        assert self.box_logits.bias is not None and self.class_logits.bias is not None
        nn.init.constant_(self.box_logits.bias, 1.0)
        nn.init.constant_(self.class_logits.bias, log(5 / num_classes / (640 / stride) ** 2))

    def forward(self, x: Tensor) -> Tensor:
        box = self.box_logits(self.box_tower(x))
        classes = self.class_logits(self.class_tower(x))
        return torch.cat((box, classes), dim=1)
