"""Decoding that all heads have in common."""

from __future__ import annotations

import torch
from torch import Tensor

from search_space.heads.nms import soft_suppress, suppress
from trainers.assigners import rows_of
from trainers.heads.head_training import DetectionLimits, DetectionTensors

NUM_CANDIDATES = 1000
"""Number of (box, class) pairs per image with the highest scores that enter NMS."""
LEAST_SCORE = 0.001
"""Score below which soft-NMS drops a box."""
NUM_READ = 300
"""Number of points, and of (point, class) pairs, per image with the highest scores that are read without NMS."""


def best_pairs(table: Tensor, *, one_class: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Returns values, rows and classes of the best (row, class) pairs of the `(A, C)` table of one image.

    Args:
        table: logits or scores.
        one_class: only the best class of each row is a candidate.
    """
    if one_class:
        table = table.masked_fill(table < table.amax(dim=1, keepdim=True), -torch.inf)
    values, index = table.flatten().topk(min(NUM_CANDIDATES, table.numel()))
    return values, index // table.shape[1], index % table.shape[1]


def top_pairs(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns what a one-to-one head found: the best (point, class) pairs of the points with the best class scores.

    YOLOv10 (Wang et al., NeurIPS 2024) and YOLO26 read their outputs so. The shapes depend on that of `logits` alone.

    Args:
        logits: `(B, A, num_classes)`.

    Returns:
        Points, class indices and scores in 0..1, each `(B, N)`, best first.
    """
    points, labels, values = _top_of_points(logits)
    return points, labels, values.sigmoid()


def _top_of_points(table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns points, class indices and values of `top_pairs`; the table `(B, A, num_classes)` has logits or scores."""
    num_points, num_classes = min(NUM_READ, table.shape[1]), table.shape[2]
    points = table.amax(dim=2).topk(num_points, dim=1).indices
    values, pairs = rows_at(table, points).flatten(1).topk(min(NUM_READ, num_points * num_classes), dim=1)
    places = torch.div(pairs, num_classes, rounding_mode="trunc")  # TensorRT 8.2 has no remainder
    return points.gather(1, places), pairs - places * num_classes, values


def read_without_nms(boxes: Tensor, scores: Tensor, limits: DetectionLimits) -> list[DetectionTensors]:
    """Returns the detections of each image from the result of `HeadTraining.table` of a one-to-one head.

    Args:
        boxes: `(B, A, 4)` px.
        scores: `(B, A, num_classes)` in 0..1.
        limits: which detections are reported.
    """
    points, labels, best = _top_of_points(scores)
    tops = zip(rows_at(boxes, points), best, labels, points, strict=True)
    return [kept_without_nms(*each, limits) for each in tops]


def kept_without_nms(
    boxes: Tensor, scores: Tensor, labels: Tensor, points: Tensor, limits: DetectionLimits
) -> DetectionTensors:
    """Returns the detections of one image from what a one-to-one head found, best first.

    Args:
        boxes: `(N, 4)` px.
        scores: `(N,)` in 0..1.
        labels: `(N,)`.
        points: `(N,)`: equal where the box is the same.
        limits: which detections are reported.
    """
    good = scores >= limits.score_threshold
    if limits.one_class:
        good &= is_first(points)
    keep = within_limits(rows_of(good), labels, limits)
    return boxes[keep], scores[keep], labels[keep]


def rows_at(table: Tensor, rows: Tensor) -> Tensor:
    """Returns the rows `(B, N, C)` of a table `(B, A, C)` at the indices `(B, N)`."""
    num_images, num_rows = int(table.shape[0]), int(table.shape[1])  # constants in a traced graph
    return table.flatten(0, 1)[rows + torch.arange(num_images, device=rows.device)[:, None] * num_rows]


def is_first(values: Tensor) -> Tensor:
    """Returns where an element of `(N,)` differs from all before it."""
    return ~(values[:, None] == values).tril(-1).any(dim=1)


def read_table(boxes: Tensor, scores: Tensor, limits: DetectionLimits) -> list[DetectionTensors]:
    """Returns the detections of each image from the result of `HeadTraining.table`, after NMS within each class.

    Args:
        boxes: `(B, N, 4)` px.
        scores: `(B, N, num_classes)` in 0..1.
        limits: which detections are reported.
    """
    return [_read_one(*tables, limits) for tables in zip(boxes, scores, strict=True)]


def _read_one(boxes: Tensor, table: Tensor, limits: DetectionLimits) -> DetectionTensors:
    scores, places, labels = best_pairs(table, one_class=limits.one_class)
    good = scores >= limits.lowest_candidate
    boxes, scores, labels = boxes[places[good]], scores[good], labels[good]
    return suppressed(boxes, scores, labels, limits)


def suppressed(boxes: Tensor, scores: Tensor, labels: Tensor, limits: DetectionLimits) -> DetectionTensors:
    """Returns what suppression leaves of the detections of an image, best first: within each class, or of all classes.

    Args:
        boxes: `(N, 4)` px.
        scores: `(N,)` in 0..1.
        labels: `(N,)`.
        limits: the kind of suppression, and how many detections are kept.
    """
    groups = torch.zeros_like(labels) if limits.agnostic else labels
    if limits.soft_nms:
        scores = _lowered(boxes, scores, groups, limits)
        keep = scores.argsort(descending=True, stable=True)
        keep = keep[scores[keep] >= max(limits.score_threshold, LEAST_SCORE)]
    else:
        keep = suppress(boxes, scores, groups, iou_threshold=limits.nms_iou)
    keep = within_limits(keep, labels, limits)
    return boxes[keep], scores[keep], labels[keep]


def within_limits(rows: Tensor, labels: Tensor, limits: DetectionLimits) -> Tensor:
    """Returns the first of `rows` `(n,)` of detections with `labels` `(N,)`, as many as the limits allow."""
    if limits.max_per_class is not None:
        same = labels[rows, None] == labels[rows]
        rows = rows[same.tril().sum(dim=1) <= limits.max_per_class]
    return rows[: limits.max_detections]


def _lowered(boxes: Tensor, scores: Tensor, groups: Tensor, limits: DetectionLimits) -> Tensor:
    """Returns the scores `(N,)` after soft-NMS within groups `(N,)`."""
    classes, column = torch.unique(groups, return_inverse=True)
    table = scores.new_zeros(len(scores), max(1, len(classes)))
    rows = torch.arange(len(scores), device=scores.device)
    table[rows, column] = scores
    least = max(limits.score_threshold, LEAST_SCORE)
    lowered = soft_suppress(boxes[None], table[None], iou_threshold=limits.nms_iou, least_score=least)[0]
    return lowered[rows, column]
