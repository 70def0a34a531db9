"""ZiCo: how steady the gradients of an untrained detector are from batch to batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from search_space import Detector
from trainers.assigners import Objects
from trainers.proxies.gradients import loss_gradients, part_of
from trainers.proxies.proxy import proxy

MAX_PARTS = 4
"""Batches that the images are dealt out to."""
STEADIEST = 1e3
"""The ratio of mean to deviation counts at most this much: with a few batches a tiny deviation is chance."""


@proxy("zico", min_images=4)
def zico(detector: Detector, images: Tensor, objects: Objects) -> float:
    """Returns the sum over the layers of log(sum of mean |gradient| / standard deviation): Li et al., ICLR 2023.

    The gradients are those of the head's own loss, over up to four batches of at least two images that `images`
    `(B, 3, H, W)` are dealt out to. Weights whose gradient never changes, and layers that have no other, are left out.
    """
    num_parts = min(MAX_PARTS, len(images) // 2)
    bounds = [len(images) * part // num_parts for part in range(num_parts + 1)]
    samples = [
        loss_gradients(detector, images[first:end], part_of(objects, first, end))
        for first, end in zip(bounds, bounds[1:], strict=False)
    ]
    return sum(steadiness(layer) for layer in zip(*samples, strict=True))


def steadiness(gradients: Sequence[Tensor]) -> float:
    """Returns log(sum of mean |gradient| / deviation) of one layer's gradients; 0 if none of them vary.

    They are of any one shape, such as `(out, in, 3, 3)`, one a batch.
    """
    # Batch after batch, because reducing a stack of them is many times slower.
    count, first = len(gradients), gradients[0]
    mean, magnitude, variance = torch.zeros_like(first), torch.zeros_like(first), torch.zeros_like(first)
    for gradient in gradients:
        mean.add_(gradient, alpha=1 / count)
        magnitude.add_(gradient.abs(), alpha=1 / count)
    for gradient in gradients:
        variance.add_((gradient - mean).square_(), alpha=1 / count)
    varying = variance > 0
    ratios = magnitude[varying] / variance[varying].sqrt_()
    total = ratios.clamp_(max=STEADIEST).double().sum()
    return float(total.log()) if total > 0 else 0.0
