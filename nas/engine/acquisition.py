"""The acquisition function of the default strategy, and how far its surrogate can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.engine.domain import CostedPoint
from nas.engine.history import Age, History, Observation
from nas.engine.hypervolume_improvement import expected_hypervolume_improvement
from nas.engine.surrogate import Features, Process, describe, fit
from nas.engine.training_time import fit_training_time
from nas.engine.utility import known_utilities, utilities
from results.ranking import kendall_tau

MIN_POINTS = 10
"""With fewer evaluated points the rank correlation is not judged."""
MIN_TAU = 0.3

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SurrogateCorrelation:
    """The rank correlation of the surrogate over the evaluated points, each predicted from all others."""

    tau: float
    """Kendall's tau; of several accuracies, that of the one that is ranked worst."""
    num_points: int

    @property
    def trusted(self) -> bool:
        """Whether the surrogate decides; with few points it does, because nothing speaks against it."""
        return self.num_points < MIN_POINTS or self.tau >= MIN_TAU


def surrogate_correlation(history: History) -> SurrogateCorrelation:
    """Returns the rank correlation of the surrogate; tau is nan for fewer than two points."""
    evaluated = history.evaluated
    if len(evaluated) < 2:
        return SurrogateCorrelation(tau=math.nan, num_points=len(evaluated))
    fitted = _fitted(history, describe([_described(known, history.median_age) for known in evaluated]))
    taus = [kendall_tau(process.left_out().tolist(), process.values.tolist()) for process in fitted.values()]
    return SurrogateCorrelation(tau=min(taus), num_points=len(evaluated))


def acquisition_values(history: History, points: Sequence[CostedPoint]) -> Values:
    """Returns the expected hypervolume improvement of each candidate point, `(n,)`.

    Where times of training were measured, it is divided by the predicted time, relative to the other candidates.

    Pending trials count with the accuracies that are predicted for them (kriging believer), so that the next proposal
    does not repeat them. The reference point has the worst accuracy evaluated, and the largest cost among the
    candidates and the history.

    In a run with inheritance the process knows how much training the weights of each trial had, and the candidates are
    predicted at the median age; a strategy gives a `levelled` history, so that like is compared with like.

    Args:
        history: With one evaluated trial or more.
        points: One point or more.
    """
    known, age = [*history.evaluated, *history.pending], history.median_age
    aged = [_described(each, age) for each in known] + [(each.params, _with_age(each.costs, age)) for each in points]
    num_evaluated, num_known = len(history.evaluated), len(known)
    features = describe(aged)
    fitted = _fitted(history, features[:num_evaluated])
    observed = np.array([utilities(history.objectives, trial.values, history.floors) for trial in known])
    # Costs are known exactly, so their deviation stays 0; the columns of the accuracies are predicted.
    mean = np.array([known_utilities(history.objectives, point.costs, history.floors) for point in points])
    deviation = np.zeros_like(mean)
    for column, process in fitted.items():
        if num_known > num_evaluated:
            pending = features[num_evaluated:num_known]
            predicted, _ = process.predict(pending)
            observed[num_evaluated:, column] = predicted
            process = process.also(pending, predicted)
        mean[:, column], deviation[:, column] = process.predict(features[num_known:])
    # The improvement is computed with the costs first and the uncertain accuracies last.
    order = [*(i for i in range(mean.shape[1]) if i not in fitted), *fitted]
    lowest = np.minimum(observed.min(axis=0), mean.min(axis=0))
    is_predicted = [i in fitted for i in range(mean.shape[1])]
    reference = np.where(is_predicted, observed[:num_evaluated].min(axis=0), lowest)
    gains = expected_hypervolume_improvement(mean[:, order], deviation[:, order], observed[:, order], reference[order])
    measured = [(each.costs, each.seconds_an_image) for each in history.evaluated if each.seconds_an_image]
    return gains / fit_training_time(measured).relative([point.costs for point in points]) if measured else gains


def _fitted(history: History, features: Features) -> dict[int, Process]:
    """Returns a fitted process for each objective that is an accuracy, by its column."""
    values = history.values
    columns = [column for column, objective in enumerate(history.objectives) if not objective.is_cost]
    return {column: fit(features, values[:, column]) for column in columns}


def _described(known: Observation, age: Age | None) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Returns a trial with its own age; with the median where it is not known, as of a trial under way."""
    if age is None or known.age_images is None:
        return known.params, _with_age(known.costs, age)
    own = Age(images=float(known.age_images), inherited_share=known.inherited_share or 0.0)
    return known.params, _with_age(known.costs, own)


def _with_age(costs: Mapping[str, float], age: Age | None) -> Mapping[str, float]:
    """Returns costs with an age, whose logarithms are features as well; a share may be 0, so 1 is added to it."""
    return costs if age is None else {**costs, "age_images": age.images, "inherited_share": 1.0 + age.inherited_share}
