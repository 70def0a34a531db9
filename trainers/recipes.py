"""Recipes: settings of a training as the authors of a paper or a framework use them, each with its source.

A recipe holds only what differs from the defaults. What a repository does not state is left at the default and said in
the notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from search_space.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of a recipe."""

    name: str
    """As it is given to `--recipe`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Values by the path of the setting in `TrainConfig`, such as `schedule.decay_shape`."""
    source: str
    """Paper or repository, with the commit that was read."""
    notes: tuple[str, ...] = ()
    """What differs from the source, or is not stated there."""


RECIPES: Registry[Recipe] = Registry("recipe")

_YOLO = {
    "epochs": 100.0,
    "batch_size": 16,
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "momentum": 0.937,
    "weight_decay": 5e-4,
    "final_share": 0.01,
    "ema_decay": 0.9999,
    "clip_norm": 10.0,
    "assigner.min_extent": 0.0,
    "assigner.metric_floor": 1e-9,
    "schedule.decay_shape": "linear",
    "schedule.decay_from_start": True,
    "schedule.decay_by_epoch": True,
    "schedule.warmup_epochs": 3.0,
    "schedule.warmup_steps": 100,
    "schedule.warmup_start": 0.0,
    "schedule.warmup_bias_rate": 0.1,
    "schedule.warmup_momentum": 0.8,
    "update.nominal_batch": 64,
    "update.loss_scale": "sum",
    "update.ema_ramp": 2000.0,
    "suppression.iou": 0.7,
    "suppression.max_detections": 300,
    "augmentation.mosaic": 1.0,
    "augmentation.mosaic_until": 1.0,
    "augmentation.mosaic_canvas": "double",
    "augmentation.close_mosaic": 10.0,
    "augmentation.scale": 0.5,
    "augmentation.translate": 0.1,
    "augmentation.flip": 0.5,
    "augmentation.hue": 0.015,
    "augmentation.saturation": 0.7,
    "augmentation.light": 0.4,
}
_YOLO_NOTES = (
    "Brightness and contrast change by up to 0.4 here; the source changes the value of HSV.",
    "Blur, median blur, gray and CLAHE with a chance of 0.01 each, which the source adds where albumentations is "
    "installed, are left out.",
    "The running statistics of batch norm begin as cumulative averages here.",
)
_ULTRALYTICS = "ultralytics 8.1.20"

_DISTORTION = {
    "augmentation.mosaic": 0.0,
    "augmentation.scale": 0.0,
    "augmentation.translate": 0.0,
    "augmentation.flip": 0.5,
    "augmentation.light": 0.0,
    "augmentation.hue": 0.0,
    "augmentation.saturation": 0.0,
    "augmentation.photometric_distort": 0.5,
    "augmentation.iou_crop": 1.0,
}

_TINYDET = {
    **_DISTORTION,
    "epochs": 240.0,
    "batch_size": 256,
    "optimizer": "sgd",
    "learning_rate": 0.35,
    "momentum": 0.9,
    "weight_decay": 1e-5,
    "final_share": 1e-5 / 0.35,
    "clip_norm": 35.0,
    "ema_decay": 0.0,
    "precision": "float32",
    "schedule.decay_from_start": True,
    "schedule.decay_by_epoch": True,
    "schedule.warmup_steps": 500,
    "schedule.warmup_start": 1 / 3,
    "update.nesterov": False,
    "update.decay_all": True,
    "augmentation.zoom_out": 1.0,
    "augmentation.zoom_out_max": 4.0,
    "augmentation.distort_hue": 0.05,
    "augmentation.channel_shuffle": 0.5,
    "suppression.iou": 0.5,
    "suppression.soft_nms": True,
    "suppression.candidate_score": 0.01,
}
_TINYDET_SOURCE = "TinyDet: hustvl/TinyDet, commit a7b40cf, mmdetection 1.x"
_TINYDET_NOTES = (
    "The source states {} images a GPU but not the number of GPUs; 8 are assumed.",
    "The source starts from a backbone trained on ImageNet and synchronizes batch norm over the GPUs.",
)

