"""The gradients of a head's loss, for the scores that are made of them."""

from __future__ import annotations

import torch
from torch import Tensor

from search_space import Detector
from trainers.assigners import Objects
from trainers.heads import head_training


def loss_gradients(detector: Detector, images: Tensor, objects: Objects) -> list[Tensor]:
    """Returns the gradient of the head's loss for each weight of more than one dimension that it reaches.

    Each has the shape of its weight. `images` are `(B, 3, H, W)`. Batch norm takes the statistics of the batch and
    keeps moving its averages, as in training.

    Raises:
        ConfigError: the kind of head has no loss.
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
    """Returns the objects of the images from `first` to before `end`, numbered from 0."""
    mine = (objects.images >= first) & (objects.images < end)
    return Objects(boxes=objects.boxes[mine], labels=objects.labels[mine], images=objects.images[mine] - first)
