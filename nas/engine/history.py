"""What a strategy sees of a run: its trials so far, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.engine.objectives import Objective
from results.pareto import nondominated

STATES = ("evaluated", "pending", "rejected", "failed", "stopped")


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One trial as a strategy sees it."""

    number: int
    key: str
    """Equal for equal architectures."""
    params: Mapping[str, Any]
    """The point in the words of the space."""
    state: str
    """One of `STATES`; pending is one that was asked for and has not ended."""
    values: tuple[float | None, ...]
    """One value an objective, in their order; None where it is unknown."""
    costs: Mapping[str, float]
    """What is known before training, by name: macs, params, activation_bytes, input_px and the like."""
    origin: str = ""
    """The strategy's own word for how it came by the point."""

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"a trial cannot be {self.state!r}; allowed: {', '.join(STATES)}")


@dataclass(frozen=True, kw_only=True)
class History:
    """The trials of a run in the order of their numbers, and what the run is after."""

    objectives: tuple[Objective, ...]
    trials: tuple[Observation, ...] = ()

    @cached_property
    def evaluated(self) -> tuple[Observation, ...]:
        """The trials whose values are all known, in the order of their numbers."""
        ended = (trial for trial in self.trials if trial.state == "evaluated")
        return tuple(trial for trial in ended if all(_is_number(value) for value in trial.values))

    @cached_property
    def pending(self) -> tuple[Observation, ...]:
        """The trials that are under way."""
        return tuple(trial for trial in self.trials if trial.state == "pending")

    @cached_property
    def seen(self) -> frozenset[str]:
        """The keys of all trials, whatever became of them: what is among them is not asked for again."""
        return frozenset(trial.key for trial in self.trials)

    @property
    def maximise(self) -> tuple[bool, ...]:
        """One flag an objective, True where more is better."""
        return tuple(objective.maximise for objective in self.objectives)

    @property
    def costs(self) -> tuple[Objective, ...]:
        """The objectives that are known before training."""
        return tuple(objective for objective in self.objectives if objective.is_cost)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """`(evaluated, objectives)` values of the evaluated trials."""
        rows = [trial.values for trial in self.evaluated]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.objectives))

    @cached_property
    def front(self) -> tuple[Observation, ...]:
        """The evaluated trials that no other one dominates."""
        mask = nondominated(self.values, self.maximise)
        return tuple(trial for trial, chosen in zip(self.evaluated, mask, strict=True) if chosen)


def _is_number(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value))
