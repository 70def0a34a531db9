"""How much each axis of the space decides, by PED-ANOVA over the trials of one rung.

The measure is Optuna's (Watanabe, Bansal and Hutter, "PED-ANOVA", IJCAI 2023), which judges an axis that is not always
active within the trials that have it. It is asked twice: what tells those trials from the rest that are best in all
objectives at once, and what those that are most accurate.
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
from search_space import SearchSpace

TOP_SHARE = 0.25
"""The part of the trials that counts as the best."""
MIN_TRIALS = 20
"""Five of the best, which PED-ANOVA wants at least."""
DEALS = 20
"""How often the values are dealt anew to learn what chance gives."""

Row = Mapping[str, Any]
Raw = dict[str, float]


def axis_importance(
    rows: Sequence[Row], points: Mapping[str, Mapping[str, Any]], space: SearchSpace, objectives: Sequence[Objective]
) -> Importance | str:
    """Judges the axes on the highest rung that has enough trials.

    Args:
        rows: One record a trial, as `results.records` has them.
        points: Of the architectures by key, in the words of the space.
        space: Of the run.
        objectives: What was searched for.

    Returns:
        The importance of all axes with more than one choice, or in a sentence why there is none.
    """
    rungs = sorted({int(row["rung"]) for row in rows if row["rung"]}, reverse=True)
    judged = {rung: _judged(rows, points, rung, objectives) for rung in rungs}
    rung = next((rung for rung in rungs if len(judged[rung]) >= MIN_TRIALS), None)
    if rung is None:
        most = max(map(len, judged.values()), default=0)
        return (
            f"Too few trials to say which axes matter: {most} architectures have an accuracy on one rung, at least "
            f"{MIN_TRIALS} are needed."
        )
    found = judged[rung]
    values = [_values(row, objectives) for row in found]
    trials = [_frozen(points[row["key"]], space, each) for row, each in zip(found, values, strict=True)]
    if len({tuple(each) for each in values}) < 2 or not any(trial.params for trial in trials):
        return "All trials are equal, so that no axis can matter more than another."
    return _measured(trials, values, rung, objectives)


def _measured(
    trials: list[FrozenTrial], values: list[list[float]], rung: int, objectives: Sequence[Objective]
) -> Importance:
    front, accuracy = _importances(trials, values, objectives)
    rng = np.random.default_rng(0)
    deals = [_importances(trials, [values[i] for i in rng.permutation(len(values))], objectives) for _ in range(DEALS)]
    chance = np.quantile([[max(each.values()) for each in pair] for pair in deals], 0.95, axis=0)
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


def _judged(
    rows: Sequence[Row], points: Mapping[str, Mapping[str, Any]], rung: int, objectives: Sequence[Objective]
) -> list[Row]:
    """Returns the first trial of each architecture that has all values on a rung."""
    found: dict[str, Row] = {}
    for row in rows:
        known = row["key"] in points and row["outcome"] in ("complete", "stopped", "cached")
        if known and row["rung"] == rung and row["repeat_of"] is None and _values(row, objectives):
            found.setdefault(row["key"], row)
    return list(found.values())


def _values(row: Row, objectives: Sequence[Objective]) -> list[float]:
    """Returns the values of a trial; nothing where one is missing."""
    values = [row[each.name] for each in objectives]
    return [] if any(value is None for value in values) else [float(value) for value in values]


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
    """Returns what each axis decides for the front and for the first accuracy, when the trials have these values."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(directions=["maximize" if each.maximise else "minimize" for each in objectives])
            for trial, own in zip(trials, values, strict=True):
                dealt = create_trial(values=list(own), params=trial.params, distributions=trial.distributions)
                study.add_trial(dealt)
            index = next(i for i, each in enumerate(objectives) if not each.is_cost)
            both = (None, lambda trial: -trial.values[index])
            judge = PedAnovaImportanceEvaluator(target_quantile=TOP_SHARE)
            front, accuracy = (
                get_param_importances(study, evaluator=judge, target=each, normalize=False) for each in both
            )
    finally:
        optuna.logging.set_verbosity(verbosity)
    return front, accuracy
