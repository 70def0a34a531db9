"""Average precision by pycocotools, quietly and without files."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from trainers.data.dataset import EVERY_CLASS, Record

Found = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Boxes `(N, 4)` as x1, y1, x2, y2 in pixels, scores `(N,)` and labels `(N,)` of one image."""


def average_precision(records: Sequence[Record], found: Sequence[Found], classes: Sequence[str]) -> dict[str, Any]:
    """Returns the fields of a `Score` for what was found in each of the records."""
    evaluation = COCOeval(iouType="bbox")
    evaluation.cocoGt = _coco(_truth(records, len(classes)), len(records), len(classes))
    evaluation.cocoDt = _coco(_results(found), len(records), len(classes))
    evaluation.params.imgIds = list(range(len(records)))
    evaluation.params.catIds = list(range(len(classes)))
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    # IoU thresholds x recall x class x (all, small, medium, large) x detections an image
    table = np.asarray(evaluation.eval["precision"])[..., -1]
    return {
        "ap": _mean(table[:, :, :, 0]),
        "ap50": _mean(table[0, :, :, 0]),
        "ap_small": _mean(table[:, :, :, 1]),
        "ap_medium": _mean(table[:, :, :, 2]),
        "ap_large": _mean(table[:, :, :, 3]),
        "num_images": len(records),
        "per_class": {
            name: {"ap": _mean(table[:, :, index, 0]), "ap50": _mean(table[0, :, index, 0])}
            for index, name in enumerate(classes)
        },
    }


def _mean(precision: np.ndarray) -> float:
    """Averages the entries that exist; pycocotools marks a class without objects by -1."""
    valid = precision[precision > -1]
    return float(valid.mean()) if valid.size else math.nan


def _coco(annotations: list[dict[str, Any]], num_images: int, num_classes: int) -> COCO:
    coco = COCO()
    for number, annotation in enumerate(annotations, 1):  # an id of 0 would count as "unmatched"
        annotation["id"] = number
    coco.dataset = {
        "images": [{"id": index} for index in range(num_images)],
        "categories": [{"id": index} for index in range(num_classes)],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _annotation(image: int, label: int, box: Sequence[float], **more: Any) -> dict[str, Any]:
    x1, y1, x2, y2 = (float(value) for value in box)
    area = (x2 - x1) * (y2 - y1)
    return {"image_id": image, "category_id": int(label), "bbox": [x1, y1, x2 - x1, y2 - y1], "area": area, **more}


def _truth(records: Sequence[Record], num_classes: int) -> list[dict[str, Any]]:
    annotations = []
    for image, record in enumerate(records):
        for box, label in zip(record.boxes, record.labels, strict=True):
            annotations.append(_annotation(image, label, box, iscrowd=0, ignore=0))
        for box, label in zip(record.ignored, record.ignored_labels, strict=True):
            for each in range(num_classes) if label == EVERY_CLASS else (label,):
                annotations.append(_annotation(image, each, box, iscrowd=1, ignore=1))
    return annotations


def _results(found: Sequence[Found]) -> list[dict[str, Any]]:
    return [
        _annotation(image, label, box, score=float(score), iscrowd=0)
        for image, (boxes, scores, labels) in enumerate(found)
        for box, score, label in zip(boxes, scores, labels, strict=True)
    ]
