"""Whether any point fits the budget; if none does, the cheapest point found and what would make it fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from nas.engine.domain import UNITS, Candidate, CostedDomain
from nas.engine.variation import complete
from search_space import SearchSpace
from search_space.errors import BudgetError, SpaceError

NUM_CORNERS = 4
MAX_STEPS = 40


def ensure_feasible(domain: CostedDomain, whole_space: SearchSpace, *, seed: int = 0) -> Candidate:
    """Returns a point that fits the budget, found by greedy descent from cheap random points.

    Args:
        domain: The narrowed space, and the budget.
        whole_space: The space before narrowing, to suggest an axis outside of it.
        seed: Seed of the random points.

    Raises:
        BudgetError: No descent ends within the budget. It names the point with the least excess, its cost, and
            what would help.
        SpaceError: No random point of the space is an architecture.
    """
    nearest: Candidate | None = None
    for corner in _corners(domain, seed):
        end = descend(domain, corner)
        if end.feasible:
            return end
        nearest = end if nearest is None or end.excess < nearest.excess else nearest
    if nearest is None:
        raise SpaceError("no random point of this space is an architecture; loosen --fix and --choices")
    raise BudgetError(_explain(domain, whole_space, nearest))


def descend(domain: CostedDomain, start: Candidate) -> Candidate:
    """Changes the axis that lowers the excess most, until the point fits or no single axis lowers it."""
    for _ in range(MAX_STEPS):
        if start.feasible:
            break
        step = min(_neighbours(domain, start), key=lambda candidate: candidate.excess, default=start)
        if step.excess >= start.excess:
            break
        start = step
    return start


def _corners(domain: CostedDomain, seed: int) -> Iterator[Candidate]:
    """Yields random points with the smallest choice on every ordered axis."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0xC0]))
    smallest = {axis.name: min(axis.choices) for axis in domain.space.axes if axis.ordered}
    for _ in range(NUM_CORNERS):
        candidate = domain.consider(complete(domain.space, {**domain.space.random(rng), **smallest}, rng))
        if candidate is not None:
            yield candidate


def _neighbours(domain: CostedDomain, start: Candidate) -> Iterator[Candidate]:
    """Yields points that differ from `start` in one active axis; of ordered axes only by the smallest choice."""
    rng = np.random.default_rng(0)
    for axis in domain.space.axes:
        if axis.name not in start.params:
            continue
        choices: Iterable[Any] = (min(axis.choices),) if axis.ordered else axis.choices
        for choice in choices:
            if choice != start.params[axis.name]:
                found = domain.consider(complete(domain.space, {**start.params, axis.name: choice}, rng))
                if found is not None:
                    yield found


def _explain(domain: CostedDomain, whole_space: SearchSpace, nearest: Candidate) -> str:
    """Returns the message on the point with the least excess and what would make it fit."""
    height, width = nearest.architecture.input_hw
    return (
        f"nothing in this space fits the budget: the closest point, at {width}x{height} px input, "
        f"has {domain.overruns(nearest)}; next: {_way_out(domain, whole_space, nearest)}"
    )


def _way_out(domain: CostedDomain, whole_space: SearchSpace, nearest: Candidate) -> str:
    """Names limits that would suffice, and the axis outside the narrowed space that lowers the cost most."""
    options = {
        "gmacs": "--budget-gflops",
        "params_m": "--budget-params-m",
        "latency_high_ms": "--budget-latency-ms",
        "memory_mb": "--budget-memory-mb",
    }
    enough = " and ".join(
        f"{options.get(name, name)} {domain.limits[name] * (1 + margin) * 1.001:.4g}"
        for name, margin in nearest.margins.items()
        if margin > 0
    )
    whole = CostedDomain(whole_space, domain.budget, num_classes=domain.num_classes, device=domain.device)
    start = whole.consider(nearest.params)
    best = start and min(_neighbours(whole, start), key=lambda candidate: candidate.excess, default=None)
    if start is None or best is None or best.excess >= start.excess:
        return f"{enough} (no single axis makes it cheaper)"
    name = next(name for name, value in best.params.items() if start.params.get(name) != value)
    figures = ", ".join(f"{getattr(best.cost, limit):.4g} {UNITS.get(limit, limit)}" for limit in domain.limits)
    return f"{enough}, or let {name} go from {start.params.get(name)} to {best.params[name]} ({figures})"
