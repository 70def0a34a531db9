"""The axes of the head, of each kind its own."""

from __future__ import annotations

from collections.abc import Callable

from search_space.architecture import Architecture
from search_space.axis import Axis, Params, Point
from search_space.heads.anchor_free import CLASS_TOWERS
from search_space.heads.anchors import SSD_ANCHORS
from search_space.parts import Head
from search_space.point import layout
from search_space.point.layout import span

ROI_SCALES = {2.25: 30.0, 3.2: 22.4, 5.12: 35.8}
"""Anchor scale to RoI scale: of TinyDet-S and -M at 320 px, and of -L at 512 px."""


def axes() -> tuple[Axis, ...]:
    """Returns the axes of the head."""
    return (
        Axis(
            name="box_channels",
            choices=(16, 32, 48, 64),
            ordered=True,
            doc="width of the box branches of an anchor-free head",
            active=_is("anchor_free"),
        ),
        Axis(
            name="class_branch",
            choices=tuple(CLASS_TOWERS),
            doc="convolutions of the class branches of an anchor-free head",
            active=_is("anchor_free"),
        ),
        Axis(
            name="predictor",
            choices=("dense", "separable"),
            doc="convolutions that predict, of an SSD head",
            active=_is("ssd"),
        ),
        Axis(
            name="l2_scale",
            choices=("no", "yes"),
            doc="whether the finest map of an SSD head is scaled to a learned norm",
            active=_is("ssd"),
        ),
        Axis(
            name="anchors",
            choices=SSD_ANCHORS.names(),
            doc="sizes of an SSD head's anchors: three cells of each map, or a published table for six maps",
            active=lambda params: params["head"] == "ssd" and _has_six_maps(params),
        ),
        Axis(
            name="proposals",
            choices=(50, 100, 200, 300),
            doc="boxes that reach the second stage",
            active=_is("two_stage"),
        ),
        Axis(
            name="anchor_scale",
            choices=tuple(ROI_SCALES),
            doc="side of a two-stage head's anchors, in strides",
            active=_is("two_stage"),
        ),
    )


def _is(kind: str) -> Callable[[Point], bool]:
    return lambda params: params["head"] == kind


def _has_six_maps(params: Point) -> bool:
    finest, _ = span(params)
    return params.get("extras", "none") != "none" and layout.coarsest(params) == finest + 1


def decode(params: Point) -> Head:
    """Returns the head of a point."""
    scale = float(params.get("anchor_scale", Head.anchor_scale))
    return Head(
        kind=str(params["head"]),
        finest_level=span(params)[0],
        coarsest_level=layout.coarsest(params),
        box_channels=int(params.get("box_channels", Head.box_channels)),
        class_branch=str(params.get("class_branch", Head.class_branch)),
        predictor=str(params.get("predictor", Head.predictor)),
        l2_scale=params.get("l2_scale") == "yes",
        anchors=str(params.get("anchors", Head.anchors)),
        proposals=int(params.get("proposals", Head.proposals)),
        anchor_scale=scale,
        roi_scale=ROI_SCALES[scale],
    )


def read(architecture: Architecture) -> Params:
    """Reads the head off an architecture."""
    head = architecture.head
    return {
        "box_channels": head.box_channels,
        "class_branch": head.class_branch,
        "predictor": head.predictor,
        "l2_scale": "yes" if head.l2_scale else "no",
        "anchors": head.anchors,
        "proposals": head.proposals,
        "anchor_scale": head.anchor_scale,
    }
