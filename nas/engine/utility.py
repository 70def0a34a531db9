"""Values of objectives as gains: all are maximised, and a cost counts by its logarithm.

The costs of a front span a decade; in logs a step from 5 to 10 ms is worth as much as one from 50 to 100.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nas.engine.objectives import Objective

SMALLEST = 1e-12
"""Costs below are taken for this much: a count may be 0."""


def utilities(objectives: Sequence[Objective], values: Sequence[float | None]) -> NDArray[np.float64]:
    """Returns the `(M,)` gains of M values; one that is unknown stays so, as NaN."""
    pairs = zip(objectives, values, strict=True)
    return np.array([math.nan if value is None else utility(objective, value) for objective, value in pairs])


def utility(objective: Objective, value: float) -> float:
    """Returns the gain of one value."""
    return -math.log(max(value, SMALLEST)) if objective.is_cost else float(value)


def known_utilities(objectives: Sequence[Objective], costs: Mapping[str, float]) -> NDArray[np.float64]:
    """Returns the `(M,)` gains of a point that was not evaluated: those of its costs, and NaN for the accuracies."""
    return utilities(objectives, [costs[objective.name] if objective.is_cost else None for objective in objectives])
