"""Boxes that are longer than what the bins of an anchor-free head can express."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search_space.tile_grid import TileGrid
from trainers.data import Record
from trainers.data.compose import tile_of
from trainers.data.geometry import ImageFit


def longest_side_px(bins: int, strides: Sequence[int]) -> int | None:
    """Returns the longest side in px of the input that a head can express, at its coarsest level; None: any.

    A distance to a side is at most `bins` - 1 cells, so a side at most twice as long. One bin is the distance itself.

    Args:
        bins: numbers for each side of a box; 0 for heads without bins.
        strides: pixels per cell of its levels.
    """
    return 2 * (bins - 1) * max(strides) if bins > 1 else None


def bins_note(
    records: Sequence[Record],
    *,
    bins: int,
    strides: Sequence[int],
    input_hw: tuple[int, int],
    fit: str,
    tiles: TileGrid | None = None,
) -> str | None:
    """Returns a note on the boxes that are too long for a head; None if there are none.

    Args:
        records: the training images.
        bins: numbers for each side of a box; 0 for heads without bins.
        strides: pixels per cell of the levels of the head.
        input_hw: height and width of the input in px.
        fit: how images are scaled to it, as in `InputFormat.fit`.
        tiles: of the detector; None: it sees whole images.
    """
    limit = longest_side_px(bins, strides)
    if limit is None or limit >= max(input_hw):
        return None
    longest = np.concatenate(
        [_longest(record, input_hw, fit, tiles or TileGrid()) for record in records] or [np.zeros(0)]
    )
    too_long = int((longest > limit).sum())
    if not too_long:
        return None
    return (
        f"note: {too_long} of {len(longest)} training boxes have a side above {limit} px at this input, up to "
        f"{longest.max():.0f} px; with {bins} bins at stride {max(strides)} the head can express {limit} px; "
        "more bins, bins: 1 or a coarser level can express more"
    )


def _longest(record: Record, input_hw: tuple[int, int], fit: str, tiles: TileGrid) -> NDArray[np.float64]:
    """Returns the longer side `(N,)` of each box of an image in px of the input."""
    hw = (record.height, record.width)
    placed = ImageFit.of(tile_of(tiles, hw, input_hw) or hw, input_hw, fit)
    boxes = np.asarray(record.boxes, np.float64).reshape(-1, 4)
    sides = (boxes[:, 2:] - boxes[:, :2]) * (placed.scale_x, placed.scale_y)
    return np.asarray(sides.max(axis=1), np.float64)
