"""Which detectors differ by more than the scatter over validation images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

CONFIDENCE = 0.9
DRAWS_PER_UNIT = 1e4
"""Bootstrap draws are written in units of 1e-4."""


def format_draws(draws: Sequence[float]) -> str:
    """Returns bootstrap draws as the text of the column `accuracy_draws`."""
    return " ".join(f"{DRAWS_PER_UNIT * draw:.0f}" for draw in draws)


def parse_draws(text: object) -> list[float]:
    """Returns the bootstrap draws of the column `accuracy_draws` as shares; none where there are none."""
    return [float(each) / DRAWS_PER_UNIT for each in text.split()] if isinstance(text, str) else []


def told_apart(first: Sequence[float], second: Sequence[float], *, confidence: float = CONFIDENCE) -> bool:
    """Whether the difference of two detectors would keep its sign on other images of the same kind.

    Args:
        first: `(B,)` scores on B draws of the images with replacement.
        second: `(B,)` of the other detector on the same draws.
        confidence: Of the interval of the difference, equally tailed.

    Returns:
        True where the interval of the difference does not contain 0; False without draws.
    """
    if len(first) != len(second) or not len(first):
        return False
    low, high = np.quantile(np.asarray(first) - np.asarray(second), [(1 - confidence) / 2, (1 + confidence) / 2])
    return bool(low > 0 or high < 0)


def tied_with_better(members: pd.DataFrame) -> list[str]:
    """Returns, for each member of a front in its order, the keys of better members that it cannot be told apart from.

    Args:
        members: As `results.records.front` gives them, the most accurate first.

    Returns:
        The keys joined by spaces; empty where the member can be told apart from all before it.
    """
    draws = [parse_draws(text) for text in members["accuracy_draws"]]
    keys = list(members["key"])
    tied = []
    for index, own in enumerate(draws):
        better = (keys[i] for i in range(index) if len(own) and not told_apart(draws[i], own))
        tied.append(" ".join(better))
    return tied
