"""Parts of training losses that do not depend on the kind of head."""

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
