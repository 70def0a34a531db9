"""The axes of the space as distributions of Optuna."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import optuna

from search_space.axis import Axis

TOLERANCE = 1e-9


def suggest(trial: optuna.Trial, axis: Axis) -> Any:
    """Returns the choice that a trial suggests for an axis; an axis with one choice is not suggested.

    Ordered numbers with even steps are suggested as numbers, so that the sampler knows their order; all other axes are
    categorical.
    """
    if len(axis.choices) == 1:
        return axis.choices[0]
    step = even_step(axis)
    if step is None:
        label = trial.suggest_categorical(axis.name, [stored(axis, choice) for choice in axis.choices])
        return restored(axis, label)
    low, high = min(numbers(axis)), max(numbers(axis))
    if isinstance(step, int):
        return restored(axis, trial.suggest_int(axis.name, int(low), int(high), step=step))
    return restored(axis, trial.suggest_float(axis.name, low, high, step=step))


def distribution(axis: Axis) -> optuna.distributions.BaseDistribution:
    """Returns the distribution of an axis with more than one choice."""
    step = even_step(axis)
    if step is None:
        return optuna.distributions.CategoricalDistribution([stored(axis, choice) for choice in axis.choices])
    low, high = min(numbers(axis)), max(numbers(axis))
    if isinstance(step, int):
        return optuna.distributions.IntDistribution(int(low), int(high), step=step)
    return optuna.distributions.FloatDistribution(low, high, step=step)


def numbers(axis: Axis) -> list[int | float]:
    """Returns the numeric choices of an axis, the smallest first."""
    return sorted(c for c in axis.choices if isinstance(c, (int, float)) and not isinstance(c, bool))


def even_step(axis: Axis) -> int | float | None:
    """Returns the step between the choices of an ordered numeric axis; None for other axes and uneven steps."""
    ordered = numbers(axis)
    if not axis.ordered or len(ordered) < 2 or len(ordered) < len(axis.choices):
        return None
    steps = [after - before for before, after in pairwise(ordered)]
    even = max(steps) - min(steps) <= TOLERANCE * max(abs(ordered[0]), abs(ordered[-1]), 1.0)
    return steps[0] if even and steps[0] > 0 else None


def stored(axis: Axis, choice: Any) -> Any:
    """Returns a choice as it is stored in a study: plain values as they are, others as text."""
    return choice if isinstance(choice, (str, int, float, bool)) or choice is None else str(choice)


def restored(axis: Axis, value: Any) -> Any:
    """Returns the choice that is stored as `value`, up to rounding errors of steps.

    Raises:
        ValueError: The axis has no such choice.
    """
    for choice in axis.choices:
        if type(stored(axis, choice)) is type(value) and stored(axis, choice) == value:
            return choice
    if isinstance(value, (int, float)) and numbers(axis):
        near = min(numbers(axis), key=lambda choice: abs(choice - value))
        if abs(near - value) <= 1e-6 * max(1.0, abs(value)):
            return near
    raise ValueError(f"axis {axis.name} has no choice {value!r}")
