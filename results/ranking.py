"""Rank correlation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.stats import kendalltau


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Returns Kendall's tau-b of two lists of scores: 1 for the same order, -1 for the reverse.

    nan for fewer than two scores, and if all scores of a list are equal.
    """
    if len(first) < 2 or len(set(first)) < 2 or len(set(second)) < 2:
        return math.nan
    return float(kendalltau(first, second).statistic)
