"""The loss of the second of two stages: what the proposals hold, over those that are most wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.assigners import Objects
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
"""Boxes of an image that are ranked together, so that the features of all of them need not lie in memory at once."""


@dataclass(frozen=True, kw_only=True)
class RoICandidates:
    """The boxes of one image that the second stage could learn from."""

    boxes: Tensor
    """`(N, 4)` px by their sides: the objects themselves, then the proposals."""
    found: AnchorMatch
    """The object that each learns."""
    labels: Tensor
    """`(G,)` of the objects."""
    targets: Tensor
    """`(N, 4)` scaled offsets of the object from the box; 0 where none is learned."""
    silent: Tensor
    """`(N, classes)`: which classes an ignored region silences at a box that learns no object."""

    def take(self, rows: Tensor) -> RoICandidates:
        """Returns the pool of some of the boxes, by their `rows` `(n,)`."""
        return RoICandidates(
            boxes=self.boxes[rows],
            found=AnchorMatch(objects=self.found.objects[rows], overlap=self.found.overlap[rows]),
            labels=self.labels,
            targets=self.targets[rows],
            silent=self.silent[rows],
        )

    def entropy(self, outputs: Tensor) -> Tensor:
        """Returns the cross-entropy `(N,)` of the second stage's `outputs` `(N or more, classes + 5)`."""
        return class_entropy(outputs[: len(self.boxes), :-4].float(), self.found, self.labels, self.silent)

    def box_error(self, outputs: Tensor) -> Tensor:
        """Returns the summed smooth L1 of the offsets in `outputs` `(N or more, classes + 5)` over the positives."""
        rows = self.found.positive.nonzero()[:, 0]
        return F.smooth_l1_loss(outputs[rows, -4:].float(), self.targets[rows], reduction="sum")


def roi_candidates(
    proposals: Tensor, objects: Objects, ignored: Objects, image: int, *, num_classes: int, iou: float
) -> RoICandidates:
    """Returns the objects of an image and its `proposals` `(n, 4)`, by pixels, with what each learns.

    A proposal learns the object that it overlaps most, from an IoU of `iou` on; an object's own box learns it always.
    """
    truth, labels = of_image(objects, image)
    given = to_exclusive(proposals)
    found = match_anchors(given, truth, positive=iou, least=iou)
    own = torch.arange(len(truth), device=truth.device)
    learned = torch.cat((own, found.objects))
    boxes = torch.cat((truth, given))
    positive = (learned != NOTHING).nonzero()[:, 0]
    targets = torch.zeros_like(boxes)
    targets[positive] = to_offsets(truth[learned[positive]], boxes[positive])
    return RoICandidates(
        boxes=boxes,
        found=AnchorMatch(objects=learned, overlap=torch.cat((truth.new_ones(len(truth)), found.overlap))),
        labels=labels,
        targets=targets,
        silent=ignored_classes(boxes, ignored, image, num_classes),
    )


@dataclass(frozen=True, kw_only=True)
class RoILoss:
    """Cross-entropy and smooth L1 over the hardest boxes of each image, both divided by how many they are.

    Boxes are ranked by their classification loss, positives and negatives apart. Source: Shrivastava et al., "Training
    region-based object detectors with online hard example mining", CVPR 2016, with TinyDet's numbers.
    """

    num_samples: int = 512
    """Of an image, at most."""
    positive_share: float = 0.25
    """Of the samples, at most."""

    def __call__(self, stage: Callable[[Tensor], Tensor], pools: list[RoICandidates]) -> tuple[Tensor, Tensor]:
        """Returns the class part and the box part.

        Args:
            stage: maps boxes `(B, N, 4)` by pixels to `(B, N, classes + 5)`: classes, background first, and offsets.
            pools: of each image.
        """
        hard = [each.take(rows) for each, rows in zip(pools, self._hardest(stage, pools), strict=True)]
        outputs = stage(_padded(hard))
        num_samples = max(1, sum(len(each.boxes) for each in hard))
        with torch.autocast(outputs.device.type, enabled=False):
            rows = list(zip(hard, outputs, strict=True))
            classes = torch.stack([each.entropy(row).sum() for each, row in rows]).sum() / num_samples
            box = torch.stack([each.box_error(row) for each, row in rows]).sum() / num_samples
        return classes, box

    @torch.no_grad()
    def _hardest(self, stage: Callable[[Tensor], Tensor], pools: list[RoICandidates]) -> list[Tensor]:
        """Returns the rows of the boxes of each image to learn from."""
        outputs = torch.cat([stage(part) for part in torch.split(_padded(pools), BOXES_AT_ONCE, dim=1)], dim=1)
        torch.clear_autocast_cache()  # older releases of torch take these weights, without gradients, for the next pass
        return [self._hardest_of(each, row) for each, row in zip(pools, outputs, strict=True)]

    def _hardest_of(self, roi_candidates: RoICandidates, outputs: Tensor) -> Tensor:
        entropy = roi_candidates.entropy(outputs)
        positive = roi_candidates.found.positive
        negative = ~positive & ~roi_candidates.silent.all(dim=1)
        positives = _worst(entropy, positive, int(self.num_samples * self.positive_share))
        negatives = _worst(entropy, negative, self.num_samples - len(positives))
        return torch.cat((positives, negatives))


def _worst(entropy: Tensor, mask: Tensor, count: int) -> Tensor:
    """Returns the rows of the largest entropies `(N,)` where `mask` is true, `count` of them at most."""
    rows = mask.nonzero()[:, 0]
    return rows[entropy[rows].argsort(descending=True, stable=True)[:count]]


def _padded(pools: list[RoICandidates]) -> Tensor:
    """Returns the boxes of all images in one table `(B, N, 4)` by pixels, shorter rows filled up with empty boxes."""
    count = max(1, *(len(each.boxes) for each in pools))
    return torch.stack([to_inclusive(F.pad(each.boxes, (0, 0, 0, count - len(each.boxes)))) for each in pools])
