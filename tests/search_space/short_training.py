"""A few steps of training on two drawn objects."""

from __future__ import annotations

import numpy as np
import torch

from search_space import Detector
from trainers.assigners import Objects
from trainers.heads import HeadOptions, head_training

OBJECTS = Objects(
    boxes=torch.tensor([[8.0, 8.0, 40.0, 32.0], [20.0, 4.0, 60.0, 50.0]]),
    labels=torch.tensor([1, 0]),
    images=torch.tensor([0, 1]),
)
"""One object in each of two images of 64x64 px."""
NOTHING = Objects(boxes=torch.zeros(0, 4), labels=torch.zeros(0).long(), images=torch.zeros(0).long())


def assert_learns(detector: Detector) -> None:
    """Trains a detector of 64x64 px for six steps: the loss falls by a tenth, and every parameter has a gradient."""
    training = head_training(detector.train(), HeadOptions())
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.Adam(detector.parameters(), lr=2e-3)
    totals = []
    for _ in range(6):
        loss = training.loss(detector, images, OBJECTS, NOTHING).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        totals.append(loss.item())
    assert np.isfinite(totals).all() and totals[-1] < 0.9 * totals[0]
    assert all(parameter.grad is not None for parameter in detector.parameters())
