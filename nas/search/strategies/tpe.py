"""The default: of points of TPE, neighbours and crossovers of the front the most promising one is taken.

Costs are known before training, so only the accuracy is a guess, and the expected gain in hypervolume is exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np

from nas.search import pool
from nas.search.gate import Prices
from nas.search.guess import agreement, expected_gains
from nas.search.history import History
from nas.search.moves import any_new, farthest, spread_feasible
from nas.search.pool import Drawn
from nas.search.proposal import STRATEGIES, Proposal

SPREAD_SHARES = (0.25, 0.75, 0.5, 0.0, 1.0, 0.4)
"""Where on the range of costs, in logs, the first points lie."""
NUM_EXACT, MAX_EXACT = 3, 12
"""How many of the most promising points are costed exactly, and how many are tried for that."""
EXPLORE_EVERY = 5
"""Of so many points one has little in common with all before it, where the space is too large to be listed: a
surrogate that knows one family of networks well goes on with that family."""
NEIGHBOURS_PER_TPE = 3
"""How many neighbours of the front are proposed for one point of TPE while the surrogate is not trusted."""


@STRATEGIES.register("tpe")
def propose(history: History, gate: Prices, *, seed: int) -> Proposal | None:
    """Takes of a pool of new points that fit the budget the one with the largest expected gain in hypervolume.

    The pool is the whole space where that can be listed. The first points are spread over the range of costs. While
    the surrogate ranks what was evaluated poorly, TPE's own points and neighbours of the front take turns. Now and
    then a point is taken that is unlike all others.
    """
    rng = np.random.default_rng(seed)
    num_known = len(history.evaluated) + len(history.pending)
    if num_known < len(SPREAD_SHARES) or not history.evaluated:
        drawn = _spread(history, gate, rng, num_known)
    else:
        explored = _explored(history, gate, rng) if len(history.trials) % EXPLORE_EVERY == 0 else None
        drawn = explored or _promising(history, gate, rng, seed) or _in_turn(history, gate, rng, seed)
    if drawn is None:
        found = any_new(gate, rng, seen=history.seen)
        drawn = None if found is None else Drawn(point=found, origin="random")
    return None if drawn is None else Proposal(params=drawn.point.params, origin=drawn.origin)


def _spread(history: History, gate: Prices, rng: np.random.Generator, index: int) -> Drawn | None:
    """Returns a point far from those so far: the farthest of a listed space, else at the next share of costs."""
    left = pool.listed(history, gate)
    if left is not None:
        found = farthest([drawn.point for drawn in left], [trial.costs for trial in history.trials], rng)
    else:
        found = spread_feasible(gate, rng, share=SPREAD_SHARES[index % len(SPREAD_SHARES)], seen=history.seen)
    return None if found is None else Drawn(point=found, origin="spread")


def _promising(history: History, gate: Prices, rng: np.random.Generator, seed: int) -> Drawn | None:
    """Returns the point with the largest expected gain, by its true costs; None where the surrogate is not trusted."""
    if not agreement(history).trusted:
        return None
    listed = pool.listed(history, gate)
    if listed is not None:
        return next(iter(_ranked(history, listed)), None)
    return _best(history, gate, pool.promising(history, gate, rng, seed))


def _explored(history: History, gate: Prices, rng: np.random.Generator) -> Drawn | None:
    """Returns a network unlike all that were tried, at its most promising size; None in a space that is listed."""
    if gate.listed() is not None:
        return None
    networks = list(islice(pool.unlike(history, gate, rng), pool.NUM_UNLIKE))
    trusted = agreement(history).trusted
    return (_best(history, gate, networks) if trusted else None) or next(iter(networks), None)


def _best(history: History, gate: Prices, networks: Iterable[Drawn]) -> Drawn | None:
    """Returns the network and its size with the largest expected gain, by its true costs; None if there is none."""
    ranked = _ranked(history, pool.sized(history, gate, networks))
    best = islice(pool.exact(ranked[:MAX_EXACT], history, gate), NUM_EXACT)
    return next(iter(_ranked(history, list(best))), None)


def _ranked(history: History, drawn: list[Drawn]) -> list[Drawn]:
    """Returns the points with the largest expected gain first."""
    if not drawn:
        return []
    gains = expected_gains(history, [each.point for each in drawn])
    return [drawn[index] for index in np.argsort(-gains, kind="stable")]


def _in_turn(history: History, gate: Prices, rng: np.random.Generator, seed: int) -> Drawn | None:
    """Returns a point of TPE after every few neighbours of the front, else such a neighbour."""
    is_turn_of_tpe = len(history.trials) % (NEIGHBOURS_PER_TPE + 1) == 0
    found = next(pool.of_tpe(history, gate, rng, seed), None) if is_turn_of_tpe else None
    return found or pool.neighbour(history, gate, rng)
