"""Divides validation images into a part that decides and a part that is only reported on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trainers.data.dataset import Dataset

MIN_IMAGES = 200
"""The fewest validation images that are divided by default."""
NUM_RUNS = 10
"""Consecutive images stay together in this many runs, because neighbouring frames of a video are near copies."""


class Parts(NamedTuple):
    """Validation images in two parts."""

    selection: Dataset
    """Its scores decide."""
    held_out: Dataset
    """It is looked at only when everything has been decided."""


def divide(dataset: Dataset) -> Parts:
    """Divides a data set into runs of consecutive images, every second of which is held out.

    Args:
        dataset: two images or more.
    """
    runs = np.array_split(np.arange(len(dataset)), min(NUM_RUNS, len(dataset)))
    return Parts(*(dataset.taking(np.concatenate(runs[first::2]).tolist()) for first in (0, 1)))
