"""Values of objectives as utilities: all are maximised, and a cost counts by its negative logarithm.

The costs of a front span a decade; in logs a step from 5 to 10 ms counts as much as one from 50 to 100.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nas.engine.objectives import Objective

SMALLEST = 1e-12
"""Costs are clipped to this, because a count may be 0."""


def utilities(objectives: Sequence[Objective], values: Sequence[float | None]) -> NDArray[np.float64]:
    """Returns the `(M,)` utilities of M values; NaN for an unknown value."""
    pairs = zip(objectives, values, strict=True)
    return np.array([math.nan if value is None else utility(objective, value) for objective, value in pairs])


def utility(objective: Objective, value: float) -> float:
    """Returns the utility of one value."""
    return -math.log(max(value, SMALLEST)) if objective.is_cost else float(value)


def known_utilities(objectives: Sequence[Objective], costs: Mapping[str, float]) -> NDArray[np.float64]:
    """Returns the `(M,)` utilities of a point that was not evaluated: NaN for the accuracies."""
    return utilities(objectives, [costs[objective.name] if objective.is_cost else None for objective in objectives])
