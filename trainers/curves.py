"""Precision-recall curves, precision and recall by score threshold, and the threshold with the best F1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainers.matching import Floats, Matches
from trainers.precision import interpolated, needed_objects

CURVE_IOU = 0.5
EVERY_CLASS_NAME = "all"


@dataclass(frozen=True, kw_only=True)
class BestF1:
    """The score threshold at which the harmonic mean of precision and recall is highest; nan without objects."""

    f1: float = math.nan
    score_threshold: float = math.nan
    precision: float = math.nan
    recall: float = math.nan


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Precision and recall by score threshold, for one class or for all detections together."""

    name: str
    num_objects: int
    scores: Floats
    """`(P,)`: the distinct scores, falling, used as thresholds: detections with at least this score are reported."""
    precision: Floats
    """`(P,)`: share of the reported detections that are true positives."""
    recall: Floats
    """`(P,)`: share of the objects that are detected."""
    at_recalls: Floats
    """`(101,)`: interpolated precision, the best at recall 0, 0.01 .. 1 or above."""

    @property
    def f1(self) -> Floats:
        """Harmonic mean of precision and recall `(P,)`."""
        total = self.precision + self.recall
        return np.divide(2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)

    def best_f1(self) -> BestF1:
        """Returns the threshold with the highest F1; of equal ones the highest threshold."""
        if not self.num_objects or not self.recall.any():  # all thresholds are equal
            return BestF1(f1=0.0 if self.num_objects else math.nan)
        best = int(self.f1.argmax())
        values = (float(each[best]) for each in (self.f1, self.scores, self.precision, self.recall))
        return BestF1(**dict(zip(("f1", "score_threshold", "precision", "recall"), values, strict=True)))

    def at(self, thresholds: Floats) -> tuple[Floats, Floats, Floats]:
        """Returns precision, recall and F1 at each of the rising score `thresholds`.

        Precision is nan if nothing is reported.
        """
        reported = np.searchsorted(-self.scores, -thresholds, side="right") - 1
        none = reported < 0
        if not len(self.scores):
            return np.full(len(thresholds), math.nan), np.zeros(len(thresholds)), np.zeros(len(thresholds))
        precision, recall, f1 = (np.where(none, 0.0, each[reported]) for each in (self.precision, self.recall, self.f1))
        return np.where(none, math.nan, precision), recall, f1


def curve(matches: Matches, label: int | None = None, *, name: str = EVERY_CLASS_NAME, iou: float = CURVE_IOU) -> Curve:
    """Returns the curve of one class, or of all detections and objects together, over all sizes.

    Args:
        matches: at the COCO thresholds, with every size as the first size.
        label: the class; None is all classes.
        name: of the class.
        iou: IoU from which a detection is a true positive.
    """
    threshold = matches.at_iou(iou)
    chosen = matches.counted[0, threshold].copy()
    objects = matches.object_sizes[0]
    if label is not None:
        chosen &= matches.labels == label
        objects = objects & (matches.object_labels == label)
    num_objects, right, scores = int(objects.sum()), matches.right[0, threshold][chosen], matches.scores[chosen]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)) if len(scores) else np.zeros(0, np.int64)
    found = np.cumsum(right)[last]
    known = num_objects > 0
    steps = (
        interpolated(right, np.ones_like(right), needed_objects(num_objects))[0] if known else np.full(101, math.nan)
    )
    return Curve(
        name=name,
        num_objects=num_objects,
        scores=scores[last],
        precision=found / (last + 1),
        recall=found / num_objects if known else np.full(len(last), math.nan),
        at_recalls=steps,
    )


def all_curves(matches: Matches, classes: Sequence[str]) -> list[Curve]:
    """Returns the curve of all classes together, then that of each class."""
    return [curve(matches), *(curve(matches, label, name=name) for label, name in enumerate(classes))]
