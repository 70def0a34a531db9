"""Plain samplers of Optuna with their defaults, to compare strategies with.

They know nothing of a point before it is evaluated. To be generous, a point that they ask for again costs them nothing,
and one that the table does not have is answered by the nearest that it has, so that no ask is lost.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler

from nas.engine.distributions import suggest
from nas.engine.domain import CostedPoint, Params
from nas.engine.objectives import Objective
from nas.engine.utility import utilities
from search_space import SearchSpace

PEERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "optuna-tpe": lambda seed: TPESampler(seed=seed),
    "optuna-nsga2": lambda seed: NSGAIISampler(seed=seed),
}
"""By name, from a seed to the sampler."""
ASKS_PER_EVALUATION = 6
"""Asks in all, for each evaluation that is allowed, before a sampler that only repeats itself is stopped."""


def peer_order(
    name: str,
    space: SearchSpace,
    nearest: Callable[[Params], CostedPoint],
    objectives: tuple[Objective, ...],
    evaluate: Callable[[CostedPoint], tuple[float, ...]],
    *,
    seed: int,
    evaluations: int,
) -> list[CostedPoint]:
    """Returns the different points that a plain sampler evaluates, in their order.

    Args:
        name: One of `PEERS`.
        space: What the sampler is asked for.
        nearest: Returns the point of the table that is, or is nearest to, what the sampler suggests.
        objectives: What is maximised or minimised; costs count by their logarithms, as for the strategies.
        evaluate: Returns the values of a point.
        seed: Of the sampler.
        evaluations: How many different points it may evaluate.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found: dict[str, CostedPoint] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(sampler=PEERS[name](seed), directions=["maximize"] * len(objectives))
        for _ in range(ASKS_PER_EVALUATION * evaluations):
            trial = study.ask()
            point = nearest(_suggested(trial, space))
            study.tell(trial, list(utilities(objectives, evaluate(point))))
            found.setdefault(point.key, point)
            if len(found) == evaluations:
                break
    return list(found.values())


def _suggested(trial: optuna.Trial, space: SearchSpace) -> Params:
    return space.sample(lambda axis: suggest(trial, axis))
