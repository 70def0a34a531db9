"""NSGA-II (Deb et al., 2002) as Optuna has it, with proposals brought within the budget."""

from __future__ import annotations

from functools import partial

import numpy as np
from optuna.samplers import NSGAIISampler

from nas.engine.domain import CostedPoint, Domain
from nas.engine.history import History
from nas.engine.proposal import STRATEGIES, Proposal
from nas.engine.sampler_study import SamplerStudy
from nas.engine.variation import any_new, random_feasible, repaired

POPULATION = 12
"""Small, as runs are short: a generation has to end before anything is learned from it. Whatever was evaluated counts
as the first one, named designs and imported trials too."""
ASKS = 8
GENERATION = "NSGAIISampler:generation"
"""Where Optuna keeps the generation of a trial; here it follows from how many trials were evaluated before."""


@STRATEGIES.register("nsga2")
def propose(history: History, domain: Domain, *, seed: int) -> Proposal | None:
    """Breeds from the generations before; what is missing of the first one is random.

    Axes that only some points have are drawn evenly, as Optuna's NSGA-II breeds those alone that all points have.
    """
    rng = np.random.default_rng(seed)
    if len(history.evaluated) < POPULATION:
        found = random_feasible(domain, rng, seen=history.seen)
    else:
        found = _bred(history, domain, rng, seed)
    found = found or any_new(domain, rng, seen=history.seen)
    return None if found is None else Proposal(params=found.params, origin="nsga2")


def _bred(history: History, domain: Domain, rng: np.random.Generator, seed: int) -> CostedPoint | None:
    make_sampler = partial(NSGAIISampler, population_size=POPULATION, seed=seed)
    study = SamplerStudy(history, domain.space, make_sampler, attribute=GENERATION, per_group=POPULATION)
    for _ in range(ASKS):
        params, _ = study.ask()
        found = repaired(domain, params, rng, seen=history.seen)
        if found is not None:
            return found
    return None
