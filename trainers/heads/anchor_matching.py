"""Which anchors learn which object, by overlap alone: what the SSD and the two-stage head have in common."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from search_space.heads.box_coding import decode, encode
from trainers.assigners import Objects
from trainers.boxes import coverage_matrix, iou_matrix

NOTHING = -1
"""The object of an anchor that learns none."""
IGNORED_SHARE = 0.5
"""A box is in an ignored region with this share of its area, as the evaluation has it at an IoU of 0.5."""
MIN_SIDE_PX = 0.1
OFFSET_SCALES = (0.1, 0.1, 0.2, 0.2)
"""What offsets are divided by, so that those of usual errors are near 1: the variances of SSD, the standard deviations
of Faster R-CNN's second stage."""


@dataclass(frozen=True, kw_only=True)
class AnchorMatch:
    """What each of the anchors of one image learns."""

    objects: Tensor
    """`(A,)` rows of the image's objects, NOTHING where an anchor learns none."""
    overlap: Tensor
    """`(A,)` IoU with the object that the anchor overlaps most; 0 without objects."""

    @property
    def positive(self) -> Tensor:
        """`(A,)`: whether an anchor learns an object."""
        return self.objects != NOTHING


@torch.no_grad()
def match_anchors(anchors: Tensor, boxes: Tensor, *, positive: float, least: float = 0.0) -> AnchorMatch:
    """Matches anchors `(A, 4)` to the objects `(G, 4)` of an image; both are x1, y1, x2, y2 in px.

    An anchor learns the object that it overlaps most, if by an IoU of `positive` or more. Besides, the anchor that
    overlaps an object most of all learns it in any case, if their IoU is above 0 and at least `least`; equally good
    ones do so together, and one that is the best of several objects learns that which it overlaps most.
    """
    if len(anchors) == 0 or len(boxes) == 0:
        zeros = anchors.new_zeros(len(anchors))
        return AnchorMatch(objects=torch.full_like(zeros, NOTHING, dtype=torch.long), overlap=zeros)
    table = iou_matrix(anchors, boxes)
    overlap, objects = table.max(dim=1)
    objects = objects.masked_fill(overlap < positive, NOTHING)
    best = table.amax(dim=0)
    owed = table.masked_fill((table != best) | (best < least), 0.0).max(dim=1)
    return AnchorMatch(objects=torch.where(owed.values > 0, owed.indices, objects), overlap=overlap)


@torch.no_grad()
def ignored_classes(boxes: Tensor, ignored: Objects, image: int, num_classes: int) -> Tensor:
    """Returns which classes an image's ignored regions silence at `boxes` `(A, 4)` px: `(A, num_classes)`."""
    regions, labels = of_image(ignored, image)
    inside = coverage_matrix(boxes, regions) >= IGNORED_SHARE
    silences = (labels[:, None] < 0) | (labels[:, None] == torch.arange(num_classes, device=labels.device))
    return inside.float() @ silences.float() > 0  # how many regions silence each class


def of_image(objects: Objects, image: int) -> tuple[Tensor, Tensor]:
    """Returns the boxes `(G, 4)` and labels `(G,)` of one image of a batch."""
    rows = (objects.images == image).nonzero()[:, 0]
    return objects.boxes[rows], objects.labels[rows]


def class_entropy(logits: Tensor, found: AnchorMatch, labels: Tensor, silent: Tensor) -> Tensor:
    """Returns the cross-entropy `(A,)` of the class of the object that each box learns, or of the background.

    Args:
        logits: `(A, classes + 1)`, background first.
        found: what the boxes learn.
        labels: `(G,)` of the image's objects.
        silent: `(A, classes)`: left out of the softmax where the background is learned.
    """
    targets = logits.new_zeros(len(logits), dtype=torch.long)
    targets[found.positive] = labels[found.objects[found.positive]] + 1
    silent = F.pad(silent & ~found.positive[:, None], (1, 0))
    return F.cross_entropy(logits.masked_fill(silent, -torch.inf), targets, reduction="none")


def to_offsets(boxes: Tensor, references: Tensor, scales: tuple[float, ...] = OFFSET_SCALES) -> Tensor:
    """Returns the scaled offsets `(..., 4)` of boxes from references, both x1, y1, x2, y2 px; see `box_coding`.

    Both count as at least MIN_SIDE_PX wide and high, so that offsets are finite.
    """
    return encode(to_inclusive(_with_area(boxes)), to_inclusive(_with_area(references))) / boxes.new_tensor(scales)


def _with_area(boxes: Tensor) -> Tensor:
    return torch.cat((boxes[..., :2], torch.maximum(boxes[..., 2:], boxes[..., :2] + MIN_SIDE_PX)), dim=-1)


def from_offsets(offsets: Tensor, references: Tensor, scales: tuple[float, ...] = OFFSET_SCALES) -> Tensor:
    """Returns the boxes `(..., 4)` px at scaled offsets from references; the inverse of `to_offsets`."""
    return to_exclusive(decode(offsets * offsets.new_tensor(scales), to_inclusive(references)))


def to_inclusive(boxes: Tensor) -> Tensor:
    """Returns boxes `(..., 4)` by the middles of their first and last pixel, as proposals are given."""
    return boxes - boxes.new_tensor([0, 0, 1, 1])


def to_exclusive(boxes: Tensor) -> Tensor:
    """Returns boxes `(..., 4)` by their sides: a pixel wider and higher than the middles of their pixels are apart."""
    return boxes + boxes.new_tensor([0, 0, 1, 1])
