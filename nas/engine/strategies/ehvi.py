"""The default strategy: expected hypervolume improvement over a Gaussian process.

The candidates are points of TPE, neighbours and crossovers of the front. Costs are known before training, so only the
accuracy is predicted, and the expectation is exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np

from nas.engine import candidates
from nas.engine.acquisition import acquisition_values, surrogate_correlation
from nas.engine.candidates import SearchCandidate
from nas.engine.domain import Domain
from nas.engine.history import History
from nas.engine.proposal import STRATEGIES, Proposal, uses_surrogate
from nas.engine.variation import any_new, farthest, spread_feasible

SPREAD_SHARES = (0.25, 0.75, 0.5, 0.0, 1.0, 0.4)
"""Positions of the first points on the range of log costs."""
NUM_EXACT, MAX_EXACT = 3, 12
"""How many of the best candidates are costed exactly, and how many are tried to get them."""
EXPLORE_EVERY = 5
"""In a space too large to be listed, one of this many points explores: a surrogate that knows one family of networks
well would stay with that family."""
QUOTA = 3
"""In a run with inheritance, one of this many points is not derived from the front: inherited weights favour those."""
DERIVED = frozenset({"neighbour", "resized", "scaled", "crossover"})
"""The origins of points that are derived from the front."""
NEIGHBOURS_PER_TPE = 3
"""How many neighbours of the front are proposed for each point of TPE while the surrogate is not trusted."""


@STRATEGIES.register("ehvi")
@uses_surrogate
def propose(history: History, domain: Domain, *, seed: int) -> Proposal | None:
    """Proposes the candidate with the largest expected hypervolume improvement.

    All candidates are new and fit the budget. In a space small enough to be listed, all its points are candidates. The
    first points are spread over the range of costs. While the surrogate ranks the evaluated points poorly, points of
    TPE and neighbours of the front take turns. Every `EXPLORE_EVERY`th point explores; with inheritance, also every
    point after `QUOTA - 1` that were derived from the front.
    """
    rng, history = np.random.default_rng(seed), history.levelled
    num_known = len(history.evaluated) + len(history.pending)
    if num_known < len(SPREAD_SHARES) or not history.evaluated:
        chosen = _spread(history, domain, rng, num_known)
    else:
        is_due = _is_quota_due(history)
        explores = is_due or len(history.trials) % EXPLORE_EVERY == 0
        chosen = _explored(history, domain, rng, seed, with_tpe=is_due) if explores else None
        chosen = chosen or _promising(history, domain, rng, seed) or _in_turn(history, domain, rng, seed, is_due)
    if chosen is None:
        found = any_new(domain, rng, seen=history.seen)
        chosen = None if found is None else SearchCandidate(point=found, origin="random")
    if chosen is None:
        return None
    return Proposal(params=chosen.point.params, origin=chosen.origin, parent=chosen.parent)


def _spread(history: History, domain: Domain, rng: np.random.Generator, index: int) -> SearchCandidate | None:
    """Returns the farthest point of a listed space from the trials so far, else one at the next share of costs."""
    left = candidates.listed(history, domain)
    if left is not None:
        found = farthest([each.point for each in left], [trial.costs for trial in history.trials], rng)
    else:
        found = spread_feasible(domain, rng, share=SPREAD_SHARES[index % len(SPREAD_SHARES)], seen=history.seen)
    return None if found is None else SearchCandidate(point=found, origin="spread")


def _promising(history: History, domain: Domain, rng: np.random.Generator, seed: int) -> SearchCandidate | None:
    """Returns the candidate with the largest improvement by exact costs; None if the surrogate is not trusted."""
    if not surrogate_correlation(history).trusted:
        return None
    listed = candidates.listed(history, domain)
    if listed is not None:
        return next(iter(_ranked(history, listed)), None)
    return _best(history, domain, candidates.promising(history, domain, rng, seed))


def _is_quota_due(history: History) -> bool:
    """Whether the latest points of a run with inheritance were all derived from the front."""
    latest = history.trials[1 - QUOTA :]
    return history.median_age is not None and all(trial.origin in DERIVED for trial in latest)


def _explored(
    history: History, domain: Domain, rng: np.random.Generator, seed: int, *, with_tpe: bool
) -> SearchCandidate | None:
    """Returns a network unlike those tried, or of TPE, at its best input size; None in a space that is listed."""
    if domain.listed() is not None:
        return None
    networks = list(islice(candidates.dissimilar(history, domain, rng), candidates.NUM_EXPLORED))
    networks += candidates.of_tpe(history, domain, rng, seed, asks=candidates.NUM_TPE) if with_tpe else []
    trusted = surrogate_correlation(history).trusted
    return (_best(history, domain, networks) if trusted else None) or next(iter(networks), None)


def _best(history: History, domain: Domain, networks: Iterable[SearchCandidate]) -> SearchCandidate | None:
    """Returns the network and input size with the largest improvement by exact costs; None if there is none."""
    ranked = _ranked(history, candidates.sized(history, domain, networks))
    best = islice(candidates.exact(ranked[:MAX_EXACT], history, domain), NUM_EXACT)
    return next(iter(_ranked(history, list(best))), None)


def _ranked(history: History, found: list[SearchCandidate]) -> list[SearchCandidate]:
    """Returns the candidates with the largest expected improvement first."""
    if not found:
        return []
    values = acquisition_values(history, [each.point for each in found])
    return [found[index] for index in np.argsort(-values, kind="stable")]


def _in_turn(
    history: History, domain: Domain, rng: np.random.Generator, seed: int, is_due: bool
) -> SearchCandidate | None:
    """Returns a neighbour of the front, and after every `NEIGHBOURS_PER_TPE`, or when it is due, a point of TPE."""
    is_turn_of_tpe = is_due or len(history.trials) % (NEIGHBOURS_PER_TPE + 1) == 0
    found = next(candidates.of_tpe(history, domain, rng, seed), None) if is_turn_of_tpe else None
    return found or candidates.neighbour(history, domain, rng)
