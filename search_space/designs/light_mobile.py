"""Light detectors for phones and small boards: RTMDet, NanoDet-Plus, PicoDet and DAMO-YOLO nano.

They are reference designs: general detectors, none of the five papers. Layers are those of the authors' code; batch
norm, input and training are those of this project.
"""

from __future__ import annotations

from collections.abc import Mapping

from search_space.architecture import Architecture
from search_space.designs.design import DESIGNS, Design, Figure, percent
from search_space.parts import Backbone, Head, Neck, Stage
from search_space.plain import Options
from search_space.tables import TABLE_VARIANTS, UNIT_TABLES, scaled, scaled_units, unit_backbone, unit_stage

COCO_CLASSES = 80
NOTES = "Layers of the authors' code; batch norm, input and training are those of this project."
CHANNELS = {2: 48, 3: 96, 4: 192, 5: 384}
"""Of the stages of RTMDet-tiny."""


def rtmdet_tiny() -> Architecture:
    """Returns RTMDet-tiny (Lyu et al., 2022)."""
    return Architecture(
        input_hw=(640, 640),
        backbone=Backbone(
            stem="deep",
            stem_channels=24,
            stages=tuple(
                Stage(level=level, channels=width, repeats=1, block="cspnext") for level, width in CHANNELS.items()
            ),
            context="sppf_before",
        ),
        neck=Neck(repeats=1, block="cspnext", downsample="conv", reduce=True),
        head=Head(
            finest_level=3,
            coarsest_level=5,
            box_channels=96,
            options=Options({"head_stem": 96, "head_stem_kernel": 3, "head_weights": "shared", "bins": 1}),
        ),
    )


def _units(table: str, width: float = 1.0, variant: str | None = None) -> Backbone:
    """Returns the backbone of a unit table at a width, or with the stages of a variant."""
    units = UNIT_TABLES[table]
    own = next((each.stages for each in TABLE_VARIANTS if (each.table, each.name) == (table, variant)), None)
    stages = own or {level: scaled_units(rows, width, "table", units.multiple) for level, rows in units.stages.items()}
    return unit_backbone(
        units,
        (unit_stage(level, rows, downsample="strided") for level, rows in stages.items()),
        stem_channels=scaled(units.stem_channels, width, multiple=units.multiple),
        stem_units=scaled_units(units.stem_units, width, "table", units.multiple),
    )


def _on_four_levels(
    backbone: Backbone, width: int, *, block: str, upsample: str, branches: str, activation: str
) -> Architecture:
    """Returns a detector with one width on P3 to P6, and depthwise 5x5 and 8 bins in the head."""
    return Architecture(
        input_hw=(416, 416),
        backbone=backbone,
        neck=Neck(
            repeats=1,
            block=block,
            upsample=upsample,
            downsample="depthwise5",
            channels=(width,) * 3,
            lateral=True,
            extra_level=True,
        ),
        head=Head(
            finest_level=3,
            coarsest_level=5,
            box_channels=width,
            class_branch="depthwise",
            options=Options({"branches": branches, "tower_kernel": 5, "bins": 8}),
        ),
        activation=activation,
    )


def nanodet_plus(width: int, variant: str | None = None) -> Architecture:
    """Returns NanoDet-Plus-m, or with a variant of ShuffleNetV2 its wider version."""
    return _on_four_levels(
        _units("shufflenetv2", variant=variant),
        width,
        block="ghost_bottleneck",
        upsample="bilinear",
        branches="joint",
        activation="leaky_relu",
    )


def picodet(width: float, variant: str | None = None) -> Architecture:
    """Returns PicoDet with LCNet at a width, or with a variant of its stages."""
    return _on_four_levels(
        _units("lcnet", width, variant),
        96,
        block="lcpan",
        upsample="nearest",
        branches="gated",
        activation="hardswish",
    )


def damo_yolo_nano(table: str) -> Architecture:
    """Returns DAMO-YOLO nano (Xu et al., 2022) on a TinyNAS table."""
    return Architecture(
        input_hw=(416, 416),
        backbone=_units(table),
        neck=Neck(kind="giraffe", repeats=2, block="csp_inverted", downsample="depthwise"),
        head=Head(
            finest_level=3, coarsest_level=5, options=Options({"tower_convs": 0, "bins": 8, "box_scale": "learned"})
        ),
    )


