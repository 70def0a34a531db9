"""Sample, mutate, cross and repair points of the space."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nas.engine.domain import MAX_WALKED, CostedPoint, Domain, Params, all_points, count_points, side_of
from nas.engine.utility import LEAST_OF_BUDGET
from search_space import SearchSpace
from search_space.axis import Axis
from search_space.space import INPUT_AXES

MAX_CHANGED_AXES = 3
TRADE_SHARE = 0.5
"""How often a neighbour takes a larger input than its parent, the largest at which it fits the budget."""
DRAWS = 12
"""How many points are drawn before a function gives up or repairs one; costing a new point takes 0.1 s."""
WIDTH_AXES = ("width", "fpn_width", "box_channels")
NUM_REPAIRS = 2
MAX_REPAIR_STEPS = 60
NEAR_TARGET = 0.25
"""A point whose log cost is this near to the target is taken without drawing others."""
LATENCY = "latency_high_ms"
"""The limit on the upper end of a predicted latency."""
WITHOUT_SIZE = ("params", "params_m")
"""Costs and limits that do not depend on the input size."""


class Neighbour(NamedTuple):
    """A point that was drawn next to another one."""

    point: CostedPoint
    parent: Params


def complete(space: SearchSpace, params: Params, rng: np.random.Generator) -> dict[str, Any]:
    """Returns a complete point: missing and invalid choices are drawn, inactive axes are dropped."""

    def choose(axis: Axis) -> Any:
        value = params.get(axis.name)
        return value if axis.name in params and value in axis.choices else axis.choices[rng.integers(len(axis.choices))]

    return dict(space.sample(choose))


def mutate(space: SearchSpace, params: Params, rng: np.random.Generator) -> dict[str, Any]:
    """Returns a neighbour: one to `MAX_CHANGED_AXES` active axes take another choice."""
    free = _free_axes(space, params)
    if not free:
        return dict(params)
    count = min(len(free), 1 + int(rng.integers(MAX_CHANGED_AXES)))
    changed = dict(params)
    for index in rng.choice(len(free), size=count, replace=False):
        others = [choice for choice in free[index].choices if choice != params[free[index].name]]
        changed[free[index].name] = others[rng.integers(len(others))]
    return complete(space, changed, rng)


def scaled(space: SearchSpace, params: Params, rng: np.random.Generator) -> dict[str, Any]:
    """Returns the point with all its widths one step smaller, or one step larger."""
    step = int(rng.choice((-1, 1)))
    changed = dict(params)
    for axis in _free_axes(space, params):
        if axis.name in WIDTH_AXES:
            choices = sorted(axis.choices)
            index = min(max(choices.index(params[axis.name]) + step, 0), len(choices) - 1)
            changed[axis.name] = choices[index]
    return complete(space, changed, rng)


def cross(space: SearchSpace, first: Params, second: Params, rng: np.random.Generator) -> dict[str, Any]:
    """Returns a child of two points: each axis takes the choice of one of them; axes that neither has are drawn."""
    parents = {name: (second if rng.random() < 0.5 else first) for name in sorted({*first, *second})}
    child = {name: parent.get(name, first.get(name, second.get(name))) for name, parent in parents.items()}
    return complete(space, child, rng)


def mutated_feasible(
    domain: Domain,
    parents: Sequence[Params],
    rng: np.random.Generator,
    *,
    seen: Collection[str],
    accuracies: Sequence[float] | None = None,
) -> CostedPoint | None:
    """Returns a neighbour of one of the parents that fits the budget and is new; see `drawn_neighbour`."""
    found = drawn_neighbour(domain, parents, rng, seen=seen, accuracies=accuracies)
    return None if found is None else found.point


def drawn_neighbour(
    domain: Domain,
    parents: Sequence[Params],
    rng: np.random.Generator,
    *,
    seen: Collection[str],
    accuracies: Sequence[float] | None = None,
) -> Neighbour | None:
    """Draws neighbours of random parents until one fits the budget and is new; None after `DRAWS` that do not.

    Parents are drawn in proportion to their accuracies if these are given, because cheap members of an early front are
    often there for their cost alone. With the probability `TRADE_SHARE` the neighbour must have a larger input than
    its parent, which small objects profit from most.
    """
    trades = rng.random() < TRADE_SHARE
    weights = np.maximum([1.0] * len(parents) if accuracies is None else accuracies, 0.0) + 1e-6
    for _ in range(DRAWS if parents else 0):
        parent = parents[int(rng.choice(len(parents), p=weights / weights.sum()))]
        neighbour = mutate(domain.space, parent, rng)
        candidate = fit_input(domain, neighbour, _largest) if trades else domain.consider(neighbour)
        if candidate is None or not candidate.feasible or candidate.key in seen:
            continue
        if not trades or side_of(candidate.params) > side_of(parent):
            return Neighbour(candidate, parent)
    return None


def repaired(domain: Domain, params: Params, rng: np.random.Generator, *, seen: Collection[str]) -> CostedPoint | None:
    """Returns the point, repaired if it is over budget; None if that fails or the result is not new.

    A smaller input is tried first, because it leaves the network as it is; then single changes of other axes.
    """
    candidate = domain.consider(params)
    if candidate is not None and not candidate.feasible and side_of(params):
        candidate = fit_input(domain, params, _largest, largest=side_of(params)) or candidate
    if candidate is not None and not candidate.feasible:
        candidate = repair(domain, candidate, rng)
    return candidate if candidate is not None and candidate.feasible and candidate.key not in seen else None


def repair(domain: Domain, start: CostedPoint, rng: np.random.Generator) -> CostedPoint:
    """Changes random single axes that lower the excess over the budget; numbers are only decreased.

    Returns:
        The first feasible point, or the one with the least excess after `MAX_REPAIR_STEPS`.
    """
    best = start
    for _ in range(MAX_REPAIR_STEPS):
        cheaper = {axis.name: _cheaper(axis, best.params[axis.name]) for axis in _free_axes(domain.space, best.params)}
        names = [name for name, choices in cheaper.items() if choices]
        if best.feasible or not names:
            break
        name = names[rng.integers(len(names))]
        changed = {**best.params, name: cheaper[name][rng.integers(len(cheaper[name]))]}
        candidate = domain.consider(complete(domain.space, changed, rng))
        if candidate is not None and candidate.excess < best.excess:
            best = candidate
    return best


def random_feasible(domain: Domain, rng: np.random.Generator, *, seen: Collection[str] = ()) -> CostedPoint | None:
    """Draws random points until one fits the budget and is new; repairs some of them if none does.

    Every axis is drawn uniformly except the input size, which is drawn among those at which the network fits: of
    uniformly drawn points few fit a tight budget, and those are all small networks.
    """
    misses = []
    for _ in range(DRAWS):
        candidate = fit_input(domain, domain.space.random(rng), lambda gmacs: int(rng.integers(len(gmacs))))
        if candidate is not None and candidate.feasible and candidate.key not in seen:
            return candidate
        if candidate is not None and not candidate.feasible:
            misses.append(candidate)
    for miss in sorted(misses, key=lambda candidate: candidate.excess)[:NUM_REPAIRS]:
        candidate = repair(domain, miss, rng)
        if candidate.feasible and candidate.key not in seen:
            return candidate
    return None


def any_new(domain: Domain, rng: np.random.Generator, *, seen: Collection[str]) -> CostedPoint | None:
    """Returns a random feasible new point; in a space of up to `MAX_WALKED` points None only if there is none.

    In a space that can be listed all points are equally likely. In a larger one random draws come first; if they fail
    and the space has at most `MAX_WALKED` points, these are tried one after the other.
    """
    points = domain.listed()
    if points is None:
        return random_feasible(domain, rng, seen=seen) or next(walked(domain, rng, seen=seen), None)
    left = [point for point in points if point.feasible and point.key not in seen]
    return left[int(rng.integers(len(left)))] if left else None


def walked(
    domain: Domain, rng: np.random.Generator, *, seen: Collection[str], skip: Collection[str] = ()
) -> Iterator[CostedPoint]:
    """Yields the feasible new points in random order, each costed on demand.

    Yields nothing in a space of more than `MAX_WALKED` points.

    Args:
        domain: The space and the budget.
        rng: Decides the order.
        seen: Keys that are not new.
        skip: Points that are left out without costing them, as returned by `params_text`.
    """
    if count_points(domain.space, MAX_WALKED) > MAX_WALKED:
        return
    left = [params for params in all_points(domain.space) if not skip or params_text(params) not in skip]
    for index in rng.permutation(len(left)):
        found = domain.consider(left[index])
        if found is not None and found.feasible and found.key not in seen:
            yield found


def params_text(params: Params) -> str:
    """Returns a point as text, equal for equal points."""
    return str(sorted(params.items()))


def spread_feasible(
    domain: Domain, rng: np.random.Generator, *, share: float, seen: Collection[str] = ()
) -> CostedPoint | None:
    """Draws random feasible points and returns one at a given position on the range of costs below the budget.

    Points whose cells are too large for the objects of the data are left out, unless no other is drawn.

    Different positions give the front cheap and expensive members from the start. Without a limit on MACs, the range is
    that of the input sizes at which the drawn network fits.

    Args:
        domain: The space and the budget.
        rng: Decides everything.
        share: Position on the range of log MACs: 0 is the cheap end, 1 the expensive end.
        seen: Keys that are not new.
    """
    limit = domain.limits.get("gmacs")
    target = None if limit is None else limit * LEAST_OF_BUDGET ** (1.0 - share)

    def distance(gmacs: float) -> float:
        return abs(math.log(gmacs / target)) if target is not None else 0.0

    def choose(gmacs: list[float]) -> int:
        wanted = target or gmacs[0] * (gmacs[-1] / gmacs[0]) ** share
        return min(range(len(gmacs)), key=lambda index: abs(math.log(gmacs[index] / wanted)))

    best: CostedPoint | None = None
    for _ in range(DRAWS):
        candidate = fit_input(domain, domain.space.random(rng), choose)
        if (
            candidate is None
            or not candidate.feasible
            or candidate.key in seen
            or not domain.has_small_cells(candidate)
        ):
            continue
        if best is None or distance(_gmacs(candidate)) < distance(_gmacs(best)):
            best = candidate
        if distance(_gmacs(best)) < NEAR_TARGET:
            break
    return best or random_feasible(domain, rng, seen=seen)


def farthest(
    points: Sequence[CostedPoint], known: Sequence[Mapping[str, float]], rng: np.random.Generator
) -> CostedPoint | None:
    """Returns the point whose costs are farthest from all known costs; a random one if none are known.

    Distances are Euclidean in the standardised logs of the costs.

    Args:
        points: To choose from, none of them known.
        known: The costs of the points known so far.
        rng: Draws the first.
    """
    if not points or not known:
        return points[int(rng.integers(len(points)))] if points else None
    names = sorted(set(points[0].costs).intersection(*known))
    logs = np.log(
        np.maximum([[costs[name] for name in names] for costs in [p.costs for p in points] + [*known]], 1e-12)
    )
    deviation = logs.std(axis=0)
    logs = logs / np.where(deviation > 1e-9, deviation, 1.0)
    distances = ((logs[: len(points), None] - logs[None, len(points) :]) ** 2).sum(axis=2).min(axis=1)
    return points[int(np.argmax(distances))]


def resizes(space: SearchSpace, point: CostedPoint) -> list[CostedPoint]:
    """Returns the network of a point at every input size, with costs estimated from its own, for ranking.

    Costs that depend on the input size are taken as proportional to its area. The keys are not those of architectures.
    """
    if not any(name in point.params for name in INPUT_AXES):
        return [point]
    axis, side = space.input_axis(point.params), side_of(point.params)
    return [_scaled(point, axis, int(size), side) for size in axis.choices]


def _scaled(point: CostedPoint, axis: Axis, size: int, side: int) -> CostedPoint:
    area = (size / side) ** 2
    costs = {name: cost if name in WITHOUT_SIZE else cost * area for name, cost in point.costs.items()}
    margins = {
        name: margin if name in WITHOUT_SIZE else (margin + 1.0) * area - 1.0 for name, margin in point.margins.items()
    }
    return CostedPoint(
        params={**point.params, axis.name: size},
        key=f"{point.key}@{size}",
        costs={**costs, "input_px": point.costs["input_px"] * size / side},
        margins=margins,
    )


def fit_input(
    domain: Domain, params: Params, choose: Callable[[list[float]], int], *, largest: int | None = None
) -> CostedPoint | None:
    """Returns the network of a point at an input size at which it fits; at the smallest size if it fits at none.

    MACs are proportional to the area of the input (except for attention), so the sizes that fit follow from the cost at
    the smallest one. Only the chosen size is costed exactly, and the next smaller ones if it does not fit. Under a
    limit on latency a few more sizes are costed.

    Args:
        domain: The space and the budget.
        params: The point; its own input size is ignored.
        choose: Returns the index of a size, given the expected GMACs at each size that fits, the smallest first.
        largest: The largest size to try; None: all.

    Returns:
        The point, feasible or not; None where the parameters are no point.
    """
    if not any(name in params for name in INPUT_AXES):
        return domain.consider(params)
    sizes = sorted(int(choice) for choice in domain.space.input_axis(params).choices)
    sizes = [size for size in sizes if largest is None or size <= largest]
    smallest = next((found for size in sizes if (found := domain.resized(params, size)) is not None), None)
    smallest = None if smallest is None else _first_in_time(domain, params, sizes, smallest)
    if smallest is None or not smallest.feasible:
        return smallest
    first = side_of(smallest.params)
    sizes = [size for size in sizes if size >= first]
    gmacs = [_gmacs(smallest) * (size / first) ** 2 for size in sizes]
    gmacs = [value for value in gmacs if value <= domain.limits.get("gmacs", math.inf)] or gmacs[:1]
    index = choose(gmacs[: _num_fitting(domain, params, sizes[: len(gmacs)])])
    tries = (domain.resized(params, size) for size in reversed(sizes[: index + 1]))
    return next((candidate for candidate in tries if candidate is not None and candidate.feasible), smallest)


def _first_in_time(domain: Domain, params: Params, sizes: Sequence[int], smallest: CostedPoint) -> CostedPoint:
    """Returns a point at the smallest size at which it is fast enough; where there is none, at the smallest size.

    The interval of a very small input can be wider than that of a larger one, because no network like it was measured:
    its upper end, which the limit is on, is then higher, although it is predicted to be faster.
    """
    if smallest.feasible or any(margin > 0 for name, margin in smallest.margins.items() if name != LATENCY):
        return smallest
    limit = domain.limits[LATENCY]
    for size in sizes:
        found = domain.resized(params, size)
        if found is not None and (found.feasible or found.costs["latency_ms"] > limit):
            return found if found.feasible else smallest
    return smallest


def _num_fitting(domain: Domain, params: Params, sizes: list[int]) -> int:
    """Returns how many of the sizes fit, by bisection, as costs grow with the size; the smallest one fits.

    Latency has to be computed: it is not proportional to the MACs, because launches take time at every size.
    """
    if not set(domain.limits) - {"gmacs", *WITHOUT_SIZE}:
        return len(sizes)
    fitting, too_large = 1, len(sizes) + 1
    while too_large - fitting > 1:
        middle = (fitting + too_large) // 2
        candidate = domain.resized(params, sizes[middle - 1])
        over = candidate is not None and not candidate.feasible
        fitting, too_large = (fitting, middle) if over else (middle, too_large)
    return fitting


def _largest(gmacs: list[float]) -> int:
    return len(gmacs) - 1


def _gmacs(point: CostedPoint) -> float:
    return point.costs["macs"] / 1e9


def _free_axes(space: SearchSpace, params: Params) -> list[Axis]:
    return [axis for axis in space.axes if axis.name in params and len(axis.choices) > 1]


def _cheaper(axis: Axis, value: Any) -> list[Any]:
    """Returns the choices that may be cheaper: smaller numbers, and all other words."""
    return [choice for choice in axis.choices if choice != value and (not axis.ordered or float(choice) < float(value))]
