"""The axes of an `fpn`, a neck of one width on all levels."""

from __future__ import annotations

from search_space.architecture import ROI_BINS
from search_space.axis import Axis, Point
from search_space.blocks import SMOOTHS
from search_space.parts import Neck
from search_space.point.layout import coarsest, span, topology

FPN_WIDTHS = tuple(ROI_BINS**2 * planes for planes in range(1, 6))
"""Multiples of 49, so that every fpn works with a two-stage head; 245 is the width of TinyDet."""


def fpn_axes() -> tuple[Axis, ...]:
    """Returns the axes that only an fpn has."""
    return (
        Axis(
            name="fpn_width",
            choices=FPN_WIDTHS,
            ordered=True,
            doc="channels of all levels of an fpn",
            active=lambda params: topology(params) == "fpn",
        ),
        Axis(
            name="smooth",
            choices=SMOOTHS.names(),
            doc="smoothing convolution of an fpn",
            active=lambda params: topology(params) == "fpn",
        ),
        Axis(
            name="smooth_groups",
            choices=("graded", 7, 49),
            doc="groups of the `scconv` smoothing; `graded`: 49 at P2, 7 at P3, width / 49 at P4, then 1",
            active=lambda params: params.get("smooth") == "scconv" and _is_graded(params),
        ),
    )


def _is_graded(params: Point) -> bool:
    """Whether `graded` differs from equal groups on all levels."""
    return span(params)[0] <= 3 and span(params)[0] < coarsest(params)


def decode_fpn(params: Point) -> Neck:
    """Returns the neck of a point with an fpn."""
    width = int(params["fpn_width"])
    return Neck(
        kind="fpn",
        channels=(width,),
        fusion=str(params.get("fusion", Neck.fusion)),
        upsample=str(params.get("upsample", Neck.upsample)),
        attention=str(params["attention_neck"]),
        p2_source=str(params.get("p2_source", "backbone")),
        smooth=str(params["smooth"]),
        groups=_groups(params, width),
    )


def _groups(params: Point, width: int) -> tuple[int, ...]:
    """Returns the groups of the smoothing convolutions per head level; empty where they have no groups."""
    if params["smooth"] != "scconv":
        return ()
    groups = params.get("smooth_groups", 7)
    graded = {2: 49, 3: 7, 4: width // ROI_BINS**2}
    levels = range(span(params)[0], coarsest(params) + 1)
    return tuple(graded.get(level, 1) if groups == "graded" else int(groups) for level in levels)
