"""ZiCo: how consistent the gradients of an untrained detector are across batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from search_space import Detector
from trainers.assigners import Objects
from trainers.proxies.gradients import loss_gradients, part_of
from trainers.proxies.proxy import proxy

MAX_PARTS = 4
"""Number of batches into which the images are divided."""
MAX_RATIO = 1e3
"""Upper bound of the ratio of mean to deviation: with few batches, a tiny deviation is chance."""


@proxy("zico", min_images=4)
def zico(detector: Detector, images: Tensor, objects: Objects) -> float:
    """Returns the sum over layers of log(sum of mean |gradient| / standard deviation): Li et al., ICLR 2023.

    The gradients are those of the loss of the head. `images` `(B, 3, H, W)` are divided into up to four batches of at
    least two images. Weights with a constant gradient, and layers with only such weights, are skipped.
    """
    num_parts = min(MAX_PARTS, len(images) // 2)
    bounds = [len(images) * part // num_parts for part in range(num_parts + 1)]
    samples = [
        loss_gradients(detector, images[first:end], part_of(objects, first, end))
        for first, end in zip(bounds, bounds[1:], strict=False)
    ]
    return sum(gradient_consistency(layer) for layer in zip(*samples, strict=True))


def gradient_consistency(gradients: Sequence[Tensor]) -> float:
    """Returns log(sum of mean |gradient| / deviation) of the gradients of one layer; 0 if none of them vary.

    `gradients` has one tensor per batch, all of the shape of the weight, such as `(out, in, 3, 3)`.
    """
    # Accumulated batch by batch: reducing a stacked tensor is many times slower.
    count, first = len(gradients), gradients[0]
    mean, magnitude, variance = torch.zeros_like(first), torch.zeros_like(first), torch.zeros_like(first)
    for gradient in gradients:
        mean.add_(gradient, alpha=1 / count)
        magnitude.add_(gradient.abs(), alpha=1 / count)
    for gradient in gradients:
        variance.add_((gradient - mean).square_(), alpha=1 / count)
    varying = variance > 0
    ratios = magnitude[varying] / variance[varying].sqrt_()
    total = ratios.clamp_(max=MAX_RATIO).double().sum()
    return float(total.log()) if total > 0 else 0.0
