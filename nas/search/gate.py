"""The gate before training: what a point of the space costs, and whether the budget admits it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.cost import Budget, Cost, cost_of
from nas.cost.latency import LatencyModel
from search_space import Architecture, SearchSpace
from search_space.errors import SpaceError

Params = Mapping[str, Any]
UNITS = {"gmacs": "GMACs", "params_m": "million parameters", "latency_high_ms": "ms at the upper end"}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One point of the space with its cost, measured against the budget."""

    params: Params
    architecture: Architecture
    key: str
    cost: Cost
    margins: Mapping[str, float]
    """For every limit of the budget, value / limit - 1: at most 0 where the limit holds."""

    @property
    def excess(self) -> float:
        """By how much the limits are exceeded, as the sum of their relative excesses; 0 when all hold."""
        return sum(max(0.0, margin) for margin in self.margins.values())

    @property
    def feasible(self) -> bool:
        """Whether every limit holds."""
        return all(margin <= 0.0 for margin in self.margins.values())


class Gate:
    """Costs points of a space and compares them with a budget; remembers every point it has costed."""

    def __init__(
        self, space: SearchSpace, budget: Budget, *, num_classes: int, device: LatencyModel | None = None
    ) -> None:
        self.space = space
        self.budget = budget
        self.num_classes = num_classes
        self.device = device
        self.limits = budget.limits()
        """The limits that are set, by the name that the limited figure has on a `Cost`."""
        self._costs: dict[str, Cost] = {}

    def assess(self, params: Params) -> Candidate:
        """Returns the point with its cost.

        Raises:
            SpaceError: If the parameters are no architecture.
        """
        architecture = self.space.decode(dict(params))
        key = architecture.key()
        if key not in self._costs:
            self._costs[key] = cost_of(architecture, num_classes=self.num_classes, device=self.device)
        cost = self._costs[key]
        margins = {name: float(getattr(cost, name)) / limit - 1.0 for name, limit in self.limits.items()}
        return Candidate(params=dict(params), architecture=architecture, key=key, cost=cost, margins=margins)

    def consider(self, params: Params) -> Candidate | None:
        """Returns the point with its cost, or None where the parameters are no architecture."""
        try:
            return self.assess(params)
        except SpaceError:
            return None

    def overruns(self, candidate: Candidate) -> str:
        """Says which limits a point is over, and by how much."""
        return " and ".join(
            f"{getattr(candidate.cost, name):.4g} {UNITS.get(name, name)} against {self.limits[name]:g} "
            f"(+{100 * margin:.1f} %)"
            for name, margin in candidate.margins.items()
            if margin > 0
        )
