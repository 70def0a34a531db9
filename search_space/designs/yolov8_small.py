"""YOLOv8n for small objects: a P2 head, no P5 head, bi-directional fusion, and attention after every block.

Rebuilt from the configuration files of the paper's repository, including their wiring where it differs from the figure.
"""

from __future__ import annotations

from dataclasses import replace

from search_space.architecture import Architecture
from search_space.designs.design import DESIGNS, Design, Figure
from search_space.parts import Backbone, Head, Neck, Stage

PAPER = "YOLOv8 for small objects (Krasnov et al.)"
CITATION = "Krasnov et al., small-object detection with YOLOv8n on VisDrone; repository based on ultralytics 8.1.20"
NUM_CLASSES = 10


def backbone(coarsest_channels: int, attention: str = "none") -> Backbone:
    """Returns the YOLOv8n backbone with the given channels at stride 32."""
    channels = {2: 32, 3: 64, 4: 128, 5: coarsest_channels}
    repeats = {2: 1, 3: 2, 4: 2, 5: 1}
    return Backbone(
        stem_channels=16,
        stages=tuple(
            Stage(level=level, channels=channels[level], repeats=repeats[level], attention=attention)
            for level in channels
        ),
    )


def yolov8n() -> Architecture:
    """YOLOv8n as published by Ultralytics: heads on P3, P4, P5."""
    return Architecture(
        input_hw=(640, 640),
        backbone=backbone(256),
        neck=Neck(repeats=1, downsample="conv"),
        head=Head(finest_level=3, coarsest_level=5),
    )


def yolov8n_p2() -> Architecture:
    """Adds a P2 head and halves the stride-32 stage; inferred from the published count, as no file exists."""
    return Architecture(
        input_hw=(640, 640),
        backbone=backbone(128),
        neck=Neck(repeats=1, downsample="conv", last_downsample_width=0.5),
        head=Head(finest_level=2, coarsest_level=5),
    )


def yolov8n_p2_nop5() -> Architecture:
    """Drops the P5 head; the stride-32 backbone stage stays."""
    base = yolov8n_p2()
    return replace(base, neck=Neck(repeats=1, downsample="conv"), head=Head(finest_level=2, coarsest_level=4))


def yolov8n_p2_nop5_bidir() -> Architecture:
    """Merges the next finer backbone map on the top-down path, with the skip connections of the published file."""
    neck = Neck(repeats=1, downsample="conv", fusion="bidir_concat", skip_wiring="published")
    return replace(yolov8n_p2_nop5(), neck=neck)


def yolov8n_p2_nop5_bidir_cbam() -> Architecture:
    """Adds the paper's CBAM after every C2f of backbone and neck."""
    base = yolov8n_p2_nop5_bidir()
    assert base.neck is not None
    return replace(base, backbone=backbone(128, "cbam"), neck=replace(base.neck, attention="cbam"))


OF_ULTRALYTICS = "github.com/ultralytics/assets, releases (COCO)"
OF_PAPER = "github.com/DmitriyKras/YOLOv8-for-small-objects, links in the README"
"""Where weights are published."""


def _accuracy(val: tuple[float, float], test: tuple[float, float]) -> dict[str, Figure]:
    return {
        "visdrone_val_map50": Figure(value=val[0], unit="%"),
        "visdrone_val_map": Figure(value=val[1], unit="%"),
        "visdrone_test_map50": Figure(value=test[0], unit="%"),
        "visdrone_test_map": Figure(value=test[1], unit="%"),
    }


def _nano(inference_ms: float, postprocess_ms: float) -> dict[str, Figure]:
    note = "Jetson Nano, TensorRT FP16, batch 1; input size not stated with the timing, its export example is 640x384"
    return {
        "jetson_nano_ms": Figure(value=inference_ms, unit="ms", note=note),
        "jetson_nano_postprocess_ms": Figure(value=postprocess_ms, unit="ms", note=note),
    }


def _register(
    name: str, architecture: Architecture, params_m_folded: float, accuracy: dict[str, Figure], notes: str = ""
) -> None:
    weights = {"yolov8n": OF_ULTRALYTICS, "yolov8n-p2": ""}.get(name, OF_PAPER)
    params = Figure(value=params_m_folded, unit="M parameters, convolution and batch norm folded")
    DESIGNS.add(
        name,
        Design(
            name=name,
            architecture=architecture,
            paper=PAPER,
            citation=CITATION,
            num_classes=NUM_CLASSES,
            published={"params_m_folded": params, **accuracy},
            notes=notes,
            recipe="yolov8-small",
            weights=weights,
        ),
    )


_register(
    "yolov8n",
    yolov8n(),
    3.001,
    _accuracy((34.9, 20.3), (27.5, 15.4)) | _nano(31.8, 3.4),
    "No class count or counting convention gives the published 3.001 M; the folded count is 3.008 M (+0.2 %).",
)
_register(
    "yolov8n-p2",
    yolov8n_p2(),
    1.737,
    _accuracy((36.6, 21.6), (28.7, 16.1)),
    "Inferred: the repository has no file for this row; this architecture gives its count and contains the next row.",
)
_register("yolov8n-p2-nop5", yolov8n_p2_nop5(), 1.379, _accuracy((36.4, 21.9), (29.5, 17.1)))
_register(
    "yolov8n-p2-nop5-bidir",
    yolov8n_p2_nop5_bidir(),
    1.461,
    _accuracy((36.4, 21.9), (30.1, 17.1)),
    "Wired as in the file of the repository; `skip_wiring: repaired` gives the graph of the figure in the paper.",
)
_register(
    "yolov8n-p2-nop5-bidir-cbam",
    yolov8n_p2_nop5_bidir_cbam(),
    1.542,
    _accuracy((39.8, 24.1), (32.2, 18.4)) | _nano(60.6, 8.3),
    "Wired as in the file of the repository; `skip_wiring: repaired` gives the graph of the figure in the paper.",
)
