"""The blocks of the anchor-free head: the distances to the four sides of a box and the classes, level by level."""

from __future__ import annotations

from math import log
from typing import Any

import torch
from torch import Tensor, nn

from search_space.blocks.conv import Conv
from search_space.blocks.registries import HEADS
from search_space.channel_layout import ChannelTrace, Layout, equal_parts
from search_space.heads.towers import tower

SIDES = ("left", "top", "right", "bottom")


def class_channels(finest_channels: int, num_classes: int) -> int:
    """Returns the channels of all class branches, which depend on the finest level, as in YOLOv8."""
    return max(finest_channels, min(num_classes, 100))


class HeadLevel(nn.Module):
    """The head of one level: `(B, in_channels, H, W)` to `(B, 4 * bins + num_classes, H, W)`.

    The first `4 * bins` channels are the distances to the left, top, right and bottom side, in cells: each as logits of
    a distribution over 0 to `bins` - 1, or with one bin as the number itself. The rest are class logits. Biases of
    distributions are initialised to 1, of plain distances to 2, and of classes to the prior of 5 objects in an image of
    640 pixels. Predictors without a tower start at N(0, 0.01^2), as in Generalized Focal Loss.

    Args:
        stem_channels: output of a convolution before everything else; 0: none.
        stem_kernel: side of its kernel.
        tower_convs: convolutions before each predictor.
        tower_kernel: side of their kernels.
        predictor_kernel: side of the kernels of the predictors.
        box_scale: `learned` multiplies the numbers of boxes by a trained factor, 1 at first; `none`: no factor.
        towers_of: the node whose tower convolutions this one uses; None: it has its own.

    Source: YOLOv8; distributions after Li et al., Generalized Focal Loss, NeurIPS 2020; one bin as in YOLOv6, Li et
    al., 2022; the stem as in YOLOX, Ge et al., 2021.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        stride: int,
        stem_channels: int = 0,
        stem_kernel: int = 1,
        tower_convs: int = 2,
        tower_kernel: int = 3,
        bins: int = 16,
        predictor_kernel: int = 1,
        box_scale: str = "none",
        towers_of: str | None = None,
    ) -> None:
        super().__init__()
        self.num_classes, self.bins, self.towers_of = num_classes, bins, towers_of
        self._class_prior = log(5 / num_classes / (640 / stride) ** 2)
        self._length, self._kernel, self._predictor_kernel = tower_convs, tower_kernel, predictor_kernel
        self.stem = Conv(in_channels, stem_channels, stem_kernel) if stem_channels else None
        self._width = stem_channels or in_channels
        self.box_scale = nn.Parameter(torch.ones(())) if box_scale == "learned" else None

    def _tower(self, kind: str, channels: int) -> nn.Sequential:
        borrowed = self.towers_of is not None
        return tower(self._width, channels, kind=kind, length=self._length, kernel=self._kernel, borrowed=borrowed)

    def _predictor(self, channels: int, box_bins: int, classes: int) -> nn.Conv2d:
        """Returns the convolution to `4 * box_bins` numbers of boxes, then `classes` logits."""
        kernel, width = self._predictor_kernel, channels if self._length else self._width
        predictor = nn.Conv2d(width, 4 * box_bins + classes, kernel, padding=kernel // 2)
        assert predictor.bias is not None
        if not self._length:
            nn.init.normal_(predictor.weight, std=0.01)
        nn.init.constant_(predictor.bias[: 4 * box_bins], 1.0 if self.bins > 1 else 2.0)
        nn.init.constant_(predictor.bias[4 * box_bins :], self._class_prior)
        return predictor

    def _stemmed(self, trace: ChannelTrace, x: Layout) -> Layout:
        return x if self.stem is None else trace(self.stem, x)

    def _scaled(self, box: Tensor) -> Tensor:
        """Returns the numbers of boxes times the learned factor, if there is one."""
        return box if self.box_scale is None else box * self.box_scale

    def _trace_scale(self, trace: ChannelTrace) -> None:
        if self.box_scale is not None:
            trace.parameter(self, "box_scale")

    def _side_parts(self) -> Layout:
        """Returns the layout of the numbers of boxes; a distance has nothing in common with a bin."""
        return equal_parts(SIDES if self.bins > 1 else [f"{side} distance" for side in SIDES], self.bins)


@HEADS.register("anchor_free")
class AnchorFreeLevel(HeadLevel):
    """A `HeadLevel` with a tower and a predictor for boxes and others for classes: `(B, C, H, W)` to the same H, W.

    Args:
        box_channels: of the box tower.
        class_channels: of the class tower.
        class_branch: kind of the class tower, one of `TOWERS`.
        box_branch: kind of the box tower.
        sizes: of `HeadLevel`.
    """

    def __init__(
        self,
        in_channels: int,
        box_channels: int,
        class_channels: int,
        num_classes: int,
        stride: int,
        class_branch: str = "plain",
        box_branch: str = "plain",
        **sizes: Any,
    ) -> None:
        super().__init__(in_channels, num_classes, stride, **sizes)
        self.box_branch, self.class_branch = box_branch, class_branch
        self.box_tower = self._tower(box_branch, box_channels)
        self.box_logits = self._predictor(box_channels, self.bins, 0)
        self.class_tower = self._tower(class_branch, class_channels)
        self.class_logits = self._predictor(class_channels, 0, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.stem is None else self.stem(x)
        box = self._scaled(self.box_logits(self.box_tower(x)))
        classes = self.class_logits(self.class_tower(x))
        return torch.cat((box, classes), dim=1)

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        x = self._stemmed(trace, x)
        self._trace_scale(trace)
        box = trace(self.box_tower, x, variant=self.box_branch)
        sides = trace(self.box_logits, box, out=self._side_parts())
        classes = trace(self.class_tower, x, variant=self.class_branch)
        return sides + trace(self.class_logits, classes, out=trace.classes(self.num_classes))


@HEADS.register("anchor_free_joint")
class JointLevel(HeadLevel):
    """A `HeadLevel` with one tower and one predictor for boxes and classes: `(B, C, H, W)` to the same H, W.

    Args:
        channels: of the tower.
        branch: kind of the tower, one of `TOWERS`.
        sizes: of `HeadLevel`.

    Source: NanoDet-Plus, 2021, and PicoDet, Yu et al., 2021.
    """

    def __init__(
        self, in_channels: int, channels: int, num_classes: int, stride: int, branch: str = "plain", **sizes: Any
    ) -> None:
        super().__init__(in_channels, num_classes, stride, **sizes)
        self.branch = branch
        self.tower = self._tower(branch, channels)
        self.logits = self._predictor(channels, self.bins, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.stem is None else self.stem(x)
        return self._predicted(self.tower(x))

    def _predicted(self, shared: Tensor) -> Tensor:
        """Returns the output for the map after the tower."""
        logits: Tensor = self.logits(shared)
        if self.box_scale is None:
            return logits
        return torch.cat((self._scaled(logits[:, : 4 * self.bins]), logits[:, 4 * self.bins :]), dim=1)

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        shared = trace(self.tower, self._stemmed(trace, x), variant=self.branch)
        self._trace_scale(trace)
        return trace(self.logits, shared, out=self._side_parts() + trace.classes(self.num_classes))
