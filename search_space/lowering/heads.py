"""The heads: from the pyramid's maps to the raw outputs."""

from __future__ import annotations

from collections.abc import Mapping

from search_space.architecture import ROI_BINS
from search_space.errors import check_known
from search_space.graph import Builder, Tap
from search_space.heads.anchor_free import CLASS_TOWERS, REG_MAX, class_channels
from search_space.heads.anchors import anchors_per_cell
from search_space.parts import Head

COARSEST_ROI_LEVEL = 4
"""The two-stage head reads boxes from its levels up to P4, as TinyDet does; the coarser ones only propose."""


def add_head(builder: Builder, head: Head, maps: Mapping[int, Tap], num_classes: int) -> list[Tap]:
    """Adds a head on every map, finest first; returns the detector's outputs."""
    add = {"anchor_free": _add_anchor_free, "ssd": _add_ssd, "two_stage": _add_two_stage}[head.kind]
    return add(builder, head, maps, num_classes)


def _add_anchor_free(builder: Builder, head: Head, maps: Mapping[int, Tap], num_classes: int) -> list[Tap]:
    """The width of the class branches follows from the finest level."""
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


def _add_ssd(builder: Builder, head: Head, maps: Mapping[int, Tap], num_classes: int) -> list[Tap]:
    """The finest map's scaled copy goes to its predictor alone."""
    outputs = []
    for (level, x), num_anchors in zip(maps.items(), anchors_per_cell(head.anchors, len(maps)), strict=True):
        if head.l2_scale and level == head.finest_level:
            x = builder.add(x.renamed("l2_scale"), "layer:l2_scale", (x,), {"channels": x.channels})
        sizes = {"in_channels": x.channels, "num_anchors": num_anchors, "num_classes": num_classes}
        output = x.renamed(f"head{level}", num_anchors * (4 + num_classes + 1))
        outputs.append(builder.add(output, "head:ssd", (x,), {**sizes, "predictor": head.predictor}))
    return outputs


def _add_two_stage(builder: Builder, head: Head, maps: Mapping[int, Tap], num_classes: int) -> list[Tap]:
    """One proposal head for all levels, the best boxes of all, and what they hold, read from the finer levels."""
    builder.part = "rpn"
    width = maps[head.finest_level].channels
    first = f"rpn{head.finest_level}"
    rpn = []
    for level, x in maps.items():
        output = x.renamed(f"rpn{level}", 15)
        shares = None if output.name == first else first
        rpn.append(builder.add(output, "head:rpn", (x,), {"in_channels": width}, shares=shares))
    strides = tuple(2**x.level for x in maps.values())
    proposals = builder.add(
        Tap("proposals", 4, rpn[0].level, rpn[0].hw),
        "head:proposals",
        tuple(rpn),
        {"strides": strides, "anchor_scale": head.anchor_scale, "num_proposals": head.proposals},
    )
    builder.part = "roi_head"
    read = [maps[level] for level in maps if level <= max(head.finest_level, COARSEST_ROI_LEVEL)]
    roi = builder.add(
        Tap("roi", num_classes + 5, rpn[0].level, rpn[0].hw),
        "head:roi",
        (proposals, *read),
        {
            "in_channels": width,
            "num_classes": num_classes,
            "strides": strides[: len(read)],
            "roi_scale": head.roi_scale,
            "bins": ROI_BINS,
        },
    )
    return [*rpn, proposals, roi]
