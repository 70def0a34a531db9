"""The axes of a `pan` with one width on all levels and a level beyond the backbone, as in NanoDet-Plus and PicoDet."""

from __future__ import annotations

from search_space.architecture import ODD_DOWNSAMPLES
from search_space.axis import Axis, Point
from search_space.point import layout
from search_space.point.layout import coarsest, has_way_up, topology, trunk

NO_LATERAL = "none"
LATERALS = (96, 128)


def lateral_axis() -> Axis:
    """Returns the axis of the width that all levels of a `pan` are brought to."""
    return Axis(
        name="lateral",
        formerly=NO_LATERAL,
        choices=(NO_LATERAL, *LATERALS),
        by_name=LATERALS,
        doc="width that a 1x1 convolution gives each map of the backbone before a pan of this one width",
        active=lambda params: topology(params) == "pan" and coarsest(params) == trunk(params),
    )


def lateral_width(params: Point) -> int:
    """Returns the width that all levels of a `pan` are brought to, 0 for none."""
    width = params.get("lateral", NO_LATERAL)
    return 0 if width == NO_LATERAL else int(width)


def extra_level_axis() -> Axis:
    """Returns the axis of the level beyond the backbone."""
    return Axis(
        name="extra_level",
        formerly="no",
        choices=("no", "yes"),
        by_name=("yes",),
        doc="whether the head has another level, downsampled by `downsample_neck` from the coarsest maps of a pan",
        active=_may_have_extra_level,
    )


def _may_have_extra_level(params: Point) -> bool:
    """Whether there is a coarsest map of a `pan` that can be halved once more."""
    even = layout.input_size(params) % 2 ** (coarsest(params) + 1) == 0
    halves = even or params.get("downsample_neck") in ODD_DOWNSAMPLES
    return params["head"] == "anchor_free" and has_way_up(params) and coarsest(params) == trunk(params) and halves
