"""What is common to reading the output of all heads."""

from __future__ import annotations

import torch
from torch import Tensor

NUM_CANDIDATES = 1000
"""(Place, class) pairs of an image that are looked at, the best by score."""


def best_pairs(table: Tensor, *, one_class: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the values of the best (place, class) pairs of one image's `(A, C)` table, their places and classes.

    Args:
        table: logits or scores.
        one_class: each place gives its best class only.
    """
    if one_class:
        table = table.masked_fill(table < table.amax(dim=1, keepdim=True), -torch.inf)
    values, index = table.flatten().topk(min(NUM_CANDIDATES, table.numel()))
    return values, index // table.shape[1], index % table.shape[1]
