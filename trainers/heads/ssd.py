"""The SSD head: cross-entropy with hard negative mining, smooth L1 of anchor offsets; decoding of its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from search_space import Detector
from search_space.heads.anchors import ssd_anchors
from trainers.assigners import Objects, rows_of
from trainers.heads.anchor_matching import (
    OFFSET_SCALES,
    AnchorMatch,
    class_entropy,
    from_offsets,
    ignored_classes,
    match_anchors,
    of_image,
    to_offsets,
)
from trainers.heads.head_training import HEAD_TRAINING, DetectionLimits, DetectionTensors, HeadOptions
from trainers.heads.reading import best_pairs, suppressed
from trainers.losses import Loss


@HEAD_TRAINING.register("ssd")
class SSDTraining:
    """Loss and decoding for detectors with an SSD head."""

    uses = ("box_weight", "class_weight")

    def __init__(self, detector: Detector, options: HeadOptions) -> None:
        self.scheme, self.num_classes, self.input_hw = (
            detector.graph.head.anchors,
            detector.num_classes,
            detector.input_hw,
        )
        self.loss_of = MultiboxLoss(**options.loss.given())

    def loss(self, detector: torch.nn.Module, images: Tensor, objects: Objects, ignored: Objects) -> Loss:
        """Runs the detector on images `(B, 3, H, W)` and returns its loss."""
        maps = detector(images)
        with torch.autocast(images.device.type, enabled=False):
            offsets, logits = self._tables(maps)
            anchors = self._anchors(maps, (images.shape[2], images.shape[3]))
            return self.loss_of(offsets, logits, anchors, objects, ignored)

    def read(
        self, outputs: Sequence[Tensor], limits: DetectionLimits, input_hw: tuple[int, int] | None = None
    ) -> list[DetectionTensors]:
        """Returns the detections of each image, best first, from maps `(B, C, H, W)`, C = anchors * (classes + 5)."""
        offsets, logits = self._tables(outputs)
        anchors = self._anchors(outputs, input_hw or self.input_hw)
        probabilities = logits.softmax(dim=-1)[..., 1:]
        return [_read_one(*tables, anchors, limits) for tables in zip(offsets, probabilities, strict=True)]

    def table(self, outputs: Sequence[Tensor], input_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Returns all boxes `(B, A, 4)` px and their scores `(B, A, num_classes)` in 0..1, before suppression."""
        offsets, logits = self._tables(outputs)
        return from_offsets(offsets, self._anchors(outputs, input_hw)), logits.softmax(dim=-1)[..., 1:]

    def described(self, outputs: Sequence[Tensor]) -> dict[str, object]:
        """Returns what is needed to decode the raw outputs elsewhere: anchors `(A, 4)` px and the offset scales."""
        return {"offset_scales": list(OFFSET_SCALES), "anchors": self._anchors(outputs, self.input_hw).tolist()}

    def _anchors(self, maps: Sequence[Tensor], input_hw: tuple[int, int]) -> Tensor:
        """Returns the anchors `(A, 4)` of output `maps` as x1, y1, x2, y2 px."""
        sizes = tuple((int(level.shape[2]), int(level.shape[3])) for level in maps)
        return _anchor_boxes(self.scheme, sizes, (int(input_hw[0]), int(input_hw[1])), str(maps[0].device))

    def _tables(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Returns offsets `(B, A, 4)` and logits `(B, A, classes + 1)`, background first, of output maps in float32."""
        offsets, logits = [], []
        for level in maps:
            num_anchors = level.shape[1] // (4 + self.num_classes + 1)
            table = level.float().permute(0, 2, 3, 1)
            offsets.append(table[..., : 4 * num_anchors].reshape(len(table), -1, 4))
            logits.append(table[..., 4 * num_anchors :].reshape(len(table), -1, self.num_classes + 1))
        return torch.cat(offsets, dim=1), torch.cat(logits, dim=1)


@lru_cache(maxsize=32)
def _anchor_boxes(
    scheme: str, map_sizes: tuple[tuple[int, int], ...], input_hw: tuple[int, int], device: str
) -> Tensor:
    height, width = input_hw
    anchors = ssd_anchors(scheme, map_sizes, input_hw) * torch.tensor([width, height, width, height])
    centers, halves = anchors[:, :2], anchors[:, 2:] / 2
    return torch.cat((centers - halves, centers + halves), dim=1).to(device)


def _read_one(offsets: Tensor, probabilities: Tensor, anchors: Tensor, limits: DetectionLimits) -> DetectionTensors:
    """Decodes the offsets `(A, 4)` and class probabilities `(A, classes)` of one image."""
    scores, places, labels = best_pairs(probabilities, one_class=limits.one_class)
    good = scores >= limits.lowest_candidate
    scores, places, labels = scores[good], places[good], labels[good]
    boxes = from_offsets(offsets[places], anchors[places])
    return suppressed(boxes, scores, labels, limits)


@dataclass(frozen=True, kw_only=True)
class MultiboxLoss:
    """The loss of Liu et al., SSD, ECCV 2016: both parts are sums over the batch, divided by the number of positives.

    Positive are the best anchor of each object, exactly one, and all anchors with an IoU of at least 0.5. Hard negative
    mining takes the three negatives with the largest loss per positive of the image; without positives there are no
    negatives.
    """

    positive_iou: float = 0.5
    negatives_per_positive: int = 3
    box_weight: float = 1.0
    class_weight: float = 1.0

    def __call__(self, offsets: Tensor, logits: Tensor, anchors: Tensor, objects: Objects, ignored: Objects) -> Loss:
        """Returns the loss of a batch.

        Args:
            offsets: `(B, A, 4)`, scaled by the variances.
            logits: `(B, A, classes + 1)`, background first.
            anchors: `(A, 4)` as x1, y1, x2, y2 px.
            objects: the ground truth.
            ignored: an anchor without an object and with half of its area in an ignored region is not a negative; if
                the region is ignored for some classes only, these are excluded from its cross-entropy.
        """
        box, classes, num_positive = offsets.new_zeros(()), offsets.new_zeros(()), 0
        for image in range(len(offsets)):
            boxes, labels = of_image(objects, image)
            found = match_anchors(anchors, boxes, positive=self.positive_iou)
            masked = ignored_classes(anchors, ignored, image, logits.shape[2] - 1)
            rows = rows_of(found.positive)
            classes = classes + self._class_part(logits[image], found, rows, labels, masked)
            wanted = to_offsets(boxes[found.objects[rows]], anchors[rows])
            box = box + F.smooth_l1_loss(offsets[image, rows], wanted, reduction="sum")
            num_positive += len(rows)
        num_positive = max(1, num_positive)
        return Loss(
            parts={
                "box": self.box_weight * box / num_positive,
                "classes": self.class_weight * classes / num_positive,
            }
        )

    def _class_part(
        self, logits: Tensor, found: AnchorMatch, positives: Tensor, labels: Tensor, masked: Tensor
    ) -> Tensor:
        """Returns the summed cross-entropy of the positives, which are rows, and the mined negatives of one image."""
        entropy = class_entropy(logits, found, labels, masked)
        # Negatives in ignored regions have the entropy 0: they rank last and add nothing.
        count = min(self.negatives_per_positive * len(positives), len(logits) - len(positives))
        hardest = entropy.detach().masked_fill(found.positive, -1.0).topk(count).indices
        return entropy[positives].sum() + entropy[hardest].sum()
