"""The trials so far as a strategy sees them, one for each architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.engine.objectives import Objective
from nas.engine.utility import NO_FLOORS, Floors
from results.levelling import levelling_factor
from results.pareto import nondominated

STATES = ("evaluated", "pending", "rejected", "failed", "stopped")


@dataclass(frozen=True, kw_only=True)
class Observation:
    """An architecture as a strategy sees it."""

    number: int
    key: str
    """Equal for equal architectures."""
    params: Mapping[str, Any]
    """The point: its choices by axis."""
    state: str
    """One of `STATES`; pending trials have not ended."""
    values: tuple[float | None, ...]
    """One value for each objective; None if it is unknown."""
    costs: Mapping[str, float]
    """The costs, which are known before training: macs, params, activation_bytes, input_px and others."""
    origin: str = ""
    """Where the point comes from, in the words of the strategy."""
    seconds_an_image: float | None = None
    """Measured time of its training; None where it was not measured, or the run has no limit of time."""
    age_images: int | None = None
    """Images that its weights have seen, those of its donors included; None in a run without inheritance."""
    inherited_share: float | None = None
    """Share of its multiply-adds whose weights came from its donor; None in a run without inheritance."""

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"the state of a trial cannot be {self.state!r}; allowed: {', '.join(STATES)}")


@dataclass(frozen=True, kw_only=True)
class Age:
    """How much training the weights of a trial had."""

    images: float
    """That they have seen, those of donors included."""
    inherited_share: float
    """Of the multiply-adds."""


@dataclass(frozen=True, kw_only=True)
class History:
    """The trials of a run in the order of their numbers, and its objectives."""

    objectives: tuple[Objective, ...]
    trials: tuple[Observation, ...] = ()
    floors: Floors = field(default_factory=lambda: NO_FLOORS)
    """Costs below which a detector is worth no more, by column."""

    @cached_property
    def evaluated(self) -> tuple[Observation, ...]:
        """The trials whose values are all known."""
        ended = (trial for trial in self.trials if trial.state == "evaluated")
        return tuple(trial for trial in ended if all(_is_number(value) for value in trial.values))

    @cached_property
    def pending(self) -> tuple[Observation, ...]:
        """The trials that are under way."""
        return tuple(trial for trial in self.trials if trial.state == "pending")

    @cached_property
    def seen(self) -> frozenset[str]:
        """The keys of all trials, whatever their state: these architectures are not proposed again."""
        return frozenset(trial.key for trial in self.trials)

    @cached_property
    def median_age(self) -> Age | None:
        """The medians over the evaluated trials; None in a run without inheritance."""
        aged = [trial for trial in self.evaluated if trial.age_images is not None]
        if not aged:
            return None
        images = float(np.median([trial.age_images or 0 for trial in aged]))
        return Age(images=images, inherited_share=float(np.median([trial.inherited_share or 0.0 for trial in aged])))

    @cached_property
    def levelled(self) -> History:
        """The history with all accuracies as after the median of the images; itself in a run without inheritance.

        See `results.levelling`.
        """
        age = self.median_age
        if age is None:
            return self
        return replace(self, trials=tuple(self._at(trial, age.images) for trial in self.trials))

    def _at(self, trial: Observation, images: float) -> Observation:
        """Returns a trial with the accuracies that it is expected to have after a number of images."""
        if not trial.age_images:
            return trial
        factor = levelling_factor(trial.age_images, images)
        pairs = zip(self.objectives, trial.values, strict=True)
        levelled = (value if each.is_cost or value is None else factor * value for each, value in pairs)
        return replace(trial, values=tuple(levelled))

    @property
    def maximise(self) -> tuple[bool, ...]:
        """One flag for each objective, True if it is maximised."""
        return tuple(objective.maximise for objective in self.objectives)

    @property
    def costs(self) -> tuple[Objective, ...]:
        """The objectives that are known before training."""
        return tuple(objective for objective in self.objectives if objective.is_cost)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """`(evaluated, objectives)` values of the evaluated trials."""
        values = [trial.values for trial in self.evaluated]
        return np.array(values, dtype=np.float64).reshape(len(values), len(self.objectives))

    @cached_property
    def front(self) -> tuple[Observation, ...]:
        """The non-dominated evaluated trials."""
        mask = nondominated(self.values, self.maximise)
        return tuple(trial for trial, chosen in zip(self.evaluated, mask, strict=True) if chosen)


def _is_number(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value))
