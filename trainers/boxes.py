"""Box geometry in torch: overlaps, anchor points, decoding of side distributions.

Boxes are `(x1, y1, x2, y2)` in pixels unless a docstring says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

EPSILON = 1e-7

WASSERSTEIN_SCALE = 12.8
"""Distance in input pixels at which the normalized Wasserstein distance is 1/e: the mean object size of AI-TOD, as in
the paper, which finds the value uncritical. It is constant, not the mean of the batch, so that the loss of a box does
not depend on the other boxes."""


@dataclass(frozen=True, kw_only=True)
class AnchorGrid:
    """The anchor points of all levels of a detector, flattened level by level, row by row, finest level first."""

    shapes: tuple[tuple[int, int], ...]
    """Rows and columns of each level's map."""
    strides: tuple[int, ...]
    """Pixels per cell of each level."""
    points: Tensor
    """Centers of the cells in pixels, `(A, 2)` as x, y."""
    point_strides: Tensor
    """Stride of each point's level in pixels, `(A,)`."""

    def __len__(self) -> int:
        return len(self.points)


@lru_cache(maxsize=32)
def anchor_grid(shapes: tuple[tuple[int, int], ...], strides: tuple[int, ...], device: str = "cpu") -> AnchorGrid:
    """Returns the anchor points of maps with `shapes` (rows, columns): the centers of the cells."""
    points, point_strides = [], []
    for (rows, columns), stride in zip(shapes, strides, strict=True):
        y, x = torch.meshgrid(torch.arange(rows) + 0.5, torch.arange(columns) + 0.5, indexing="ij")
        points.append(torch.stack((x, y), dim=-1).reshape(-1, 2) * stride)
        point_strides.append(torch.full((rows * columns,), float(stride)))
    return AnchorGrid(
        shapes=shapes,
        strides=strides,
        points=torch.cat(points).to(device),
        point_strides=torch.cat(point_strides).to(device),
    )


def grid_of(maps: Sequence[Tensor], strides: Sequence[int]) -> AnchorGrid:
    """Returns the anchor grid of a detector's output `maps`, each `(B, C, H, W)`."""
    shapes = tuple((int(level.shape[2]), int(level.shape[3])) for level in maps)
    return anchor_grid(shapes, tuple(strides), str(maps[0].device))


def flatten_maps(maps: Sequence[Tensor]) -> Tensor:
    """Joins maps `(B, C, H, W)` of several levels into one table `(B, A, C)` in the order of `anchor_grid`."""
    return torch.cat([level.permute(0, 2, 3, 1).flatten(1, 2) for level in maps], dim=1)


def box_area(boxes: Tensor) -> Tensor:
    """Returns the area of boxes `(..., 4)` in square pixels; inverted boxes have area 0."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)


def intersection(first: Tensor, second: Tensor) -> Tensor:
    """Returns the intersection area of boxes `(..., 4)`; leading dimensions are broadcast."""
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    return (high - low).clamp(min=0).prod(dim=-1)


def iou_matrix(first: Tensor, second: Tensor) -> Tensor:
    """Returns the intersection over union of every box of `first` `(N, 4)` with every one of `second`: `(N, M)`."""
    common = _common_areas(first, second)
    return common / (box_area(first)[:, None] + box_area(second)[None] - common + EPSILON)


def coverage_matrix(first: Tensor, second: Tensor) -> Tensor:
    """Returns the share of each box of `first` `(N, 4)` that is inside each box of `second` `(M, 4)`: `(N, M)`."""
    return _common_areas(first, second) / (box_area(first)[:, None] + EPSILON)


def _common_areas(first: Tensor, second: Tensor) -> Tensor:
    """Returns the intersection areas `(N, M)`; needs half the memory of `intersection` for large tables."""
    ax1, ay1, ax2, ay2 = (column[:, None] for column in first.unbind(dim=-1))
    bx1, by1, bx2, by2 = second.unbind(dim=-1)
    width = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp(min=0)
    return width * (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp(min=0)


def ciou(first: Tensor, second: Tensor) -> Tensor:
    """Returns the complete IoU of paired boxes `(..., 4)`, in (-1.5, 1]: overlap, center distance and aspect ratio.

    Zheng et al., "Distance-IoU loss: faster and better learning for bounding box regression", AAAI 2020.
    """
    common = intersection(first, second)
    iou = common / (box_area(first) + box_area(second) - common + EPSILON)
    outer = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(first[..., :2], second[..., :2])
    centers = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    distance = centers.square().sum(dim=-1) / (outer.square().sum(dim=-1) + EPSILON)
    aspect = 4 / math.pi**2 * (_angle(second) - _angle(first)).square()
    with torch.no_grad():  # the paper treats the trade-off weight as a constant in the gradient
        weight = aspect / (1 - iou + aspect + EPSILON)
    return iou - distance - weight * aspect


def _angle(boxes: Tensor) -> Tensor:
    width, height = (boxes[..., 2:] - boxes[..., :2]).unbind(dim=-1)
    return torch.atan(width / (height + EPSILON))


def wasserstein_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Returns the normalized Wasserstein distance of paired boxes `(..., 4)` px, in (0, 1], 1 for equal boxes.

    Boxes are modeled as normal distributions with half their sides as standard deviations. Unlike the IoU, it also
    ranks boxes that do not overlap. Wang et al., "A normalized Gaussian Wasserstein distance for
    tiny object detection", arXiv 2110.13389, with WASSERSTEIN_SCALE as its constant C.
    """
    centers = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    sizes = (first[..., 2:] - first[..., :2] - second[..., 2:] + second[..., :2]) / 2
    squared = centers.square().sum(dim=-1) + sizes.square().sum(dim=-1)
    return torch.exp(-(squared + EPSILON).sqrt() / WASSERSTEIN_SCALE)  # without epsilon the gradient at 0 is not finite


def box_similarity(first: Tensor, second: Tensor, *, nwd: float = 0.0) -> Tensor:
    """Returns the similarity of paired boxes `(..., 4)` px, at most 1: (1 - nwd) * complete IoU + nwd * normalized
    Wasserstein distance.
    """
    if nwd == 0:
        return ciou(first, second)
    return (1 - nwd) * ciou(first, second) + nwd * wasserstein_similarity(first, second)


def decode_sides(logits: Tensor, reg_max: int) -> Tensor:
    """Converts box logits `(..., 4 * reg_max)` to expected distances left, top, right, bottom `(..., 4)` in cells.

    Li et al., "Generalized focal loss", NeurIPS 2020: a softmax over the bins 0 .. reg_max - 1 for each side. With one
    bin the numbers are the distances themselves, of either sign.
    """
    if reg_max == 1:
        return logits
    bins = torch.arange(reg_max, dtype=logits.dtype, device=logits.device)
    return torch.unflatten(logits, -1, (4, reg_max)).softmax(dim=-1) @ bins


def decode_boxes(logits: Tensor, points: Tensor, strides: Tensor, reg_max: int) -> Tensor:
    """Decodes logits `(..., 4 * reg_max)` at `points` `(..., 2)` px of `strides` `(...)` into boxes `(..., 4)`."""
    sides = decode_sides(logits, reg_max) * strides[..., None]
    return torch.cat((points - sides[..., :2], points + sides[..., 2:]), dim=-1)
