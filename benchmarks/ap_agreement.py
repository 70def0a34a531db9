"""Compares average precision on random detection sets with pycocotools: largest difference and ratio of speed.

Usage: python benchmarks/ap_agreement.py [--sets 1000] [--seed 0] [--images 580]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from trainers.data import Record
from trainers.data.dataset import EVERY_CLASS
from trainers.matching import COCO_IOUS, DetectionArrays, Floats, match
from trainers.precision import Precision, measure
from trainers.sizes import COCO_SIZES, EVERY_SIZE, SizeBin

COCO_BINS = (EVERY_SIZE, *COCO_SIZES)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Images with objects and made-up detections."""

    records: tuple[Record, ...]
    found: tuple[DetectionArrays, ...]
    num_classes: int

    @property
    def num_detections(self) -> int:
        return sum(len(each[1]) for each in self.found)


def random_case(seed: int) -> Case:
    """Returns a small set with crowds, equal scores, equal boxes, empty images and unused classes."""
    rng = np.random.default_rng(seed)
    num_classes, num_images = int(rng.integers(1, 5)), int(rng.integers(1, 7))
    made = [_random_image(rng, num_classes) for _ in range(num_images)]
    return Case(
        records=tuple(record for record, _ in made), found=tuple(found for _, found in made), num_classes=num_classes
    )


def _random_image(rng: np.random.Generator, num_classes: int) -> tuple[Record, DetectionArrays]:
    side = float(rng.choice((12, 40, 120)))
    boxes = _random_boxes(rng, int(rng.choice((0, 1, 4, 12))), side)
    ignored = _random_boxes(rng, int(rng.choice((0, 0, 1, 3))), 3 * side)
    record = Record(
        path=None,
        height=400,
        width=400,
        boxes=boxes,
        labels=rng.integers(0, num_classes, len(boxes)),
        ignored=ignored,
        ignored_labels=rng.integers(EVERY_CLASS, num_classes, len(ignored)),
    )
    sources = np.concatenate((boxes, ignored, _random_boxes(rng, 3, side)))
    number = int(rng.choice((0, 2, 10, 130)))
    near = sources[rng.integers(0, len(sources), number)]
    noise = rng.normal(0, rng.choice((0.0, 0.05, 0.3)) * side, near.shape)
    corners = (near + noise.round(int(rng.choice((0, 3))))).astype(np.float32)
    corners = np.concatenate(
        (np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])), 1
    )
    scores = rng.random(number).round(int(rng.choice((1, 6)))).astype(np.float32)
    return record, (corners, scores, rng.integers(0, num_classes, number))


def _random_boxes(rng: np.random.Generator, number: int, side: float) -> np.ndarray:
    corner = rng.uniform(0, 200, (number, 2)).round(1)
    return np.concatenate((corner, corner + rng.uniform(1, 2 * side, (number, 2)).round(0)), axis=1).astype(np.float32)


def large_case(num_images: int, seed: int, *, num_classes: int = 5, num_found: int = 100) -> Case:
    """Returns about the detections of a trained detector: most objects found, many false ones with low scores."""
    rng = np.random.default_rng(seed)
    records, found = [], []
    for _ in range(num_images):
        corner = rng.uniform(0, 600, (int(rng.integers(2, 15)), 2))
        boxes = np.concatenate((corner, corner + rng.uniform(6, 60, corner.shape)), axis=1).astype(np.float32)
        labels = rng.integers(0, num_classes, len(boxes))
        twice = np.concatenate((boxes, boxes)) + rng.normal(0, 2, (2 * len(boxes), 4))
        stray = rng.uniform(0, 600, (num_found - len(twice), 2))
        corners = np.concatenate((twice, np.concatenate((stray, stray + 20), axis=1))).astype(np.float32)
        scores = np.concatenate((rng.beta(4, 3, len(twice)), rng.beta(1, 8, len(stray)))).astype(np.float32)
        strays = rng.integers(0, num_classes, len(stray))
        ignored = np.array([[0, 0, 100, 100]], np.float32) if rng.random() < 0.2 else np.zeros((0, 4), np.float32)
        records.append(Record(path=None, height=640, width=640, boxes=boxes, labels=labels, ignored=ignored))
        found.append((corners, scores, np.concatenate((labels, labels, strays))))
    return Case(records=tuple(records), found=tuple(found), num_classes=num_classes)


