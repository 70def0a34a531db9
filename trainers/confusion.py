"""The confusion matrix of detections: confused classes, missed objects and false positives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainers.matching import Integers, Matches, overlaps

BACKGROUND = "background"


@dataclass(frozen=True, kw_only=True, eq=False)
class Confusion:
    """Counts of objects and detections; the last row and column are the background."""

    names: tuple[str, ...]
    """The classes, then `background`."""
    counts: Integers
    """`(C + 1, C + 1)`: rows are true classes, columns detected classes. Missed objects are in the last column, false
    positives in the last row."""
    iou: float
    score_threshold: float


def confuse(matches: Matches, classes: Sequence[str], *, score_threshold: float, iou: float = 0.5) -> Confusion:
    """Counts each object once and each detection once, except detections in ignored regions.

    True positives are those of average precision. The remaining detections of an image, highest score first, are then
    matched across classes to the remaining object with the highest IoU.
    """
    num_classes, threshold = len(classes), matches.at_iou(iou)
    counts = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    reported = matches.counted[0, threshold] & (matches.scores >= score_threshold)
    right = reported & matches.right[0, threshold]
    labels = matches.labels[right]
    np.add.at(counts, (labels, labels), 1)
    free = np.ones(len(matches.object_labels), bool)
    free[matches.objects[threshold, right]] = False
    wrong = np.flatnonzero(reported & ~right)
    taken = _across_classes(matches, wrong, np.flatnonzero(free), iou)
    for detection in wrong.tolist():
        there = matches.object_labels[taken[detection]] if detection in taken else num_classes
        counts[there, matches.labels[detection]] += 1
    free[list(taken.values())] = False
    counts[:num_classes, num_classes] += np.bincount(matches.object_labels[free], minlength=num_classes)
    return Confusion(names=(*classes, BACKGROUND), counts=counts, iou=iou, score_threshold=score_threshold)


def _across_classes(matches: Matches, detections: Integers, objects: Integers, iou: float) -> dict[int, int]:
    """Returns the remaining object that each of the false-positive `detections` is matched to, if there is one."""
    taken: dict[int, int] = {}
    in_image = {
        int(image): objects[matches.object_images[objects] == image]
        for image in set(matches.object_images[objects].tolist())
    }
    for detection in detections.tolist():
        here = in_image.get(int(matches.images[detection]))
        if here is None or not len(here):
            continue
        shared = overlaps(matches.corners[[detection]], matches.object_corners[here], np.zeros(len(here), bool))[0]
        best = int(shared.argmax())
        if shared[best] >= iou:
            taken[detection] = int(here[best])
            in_image[int(matches.images[detection])] = np.delete(here, best)
    return taken
