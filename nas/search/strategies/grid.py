"""Every point of a small space once, in an order that the seeds shuffle."""

from __future__ import annotations

import numpy as np

from nas.search.gate import Params, Prices, all_points, count_points
from nas.search.history import History
from nas.search.proposal import STRATEGIES, Proposal
from search_space.errors import SpaceError

MAX_POINTS = 10_000


@STRATEGIES.register("grid")
def propose(history: History, gate: Prices, *, seed: int) -> Proposal | None:
    """Draws one of the feasible points that were not asked for; None when all were.

    Raises:
        SpaceError: If the space has more than `MAX_POINTS` points.
    """
    if count_points(gate.space, MAX_POINTS) > MAX_POINTS:
        raise SpaceError(
            f"a grid tries every point, and this space has at least {MAX_POINTS + 1}; allowed: {MAX_POINTS}; "
            "next: fix axes by --fix and --choices, or take another strategy"
        )
    tried = {_spelt(trial.params) for trial in history.trials}
    left = [params for params in all_points(gate.space) if _spelt(params) not in tried]
    for index in np.random.default_rng(seed).permutation(len(left)):
        candidate = gate.consider(left[index])
        if candidate is not None and candidate.feasible and candidate.key not in history.seen:
            return Proposal(params=candidate.params, origin="grid")
    return None


def _spelt(params: Params) -> str:
    return str(sorted(params.items()))
