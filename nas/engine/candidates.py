"""The points among which the default strategy chooses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from optuna.samplers import TPESampler

from nas.engine.domain import CostedPoint, Domain, Params, side_of
from nas.engine.history import History
from nas.engine.sampler_study import SamplerStudy
from nas.engine.variation import cross, fit_input, mutate, mutated_feasible, repaired, resizes, spelt
from search_space.space import INPUT_AXES

NUM_NEIGHBOURS, NUM_CROSSOVERS, NUM_RANDOM, NUM_TPE = 4, 2, 1, 1
"""The networks of a pool where the space is too large to be listed; most of the time goes into costing new blocks."""
MAX_SIZES = 4
"""A network that was tried at so many sizes of its input is in no pool again: the others are to have their turn."""
NUM_UNLIKE, UNLIKE_DRAWS = 2, 24
"""The networks of a pool that explores, and how many are drawn for each of them."""
STARTUP_TRIALS = 4
TPE_ASKS, POOL_TPE_ASKS = 8, 2
"""How often TPE is asked where its point is to be taken, and where it is one of a pool."""
MAX_TOLD = 100
"""How many of the latest trials TPE is told of, beside the front."""
UNLIKE_TRIES = 5


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A point and how it was come by."""

    point: CostedPoint
    origin: str


def listed(history: History, domain: Domain) -> list[Drawn] | None:
    """Returns all new points of a small space that fit the budget; None for a space too large to be listed."""
    points = domain.listed()
    if points is None:
        return None
    new = (point for point in points if point.feasible and point.key not in history.seen)
    return [Drawn(point=point, origin="listed") for point in new]


def sized(history: History, domain: Domain, networks: Iterable[Drawn]) -> list[Drawn]:
    """Returns networks that are worth a look, each at all sizes of its input at which it should fit.

    Costs are scaled from the size at which the network was drawn: a guess to rank by, which `exact` puts right.
    """
    tried = {spelt(trial.params) for trial in history.trials}
    num_sizes = Counter(_network(trial.params) for trial in history.trials)
    found: dict[str, Drawn] = {}
    for network in networks:
        if num_sizes[_network(network.point.params)] >= MAX_SIZES:
            continue
        for point in resizes(domain.space, network.point):
            if point.feasible and spelt(point.params) not in tried:
                found.setdefault(spelt(point.params), Drawn(point=point, origin=network.origin))
    return list(found.values())


def exact(pool: list[Drawn], history: History, domain: Domain) -> Iterator[Drawn]:
    """Yields those of a pool that fit the budget and are new, with their true costs."""
    for drawn in pool:
        params = drawn.point.params
        has_input = any(name in params for name in INPUT_AXES)
        found = domain.resized(params, side_of(params)) if has_input else domain.consider(params)
        if found is not None and found.feasible and found.key not in history.seen:
            yield Drawn(point=found, origin=drawn.origin)


def neighbour(history: History, domain: Domain, rng: np.random.Generator) -> Drawn | None:
    """Returns a new point near the front that fits the budget."""
    parents, weights = _parents(history)
    found = mutated_feasible(domain, parents, rng, seen=history.seen, accuracies=weights)
    return None if found is None else Drawn(point=found, origin="neighbour")


def of_tpe(
    history: History, domain: Domain, rng: np.random.Generator, seed: int, *, asks: int = TPE_ASKS
) -> Iterator[Drawn]:
    """Yields points of TPE (Bergstra et al., 2011; Ozaki et al., 2022) that are new, brought within the budget."""
    shadow = SamplerStudy(_recent(history), domain.space, partial(_tpe_sampler, seed))
    for _ in range(asks):
        params, trial = shadow.ask()
        asked = domain.consider(params)
        if asked is None or not asked.feasible:
            shadow.refuse(trial)
        found = None if asked is None else repaired(domain, params, rng, seen=history.seen)
        if found is not None:
            yield Drawn(point=found, origin="tpe")


def promising(history: History, domain: Domain, rng: np.random.Generator, seed: int) -> Iterator[Drawn]:
    """Yields networks to choose from: the front's own, changed and crossed ones, a random one, and TPE's."""
    parents, weights = _parents(history)
    chances = np.array(weights) / sum(weights)

    def parent() -> Params:
        return parents[int(rng.choice(len(parents), p=chances))]

    draws: list[tuple[str, int, Callable[[], CostedPoint | None]]] = [
        ("neighbour", NUM_NEIGHBOURS, lambda: domain.consider(mutate(domain.space, parent(), rng))),
        ("crossover", NUM_CROSSOVERS, lambda: domain.consider(cross(domain.space, parent(), parent(), rng))),
        ("random", NUM_RANDOM, lambda: fit_input(domain, domain.space.random(rng), lambda gmacs: len(gmacs) - 1)),
    ]
    own = [("resized", domain.consider(params)) for params in parents]
    drawn = [(origin, draw()) for origin, number, draw in draws for _ in range(number)]
    yield from (Drawn(point=point, origin=origin) for origin, point in [*own, *drawn] if point is not None)
    yield from islice(of_tpe(history, domain, rng, seed, asks=POOL_TPE_ASKS), NUM_TPE)


def unlike(history: History, domain: Domain, rng: np.random.Generator) -> Iterator[Drawn]:
    """Yields random networks that have little in common with any that was tried: other backbones, other necks."""
    tried = [_choices(trial.params) for trial in history.trials]
    for _ in range(UNLIKE_TRIES):
        drawn = [domain.space.random(rng) for _ in range(UNLIKE_DRAWS)]
        shares = [max((_share(_choices(params), other) for other in tried), default=0.0) for params in drawn]
        params = drawn[int(np.argmin(shares))]
        found = fit_input(domain, params, lambda gmacs: int(rng.integers(len(gmacs))))
        if found is not None and found.feasible and found.key not in history.seen:
            tried.append(_choices(params))
            yield Drawn(point=found, origin="explored")


def _parents(history: History) -> tuple[list[Params], list[float]]:
    """Returns the points of the front with their accuracies, in proportion to which parents are drawn."""
    column = next(index for index, objective in enumerate(history.objectives) if not objective.is_cost)
    accuracies = [max(float(known.values[column] or 0.0), 0.0) + 1e-6 for known in history.front]
    return [known.params for known in history.front], accuracies


def _recent(history: History) -> History:
    """Returns the front and the latest trials: a study is rebuilt for each decision, at a millisecond a trial."""
    kept = {trial.number for trial in (*history.front, *history.trials[-MAX_TOLD:])}
    return History(objectives=history.objectives, trials=tuple(t for t in history.trials if t.number in kept))


def _tpe_sampler(seed: int) -> TPESampler:
    return TPESampler(multivariate=True, group=True, constant_liar=True, n_startup_trials=STARTUP_TRIALS, seed=seed)


def _choices(params: Params) -> frozenset[tuple[str, Any]]:
    return frozenset(item for item in params.items() if item[0] not in INPUT_AXES)


def _network(params: Params) -> str:
    return str(sorted(_choices(params), key=str))


def _share(left: frozenset[Any], right: frozenset[Any]) -> float:
    """Returns the choices in common as a share of those that either has."""
    common = len(left & right)
    return common / max(1, len(left) + len(right) - common)
