"""The SSD head: two convolutions on each level that predict the offsets and the classes of its anchors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from search_space.blocks.registries import HEADS
from search_space.errors import SpaceError, nearest


def dense_predictor(in_channels: int, out_channels: int) -> nn.Module:
    """A 3x3 convolution with bias, the predictor of SSD."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


def separable_predictor(in_channels: int, out_channels: int) -> nn.Module:
    """A depthwise 3x3 with batch norm and ReLU6, then a 1x1 with bias: SSDLite of MobileNetV2, CVPR 2018."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False),
        nn.BatchNorm2d(in_channels),
        nn.ReLU6(inplace=True),
        nn.Conv2d(in_channels, out_channels, 1),
    )


PREDICTORS: dict[str, Callable[[int, int], nn.Module]] = {"dense": dense_predictor, "separable": separable_predictor}


@HEADS.register("ssd")
class SSDLevel(nn.Module):
    """The head of one level: `(B, in_channels, H, W)` to `(B, num_anchors * (4 + num_classes + 1), H, W)`.

    The first `4 * num_anchors` channels are dx, dy, dw, dh of each anchor in turn, the rest the class logits of each
    anchor in turn. `num_classes` counts the classes of objects; the head puts the background before them.
    Source: Liu et al., SSD, ECCV 2016.

    Raises:
        SpaceError: for an unknown predictor.
    """

    def __init__(self, in_channels: int, num_anchors: int, num_classes: int, predictor: str = "dense") -> None:
        super().__init__()
        if predictor not in PREDICTORS:
            hint = nearest(str(predictor), PREDICTORS)
            raise SpaceError(f"unknown predictor {predictor!r} of an SSD head{hint}; known: {', '.join(PREDICTORS)}")
        build = PREDICTORS[predictor]
        self.box_offsets = build(in_channels, 4 * num_anchors)
        self.class_logits = build(in_channels, num_anchors * (num_classes + 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.box_offsets(x), self.class_logits(x)), dim=1)
