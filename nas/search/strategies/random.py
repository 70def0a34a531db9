"""Random points that fit the budget: what every other strategy is to beat."""

from __future__ import annotations

import numpy as np

from nas.search.gate import Prices
from nas.search.history import History
from nas.search.moves import any_new
from nas.search.proposal import STRATEGIES, Proposal


@STRATEGIES.register("random")
def propose(history: History, gate: Prices, *, seed: int) -> Proposal | None:
    """Draws every axis evenly, and the input among the sizes at which the network fits."""
    found = any_new(gate, np.random.default_rng(seed), seen=history.seen)
    return None if found is None else Proposal(params=found.params, origin="random")
