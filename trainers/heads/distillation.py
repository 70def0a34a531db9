"""What an anchor-free head learns from a teacher, and the loss of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from search_space.errors import ConfigError
from trainers.boxes import AnchorGrid, box_similarity, decode_boxes, flatten_maps, grid_of
from trainers.losses import Loss


@dataclass(frozen=True, kw_only=True)
class SoftTargets:
    """What a teacher predicts at its confident places in the images of a batch."""

    levels: tuple[int, ...]
    """The levels of the detector that the teacher has too, finest first."""
    shapes: tuple[tuple[int, int], ...]
    """Rows and columns of the teacher's map on each of them."""
    places: Tensor
    """`(P,)` rows of the table `(B * A, C)` of the maps of these levels, ascending."""
    scores: Tensor
    """`(P, num_classes)` in 0..1."""
    boxes: Tensor
    """`(P, 4 * reg_max)` logits of the distributions of the sides, or boxes `(P, 4)` px."""
    has_distributions: bool
    """Whether `boxes` are logits, because teacher and detector have the same bins, more than one."""

    @property
    def num_bytes(self) -> int:
        """Memory that the tensors take."""
        return sum(each.numel() * each.element_size() for each in (self.places, self.scores, self.boxes))


def joined(images: Sequence[SoftTargets]) -> SoftTargets:
    """Returns the targets of a batch from those of each of its images."""
    first = images[0]
    size = sum(rows * columns for rows, columns in first.shapes)
    return SoftTargets(
        levels=first.levels,
        shapes=first.shapes,
        places=torch.cat([each.places + number * size for number, each in enumerate(images)]),
        scores=torch.cat([each.scores for each in images]),
        boxes=torch.cat([each.boxes for each in images]),
        has_distributions=first.has_distributions,
    )


@dataclass(frozen=True, kw_only=True)
class DistillationLoss:
    """The difference of scores and boxes from those of a teacher, at the places where the teacher is confident.

    Classes: binary cross-entropy with the scores of the teacher, weighted by their difference, as in Yang et al.,
    "Bridging cross-task protocol inconsistency for distillation in dense object detection", ICCV 2023; the form is that
    of the quality focal loss of Li et al., NeurIPS 2020, with beta 1.

    Boxes, with the same bins: Kullback-Leibler divergence of the distributions at a temperature, times its square, as
    in Zheng et al., "Localization distillation for dense object detection", CVPR 2022. With other bins: 1 - similarity
    of the decoded boxes, as in Yang et al., who take the IoU.

    A place counts by the best score of the teacher, and both parts are divided by the sum of these, at least 1, as the
    loss of the labels is divided by the sum of its target scores. So the parts have its weights.
    """

    strides: tuple[int, ...]
    reg_max: int
    weight: float
    temperature: float
    box_weight: float
    distribution_weight: float
    class_weight: float
    nwd: float

    def __call__(self, maps: Sequence[Tensor], targets: SoftTargets) -> Loss:
        """Returns the parts `distilled_classes` and `distilled_boxes`, computed in float32.

        Args:
            maps: of all levels of the detector, finest first, `(B, 4 * reg_max + num_classes, H, W)`.
            targets: of the same images.

        Raises:
            ConfigError: maps of detector and teacher differ in size.
        """
        with torch.autocast(maps[0].device.type, enabled=False):
            grid = grid_of([maps[level] for level in targets.levels], [self.strides[level] for level in targets.levels])
            _check_shapes(grid, targets)
            table = flatten_maps([maps[level] for level in targets.levels]).flatten(0, 1)
            box_logits, class_logits = table.index_select(0, targets.places).float().tensor_split([4 * self.reg_max], 1)
            best = targets.scores.amax(dim=1)
            amount = best.sum().clamp(min=1)
            classes = score_difference(class_logits, targets.scores).sum() / amount
            boxes = (self._box_part(box_logits, grid, targets) * best).sum() / amount
            box_weight = self.distribution_weight if targets.has_distributions else self.box_weight
            return Loss(
                parts={
                    "distilled_classes": self.weight * self.class_weight * classes,
                    "distilled_boxes": self.weight * box_weight * boxes,
                }
            )

    def _box_part(self, logits: Tensor, grid: AnchorGrid, targets: SoftTargets) -> Tensor:
        """Returns the loss `(P,)` of the box at each place."""
        if targets.has_distributions:
            sides, wanted = (torch.unflatten(each, 1, (4, self.reg_max)) for each in (logits, targets.boxes))
            return distribution_divergence(sides, wanted, self.temperature).mean(dim=1)
        points = targets.places % len(grid)
        boxes = decode_boxes(logits, grid.points[points], grid.point_strides[points], self.reg_max)
        return 1 - box_similarity(boxes, targets.boxes, nwd=self.nwd)


def score_difference(logits: Tensor, scores: Tensor) -> Tensor:
    """Returns the cross-entropy of class logits with scores in 0..1, times their difference; all `(P, classes)`."""
    entropy = F.binary_cross_entropy_with_logits(logits, scores, reduction="none")
    return (logits.sigmoid() - scores).abs() * entropy


def distribution_divergence(logits: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """Returns the divergence `(P, 4)` of distributions from wanted ones, given as logits `(P, 4, bins)`.

    The mean over the bins times the square of the temperature, as published with localization distillation.
    """
    own = (logits / temperature).log_softmax(dim=-1)
    target = (wanted / temperature).softmax(dim=-1)
    return F.kl_div(own, target, reduction="none").mean(dim=-1) * temperature**2


def _check_shapes(grid: AnchorGrid, targets: SoftTargets) -> None:
    for own, shape, stride in zip(grid.shapes, targets.shapes, grid.strides, strict=True):
        if own != shape:
            raise ConfigError(
                f"the map of stride {stride} has {own[0]}x{own[1]} places in the detector, {shape[0]}x{shape[1]} in "
                "the teacher; give a teacher whose maps have the same sizes"
            )
