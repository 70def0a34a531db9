"""Matching of anchors to objects by IoU, for the SSD and the two-stage head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from search_space.heads.box_coding import decode, encode
from trainers.assigners import Objects, rows_of
from trainers.boxes import coverage_matrix, iou_matrix

NOTHING = -1
"""The object index of an anchor without an object."""
IGNORED_SHARE = 0.5
"""Share of the area of a box from which it is in an ignored region, as in the evaluation at an IoU of 0.5."""
MIN_SIDE_PX = 0.1
OFFSET_SCALES = (0.1, 0.1, 0.2, 0.2)
"""Divisors that bring typical offsets near 1: the variances of SSD, the standard deviations of the second stage of
Faster R-CNN."""


@dataclass(frozen=True, kw_only=True)
class AnchorMatch:
    """The object that each anchor of one image has to predict."""

    objects: Tensor
    """`(A,)` rows of the objects of the image, NOTHING for anchors without an object."""
    overlap: Tensor
    """`(A,)` IoU with the object that the anchor overlaps most; 0 without objects."""

    @property
    def positive(self) -> Tensor:
        """`(A,)`: whether an anchor has an object."""
        return self.objects != NOTHING


@torch.no_grad()
def match_anchors(
    anchors: Tensor, boxes: Tensor, *, positive: float, least: float = 0.0, all_ties: bool = False
) -> AnchorMatch:
    """Matches anchors `(A, 4)` to the objects `(G, 4)` of an image; both are x1, y1, x2, y2 in px.

    An anchor is matched to the object with the highest IoU if that is at least `positive`. In addition, each object is
    matched to its best anchor if their IoU is above 0 and at least `least`.

    Args:
        anchors: the anchors.
        boxes: the objects.
        positive: see above.
        least: see above.
        all_ties: how anchors with equal IoU are treated. False, as in SSD: the first of them is the best anchor, and an
            anchor that is the best of several objects is matched to the last one. True, as in the two-stage head: all
            are matched, and an anchor that is the best of several objects to the one with the highest IoU.
    """
    if len(anchors) == 0 or len(boxes) == 0:
        zeros = anchors.new_zeros(len(anchors))
        return AnchorMatch(objects=torch.full_like(zeros, NOTHING, dtype=torch.long), overlap=zeros)
    table = iou_matrix(anchors, boxes)
    overlap, objects = table.max(dim=1)
    objects = objects.masked_fill(overlap < positive, NOTHING)
    forced = _all_best(table, least) if all_ties else _one_best(table, least)
    return AnchorMatch(objects=torch.where(forced != NOTHING, forced, objects), overlap=overlap)


def _all_best(table: Tensor, least: float) -> Tensor:
    """Returns the object `(A,)` of each anchor that is, or ties with, the best of an object; `table` is `(A, G)`."""
    best = table.amax(dim=0)
    forced = table.masked_fill((table != best) | (best < least), 0.0).max(dim=1)
    return forced.indices.masked_fill(forced.values <= 0, NOTHING)


def _one_best(table: Tensor, least: float) -> Tensor:
    """Returns the object `(A,)` of each anchor that is the first best one of an object; `table` is `(A, G)`."""
    rows = table.argmax(dim=0)  # the first of equal ones
    best = table.amax(dim=0)
    numbers = torch.arange(len(rows), device=rows.device).masked_fill((best <= 0) | (best < least), NOTHING)
    return torch.full_like(table[:, 0], NOTHING, dtype=torch.long).scatter_reduce(0, rows, numbers, "amax")


@torch.no_grad()
def ignored_classes(boxes: Tensor, ignored: Objects, image: int, num_classes: int) -> Tensor:
    """Returns which classes are ignored at `boxes` `(A, 4)` px because of ignored regions: `(A, num_classes)`."""
    regions, labels = of_image(ignored, image)
    inside = coverage_matrix(boxes, regions) >= IGNORED_SHARE
    applies = (labels[:, None] < 0) | (labels[:, None] == torch.arange(num_classes, device=labels.device))
    return inside.float() @ applies.float() > 0  # counts the regions per box and class


def of_image(objects: Objects, image: int) -> tuple[Tensor, Tensor]:
    """Returns the boxes `(G, 4)` and labels `(G,)` of one image of a batch."""
    rows = rows_of(objects.images == image)
    return objects.boxes[rows], objects.labels[rows]


def class_entropy(logits: Tensor, found: AnchorMatch, labels: Tensor, masked: Tensor) -> Tensor:
    """Returns the cross-entropy `(A,)` of each box with the class of its object, or with the background.

    Args:
        logits: `(A, classes + 1)`, background first.
        found: the object of each box.
        labels: `(G,)` of the objects of the image.
        masked: `(A, classes)`: classes that are excluded from the softmax of background boxes.
    """
    targets = torch.cat((labels.new_zeros(1), labels + 1))[found.objects - NOTHING]
    masked = F.pad(masked & ~found.positive[:, None], (1, 0))
    return F.cross_entropy(logits.masked_fill(masked, -torch.inf), targets, reduction="none")


def to_offsets(boxes: Tensor, references: Tensor, scales: tuple[float, ...] = OFFSET_SCALES) -> Tensor:
    """Returns the scaled offsets `(..., 4)` of boxes from references, both x1, y1, x2, y2 px; see `box_coding`.

    Widths and heights are clamped to at least MIN_SIDE_PX, so that offsets are finite.
    """
    return encode(to_inclusive(_with_area(boxes)), to_inclusive(_with_area(references))) / boxes.new_tensor(scales)


def _with_area(boxes: Tensor) -> Tensor:
    return torch.cat((boxes[..., :2], torch.maximum(boxes[..., 2:], boxes[..., :2] + MIN_SIDE_PX)), dim=-1)


def from_offsets(offsets: Tensor, references: Tensor, scales: tuple[float, ...] = OFFSET_SCALES) -> Tensor:
    """Returns the boxes `(..., 4)` px at scaled offsets from references; the inverse of `to_offsets`."""
    return to_exclusive(decode(offsets * offsets.new_tensor(scales), to_inclusive(references)))


def to_inclusive(boxes: Tensor) -> Tensor:
    """Converts boxes `(..., 4)` to inclusive x2, y2 (the last pixel), the convention of proposals."""
    return boxes - boxes.new_tensor([0, 0, 1, 1])


def to_exclusive(boxes: Tensor) -> Tensor:
    """Converts boxes `(..., 4)` with inclusive x2, y2 to exclusive ones, one pixel further."""
    return boxes + boxes.new_tensor([0, 0, 1, 1])
