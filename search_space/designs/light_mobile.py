"""Light detectors for phones and small boards: RTMDet, NanoDet-Plus, PicoDet and DAMO-YOLO nano.

They are reference designs: general detectors, none of the five papers. Layers are those of the authors' code; batch
norm, input and training are those of this project.
"""

from __future__ import annotations

from collections.abc import Mapping

from search_space.architecture import Architecture
from search_space.designs.design import DESIGNS, Design, Figure
from search_space.parts import Backbone, Head, Neck, Stage
from search_space.plain import Options

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


def _register(
    name: str, architecture: Architecture, paper: str, citation: str, published: Mapping[str, Figure], notes: str = ""
) -> None:
    DESIGNS.add(
        name,
        Design(
            name=name,
            architecture=architecture,
            paper=paper,
            citation=citation,
            num_classes=COCO_CLASSES,
            published=published,
            reference=True,
            notes=f"{NOTES} {notes}".strip(),
        ),
    )


_register(
    "rtmdet-tiny",
    rtmdet_tiny(),
    "RTMDet",
    "Lyu et al., RTMDet: An Empirical Study of Designing Real-Time Object Detectors, arXiv 2212.07784; code "
    "open-mmlab/mmdetection 3.3.0",
    {"coco_val_ap": Figure(value=41.1, unit="%")},
)
