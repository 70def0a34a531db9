"""TinyDet: a light two-stage detector with aligned strides, a sparsely connected pyramid and a cheap P2."""

from __future__ import annotations

from search_space.architecture import Architecture
from search_space.designs.design import DESIGNS, Design, Figure
from search_space.parts import Head, Neck
from search_space.tables import UNIT_TABLES, unit_backbone, unit_stage

PAPER = "TinyDet"
CITATION = (
    "TinyDet: Accurate Small Object Detection in Lightweight Generic Detectors, arXiv 2304.03428; code hustvl/TinyDet"
)
WIDTH = 245
GROUPS = {2: 49, 3: 7, 4: 5, 5: 1, 6: 1}


def tinydet(table: str, finest_level: int, side: int, *, anchor_scale: float, roi_scale: float) -> Architecture:
    """Returns a TinyDet on a MobileNetV3 table with levels from the finest to P6."""
    units = UNIT_TABLES[table]
    levels = range(finest_level, 7)
    return Architecture(
        input_hw=(side, side),
        backbone=unit_backbone(
            units, (unit_stage(level, rows, downsample="aligned") for level, rows in units.stages.items())
        ),
        neck=Neck(
            kind="fpn",
            channels=(WIDTH,),
            fusion="add",
            smooth="scconv",
            groups=tuple(GROUPS[level] for level in levels),
        ),
        head=Head(
            kind="two_stage",
            finest_level=finest_level,
            coarsest_level=6,
            anchor_scale=anchor_scale,
            roi_scale=roi_scale,
        ),
        input_format=units.input_format,
    )


def _register(letter: str, architecture: Architecture, mflops: float, accuracy: dict[str, Figure]) -> None:
    counted = Figure(value=mflops, unit="MFLOPs: multiply-adds, and an addition for each bias of a convolution")
    DESIGNS.add(
        f"tinydet-{letter}",
        Design(
            name=f"tinydet-{letter}",
            architecture=architecture,
            paper=PAPER,
            citation=CITATION,
            num_classes=80,
            published={"mflops_with_conv_bias": counted, **accuracy},
            notes="The published MFLOPs are multiply-adds plus the additions of convolution biases.",
            recipe="tinydet-l" if letter == "l" else "tinydet",
            weights="github.com/hustvl/TinyDet, link in the README",
        ),
    )


_SECOND_HAND = "second-hand: repeated in other texts only"
_register(
    "s",
    tinydet("mobilenetv3-d", 3, 320, anchor_scale=2.25, roi_scale=30.0),
    495,
    {"coco_ap": Figure(value=26.0, unit="%", note=_SECOND_HAND)},
)
_register(
    "m",
    tinydet("mobilenetv3-bc", 2, 320, anchor_scale=3.2, roi_scale=22.4),
    991,
    {"coco_ap": Figure(value=30.3, unit="%"), "coco_ap_small": Figure(value=13.5, unit="%")},
)
_register(
    "l",
    tinydet("mobilenetv3-bc", 2, 512, anchor_scale=5.12, roi_scale=35.8),
    2427,
    {"coco_ap": Figure(value=35.5, unit="%", note=_SECOND_HAND)},
)
