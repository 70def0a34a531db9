"""Regularised evolution (Real et al., 2019) for several objectives: the oldest die, whatever they are worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.engine.domain import CostedPoint, Domain
from nas.engine.history import History, Observation
from nas.engine.proposal import STRATEGIES, Proposal
from nas.engine.utility import utilities
from nas.engine.variation import any_new, cross, mutate, random_feasible, repaired
from results.pareto import nondominated

POPULATION = 24
"""How many of the latest evaluated points may have children."""
FIRST = 8
"""How many points are random before there are children."""
TOURNAMENT = 6
CROSSOVER_SHARE = 0.3
TRIES = 12


@STRATEGIES.register("evolution")
def propose(history: History, domain: Domain, *, seed: int) -> Proposal | None:
    """Changes the winner of a tournament, or crosses the winners of two; the fitness is front by front, then room.

    A child that is over the budget is brought within it.
    """
    rng = np.random.default_rng(seed)
    found, origin = _child(history, domain, rng) if len(history.evaluated) >= FIRST else (None, "random")
    if found is None:
        found, origin = (
            random_feasible(domain, rng, seen=history.seen) or any_new(domain, rng, seen=history.seen),
            "random",
        )
    return None if found is None else Proposal(params=found.params, origin=origin)


def _child(history: History, domain: Domain, rng: np.random.Generator) -> tuple[CostedPoint | None, str]:
    population = history.evaluated[-POPULATION:]
    gains = np.array([utilities(history.objectives, known.values) for known in population])
    order = fitness_order(gains)
    for _ in range(TRIES):
        params, origin = _winner(population, order, rng).params, "neighbour"
        if rng.random() < CROSSOVER_SHARE:
            params, origin = cross(domain.space, params, _winner(population, order, rng).params, rng), "crossover"
        else:
            params = mutate(domain.space, params, rng)
        found = repaired(domain, params, rng, seen=history.seen)
        if found is not None:
            return found, origin
    return None, ""


def _winner(population: tuple[Observation, ...], order: NDArray[np.int64], rng: np.random.Generator) -> Observation:
    """Returns the fittest of a few that are drawn."""
    drawn = rng.choice(len(population), size=min(TOURNAMENT, len(population)), replace=False)
    return population[int(min(drawn, key=lambda index: order[index]))]


def fitness_order(gains: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns the place of each point, 0 the fittest: by the front it is on, then by the room it has there.

    Args:
        gains: `(n, M)`, all maximised.
    """
    rank, room = np.zeros(len(gains)), np.zeros(len(gains))
    left, front = np.arange(len(gains)), 0
    while len(left):
        mask = nondominated(gains[left], (True,) * gains.shape[1])
        rank[left[mask]] = front
        room[left[mask]] = crowding(gains[left[mask]])
        left, front = left[~mask], front + 1
    order = np.lexsort((np.arange(len(gains)), -room, rank))
    places = np.empty(len(gains), dtype=np.int64)
    places[order] = np.arange(len(gains))
    return places


def crowding(gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the room of each point of a front: the sides of the box between its neighbours (Deb et al., 2002)."""
    room = np.zeros(len(gains))
    for column in gains.T:
        order = np.argsort(column, kind="stable")
        extent = max(float(column[order[-1]] - column[order[0]]), 1e-12)
        room[order[[0, -1]]] = np.inf
        room[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / extent
    return room
