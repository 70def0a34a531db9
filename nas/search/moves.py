"""Ways to get from nothing, or from one point of the space, to another point, in memory and in microseconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from nas.search.gate import Candidate, Gate, Params
from search_space import Architecture, SearchSpace
from search_space.errors import SpaceError
from search_space.space import INPUT_AXES

MAX_CHANGED_AXES = 3
TRADE_SHARE = 0.5
"""How often a neighbour is to take a larger input than its parent, the largest at which it fits the budget."""
DRAWS = 12
"""How many points are drawn before a search in memory gives up or turns to repair: one new to it takes 0.1 s."""
NUM_REPAIRS = 2
NEAR_TARGET = 0.25
"""How near, in logs, a point's MACs must come to a target to be taken without looking further."""
CHEAPEST_SHARE = 0.08
"""What part of the budget on MACs counts as the cheap end of the range below it."""


def complete(space: SearchSpace, params: Params, rng: np.random.Generator) -> dict[str, Any]:
    """Returns `params` as a whole point: axes that are missing or out of the space are drawn, idle ones dropped."""

    def choose(axis: Any) -> Any:
        value = params.get(axis.name)
        return value if axis.name in params and value in axis.choices else axis.choices[rng.integers(len(axis.choices))]

    return dict(space.sample(choose))


def mutate(space: SearchSpace, params: Params, rng: np.random.Generator) -> dict[str, Any]:
    """Returns a neighbour: one to three of the active axes that leave a choice take another value."""
    free = [axis for axis in space.axes if axis.name in params and len(axis.choices) > 1]
    if not free:
        return dict(params)
    count = min(len(free), 1 + int(rng.integers(MAX_CHANGED_AXES)))
    changed = dict(params)
    for index in rng.choice(len(free), size=count, replace=False):
        others = [choice for choice in free[index].choices if choice != params[free[index].name]]
        changed[free[index].name] = others[rng.integers(len(others))]
    return complete(space, changed, rng)


def mutated_feasible(
    gate: Gate,
    parents: Sequence[Params],
    rng: np.random.Generator,
    *,
    seen: Collection[str],
    accuracies: Sequence[float] | None = None,
) -> Candidate | None:
    """Draws neighbours of random parents until one fits the budget and is new; None when `DRAWS` do not.

    Parents are drawn in proportion to their accuracies where these are given: the cheap end of a young front is often
    there for its cost alone. Every other neighbour is a trade: changes that leave room for a larger input than
    the parent's, which is what small objects want first.
    """
    trades = rng.random() < TRADE_SHARE
    weights = np.asarray([1.0] * len(parents) if accuracies is None else accuracies) + 1e-6
    for _ in range(DRAWS if parents else 0):
        parent = parents[int(rng.choice(len(parents), p=weights / weights.sum()))]
        neighbour = mutate(gate.space, parent, rng)
        candidate = fit_input(gate, neighbour, lambda gmacs: len(gmacs) - 1) if trades else gate.consider(neighbour)
        if candidate is None or not candidate.feasible or candidate.key in seen:
            continue
        if not trades or side_of(candidate.params) > side_of(parent):
            return candidate
    return None


def repair(gate: Gate, start: Candidate, rng: np.random.Generator) -> Candidate:
    """Walks from a point towards the budget by random changes of one axis that lower the excess.

    Returns:
        The first feasible point on the way, or the nearest miss when the walk runs out of steps.
    """
    best = start
    for _ in range(20 * len(gate.space.axes)):
        if best.feasible:
            break
        free = [axis for axis in gate.space.axes if axis.name in best.params and len(axis.choices) > 1]
        if not free:
            break
        axis = free[rng.integers(len(free))]
        changed = {**best.params, axis.name: axis.choices[rng.integers(len(axis.choices))]}
        candidate = gate.consider(complete(gate.space, changed, rng))
        if candidate is not None and candidate.excess < best.excess:
            best = candidate
    return best


def random_feasible(gate: Gate, rng: np.random.Generator, *, seen: Collection[str] = ()) -> Candidate | None:
    """Draws random points until one fits the budget and is new; repairs some of them where none does.

    Every axis is drawn evenly but the input size, which is drawn among the sizes at which the network fits: few
    points drawn blindly fit a tight budget, and those that do are all small networks.
    """
    misses = []
    for _ in range(DRAWS):
        candidate = fit_input(gate, gate.space.random(rng), lambda gmacs: int(rng.integers(len(gmacs))))
        if candidate is not None and candidate.feasible and candidate.key not in seen:
            return candidate
        if candidate is not None:
            misses.append(candidate)
    for miss in sorted(misses, key=lambda candidate: candidate.excess)[:NUM_REPAIRS]:
        candidate = repair(gate, miss, rng)
        if candidate.feasible and candidate.key not in seen:
            return candidate
    return None


