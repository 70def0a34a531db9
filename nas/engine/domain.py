"""The costs of points before training, and the limits of the budget."""

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
"""Up to this many points a space is listed; costing one with new blocks takes 10 ms."""
MAX_WALKED = 10_000
"""Up to this many points are tried one after the other."""


@dataclass(frozen=True, kw_only=True)
class CostedPoint:
    """A point of a space with its costs, and their margins to the budget."""

    params: Params
    key: str
    costs: Mapping[str, float]
    """By name: macs, params, activation_bytes, input_px (the root of the input's area), latency_ms with a device."""
    margins: Mapping[str, float]
    """For every limit of the budget, value / limit - 1; the limit holds where this is 0 or less."""

    @property
    def excess(self) -> float:
        """The sum of the relative excesses over the limits; 0 if all hold."""
        return sum(max(0.0, margin) for margin in self.margins.values())

    @property
    def feasible(self) -> bool:
        """Whether every limit holds."""
        return all(margin <= 0.0 for margin in self.margins.values())


@dataclass(frozen=True, kw_only=True)
class Candidate(CostedPoint):
    """A costed point with its architecture."""

    architecture: Architecture
    cost: Cost


class Domain(Protocol):
    """The points that a strategy may propose: a `CostedDomain`, or a table of measured detectors."""

    space: SearchSpace
    limits: Mapping[str, float]

    def consider(self, params: Params) -> CostedPoint | None:
        """Returns the point with its costs, or None if the space does not have it."""

    def resized(self, params: Params, size: int) -> CostedPoint | None:
        """Returns the same network at another input size, or None if the space does not have it."""

    def listed(self) -> tuple[CostedPoint, ...] | None:
        """Returns all points of a small space, feasible or not; None if there are too many."""

    def has_small_cells(self, point: CostedPoint) -> bool:
        """Returns whether the cells of the finest level are small enough for the objects of the data."""


class CostedDomain:
    """Costs the points of a space and compares them with a budget; remembers all costs."""

    def __init__(
        self,
        space: SearchSpace,
        budget: Budget,
        *,
        num_classes: int,
        device: LatencyModel | None = None,
        least_cells: float = 0.0,
        frame_hw: tuple[int, int] | None = None,
    ) -> None:
        self.space = space
        self.least_cells = least_cells
        """Cells that the finest level of a head needs along the input; see `nas.engine.starts.least_cells`."""
        self.frame_hw = frame_hw
        """Size of the images of the data or, where it is given, of a frame; None: not known."""
        self.budget = budget
        self.num_classes = num_classes
        self.device = device
        self.limits: Mapping[str, float] = budget.limits()
        """The limits by the attribute of a `Cost` that they apply to."""
        self._costs: dict[str, Cost] = {}
        self._listed: tuple[Candidate, ...] | None = None

    def assess(self, params: Params) -> Candidate:
        """Returns the point with its cost.

        Raises:
            SpaceError: The parameters are not a point of the space.
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
        """Returns the point with its cost, or None if the space does not have it."""
        try:
            return self.assess(params)
        except SpaceError:
            return None

    def resized(self, params: Params, size: int) -> Candidate | None:
        """Returns the same network at another input size, or None if the space does not have it."""
        try:
            architecture = self.space.decode(dict(params))
            return self.assess(self.space.encode(architecture.resized((size, size))))
        except SpaceError:
            return None

    def listed(self) -> tuple[Candidate, ...] | None:
        """Returns all points of a space of at most `MAX_LISTED`; None for a larger one."""
        if self._listed is None and count_points(self.space, MAX_LISTED) <= MAX_LISTED:
            found = (self.consider(params) for params in all_points(self.space))
            self._listed = tuple({candidate.key: candidate for candidate in found if candidate is not None}.values())
        return self._listed

    def has_small_cells(self, point: CostedPoint) -> bool:
        """Returns whether the finest level has `least_cells` along the longer side of the image, all tiles counted."""
        if not self.least_cells:
            return True
        architecture = self.space.decode(dict(point.params))
        finest = architecture.backbone.log_stride(architecture.head.finest_level)
        cells = max(architecture.input_hw) / 2**finest
        if self.frame_hw is not None:
            cells *= architecture.tiles.magnification(self.frame_hw, architecture.input_hw)
        return bool(cells >= self.least_cells)

    def overruns(self, candidate: Candidate) -> str:
        """Says which limits a point exceeds, and by how much."""
        return " and ".join(
            f"{getattr(candidate.cost, name):.4g} {UNITS.get(name, name)} against {self.limits[name]:g} "
            f"(+{100 * margin:.1f} %)"
            for name, margin in candidate.margins.items()
            if margin > 0
        )


def known_costs(cost: Cost, input_hw: tuple[int, int]) -> dict[str, float]:
    """Returns the costs of an architecture by the names of their columns."""
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
    """Yields every combination of choices on active axes; the last axis changes fastest."""

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
    """Counts the points of a space up to `limit` + 1."""
    count = 0
    for _ in all_points(space):
        count += 1
        if count > limit:
            break
    return count


def side_of(params: Params) -> int:
    """Returns the side of the input of a point in pixels; 0 if it has no input axis."""
    return next((int(params[name]) for name in INPUT_AXES if name in params), 0)
