"""Which detectors the validation images can tell apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

CONFIDENCE = 0.9


def parse_draws(text: object) -> list[float]:
    """Returns the bootstrap draws of a record's `accuracy_draws` as shares; none where there are none."""
    return [float(each) / 1e4 for each in text.split()] if isinstance(text, str) else []


def told_apart(first: Sequence[float], second: Sequence[float], *, confidence: float = CONFIDENCE) -> bool:
    """Whether two detectors differ beyond what other images of the kind could turn round.

    Args:
        first: `(B,)` scores on B draws of the images with replacement.
        second: `(B,)` of the other detector on the same draws.
        confidence: The share of the draws whose differences must all have one sign, as much cut off on both sides.

    Returns:
        True where the interval of the difference does not hold 0. Without draws nothing can be told apart.
    """
    if len(first) != len(second) or not len(first):
        return False
    low, high = np.quantile(np.asarray(first) - np.asarray(second), [(1 - confidence) / 2, (1 + confidence) / 2])
    return bool(low > 0 or high < 0)


def tied_with_better(members: pd.DataFrame) -> list[str]:
    """Returns, for every member of a front in its order, the keys of better ones that the images cannot tell it from.

    Args:
        members: As `results.records.front` gives them, the most accurate first.

    Returns:
        The keys of each member, joined by spaces; empty where it can be told from all before it.
    """
    draws = [parse_draws(text) for text in members["accuracy_draws"]]
    keys = list(members["key"])
    tied = []
    for index, own in enumerate(draws):
        better = (keys[i] for i in range(index) if len(own) and not told_apart(draws[i], own))
        tied.append(" ".join(better))
    return tied
