"""What the surrogate says of points that were not evaluated, and how far it is to be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.engine.domain import CostedPoint
from nas.engine.history import History, Observation
from nas.engine.hypervolume_improvement import expected_hypervolume_improvement
from nas.engine.surrogate import Features, Process, describe, fit
from nas.engine.utility import known_utilities, utilities
from results.ranking import kendall_tau

MIN_POINTS = 10
"""Below so many evaluated points a ranking says little, and the surrogate is taken as it is."""
MIN_TAU = 0.3


@dataclass(frozen=True, kw_only=True)
class SurrogateCorrelation:
    """How well the surrogate ranks the points that were evaluated, each predicted from all others."""

    tau: float
    """Kendall's tau, of the accuracy that it ranks worst."""
    num_points: int

    @property
    def trusted(self) -> bool:
        """Whether the surrogate decides; of few points it does, as nothing is known against it."""
        return self.num_points < MIN_POINTS or self.tau >= MIN_TAU


def surrogate_correlation(history: History) -> SurrogateCorrelation:
    """Returns how well the surrogate ranks what was evaluated; tau is nan where there are fewer than two points."""
    evaluated = history.evaluated
    if len(evaluated) < 2:
        return SurrogateCorrelation(tau=math.nan, num_points=len(evaluated))
    fitted = _fitted(history, describe([_described(known) for known in evaluated]))
    taus = [kendall_tau(process.left_out().tolist(), process.values.tolist()) for process in fitted.values()]
    return SurrogateCorrelation(tau=min(taus), num_points=len(evaluated))


def acquisition_values(history: History, pool: Sequence[CostedPoint]) -> NDArray[np.float64]:
    """Returns the expected gain in hypervolume of each point of a pool, `(n,)`.

    The accuracies of trials under way are taken for what is predicted of them. The reference is the worst accuracy
    evaluated and the largest cost among the pool and the history.

    Args:
        history: With one evaluated trial or more.
        pool: One point or more.
    """
    known = [*history.evaluated, *history.pending]
    features = describe([*map(_described, known), *((point.params, point.costs) for point in pool)])
    num_evaluated, num_known = len(history.evaluated), len(known)
    fitted = _fitted(history, features[:num_evaluated])
    told = np.array([utilities(history.objectives, trial.values) for trial in known])
    mean = np.array([known_utilities(history.objectives, point.costs) for point in pool])
    deviation = np.zeros_like(mean)
    for column, process in fitted.items():
        if num_known > num_evaluated:
            guessed, _ = process.predict(features[num_evaluated:num_known])
            told[num_evaluated:, column] = guessed
            process = process.also(features[num_evaluated:num_known], guessed)
        mean[:, column], deviation[:, column] = process.predict(features[num_known:])
    order = [*(i for i in range(mean.shape[1]) if i not in fitted), *fitted]
    dearest = np.minimum(told.min(axis=0), mean.min(axis=0))
    reference = np.where([i in fitted for i in range(mean.shape[1])], told[:num_evaluated].min(axis=0), dearest)
    return expected_hypervolume_improvement(mean[:, order], deviation[:, order], told[:, order], reference[order])


def _fitted(history: History, features: Features) -> dict[int, Process]:
    """Returns a process for each objective that is an accuracy, by its column."""
    values = history.values
    columns = [column for column, objective in enumerate(history.objectives) if not objective.is_cost]
    return {column: fit(features, values[:, column]) for column in columns}


def _described(known: Observation) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    return known.params, known.costs
