"""Expected hypervolume improvement over a Gaussian process, the default strategy.

The candidates are points of TPE, neighbours and crossovers of the front. Costs are known before training, so only the
accuracy is predicted, and the expectation is exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np

from nas.engine import candidates
from nas.engine.acquisition import acquisition_values, surrogate_correlation
from nas.engine.candidates import Drawn
from nas.engine.domain import Domain
from nas.engine.history import History
from nas.engine.proposal import STRATEGIES, Proposal
from nas.engine.variation import any_new, farthest, spread_feasible

SPREAD_SHARES = (0.25, 0.75, 0.5, 0.0, 1.0, 0.4)
"""Where on the range of costs, in logs, the first points lie."""
NUM_EXACT, MAX_EXACT = 3, 12
"""How many of the most promising points are costed exactly, and how many are tried for that."""
EXPLORE_EVERY = 5
"""Of so many points one has little in common with all before it, where the space is too large to be listed: a
surrogate that knows one family of networks well goes on with that family."""
NEIGHBOURS_PER_TPE = 3
"""How many neighbours of the front are proposed for one point of TPE while the surrogate is not trusted."""


@STRATEGIES.register("ehvi")
def propose(history: History, domain: Domain, *, seed: int) -> Proposal | None:
    """Takes the candidate with the largest expected improvement in hypervolume.

    All candidates are new and fit the budget. A space small enough to be listed is the candidate set itself. The first
    points are spread over the range of costs. While the surrogate ranks the evaluated points poorly, TPE's proposals
    and neighbours of the front take turns. Every `EXPLORE_EVERY`th point is unlike all others.
    """
    rng = np.random.default_rng(seed)
    num_known = len(history.evaluated) + len(history.pending)
    if num_known < len(SPREAD_SHARES) or not history.evaluated:
        drawn = _spread(history, domain, rng, num_known)
    else:
        explored = _explored(history, domain, rng) if len(history.trials) % EXPLORE_EVERY == 0 else None
        drawn = explored or _promising(history, domain, rng, seed) or _in_turn(history, domain, rng, seed)
    if drawn is None:
        found = any_new(domain, rng, seen=history.seen)
        drawn = None if found is None else Drawn(point=found, origin="random")
    return None if drawn is None else Proposal(params=drawn.point.params, origin=drawn.origin)


def _spread(history: History, domain: Domain, rng: np.random.Generator, index: int) -> Drawn | None:
    """Returns a point far from those so far: the farthest of a listed space, else at the next share of costs."""
    left = candidates.listed(history, domain)
    if left is not None:
        found = farthest([drawn.point for drawn in left], [trial.costs for trial in history.trials], rng)
    else:
        found = spread_feasible(domain, rng, share=SPREAD_SHARES[index % len(SPREAD_SHARES)], seen=history.seen)
    return None if found is None else Drawn(point=found, origin="spread")


def _promising(history: History, domain: Domain, rng: np.random.Generator, seed: int) -> Drawn | None:
    """Returns the point with the largest expected gain, by its true costs; None where the surrogate is not trusted."""
    if not surrogate_correlation(history).trusted:
        return None
    listed = candidates.listed(history, domain)
    if listed is not None:
        return next(iter(_ranked(history, listed)), None)
    return _best(history, domain, candidates.promising(history, domain, rng, seed))


def _explored(history: History, domain: Domain, rng: np.random.Generator) -> Drawn | None:
    """Returns a network unlike all that were tried, at its most promising size; None in a space that is listed."""
    if domain.listed() is not None:
        return None
    networks = list(islice(candidates.unlike(history, domain, rng), candidates.NUM_UNLIKE))
    trusted = surrogate_correlation(history).trusted
    return (_best(history, domain, networks) if trusted else None) or next(iter(networks), None)


def _best(history: History, domain: Domain, networks: Iterable[Drawn]) -> Drawn | None:
    """Returns the network and its size with the largest expected gain, by its true costs; None if there is none."""
    ranked = _ranked(history, candidates.sized(history, domain, networks))
    best = islice(candidates.exact(ranked[:MAX_EXACT], history, domain), NUM_EXACT)
    return next(iter(_ranked(history, list(best))), None)


def _ranked(history: History, drawn: list[Drawn]) -> list[Drawn]:
    """Returns the points with the largest expected gain first."""
    if not drawn:
        return []
    gains = acquisition_values(history, [each.point for each in drawn])
    return [drawn[index] for index in np.argsort(-gains, kind="stable")]


def _in_turn(history: History, domain: Domain, rng: np.random.Generator, seed: int) -> Drawn | None:
    """Returns a point of TPE after every few neighbours of the front, else such a neighbour."""
    is_turn_of_tpe = len(history.trials) % (NEIGHBOURS_PER_TPE + 1) == 0
    found = next(candidates.of_tpe(history, domain, rng, seed), None) if is_turn_of_tpe else None
    return found or candidates.neighbour(history, domain, rng)