_SSD = {
    **_DISTORTION,
    "optimizer": "sgd",
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "final_share": 0.0,
    "clip_norm": 1e9,
    "ema_decay": 0.0,
    "precision": "float32",
    "update.nesterov": False,
    "update.decay_all": True,
    "augmentation.zoom_out": 0.6,
    "augmentation.zoom_out_max": 4.0,
    "augmentation.crop_first": True,
    "augmentation.distort_hue": 0.1,
    "suppression.iou": 0.6,
    "suppression.score": 0.01,
    "suppression.max_detections": 1000,
    "suppression.max_per_class": 100,
}
_SSD_SOURCE = "SSD for small objects: burhanmudassar/small_object_detection, commit 55b6022, fine-tuned rows"
_SSD_NOTES = (
    "The source starts from the backbone of an SSD that was trained on COCO.",
    "The gradient is not clipped: clip_norm is larger than any norm.",
    "The source has no limit of the boxes of an image; here 1,000 enter suppression. For their IoU it adds a pixel to "
    "the sides of boxes.",
    "Epochs are those of the schedule; the source tests epochs that were chosen by hand.",
)


def _add(name: str, settings: Mapping[str, Any], source: str, *notes: str) -> None:
    RECIPES.add(name, Recipe(name=name, settings=settings, source=source, notes=notes))


_add("default", {}, "PyramidNAS")
_add("ultralytics", _YOLO, f"{_ULTRALYTICS}, its defaults with SGD", *_YOLO_NOTES)
_add(
    "yolov8-small",
    {
        **_YOLO,
        "epochs": 1000.0,
        "batch_size": 4,
        "momentum": 0.9,
        "patience": 150,
        "schedule.warmup_bias_rate": 0.0,
    },
    f"YOLOv8 for small objects: DmitriyKras/YOLOv8-for-small-objects, commit d8500ee, {_ULTRALYTICS}",
    "4 images a batch is that of the text; the command of the repository has 2.",
    *_YOLO_NOTES,
)
_add(
    "sn2-yolo",
    {**_YOLO, "epochs": 400.0, "batch_size": 64, "patience": 50},
    "SN2-YOLO: AlanLi1997/rethinking-fpn, commit 39f5477, ultralytics 8.0.8",
    "The script in the folder of the model is meant; that of the root has 200 epochs and 16 images a batch.",
    *_YOLO_NOTES,
)
_add(
    "so-det",
    {**_YOLO, "epochs": 200.0},
    f"SO-Det: magic524/SO-Det, commit 7cca469, which states no recipe; the defaults of {_ULTRALYTICS}",
    "Epochs and batch are those of the later fork magic524/ultralytics, commit 60bad5f1.",
    *_YOLO_NOTES,
)
_add("tinydet", _TINYDET, f"{_TINYDET_SOURCE}, S and M", _TINYDET_NOTES[0].format(32), *_TINYDET_NOTES[1:])
_add(
    "tinydet-l",
    {**_TINYDET, "batch_size": 64, "learning_rate": 0.18, "final_share": 1e-5 / 0.18},
    f"{_TINYDET_SOURCE}, L",
    _TINYDET_NOTES[0].format(8),
    *_TINYDET_NOTES[1:],
)
_add(
    "ssd",
    {**_SSD, "epochs": 100.0, "batch_size": 24, "learning_rate": 1e-3, "warmup": 0.0},
    f"{_SSD_SOURCE}, MobileNetV1",
    *_SSD_NOTES,
)
_add(
    "ssd-vgg",
    {
        **_SSD,
        "epochs": 60.0,
        "batch_size": 16,
        "learning_rate": 4e-3,
        "schedule.warmup_epochs": 5.0,
        "schedule.warmup_start": 1.0,
    },
    f"{_SSD_SOURCE}, VGG",
    *_SSD_NOTES,
)
