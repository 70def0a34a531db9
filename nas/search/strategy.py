"""Which point to ask for next: named designs, points spread over the cost range, neighbours of the front, and TPE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import pandas as pd

from nas.executors import INTERRUPTED
from nas.search.gate import Candidate, Gate
from nas.search.moves import mutated_feasible, random_feasible, spread_feasible
from nas.search.starts import Start
from nas.search.study import SearchStudy
from results.records import front

SPREAD_SHARES = (0.25, 0.5, 0.0, 0.75)
"""Where on the range of MACs below the budget, in logs, the random points lie that come with the designs."""
MAX_REASKS = 8
"""How many proposals of TPE in a row may be over budget before a neighbour of the front is taken."""
NEIGHBOURS_PER_TPE = 3
"""How many neighbours of the front are evaluated for one proposal of TPE."""
DESIGN, SPREAD, NEIGHBOUR, TPE = "design", "spread", "neighbour", "tpe"


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A point to ask for, and where it comes from."""

    params: Mapping[str, Any]
    origin: str


def next_proposal(
    study: SearchStudy, gate: Gate, starts: list[Start], rows: list[dict[str, Any]], *, seed: int
) -> Proposal | None:
    """Decides what to ask for next from the trials so far and nothing else, so that a resumed run decides alike.

    First come the named designs, which crowd at the dear end of the budget, in turns with random feasible points
    spread over the range of MACs, so that even a short run knows cheap detectors as well. After them TPE and
    feasible neighbours of the front take turns, one to three (a neighbour has one to three axes changed; for half of
    them the changes must pay for a larger input): TPE learns, and on few trials the neighbours of what is good
    already are the surer bet. When `MAX_REASKS` proposals of TPE in a row were over budget, a neighbour takes its turn.

    Args:
        study: Asked for the points of front members.
        gate: The space and the budget.
        starts: The named designs, fitted into the budget.
        rows: The records of the trials so far.
        seed: Seed of this decision; a function of the seed of the run and the number of trials so far.

    Returns:
        The point to queue, or None where TPE is to suggest one.
    """
    rng = np.random.default_rng(seed)
    seen = {str(row["key"]) for row in rows if "key" in row and row["outcome"] != "rejected"}
    asked = {str(row["origin"]) for row in rows if "key" in row}  # a kill while asking leaves a row without a key
    designs = [start for start in starts if f"{DESIGN} {start.name}" not in asked]
    num_spread = sum(row["origin"] == SPREAD and row.get("reason") != INTERRUPTED for row in rows)
    found = None
    if num_spread < min(len(SPREAD_SHARES), len(starts) - len(designs)) or not designs:
        found = _spread(gate, rng, num_spread, seen)
    if found is not None:
        return Proposal(params=found.params, origin=SPREAD)
    if designs:
        return Proposal(params=designs[0].candidate.params, origin=f"{DESIGN} {designs[0].name}")
    if _is_turn_of_neighbour(rows):
        members = _front(rows)
        parents = [study.params_of(int(number)) for number in members["number"]]
        accuracies = [float(accuracy) for accuracy in members["accuracy"]]
        found = mutated_feasible(gate, parents, rng, seen=seen, accuracies=accuracies)
        found = found or random_feasible(gate, rng, seen=seen)
        if found is not None:
            return Proposal(params=found.params, origin=NEIGHBOUR)
    return None


def _spread(gate: Gate, rng: np.random.Generator, index: int, seen: set[str]) -> Candidate | None:
    """Draws the random point for the next share of the cost range, None when all of them are done."""
    if index >= len(SPREAD_SHARES):
        return None
    return spread_feasible(gate, rng, share=SPREAD_SHARES[index], seen=seen)


def _is_turn_of_neighbour(rows: list[dict[str, Any]]) -> bool:
    """Whether TPE used up its re-asks, or has to wait until `NEIGHBOURS_PER_TPE` neighbours in a row were evaluated."""
    rejected = list(takewhile(lambda row: row["origin"] == TPE and row["outcome"] == "rejected", reversed(rows)))
    if rejected:
        return len(rejected) >= MAX_REASKS
    return [row["origin"] for row in rows[-NEIGHBOURS_PER_TPE:]] != [NEIGHBOUR] * NEIGHBOURS_PER_TPE


def _front(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Returns number, accuracy and the like of the trials on the front."""
    names = ["number", "outcome", "key", "macs", "accuracy", "objective", "latency_ms"]
    return front(pd.DataFrame([{name: row.get(name) for name in names} for row in _complete(rows)], columns=names))


def _complete(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["outcome"] == "complete"]
