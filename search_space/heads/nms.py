"""Non-maximum suppression: the greedy version for proposals and detectors, and soft-NMS for two-stage heads."""

from __future__ import annotations

import torch
from torch import Tensor

ROWS_AT_ONCE = 256
"""Rows of the overlap matrix that are computed together, so that they fit into the processor cache."""

CHECK_EVERY = 8
"""Steps of soft-NMS after which it is checked whether boxes are left, because a GPU has to be waited for; further steps
change nothing."""


def suppress(boxes: Tensor, scores: Tensor, labels: Tensor | None = None, *, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression: drops each box that a better kept box overlaps. Equal scores keep their order.

    All overlaps are computed at once on the device of the boxes; the greedy pass runs over rows of bits on the CPU. A
    tracer records the result as a constant.

    Args:
        boxes: `(N, 4)` as x1, y1, x2, y2; areas are `(x2 - x1) * (y2 - y1)`.
        scores: `(N,)`.
        labels: `(N,)`; boxes of different classes never suppress each other. None: all boxes have one class.
        iou_threshold: A box whose IoU with a better kept box is above this is dropped.

    Returns:
        Indices of the kept boxes, best first.
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
    """Returns where the IoU of boxes is above the threshold: `(N, M)`; avoids a division for speed."""
    ax1, ay1, ax2, ay2 = (column[:, None] for column in first.unbind(dim=-1))
    bx1, by1, bx2, by2 = second.unbind(dim=-1)
    width = torch.minimum(ax2, bx2).sub_(torch.maximum(ax1, bx1)).clamp_(min=0)
    height = torch.minimum(ay2, by2).sub_(torch.maximum(ay1, by1)).clamp_(min=0)
    first_areas = (ax2 - ax1).clamp(min=0) * (ay2 - ay1).clamp(min=0) * iou_threshold
    second_areas = (bx2 - bx1).clamp(min=0) * (by2 - by1).clamp(min=0) * iou_threshold
    return width.mul_(height).mul_(1 + iou_threshold) > first_areas + second_areas


def soft_suppress(boxes: Tensor, scores: Tensor, *, iou_threshold: float, least_score: float) -> Tensor:
    """Linear soft-NMS: lowers the scores of boxes that better boxes of their class overlap.

    In each class the best box is taken, the scores of the others are multiplied by 1 - IoU where their IoU with it is
    above the threshold, and the procedure repeats with the best of the rest. Bodla et al., "Soft-NMS: improving object
    detection with one line of code", ICCV 2017.

    Args:
        boxes: `(B, N, 4)` as x1, y1, x2, y2, the same for all classes.
        scores: `(B, N, C)` in 0..1, independent per class.
        iou_threshold: A box whose IoU with a better one is above this loses score.
        least_score: Above 0; lower scores become 0.

    Returns:
        `(B, N, C)`.
    """
    overlap = _iou(boxes.float())
    share = torch.where(overlap > iou_threshold, (1 - overlap).clamp(min=0), 1.0)
    left = scores.float().transpose(1, 2).nan_to_num(nan=0.0)  # (B, C, N): not taken yet
    taken = torch.zeros_like(left)
    for count in range(boxes.shape[1]):
        best, index = left.max(dim=2, keepdim=True)
        good = best >= least_score
        if count % CHECK_EVERY == 0 and not bool(good.any()):
            break
        taken.scatter_add_(2, index, best * good)
        left = left * share.gather(1, index.expand_as(left))
        left.scatter_(2, index, 0.0)
    return taken.transpose(1, 2)


def _iou(boxes: Tensor) -> Tensor:
    """Returns the IoU of every pair of boxes `(B, N, 4)` of an image: `(B, N, N)`."""
    x1, y1, x2, y2 = boxes.unbind(dim=-1)
    width = torch.minimum(x2[..., None], x2[..., None, :]) - torch.maximum(x1[..., None], x1[..., None, :])
    height = torch.minimum(y2[..., None], y2[..., None, :]) - torch.maximum(y1[..., None], y1[..., None, :])
    areas = (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)
    common = width.clamp(min=0) * height.clamp(min=0)
    return common / (areas[..., None] + areas[..., None, :] - common).clamp(min=1e-9)
