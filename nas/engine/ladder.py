"""The ladder of effort: which trial is trained further, and whether a rung can be trusted to say so.

Every rung is a short schedule of its own whose learning rate runs down to its end, and goes on from the weights of the
rung below: complete short schedules rank detectors much as long ones do, the beginnings of long ones do not.
A third of the trials of a rung goes on to the next. Which ones is decided within bands of like cost, by
non-domination, so that cheap detectors go on as well (successive halving, Jamieson and Talwalkar, 2016, for several
objectives as in Schmucker et al., "Multi-objective asynchronous successive halving", 2021; the bands are our own).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.engine.objectives import Objective
from results.pareto import nondominated
from results.ranking import kendall_tau
from search_space.errors import ConfigError

Row = dict[str, Any]
PROMOTED_SHARE = 3
"""One of so many trials of a band goes on."""
MAX_BANDS = 4
MIN_PAIRS = 8
"""Trials that were on two neighbouring rungs before the lower one may be found not to rank."""
MIN_TAU = 0.3
"""Kendall's tau between two rungs under which the lower one is not trusted."""


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """What is spent on a trial, rung by rung."""

    epochs: tuple[float, ...]
    """Passes over the training images on each rung of training, beside those of the rungs below."""
    proxy: str | None = None
    """The score without training that is rung 0, if there is one."""

    def __post_init__(self) -> None:
        if not self.epochs or not all(0 < each < float("inf") for each in self.epochs):
            got = ",".join(f"{each:g}" for each in self.epochs) or "none"
            raise ConfigError(f"--rungs takes numbers of epochs above zero, got {got}; next: --rungs 0.5,1.5")

    @property
    def first(self) -> int:
        """The rung that a new trial begins on: 0 with a proxy, else 1."""
        return 1 if self.proxy is None else 0

    @property
    def last(self) -> int:
        """The rung whose trials are complete."""
        return len(self.epochs)

    def effort(self, rung: int) -> float:
        """Returns the epochs of a rung, 0 for the proxy."""
        return self.epochs[rung - 1] if rung else 0.0


@dataclass(frozen=True, kw_only=True)
class RungCorrelation:
    """How two neighbouring rungs rank the trials that were on both."""

    rung: int
    """The lower one."""
    num_trials: int
    tau: float
    """Kendall's tau-b between the accuracies of both; nan under two trials."""
    tau_counts: float | None = None
    """For a proxy: tau of the bytes that activations write, which cost nothing, with the rung above."""

    @property
    def trusted(self) -> bool:
        """Whether the lower rung may decide who goes on: it has not been found to rank poorly."""
        if self.num_trials < MIN_PAIRS:
            return True
        return self.tau >= MIN_TAU and (self.tau_counts is None or self.tau > self.tau_counts)


def evaluated(rows: Sequence[Row], rung: int) -> list[Row]:
    """Returns the trials that were evaluated on a rung, repetitions with other seeds left out."""
    return [
        row
        for row in rows
        if row.get("rung") == rung and _value(row, rung) is not None and row.get("repeat_of") is None
    ]


def rung_correlation(rows: Sequence[Row], rung: int) -> RungCorrelation:
    """Measures how a rung ranks the trials that went on to the next one; those are the better ones, which are harder
    to rank than all."""
    above = {row["key"]: row for row in evaluated(rows, rung + 1)}
    pairs = [(row, above[row["key"]]) for row in evaluated(rows, rung) if row["key"] in above]
    high = [float(up["accuracy"]) for _, up in pairs]
    counts = None if rung else kendall_tau([low["activation_bytes"] for low, _ in pairs], high)
    tau = kendall_tau([float(_value(low, rung) or 0.0) for low, _ in pairs], high)
    return RungCorrelation(rung=rung, num_trials=len(pairs), tau=tau, tau_counts=counts)


