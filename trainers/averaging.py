"""The moving average of the weights of a detector, and a warm-up of batch statistics."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from search_space import Detector


class WeightAverage:
    """A moving average of the weights and batch statistics of a detector, whose tensors must not be replaced.

    The decay rises as (1 + n) / (10 + n) up to `max_decay`. Until then the average covers about the last tenth of the
    updates, which suits short trainings as well. With `ramp` it is max_decay (1 - exp(-n / ramp)), as with Ultralytics.
    """

    def __init__(self, detector: Detector, max_decay: float, ramp: float | None = None) -> None:
        self.detector: Detector = copy.deepcopy(detector).eval().requires_grad_(False)
        self.max_decay = max_decay
        self.ramp = ramp
        self.num_updates = 0
        pairs = list(zip(self.detector.state_dict().values(), detector.state_dict().values(), strict=True))
        self._moving = [(mean, value) for mean, value in pairs if mean.is_floating_point()]
        self._copied = [(mean, value) for mean, value in pairs if not mean.is_floating_point()]
        self._statistics = list(zip(self.detector.buffers(), detector.buffers(), strict=True))

    @torch.no_grad()
    def update(self) -> None:
        """Moves the average towards the current weights; integers are copied."""
        self.num_updates += 1
        if self.ramp is None:
            decay = min(self.max_decay, (1 + self.num_updates) / (10 + self.num_updates))
        else:
            decay = self.max_decay * (1 - math.exp(-self.num_updates / self.ramp))
        means, values = ([pair[side] for pair in self._moving] for side in (0, 1))
        torch._foreach_lerp_(means, values, 1 - decay)
        for mean, value in self._copied:
            mean.copy_(value)

    @torch.no_grad()
    def repair_statistics(self) -> None:
        """Replaces batch statistics that a bad step has made non-finite by their averages."""
        for mean, value in self._statistics:
            if value.is_floating_point() and not value.isfinite().all():
                value.copy_(mean)


class StatisticsWarmup:
    """Uses the cumulative average of batch statistics in the first passes, until 1 / passes falls below the momentum.

    With the usual momentum of 0.03, the initial mean 0 and variance 1 would still have a weight of 5 % after 100 steps.
    """

    def __init__(self, detector: nn.Module) -> None:
        self._norms = [
            (norm, norm.momentum)
            for norm in detector.modules()
            if isinstance(norm, _BatchNorm) and norm.momentum is not None
        ]

    def set_pass(self, number: int) -> None:
        """Sets the momenta for a forward pass (0-based)."""
        for norm, momentum in self._norms:
            norm.momentum = max(momentum, 1 / (number + 1))

    def close(self) -> None:
        """Restores the original momenta."""
        for norm, momentum in self._norms:
            norm.momentum = momentum
