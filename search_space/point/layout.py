"""The axes of the layout: head, backbone, levels, topology of the neck, and input size."""

from __future__ import annotations

from search_space.architecture import Architecture
from search_space.axis import Axis, Params, Point
from search_space.errors import SpaceError
from search_space.head_kind import HEAD_KINDS, HeadKind
from search_space.parts import NECK_FIELDS
from search_space.tables import BACKBONES, CHANNEL_TABLES, NAMED_ONLY, UNIT_TABLES

FINEST, COARSEST = 2, 5
SIZES = tuple(range(128, 1281, 32))
FREE_SIZES = tuple(sorted((*SIZES, 300)))
"""Input sizes of a detector without a neck; 300 is the size of the published SSDs."""
EVEN = 32
"""Input sides that are multiples of this give even sides to all backbone maps that are downsampled, up to P5."""
WIDTHS = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.25)
"""Eighths, so that channels are multiples of 8 and each stage keeps or doubles them, as ESD-I requires."""
NAMED_WIDTHS = (1.25,)
"""Widths that a search has only where the user names them: of YOLOv8x."""


def axes() -> tuple[Axis, ...]:
    """Returns the axes of the layout."""
    levels = range(FINEST, COARSEST + 1)
    spans = tuple(f"P{finest}-P{coarsest}" for finest in levels for coarsest in levels if finest <= coarsest)
    return (
        Axis(name="head", choices=HEAD_KINDS.names(), doc="kind of head"),
        Axis(
            name="backbone",
            choices=BACKBONES,
            rare=("vgg16",),
            by_name=NAMED_ONLY,
            doc="stage table: the channels or units of each level",
        ),
        Axis(name="head_levels", choices=spans, doc="finest and coarsest backbone level with a head"),
        Axis(
            name="topology",
            choices=(*NECK_FIELDS, "none"),
            by_name=("giraffe",),
            doc="neck: top-down and bottom-up, top-down with one width, independent levels, or none; `giraffe`: "
            "top-down and bottom-up with more connections, as in DAMO-YOLO",
            active=lambda params: _kind(params).topology is None and span(params)[0] < COARSEST,
        ),
        Axis(
            name="input_size",
            choices=SIZES,
            ordered=True,
            doc="side of the square input in pixels",
            active=lambda params: topology(params) != "none",
        ),
        Axis(
            name="free_input_size",
            choices=FREE_SIZES,
            ordered=True,
            doc="side of the square input in pixels, for detectors without a neck",
            active=lambda params: topology(params) == "none",
        ),
        Axis(
            name="p6",
            choices=("no", "yes"),
            doc="whether MobileNetV3 backbone and head continue to P6",
            active=_may_have_p6,
        ),
        Axis(
            name="trunk_level",
            choices=(4, 5),
            doc="coarsest level of the backbone, where the head ends before P5",
            active=_may_outreach_head,
        ),
        Axis(
            name="width",
            choices=WIDTHS,
            ordered=True,
            by_name=NAMED_WIDTHS,
            doc="width multiplier of the stage table",
            active=_has_channels,
        ),
    )


def _has_channels(params: Point) -> bool:
    """Whether a stage of the backbone has weights. The first one of ShuffleNetV2 is a pool."""
    if of_blocks(params):
        return True
    stages = UNIT_TABLES[str(params["backbone"])].stages
    return any(unit.kind != "max_pool3" for level in range(FINEST, trunk(params) + 1) for unit in stages[level])


def width(params: Point) -> float:
    """Returns the width multiplier of the stage table; 1 where it has no effect."""
    return float(params.get("width", 1.0))


def span(params: Point) -> tuple[int, int]:
    """Returns the finest and the coarsest level of `head_levels`, without P6."""
    finest, _, coarsest = str(params["head_levels"]).partition("-")
    return int(finest[1:]), int(coarsest[1:])


def topology(params: Point) -> str:
    """Returns the topology: the choice, or what the kind of head implies."""
    return str(params.get("topology", _kind(params).topology or "none"))


def _kind(params: Point) -> HeadKind:
    return HEAD_KINDS.get(str(params["head"]))


def input_size(params: Point) -> int:
    """Returns the side of the input in pixels."""
    return int(params["input_size"] if "input_size" in params else params["free_input_size"])


def coarsest(params: Point) -> int:
    """Returns the coarsest level of the head."""
    return COARSEST + 1 if params.get("p6") == "yes" else span(params)[1]


def trunk(params: Point) -> int:
    """Returns the coarsest level of the backbone."""
    if topology(params) in ("ihp", "none"):
        return coarsest(params)
    return max(coarsest(params), int(params.get("trunk_level", COARSEST)))


def takes_unpadded(params: Point) -> bool:
    """Whether the head accepts extra stages without padding."""
    return _kind(params).takes_unpadded


def of_blocks(params: Point) -> bool:
    """Whether the backbone repeats one block, instead of a list of units."""
    return params["backbone"] in CHANNEL_TABLES


def of_pools(params: Point) -> bool:
    """Whether the backbone downsamples by pools."""
    return not of_blocks(params) and UNIT_TABLES[str(params["backbone"])].pooled


def has_way_up(params: Point) -> bool:
    """Whether there is a bottom-up path: a `pan` with several head levels."""
    return topology(params) == "pan" and span(params)[0] < coarsest(params)


def merges(params: Point) -> bool:
    """Whether the neck merges levels."""
    return topology(params) in ("pan", "fpn") and span(params)[0] < trunk(params)


def _may_have_p6(params: Point) -> bool:
    size = input_size(params)
    in_table = str(params["backbone"]).startswith("mobilenetv3")
    return in_table and span(params)[1] == COARSEST and size % 64 == 0 and size >= 256


def _may_outreach_head(params: Point) -> bool:
    """Whether the backbone may continue beyond the head. A `pan` or `giraffe` on P4 alone always does: it merges P5."""
    finest, coarsest_span = span(params)
    if topology(params) not in ("pan", "fpn", "giraffe") or coarsest_span == COARSEST:
        return False
    return not (topology(params) in ("pan", "giraffe") and finest == COARSEST - 1)


def read(architecture: Architecture) -> Params:
    """Returns the choices of the layout of an architecture; raises SpaceError where its input is not square."""
    head, backbone, neck = architecture.head, architecture.backbone, architecture.neck
    if architecture.input_hw[0] != architecture.input_hw[1]:
        raise SpaceError(f"the search space has only square inputs, got {architecture.input_hw}")
    return {
        "head": head.kind,
        "head_levels": f"P{head.finest_level}-P{min(head.coarsest_level, COARSEST)}",
        "topology": "none" if neck is None else neck.kind,
        "input_size": architecture.input_hw[0],
        "free_input_size": architecture.input_hw[0],
        "p6": "yes" if head.coarsest_level > COARSEST else "no",
        "trunk_level": backbone.coarsest_level,
    }
