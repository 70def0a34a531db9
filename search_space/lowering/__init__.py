"""Lowers an architecture to its graph, part by part: backbone, neck, head."""

from __future__ import annotations

from bisect import bisect_left

from search_space.architecture import Architecture
from search_space.blocks.activation import NETWORK_ACTIVATIONS
from search_space.errors import SpaceError, check_known
from search_space.graph import Builder, Graph
from search_space.head_kind import HEAD_KINDS
from search_space.lowering.backbone import ExtraTooSmall, add_backbone
from search_space.lowering.necks import add_neck

__all__ = ["lower"]

LARGEST_SEARCHED = 4096
"""Largest side in pixels that is tried as the smallest input of extra stages."""


def lower(architecture: Architecture, *, num_classes: int, input_hw: tuple[int, int] | None = None) -> Graph:
    """Returns the graph of an architecture for a number of classes, optionally at another input size.

    Raises:
        SpaceError: A block or an activation is unknown, the input size is invalid, or there is no class.
    """
    if num_classes < 1:
        raise SpaceError(f"num_classes must be at least 1, got {num_classes}")
    if input_hw is not None:
        architecture = architecture.resized(input_hw)
    for name in (architecture.activation, architecture.activation_of_head):
        check_known("activation", name, NETWORK_ACTIVATIONS)
    builder = Builder(activation=architecture.activation)
    try:
        features, extras = add_backbone(builder, architecture)
    except ExtraTooSmall as error:
        smallest = _smallest_square(architecture)
        raise SpaceError(f"{error}; the smallest square input is {smallest}x{smallest}") from None
    head = architecture.head
    if architecture.neck is None:
        maps = {level: features[level] for level in head.levels}
    else:
        builder.part = "neck"
        maps = add_neck(builder, architecture.neck, architecture, features)
    maps |= {architecture.backbone.coarsest_level + i: tap for i, tap in enumerate(extras, start=1)}
    builder.part, builder.activation = "head", architecture.activation_of_head
    outputs = HEAD_KINDS.get(head.kind).add(builder, head, maps, num_classes)
    return Graph(
        nodes=tuple(builder.nodes),
        outputs=tuple(tap.name for tap in outputs),
        strides=tuple(2**tap.level for tap in maps.values()),
        num_classes=num_classes,
        input_hw=architecture.input_hw,
        head=head,
        input_format=architecture.input_format,
        tiles=architecture.tiles,
    )


def _smallest_square(architecture: Architecture) -> int:
    """Returns the smallest side of a square input for which the extra stages fit."""

    def is_enough(side: int) -> bool:
        try:
            add_backbone(Builder(), architecture.resized((side, side)))
            return True
        except ExtraTooSmall:
            return False

    sides = range(architecture.smallest_side, LARGEST_SEARCHED)
    return sides[bisect_left(sides, True, key=is_enough)]
