"""Anchors of region proposal heads and SSD heads: the boxes from which a head predicts offsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod, sqrt

import torch
from torch import Tensor

from search_space.errors import SpaceError
from search_space.registry import Registry

RPN_RATIOS = (0.5, 1.0, 2.0)
"""Aspect ratios, height over width, of the anchors of a cell of a region proposal head, in this order."""


def rpn_base_anchors(stride: int, scale: float) -> Tensor:
    """Returns the anchors `(3, 4)` px of the first cell of a level, one for each of RPN_RATIOS, as x1, y1, x2, y2.

    Each has the area of a square with sides `stride * scale`, in inclusive pixels, and is rounded to whole pixels,
    halves to even. Source: Ren et al., Faster R-CNN, NeurIPS 2015, as TinyDet's authors released it.
    """
    centre = (stride - 1) / 2
    ratios = torch.tensor(RPN_RATIOS, dtype=torch.float64)
    half_width = (stride * scale / ratios.sqrt() - 1) / 2
    half_height = (stride * scale * ratios.sqrt() - 1) / 2
    corners = (centre - half_width, centre - half_height, centre + half_width, centre + half_height)
    return torch.stack(corners, dim=-1).round().float()


def rpn_anchors(map_hw: tuple[int, int], stride: int, scale: float) -> Tensor:
    """Returns the anchors `(H * W * 3, 4)` px of all cells of a level, in the order row, column, anchor."""
    rows, columns = map_hw
    y, x = torch.meshgrid(torch.arange(rows) * stride, torch.arange(columns) * stride, indexing="ij")
    shifts = torch.stack((x, y, x, y), dim=-1)
    return (shifts[:, :, None] + rpn_base_anchors(stride, scale)).reshape(-1, 4)


@dataclass(frozen=True, kw_only=True)
class AnchorScheme:
    """The anchors of an SSD head on a square input; all empty where they depend on the maps."""

    sizes: tuple[int, ...] = ()
    """Side of the small square of each map in px, finest first, and one more value."""
    steps: tuple[int, ...] = ()
    """Distance between neighbouring centres on each map, in px."""
    per_cell: tuple[int, ...] = ()
    """Anchors in each cell of each map, 4 or 6."""
    side: int = 300
    """Side of the input in px for which they are defined."""
    by_name: bool = False
    """Whether a search has it only where the user names it."""

    def __post_init__(self) -> None:
        lengths = (len(self.sizes), len(self.steps), len(self.per_cell))
        if lengths not in ((0, 0, 0), (len(self.steps) + 1, len(self.steps), len(self.steps))):
            raise SpaceError(
                f"anchor scheme has {lengths} sizes, steps and anchors per cell; for n maps give n + 1, n and n"
            )
        if not set(self.per_cell) <= {4, 6}:
            raise SpaceError(f"anchor scheme has {self.per_cell} anchors per cell; choose 4 or 6 for each map")


SSD_ANCHORS: Registry[AnchorScheme] = Registry("anchor scheme")

SSD_ANCHORS.add("by_cell", AnchorScheme())
SSD_ANCHORS.add(
    "mobilenetv1",
    AnchorScheme(
        sizes=(45, 90, 135, 180, 225, 270, 315),
        steps=(16, 32, 64, 100, 150, 300),
        per_cell=(6, 6, 6, 6, 4, 4),
    ),
)
SSD_ANCHORS.add(
    "mobilenetv1-s1l0",
    AnchorScheme(
        sizes=(10, 45, 90, 135, 180, 225, 270),
        steps=(8, 16, 32, 64, 100, 300),
        per_cell=(6, 6, 6, 6, 6, 4),
    ),
)
SSD_ANCHORS.add(
    "mobilenetv1-s1l0-dualpath",
    AnchorScheme(
        sizes=(10, 45, 135, 180, 225, 270, 315),
        steps=(8, 16, 64, 100, 150, 300),
        per_cell=(6, 6, 6, 6, 6, 4),
    ),
)
SSD_ANCHORS.add(
    "mobilenetv1-s1l4",
    AnchorScheme(
        sizes=(10, 45, 90, 135, 180, 225, 270),
        steps=(8, 16, 32, 64, 100, 150),
        per_cell=(6, 6, 6, 6, 6, 4),
        by_name=True,
    ),
)
SSD_ANCHORS.add(
    "mobilenetv1-s2l0-6",
    AnchorScheme(
        sizes=(5, 10, 45, 90, 135, 180, 225),
        steps=(4, 8, 16, 32, 64, 100),
        per_cell=(6, 6, 6, 6, 6, 4),
        by_name=True,
    ),
)
SSD_ANCHORS.add(
    "mobilenetv1-size512",
    AnchorScheme(
        sizes=(45, 133, 215, 297, 379, 461, 543),
        steps=(16, 32, 64, 128, 256, 512),
        per_cell=(6, 6, 6, 6, 4, 4),
        side=512,
        by_name=True,
    ),
)
SSD_ANCHORS.add(
    "vgg16",
    AnchorScheme(
        sizes=(30, 60, 111, 162, 213, 264, 315),
        steps=(8, 16, 32, 64, 100, 300),
        per_cell=(6, 6, 6, 6, 4, 4),
    ),
)
SSD_ANCHORS.add(
    "vgg16-s1l2",
    AnchorScheme(
        sizes=(15, 30, 60, 111, 162, 213, 264),
        steps=(4, 8, 16, 32, 64, 100),
        per_cell=(6, 6, 6, 6, 4, 4),
    ),
)
SSD_ANCHORS.add(
    "vgg16-s1l2-dualpath",
    AnchorScheme(
        sizes=(15, 30, 111, 162, 213, 264, 315),
        steps=(4, 8, 32, 64, 100, 300),
        per_cell=(6, 6, 6, 6, 4, 4),
    ),
)


def anchors_per_cell(scheme: str, num_maps: int) -> tuple[int, ...]:
    """Returns how many anchors a cell has on each of `num_maps` maps, finest map first.

    Raises:
        SpaceError: The scheme is unknown or defined for another number of maps.
    """
    found = SSD_ANCHORS.get(scheme)
    if not found.per_cell:
        return (6,) * num_maps
    if len(found.per_cell) != num_maps:
        raise SpaceError(
            f"anchor scheme {scheme!r} is for {len(found.per_cell)} maps, got {num_maps}; choose 'by_cell', which is "
            "for any number"
        )
    return found.per_cell


def ssd_anchors(scheme: str, map_sizes: Sequence[tuple[int, int]], input_hw: tuple[int, int]) -> Tensor:
    """Returns the anchors `(A, 4)` of an SSD head as cx, cy, w, h in fractions of the input, clamped to 0 .. 1.

    The order is map, row, column, anchor. A cell has a square of the size of its map, a square of the geometric mean of
    that and the size of the next map, then two anchors with the area of the first and aspect ratio 2, wide and tall,
    and if it has 6 anchors, two with aspect ratio 3. Centre and size are clamped, not the corners. Source: Liu et al.,
    SSD, ECCV 2016.

    A named scheme is used unchanged on the input for which it is defined. On other inputs its sizes scale with the side
    of the input, and the centres are those of equal cells. The side of an input that is not square is the geometric
    mean of both sides, and anchors keep their aspect ratio in pixels. "by_cell" has squares of 3 cells and equal cells
    at any input; the size after the last map is twice the last size.

    Args:
        map_sizes: rows and columns of each map, finest first.
        input_hw: height and width of the input in px.

    Raises:
        SpaceError: The scheme is unknown or defined for another number of maps.
    """
    per_cell = anchors_per_cell(scheme, len(map_sizes))
    found = SSD_ANCHORS.get(scheme)
    sizes = _sizes(found, map_sizes, input_hw)
    levels = []
    for index, map_hw in enumerate(map_sizes):
        shapes = _cell_shapes(sizes[index], sizes[index + 1], per_cell[index])
        centres = _centres(map_hw, _steps(found, index, map_hw, input_hw))
        every_pair = (centres[:, None].expand(-1, len(shapes), 2), shapes[None].expand(len(centres), -1, 2))
        levels.append(torch.cat(every_pair, dim=-1).reshape(-1, 4))
    height, width = input_hw
    fractions = torch.cat(levels) / torch.tensor([width, height, width, height], dtype=torch.float64)
    return fractions.clamp(0, 1).float()


def _sizes(scheme: AnchorScheme, map_sizes: Sequence[tuple[int, int]], input_hw: tuple[int, int]) -> list[float]:
    """Returns the side of the small square of each map in px of this input, and the value after the last map."""
    if not scheme.sizes:
        cells = [sqrt(prod(input_hw) / prod(map_hw)) for map_hw in map_sizes]
        return [3 * cell for cell in cells] + [6 * cells[-1]]
    growth = sqrt(input_hw[0] * input_hw[1]) / scheme.side
    return [size * growth for size in scheme.sizes]


def _steps(scheme: AnchorScheme, index: int, map_hw: tuple[int, int], input_hw: tuple[int, int]) -> tuple[float, float]:
    """Returns the vertical and horizontal distance of neighbouring centres on map `index`, in px."""
    if scheme.steps and tuple(input_hw) == (scheme.side, scheme.side):
        return scheme.steps[index], scheme.steps[index]
    return input_hw[0] / map_hw[0], input_hw[1] / map_hw[1]


def _centres(map_hw: tuple[int, int], step_hw: tuple[float, float]) -> Tensor:
    """Returns the centres of the cells of a map in px, `(H * W, 2)` as x, y, row by row."""
    rows = (torch.arange(map_hw[0], dtype=torch.float64) + 0.5) * step_hw[0]
    columns = (torch.arange(map_hw[1], dtype=torch.float64) + 0.5) * step_hw[1]
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack((x, y), dim=-1).reshape(-1, 2)


def _cell_shapes(size: float, next_size: float, count: int) -> Tensor:
    """Returns width and height in px of the `count` anchors of a cell: `(count, 2)`."""
    middle = sqrt(size * next_size)
    shapes = [(size, size), (middle, middle)]
    for ratio in (2, 3)[: count // 2 - 1]:
        wide = size * sqrt(ratio), size / sqrt(ratio)
        shapes += [wide, wide[::-1]]
    return torch.tensor(shapes, dtype=torch.float64)
