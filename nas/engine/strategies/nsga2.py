"""Optuna's NSGA-II (Deb et al., 2002), with points over budget repaired."""

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
"""Small, because runs are short and a generation has to end before anything is learned from it. All evaluated trials
count, designs and imported ones too."""
ASKS = 8
GENERATION = "NSGAIISampler:generation"
"""Optuna's attribute for the generation of a trial; here it follows from the number of trials evaluated before."""


@STRATEGIES.register("nsga2")
def propose(history: History, domain: Domain, *, seed: int) -> Proposal | None:
    """Breeds from the earlier generations; the first generation is random.

    Axes that only some points have are drawn uniformly: Optuna's NSGA-II crosses only those that all points have.
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
