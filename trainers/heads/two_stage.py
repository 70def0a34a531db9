"""The two-stage head: region proposals, then classes and offsets of the proposals; decoding of its output."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from search_space import Detector
from search_space.heads.anchors import rpn_base_anchors
from search_space.heads.box_coding import clip
from search_space.heads.nms import soft_suppress
from search_space.heads.proposals import Proposals, rank_candidates
from search_space.heads.roi import RoIHead
from trainers.assigners import Objects, rows_of
from trainers.heads.anchor_matching import OFFSET_SCALES, from_offsets, to_exclusive, to_inclusive
from trainers.heads.head_training import HEAD_TRAINING, DetectionLimits, DetectionTensors, HeadOptions
from trainers.heads.reading import LEAST_SCORE, best_pairs, within_limits
from trainers.heads.region_loss import RegionLoss
from trainers.heads.roi_loss import RoICandidates, RoILoss, roi_candidates
from trainers.losses import Loss

NUM_CANDIDATES = 2000
"""Anchors per level that become proposals in training."""
NUM_PROPOSALS = 2000
"""Maximum number of proposals per image in training, after NMS."""
POSITIVE_IOU = 0.5
"""IoU from which a proposal is positive."""


@HEAD_TRAINING.register("two_stage")
class TwoStageTraining:
    """Loss and decoding for detectors with a two-stage head."""

    uses = ("box_weight", "class_weight")

    def __init__(self, detector: Detector, options: HeadOptions) -> None:
        self.num_classes = detector.num_classes
        *self.levels, proposals, self.second_stage = detector.graph.outputs
        self.features = {node.name: node.inputs for node in detector.graph.nodes}[self.second_stage][1:]
        first_stage = detector.blocks[proposals]
        assert isinstance(first_stage, Proposals)
        self.strides, self.anchor_scale = first_stage.strides, first_stage.anchor_scale
        self.num_proposals = first_stage.num_proposals
        second = detector.blocks[self.second_stage]
        assert isinstance(second, RoIHead)
        self.roi_parameters = {"strides": list(second.strides), "roi_scale": second.roi_scale, "bins": second.bins}
        self.region_loss = RegionLoss(strides=self.strides, anchor_scale=self.anchor_scale)
        self.roi_loss = RoILoss()
        given = options.loss.given()
        self.box_weight, self.class_weight = given.get("box_weight", 1.0), given.get("class_weight", 1.0)

    def loss(self, detector: torch.nn.Module, images: Tensor, objects: Objects, ignored: Objects) -> Loss:
        """Runs the detector on images `(B, 3, H, W)`, with more proposals than in detection, and returns its loss."""
        assert isinstance(detector, Detector)
        maps = detector.maps(images, (*self.levels, *self.features))
        regions, features = maps[: len(self.levels)], maps[len(self.levels) :]
        with torch.autocast(images.device.type, enabled=False):
            objectness, region_box = self.region_loss(regions, objects, ignored)
            candidates = self._candidates(regions, objects, ignored)
        second_stage = detector.blocks[self.second_stage]
        classes, box = self.roi_loss(lambda boxes: second_stage(boxes, *features), candidates)
        return Loss(
            parts={
                "objectness": self.class_weight * objectness,
                "region_box": self.box_weight * region_box,
                "classes": self.class_weight * classes,
                "box": self.box_weight * box,
            }
        )

    def table(self, outputs: Sequence[Tensor], input_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Returns the boxes `(B, N, 4)` px of all proposals and scores `(B, N, num_classes)`, before suppression."""
        proposals, table = outputs[-2].float(), outputs[-1].float()
        boxes = to_exclusive(clip(to_inclusive(from_offsets(table[..., -4:], to_exclusive(proposals))), input_hw))
        return boxes, table[..., :-4].softmax(dim=-1)[..., 1:]

    def described(self, outputs: Sequence[Tensor]) -> dict[str, object]:
        """Returns what is needed to decode the raw outputs elsewhere: base anchors `(A, 4)` px, RoI parameters."""
        return {
            "offset_scales": list(OFFSET_SCALES),
            "first_anchors": [rpn_base_anchors(stride, self.anchor_scale).tolist() for stride in self.strides],
            "num_proposals": self.num_proposals,
            "second_stage": self.roi_parameters,
        }

    def _candidates(self, regions: Sequence[Tensor], objects: Objects, ignored: Objects) -> list[RoICandidates]:
        ranked = rank_candidates(regions, self.strides, anchor_scale=self.anchor_scale, num_candidates=NUM_CANDIDATES)
        return [
            roi_candidates(
                boxes[: min(num_kept, NUM_PROPOSALS)],
                objects,
                ignored,
                image,
                num_classes=self.num_classes,
                iou=POSITIVE_IOU,
            )
            for image, (boxes, num_kept) in enumerate(ranked)
        ]

    def read(
        self, outputs: Sequence[Tensor], limits: DetectionLimits, input_hw: tuple[int, int] | None = None
    ) -> list[DetectionTensors]:
        """Returns boxes, scores and labels of each image of a batch, best first.

        The last two outputs are proposals `(B, N, 4)` and the second-stage outputs `(B, N, classes + 5)`. Soft-NMS
        lowers the scores of overlapping boxes of a class; boxes below the threshold, or below 0.001, are dropped.
        """
        hw = input_hw or (outputs[0].shape[2] * self.strides[0], outputs[0].shape[3] * self.strides[0])
        return read_second_stage(*self.table(outputs, hw), limits)


def read_second_stage(boxes: Tensor, probabilities: Tensor, limits: DetectionLimits) -> list[DetectionTensors]:
    """Returns the detections of each image from the result of `TwoStageTraining.table`, after soft-NMS.

    Args:
        boxes: `(B, N, 4)` px.
        probabilities: `(B, N, num_classes)` in 0..1.
        limits: which detections are reported.
    """
    if limits.one_class or limits.agnostic:
        probabilities = probabilities.masked_fill(probabilities < probabilities.amax(dim=-1, keepdim=True), 0.0)
    if limits.candidate_score is not None:
        probabilities = probabilities.masked_fill(probabilities < limits.candidate_score, 0.0)
    least = max(limits.score_threshold, LEAST_SCORE)
    rivals = probabilities.amax(dim=-1, keepdim=True) if limits.agnostic else probabilities
    scores = soft_suppress(boxes, rivals, iou_threshold=limits.nms_iou, least_score=least)
    scores = torch.where(probabilities > 0, scores, 0.0)
    return [_read_one(*tables, least, limits) for tables in zip(boxes, scores, strict=True)]


def _read_one(boxes: Tensor, scores: Tensor, least: float, limits: DetectionLimits) -> DetectionTensors:
    """Decodes the boxes `(N, 4)` and scores `(N, classes)` of one image after soft-NMS."""
    values, places, labels = best_pairs(scores, one_class=False)
    good = within_limits(rows_of(values >= least), labels, limits)
    return boxes[places[good]], values[good], labels[good]
