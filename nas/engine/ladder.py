"""The rungs of a run: which trial is promoted to the next rung, and whether a rung ranks trials well enough for that.

Every rung is a short schedule of its own whose learning rate decays to its end, and starts from the weights of the
rung below: complete short schedules rank detectors much as long ones do, truncated long schedules do not.

A third of the trials of a rung is promoted (successive halving, Jamieson and Talwalkar, 2016; for several objectives as
in Schmucker et al., "Multi-objective asynchronous successive halving", 2021). Trials compete within bands of similar
cost only, by non-domination rank: over the whole range of costs the expensive ones would fill the share. The bands are
not in these papers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.engine.objectives import Objective
from results.pareto import nondominated
from results.ranking import kendall_tau
from results.trial import Trial
from search_space.errors import ConfigError

Points = NDArray[np.float64]
PROMOTED_SHARE = 3
"""One of this many trials of a band is promoted."""
MAX_BANDS = 4
MIN_PAIRS = 8
"""Trials on two neighbouring rungs below which the lower rung is not judged."""
MIN_TAU = 0.3
"""Kendall's tau between two rungs below which the lower one is not trusted."""


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The training on each rung."""

    epochs: tuple[float, ...]
    """Passes over the training images on each rung, in addition to those of the rungs below."""
    proxy: str | None = None
    """The score without training that makes rung 0; None: there is no rung 0."""
    images: tuple[int, ...] = ()
    """The validation images that score each rung; none: all of them."""

    def __post_init__(self) -> None:
        if not self.epochs or not all(0 < each < float("inf") for each in self.epochs):
            got = ",".join(f"{each:g}" for each in self.epochs) or "none"
            raise ConfigError(f"--rungs must be numbers of epochs above zero, got {got}; next: --rungs 0.5,1.5")

    @property
    def first(self) -> int:
        """The rung of a new trial: 0 with a proxy, else 1."""
        return 1 if self.proxy is None else 0

    @property
    def last(self) -> int:
        """The rung whose trials are complete."""
        return len(self.epochs)

    def val_images(self, rung: int) -> int | None:
        """Returns the number of validation images that score a rung; None: all of them."""
        return self.images[rung - 1] if rung and self.images else None

    def effort(self, rung: int) -> float:
        """Returns the epochs of a rung, 0 for the proxy."""
        return self.epochs[rung - 1] if rung else 0.0


@dataclass(frozen=True, kw_only=True)
class RungCorrelation:
    """The rank correlation of two neighbouring rungs over the trials that were on both."""

    rung: int
    """The lower one."""
    num_trials: int
    tau: float
    """Kendall's tau-b between the scores of both; nan for fewer than two trials."""
    tau_counts: float | None = None
    """For a proxy: tau of the activation bytes, which are known without computing the proxy, with the rung above."""

    @property
    def trusted(self) -> bool:
        """Whether the lower rung decides promotions: it has not been found to rank poorly."""
        if self.num_trials < MIN_PAIRS:
            return True
        return self.tau >= MIN_TAU and (self.tau_counts is None or self.tau > self.tau_counts)


def evaluated(trials: Sequence[Trial], rung: int) -> list[Trial]:
    """Returns the trials that have the score of a rung, without repetitions with other seeds."""
    return [trial for trial in trials if trial.rung == rung and trial.is_promotable]


def rung_correlation(trials: Sequence[Trial], rung: int) -> RungCorrelation:
    """Measures how well a rung ranks the trials that were promoted from it.

    Those are the better ones, which are harder to rank than all.
    """
    above = {trial.key: trial for trial in evaluated(trials, rung + 1)}
    pairs = [(trial, above[trial.key]) for trial in evaluated(trials, rung) if trial.key in above]
    high = [_score(upper) for _, upper in pairs]
    counts = None if rung else kendall_tau([lower.activation_bytes for lower, _ in pairs], high)
    tau = kendall_tau([_score(lower) for lower, _ in pairs], high)
    return RungCorrelation(rung=rung, num_trials=len(pairs), tau=tau, tau_counts=counts)


