"""Gradient norm: the size of the gradient in the first training step."""

from __future__ import annotations

import torch
from torch import Tensor

from search_space import Detector
from trainers.assigners import Objects
from trainers.proxies.gradients import loss_gradients
from trainers.proxies.proxy import proxy


@proxy("gradient_norm", min_images=2)
def gradient_norm(detector: Detector, images: Tensor, objects: Objects) -> float:
    """Returns the sum over layers of the norm of the loss gradient: Abdelfattah et al., ICLR 2021.

    `images` `(B, 3, H, W)` must be at least two: in training mode, batch norm needs more than one value per channel,
    which a single image with a map of one cell does not give.
    """
    gradients = loss_gradients(detector, images, objects)
    return float(torch.stack([gradient.double().norm() for gradient in gradients]).sum())
