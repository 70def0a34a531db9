"""Small detectors of each kind of head, and objects by hand."""

from __future__ import annotations

import torch

from search_space import Architecture, Detector, Head, lower
from search_space.parts import Neck
from search_space.tables import UNIT_TABLES, scaled_units, unit_backbone, unit_stage
from trainers.assigners import Objects

HEADS = {
    "anchor_free": Head(finest_level=3, coarsest_level=4, box_channels=16, class_branch="depthwise"),
    "ssd": Head(kind="ssd", finest_level=3, coarsest_level=4),
    "two_stage": Head(kind="two_stage", finest_level=3, coarsest_level=4, proposals=20, roi_scale=20.0),
}


def objects(*rows: tuple[float, ...]) -> Objects:
    """Each row: x1, y1, x2, y2, label, image."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return Objects(boxes=table[:, :4], labels=table[:, 4].long(), images=table[:, 5].long())


def small_architecture(kind: str, input_hw: tuple[int, int] = (64, 96)) -> Architecture:
    """A detector with maps at the strides 8 and 16."""
    units = UNIT_TABLES["mobilenetv1"]
    stages = (
        unit_stage(level, scaled_units(units.stages[level][:1], 0.125, "table"), downsample="strided")
        for level in (2, 3, 4)
    )
    return Architecture(
        input_hw=input_hw,
        backbone=unit_backbone(
            units, stages, stem_channels=8, stem_units=scaled_units(units.stem_units, 0.125, "table")
        ),
        neck=Neck(kind="fpn", channels=(49,), fusion="add", smooth="scconv"),
        head=HEADS.get(kind, Head(kind=kind, finest_level=3, coarsest_level=4)),
    )


def small_detector(kind: str, num_classes: int = 3, input_hw: tuple[int, int] = (64, 96)) -> Detector:
    """`small_architecture` with the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Detector(lower(small_architecture(kind, input_hw), num_classes=num_classes))
