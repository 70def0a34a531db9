"""An axis of the search space: one decision about a detector, its choices, and when it is active."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from search_space.errors import SpaceError, nearest

Choice = int | float | str
Params = dict[str, Choice]
Point = Mapping[str, Choice]
"""Choices by axis name."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One decision about a detector."""

    name: str
    choices: tuple[Choice, ...]
    doc: str
    ordered: bool = False
    """Whether the choices are numbers whose order a sampler may use."""
    active: Callable[[Point], bool] = lambda params: True
    """Whether the axis applies, given the choices on the axes before it."""
    rare: tuple[Choice, ...] = ()
    """Choices drawn a tenth as often as the others at random: expensive ones that few budgets admit."""
    formerly: Choice | None = None
    """Of an axis that a later version added: the choice that all detectors had before."""

    def check(self, choice: Choice) -> None:
        """Raises SpaceError where `choice` is not one of the choices."""
        if choice not in self.choices or isinstance(choice, bool):
            known = ", ".join(map(str, self.choices))
            hint = self._hint(choice)
            raise SpaceError(f"axis {self.name!r} cannot be {choice!r}{hint}; allowed: {known}")

    def _hint(self, choice: object) -> str:
        if self.ordered and _is_number(choice):
            return f"; nearest: {min(self.choices, key=lambda known: abs(float(known) - float(str(choice))))}"
        return nearest(str(choice), map(str, self.choices))

    def parse(self, text: str) -> Choice:
        """Returns the choice written as `text`; raises SpaceError where there is none."""
        for choice in self.choices:
            if text == str(choice) or (self.ordered and _is_number(text) and float(text) == float(choice)):
                return choice
        self.check(text)
        raise AssertionError("check raises for an unknown choice")

    def odds(self) -> list[float]:
        """Returns the probability of each choice in a random draw; the sum is 1."""
        weights = [0.1 if choice in self.rare else 1.0 for choice in self.choices]
        return [weight / sum(weights) for weight in weights]


def _is_number(value: object) -> bool:
    try:
        return math.isfinite(float(str(value)))
    except ValueError:
        return False
