"""Runs a strategy on a table of trained detectors and measures how fast it finds the front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nas.bench.table import Table
from nas.engine.domain import CostedPoint
from nas.engine.history import History, Observation
from nas.engine.search_study import derive_seed
from nas.engine.strategies import STRATEGIES
from results.pareto import hypervolume
from search_space.errors import ConfigError, check_known

SHARES = (0.90, 0.95, 0.99)
"""Of the hypervolume of the true front."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """One run of one strategy: its share of the true front's hypervolume after each evaluation."""

    shares: tuple[float, ...]
    """In accuracy and log latency."""
    linear_shares: tuple[float, ...]
    """In accuracy and latency."""

    def evaluations_to(self, share: float, *, linear: bool = False) -> int | None:
        """Returns how many evaluations it took to reach a share; None if it did not."""
        reached = self.linear_shares if linear else self.shares
        return next((index for index, got in enumerate(reached, start=1) if got >= share), None)


class Order(Protocol):
    """Returns the points that a named strategy evaluates on a table, in order."""

    def __call__(self, table: Table, strategy: str, *, seed: int, evaluations: int) -> list[CostedPoint]: ...


def check_strategy(name: str) -> None:
    """Raises ConfigError where no strategy of that name is registered."""
    check_known("strategy", name, STRATEGIES, ConfigError)


def replay(table: Table, strategy: str, *, seed: int, evaluations: int, order: Order | None = None) -> Replay:
    """Runs a strategy until it used up its evaluations or has no more points to propose.

    Args:
        table: The trained detectors.
        strategy: Name of a registered strategy, or one that `order` knows.
        seed: Of the strategy.
        evaluations: How many points it may evaluate.
        order: Chooses the points in place of the registered strategies.

    Raises:
        ConfigError: The strategy is unknown.
    """
    choose = strategy_order if order is None else order
    return measured(table, choose(table, strategy, seed=seed, evaluations=min(evaluations, len(table.points))))


def strategy_order(table: Table, strategy: str, *, seed: int, evaluations: int) -> list[CostedPoint]:
    """Returns the points that a registered strategy evaluates, in order.

    The strategy knows the costs of all points, and the accuracies of those that it evaluated.

    Raises:
        ConfigError: The strategy is unknown.
    """
    check_strategy(strategy)
    propose = STRATEGIES.get(strategy)
    trials: list[Observation] = []
    order: list[CostedPoint] = []
    for number in range(evaluations):
        history = History(objectives=table.objectives, trials=tuple(trials))
        proposal = propose(history, table.domain, seed=derive_seed(seed, number, 1))
        if proposal is None:
            break
        point = table.domain.consider(proposal.params)
        assert point is not None and point.key not in history.seen, "a strategy proposes new points of the space only"
        order.append(point)
        trials.append(
            Observation(
                number=number,
                key=point.key,
                params=point.params,
                state="evaluated",
                values=table.values(point),
                costs=point.costs,
                origin=proposal.origin,
            )
        )
    return order


def measured(table: Table, order: Sequence[CostedPoint]) -> Replay:
    """Returns the share of the true front's hypervolume after each point.

    The reference is the nadir of the true front: its worst accuracy and its largest latency.
    """
    values = [table.values(point) for point in order]
    return Replay(
        shares=_shares(table.gains(values), table.gains(table.front)),
        linear_shares=_shares(table.gains(values, linear=True), table.gains(table.front, linear=True)),
    )


def _shares(gains: np.ndarray, front: np.ndarray) -> tuple[float, ...]:
    reference = front.min(axis=0)
    whole = hypervolume(front, reference, (True, True))
    return tuple(hypervolume(gains[: end + 1], reference, (True, True)) / whole for end in range(len(gains)))
