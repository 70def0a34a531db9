"""Non-maximum suppression: the greedy one that proposals and detectors share, and the soft one of two stages."""

from __future__ import annotations

import torch
from torch import Tensor

ROWS_AT_ONCE = 256
"""Rows of the table of overlaps that are computed together: what a processor's cache holds."""


def suppress(boxes: Tensor, scores: Tensor, labels: Tensor | None = None, *, iou_threshold: float) -> Tensor:
    """Lets a box stay unless a better box that stays overlaps it; equal scores keep their order.

    All overlaps are computed at once, where the boxes lie; the greedy pass then runs over rows of bits on the CPU. A
    tracer that follows the caller sees its outcome as a constant.

    Args:
        boxes: `(N, 4)` as x1, y1, x2, y2; areas are `(x2 - x1) * (y2 - y1)`.
        scores: `(N,)`.
        labels: `(N,)`; boxes of different classes never suppress each other. Without it all boxes are of one class.
        iou_threshold: a box whose overlap with a better one is above this goes.

    Returns:
        Indices of the boxes that stay, best first.
    """
    order = scores.argsort(descending=True, stable=True)
    beats = _overlap(boxes[order].float(), iou_threshold)
    if labels is not None:
        beats &= labels[order, None] == labels[order]
    rows = beats.cpu().numpy()
    gone = torch.zeros(len(boxes), dtype=torch.bool).numpy()
    kept = []
    for index, row in enumerate(rows):
        if not gone[index]:
            kept.append(index)
            gone |= row
    return order[torch.tensor(kept, dtype=torch.long, device=order.device)]


def _overlap(boxes: Tensor, iou_threshold: float) -> Tensor:
    """Returns where the IoU of a box with a later one is above the threshold: `(N, N)`, false below the diagonal."""
    beats = torch.zeros(len(boxes), len(boxes), dtype=torch.bool, device=boxes.device)
    for start in range(0, len(boxes), ROWS_AT_ONCE):
        stop = start + ROWS_AT_ONCE
        beats[start:stop, start:] = _overlap_of(boxes[start:stop], boxes[start:], iou_threshold)
    return beats


def _overlap_of(first: Tensor, second: Tensor, iou_threshold: float) -> Tensor:
    """Returns where the IoU of boxes is above the threshold: `(N, M)`; written without a division for speed."""
    ax1, ay1, ax2, ay2 = (column[:, None] for column in first.unbind(dim=-1))
    bx1, by1, bx2, by2 = second.unbind(dim=-1)
    width = torch.minimum(ax2, bx2).sub_(torch.maximum(ax1, bx1)).clamp_(min=0)
    height = torch.minimum(ay2, by2).sub_(torch.maximum(ay1, by1)).clamp_(min=0)
    first_areas = (ax2 - ax1).clamp(min=0) * (ay2 - ay1).clamp(min=0) * iou_threshold
    second_areas = (bx2 - bx1).clamp(min=0) * (by2 - by1).clamp(min=0) * iou_threshold
    return width.mul_(height).mul_(1 + iou_threshold) > first_areas + second_areas


def soft_suppress(boxes: Tensor, scores: Tensor, *, iou_threshold: float, least_score: float) -> Tensor:
    """Lowers the scores of boxes that better boxes of their class overlap, by the linear rule of soft-NMS.

    In each class the best box is taken, the scores of the others are multiplied by 1 - IoU where their IoU with it is
    above the threshold, and so on with the best of what is left. Bodla et al., "Soft-NMS: improving object detection
    with one line of code", ICCV 2017.

    Args:
        boxes: `(B, N, 4)` as x1, y1, x2, y2, the same for all classes.
        scores: `(B, N, C)` in 0..1, classes apart from each other.
        iou_threshold: a box whose overlap with a better one is above this loses score.
        least_score: above 0; what falls below gets the score 0.

    Returns:
        `(B, N, C)`.
    """
    overlap = _iou(boxes.float())
    share = torch.where(overlap > iou_threshold, (1 - overlap).clamp(min=0), 1.0)
    left = scores.float().transpose(1, 2).nan_to_num(nan=0.0)  # (B, C, N): what is not taken yet
    taken = torch.zeros_like(left)
    for _ in range(boxes.shape[1]):
        best, index = left.max(dim=2, keepdim=True)
        good = best >= least_score
        if not bool(good.any()):
            break
        taken.scatter_add_(2, index, best * good)
        left = left * share.gather(1, index.expand_as(left))
        left.scatter_(2, index, 0.0)
    return taken.transpose(1, 2)


def _iou(boxes: Tensor) -> Tensor:
    """Returns the IoU of every box `(B, N, 4)` with every one of its image: `(B, N, N)`."""
    x1, y1, x2, y2 = boxes.unbind(dim=-1)
    width = torch.minimum(x2[..., None], x2[..., None, :]) - torch.maximum(x1[..., None], x1[..., None, :])
    height = torch.minimum(y2[..., None], y2[..., None, :]) - torch.maximum(y1[..., None], y1[..., None, :])
    areas = (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)
    common = width.clamp(min=0) * height.clamp(min=0)
    return common / (areas[..., None] + areas[..., None, :] - common).clamp(min=1e-9)