def promotion(
    rows: Sequence[Row],
    running: Sequence[Row],
    ladder: Ladder,
    objectives: Sequence[Objective],
    *,
    final: bool = False,
) -> Row | None:
    """Returns the trial that is to go on to the next rung, those nearest the end first; None where none is due.

    Args:
        rows: The finished trials.
        running: Those under way.
        ladder: The rungs.
        objectives: What non-domination is decided by; costs and accuracies.
        final: At the end of a run: whatever no other trial of its rung dominates is due.
    """
    for rung in reversed(range(ladder.first, ladder.last)):
        tried = {row["key"] for row in (*rows, *running) if row.get("rung", 1) > rung and row.get("repeat_of") is None}
        standing = evaluated(rows, rung)
        due = _undominated if final else _due
        share = 1 if not rung_correlation(rows, rung).trusted else PROMOTED_SHARE
        found = due(standing, tried, rung, objectives, share)
        if found is not None:
            return found
    return None


def _due(standing: list[Row], tried: set[str], rung: int, objectives: Sequence[Objective], share: int) -> Row | None:
    """Returns the best waiting trial of the band in which the smallest part has gone on; None when a share has."""
    if sum(row["key"] in tried for row in standing) >= -(-len(standing) // share):
        return None
    open_bands: list[tuple[float, list[Row], list[Row]]] = []
    for band in _bands(standing, objectives):
        waiting = [row for row in band if row["key"] not in tried]
        if waiting:
            open_bands.append((1 - len(waiting) / len(band), band, waiting))
    _, band, waiting = min(open_bands, key=lambda each: each[0])
    return _best(band, waiting, rung, objectives)


def _undominated(
    standing: list[Row], tried: set[str], rung: int, objectives: Sequence[Objective], share: int
) -> Row | None:
    """Returns the most accurate waiting trial that no trial of the rung dominates."""
    if not standing:
        return None
    points, maximise = _points(standing, rung, objectives)
    free = [row for row, good in zip(standing, nondominated(points, maximise), strict=True) if good]
    waiting = [row for row in free if row["key"] not in tried]
    return max(waiting, key=lambda row: (_value(row, rung), -row["number"]), default=None)


def _bands(standing: list[Row], objectives: Sequence[Objective]) -> list[list[Row]]:
    """Parts the trials of a rung into bands of like cost, each with as many trials."""
    if not standing:
        return []
    cost = next((each.name for each in objectives if each.is_cost), "macs")
    order = sorted(standing, key=lambda row: (row[cost], row["number"]))
    count = max(1, min(MAX_BANDS, len(order) // PROMOTED_SHARE))
    return [[order[i] for i in part] for part in np.array_split(np.arange(len(order)), count)]


def _best(band: list[Row], waiting: list[Row], rung: int, objectives: Sequence[Objective]) -> Row:
    """Returns the waiting trial of the best non-domination rank within its band; of those the most accurate."""
    points, maximise = _points(band, rung, objectives)
    ranks = dict(zip((row["number"] for row in band), _ranks(points, maximise), strict=True))
    return min(waiting, key=lambda row: (ranks[row["number"]], -(_value(row, rung) or 0.0), row["number"]))


def _ranks(points: np.ndarray[Any, np.dtype[np.float64]], maximise: Sequence[bool]) -> list[int]:
    """Returns 0 for the non-dominated points, 1 for those that only they dominate, and so on."""
    ranks = np.full(len(points), -1)
    rank = 0
    while (ranks < 0).any():
        left = np.flatnonzero(ranks < 0)
        free = nondominated(points[left], maximise)
        ranks[left[free] if free.any() else left] = rank
        rank += 1
    return [int(each) for each in ranks]


def _points(
    rows: list[Row], rung: int, objectives: Sequence[Objective]
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], list[bool]]:
    """Returns the objectives of trials `(N, M)`; on rung 0 the proxy stands for every accuracy."""
    kept = [
        each for index, each in enumerate(objectives) if rung or each.is_cost or index == _first_accuracy(objectives)
    ]
    values = [[float(row[each.name] if each.is_cost or rung else row["proxy"]) for each in kept] for row in rows]
    return np.asarray(values, dtype=np.float64), [each.maximise for each in kept]


def _first_accuracy(objectives: Sequence[Objective]) -> int:
    return next(index for index, each in enumerate(objectives) if not each.is_cost)


def _value(row: Row, rung: int) -> float | None:
    """Returns what a trial reached on a rung: its accuracy, of rung 0 its proxy; None where it reached nothing."""
    return row.get("accuracy" if rung else "proxy")
