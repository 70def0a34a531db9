"""The SSD head: two convolutions per level that predict the offsets and classes of its anchors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from search_space.axis import Axis, Params, Point
from search_space.blocks.registries import HEADS
from search_space.channel_layout import ChannelTrace, Layout, labelled, one_part
from search_space.errors import check_known
from search_space.head_kind import HEAD_KINDS, HeadKind
from search_space.heads.anchors import SSD_ANCHORS, anchors_per_cell
from search_space.point.layout import coarsest, span

if TYPE_CHECKING:
    from search_space.graph import Builder, Tap
    from search_space.parts import Head


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

    The first `4 * num_anchors` channels are dx, dy, dw, dh of one anchor after the other, the rest their class logits.
    `num_classes` does not include the background, which the head adds as the first class.
    Source: Liu et al., SSD, ECCV 2016.

    Raises:
        SpaceError: The predictor is unknown.
    """

    def __init__(self, in_channels: int, num_anchors: int, num_classes: int, predictor: str = "dense") -> None:
        super().__init__()
        check_known("SSD predictor", predictor, PREDICTORS)
        build = PREDICTORS[predictor]
        self.num_anchors = num_anchors
        self.num_classes = num_classes
        self.box_offsets = build(in_channels, 4 * num_anchors)
        self.class_logits = build(in_channels, num_anchors * (num_classes + 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.box_offsets(x), self.class_logits(x)), dim=1)

    def channel_layout(self, trace: ChannelTrace, x: Layout) -> Layout:
        """Returns the layout of the output and records those of the tensors; see `search_space.channel_layout`."""
        boxes = trace(self.box_offsets, x, out=self._each_anchor(one_part(4, "offsets")))
        logits = self._each_anchor(trace.classes_and_background(self.num_classes))
        return boxes + trace(self.class_logits, x, out=logits)

    def _each_anchor(self, layout: Layout) -> Layout:
        """Returns a layout repeated for each anchor of a cell; the first four are the same where a cell has six."""
        return tuple(part for anchor in range(self.num_anchors) for part in labelled(f"anchor{anchor}", layout))


def add(builder: Builder, head: Head, maps: Mapping[int, Tap], num_classes: int) -> list[Tap]:
    """Adds a head on every map. Only the predictor of the finest map reads its L2-normalised copy."""
    outputs = []
    for (level, x), num_anchors in zip(maps.items(), anchors_per_cell(head.anchors, len(maps)), strict=True):
        if head.l2_scale and level == head.finest_level:
            x = builder.add(x.renamed("l2_scale"), "layer:l2_scale", (x,), {"channels": x.channels})
        sizes = {"in_channels": x.channels, "num_anchors": num_anchors, "num_classes": num_classes}
        output = x.renamed(f"head{level}", num_anchors * (4 + num_classes + 1))
        outputs.append(builder.add(output, "head:ssd", (x,), {**sizes, "predictor": head.predictor}))
    return outputs


def axes() -> tuple[Axis, ...]:
    """Returns the axes of an SSD head."""
    return (
        Axis(name="predictor", choices=tuple(PREDICTORS), doc="prediction convolutions of an SSD head"),
        Axis(
            name="l2_scale",
            choices=("no", "yes"),
            doc="whether the finest map of an SSD head is L2-normalised with learned gains",
        ),
        Axis(
            name="anchors",
            choices=SSD_ANCHORS.names(),
            by_name=tuple(name for name in SSD_ANCHORS if SSD_ANCHORS.get(name).by_name),
            doc="anchor sizes of an SSD head: three cells of each map, or a published table for six maps",
            active=_has_six_maps,
        ),
    )


def _has_six_maps(params: Point) -> bool:
    finest, _ = span(params)
    return params.get("extras", "none") != "none" and coarsest(params) == finest + 1


def decode(own: Point) -> dict[str, Any]:
    """Returns the fields of an SSD head for the choices on its axes."""
    return {**own, "l2_scale": own["l2_scale"] == "yes"}


def read(head: Head) -> Params:
    """Returns the choices of an SSD head that differ from the value of the field."""
    return {"l2_scale": "yes" if head.l2_scale else "no"}


HEAD_KINDS.add(
    "ssd",
    HeadKind(
        description="an SSD head",
        add=add,
        axes=axes,
        fields=("predictor", "l2_scale", "anchors"),
        decode=decode,
        read=read,
        takes_unpadded=True,
    ),
)
