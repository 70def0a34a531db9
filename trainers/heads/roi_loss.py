"""The loss of the second stage: class and offsets of proposals, with online hard example mining."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.assigners import Objects, rows_of
from trainers.heads.anchor_matching import (
    NOTHING,
    AnchorMatch,
    class_entropy,
    ignored_classes,
    match_anchors,
    of_image,
    to_exclusive,
    to_inclusive,
    to_offsets,
)

BOXES_AT_ONCE = 256
"""Boxes per image that are scored at once, which bounds the memory for their features."""


@dataclass(frozen=True, kw_only=True)
class RoICandidates:
    """The candidate boxes of one image for the second stage."""

    boxes: Tensor
    """`(N, 4)` px with exclusive x2, y2: the ground-truth boxes, then the proposals."""
    found: AnchorMatch
    """The object of each box."""
    labels: Tensor
    """`(G,)` of the objects."""
    targets: Tensor
    """`(N, 4)` scaled offsets of the object from the box; 0 without an object."""
    masked: Tensor
    """`(N, classes)`: classes that are excluded because of an ignored region if the box has no object."""

    def take(self, rows: Tensor) -> RoICandidates:
        """Returns the candidates of the given `rows` `(n,)`."""
        return RoICandidates(
            boxes=self.boxes[rows],
            found=AnchorMatch(objects=self.found.objects[rows], overlap=self.found.overlap[rows]),
            labels=self.labels,
            targets=self.targets[rows],
            masked=self.masked[rows],
        )

    def entropy(self, outputs: Tensor) -> Tensor:
        """Returns the cross-entropy `(N,)` of the second stage's `outputs` `(N or more, classes + 5)`."""
        return class_entropy(outputs[: len(self.boxes), :-4].float(), self.found, self.labels, self.masked)

    def box_error(self, outputs: Tensor) -> Tensor:
        """Returns the summed smooth L1 of the offsets in `outputs` `(N or more, classes + 5)` over the positives."""
        rows = rows_of(self.found.positive)
        return F.smooth_l1_loss(outputs[rows, -4:].float(), self.targets[rows], reduction="sum")


def roi_candidates(
    proposals: Tensor, objects: Objects, ignored: Objects, image: int, *, num_classes: int, iou: float
) -> RoICandidates:
    """Returns the objects of an image and its `proposals` `(n, 4)`, with inclusive x2, y2, and the object of each.

    A proposal is matched to the object with the highest IoU if that is at least `iou`; each ground-truth box is matched
    to its own object.
    """
    truth, labels = of_image(objects, image)
    given = to_exclusive(proposals)
    found = match_anchors(given, truth, positive=iou, least=iou, all_ties=True)
    own = torch.arange(len(truth), device=truth.device)
    learned = torch.cat((own, found.objects))
    boxes = torch.cat((truth, given))
    positive = rows_of(learned != NOTHING)
    targets = torch.zeros_like(boxes)
    targets[positive] = to_offsets(truth[learned[positive]], boxes[positive])
    return RoICandidates(
        boxes=boxes,
        found=AnchorMatch(objects=learned, overlap=torch.cat((truth.new_ones(len(truth)), found.overlap))),
        labels=labels,
        targets=targets,
        masked=ignored_classes(boxes, ignored, image, num_classes),
    )


@dataclass(frozen=True, kw_only=True)
class RoILoss:
    """Cross-entropy and smooth L1 over the hardest boxes of each image, both divided by their number.

    Boxes are ranked by classification loss, separately for positives and negatives. Source: Shrivastava et al.,
    "Training region-based object detectors with online hard example mining", CVPR 2016, with TinyDet's numbers.
    """

    num_samples: int = 512
    """Maximum per image."""
    positive_share: float = 0.25
    """Maximum share of positives in the samples."""

    def __call__(self, stage: Callable[[Tensor], Tensor], candidates: list[RoICandidates]) -> tuple[Tensor, Tensor]:
        """Returns the class part and the box part.

        Args:
            stage: maps boxes `(B, N, 4)` with inclusive x2, y2 to `(B, N, classes + 5)`: class logits, background
                first, and offsets.
            candidates: one entry per image.
        """
        hard = [each.take(rows) for each, rows in zip(candidates, self._hardest(stage, candidates), strict=True)]
        outputs = stage(_padded(hard))
        num_samples = max(1, sum(len(each.boxes) for each in hard))
        with torch.autocast(outputs.device.type, enabled=False):
            rows = list(zip(hard, outputs, strict=True))
            classes = torch.stack([each.entropy(row).sum() for each, row in rows]).sum() / num_samples
            box = torch.stack([each.box_error(row) for each, row in rows]).sum() / num_samples
        return classes, box

    @torch.no_grad()
    def _hardest(self, stage: Callable[[Tensor], Tensor], candidates: list[RoICandidates]) -> list[Tensor]:
        """Returns the rows of the hardest boxes of each image."""
        outputs = torch.cat([stage(part) for part in torch.split(_padded(candidates), BOXES_AT_ONCE, dim=1)], dim=1)
        torch.clear_autocast_cache()  # older torch would reuse these casts without gradients
        return [self._hardest_of(each, row) for each, row in zip(candidates, outputs, strict=True)]

    def _hardest_of(self, each: RoICandidates, outputs: Tensor) -> Tensor:
        entropy = each.entropy(outputs)
        positive = each.found.positive
        negative = ~positive & ~each.masked.all(dim=1)
        positives = _worst(entropy, positive, int(self.num_samples * self.positive_share))
        negatives = _worst(entropy, negative, self.num_samples - len(positives))
        return torch.cat((positives, negatives))


def _worst(entropy: Tensor, mask: Tensor, count: int) -> Tensor:
    """Returns up to `count` rows with the largest `entropy` `(N,)` where `mask` is true."""
    rows = rows_of(mask)
    return rows[entropy[rows].argsort(descending=True, stable=True)[:count]]


def _padded(candidates: list[RoICandidates]) -> Tensor:
    """Returns the boxes of all images as `(B, N, 4)` with inclusive x2, y2, padded with empty boxes."""
    count = max(1, *(len(each.boxes) for each in candidates))
    return torch.stack([to_inclusive(F.pad(each.boxes, (0, 0, 0, count - len(each.boxes)))) for each in candidates])
