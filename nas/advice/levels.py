"""Pyramid levels that serve a box and that can see it, by the rules of the heads of this package.

Both rules use the side of a box, the square root of its area, in cells of the level: side / 2^level.

A level *serves* boxes with a side of 3/sqrt(2) to 3*sqrt(2) cells. Without a published table, SSD anchors are squares
of three cells (`search_space.heads.anchors`, "by_cell"). Between these two sides a square with the same centre overlaps
the anchor by the IoU of 0.5 that training needs for a match (Liu et al., SSD, ECCV 2016). The ratio of the sides is
two, like that of the strides, so each side belongs to one level. The anchors of TinyDet's region proposals (arXiv
2304.03428) have 2.25, 3.2 and 5.12 cells: the same within one level.

A level *sees* boxes with a side of at least two cells, the minimum that the anchor-free head assigns to each object
(`TaskAlignedAssigner.min_extent`): 2x2 cells contain four anchor points wherever the box lies.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nas.advice.box_sizes import Sides
from trainers.assigners import TaskAlignedAssigner

FINEST, COARSEST = 2, 6
LEVELS = tuple(range(FINEST, COARSEST + 1))
"""P2 to P6, the possible levels of a head; the stride of level l is 2^l."""
SERVED_CELLS = 3.0
"""Side in cells that a level fits best; it serves sides within a factor of sqrt(2)."""
SEEN_CELLS = TaskAlignedAssigner.min_extent
"""Smallest side in cells that a level sees."""


def serving_level(sides: Sides) -> NDArray[np.int64]:
    """Returns the level that serves each side `(N,)` in px of the input.

    Sides too small for the finest level belong to the finest, sides too large for the coarsest to the coarsest.
    """
    levels = np.floor(np.log2(np.maximum(sides, 1e-9) * math.sqrt(2) / SERVED_CELLS))
    return levels.clip(FINEST, COARSEST).astype(np.int64)


def num_served(sides: Sides) -> dict[int, int]:
    """Returns how many of the sides `(N,)` in px of the input each level serves; the sum is N."""
    levels = serving_level(sides)
    return {level: int((levels == level).sum()) for level in LEVELS}


def least_seen_px(level: int) -> float:
    """Returns the smallest side in px of the input that a level sees."""
    return SEEN_CELLS * 2.0**level


def num_seen(sides: Sides) -> dict[int, int]:
    """Returns how many of the sides `(N,)` in px of the input each level sees."""
    return {level: int((sides >= least_seen_px(level)).sum()) for level in LEVELS}
