"""The protocol of a strategy, and the strategies by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from nas.engine.domain import Domain
from nas.engine.history import History
from search_space.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A point to train next, and where it comes from."""

    params: Mapping[str, Any]
    origin: str
    """A short word for the user: tpe, neighbour, crossover, random, grid and the like."""
    parent: str | None = None
    """Key of the architecture of which the point is a neighbour, or which it resizes; None for any other point."""


class Strategy(Protocol):
    """Decides from its arguments alone, so that a resumed run decides as one that was not interrupted."""

    def __call__(self, history: History, domain: Domain, *, seed: int) -> Proposal | None:
        """Returns a point that fits the budget and is not in `history.seen`; None if there is no new point.

        Args:
            history: The trials so far.
            domain: The space, the budget, and the costs of points.
            seed: Of this decision; it differs for each.
        """


STRATEGIES: Registry[Strategy] = Registry("strategy")

AnyStrategy = TypeVar("AnyStrategy", bound=Callable[..., Any])


def uses_surrogate(strategy: AnyStrategy) -> AnyStrategy:
    """Declares that a strategy ranks points by `nas.engine.surrogate`; a run then reports its rank correlation."""
    strategy.has_surrogate = True  # type: ignore[attr-defined]
    return strategy


def has_surrogate(strategy: Strategy) -> bool:
    """Whether a strategy declares that it ranks points by the surrogate."""
    return bool(getattr(strategy, "has_surrogate", False))
