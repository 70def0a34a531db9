"""Runs a strategy on a table, and measures how soon it has the front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.bench.table import Table
from nas.engine.domain import CostedPoint
from nas.engine.history import History, Observation
from nas.engine.peers import PEERS, peer_order
from nas.engine.search_study import derive_seed
from nas.engine.strategies import STRATEGIES
from results.pareto import hypervolume
from search_space.errors import ConfigError, nearest

SHARES = (0.90, 0.95, 0.99)
"""Of the hypervolume of the true front."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """One run of one strategy: how much of the true front's hypervolume it has after each evaluation."""

    shares: tuple[float, ...]
    """In accuracy and log latency."""
    linear_shares: tuple[float, ...]
    """In accuracy and latency."""

    def evaluations_to(self, share: float, *, linear: bool = False) -> int | None:
        """Returns how many evaluations it took to reach a share; None where it did not."""
        reached = self.linear_shares if linear else self.shares
        return next((index for index, got in enumerate(reached, start=1) if got >= share), None)


def check_strategy(name: str) -> None:
    """Raises ConfigError where `name` is neither a strategy nor a plain sampler."""
    known = (*STRATEGIES.names(), *PEERS)
    if name not in known:
        raise ConfigError(f"unknown strategy {name!r}{nearest(name, known)}; known: {', '.join(known)}")


def replay(table: Table, strategy: str, *, seed: int, evaluations: int) -> Replay:
    """Runs a strategy, or a plain sampler, until it evaluated so many points or has no more."""
    check_strategy(strategy)
    evaluations = min(evaluations, len(table.points))
    if strategy in PEERS:
        order = peer_order(
            strategy,
            table.domain.space,
            table.domain.nearest,
            table.objectives,
            table.values,
            seed=seed,
            evaluations=evaluations,
        )
    else:
        order = strategy_order(table, strategy, seed=seed, evaluations=evaluations)
    return measured(table, order)


def strategy_order(table: Table, strategy: str, *, seed: int, evaluations: int) -> list[CostedPoint]:
    """Returns the points that a strategy evaluates, in their order; costs it knows before, accuracies after."""
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
