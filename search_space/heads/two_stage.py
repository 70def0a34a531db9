"""The two-stage head: region proposals of all levels and their classification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from search_space.architecture import ROI_BINS
from search_space.axis import Axis, Point
from search_space.errors import SpaceError
from search_space.head_kind import HEAD_KINDS, HeadKind
from search_space.heads import proposals, roi, rpn  # noqa: F401  they register themselves

if TYPE_CHECKING:
    from search_space.architecture import Architecture
    from search_space.graph import Builder, Graph, Tap
    from search_space.parts import Head

COARSEST_ROI_LEVEL = 4
"""Coarsest level from which boxes are pooled, as in TinyDet; coarser levels give proposals only."""
ROI_SCALES = {2.25: 30.0, 3.2: 22.4, 5.12: 35.8}
"""RoI scale by anchor scale: of TinyDet-S and -M at 320 px, and of TinyDet-L at 512 px."""


def add(builder: Builder, head: Head, maps: Mapping[int, Tap], num_classes: int) -> list[Tap]:
    """Adds a proposal head with shared weights on all levels, the proposals, and the second stage."""
    builder.part = "rpn"
    width = maps[head.finest_level].channels
    first = f"rpn{head.finest_level}"
    regions = []
    for level, x in maps.items():
        output = x.renamed(f"rpn{level}", 15)
        shares = None if output.name == first else first
        regions.append(builder.add(output, "head:rpn", (x,), {"in_channels": width}, shares=shares))
    strides = tuple(2**x.level for x in maps.values())
    found = builder.add(
        regions[0].renamed("proposals", 4),
        "head:proposals",
        tuple(regions),
        {"strides": strides, "anchor_scale": head.anchor_scale, "num_proposals": head.proposals},
    )
    builder.part = "roi_head"
    read = [maps[level] for level in maps if level <= max(head.finest_level, COARSEST_ROI_LEVEL)]
    held = builder.add(
        regions[0].renamed("roi", num_classes + 5),
        "head:roi",
        (found, *read),
        {
            "in_channels": width,
            "num_classes": num_classes,
            "strides": strides[: len(read)],
            "roi_scale": head.roi_scale,
            "bins": ROI_BINS,
        },
    )
    return [*regions, found, held]


def axes() -> tuple[Axis, ...]:
    """Returns the axes of a two-stage head."""
    return (
        Axis(
            name="proposals",
            choices=(50, 100, 200, 300),
            doc="number of proposals for the second stage of a two-stage head",
        ),
        Axis(name="anchor_scale", choices=tuple(ROI_SCALES), doc="side of the anchors of a two-stage head, in strides"),
    )


def decode(own: Point) -> dict[str, Any]:
    """Returns the fields of a two-stage head for the choices on its axes."""
    return {**own, "roi_scale": ROI_SCALES[float(own["anchor_scale"])]}


def check(architecture: Architecture) -> None:
    """Raises SpaceError where the neck is not an fpn whose width is a multiple of the bins of a box."""
    neck = architecture.neck
    if neck is None or neck.kind != "fpn" or neck.channels is None or neck.channels[0] % ROI_BINS**2:
        add_it = "; add the neck" if neck is None else ""
        raise SpaceError(f"a two-stage head needs an fpn neck whose width is a multiple of {ROI_BINS**2}{add_it}")


def init_weights(blocks: nn.ModuleDict, graph: Graph) -> None:
    """Initialises the lateral and smoothing convolutions of the neck by Xavier, biases to 0, as in TinyDet.

    Glorot & Bengio, AISTATS 2010. The heads of both stages initialise themselves.
    """
    for node in graph.nodes:
        if node.part == "neck" and (node.block == "layer:pointwise" or node.block.startswith("smooth:")):
            for module in blocks[node.name].modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.xavier_uniform_(module.weight)
                    assert module.bias is not None
                    nn.init.zeros_(module.bias)


HEAD_KINDS.add(
    "two_stage",
    HeadKind(
        description="a two-stage head",
        add=add,
        axes=axes,
        fields=("proposals", "anchor_scale", "roi_scale"),
        decode=decode,
        topology="fpn",
        check=check,
        init_weights=init_weights,
    ),
)
