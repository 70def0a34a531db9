"""Every point of a small space once, in random order."""

from __future__ import annotations

import numpy as np

from nas.engine.domain import MAX_WALKED, Domain, count_points
from nas.engine.history import History
from nas.engine.proposal import STRATEGIES, Proposal
from nas.engine.variation import params_text, walked
from search_space.errors import SpaceError


@STRATEGIES.register("grid")
def propose(history: History, domain: Domain, *, seed: int) -> Proposal | None:
    """Draws one of the feasible points that were not tried; None if all were.

    Raises:
        SpaceError: The space has more than `MAX_WALKED` points.
    """
    if count_points(domain.space, MAX_WALKED) > MAX_WALKED:
        raise SpaceError(
            f"a grid tries every point, and this space has at least {MAX_WALKED + 1}; allowed: {MAX_WALKED}; "
            "next: fix axes by --fix and --choices, or take another strategy"
        )
    tried = {params_text(trial.params) for trial in history.trials}
    found = next(walked(domain, np.random.default_rng(seed), seen=history.seen, skip=tried), None)
    return None if found is None else Proposal(params=found.params, origin="grid")
