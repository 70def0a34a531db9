"""Optuna's TPE (Bergstra et al., 2011; Ozaki et al., 2022), with proposals brought within the budget."""

from __future__ import annotations

import numpy as np

from nas.engine import candidates
from nas.engine.domain import Domain
from nas.engine.history import History
from nas.engine.proposal import STRATEGIES, Proposal
from nas.engine.variation import any_new, random_feasible

STARTUP_TRIALS = 10
"""Evaluated points before TPE models anything, as many as Optuna's default."""


@STRATEGIES.register("tpe")
def propose(history: History, domain: Domain, *, seed: int) -> Proposal | None:
    """Asks Optuna's multivariate TPE for a point and repairs it where it is over budget.

    Random feasible points start the search and stand in where TPE only repeats known points.
    """
    rng = np.random.default_rng(seed)
    if len(history.evaluated) >= STARTUP_TRIALS:
        drawn = next(candidates.of_tpe(history, domain, rng, seed), None)
        if drawn is not None:
            return Proposal(params=drawn.point.params, origin=drawn.origin)
    found = random_feasible(domain, rng, seen=history.seen) or any_new(domain, rng, seen=history.seen)
    return None if found is None else Proposal(params=found.params, origin="random")
