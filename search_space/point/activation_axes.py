"""The axes of the activation: of the network, and of the head where it differs."""

from __future__ import annotations

from search_space.architecture import Architecture
from search_space.axis import Axis, Params, Point
from search_space.blocks.activation import NETWORK_ACTIVATIONS
from search_space.head_kind import HEAD_KINDS
from search_space.parts import DEFAULT_ACTIVATION
from search_space.point.layout import of_blocks, topology

AS_BODY = "body"
"""The choice of a head with the activation of the rest of the network."""


def axes() -> tuple[Axis, ...]:
    """Returns the axes of the activation."""
    return (
        Axis(
            name="activation",
            choices=tuple(NETWORK_ACTIVATIONS),
            doc="activation of all convolutions of YOLO blocks, necks and heads; units of MobileNet and VGG, gates and "
            "blocks whose paper fixes an activation keep theirs",
            active=lambda params: _in_body(params) or _in_head(params),
        ),
        Axis(
            name="head_activation",
            choices=(AS_BODY, DEFAULT_ACTIVATION),
            doc="activation of the head: as in the body, or, as in YOLOv6, SiLU",
            active=lambda params: _in_body(params) and _in_head(params) and params["activation"] != DEFAULT_ACTIVATION,
        ),
    )


def _in_body(params: Point) -> bool:
    """Whether backbone or neck consist of blocks with the activation of the network."""
    return of_blocks(params) or topology(params) in ("pan", "ihp")


def _in_head(params: Point) -> bool:
    return HEAD_KINDS.get(str(params["head"])).takes_activation


def decode(params: Point) -> dict[str, str | None]:
    """Returns the fields `activation` and `head_activation` of an architecture."""
    own = params.get("head_activation", AS_BODY)
    return {
        "activation": str(params.get("activation", DEFAULT_ACTIVATION)),
        "head_activation": None if own == AS_BODY else str(own),
    }


def read(architecture: Architecture) -> Params:
    """Returns the choices of an architecture."""
    return {"activation": architecture.activation, "head_activation": architecture.head_activation or AS_BODY}
