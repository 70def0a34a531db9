"""Ages: trials whose weights have seen more images are not better for it, in a run with inheritance."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from search_fakes import make_domain
from strategy_fakes import OBJECTIVES, run, table_domain
from trial_rows import trial

from nas.engine import acquisition
from nas.engine.acquisition import acquisition_values, surrogate_correlation
from nas.engine.history import Age, History, Observation
from nas.engine.inheritance import InheritanceRule
from nas.engine.ladder import Ladder
from nas.engine.scheduler import Scheduler
from results.trial import Outcome

MEDIAN = 4000


def aged(number: int = 24) -> list[Observation]:
    """Trials of 1,000 to 16,000 images, with whose square root the accuracy grows, whatever the architecture."""
    found = []
    for index, each in enumerate(run("random", table_domain(), number)):
        doublings = index % 5
        accuracy = at_median(each) * math.sqrt(1000 * 2**doublings / MEDIAN)
        share = 0.5 if doublings else 0.0
        values = (accuracy, each.values[1])
        found.append(replace(each, values=values, age_images=1000 * 2**doublings, inherited_share=share))
    return found


def at_median(trial: Any) -> float:
    """The accuracy after 4,000 images."""
    return 0.2 + 0.05 * math.log10(trial.costs["macs"] / 1e7)


def history(trials: list[Observation]) -> History:
    return History(objectives=OBJECTIVES, trials=tuple(trials))


def points() -> list[Any]:
    return list(table_domain().listed()[200:240])


def spied(monkeypatch: pytest.MonkeyPatch, trials: list[Observation]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the accuracies predicted for the candidates, and those of the trials that they are measured against."""
    seen: list[Any] = []
    monkeypatch.setattr(
        acquisition, "expected_hypervolume_improvement", lambda *args: seen.append(args) or np.zeros(len(args[0]))
    )
    acquisition_values(history(trials).levelled, points())
    return seen[0][0][:, 1], seen[0][2][:, 1]


def test_the_front_is_that_of_one_age(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = aged()
    assert history(trials).median_age == Age(images=MEDIAN, inherited_share=0.5)
    predicted, front = spied(monkeypatch, trials)
    assert front == pytest.approx([at_median(each) for each in trials]), "all as after 4,000 images"
    assert np.abs(front - [each.values[0] for each in trials]).mean() > 0.05
    assert np.abs(predicted - [at_median(each) for each in points()]).mean() < 0.03, "candidates too"
    costs = [each.values[1] for each in trials]
    assert [each.values[1] for each in history(trials).levelled.trials] == costs, "costs have no age"


def test_more_images_never_count_for_a_trial_and_fewer_never_against_it() -> None:
    for own, levelled in zip(aged(), history(aged()).levelled.trials, strict=True):
        images, before, after = own.age_images or 0, own.values[0] or 0.0, levelled.values[0] or 0.0
        assert after <= before if images > MEDIAN else after >= before


def test_a_trial_under_way_is_taken_to_be_of_the_median_age(monkeypatch: pytest.MonkeyPatch) -> None:
    trials, pending = aged(), run("random", table_domain(), 26)[25]
    under_way = replace(pending, state="pending", values=(None, pending.values[1]))
    _, front = spied(monkeypatch, [*trials, under_way])
    assert front[-1] == pytest.approx(at_median(pending), abs=0.06)


def test_the_correlation_of_the_surrogate_knows_the_ages() -> None:
    trials = aged()
    known, unknown = surrogate_correlation(history(trials)), surrogate_correlation(history(without_ages(trials)))
    assert known.tau > 0.8 > unknown.tau + 0.3
    assert surrogate_correlation(history(trials).levelled).tau > 0.8


def without_ages(trials: list[Observation]) -> list[Observation]:
    return [replace(each, age_images=None, inherited_share=None) for each in trials]


def test_without_inheritance_there_are_no_ages(monkeypatch: pytest.MonkeyPatch) -> None:
    _, front = spied(monkeypatch, without_ages(aged()))
    assert front.tolist() == [each.values[0] for each in aged()]
    assert history(without_ages(aged())).median_age is None
    domain = make_domain()
    rows = [
        trial(0, 0.1, 100, images_seen=1000, images_in_all=1000),
        trial(1, 0.2, 100, images_seen=1000, images_in_all=3000, inherited_macs=0.4, donor=0),
        trial(2, None, 100, cause=None, outcome=Outcome.RUNNING),
    ]
    seen = []
    for rule in (None, InheritanceRule(domain)):
        found = Scheduler(
            domain=domain,
            strategy=lambda history, domain, *, seed: None,
            objectives=OBJECTIVES,
            ladder=Ladder(epochs=(1.0,)),
            inheritance=rule,
        )
        object.__setattr__(found, "_point", lambda trial: {})
        seen.append([(each.age_images, each.inherited_share) for each in found.history(rows, []).trials])
    assert seen == [[(None, None)] * 3, [(1000, 0.0), (3000, 0.4), (None, None)]]
