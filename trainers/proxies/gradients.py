"""Gradients of the loss of a head, for the proxies that use them."""

from __future__ import annotations

import torch
from torch import Tensor

from search_space import Detector
from trainers.assigners import Objects
from trainers.heads import head_training


def loss_gradients(detector: Detector, images: Tensor, objects: Objects) -> list[Tensor]:
    """Returns the gradient of the loss for each weight of more than one dimension.

    Each gradient has the shape of its weight and is 0 where the loss does not depend on it. `images` are
    `(B, 3, H, W)`. Batch norm is in training mode: it uses the statistics of the batch and updates its averages.

    Raises:
        ConfigError: the head has no loss.
    """
    head = head_training(detector)
    loss = head.loss(detector.train(), images, objects, no_objects(images.device)).total
    weights = [parameter for parameter in detector.parameters() if parameter.ndim > 1]
    gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    return [
        torch.zeros_like(weight) if gradient is None else gradient
        for weight, gradient in zip(weights, gradients, strict=True)
    ]


def no_objects(device: torch.device) -> Objects:
    """Returns an empty table, for batches without ignored regions."""
    none = torch.zeros(0, dtype=torch.long, device=device)
    return Objects(boxes=torch.zeros(0, 4, device=device), labels=none, images=none)


def part_of(objects: Objects, first: int, end: int) -> Objects:
    """Returns the objects of the images `first` .. `end` - 1, with image numbers from 0."""
    mine = (objects.images >= first) & (objects.images < end)
    return Objects(boxes=objects.boxes[mine], labels=objects.labels[mine], images=objects.images[mine] - first)
