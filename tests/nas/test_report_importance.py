"""Which axes matter: on trials made so that one axis decides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest
from search_fakes import small_space

from nas.engine.importance import MIN_TRIALS, axis_importance
from nas.engine.objectives import objectives
from results.report import Importance
from results.trial import Outcome, Trial
from tests.results.trial_fakes import make_trial

OBJECTIVES = objectives(("accuracy", "macs"))
Points = dict[str, dict[str, Any]]


def trials(count: int, *, decided: bool = True) -> tuple[list[Trial], Points]:
    """Random points whose accuracy is that of their width, or nothing but noise; all cost the same."""
    rng, space = np.random.default_rng(1), small_space()
    points = {f"k{number}": dict(space.random(rng)) for number in range(count)}
    found = []
    for number, (key, point) in enumerate(points.items()):
        gain = 0.5 * (point["width"] == 0.25) if decided else 0.0
        known = {"number": number, "key": key, "outcome": "stopped", "rungs": 2, "macs": 100}
        found.append(make_trial(known | {"accuracy": gain + 0.1 * rng.random()}))
    return found, points


@pytest.fixture
def few_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that do not look at what chance gives."""
    monkeypatch.setattr("nas.engine.importance.PERMUTATIONS", 1)


def scored(trial: Trial, accuracy: float) -> Trial:
    return replace(trial, scores={"accuracy": accuracy})


@pytest.mark.slow
def test_the_axis_that_decides_is_found_and_stands_out_from_chance() -> None:
    rows, points = trials(60)
    found = axis_importance(rows, points, small_space(), OBJECTIVES)
    assert isinstance(found, Importance)
    best = max(found.axes, key=lambda each: each.accuracy)
    assert best.axis == "width" and best.accuracy > found.chance_accuracy
    assert found.axes[0].axis == "width" and found.axes[0].front > found.chance_front
    assert (found.rung, found.num_trials, found.num_top) == (1, 60, 15)
    assert sum(each.front for each in found.axes) == pytest.approx(1) == sum(each.accuracy for each in found.axes)


@pytest.mark.slow
@pytest.mark.usefixtures("few_permutations")
def test_the_best_are_the_most_accurate_and_not_the_least() -> None:
    rows, points = trials(60, decided=False)
    gains = [0.5 * (point.get("depth") == 0.17) * (point["width"] == 0.25) for point in points.values()]
    rows = [scored(trial, (trial.accuracy or 0) + gain) for trial, gain in zip(rows, gains, strict=True)]
    found = axis_importance(rows, points, small_space(), OBJECTIVES)
    turned = [scored(trial, 1 - (trial.accuracy or 0)) for trial in rows]
    worst = axis_importance(turned, points, small_space(), OBJECTIVES)
    assert isinstance(found, Importance) and isinstance(worst, Importance)
    both = [{each.axis: each.accuracy for each in judged.axes} for judged in (found, worst)]
    assert both[0]["width"] > 2 * both[1]["width"]  # the best have both, the worst lack one or the other


@pytest.mark.slow
@pytest.mark.usefixtures("few_permutations")
def test_an_axis_counts_the_trials_in_which_it_means_something() -> None:
    rows, points = trials(40)
    found = axis_importance(rows, points, small_space(), OBJECTIVES)
    assert isinstance(found, Importance)
    active = {each.axis: each.num_active for each in found.axes}
    assert active == {name: sum(name in point for point in points.values()) for name in active}
    assert active["head_levels"] == 40 and 0 < active["trunk_level"] < 40 and active["input_size"] < 40
    assert "block" not in active  # one choice only: nothing to decide


@pytest.mark.slow
def test_chance_stays_chance() -> None:
    rows, points = trials(60, decided=False)
    found = axis_importance(rows, points, small_space(), OBJECTIVES)
    assert isinstance(found, Importance)
    assert sum(each.accuracy > found.chance_accuracy for each in found.axes) <= 1


def test_few_trials_are_said_to_be_few() -> None:
    rows, points = trials(MIN_TRIALS - 1)
    said = axis_importance(rows, points, small_space(), OBJECTIVES)
    assert isinstance(said, str) and "19 architectures" in said and "at least 20" in said
    assert "0 architectures" in str(axis_importance([], {}, small_space(), OBJECTIVES))


@pytest.mark.slow
@pytest.mark.usefixtures("few_permutations")
def test_the_highest_rung_with_enough_trials_is_taken_and_repeats_are_not() -> None:
    low, points = trials(30)
    done = {"rung": 2, "outcome": Outcome.COMPLETE, "cause": None}
    high = [replace(trial, number=100 + trial.number, **done) for trial in low]
    found = axis_importance([*low, *high], points, small_space(), OBJECTIVES)
    assert isinstance(found, Importance) and found.rung == 2
    repeated = [replace(trial, repeat_of=1) for trial in high]
    found = axis_importance([*low, *high[:5], *repeated], points, small_space(), OBJECTIVES)
    assert isinstance(found, Importance) and (found.rung, found.num_trials) == (1, 30)
    equal = [scored(trial, 0.5) for trial in low]
    assert "All trials are equal" in str(axis_importance(equal, points, small_space(), OBJECTIVES))


@pytest.mark.slow
@pytest.mark.usefixtures("few_permutations")
def test_the_verbosity_of_optuna_is_as_before() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    axis_importance(*trials(20), small_space(), OBJECTIVES)
    assert optuna.logging.get_verbosity() == optuna.logging.WARNING
