"""Hard upper limits on a cost."""

from __future__ import annotations

from dataclasses import dataclass

from nas.cost.cost import Cost
from search_space.errors import BudgetError

WORDS = {
    "gmacs": "GFLOPs (GMACs)",
    "params_m": "million parameters",
    "latency_high_ms": "milliseconds",
    "memory_mb": "MB of activations",
}
"""Units of the limits in messages."""


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One limit that a cost exceeds."""

    name: str
    value: float
    limit: float

    @property
    def excess(self) -> float:
        """Relative excess over the limit: 0.1 is 10 % too much."""
        return self.value / self.limit - 1

    def __str__(self) -> str:
        return f"{self.name} {self.value:.3f} over the limit {self.limit:g} by {100 * self.excess:.1f} %"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Upper limits; None means unlimited.

    Raises:
        BudgetError: A limit is not a positive number.
    """

    gmacs: float | None = None
    """Billion multiply-adds of one image (fvcore's FLOPs)."""
    params_m: float | None = None
    """Million trainable parameters."""
    latency_ms: float | None = None
    """Milliseconds on a device; limits the upper end of the predicted interval."""
    memory_mb: float | None = None
    """MB (1e6 bytes) of peak activation memory of one image in 32-bit floats."""

    def __post_init__(self) -> None:
        for name, limit in self.limits().items():
            if not 0 < limit < float("inf"):
                what = WORDS[name]
                raise BudgetError(f"budget must be positive, got {limit:g} {what}; give another, or omit the limit")

    def limits(self) -> dict[str, float]:
        """Returns the limits that are set, by the name of the cost that they limit."""
        limits = {"gmacs": self.gmacs, "params_m": self.params_m}
        limits |= {"latency_high_ms": self.latency_ms, "memory_mb": self.memory_mb}
        return {name: limit for name, limit in limits.items() if limit is not None}

    def violations(self, cost: Cost) -> tuple[Violation, ...]:
        """Returns the limits that `cost` exceeds; an empty tuple means that it is feasible."""
        values = {name: float(getattr(cost, name)) for name in self.limits()}
        return tuple(
            Violation(name=name, value=values[name], limit=limit)
            for name, limit in self.limits().items()
            if values[name] > limit
        )
