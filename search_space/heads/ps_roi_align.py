"""Position-sensitive RoI align: each bin of a box reads its own channels, from the level for the size of the box.

Dai et al., "R-FCN", NeurIPS 2016, with the sampling of He et al., "Mask R-CNN", ICCV 2017. As in
the code of TinyDet, a bin is the maximum of its samples. The operators of libraries take the mean, and some shift boxes
by half a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SAMPLES = 2
"""Samples per bin along each axis, at the centres of equal parts."""

MIN_SIZE = 0.1
"""Smallest width and height of a box, in cells of its level."""


def assign_levels(boxes: Tensor, base_size: float, num_levels: int) -> Tensor:
    """Returns the level of each of `boxes` `(..., 4)` px, counted from the finest: `(...)`.

    Boxes below twice `base_size` px are on the finest level, below four times on the next, and so on. The size is the
    square root of the area in inclusive pixels, at least one pixel. Lin et al., "Feature pyramid networks", CVPR 2017.
    """
    width, height = (boxes[..., 2:] - boxes[..., :2] + 1).clamp(min=1).unbind(dim=-1)
    return ((width * height).sqrt() / base_size + 1e-6).log2().floor().clamp(0, num_levels - 1).long()


def ps_roi_align(maps: Sequence[Tensor], boxes: Tensor, levels: Tensor, *, strides: Sequence[int], bins: int) -> Tensor:
    """Returns the features of boxes, each read from its level: `(B, N, planes * bins * bins)`.

    Bin (i, j) of plane t, row i and column j of the box, is channel (t * bins + i) * bins + j of the maps and of the
    result. It is the maximum of 2x2 bilinear samples. Corners are only divided by the stride, so coordinate 0
    is the centre of the first cell. A sample more than one cell before the first row or column, or past the number of
    rows or columns, is 0; other samples outside read the nearest cells. Gradients flow to the maps only.

    Args:
        maps: `(B, planes * bins * bins, H, W)` of each level, finest first.
        boxes: `(B, N, 4)` px of the input.
        levels: `(B, N)`, the index of each box's map.
        strides: pixels per cell of each map.
        bins: parts of a box along each axis.
    """
    batch, channels = maps[0].shape[:2]
    num_boxes = boxes.shape[1]
    # All levels in one row of cells: boxes of all levels need one gather of a static shape.
    cells = torch.unflatten(torch.cat([level.flatten(2) for level in maps], dim=2), 1, (-1, bins * bins))
    with torch.no_grad():
        index, weight = _corners(maps, boxes.detach(), levels, strides, bins)
    index = index[:, None].expand(-1, cells.shape[1], -1, -1)
    values = torch.unflatten(cells.gather(3, index), 3, (SAMPLES * SAMPLES, 4, num_boxes))
    samples = (values * weight[:, None].to(values.dtype)).sum(dim=4)
    strongest: Tensor = samples.max(dim=3).values
    return strongest.permute(0, 3, 1, 2).reshape(batch, num_boxes, channels)


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """Positions of the samples of boxes along one axis of their maps, `(B, N, bins * SAMPLES)` each."""

    low: Tensor
    """Index of the cell before the sample."""
    high: Tensor
    """Index of the cell after it."""
    fraction: Tensor
    """Position of the sample between the two cells, 0 to 1."""
    inside: Tensor
    """1 inside the map, 0 outside."""


def _axis(start: Tensor, end: Tensor, length: Tensor, bins: int) -> _Axis:
    """Places samples between `start` and `end`, both `(B, N)` in cells, on maps of `length` cells `(B, N)`."""
    parts = bins * SAMPLES
    fractions = (torch.arange(parts, dtype=start.dtype, device=start.device) + 0.5) / parts
    size = (end - start).clamp(min=MIN_SIZE)
    position = start[..., None] + size[..., None] * fractions
    length = length[..., None]
    inside = (position >= -1) & (position <= length)
    position = torch.minimum(position.clamp(min=0), length - 1)
    low = position.floor()
    return _Axis(
        low=low.long(),
        high=torch.minimum(low + 1, length - 1).long(),
        fraction=position - low,
        inside=inside.to(start.dtype),
    )


def _corners(
    maps: Sequence[Tensor], boxes: Tensor, levels: Tensor, strides: Sequence[int], bins: int
) -> tuple[Tensor, Tensor]:
    """Returns the four cells around each sample and their weights.

    Returns:
        Indices into the row of all cells, `(B, bins * bins, samples * 4 * N)`, and weights
        `(B, bins * bins, samples, 4, N)`. Boxes are the last dimension for speed.
    """
    sizes = [(level.shape[2], level.shape[3]) for level in maps]
    first_cells = [sum(rows * columns for rows, columns in sizes[:index]) for index in range(len(sizes))]
    facts = [(*size, first, stride) for size, first, stride in zip(sizes, first_cells, strides, strict=True)]
    table = torch.tensor(facts, dtype=torch.float32, device=boxes.device)  # also for maps in half precision
    rows, columns, first, stride = table[levels].unbind(dim=-1)
    x1, y1, x2, y2 = (boxes.float() / stride[..., None]).unbind(dim=-1)
    down, across = _axis(y1, y2, rows, bins), _axis(x1, x2, columns, bins)
    y_index = _by_bin(torch.stack((down.low, down.high), dim=2) * columns.long()[..., None, None], bins)
    x_index = _by_bin(torch.stack((across.low, across.high), dim=2) + first.long()[..., None, None], bins)
    y_weight = _by_bin(torch.stack((1 - down.fraction, down.fraction), dim=2) * down.inside[:, :, None], bins)
    x_weight = _by_bin(torch.stack((1 - across.fraction, across.fraction), dim=2) * across.inside[:, :, None], bins)
    # In each of the axes bin, sample and corner, vertical comes before horizontal.
    index = y_index[:, :, None, :, None, :, None] + x_index[:, None, :, None, :, None]
    weight = y_weight[:, :, None, :, None, :, None] * x_weight[:, None, :, None, :, None]
    batch, num_boxes = boxes.shape[:2]
    return index.reshape(batch, bins * bins, -1), weight.reshape(batch, bins * bins, SAMPLES * SAMPLES, 4, num_boxes)


def _by_bin(pairs: Tensor, bins: int) -> Tensor:
    """Reorders values of the two cells around each sample `(B, N, 2, bins * s)` by bins: `(B, bins, s, 2, N)`."""
    batch, num_boxes = pairs.shape[:2]
    return pairs.permute(0, 3, 2, 1).contiguous().reshape(batch, bins, SAMPLES, 2, num_boxes)
