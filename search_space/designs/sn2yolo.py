"""SN2-YOLO: soft upsampling (SNI), extended windows for downsampling (ESD), light convolutions with channel shuffle.

Rebuilt from the configuration files of the paper's repository, whose YOLOv5 is a fork with two 3x3 in each bottleneck
and the YOLOv8 head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from search_space.architecture import Architecture
from search_space.designs.design import DESIGNS, Design, Figure, percent
from search_space.designs.yolov8_small import yolov8n
from search_space.parts import Backbone, Head, Neck, Stage

PAPER = "SN2-YOLO (Rethinking Features-Fused-Pyramid-Neck)"
CITATION = "Rethinking Features-Fused-Pyramid-Neck for Object Detection, ECCV 2024, arXiv 2505.12820"
NUM_CLASSES = 80
CAPPED = "Class branches grow no wider than 100 classes need, as in later YOLOv8; the paper's fork has no such cap."
SECOND_HAND = "second-hand: from a reading note of the paper, whose tables were not at hand"


def with_neck(architecture: Architecture, **changes: object) -> Architecture:
    """Returns an architecture with some fields of its neck changed."""
    assert architecture.neck is not None
    return replace(architecture, neck=replace(architecture.neck, **changes))  # type: ignore[arg-type]


def yolov5n() -> Architecture:
    """Returns the unmodified YOLOv5n of the fork: nearest upsampling, strided convolutions."""
    rows = ((2, 32, 1), (3, 64, 2), (4, 128, 3), (5, 256, 1))
    return Architecture(
        input_hw=(640, 640),
        backbone=Backbone(
            stem_channels=16,
            stem_kernel=6,
            stages=tuple(Stage(level=row[0], channels=row[1], repeats=row[2], block="c3") for row in rows),
        ),
        neck=Neck(repeats=1, block="c3", downsample="conv", reduce=True),
        head=Head(finest_level=3, coarsest_level=5),
    )


def independent(architecture: Architecture) -> Architecture:
    """Returns an architecture with the independent hierarchy pyramid: a GSConvE-I and a block per level."""
    assert architecture.neck is not None
    return replace(architecture, neck=Neck(kind="ihp", repeats=1, block=architecture.neck.block, transform="gsconve1"))


def syolo() -> Architecture:
    """Returns the full SYOLO: YOLOv8 at width and depth 1, P5 uncapped, and an ELAN neck at half width."""
    rows = ((2, 128, 3), (3, 256, 6), (4, 512, 6), (5, 1024, 3))
    return Architecture(
        input_hw=(640, 640),
        backbone=Backbone(
            stem_channels=64, stages=tuple(Stage(level=row[0], channels=row[1], repeats=row[2]) for row in rows)
        ),
        neck=Neck(
            repeats=2,
            block="elan",
            upsample="sni",
            downsample="gsconve1",
            downsample_to="level",
            channels=(128, 256, 512),
        ),
        head=Head(finest_level=3, coarsest_level=5),
    )


def yolov7_tiny() -> Architecture:
    """Returns the SN2 form of YOLOv7-tiny with the anchor-free head of YOLOv8 on its last neck blocks.

    SiLU replaces leaky ReLU, SNI the nearest upsampling, and GSConvE-I the first 3x3 of each block of the neck.
    """
    rows = ((2, 64, "conv"), (3, 128, "max_pool"), (4, 256, "max_pool"), (5, 512, "max_pool"))
    return Architecture(
        input_hw=(640, 640),
        backbone=Backbone(
            stem_channels=32,
            stages=tuple(
                Stage(level=level, channels=channels, repeats=1, block="elan7", downsample=downsample)
                for level, channels, downsample in rows
            ),
            context="csp_sppf_half",
        ),
        neck=Neck(
            repeats=1,
            block="elan7_gsconve1",
            fusion="reduced_concat",
            upsample="sni",
            downsample="conv",
            downsample_to="level",
            channels=(64, 128, 256),
        ),
        head=Head(finest_level=3, coarsest_level=5),
    )


def _register(
    name: str,
    architecture: Architecture,
    published: Mapping[str, Figure] | None = None,
    *,
    derived: bool = False,
    by_name: bool = False,
    notes: str = "",
) -> None:
    DESIGNS.add(
        name,
        Design(
            name=name,
            architecture=architecture,
            paper=PAPER,
            citation=CITATION,
            num_classes=NUM_CLASSES,
            published=published or {},
            derived=derived,
            by_name=by_name,
            notes=f"{notes} {CAPPED}",
            recipe="sn2-yolo",
        ),
    )


_register(
    "sn2-yolov8n",
    with_neck(yolov8n(), upsample="sni", downsample="gsconve1"),
    notes="The repository prints no figure for this file.",
)
_register(
    "sn2-yolov5n",
    with_neck(yolov5n(), upsample="sni", downsample="gsconve1"),
    notes="The repository prints no figure for this file; its YOLOv5 is a fork and larger than the original.",
)
_register("yolov5n-ihp", independent(yolov5n()), notes="The repository prints no figure for this file.")
_register(
    "syolo",
    syolo(),
    {
        "params_m_folded": Figure(
            value=57.23, unit="M parameters, convolution and batch norm folded", num_classes=20, note=SECOND_HAND
        ),
        "params_m": Figure(
            value=57.2, unit="M parameters", note=f"{SECOND_HAND}; probably folded as well: 57.256, cut after one digit"
        ),
        "ultralytics_gflops": Figure(value=142.5, unit="GFLOPs as Ultralytics prints them", note=SECOND_HAND),
        **percent(voc07_test_ap=69.6, coco_val_ap=53.1, coco_val_ap_small=35.5),
    },
    notes="ESD-I in place of GSConvE-I on the way up would fit the published counts as well; the file has GSConvE-I.",
)

_ABLATIONS = {
    "sni": {"upsample": "sni"},
    "gsconv": {"downsample": "gsconv"},
    "gsconve1": {"downsample": "gsconve1"},
    "gsconve2": {"downsample": "gsconve2"},
    "esd1": {"downsample": "esd1"},
    "esd2": {"downsample": "esd2"},
}
_DERIVED = "Derived: one change to YOLOv8n, as in the paper's ablations; no file of it was published."
for _name, _changes in _ABLATIONS.items():
    _register(f"yolov8n-{_name}", with_neck(yolov8n(), **_changes), derived=True, notes=_DERIVED)
_register("yolov8n-ihp", independent(yolov8n()), derived=True, notes=_DERIVED)
_register(
    "sn2-yolov7-tiny-af",
    yolov7_tiny(),
    derived=True,
    by_name=True,
    notes="Derived: backbone and neck of the paper's file for YOLOv7-tiny, with the anchor-free head of YOLOv8 in "
    "place of three 3x3 convolutions and the anchor head of YOLOv7. No count of either is published.",
)
