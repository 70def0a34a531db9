"""The anchor-free head: complete IoU, loss of the distances and binary cross-entropy; decoding of its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from search_space import Detector
from trainers.assigners import Assignment, Objects, TaskAlignedAssigner
from trainers.boxes import AnchorGrid, box_similarity, decode_boxes, flatten_maps, grid_of
from trainers.heads.distillation import DistillationLoss, SoftTargets
from trainers.heads.head_training import HEAD_TRAINING, DetectionLimits, DetectionTensors, HeadOptions
from trainers.heads.one_to_many import DualLoss, HeadLoss
from trainers.heads.reading import best_pairs, kept_without_nms, rows_at, suppressed, top_pairs
from trainers.losses import Loss, distance_loss, distribution_focal_loss, ignore_weights

ONE_OF = 7
"""Best points of an object of which the one-to-one head learns one, from YOLO26."""


@HEAD_TRAINING.register("anchor_free")
class AnchorFreeTraining:
    """Loss and decoding for detectors with an anchor-free head."""

    uses = (
        "nwd",
        "min_extent",
        "metric_floor",
        "box_weight",
        "class_weight",
        "distribution_weight",
        "distill_weight",
        "distill_confidence",
        "distill_temperature",
    )

    def __init__(self, detector: Detector, options: HeadOptions) -> None:
        self.strides, self.reg_max = detector.strides, detector.reg_max
        self.loss_of = AnchorFreeLoss(
            strides=detector.strides,
            reg_max=detector.reg_max,
            nwd=options.nwd,
            assigner=TaskAlignedAssigner(
                nwd=options.nwd,
                min_extent=options.assigner.min_extent,
                metric_floor=options.assigner.metric_floor,
            ),
            **options.loss.given(),
        )
        assigner = replace(self.loss_of.assigner, top_k=ONE_OF, keep=1)
        self.dual = DualLoss(many=self.loss_of, one=replace(self.loss_of, assigner=assigner))
        self.distillation_of = DistillationLoss(
            strides=detector.strides,
            reg_max=detector.reg_max,
            weight=options.distillation.distill_weight,
            temperature=options.distillation.distill_temperature,
            box_weight=self.loss_of.box_weight,
            distribution_weight=self.loss_of.distribution_weight,
            class_weight=self.loss_of.class_weight,
            nwd=options.nwd,
        )
        self.one_to_one, self.progress = detector.one_to_one, 0.0

    def set_progress(self, progress: float) -> None:
        """Sets the share of the training that is done, which the weights of a dual loss depend on."""
        self.progress = progress

    def loss(self, detector: torch.nn.Module, images: Tensor, objects: Objects, ignored: Objects) -> Loss:
        """Runs the detector on images `(B, 3, H, W)` and returns its loss."""
        return self._loss(detector, images, objects, ignored, self.loss_of)

    def distilled_loss(
        self,
        detector: torch.nn.Module,
        images: Tensor,
        objects: Objects,
        ignored: Objects,
        targets: SoftTargets,
    ) -> Loss:
        """Returns the loss of images `(B, 3, H, W)` with the parts that are learned from a teacher.

        With the assignment `dual` they belong to the one-to-many head, which is what the body learns from.
        """

        def many(maps: Sequence[Tensor], objects: Objects, ignored: Objects) -> Loss:
            losses = self.loss_of(maps, objects, ignored), self.distillation_of(maps, targets)
            return Loss(parts={**losses[0].parts, **losses[1].parts})

        return self._loss(detector, images, objects, ignored, many)

    def _loss(
        self, detector: torch.nn.Module, images: Tensor, objects: Objects, ignored: Objects, many: HeadLoss
    ) -> Loss:
        if not self.one_to_one:
            return many(detector(images), objects, ignored)
        assert isinstance(detector, Detector)
        return replace(self.dual, many=many)(detector, images, objects, ignored, self.progress)

    def read(
        self, outputs: Sequence[Tensor], limits: DetectionLimits, input_hw: tuple[int, int] | None = None
    ) -> list[DetectionTensors]:
        """Returns the detections of each image, best first, from maps `(B, 4 * reg_max + classes, H, W)`."""
        if self.one_to_one and not limits.asks_for_nms:
            return [kept_without_nms(*each, limits) for each in zip(*self.top(outputs), strict=True)]
        grid, table = grid_of(outputs, self.strides), flatten_maps(outputs).float()
        return [self._read_one(rows, grid, limits) for rows in table]

    def table(self, outputs: Sequence[Tensor], input_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Returns all boxes `(B, A, 4)` px and their scores `(B, A, num_classes)` in 0..1, before suppression."""
        grid, rows = grid_of(outputs, self.strides), flatten_maps(outputs).float()
        boxes = decode_boxes(rows[..., : 4 * self.reg_max], grid.points, grid.point_strides, self.reg_max)
        return boxes, rows[..., 4 * self.reg_max :].sigmoid()

    def top(self, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns what a one-to-one head found in each image, best first; see `top_pairs`.

        Returns:
            Boxes `(B, N, 4)` px, scores in 0..1, class indices and points, each `(B, N)`.
        """
        grid, rows = grid_of(outputs, self.strides), flatten_maps(outputs).float()
        points, labels, scores = top_pairs(rows[..., 4 * self.reg_max :])
        sides = rows_at(rows[..., : 4 * self.reg_max], points)
        boxes = decode_boxes(sides, grid.points[points], grid.point_strides[points], self.reg_max)
        return boxes, scores, labels, points

    def described(self, outputs: Sequence[Tensor]) -> dict[str, object]:
        """Returns what is needed to decode maps `(B, 4 * reg_max + classes, H, W)` elsewhere: the numbers a side.

        For a one-to-one head also that its boxes need no NMS.
        """
        return {"reg_max": self.reg_max, **({"nms": False} if self.one_to_one else {})}

    def _read_one(self, rows: Tensor, grid: AnchorGrid, limits: DetectionLimits) -> DetectionTensors:
        boxes, scores, labels = _candidates(rows, grid, self.reg_max, limits.lowest_candidate, limits.one_class)
        return suppressed(boxes, scores, labels, limits)


def _candidates(
    rows: Tensor, grid: AnchorGrid, reg_max: int, score_threshold: float, one_class: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns boxes, scores and labels of the best (anchor point, class) pairs of one image's `(A, C)` table."""
    best, point, labels = best_pairs(rows[:, 4 * reg_max :], one_class=one_class)
    scores = best.sigmoid()
    good = scores >= score_threshold
    scores, point, labels = scores[good], point[good], labels[good]
    boxes = decode_boxes(rows[point, : 4 * reg_max], grid.points[point], grid.point_strides[point], reg_max)
    return boxes, scores, labels


@dataclass(frozen=True, kw_only=True)
class AnchorFreeLoss:
    """Assigns objects to anchor points and returns three loss parts, each divided by the sum of target scores.

    The weights 7.5, 1.5 and 0.5 are those published with YOLOv8; the distribution focal loss is from Li et al.,
    "Generalized focal loss", NeurIPS 2020. With one bin the second part is the absolute error of the distances, with
    the same weight, as in YOLO26.
    """

    strides: tuple[int, ...]
    reg_max: int
    """Bins for each side of a box; 1: the distance itself."""
    box_weight: float = 7.5
    distribution_weight: float = 1.5
    """Of the distribution focal loss, or of the absolute error."""
    class_weight: float = 0.5
    nwd: float = 0.0
    """Weight of the normalized Wasserstein distance in the box part; the rest is the complete IoU."""
    assigner: TaskAlignedAssigner = field(default_factory=TaskAlignedAssigner)

    def __call__(self, maps: Sequence[Tensor], objects: Objects, ignored: Objects) -> Loss:
        """Returns the loss of output `maps` `(B, 4 * reg_max + classes, H, W)`, computed in float32.

        Args:
            maps: one map per level, finest first, of any floating type.
            objects: the ground truth.
            ignored: regions in which background anchors add no class loss.
        """
        with torch.autocast(maps[0].device.type, enabled=False):
            grid = grid_of(maps, self.strides)
            table = flatten_maps(maps).flatten(0, 1)
            sizes = [4 * self.reg_max, table.shape[1] - 4 * self.reg_max]
            box_logits, class_logits = torch.split(table, sizes, dim=1)
            class_logits = class_logits.float()
            found = self.assigner(class_logits, box_logits, grid, objects, self.reg_max)
            num_targets = found.scores.sum().clamp(min=1)
            box, distance = self._box_parts(box_logits, grid, objects, found)
            classes = _class_part(class_logits, grid, objects, ignored, found)
        return Loss(
            parts={
                "box": self.box_weight * box / num_targets,
                "distribution" if self.reg_max > 1 else "distance": self.distribution_weight * distance / num_targets,
                "classes": self.class_weight * classes / num_targets,
            }
        )

    def _box_parts(
        self, box_logits: Tensor, grid: AnchorGrid, objects: Objects, found: Assignment
    ) -> tuple[Tensor, Tensor]:
        logits = box_logits.index_select(0, found.anchors).float()
        points, strides = grid.points[found.anchors % len(grid)], grid.point_strides[found.anchors % len(grid)]
        wanted = objects.boxes[found.objects]
        overlap = box_similarity(decode_boxes(logits, points, strides, self.reg_max), wanted, nwd=self.nwd)
        sides = torch.cat((points - wanted[:, :2], wanted[:, 2:] - points), dim=1) / strides[:, None]
        distance = self._distance_loss(logits, sides, strides, grid)
        return ((1 - overlap) * found.scores).sum(), (distance.mean(dim=1) * found.scores).sum()

    def _distance_loss(self, logits: Tensor, sides: Tensor, strides: Tensor, grid: AnchorGrid) -> Tensor:
        """Returns the loss `(P, 4)` of each side, given box logits `(P, 4 * reg_max)` and targets in cells."""
        if self.reg_max > 1:
            return distribution_focal_loss(torch.unflatten(logits, 1, (4, self.reg_max)), sides)
        rows, columns = grid.shapes[0]
        return distance_loss(logits, sides, strides, (rows * grid.strides[0], columns * grid.strides[0]))


def _class_part(
    class_logits: Tensor, grid: AnchorGrid, objects: Objects, ignored: Objects, found: Assignment
) -> Tensor:
    targets = torch.zeros_like(class_logits)
    targets[found.anchors, objects.labels[found.objects]] = found.scores
    if len(ignored) == 0:
        return F.binary_cross_entropy_with_logits(class_logits, targets, reduction="sum")
    weights = ignore_weights(class_logits, grid, ignored)
    weights[found.anchors] = 1.0
    return F.binary_cross_entropy_with_logits(class_logits, targets, weight=weights, reduction="sum")
