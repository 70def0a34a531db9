"""The importance of each axis of the space, by PED-ANOVA over the trials of one rung.

The evaluator is Optuna's (Watanabe, Bansal and Hutter, "PED-ANOVA", IJCAI 2023), which measures an axis that is not
always active over the trials that have it. It is run twice: for what distinguishes the trials that are best in all
objectives together, and for what distinguishes the most accurate ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.engine.distributions import distribution, stored
from nas.engine.objectives import Objective
from results.report import AxisImportance, Importance
from results.trial import EVALUATED, Trial
from search_space import SearchSpace

TOP_SHARE = 0.25
"""The share of the trials that count as the best."""
MIN_TRIALS = 20
"""With fewer than five best trials PED-ANOVA is unreliable."""
PERMUTATIONS = 20
"""Permutations of the values, from which the importance that chance gives is estimated."""

Raw = dict[str, float]


def axis_importance(
    trials: Sequence[Trial],
    points: Mapping[str, Mapping[str, Any]],
    space: SearchSpace,
    objectives: Sequence[Objective],
) -> Importance | str:
    """Measures the importance of the axes on the highest rung that has enough trials.

    Args:
        trials: Those that have ended.
        points: The points of the architectures by key.
        space: Of the run.
        objectives: What was searched for.

    Returns:
        The importance of all axes with more than one choice, or a sentence that says why there is none.
    """
    rungs = sorted({trial.rung for trial in trials if trial.rung}, reverse=True)
    measured = {rung: _evaluated(trials, points, rung, objectives) for rung in rungs}
    rung = next((rung for rung in rungs if len(measured[rung]) >= MIN_TRIALS), None)
    if rung is None:
        most = max(map(len, measured.values()), default=0)
        return (
            f"Too few trials to say which axes matter: {most} architectures have an accuracy on one rung, at least "
            f"{MIN_TRIALS} are needed."
        )
    found = measured[rung]
    values = [_values(trial, objectives) for trial in found]
    frozen = [_frozen(points[trial.key], space, each) for trial, each in zip(found, values, strict=True)]
    if len({tuple(each) for each in values}) < 2 or not any(each.params for each in frozen):
        return "All trials are equal, so that no axis can matter more than another."
    return _importance(frozen, values, rung, objectives)


def _importance(
    trials: list[FrozenTrial], values: list[list[float]], rung: int, objectives: Sequence[Objective]
) -> Importance:
    front, accuracy = _importances(trials, values, objectives)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(values)) for _ in range(PERMUTATIONS)]
    permuted = [_importances(trials, [values[i] for i in order], objectives) for order in orders]
    chance = np.quantile([[max(each.values()) for each in pair] for pair in permuted], 0.95, axis=0)
    totals = [sum(each.values()) or 1.0 for each in (front, accuracy)]
    axes = (
        AxisImportance(
            axis=name,
            front=front[name] / totals[0],
            accuracy=accuracy[name] / totals[1],
            num_active=sum(name in trial.params for trial in trials),
        )
        for name in sorted(front, key=lambda name: (-front[name], -accuracy[name], name))
    )
    return Importance(
        axes=tuple(axes),
        rung=rung,
        num_trials=len(trials),
        num_top=int(np.ceil(TOP_SHARE * len(trials))),
        chance_front=float(chance[0] / totals[0]),
        chance_accuracy=float(chance[1] / totals[1]),
    )


def _evaluated(
    trials: Sequence[Trial], points: Mapping[str, Mapping[str, Any]], rung: int, objectives: Sequence[Objective]
) -> list[Trial]:
    """Returns the first trial of each architecture that has all values on a rung."""
    found: dict[str, Trial] = {}
    for trial in trials:
        known = trial.key in points and trial.outcome in EVALUATED and not trial.is_cut_short
        if known and trial.rung == rung and not trial.is_repetition and _values(trial, objectives):
            found.setdefault(trial.key, trial)
    return list(found.values())


def _values(trial: Trial, objectives: Sequence[Objective]) -> list[float]:
    """Returns the values of a trial; empty if one is missing."""
    values = [trial.value(each.name) for each in objectives]
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []


def _frozen(point: Mapping[str, Any], space: SearchSpace, values: Sequence[float]) -> FrozenTrial:
    free = [axis for axis in space.axes if axis.name in point and len(axis.choices) > 1]
    return create_trial(
        state=TrialState.COMPLETE,
        values=list(values),
        params={axis.name: stored(axis, point[axis.name]) for axis in free},
        distributions={axis.name: distribution(axis) for axis in free},
    )


def _importances(
    trials: Sequence[FrozenTrial], values: Sequence[Sequence[float]], objectives: Sequence[Objective]
) -> tuple[Raw, Raw]:
    """Returns the importance of each axis for the front and for the first accuracy, given the values of the trials."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(directions=["maximize" if each.maximise else "minimize" for each in objectives])
            for trial, own in zip(trials, values, strict=True):
                permuted = create_trial(values=list(own), params=trial.params, distributions=trial.distributions)
                study.add_trial(permuted)
            index = next(i for i, each in enumerate(objectives) if not each.is_cost)
            both = (None, lambda trial: -trial.values[index])
            evaluator = PedAnovaImportanceEvaluator(target_quantile=TOP_SHARE)
            front, accuracy = (
                get_param_importances(study, evaluator=evaluator, target=each, normalize=False) for each in both
            )
    finally:
        optuna.logging.set_verbosity(verbosity)
    return front, accuracy
