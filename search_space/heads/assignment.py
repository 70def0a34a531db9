"""The option `assignment` of an anchor-free head: how many points learn each object, and whether NMS is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_space.axis import Axis

if TYPE_CHECKING:
    from search_space.parts import Head

MANY, DUAL = "many", "dual"
ASSIGNMENTS = (MANY, DUAL)
"""`many`: several points learn each object, and NMS drops all but one of their boxes. `dual`: such a head teaches the
body during the training, and a second one of the same shape, in which one point learns each object, is deployed and
read without NMS. Source: YOLOv10 (Wang et al., NeurIPS 2024) and YOLO26 (Ultralytics, 2025)."""


def is_one_to_one(head: Head) -> bool:
    """Returns whether the deployed head gives one box per object, so that its outputs are read without NMS."""
    return head.kind == "anchor_free" and head.option("assignment") == DUAL


def assignment_axis() -> Axis:
    """Returns the axis; a search has `dual` by name: it makes a training longer, and no cost counts what it saves."""
    return Axis(
        name="assignment",
        formerly=MANY,
        choices=ASSIGNMENTS,
        by_name=(DUAL,),
        doc="points that learn each object: many, read with NMS, or also one, which is deployed and read without NMS",
    )
