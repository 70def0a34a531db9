"""SSD with one stride removed: larger maps for small objects, and a second path for the large objects."""

from __future__ import annotations

from search_space.architecture import Architecture
from search_space.designs.design import DESIGNS, Design, Figure, percent
from search_space.parts import Extra, Head
from search_space.tables import EXTRA_CHANNELS, UNIT_TABLES, native_downsample, unit_backbone, unit_stage

PAPER = "SSD with stride removal and dual path (Mudassar & Mukhopadhyay)"
CITATION = (
    "Mudassar and Mukhopadhyay, Rethinking Convolutional Feature Extraction for Small Object Detection, BMVC 2019; "
    "code burhanmudassar/small_object_detection"
)


def ssd(
    table: str,
    extras: str,
    pattern: str,
    *,
    removed: tuple[int, ...] = (),
    dual_path: bool = False,
    anchors: str,
    side: int = 300,
) -> Architecture:
    """Returns an SSD on a stage table, with the strides into some levels removed."""
    units = UNIT_TABLES[table]
    return Architecture(
        input_hw=(side, side),
        backbone=unit_backbone(
            units,
            (
                unit_stage(level, rows, downsample=native_downsample(units, level), stride=1 if level in removed else 2)
                for level, rows in units.stages.items()
            ),
            stem_stride=1 if 1 in removed else units.stem_stride,
            dual_path="subsample" if dual_path else "none",
        ),
        head=Head(kind="ssd", finest_level=4, coarsest_level=5, l2_scale=True, anchors=anchors),
        extras=tuple(
            Extra(kind=extras, channels=channels, pattern=code)
            for channels, code in zip(EXTRA_CHANNELS[extras], pattern, strict=True)
        ),
        input_format=units.input_format,
    )


def mobilenetv1(name: str, pattern: str, *removed: int, dual_path: bool = False, side: int = 300) -> Architecture:
    """Returns an SSD on MobileNetV1."""
    return ssd("mobilenetv1", "separable", pattern, removed=removed, dual_path=dual_path, anchors=name, side=side)


def vgg16(name: str, pattern: str, *removed: int, dual_path: bool = False) -> Architecture:
    """Returns an SSD on VGG16."""
    return ssd("vgg16", "plain", pattern, removed=removed, dual_path=dual_path, anchors=name)


def _register(
    name: str,
    architecture: Architecture,
    ap: tuple[float, float, float, float] | None = None,
    milliseconds: float | None = None,
    notes: str = "",
) -> None:
    """Registers a design; accuracies are AP of small, medium, large and all objects, None if none is published."""
    names = ("coco_val_ap_small", "coco_val_ap_medium", "coco_val_ap_large", "coco_val_ap")
    note = "GPU not named, batches of 16 timed without synchronisation"
    timed = {} if milliseconds is None else {"infer_ms_unnamed_gpu": Figure(value=milliseconds, unit="ms", note=note)}
    DESIGNS.add(
        f"ssd-{name}",
        Design(
            name=f"ssd-{name}",
            architecture=architecture,
            paper=PAPER,
            citation=CITATION,
            num_classes=80,
            published={} if ap is None else {**percent(**dict(zip(names, ap, strict=True))), **timed},
            by_name=ap is None,
            notes=f"The repository publishes no parameters or operations of these networks. {notes}".strip(),
            recipe="ssd-vgg" if name.startswith("vgg") else "ssd",
            weights="github.com/burhanmudassar/small_object_detection, links in the README",
        ),
    )


_register("mobilenetv1", mobilenetv1("mobilenetv1", "SSSS"), (1.8, 19.1, 36.3, 18.8), 6.9)
_register("mobilenetv1-s1l0", mobilenetv1("mobilenetv1-s1l0", "SSSP", 1), (7.9, 25.2, 28.6, 19.6), 12.1)
_register(
    "mobilenetv1-s1l0-dualpath",
    mobilenetv1("mobilenetv1-s1l0-dualpath", "SSSS", 1, dual_path=True),
    (8.2, 25.0, 30.8, 20.7),
)
_register("vgg16", vgg16("vgg16", "SSVV"), (6.9, 27.9, 40.3, 24.6), 12.1)
_register("vgg16-s1l2", vgg16("vgg16-s1l2", "SSSS", 2), (11.2, 27.3, 33.4, 23.7))
_register(
    "vgg16-s1l2-dualpath",
    vgg16("vgg16-s1l2-dualpath", "SSVV", 2, dual_path=True),
    (13.7, 31.4, 41.3, 28.5),
    31.1,
)

_AUXILIARY = "A configuration of the repository beside those of the paper; no accuracy of it is published."
_register("mobilenetv1-s1l4", mobilenetv1("mobilenetv1-s1l4", "SSSS", 3), notes=_AUXILIARY)
_register("mobilenetv1-s1l6", mobilenetv1("mobilenetv1-s1l4", "SSSS", 4), notes=_AUXILIARY)
_register("mobilenetv1-s2l0-6", mobilenetv1("mobilenetv1-s2l0-6", "SSSS", 1, 4), notes=_AUXILIARY)
_register("mobilenetv1-size512", mobilenetv1("mobilenetv1-size512", "SSSS", side=512), notes=_AUXILIARY)
