"""The moving average of a detector's weights, and batch statistics that are right from the first steps on."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from search_space import Detector


class WeightAverage:
    """An exponential moving average of all weights and batch statistics of a detector, which must stay where it is.

    The decay rises as (1 + n) / (10 + n), so that the average spans about the last tenth of the steps so far: a run of
    100 steps is averaged as sensibly as one of 100,000.
    """

    def __init__(self, detector: Detector, max_decay: float) -> None:
        self.detector: Detector = copy.deepcopy(detector).eval().requires_grad_(False)
        self.max_decay = max_decay
        self.num_updates = 0
        pairs = list(zip(self.detector.state_dict().values(), detector.state_dict().values(), strict=True))
        self._moving = [(mean, value) for mean, value in pairs if mean.is_floating_point()]
        self._copied = [(mean, value) for mean, value in pairs if not mean.is_floating_point()]
        self._statistics = list(zip(self.detector.buffers(), detector.buffers(), strict=True))

    @torch.no_grad()
    def update(self) -> None:
        """Moves the average towards the present weights; integers are copied."""
        self.num_updates += 1
        decay = min(self.max_decay, (1 + self.num_updates) / (10 + self.num_updates))
        means, values = ([pair[side] for pair in self._moving] for side in (0, 1))
        torch._foreach_lerp_(means, values, 1 - decay)
        for mean, value in self._copied:
            mean.copy_(value)

    @torch.no_grad()
    def repair_statistics(self) -> None:
        """Puts the averaged statistics where a step that went wrong has left values that are not finite."""
        for mean, value in self._statistics:
            if value.is_floating_point() and not value.isfinite().all():
                value.copy_(mean)


class StatisticsWarmup:
    """Lets batch norm average all batches so far while these are fewer than its momentum would weigh.

    With the usual momentum of 0.03 the initial mean 0 and variance 1 still count for 5 % after 100 steps.
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
        """Sets the momenta back to what they were."""
        for norm, momentum in self._norms:
            norm.momentum = momentum
