"""Which level of the pyramid a box belongs to, and which levels can see it, by what the heads of this package do.

Two rules, both by the side of a box, the square root of its area, in cells of the level: side / 2^level.

A level *serves* the boxes whose side is 3/sqrt(2) to 3*sqrt(2) of its cells. The anchors that an SSD head has without a
published table are squares of three cells (`search_space.heads.anchors`, "by_cell"), and a square about the same centre
overlaps such an anchor by the 0.5 from which on training takes it as a match (Liu et al., SSD, ECCV 2016) just between
these two sides. Their ratio is two, as that of the strides, so that each side belongs to one level. TinyDet's region
proposals (arXiv 2304.03428) have anchors of 2.25, 3.2 and 5.12 cells: the same within one level.

A level *sees* a box that is two of its cells wide or more, the least that the assignment of the anchor-free head gives
every object (`TaskAlignedAssigner.min_extent`): two cells by two always hold four anchor points, wherever the box lies.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nas.advice.box_sizes import Sides
from trainers.assigners import TaskAlignedAssigner

FINEST, COARSEST = 2, 6
LEVELS = tuple(range(FINEST, COARSEST + 1))
"""P2 to P6, the levels that a head of the search space may have; the stride of level l is 2^l."""
SERVED_CELLS = 3.0
"""Side in cells of the box that a level fits best; it serves those of up to sqrt(2) times as much or as little."""
SEEN_CELLS = TaskAlignedAssigner.min_extent
"""Side in cells from which on a level sees a box."""


def serving_level(sides: Sides) -> NDArray[np.int64]:
    """Returns the level that serves each side `(N,)` in px of the input.

    What is too small for the finest level is the finest's all the same, and what is too large the coarsest's.
    """
    levels = np.floor(np.log2(np.maximum(sides, 1e-9) * math.sqrt(2) / SERVED_CELLS))
    return levels.clip(FINEST, COARSEST).astype(np.int64)


def num_served(sides: Sides) -> dict[int, int]:
    """Returns how many of the sides `(N,)` in px of the input each level serves; the sum is N."""
    levels = serving_level(sides)
    return {level: int((levels == level).sum()) for level in LEVELS}


def least_seen_px(level: int) -> float:
    """Returns the side in px of the input from which on a level sees a box."""
    return SEEN_CELLS * 2.0**level


def num_seen(sides: Sides) -> dict[int, int]:
    """Returns how many of the sides `(N,)` in px of the input each level sees."""
    return {level: int((sides >= least_seen_px(level)).sum()) for level in LEVELS}
