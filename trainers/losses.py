"""The training loss of an anchor-free detector: complete IoU, distribution focal loss, binary cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from search_space.errors import ConfigError
from trainers.assigners import Assignment, Objects, TaskAlignedAssigner, points_inside
from trainers.boxes import AnchorGrid, ciou, decode_boxes, flatten_maps, grid_of

TRAINABLE_HEADS = ("anchor_free",)
"""The kinds of head that there is a loss for."""


def check_trainable(head: str) -> None:
    """Raises ConfigError where there is no loss for this kind of head."""
    if head not in TRAINABLE_HEADS:
        raise ConfigError(
            f"a head of kind {head!r} can be built and counted, but not trained yet; allowed: "
            f"{', '.join(TRAINABLE_HEADS)}; change head: kind in the architecture file"
        )


@dataclass(frozen=True, kw_only=True)
class Loss:
    """The weighted parts of a loss, each a scalar tensor."""

    box: Tensor
    distribution: Tensor
    classes: Tensor

    @property
    def total(self) -> Tensor:
        """The sum of the parts."""
        return self.box + self.distribution + self.classes


@dataclass(frozen=True, kw_only=True)
class DetectionLoss:
    """Assigns objects to anchor points and sums the three parts, each divided by the sum of target scores.

    The weights 7.5, 1.5 and 0.5 are those published with YOLOv8; the distribution focal loss is from Li et al.,
    "Generalized focal loss", NeurIPS 2020.
    """

    strides: tuple[int, ...]
    reg_max: int
    box_weight: float = 7.5
    distribution_weight: float = 1.5
    class_weight: float = 0.5
    assigner: TaskAlignedAssigner = field(default_factory=TaskAlignedAssigner)

    def __call__(self, maps: Sequence[Tensor], objects: Objects, ignored: Objects) -> Loss:
        """Returns the loss of output `maps` `(B, 4 * reg_max + classes, H, W)`, computed in float32.

        Args:
            maps: one map a level, finest first, of any floating type.
            objects: what is to be found.
            ignored: regions in which finding or not finding something costs nothing.
        """
        with torch.autocast(maps[0].device.type, enabled=False):
            grid = grid_of(maps, self.strides)
            table = flatten_maps(maps).flatten(0, 1)
            sizes = [4 * self.reg_max, table.shape[1] - 4 * self.reg_max]
            box_logits, class_logits = torch.split(table, sizes, dim=1)
            class_logits = class_logits.float()
            found = self.assigner(class_logits, box_logits, grid, objects, self.reg_max)
            num_targets = found.scores.sum().clamp(min=1)
            box, distribution = self._box_parts(box_logits, grid, objects, found)
            classes = _class_part(class_logits, grid, objects, ignored, found)
        return Loss(
            box=self.box_weight * box / num_targets,
            distribution=self.distribution_weight * distribution / num_targets,
            classes=self.class_weight * classes / num_targets,
        )

    def _box_parts(
        self, box_logits: Tensor, grid: AnchorGrid, objects: Objects, found: Assignment
    ) -> tuple[Tensor, Tensor]:
        logits = box_logits.index_select(0, found.anchors).float()
        points, strides = grid.points[found.anchors % len(grid)], grid.point_strides[found.anchors % len(grid)]
        wanted = objects.boxes[found.objects]
        overlap = ciou(decode_boxes(logits, points, strides, self.reg_max), wanted)
        sides = torch.cat((points - wanted[:, :2], wanted[:, 2:] - points), dim=1) / strides[:, None]
        distribution = distribution_focal_loss(torch.unflatten(logits, 1, (4, self.reg_max)), sides)
        return ((1 - overlap) * found.scores).sum(), (distribution.mean(dim=1) * found.scores).sum()


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


def ignore_weights(class_logits: Tensor, grid: AnchorGrid, ignored: Objects) -> Tensor:
    """Returns 0 for the (anchor point, class) entries inside ignored regions and 1 elsewhere: `(B * A, classes)`."""
    weights = torch.ones_like(class_logits)
    owner, point = points_inside(ignored.boxes, grid)
    row, label = ignored.images[owner] * len(grid) + point, ignored.labels[owner]
    weights[row[label < 0]] = 0.0
    weights[row[label >= 0], label[label >= 0]] = 0.0
    return weights


def distribution_focal_loss(logits: Tensor, sides: Tensor) -> Tensor:
    """Cross-entropy of the two bins beside each wanted distance, weighted by nearness.

    Args:
        logits: `(P, 4, reg_max)`.
        sides: wanted distances `(P, 4)` in cells; clamped to what the bins can express.

    Returns:
        `(P, 4)`.
    """
    wanted = sides.clamp(0, logits.shape[-1] - 1.01)
    low = wanted.floor()
    nearness = wanted - low
    log_chances = logits.log_softmax(dim=-1)
    at_low = log_chances.gather(-1, low.long()[..., None]).squeeze(-1)
    at_high = log_chances.gather(-1, low.long()[..., None] + 1).squeeze(-1)
    return -(at_low * (1 - nearness) + at_high * nearness)