def _register(
    name: str, architecture: Architecture, paper: str, citation: str, published: Mapping[str, Figure], notes: str = ""
) -> None:
    DESIGNS.add(
        name,
        Design(
            name=name,
            architecture=architecture,
            paper=f"{paper} (reference design)",
            citation=citation,
            num_classes=COCO_CLASSES,
            published=published,
            reference=True,
            notes=f"{NOTES} {notes}".strip(),
        ),
    )


def _params(value: float, note: str = "") -> Figure:
    return Figure(value=value, unit="M parameters", note=note)


def _gflops(value: float, note: str = "") -> Figure:
    return Figure(value=value, unit="GFLOPs, two for each multiply-add", note=note)


_CUT = "The digits after the printed ones are cut off, not rounded"
_OTHERS = "Other operators than convolutions are counted too"
_UNKNOWN = "The repository does not say what else its counter counts"
_register(
    "rtmdet-tiny",
    rtmdet_tiny(),
    "RTMDet",
    "Lyu et al., RTMDet: An Empirical Study of Designing Real-Time Object Detectors, arXiv 2212.07784; code "
    "open-mmlab/mmdetection 3.3.0",
    {
        "params_m": _params(4.8, _CUT),
        "gmacs": Figure(value=8.1, unit="G multiply-adds", note=_UNKNOWN),
        **percent(coco_val_ap=41.1),
    },
    "The metafile of the repository gives 40.9 % AP. The two towers of the head are shared by the levels.",
)
_NANODET = "RangiLyu, NanoDet-Plus, 2021; public repository RangiLyu/nanodet"
_AUXILIARY = "The auxiliary head of the training is left out."
_register(
    "nanodet-plus-m",
    nanodet_plus(96),
    "NanoDet-Plus",
    _NANODET,
    {
        "params_m_without_norm": _params(1.17),
        "gflops_2x": _gflops(1.52),
        **percent(coco_val_ap=30.4, coco_val_ap_small=10.6),
    },
    f"{_AUXILIARY} At 320x320 the authors report 27.0 % AP and 0.9 GFLOPs.",
)
_register(
    "nanodet-plus-m-1.5x",
    nanodet_plus(128, "1.5"),
    "NanoDet-Plus",
    _NANODET,
    {"params_m_without_norm": _params(2.44), "gflops_2x": _gflops(2.97), **percent(coco_val_ap=34.1)},
    f"{_AUXILIARY} At 320x320 the authors report 29.9 % AP and 1.75 GFLOPs.",
)
_PICODET = (
    "Yu et al., PP-PicoDet: A Better Real-Time Object Detector on Mobile Devices, arXiv 2111.00902; the version with "
    "LCNet of PaddlePaddle/PaddleDetection, 2022"
)
_register(
    "picodet-s",
    picodet(0.75),
    "PicoDet",
    _PICODET,
    {"params_m": _params(1.18, _CUT), "gflops_2x": _gflops(1.65, _OTHERS), **percent(coco_val_ap=32.5)},
    "At 320x320 the authors report 29.1 % AP and 0.97 GFLOPs.",
)
_register(
    "picodet-xs",
    picodet(0.375, "0.35"),
    "PicoDet",
    _PICODET,
    {"params_m": _params(0.7), "gflops_2x": _gflops(1.13, _OTHERS), **percent(coco_val_ap=26.2)},
    "At 320x320 the authors report 23.5 % AP and 0.67 GFLOPs.",
)
_DAMO = (
    "Xu et al., DAMO-YOLO: A Report on Real-Time Object Detection Design, arXiv 2211.15444; code tinyvision/DAMO-YOLO"
)
_register(
    "damo-yolo-ns",
    damo_yolo_nano("tinynas-ns"),
    "DAMO-YOLO",
    _DAMO,
    {"params_m": _params(1.41), "gflops_2x": _gflops(1.56, _UNKNOWN), **percent(coco_val_ap=32.3)},
)
_register(
    "damo-yolo-nm",
    damo_yolo_nano("tinynas-nm"),
    "DAMO-YOLO",
    _DAMO,
    {"params_m": _params(2.71), "gflops_2x": _gflops(3.69, _UNKNOWN), **percent(coco_val_ap=38.2)},
)
