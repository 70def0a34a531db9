"""Regularised evolution (Real et al., 2019) for several objectives: the oldest points are dropped, not the worst."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.engine.domain import Domain
from nas.engine.history import History, Observation
from nas.engine.proposal import STRATEGIES, Proposal
from nas.engine.utility import utilities
from nas.engine.variation import any_new, cross, mutate, random_feasible, repaired
from results.pareto import nondominated

POPULATION = 24
"""How many of the latest evaluated points are parents."""
FIRST = 8
"""How many points are random before the first child."""
TOURNAMENT = 6
CROSSOVER_SHARE = 0.3
TRIES = 12


@STRATEGIES.register("evolution")
def propose(history: History, domain: Domain, *, seed: int) -> Proposal | None:
    """Mutates the winner of a tournament, or crosses the winners of two.

    The fitness is the non-domination rank, then the crowding distance. A child over budget is repaired.
    """
    rng = np.random.default_rng(seed)
    child = _child(history, domain, rng) if len(history.evaluated) >= FIRST else None
    if child is not None:
        return child
    found = random_feasible(domain, rng, seen=history.seen) or any_new(domain, rng, seen=history.seen)
    return None if found is None else Proposal(params=found.params, origin="random")


def _child(history: History, domain: Domain, rng: np.random.Generator) -> Proposal | None:
    population = history.evaluated[-POPULATION:]
    values = np.array([utilities(history.objectives, known.values) for known in population])
    order = fitness_order(values)
    for _ in range(TRIES):
        first, origin = _winner(population, order, rng), "neighbour"
        if rng.random() < CROSSOVER_SHARE:
            params, origin = cross(domain.space, first.params, _winner(population, order, rng).params, rng), "crossover"
        else:
            params = mutate(domain.space, first.params, rng)
        found = repaired(domain, params, rng, seen=history.seen)
        if found is not None:
            parent = first.key if origin == "neighbour" else None
            return Proposal(params=found.params, origin=origin, parent=parent)
    return None


def _winner(population: tuple[Observation, ...], order: NDArray[np.int64], rng: np.random.Generator) -> Observation:
    """Returns the fittest of a few random points."""
    drawn = rng.choice(len(population), size=min(TOURNAMENT, len(population)), replace=False)
    return population[int(min(drawn, key=lambda index: order[index]))]


def fitness_order(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns the position of each point by fitness, 0 the fittest: by non-domination rank, then crowding distance.

    Args:
        values: `(n, M)` utilities, all maximised.
    """
    rank, distance = np.zeros(len(values)), np.zeros(len(values))
    left, front = np.arange(len(values)), 0
    while len(left):
        mask = nondominated(values[left], (True,) * values.shape[1])
        rank[left[mask]] = front
        distance[left[mask]] = crowding(values[left[mask]])
        left, front = left[~mask], front + 1
    order = np.lexsort((np.arange(len(values)), -distance, rank))
    places = np.empty(len(values), dtype=np.int64)
    places[order] = np.arange(len(values))
    return places


def crowding(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the crowding distance of each point of a front `(n, M)` (Deb et al., 2002)."""
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        extent = max(float(column[order[-1]] - column[order[0]]), 1e-12)
        distance[order[[0, -1]]] = np.inf
        distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / extent
    return distance
