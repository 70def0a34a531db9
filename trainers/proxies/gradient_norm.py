"""Gradient norm: how strongly the first step of a training would pull at the weights."""

from __future__ import annotations

import torch
from torch import Tensor

from search_space import Detector
from trainers.assigners import Objects
from trainers.proxies.gradients import loss_gradients
from trainers.proxies.proxy import proxy


@proxy("gradient_norm", min_images=2)
def gradient_norm(detector: Detector, images: Tensor, objects: Objects) -> float:
    """Returns the sum over the layers of the norm of the loss's gradient: Abdelfattah et al., ICLR 2021.

    Of `images` `(B, 3, H, W)` two at least, because batch norm has nothing to compare in a map of one cell of a single
    image.
    """
    gradients = loss_gradients(detector, images, objects)
    return float(torch.stack([gradient.double().norm() for gradient in gradients]).sum())
