"""The batch of images on which candidates are scored."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from search_space.errors import ConfigError, DataError
from trainers.assigners import Objects
from trainers.data.augment import ImageFit
from trainers.data.dataset import Dataset


def proxy_batch(
    dataset: Dataset, input_hw: tuple[int, int], batch_size: int = 16, seed: int = 0, *, fit: str
) -> tuple[Tensor, Objects]:
    """Returns images `(batch_size, 3, H, W)` RGB 0..1 and their objects, drawn by `seed`, without augmentation.

    Images with objects are drawn first. No image is repeated before all have been drawn. `fit` is how images are scaled
    to the input, `letterbox` or `stretch`.

    Raises:
        DataError: the data set is empty, or an image cannot be read.
        ConfigError: `batch_size` is not positive.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; it must be positive, such as 16")
    if not len(dataset):
        raise DataError("the data set has no images to score detectors on; check its path and split")
    images, boxes, labels, owners = [], [], [], []
    for place, index in enumerate(_drawn(dataset, batch_size, seed)):
        record, image = dataset.records[index], dataset.image(index)
        inside = ImageFit.of((image.shape[0], image.shape[1]), input_hw, fit)
        images.append(inside.apply(image))
        boxes.append(inside.to_input(record.boxes))
        labels.append(record.labels)
        owners.append(np.full(len(record.boxes), place))
    objects = Objects(
        boxes=torch.from_numpy(np.concatenate(boxes).astype(np.float32)),
        labels=torch.from_numpy(np.concatenate(labels).astype(np.int64)),
        images=torch.from_numpy(np.concatenate(owners).astype(np.int64)),
    )
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div_(255), objects


def _drawn(dataset: Dataset, count: int, seed: int) -> list[int]:
    order = np.random.default_rng(seed).permutation(len(dataset))
    full = [int(index) for index in order if len(dataset.records[index].boxes)]
    empty = [int(index) for index in order if not len(dataset.records[index].boxes)]
    return [(full + empty)[place % len(order)] for place in range(count)]
