"""Count the images, objects and classes in each split of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainers.data import Dataset, Record

QUANTILES = {"median": 0.5, "p90": 0.9, "p99": 0.99}
MAX_SHOWN = 100
"""Detections per image that COCO counts; `nas val` has the same default."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Counts of one split of a data set."""

    name: str
    num_images: int
    num_boxes: int
    """Without ignored regions."""
    num_empty: int
    """Images without a box; ignored regions do not count as boxes."""
    num_crowded: int
    """Images with more than `MAX_SHOWN` boxes."""
    objects: dict[str, int]
    """Boxes per image: `max` and the quantiles of `QUANTILES`."""
    by_class: dict[str, int]
    """Number of boxes of each class."""


def contents(name: str, dataset: Dataset) -> Contents:
    """Counts one split of a data set with at least one image."""
    counts = np.array([len(record.boxes) for record in dataset.records])
    quantiles = {key: int(np.quantile(counts, share, method="inverted_cdf")) for key, share in QUANTILES.items()}
    return Contents(
        name=name,
        num_images=len(counts),
        num_boxes=int(counts.sum()),
        num_empty=int((counts == 0).sum()),
        num_crowded=int((counts > MAX_SHOWN).sum()),
        objects={**quantiles, "max": int(counts.max())},
        by_class=_by_class(dataset.records, dataset.classes),
    )


def _by_class(records: Sequence[Record], classes: Sequence[str]) -> dict[str, int]:
    labels = np.concatenate([record.labels for record in records])
    counts = np.bincount(labels, minlength=len(classes))
    return {name: int(count) for name, count in zip(classes, counts, strict=True)}