def by_pycocotools(case: Case, bins: Sequence[SizeBin], ious: Sequence[float]) -> tuple[Floats, Floats]:
    """Returns average precision and recall by pycocotools, `(A, T, C)` each, nan without objects."""
    evaluation = COCOeval(iouType="bbox")
    evaluation.cocoGt = _coco(_truth(case.records, case.num_classes), case)
    evaluation.cocoDt = _coco(_results(case.found), case)
    evaluation.params.imgIds = list(range(len(case.records)))
    evaluation.params.catIds = list(range(case.num_classes))
    evaluation.params.areaRng = [[each.low, each.high] for each in bins]
    evaluation.params.areaRngLbl = [each.name for each in bins]
    evaluation.params.iouThrs = np.asarray(ious)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., -1]  # thresholds, recalls, classes, sizes
    recall = evaluation.eval["recall"][..., -1]
    average = np.where((precision < 0).any(axis=1), np.nan, precision.mean(axis=1))
    return average.transpose(2, 0, 1), np.where(recall < 0, np.nan, recall).transpose(2, 0, 1)


def _coco(annotations: list[dict[str, Any]], case: Case) -> COCO:
    coco = COCO()
    for number, annotation in enumerate(annotations, 1):  # an id of 0 would count as "unmatched"
        annotation["id"] = number
    coco.dataset = {
        "images": [{"id": index} for index in range(len(case.records))],
        "categories": [{"id": index} for index in range(case.num_classes)],
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
            annotations.append(_annotation(image, label, box, iscrowd=0))
        for box, label in zip(record.ignored, record.ignored_labels, strict=True):
            for each in range(num_classes) if label == EVERY_CLASS else (label,):
                annotations.append(_annotation(image, each, box, iscrowd=1))
    return annotations


def _results(found: Sequence[DetectionArrays]) -> list[dict[str, Any]]:
    return [
        _annotation(image, label, box, score=float(score), iscrowd=0)
        for image, (boxes, scores, labels) in enumerate(found)
        for box, score, label in zip(boxes, scores, labels, strict=True)
    ]


def by_us(case: Case, bins: Sequence[SizeBin], ious: Sequence[float]) -> Precision:
    """Returns the same figures by this project."""
    return measure(match(case.records, case.found, num_classes=case.num_classes, bins=bins, ious=ious))


def largest_difference(case: Case, bins: Sequence[SizeBin] = COCO_BINS, ious: Sequence[float] = COCO_IOUS) -> float:
    """Returns the largest difference of any average or recall; infinite if only one side has a value."""
    ours, theirs = by_us(case, bins, ious), by_pycocotools(case, bins, ious)
    worst = 0.0
    for mine, wanted in zip((ours.average, ours.recall), theirs, strict=True):
        if (np.isnan(mine) != np.isnan(wanted)).any():
            return float("inf")
        worst = max(worst, float(np.nan_to_num(np.abs(mine - wanted)).max(initial=0.0)))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=1000, help="random sets to compare")
    parser.add_argument("--seed", type=int, default=0, help="of the first set")
    parser.add_argument("--images", type=int, default=580, help="images of the timed set, 100 detections each")
    options = parser.parse_args()
    differences = [largest_difference(random_case(options.seed + index)) for index in range(options.sets)]
    print(f"{options.sets} random sets: largest difference of an average precision or recall {max(differences):.2e}")
    case = large_case(options.images, options.seed)
    seconds = {}
    for name, work in (("pycocotools", by_pycocotools), ("ours", by_us)):
        times = []
        for _ in range(3):
            started = time.perf_counter()
            work(case, COCO_BINS, COCO_IOUS)
            times.append(time.perf_counter() - started)
        seconds[name] = min(times)
    print(f"{options.images} images, {case.num_detections} detections, {case.num_classes} classes, best of three:")
    print(f"pycocotools {seconds['pycocotools']:.2f} s, ours {seconds['ours']:.3f} s, ", end="")
    print(f"ratio {seconds['pycocotools'] / seconds['ours']:.1f}; difference {largest_difference(case):.1e}")
    if max(differences) > 1e-6:
        raise SystemExit(f"they differ at seed {options.seed + int(np.argmax(differences))}")


if __name__ == "__main__":
    main()
