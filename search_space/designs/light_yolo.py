"""Light detectors of the YOLO family: reference designs, rebuilt from the configuration files of their authors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from search_space.architecture import Architecture
from search_space.designs.design import DESIGNS, Design, Figure, percent
from search_space.designs.references import yolo11, yolov8
from search_space.parts import Head
from search_space.plain import Options

NUM_CLASSES = 80
FOLDED = "M parameters, convolution and batch norm folded"
CONVOLUTIONS = "GFLOPs, two for each multiply-add of a convolution"
YOLOV10 = "YOLOv10 (reference design)"
ULTRALYTICS = "YOLO11 and YOLO26 (reference designs)"


def yolov10n() -> Architecture:
    """Returns YOLOv10n: SCDown into P4 and P5, attention after the pyramid pooling, and one head without NMS."""
    base = yolov8("n")
    assert base.neck is not None
    stages = tuple(replace(stage, downsample="scdown") if stage.level >= 4 else stage for stage in base.backbone.stages)
    return replace(
        base,
        backbone=replace(base.backbone, stages=stages, context="sppf_c2psa"),
        neck=replace(base.neck, last_downsample="scdown", last_block="c2f_cib_large"),
        head=replace(base.head, class_branch="depthwise", options=Options({"assignment": "dual"})),
    )


def yolo26n() -> Architecture:
    """Returns YOLO26n: YOLO11n with attention in the last block, direct distances and one head without NMS."""
    base = yolo11("n")
    assert base.neck is not None
    return replace(
        base,
        backbone=replace(base.backbone, context="sppf_shortcut_c2psa"),
        neck=replace(base.neck, block="c3k2_attention", nested="by_level"),
        head=_head_of_yolo26(3),
    )


def yolo26n_p2() -> Architecture:
    """Returns YOLO26n with a head on P2 as well."""
    base = yolo26n()
    assert base.neck is not None and base.neck.channels is not None
    finest = base.neck.channels[0] // 2
    return replace(base, neck=replace(base.neck, channels=(finest, *base.neck.channels)), head=_head_of_yolo26(2))


def _head_of_yolo26(finest_level: int) -> Head:
    return Head(
        finest_level=finest_level,
        coarsest_level=5,
        box_channels=16,
        class_branch="depthwise",
        options=Options({"bins": 1, "assignment": "dual"}),
    )


def _register(
    name: str,
    architecture: Architecture,
    paper: str,
    citation: str,
    published: Mapping[str, Figure],
    notes: str = "",
) -> None:
    DESIGNS.add(
        name,
        Design(
            name=name,
            architecture=architecture,
            paper=paper,
            citation=citation,
            num_classes=NUM_CLASSES,
            published=published,
            reference=True,
            notes=notes,
        ),
    )


_register(
    "yolov10n",
    yolov10n(),
    YOLOV10,
    "Wang et al., YOLOv10: Real-Time End-to-End Object Detection, NeurIPS 2024",
    {
        "params_m": Figure(value=2.3, unit="M parameters", note="without the head that only the training has"),
        "gflops_2x_convolutions": Figure(value=6.7, unit=CONVOLUTIONS),
        **percent(coco_val_ap=38.5),
    },
    "The accuracy is that of the head without NMS.",
)
_CITATION = "Ultralytics, YOLO11, 2024, and YOLO26, 2025; model files of ultralytics 8.4"
_register(
    "yolo11n",
    yolo11("n"),
    ULTRALYTICS,
    _CITATION,
    {
        "params_m_folded": Figure(value=2.6, unit=FOLDED),
        "gflops_2x_convolutions": Figure(value=6.5, unit=CONVOLUTIONS),
        **percent(coco_val_ap=39.5),
    },
)
_register(
    "yolo26n",
    yolo26n(),
    ULTRALYTICS,
    _CITATION,
    {
        "params_m_folded": Figure(value=2.4, unit=FOLDED),
        "gflops_2x_convolutions": Figure(value=5.4, unit=CONVOLUTIONS),
        **percent(coco_val_ap=40.9),
    },
    "An independent leaderboard gives 39.9 % for the head without NMS.",
)
_register(
    "yolo26n-p2",
    yolo26n_p2(),
    ULTRALYTICS,
    _CITATION,
    {"params_m_both_heads": Figure(value=2.6624, unit="M parameters, both heads")},
    "A configuration without published weights; its 9.5 GFLOPs count both heads and batch norm.",
)
