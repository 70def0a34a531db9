"""Sizes of the boxes of a data set, in the images and at each input size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_space.errors import DataError
from trainers.data import Record
from trainers.data.geometry import ImageFit

Sides = NDArray[np.float64]
"""`(N,)`: the square root of the area of each box, in pixels."""

EDGES_PX = (0, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Lower edges of the histogram bins; the last bin is open."""
LIMITS_PX = (8, 16, 32)
"""Sides below which boxes are counted at each input size."""


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Number of boxes with a side of at least `low_px` and less than `high_px`."""

    low_px: int
    high_px: int | None
    """None for the last, open bin."""
    num_boxes: int


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxSizes:
    """The sides of the boxes of a data set, and the sizes of their images."""

    original: Sides
    """In pixels of the original image."""
    box_hw: NDArray[np.int64]
    """`(N,)`: for each box, the index in `hws` of the size of its image."""
    hws: tuple[tuple[int, int], ...]
    """Distinct image sizes (H, W)."""
    num_images: tuple[int, ...]
    """Number of images of each size."""

    @property
    def long_side_px(self) -> int:
        """Median of the longer sides of the images, in px."""
        longer = np.repeat([max(hw) for hw in self.hws], self.num_images)
        return int(np.quantile(longer, 0.5, method="higher"))

    @property
    def usual_hw(self) -> tuple[int, int]:
        """The size (H, W) of most images; of several the largest."""
        return max(zip(self.num_images, self.hws, strict=True))[1]

    def at(self, input_px: int) -> Sides:
        """Returns the sides `(N,)` in pixels of a square input that each image is letterboxed into."""
        gains = []
        for hw in self.hws:
            fitted = ImageFit.of(hw, (input_px, input_px), "letterbox")
            gains.append((fitted.scale_x * fitted.scale_y) ** 0.5)
        return np.asarray(self.original * np.array(gains)[self.box_hw], np.float64)


def box_sizes(records: Sequence[Record]) -> BoxSizes:
    """Returns the sizes of all boxes of the records, without ignored regions.

    Raises:
        DataError: There are no boxes.
    """
    if not any(len(record.boxes) for record in records):
        raise DataError("no image has a box, so there are no sizes to analyse; check the labels")
    all_hws = [(record.height, record.width) for record in records]
    counted = Counter(all_hws)
    hws = tuple(sorted(counted))
    row_of = {hw: row for row, hw in enumerate(hws)}
    boxes = np.concatenate([record.boxes for record in records]).astype(np.float64)
    return BoxSizes(
        original=np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1)),
        box_hw=np.repeat([row_of[hw] for hw in all_hws], [len(record.boxes) for record in records]),
        hws=hws,
        num_images=tuple(counted[hw] for hw in hws),
    )


def histogram(sides: Sides) -> tuple[Bin, ...]:
    """Counts sides `(N,)` in the bins of `EDGES_PX`."""
    counts = np.histogram(sides, [*EDGES_PX, np.inf])[0]
    ends = (*EDGES_PX[1:], None)
    return tuple(
        Bin(low_px=low, high_px=high, num_boxes=int(count))
        for low, high, count in zip(EDGES_PX, ends, counts, strict=True)
    )


def num_under(sides: Sides) -> dict[int, int]:
    """Returns how many of the sides `(N,)` are below each of `LIMITS_PX`."""
    return {limit: int((sides < limit).sum()) for limit in LIMITS_PX}
