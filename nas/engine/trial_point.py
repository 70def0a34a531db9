"""The point of a trial: its choices, stored as text, in the terms of a space."""

from __future__ import annotations

from typing import Any

from results.trial import Trial
from search_space import SearchSpace
from search_space.axis import Axis, Choice
from search_space.errors import SpaceError


def point_of(space: SearchSpace, trial: Trial) -> dict[str, Any]:
    """Returns the point of a trial; an axis with one choice, or one that is newer than the trial, may be missing in it.

    Raises:
        SpaceError: If the space does not have the point.
    """

    def choose(axis: Axis) -> Choice:
        text = trial.axes.get(axis.name)
        if text is not None:
            return axis.parse(text)
        if len(axis.choices) == 1:
            return axis.choices[0]
        if axis.formerly not in axis.choices:
            raise SpaceError(f"trial {trial.number} has no choice on the axis {axis.name!r}")
        return axis.formerly

    return dict(space.sample(choose))
