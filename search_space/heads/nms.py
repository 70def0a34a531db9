"""Greedy non-maximum suppression: the one that proposals and the evaluation of detectors share."""

from __future__ import annotations

import torch
from torch import Tensor


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
    """Returns where the IoU of two boxes is above the threshold: `(N, N)`; written without a division for speed."""
    x1, y1, x2, y2 = boxes.unbind(dim=-1)
    width = (torch.minimum(x2[:, None], x2) - torch.maximum(x1[:, None], x1)).clamp_(min=0)
    height = (torch.minimum(y2[:, None], y2) - torch.maximum(y1[:, None], y1)).clamp_(min=0)
    areas = (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0) * iou_threshold
    return width.mul_(height).mul_(1 + iou_threshold) > areas[:, None] + areas
