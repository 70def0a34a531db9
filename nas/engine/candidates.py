"""The candidates of the default strategy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from optuna.samplers import TPESampler

from nas.engine.domain import CostedPoint, Domain, Params, side_of
from nas.engine.history import History, Observation
from nas.engine.sampler_study import SamplerStudy
from nas.engine.variation import cross, drawn_neighbour, fit_input, mutate, params_text, repaired, resizes, scaled
from search_space.space import INPUT_AXES

NUM_NEIGHBOURS, NUM_SCALED, NUM_CROSSOVERS, NUM_RANDOM, NUM_TPE = 4, 1, 2, 1, 1
"""The networks of one decision in a space too large to be listed; costing new blocks takes most of the time."""
MAX_SIZES = 4
"""A network that was tried at this many input sizes is not a candidate again, so that others are tried."""
NUM_EXPLORED, EXPLORED_DRAWS = 2, 24
"""The networks of a decision that explores, and how many are drawn for each of them."""
STARTUP_TRIALS = 4
TPE_ASKS, FEW_TPE_ASKS = 8, 2
"""How often TPE is asked if its point is taken, and if it is one candidate of several."""
MAX_TPE_TRIALS = 100
"""How many of the latest trials TPE sees, in addition to the front."""
EXPLORED_TRIES = 5


@dataclass(frozen=True, kw_only=True)
class SearchCandidate:
    """A point that may be proposed, and its origin."""

    point: CostedPoint
    origin: str
    parent: str | None = None
    """Key of the architecture that it is a neighbour or another size of."""


def listed(history: History, domain: Domain) -> list[SearchCandidate] | None:
    """Returns all new points of a small space that fit the budget; None if the space is too large to be listed."""
    points = domain.listed()
    if points is None:
        return None
    new = (point for point in points if point.feasible and point.key not in history.seen)
    return [SearchCandidate(point=point, origin="listed") for point in new]


def sized(history: History, domain: Domain, networks: Iterable[SearchCandidate]) -> list[SearchCandidate]:
    """Returns networks at all input sizes at which they should fit, without those that were tried.

    Costs are estimated from the size at which the network was drawn, for ranking; `exact` computes them.
    """
    tried = {params_text(trial.params) for trial in history.trials}
    num_sizes = Counter(_network(trial.params) for trial in history.trials)
    found: dict[str, SearchCandidate] = {}
    for network in networks:
        if num_sizes[_network(network.point.params)] >= MAX_SIZES:
            continue
        for point in resizes(domain.space, network.point):
            if point.feasible and params_text(point.params) not in tried:
                found.setdefault(params_text(point.params), replace(network, point=point))
    return list(found.values())


def exact(candidates: list[SearchCandidate], history: History, domain: Domain) -> Iterator[SearchCandidate]:
    """Yields the candidates that fit the budget and are new, with their exact costs."""
    for candidate in candidates:
        params = candidate.point.params
        has_input = any(name in params for name in INPUT_AXES)
        found = domain.resized(params, side_of(params)) if has_input else domain.consider(params)
        if found is not None and found.feasible and found.key not in history.seen:
            yield replace(candidate, point=found)


def neighbour(history: History, domain: Domain, rng: np.random.Generator) -> SearchCandidate | None:
    """Returns a new neighbour of the front that fits the budget."""
    parents, weights = _parents(history)
    found = drawn_neighbour(domain, parents, rng, seen=history.seen, accuracies=weights)
    if found is None:
        return None
    parent = next(known.key for known in history.front if known.params is found.parent)
    return SearchCandidate(point=found.point, origin="neighbour", parent=parent)


def of_tpe(
    history: History, domain: Domain, rng: np.random.Generator, seed: int, *, asks: int = TPE_ASKS
) -> Iterator[SearchCandidate]:
    """Yields new points of TPE (Bergstra et al., 2011; Ozaki et al., 2022), repaired where they exceed the budget."""
    study = SamplerStudy(_recent(history), domain.space, partial(_tpe_sampler, seed))
    for _ in range(asks):
        params, trial = study.ask()
        suggested = domain.consider(params)
        if suggested is None or not suggested.feasible:
            study.refuse(trial)
        found = None if suggested is None else repaired(domain, params, rng, seen=history.seen)
        if found is not None:
            yield SearchCandidate(point=found, origin="tpe")


def promising(history: History, domain: Domain, rng: np.random.Generator, seed: int) -> Iterator[SearchCandidate]:
    """Yields networks to choose from: the front, its neighbours, wider and narrower ones, crossovers, and others.

    As each is a candidate at all input sizes, a narrower network trades its width for a larger input.
    """
    _, weights = _parents(history)
    chances = np.array(weights) / sum(weights)

    def parent() -> Observation:
        return history.front[int(rng.choice(len(history.front), p=chances))]

    def mutated() -> tuple[CostedPoint | None, str]:
        known = parent()
        return domain.consider(mutate(domain.space, known.params, rng)), known.key

    def rescaled() -> tuple[CostedPoint | None, str]:
        known = parent()
        return domain.consider(scaled(domain.space, known.params, rng)), known.key

    def crossed() -> tuple[CostedPoint | None, None]:
        return domain.consider(cross(domain.space, parent().params, parent().params, rng)), None

    def random() -> tuple[CostedPoint | None, None]:
        return fit_input(domain, domain.space.random(rng), lambda gmacs: len(gmacs) - 1), None

    draws: list[tuple[str, int, Callable[[], tuple[CostedPoint | None, str | None]]]] = [
        ("neighbour", NUM_NEIGHBOURS, mutated),
        ("scaled", NUM_SCALED, rescaled),
        ("crossover", NUM_CROSSOVERS, crossed),
        ("random", NUM_RANDOM, random),
    ]
    own = [("resized", domain.consider(known.params), known.key) for known in history.front]
    drawn = [(origin, *draw()) for origin, number, draw in draws for _ in range(number)]
    for origin, point, key in [*own, *drawn]:
        if point is not None:
            yield SearchCandidate(point=point, origin=origin, parent=key)
    yield from islice(of_tpe(history, domain, rng, seed, asks=FEW_TPE_ASKS), NUM_TPE)


def dissimilar(history: History, domain: Domain, rng: np.random.Generator) -> Iterator[SearchCandidate]:
    """Yields random networks that share few choices with those tried: other backbones, other necks.

    Their cells are small enough for the objects of the data.

    Each is the one of `EXPLORED_DRAWS` whose largest Jaccard similarity to a network tried is smallest.
    """
    tried = [_choices(trial.params) for trial in history.trials]
    for _ in range(EXPLORED_TRIES):
        drawn = [domain.space.random(rng) for _ in range(EXPLORED_DRAWS)]
        shares = [max((_share(_choices(params), other) for other in tried), default=0.0) for params in drawn]
        params = drawn[int(np.argmin(shares))]
        found = fit_input(domain, params, lambda gmacs: int(rng.integers(len(gmacs))))
        if found is not None and found.feasible and found.key not in history.seen and domain.has_small_cells(found):
            tried.append(_choices(params))
            yield SearchCandidate(point=found, origin="explored")


def _parents(history: History) -> tuple[list[Params], list[float]]:
    """Returns the points of the front and their accuracies, with which parents are weighted."""
    column = next(index for index, objective in enumerate(history.objectives) if not objective.is_cost)
    accuracies = [max(float(known.values[column] or 0.0), 0.0) + 1e-6 for known in history.front]
    return [known.params for known in history.front], accuracies


def _recent(history: History) -> History:
    """Returns the front and the latest trials; rebuilding a study takes a millisecond for each trial."""
    kept = {trial.number for trial in (*history.front, *history.trials[-MAX_TPE_TRIALS:])}
    return History(objectives=history.objectives, trials=tuple(t for t in history.trials if t.number in kept))


def _tpe_sampler(seed: int) -> TPESampler:
    return TPESampler(multivariate=True, group=True, constant_liar=True, n_startup_trials=STARTUP_TRIALS, seed=seed)


def _choices(params: Params) -> frozenset[tuple[str, Any]]:
    return frozenset(item for item in params.items() if item[0] not in INPUT_AXES)


def _network(params: Params) -> str:
    return str(sorted(_choices(params), key=str))


def _share(left: frozenset[Any], right: frozenset[Any]) -> float:
    """Returns the Jaccard similarity of two sets of choices."""
    common = len(left & right)
    return common / max(1, len(left) + len(right) - common)
