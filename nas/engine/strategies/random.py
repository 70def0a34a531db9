"""Random points that fit the budget: the baseline of the other strategies."""

from __future__ import annotations

import numpy as np

from nas.engine.domain import Domain
from nas.engine.history import History
from nas.engine.proposal import STRATEGIES, Proposal
from nas.engine.variation import any_new


@STRATEGIES.register("random")
def propose(history: History, domain: Domain, *, seed: int) -> Proposal | None:
    """Draws every axis uniformly, and the input size among those at which the network fits."""
    found = any_new(domain, np.random.default_rng(seed), seen=history.seen)
    return None if found is None else Proposal(params=found.params, origin="random")
