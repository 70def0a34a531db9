"""Task-aligned assignment of anchor points to objects, over sparse (object, anchor point) pairs.

Small objects contain few anchor points: there are a few thousand pairs, while the full table has millions of entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.boxes import AnchorGrid, box_similarity, decode_boxes


@dataclass(frozen=True, kw_only=True)
class Objects:
    """The boxes of a batch in one table, without padding."""

    boxes: Tensor
    """`(G, 4)` in input pixels."""
    labels: Tensor
    """`(G,)` class indices; -1 means every class (ignored regions only)."""
    images: Tensor
    """`(G,)`: index in the batch of the image of each box."""

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The positive anchor points of a batch; each occurs at most once."""

    anchors: Tensor
    """`(P,)` rows of the flattened `(B * A)` table."""
    objects: Tensor
    """`(P,)` rows of `Objects`."""
    scores: Tensor
    """`(P,)` target class score in 0..1."""


@dataclass(frozen=True, kw_only=True)
class TaskAlignedAssigner:
    """Assigns to each object the anchor points that both classify and locate it best.

    Feng et al., "TOOD: task-aligned one-stage object detection", ICCV 2021: the metric is score^alpha * IoU^beta.
    """

    top_k: int = 10
    keep: int | None = None
    """Points that an object keeps at most, the best by the metric, once points of two objects are given to one of them;
    None: all."""
    alpha: float = 0.5
    beta: float = 6.0
    nwd: float = 0.0
    """Weight of the normalized Wasserstein distance in the overlap; the rest is the complete IoU."""
    min_extent: float = 2.0
    """Boxes are widened to at least this many cells of the finest level to find candidates, so that an object smaller
    than a cell still contains anchor points. 0, as in YOLOv8: only points strictly inside the box."""
    metric_floor: float = 0.0
    """Added to the best metric of an object when its targets are scaled, so that an object whose metrics are far below
    it gets targets near 0; 1e-9 in YOLOv8."""

    @torch.no_grad()
    def __call__(
        self, class_logits: Tensor, box_logits: Tensor, grid: AnchorGrid, objects: Objects, reg_max: int
    ) -> Assignment:
        """Assigns `objects` given class logits `(B * A, classes)` and box logits `(B * A, 4 * reg_max)`."""
        # Candidates: every anchor point inside the widened box, as parallel arrays over (object, point) pairs.
        widened = widen(objects.boxes, self.min_extent * min(grid.strides))
        owner, point = points_inside(widened, grid)
        if self.min_extent == 0:
            within = rows_of((grid.points[point] > objects.boxes[owner, :2]).all(dim=1))
            owner, point = owner[within], point[within]
        row = objects.images[owner] * len(grid) + point
        scores = class_logits[row, objects.labels[owner]].float().sigmoid()
        boxes = decode_boxes(box_logits[row].float(), grid.points[point], grid.point_strides[point], reg_max)
        overlap = box_similarity(boxes, objects.boxes[owner], nwd=self.nwd).clamp(min=0)
        metric = scores**self.alpha * overlap**self.beta
        # Of each object the top_k points by the metric are positive; a point of two objects goes to the larger overlap.
        best = rows_of(rank_within(owner, metric) < self.top_k)
        owner, row, metric, overlap = owner[best], row[best], metric[best], overlap[best]
        mine = rows_of(rank_within(row, overlap) == 0)
        owner, row, metric, overlap = owner[mine], row[mine], metric[mine], overlap[mine]
        if self.keep is not None:
            kept = rows_of(rank_within(owner, metric) < self.keep)
            owner, row, metric, overlap = owner[kept], row[kept], metric[kept], overlap[kept]
        scores = _target_scores(owner, metric, overlap, len(objects), self.metric_floor)
        return Assignment(anchors=row, objects=owner, scores=scores)


def _target_scores(owner: Tensor, metric: Tensor, overlap: Tensor, num_objects: int, floor: float) -> Tensor:
    """Scales the metric so that the best point of each object gets the best overlap as its class target.

    With a `floor` above 0 it gets less, by the share of the floor in the sum of both.
    """
    zeros = torch.zeros(num_objects, device=metric.device)
    best_metric = zeros.scatter_reduce(0, owner, metric, "amax")
    best_overlap = zeros.scatter_reduce(0, owner, overlap, "amax")
    # The minimum only prevents 0 / 0. It is tiny because early overlaps of tiny boxes give metrics near 1e-12.
    return metric / (best_metric + floor).clamp(min=1e-30)[owner] * best_overlap[owner]


def widen(boxes: Tensor, extent: float) -> Tensor:
    """Enlarges boxes `(G, 4)` about their centers to at least `extent` pixels in width and height."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    halves = ((boxes[:, 2:] - boxes[:, :2]) / 2).clamp(min=extent / 2)
    return torch.cat((centers - halves, centers + halves), dim=1)


def points_inside(boxes: Tensor, grid: AnchorGrid) -> tuple[Tensor, Tensor]:
    """Finds all anchor points inside boxes `(G, 4)`; returns rows of `boxes` and of `grid.points`, both `(P,)`."""
    inside = []
    for (rows, columns), stride in zip(grid.shapes, grid.strides, strict=True):
        y = (torch.arange(rows, device=boxes.device) + 0.5) * stride
        x = (torch.arange(columns, device=boxes.device) + 0.5) * stride
        in_rows = (y >= boxes[:, 1:2]) & (y < boxes[:, 3:4])
        in_columns = (x >= boxes[:, 0:1]) & (x < boxes[:, 2:3])
        inside.append((in_rows[:, :, None] & in_columns[:, None, :]).flatten())
    found = rows_of(torch.cat(inside))
    # Pairs are in the order of levels, of boxes and of points: `sizes` points of a level begin at the point `first`.
    sizes = torch.tensor([rows * columns for rows, columns in grid.shapes], device=boxes.device)
    first = sizes.cumsum(0) - sizes
    level = torch.searchsorted(first * len(boxes), found, right=True) - 1
    place = found - first[level] * len(boxes)
    return place // sizes[level], first[level] + place % sizes[level]


def rows_of(mask: Tensor) -> Tensor:
    """Returns the rows `(P,)` at which a mask `(N,)` is true.

    On a GPU the host waits for their number: several tensors are better indexed by the rows than by the mask.
    """
    return mask.nonzero()[:, 0]


def rank_within(groups: Tensor, values: Tensor) -> Tensor:
    """Returns the rank of each of `values` `(P,)` within its group, 0 for the largest; ties keep their order."""
    # Sort by value, then stably by group: each group is a run of falling values, and the rank is the index in the run.
    order = values.argsort(descending=True, stable=True)
    order = order[groups[order].argsort(stable=True)]
    sorted_groups = groups[order]
    starts = torch.searchsorted(sorted_groups, sorted_groups)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order), device=order.device) - starts
    return ranks
