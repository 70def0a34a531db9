"""The anchor-free decoupled head: a box distribution branch and a class branch per level."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from search_space.axis import Axis
from search_space.blocks.conv import Conv, depthwise
from search_space.blocks.registries import HEADS
from search_space.channel_layout import ChannelTrace, Layout, equal_parts
from search_space.errors import check_known
from search_space.head_kind import HEAD_KINDS, HeadKind

if TYPE_CHECKING:
    from search_space.graph import Builder, Tap
    from search_space.parts import Head

REG_MAX = 16
"""Bins of the distance distribution of each box side: 0 to 15 cells."""


def class_channels(finest_channels: int, num_classes: int) -> int:
    """Returns the channels of all class branches, which depend on the finest level, as in YOLOv8."""
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
    cells; the rest are class logits. Biases are initialised to 1 for boxes, and for classes to the prior of 5 objects
    in an image of 640 pixels. Source: YOLOv8; distributions after Li et al., Generalized Focal Loss, NeurIPS 2020.
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
        self.num_classes = num_classes
        self.class_branch = class_branch
        self.class_tower = CLASS_TOWERS[class_branch](in_channels, class_channels)
        self.class_logits = nn.Conv2d(class_channels, num_classes, 1)
        assert self.box_logits.bias is not None and self.class_logits.bias is not None
        nn.init.constant_(self.box_logits.bias, 1.0)
        nn.init.constant_(self.class_logits.bias, log(5 / num_classes / (640 / stride) ** 2))

    def forward(self, x: Tensor) -> Tensor:
        box = self.box_logits(self.box_tower(x))
        classes = self.class_logits(self.class_tower(x))
        return torch.cat((box, classes), dim=1)

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        box = trace(self.box_tower, x)
        bins = trace(self.box_logits, box, out=equal_parts(("left", "top", "right", "bottom"), REG_MAX))
        classes = trace(self.class_tower, x, variant=self.class_branch)
        return bins + trace(self.class_logits, classes, out=trace.classes(self.num_classes))


def add(builder: Builder, head: Head, maps: Mapping[int, Tap], num_classes: int) -> list[Tap]:
    """Adds a head on every map; the channels of the class branches depend on the finest level."""
    check_known("class_branch", head.class_branch, CLASS_TOWERS)
    branches = {
        "box_channels": head.box_channels,
        "class_channels": class_channels(maps[head.finest_level].channels, num_classes),
        "num_classes": num_classes,
    }
    return [
        builder.add(
            x.renamed(f"head{level}", 4 * REG_MAX + num_classes),
            "head:anchor_free",
            (x,),
            {"in_channels": x.channels, **branches, "stride": 2**x.level, "class_branch": head.class_branch},
        )
        for level, x in maps.items()
    ]


def axes() -> tuple[Axis, ...]:
    """Returns the axes of an anchor-free head."""
    return (
        Axis(
            name="box_channels",
            choices=(16, 32, 48, 64),
            ordered=True,
            doc="width of the box branches of an anchor-free head",
        ),
        Axis(
            name="class_branch",
            choices=tuple(CLASS_TOWERS),
            doc="convolutions of the class branches of an anchor-free head",
        ),
    )


HEAD_KINDS.add(
    "anchor_free",
    HeadKind(
        description="an anchor-free head",
        add=add,
        axes=axes,
        fields=("box_channels", "class_branch"),
        takes_activation=True,
    ),
)
