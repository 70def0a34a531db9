"""Optuna's samplers with their defaults, as baselines for the strategies.

They know nothing of a point before it is evaluated, and they propose only what Optuna proposes. Two rules favour them:
a point that they ask for again costs no evaluation, and a point that the table does not have is replaced by the nearest
one that it has.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler

from nas.bench.table import Table
from nas.engine.distributions import suggest
from nas.engine.domain import CostedPoint, Params
from nas.engine.utility import utilities
from search_space import SearchSpace

PEERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "optuna-tpe": lambda seed: TPESampler(seed=seed),
    "optuna-nsga2": lambda seed: NSGAIISampler(seed=seed),
}
"""By name: makes the sampler from a seed."""
ASKS_PER_EVALUATION = 6
"""Limit on all asks, for each allowed evaluation: it stops a sampler that only repeats itself."""


def peer_order(table: Table, name: str, *, seed: int, evaluations: int) -> list[CostedPoint]:
    """Returns the different points that a sampler evaluates, in order; an `Order` of `nas.bench.replay`.

    Args:
        table: The detectors; costs count by their logarithms, as for the strategies.
        name: One of `PEERS`.
        seed: Of the sampler.
        evaluations: How many different points it may evaluate.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found: dict[str, CostedPoint] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(sampler=PEERS[name](seed), directions=["maximize"] * len(table.objectives))
        for _ in range(ASKS_PER_EVALUATION * evaluations):
            trial = study.ask()
            point = nearest(table, _suggested(trial, table.domain.space))
            study.tell(trial, list(utilities(table.objectives, table.values(point))))
            found.setdefault(point.key, point)
            if len(found) == evaluations:
                break
    return list(found.values())


def nearest(table: Table, params: Params) -> CostedPoint:
    """Returns the row of a point, or the row nearest to it.

    A different category, or an axis that only one of the two has, counts as far as all axes together; numbers count by
    how many choices lie between them.
    """
    own = table.domain.consider(params)
    return own or min(table.points, key=lambda point: _distance(table.domain.space, params, point.params))


def _distance(space: SearchSpace, left: Params, right: Params) -> float:
    total = 0.0
    for axis in space.axes:
        pair = left.get(axis.name), right.get(axis.name)
        if None in pair or not axis.ordered:
            total += len(space.axes) * (pair[0] != pair[1])
        else:
            places = [axis.choices.index(choice) for choice in pair]
            total += abs(places[0] - places[1]) / len(axis.choices)
    return total


def _suggested(trial: optuna.Trial, space: SearchSpace) -> Params:
    return space.sample(lambda axis: suggest(trial, axis))
