"""Average precision by the COCO rules, from matched detections."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from trainers.data.dataset import Record
from trainers.matching import COCO_IOUS, MAX_DETECTIONS, DetectionArrays, Flags, Floats, Integers, Matches, match
from trainers.sizes import COCO_SIZES, EVERY_SIZE, SizeBins

RECALLS = np.linspace(0.0, 1.0, 101)
"""Recalls at which precision is interpolated."""
Value = TypeVar("Value", float, Floats)


def accuracy(ap_small: Value, ap50: Value, *, has_small: bool) -> Value:
    """Returns what a search maximizes: the mean of AP of small objects and AP50, or AP50 alone.

    Args:
        ap_small: AP of small objects, a number or one value per resample `(B,)`.
        ap50: AP at IoU 0.5, of the same shape.
        has_small: whether the data set has small objects. The data set decides, not the resample: a resample without
            small objects has no accuracy.
    """
    return 0.5 * ap_small + 0.5 * ap50 if has_small else ap50


@dataclass(frozen=True, kw_only=True, eq=False)
class Precision:
    """Average precision and recall by size, threshold and class; nan without objects of that class and size."""

    matches: Matches
    average: Floats
    """Average precision `(A, T, C)`."""
    recall: Floats
    """Share of the objects that are detected at any score `(A, T, C)`."""
    num_objects: Integers
    """`(A, C)`."""

    def mean(self, size: int = 0, iou: float | None = None, label: int | None = None) -> float:
        """Returns the average precision over all COCO thresholds, or at one `iou`, over all classes or of one."""
        return mean_of(self._chosen(self.average, size, iou, label))

    def mean_recall(self, size: int = 0, label: int | None = None) -> float:
        """Returns the recall averaged over all COCO thresholds, over all classes or of one."""
        return mean_of(self._chosen(self.recall, size, None, label))

    def _chosen(self, table: Floats, size: int, iou: float | None, label: int | None) -> Floats:
        ious = [self.matches.at_iou(each) for each in (COCO_IOUS if iou is None else (iou,))]
        return np.asarray(table[size][ious][:, slice(None) if label is None else [label]])


def mean_of(values: Floats) -> float:
    """Returns the mean of the values that are not nan; nan if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def match_sizes(
    records: Sequence[Record],
    found: Sequence[DetectionArrays],
    classes: Sequence[str],
    extra: SizeBins | None = None,
    *,
    max_detections: int = MAX_DETECTIONS,
) -> Matches:
    """Matches at the COCO thresholds and sizes, and at those of `extra`, which follow all, small, medium, large.

    `max_detections` is per class and image.
    """
    bins = (EVERY_SIZE, *COCO_SIZES, *(extra.bins if extra else ()))
    ious = (*COCO_IOUS, *(extra.extra_ious if extra else ()))
    return match(records, found, num_classes=len(classes), bins=bins, ious=ious, max_detections=max_detections)


def measure(matches: Matches) -> Precision:
    """Returns the average precision and recall of every class, size and threshold."""
    num_sizes, num_ious, _ = matches.right.shape
    average = np.full((num_sizes, num_ious, matches.num_classes), math.nan)
    recall = average.copy()
    num_objects = count_objects(matches)
    for label, rows in by_class(matches):
        right, counted = matches.right[:, :, rows], matches.counted[:, :, rows]
        for size in np.flatnonzero(num_objects[:, label]):
            needed = needed_objects(int(num_objects[size, label]))
            for iou in range(num_ious):
                precision, num_found = interpolated(right[size, iou], counted[size, iou], needed)
                average[size, iou, label] = precision.mean()
                recall[size, iou, label] = num_found / num_objects[size, label]
    return Precision(matches=matches, average=average, recall=recall, num_objects=num_objects)


def by_class(matches: Matches) -> Iterator[tuple[int, Integers]]:
    """Yields each class with the indices of its detections, best first."""
    order = np.argsort(matches.labels, kind="stable")
    ends = np.cumsum(np.bincount(matches.labels, minlength=matches.num_classes))
    yield from enumerate(np.split(order, ends[:-1]))


def count_objects(matches: Matches) -> Integers:
    """Returns the number of objects by size and class, `(A, C)`."""
    counts = [
        np.bincount(matches.object_labels[of_size], minlength=matches.num_classes) for of_size in matches.object_sizes
    ]
    return np.stack(counts)


def needed_objects(num_objects: int) -> Integers:
    """Returns the number of objects, at least one, that must be detected to reach each of the recalls `(101,)`."""
    reached = np.arange(num_objects + 1) / num_objects
    return np.maximum(np.searchsorted(reached, RECALLS, side="left"), 1)


def interpolated(right: Flags, counted: Flags, needed: Integers) -> tuple[Floats, int]:
    """Returns the interpolated precision at the recalls `(101,)` and the number of detected objects.

    Interpolated precision is the best precision at that recall or above.

    Args:
        right: `(D,)` true positives, best score first.
        counted: `(D,)` true and false positives.
        needed: from `needed_objects`.
    """
    at = np.flatnonzero(right)
    if not len(at):
        return np.zeros(len(needed)), 0
    precision = np.arange(1, len(at) + 1) / np.cumsum(counted)[at]
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return np.where(needed <= len(at), best[np.minimum(needed, len(at)) - 1], 0.0), len(at)


def average_precision(
    records: Sequence[Record], found: Sequence[DetectionArrays], classes: Sequence[str]
) -> dict[str, Any]:
    """Returns the fields of a `Score` for the detections in each of the records."""
    return score_fields(measure(match_sizes(records, found, classes)), classes)


def score_fields(precision: Precision, classes: Sequence[str]) -> dict[str, Any]:
    """Returns the fields of a `Score` that are averages."""
    names = [f"ap_{each.name}" for each in COCO_SIZES]
    return {
        "ap": precision.mean(),
        "ap50": precision.mean(iou=0.5),
        "ap75": precision.mean(iou=0.75),
        **{name: precision.mean(size) for size, name in enumerate(names, 1)},
        "recall": precision.mean_recall(),
        "num_images": precision.matches.num_images,
        "num_objects": int(precision.num_objects[0].sum()),
        "per_class": {name: _of_class(precision, label) for label, name in enumerate(classes)},
        "bins": {each.name: _of_bin(precision, size) for size, each in extra_bins(precision.matches)},
    }


def extra_bins(matches: Matches) -> list[tuple[int, Any]]:
    """Returns the size bins in addition to those of COCO, with their indices."""
    return list(enumerate(matches.bins))[1 + len(COCO_SIZES) :]


def _of_class(precision: Precision, label: int) -> dict[str, float]:
    return {
        "ap": precision.mean(label=label),
        "ap50": precision.mean(iou=0.5, label=label),
        "ap75": precision.mean(iou=0.75, label=label),
        "ap_small": precision.mean(1, label=label),
        "recall": precision.mean_recall(label=label),
        "num_objects": int(precision.num_objects[0, label]),
    }


def _of_bin(precision: Precision, size: int) -> dict[str, float]:
    matches = precision.matches
    extra = [iou for iou in matches.ious if iou not in COCO_IOUS]
    return {
        "low_px": matches.bins[size].low_px,
        "high_px": matches.bins[size].high_px,
        "ap": precision.mean(size),
        **{f"ap{round(100 * iou)}": precision.mean(size, iou=iou) for iou in sorted((*extra, 0.5, 0.75))},
        "num_objects": int(precision.num_objects[size].sum()),
    }
