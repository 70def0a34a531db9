"""Encodes boxes as offsets from reference boxes, in inclusive pixels as in the first two-stage detectors.

Boxes are `(x1, y1, x2, y2)` in pixels. Both corners belong to the box, so its width is x2 - x1 + 1.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

MAX_LOG_SCALE = log(1000 / 16)
"""Limit on the absolute logarithm of the size ratio between a box and its reference."""


def _centres_and_sizes(boxes: Tensor) -> tuple[Tensor, Tensor]:
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, high - low + 1


def encode(boxes: Tensor, references: Tensor) -> Tensor:
    """Returns the offsets dx, dy, dw, dh `(..., 4)` of `boxes` from `references`, both `(..., 4)` px.

    dx and dy are in widths and heights of the reference; dw and dh are logarithms of the size ratios.
    Girshick et al., "Rich feature hierarchies for accurate object detection", CVPR 2014.
    """
    centres, sizes = _centres_and_sizes(boxes)
    reference_centres, reference_sizes = _centres_and_sizes(references)
    return torch.cat(((centres - reference_centres) / reference_sizes, (sizes / reference_sizes).log()), dim=-1)


def decode(offsets: Tensor, references: Tensor) -> Tensor:
    """Returns the boxes `(..., 4)` px at `offsets` from `references`; the inverse of `encode`.

    The logarithms of the sizes are clamped to +-MAX_LOG_SCALE.
    """
    reference_centres, reference_sizes = _centres_and_sizes(references)
    centres = reference_centres + offsets[..., :2] * reference_sizes
    half = (reference_sizes * offsets[..., 2:].clamp(-MAX_LOG_SCALE, MAX_LOG_SCALE).exp() - 1) / 2
    return torch.cat((centres - half, centres + half), dim=-1)


def clip(boxes: Tensor, image_hw: tuple[int, int]) -> Tensor:
    """Returns `boxes` `(..., 4)` px clamped to an image: x to 0 .. W - 1, y to 0 .. H - 1."""
    height, width = image_hw
    x1, y1, x2, y2 = boxes.unbind(dim=-1)
    x1, x2 = x1.clamp(0, width - 1), x2.clamp(0, width - 1)
    return torch.stack((x1, y1.clamp(0, height - 1), x2, y2.clamp(0, height - 1)), dim=-1)
