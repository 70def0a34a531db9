"""Values of objectives as utilities: all are maximised, and a cost counts by its negative logarithm.

The costs of a front span a decade; in logs a step from 5 to 10 ms counts as much as one from 50 to 100.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from nas.engine.objectives import Objective

SMALLEST = 1e-12
"""Costs are clipped to this, because a count may be 0."""
LEAST_OF_BUDGET = 0.25
"""A detector that takes less of the budget than this is worth no more for it: a budget is meant to be used."""
UNITS = {
    "gmacs": ("macs", 1e9),
    "params_m": ("params", 1e6),
    "latency_high_ms": ("latency_ms", 1.0),
    "memory_mb": ("memory_bytes", 1e6),
}
"""The column and the unit of each limit of a budget."""
Floors = Mapping[str, float]
"""By column of a cost: below this it is worth no more."""
NO_FLOORS: Floors = MappingProxyType({})


def floors_of(limits: Mapping[str, float]) -> Floors:
    """Returns the floors of the costs that a budget limits.

    Args:
        limits: By name, as `nas.cost.Budget.limits` returns them.
    """
    known = {name: UNITS[name] for name in limits if name in UNITS}
    return {column: LEAST_OF_BUDGET * limits[name] * unit for name, (column, unit) in known.items()}


def utilities(
    objectives: Sequence[Objective], values: Sequence[float | None], floors: Floors = NO_FLOORS
) -> NDArray[np.float64]:
    """Returns the `(M,)` utilities of M values; NaN for an unknown value."""
    pairs = zip(objectives, values, strict=True)
    return np.array([math.nan if value is None else utility(objective, value, floors) for objective, value in pairs])


def utility(objective: Objective, value: float, floors: Floors = NO_FLOORS) -> float:
    """Returns the utility of one value."""
    if not objective.is_cost:
        return float(value)
    return -math.log(max(value, floors.get(objective.name, 0.0), SMALLEST))


def known_utilities(
    objectives: Sequence[Objective], costs: Mapping[str, float], floors: Floors = NO_FLOORS
) -> NDArray[np.float64]:
    """Returns the `(M,)` utilities of a point that was not evaluated: NaN for the accuracies."""
    values = [costs[objective.name] if objective.is_cost else None for objective in objectives]
    return utilities(objectives, values, floors)
