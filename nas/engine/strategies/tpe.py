"""Optuna's TPE (Bergstra et al., 2011; Ozaki et al., 2022), with points over budget repaired."""

from __future__ import annotations

import numpy as np

from nas.engine import candidates
from nas.engine.domain import Domain
from nas.engine.history import History
from nas.engine.proposal import STRATEGIES, Proposal
from nas.engine.variation import any_new, random_feasible

STARTUP_TRIALS = 10
"""Random points before TPE fits its model, as in Optuna."""


@STRATEGIES.register("tpe")
def propose(history: History, domain: Domain, *, seed: int) -> Proposal | None:
    """Proposes a point of Optuna's multivariate TPE, repaired if it is over budget.

    The first points are random, and so are those where TPE only suggests known points.
    """
    rng = np.random.default_rng(seed)
    if len(history.evaluated) >= STARTUP_TRIALS:
        suggested = next(candidates.of_tpe(history, domain, rng, seed), None)
        if suggested is not None:
            return Proposal(params=suggested.point.params, origin=suggested.origin)
    found = random_feasible(domain, rng, seen=history.seen) or any_new(domain, rng, seen=history.seen)
    return None if found is None else Proposal(params=found.params, origin="random")
