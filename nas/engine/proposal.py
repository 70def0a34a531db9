"""What a strategy gives back, and the strategies by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from nas.engine.domain import Domain
from nas.engine.history import History
from search_space.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A point to ask for, and where it comes from."""

    params: Mapping[str, Any]
    origin: str
    """A short word that is shown to the user: tpe, neighbour, crossover, random, grid and the like."""


class Strategy(Protocol):
    """Decides from its arguments alone, so that a run that was interrupted decides as one that was not."""

    def __call__(self, history: History, domain: Domain, *, seed: int) -> Proposal | None:
        """Returns a point that fits the budget and is not in `history.seen`; None where nothing new is left.

        Args:
            history: The trials so far.
            domain: The space, the budget, and what a point costs.
            seed: Of this decision; another one for each.
        """


STRATEGIES: Registry[Strategy] = Registry("strategy")