def promotion(
    trials: Sequence[Trial],
    running: Sequence[Trial],
    ladder: Ladder,
    objectives: Sequence[Objective],
    *,
    final: bool = False,
) -> Trial | None:
    """Returns the trial to promote to the next rung, from the highest rung that has one; None if no trial is due.

    Args:
        trials: Those that have ended.
        running: Those under way.
        ladder: The rungs.
        objectives: Of the non-domination; costs and accuracies.
        final: At the end of a run: every trial that no other of its rung dominates is due.
    """
    for rung in reversed(range(ladder.first, ladder.last)):
        promoted = {trial.key for trial in (*trials, *running) if trial.rung > rung and trial.repeat_of is None}
        on_rung = evaluated(trials, rung)
        due = _undominated if final else _due
        share = 1 if not rung_correlation(trials, rung).trusted else PROMOTED_SHARE
        found = due(on_rung, promoted, objectives, share)
        if found is not None:
            return found
    return None


def _due(on_rung: list[Trial], promoted: set[str], objectives: Sequence[Objective], share: int) -> Trial | None:
    """Returns the best waiting trial of the band with the smallest promoted part; None once the share is promoted."""
    if sum(trial.key in promoted for trial in on_rung) >= -(-len(on_rung) // share):
        return None
    open_bands: list[tuple[float, list[Trial], list[Trial]]] = []
    for band in _bands(on_rung, objectives):
        waiting = [trial for trial in band if trial.key not in promoted]
        if waiting:
            open_bands.append((1 - len(waiting) / len(band), band, waiting))
    _, band, waiting = min(open_bands, key=lambda each: each[0])
    return _best(band, waiting, objectives)


def _undominated(on_rung: list[Trial], promoted: set[str], objectives: Sequence[Objective], share: int) -> Trial | None:
    """Returns the waiting trial with the best score that no trial of the rung dominates."""
    if not on_rung:
        return None
    points, maximise = _points(on_rung, objectives)
    front = [trial for trial, good in zip(on_rung, nondominated(points, maximise), strict=True) if good]
    waiting = [trial for trial in front if trial.key not in promoted]
    return max(waiting, key=lambda trial: (_score(trial), -trial.number), default=None)


def _bands(on_rung: list[Trial], objectives: Sequence[Objective]) -> list[list[Trial]]:
    """Splits the trials of a rung into bands of similar cost and equal size."""
    if not on_rung:
        return []
    cost = next((each.name for each in objectives if each.is_cost), "macs")
    order = sorted(on_rung, key=lambda trial: (_value(trial, cost), trial.number))
    count = max(1, min(MAX_BANDS, len(order) // PROMOTED_SHARE))
    return [[order[i] for i in part] for part in np.array_split(np.arange(len(order)), count)]


def _best(band: list[Trial], waiting: list[Trial], objectives: Sequence[Objective]) -> Trial:
    """Returns the waiting trial with the best non-domination rank in its band; of equal ones that with the best score.

    The rank is taken among all trials of the band, those already promoted included.
    """
    points, maximise = _points(band, objectives)
    ranks = dict(zip((trial.number for trial in band), _ranks(points, maximise), strict=True))
    return min(waiting, key=lambda trial: (ranks[trial.number], -_score(trial), trial.number))


def _ranks(points: Points, maximise: Sequence[bool]) -> list[int]:
    """Returns the non-domination ranks `(N,)` of points `(N, M)`: 0 on the front, 1 on the front without those, ..."""
    ranks = np.full(len(points), -1)
    rank = 0
    while (ranks < 0).any():
        left = np.flatnonzero(ranks < 0)
        front = nondominated(points[left], maximise)
        # Points with NaN are on no front; they share the last rank.
        ranks[left[front] if front.any() else left] = rank
        rank += 1
    return [int(each) for each in ranks]


def _points(trials: list[Trial], objectives: Sequence[Objective]) -> tuple[Points, list[bool]]:
    """Returns the objectives of trials of one rung, `(N, M)`; on rung 0 the proxy stands for all accuracies."""
    first = next(index for index, each in enumerate(objectives) if not each.is_cost)
    rung = trials[0].rung
    kept = [each for index, each in enumerate(objectives) if rung or each.is_cost or index == first]
    values = [[_value(trial, each.name if each.is_cost or rung else "proxy") for each in kept] for trial in trials]
    return np.asarray(values, dtype=np.float64), [each.maximise for each in kept]


def _value(trial: Trial, column: str) -> float:
    value = trial.value(column)
    return math.nan if value is None else value


def _score(trial: Trial) -> float:
    return trial.rung_score or 0.0
