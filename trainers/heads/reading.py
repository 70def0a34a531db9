"""What is common to reading the output of all heads."""

from __future__ import annotations

import torch
from torch import Tensor

from search_space.heads.nms import suppress
from trainers.heads.head_training import DetectionLimits, DetectionTensors

NUM_CANDIDATES = 1000
"""(Place, class) pairs of an image that are looked at, the best by score."""


def best_pairs(table: Tensor, *, one_class: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the values of the best (place, class) pairs of one image's `(A, C)` table, their places and classes.

    Args:
        table: logits or scores.
        one_class: each place gives its best class only.
    """
    if one_class:
        table = table.masked_fill(table < table.amax(dim=1, keepdim=True), -torch.inf)
    values, index = table.flatten().topk(min(NUM_CANDIDATES, table.numel()))
    return values, index // table.shape[1], index % table.shape[1]


def read_table(boxes: Tensor, scores: Tensor, limits: DetectionLimits) -> list[DetectionTensors]:
    """Returns what each image holds, from what `HeadTraining.table` gives: the best boxes, suppressed class by class.

    Args:
        boxes: `(B, N, 4)` px.
        scores: `(B, N, num_classes)` in 0..1.
        limits: what is reported.
    """
    return [_read_one(*tables, limits) for tables in zip(boxes, scores, strict=True)]


def _read_one(boxes: Tensor, table: Tensor, limits: DetectionLimits) -> DetectionTensors:
    scores, places, labels = best_pairs(table, one_class=limits.one_class)
    good = scores >= limits.score_threshold
    boxes, scores, labels = boxes[places[good]], scores[good], labels[good]
    keep = suppress(boxes, scores, labels, iou_threshold=limits.iou_threshold)[: limits.max_detections]
    return boxes[keep], scores[keep], labels[keep]
