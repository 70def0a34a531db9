"""The loss of the region proposal network: objectness and box offsets of anchors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from search_space.heads.anchors import rpn_anchors
from search_space.heads.proposals import split_level
from trainers.assigners import Objects, rows_of
from trainers.heads.anchor_matching import NOTHING, ignored_classes, match_anchors, of_image, to_exclusive, to_offsets

UNSCALED = (1.0, 1.0, 1.0, 1.0)
"""Offsets of proposals are not scaled."""


@dataclass(frozen=True, kw_only=True)
class RegionLoss:
    """Binary cross-entropy and smooth L1 over randomly sampled anchors, both divided by their number.

    Anchors with an IoU of at least 0.5 are positive, and so are the best anchor of each object and all that tie with it
    if its IoU is at least 0.3. Anchors whose IoU with all objects is below 0.3 are negative. Anchors that cross the
    border of the input are not used. Source: Ren et al., Faster R-CNN, NeurIPS 2015, with the thresholds of TinyDet,
    arXiv 2304.03428.
    """

    strides: tuple[int, ...]
    anchor_scale: float
    """Side of an anchor in strides."""
    positive_iou: float = 0.5
    negative_iou: float = 0.3
    num_samples: int = 256
    """Maximum per image."""
    positive_share: float = 0.5
    """Maximum share of positives in the samples."""
    beta: float = 1 / 9
    """Offset error up to which smooth L1 is quadratic."""

    def __call__(self, maps: Sequence[Tensor], objects: Objects, ignored: Objects) -> tuple[Tensor, Tensor]:
        """Returns the objectness part and the box part.

        Args:
            maps: `(B, 15, H, W)` of each level, finest first, of any floating type.
            objects: the ground truth; classes are not used.
            ignored: anchors with half of their area in an ignored region of any class are not negatives.
        """
        levels = [split_level(level) for level in maps]
        logits, offsets = (torch.cat(tables, dim=1) for tables in zip(*levels, strict=True))
        anchors, inside = self._anchors(maps)
        objectness, box, num_samples = logits.new_zeros(()), logits.new_zeros(()), 0
        for image in range(len(logits)):
            boxes, _ = of_image(objects, image)
            found, wanted = self._sample(anchors[inside], boxes, ignored, image)
            rows, positive = inside[found], wanted != NOTHING
            positives = rows_of(positive)
            selected_logits = logits[image, rows]
            objectness = objectness + F.binary_cross_entropy_with_logits(
                selected_logits, positive.float(), reduction="sum"
            )
            targets = to_offsets(boxes[wanted[positives]], anchors[rows[positives]], UNSCALED)
            moved = offsets[image, rows[positives]]
            box = box + F.smooth_l1_loss(moved, targets, beta=self.beta, reduction="sum")
            num_samples += len(rows)
        return objectness / max(1, num_samples), box / max(1, num_samples)

    def _anchors(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Returns all anchors `(A, 4)` px with exclusive x2, y2, and the rows of those inside the input."""
        height, width = maps[0].shape[2] * self.strides[0], maps[0].shape[3] * self.strides[0]
        levels = [
            rpn_anchors((level.shape[2], level.shape[3]), stride, self.anchor_scale)
            for level, stride in zip(maps, self.strides, strict=True)
        ]
        anchors = to_exclusive(torch.cat(levels)).to(maps[0].device)
        inside = (anchors[:, :2] >= 0).all(dim=1) & (anchors[:, 2] <= width) & (anchors[:, 3] <= height)
        return anchors, rows_of(inside)

    def _sample(self, anchors: Tensor, boxes: Tensor, ignored: Objects, image: int) -> tuple[Tensor, Tensor]:
        """Returns randomly sampled rows of `anchors` and their objects, NOTHING for negatives."""
        found = match_anchors(anchors, boxes, positive=self.positive_iou, least=self.negative_iou, all_ties=True)
        negative = ~found.positive & (found.overlap < self.negative_iou)
        if len(ignored):
            negative &= ~ignored_classes(
                anchors, ignored, image, num_classes=1 + max(0, int(ignored.labels.max()))
            ).any(1)
        positives = sample_rows(found.positive, int(self.num_samples * self.positive_share))
        negatives = sample_rows(negative, self.num_samples - len(positives))
        rows = torch.cat((positives, negatives))
        return rows, found.objects[rows]


def sample_rows(mask: Tensor, count: int) -> Tensor:
    """Returns the rows at which `mask` `(A,)` is true, a random `count` of them if there are more.

    Uses the default generator of torch, which training seeds before each step.
    """
    rows = rows_of(mask)
    if len(rows) <= count:
        return rows
    return rows[torch.randperm(len(rows), device=rows.device)[:count]]
