"""What a point of the space costs before training, and whether it fits the budget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from nas.cost import Budget, Cost, cost_of
from nas.cost.latency import LatencyModel
from search_space import Architecture, SearchSpace
from search_space.errors import SpaceError
from search_space.space import INPUT_AXES

Params = Mapping[str, Any]
UNITS = {
    "gmacs": "GMACs",
    "params_m": "million parameters",
    "latency_high_ms": "ms at the upper end",
    "memory_mb": "MB of activations",
}
MAX_LISTED = 500
"""How many combinations of choices a space may have to be listed whole: 10 ms each, where their blocks are new."""
MAX_WALKED = 10_000
"""How many combinations a space may have for its points to be looked at one after the other, until one will do."""


@dataclass(frozen=True, kw_only=True)
class CostedPoint:
    """One point of a space with what is known of it before training, measured against the budget."""

    params: Params
    key: str
    costs: Mapping[str, float]
    """By name: macs, params, activation_bytes, input_px (the root of the input's area), latency_ms with a device."""
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


@dataclass(frozen=True, kw_only=True)
class Candidate(CostedPoint):
    """A point that is an architecture, with its whole cost."""

    architecture: Architecture
    cost: Cost


class Domain(Protocol):
    """The points a strategy may propose: `CostedDomain` of architectures, or a table of measured detectors."""

    space: SearchSpace
    limits: Mapping[str, float]

    def consider(self, params: Params) -> CostedPoint | None:
        """Returns the point with its costs, or None where the parameters are no point."""

    def resized(self, params: Params, size: int) -> CostedPoint | None:
        """Returns the same network at another input size, or None where the space has none."""

    def listed(self) -> tuple[CostedPoint, ...] | None:
        """Returns all points of a small space, feasible or not; None where there are too many to list."""


class CostedDomain:
    """Costs points of a space and compares them with a budget; remembers every point it has costed."""

    def __init__(
        self, space: SearchSpace, budget: Budget, *, num_classes: int, device: LatencyModel | None = None
    ) -> None:
        self.space = space
        self.budget = budget
        self.num_classes = num_classes
        self.device = device
        self.limits: Mapping[str, float] = budget.limits()
        """The limits that are set, by the name that the limited figure has on a `Cost`."""
        self._costs: dict[str, Cost] = {}
        self._listed: tuple[Candidate, ...] | None = None

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
        return Candidate(
            params=dict(params),
            architecture=architecture,
            key=key,
            cost=cost,
            costs=known_costs(cost, architecture.input_hw),
            margins=margins,
        )

    def consider(self, params: Params) -> Candidate | None:
        """Returns the point with its cost, or None where the parameters are no architecture."""
        try:
            return self.assess(params)
        except SpaceError:
            return None

    def resized(self, params: Params, size: int) -> Candidate | None:
        """Returns the same network at another input size, or None where the space has none."""
        try:
            architecture = self.space.decode(dict(params))
            return self.assess(self.space.encode(architecture.resized((size, size))))
        except SpaceError:
            return None

    def listed(self) -> tuple[Candidate, ...] | None:
        """Returns all points of a space of at most `MAX_LISTED` combinations; None for a larger one."""
        if self._listed is None and count_points(self.space, MAX_LISTED) <= MAX_LISTED:
            found = (self.consider(params) for params in all_points(self.space))
            self._listed = tuple({candidate.key: candidate for candidate in found if candidate is not None}.values())
        return self._listed

    def overruns(self, candidate: Candidate) -> str:
        """Says which limits a point is over, and by how much."""
        return " and ".join(
            f"{getattr(candidate.cost, name):.4g} {UNITS.get(name, name)} against {self.limits[name]:g} "
            f"(+{100 * margin:.1f} %)"
            for name, margin in candidate.margins.items()
            if margin > 0
        )


def known_costs(cost: Cost, input_hw: tuple[int, int]) -> dict[str, float]:
    """Returns what is known of an architecture before training, by the names that records have for it."""
    known = {
        "macs": float(cost.macs),
        "params": float(cost.params),
        "activation_bytes": float(cost.activation_bytes),
        "input_px": math.sqrt(input_hw[0] * input_hw[1]),
    }
    memory_bytes = getattr(cost, "memory_bytes", None)
    if memory_bytes is not None:
        known["memory_bytes"] = float(memory_bytes)
    if cost.latency is not None:
        known["latency_ms"] = cost.latency.latency_ms
    return known


def all_points(space: SearchSpace) -> Iterator[dict[str, Any]]:
    """Yields every combination of choices on active axes, the last axis changing first."""

    def extended(params: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
        while index < len(space.axes) and not space.axes[index].active(params):
            index += 1
        if index == len(space.axes):
            yield params
            return
        axis = space.axes[index]
        for choice in axis.choices:
            yield from extended({**params, axis.name: choice}, index + 1)

    return extended({}, 0)


def count_points(space: SearchSpace, limit: int) -> int:
    """Counts the combinations of choices on active axes, and stops above `limit`: then there are more."""
    count = 0
    for _ in all_points(space):
        count += 1
        if count > limit:
            break
    return count


def side_of(params: Params) -> int:
    """Returns the side of a point's input in pixels; 0 where it has none."""
    return next((int(params[name]) for name in INPUT_AXES if name in params), 0)
