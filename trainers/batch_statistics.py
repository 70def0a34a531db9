"""Batch statistics of a detector whose weights were changed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from search_space import Detector
from search_space.errors import DataError
from trainers.data.augment import ImageFit
from trainers.data.dataset import Dataset, Image
from trainers.tiling import windows_of

NUM_BATCHES, BATCH_SIZE = 4, 16
"""The batches of training images from which statistics are estimated."""


@torch.no_grad()
def estimate_statistics(
    detector: Detector, dataset: Dataset, *, seed: int, num_batches: int = NUM_BATCHES, batch_size: int = BATCH_SIZE
) -> None:
    """Replaces the batch statistics of a detector by their means over a few batches without augmentation.

    The detector keeps its mode. Its other layers run as in evaluation.

    Args:
        detector: changed in place.
        dataset: unreadable images are left out.
        seed: draws the images.
    """
    norms = {each: each.momentum for each in detector.modules() if isinstance(each, _BatchNorm)}
    images = list(islice(_readable(dataset, seed), num_batches * batch_size)) if norms else []
    if not images:
        return
    training = detector.training
    detector.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the cumulative average
            norm.train()
        for batch in np.array_split(np.arange(len(images)), -(-len(images) // batch_size)):
            detector(_inputs([images[index] for index in batch], detector))
    finally:
        for norm, momentum in norms.items():
            norm.momentum = momentum
        detector.train(training)


def _readable(dataset: Dataset, seed: int) -> Iterator[Image]:
    """Yields the images of a data set in an order drawn by `seed`."""
    for index in np.random.default_rng(seed).permutation(len(dataset)):
        try:
            yield dataset.image(int(index))
        except DataError:
            continue


def _inputs(images: list[Image], detector: Detector) -> Tensor:
    """Returns images, or the middle one of their tiles, as an input `(B, 3, H, W)` of a detector, on its device."""
    images = [_middle_tile(image, detector) for image in images]
    how, device = detector.input_format.fit, next(detector.parameters()).device
    fits = [ImageFit.of((image.shape[0], image.shape[1]), detector.input_hw, how) for image in images]
    stack = np.stack([fit.apply(image) for fit, image in zip(fits, images, strict=True)])
    return torch.from_numpy(stack).to(device).permute(0, 3, 1, 2).float().div_(255)


def _middle_tile(image: Image, detector: Detector) -> Image:
    windows = windows_of(detector, (image.shape[0], image.shape[1]), detector.input_hw)
    return np.ascontiguousarray(windows[len(windows) // 2].of(image))