def spread_feasible(
    gate: Gate, rng: np.random.Generator, *, share: float, seen: Collection[str] = ()
) -> Candidate | None:
    """Draws random feasible points and returns one whose cost lies at a given share of the range below the budget.

    Points at different shares give a front cheap and dear members from the start.

    Args:
        gate: The space and the budget.
        rng: Decides everything.
        share: Where on the range of MACs below the budget, in logs: 0 the cheap end, 1 the budget.
        seen: Keys that are not new.
    """
    if "gmacs" not in gate.limits:
        return random_feasible(gate, rng, seen=seen)
    target = gate.limits["gmacs"] * CHEAPEST_SHARE ** (1.0 - share)

    def distance(gmacs: float) -> float:
        return abs(math.log(gmacs / target))

    best: Candidate | None = None
    for _ in range(DRAWS):
        params = gate.space.random(rng)
        candidate = fit_input(gate, params, lambda gmacs: min(range(len(gmacs)), key=lambda i: distance(gmacs[i])))
        if candidate is None or not candidate.feasible or candidate.key in seen:
            continue
        if best is None or distance(candidate.cost.gmacs) < distance(best.cost.gmacs):
            best = candidate
        if distance(best.cost.gmacs) < NEAR_TARGET:
            break
    return best or random_feasible(gate, rng, seen=seen)


def fit_input(
    gate: Gate, params: Params, choose: Callable[[list[float]], int], *, largest: int | None = None
) -> Candidate | None:
    """Returns the network of a point at an input size at which it fits; at the smallest one where it fits nowhere.

    MACs grow with the area of the input (attention apart), so the sizes that fit follow from the smallest one's
    cost; only the chosen size is costed exactly, and the next smaller ones where the guess was too bold. Under a limit
    on latency a few more are costed on the way.

    Args:
        gate: The space and the budget.
        params: The point; its own input size does not matter.
        choose: Picks a size by its index, given the expected GMACs at each size that fits, the smallest first.
        largest: Larger sizes are not tried.

    Returns:
        The point, feasible or not; None where the parameters are no architecture.
    """
    try:
        architecture = gate.space.decode(params)
    except SpaceError:
        return None
    sizes = sorted(int(choice) for choice in gate.space.input_axis(params).choices)
    sizes = [size for size in sizes if largest is None or size <= largest]
    smallest = next((found for size in sizes if (found := _candidate_at(gate, architecture, size)) is not None), None)
    if smallest is None or not smallest.feasible:
        return smallest
    first = smallest.architecture.input_hw[0]
    sizes = [size for size in sizes if size >= first]
    gmacs = [smallest.cost.gmacs * (size / first) ** 2 for size in sizes]
    gmacs = [value for value in gmacs if value <= gate.limits.get("gmacs", math.inf)]
    index = choose(gmacs[: _num_in_time(gate, architecture, sizes[: len(gmacs)])])
    chosen = sizes[: index + 1]
    tries = (_candidate_at(gate, architecture, size) for size in reversed(chosen))
    return next((candidate for candidate in tries if candidate is not None and candidate.feasible), smallest)


def _num_in_time(gate: Gate, architecture: Architecture, sizes: list[int]) -> int:
    """Returns how many of the sizes, of which the smallest is fast enough, are; by bisection, latency grows with size.

    It does not grow with the MACs: launches take their time at every size.
    """
    if "latency_high_ms" not in gate.limits:
        return len(sizes)
    fitting, too_slow = 1, len(sizes) + 1
    while too_slow - fitting > 1:
        middle = (fitting + too_slow) // 2
        candidate = _candidate_at(gate, architecture, sizes[middle - 1])
        slow = candidate is not None and candidate.margins["latency_high_ms"] > 0
        fitting, too_slow = (fitting, middle) if slow else (middle, too_slow)
    return fitting


def side_of(params: Params) -> int:
    """Returns the side of a point's input in pixels; 0 where it has none."""
    return next((int(params[name]) for name in INPUT_AXES if name in params), 0)


def at_size(space: SearchSpace, architecture: Architecture, size: int) -> Params | None:
    """Returns the point that is the same network at another input size; None where the space has none."""
    try:
        return space.encode(architecture.resized((size, size)))
    except SpaceError:
        return None


def _candidate_at(gate: Gate, architecture: Architecture, size: int) -> Candidate | None:
    params = at_size(gate.space, architecture, size)
    return None if params is None else gate.consider(params)
