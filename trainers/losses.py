"""Loss functions that do not depend on the kind of head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.assigners import Objects, points_inside
from trainers.boxes import AnchorGrid


@dataclass(frozen=True, kw_only=True)
class Loss:
    """The weighted parts of a loss."""

    parts: Mapping[str, Tensor]
    """Scalar tensors by name, such as `box` and `classes`; the same names at every step of a head."""

    @property
    def total(self) -> Tensor:
        """The sum of the parts, a scalar."""
        return torch.stack(tuple(self.parts.values())).sum()


def ignore_weights(class_logits: Tensor, grid: AnchorGrid, ignored: Objects) -> Tensor:
    """Returns 0 for the (anchor point, class) entries inside ignored regions and 1 elsewhere: `(B * A, classes)`."""
    weights = torch.ones_like(class_logits)
    owner, point = points_inside(ignored.boxes, grid)
    row, label = ignored.images[owner] * len(grid) + point, ignored.labels[owner]
    weights[row[label < 0]] = 0.0
    weights[row[label >= 0], label[label >= 0]] = 0.0
    return weights


def distribution_focal_loss(logits: Tensor, sides: Tensor) -> Tensor:
    """Cross-entropy with the two bins next to each target distance, weighted by proximity.

    A distance of 2.3 cells is a target of 0.7 for bin 2 and 0.3 for bin 3, so that the expected value is 2.3.

    Args:
        logits: `(P, 4, reg_max)`.
        sides: target distances `(P, 4)` in cells; clamped to the range of the bins.

    Returns:
        `(P, 4)`.
    """
    target = sides.clamp(0, logits.shape[-1] - 1.01)
    low = target.floor()
    proximity = target - low
    log_probabilities = logits.log_softmax(dim=-1)
    at_low = log_probabilities.gather(-1, low.long()[..., None]).squeeze(-1)
    at_high = log_probabilities.gather(-1, low.long()[..., None] + 1).squeeze(-1)
    return -(at_low * (1 - proximity) + at_high * proximity)


def distance_loss(distances: Tensor, sides: Tensor, strides: Tensor, image_hw: tuple[int, int]) -> Tensor:
    """Absolute error of predicted distances, as a share of the width or height of the image.

    The L1 part of YOLO26, for heads that predict one number for each side.

    Args:
        distances: predictions `(P, 4)` of left, top, right and bottom in cells.
        sides: targets `(P, 4)` in cells.
        strides: pixels per cell of each row, `(P,)`.
        image_hw: height and width of the input in px.

    Returns:
        `(P, 4)`.
    """
    height, width = image_hw
    return (distances - sides).abs() * strides[:, None] / distances.new_tensor((width, height, width, height))
