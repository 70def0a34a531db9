"""Light detectors of the YOLO family: reference designs, rebuilt from the configuration files of their authors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from search_space.architecture import Architecture
from search_space.designs.design import DESIGNS, Design, Figure, percent
from search_space.designs.references import yolo11, yolov8
from search_space.parts import Backbone, Head, Neck, Stage
from search_space.plain import Options

NUM_CLASSES = 80
FOLDED = "M parameters, convolution and batch norm folded"
CONVOLUTIONS = "GFLOPs, two for each multiply-add of a convolution"
YOLOV6 = "YOLOv6 3.0 (reference design)"
YOLOV10 = "YOLOv10 (reference design)"
ULTRALYTICS = "YOLO11 and YOLO26 (reference designs)"


def yolov6n() -> Architecture:
    """Returns YOLOv6-N of release 3.0: re-parameterised convolutions in stem, stages, downsamplings and neck."""
    rows = ((2, 32, 2), (3, 64, 4), (4, 128, 6), (5, 256, 2))
    return Architecture(
        input_hw=(640, 640),
        activation="relu",
        head_activation="silu",
        backbone=Backbone(
            stem="rep",
            stem_channels=16,
            stages=tuple(
                Stage(level=level, channels=channels, repeats=repeats, block="rep", downsample="rep")
                for level, channels, repeats in rows
            ),
            context="csp_sppf",
        ),
        neck=Neck(
            repeats=4,
            block="rep",
            fusion="bifusion",
            upsample="transposed",
            downsample="conv",
            reduce=True,
            channels=(32, 64, 128),
        ),
        head=Head(
            finest_level=3,
            coarsest_level=5,
            options=Options({"head_widths": "level", "tower_convs": 1, "bins": 1}),
        ),
    )


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


_DISTILLED = (
    "published with the distribution predictors of its distillation, which are not deployed, as far as can be inferred:"
    " with those the count would be equal as printed"
)
_register(
    "yolov6-n",
    yolov6n(),
    YOLOV6,
    "Li et al., YOLOv6 v3.0: A Full-Scale Reloading, 2023, arXiv 2301.05586; its repository at release 0.4",
    {
        "params_m_deployed": Figure(value=4.7, unit="M parameters, branches merged", note=_DISTILLED),
        "gflops_2x": Figure(value=11.4, unit="GFLOPs", note=_DISTILLED),
        **percent(coco_val_ap=37.5),
        "t4_tensorrt7_fp16_fps": Figure(value=779, unit="images/s", note="T4, TensorRT 7, FP16, batch 1"),
    },
    "The accuracy is that of a training of 300 epochs with self-distillation.",
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
