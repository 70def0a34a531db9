"""What strategies decide by: guesses, turns, tournaments, generations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from strategy_fakes import OBJECTIVES, known, run, table_domain, tiny_domain

from nas.engine.acquisition import acquisition_values, surrogate_correlation
from nas.engine.candidates import SearchCandidate, exact
from nas.engine.history import History, Observation
from nas.engine.sampler_study import SamplerStudy
from nas.engine.strategies import STRATEGIES
from nas.engine.strategies.nsga2 import GENERATION, POPULATION
from nas.engine.variation import mutate


def test_what_is_guessed_of_a_pending_point_is_taken_for_known(monkeypatch: pytest.MonkeyPatch) -> None:
    domain, seen = table_domain(), []
    told = run("ehvi", domain, 10)
    left = [point for point in domain.listed() if point.key not in {trial.key for trial in told}]
    before = acquisition_values(History(objectives=OBJECTIVES, trials=tuple(told)), left)
    best = int(np.argmax(before))
    after = History(objectives=OBJECTIVES, trials=(*told, known(10, left[best], "pending")))
    assert acquisition_values(after, left)[best] < 0.25 * before[best]
    monkeypatch.setattr(
        "nas.engine.acquisition.expected_hypervolume_improvement",
        lambda *args: seen.append(args) or np.zeros(len(args[0])),
    )
    for trials in (told, after.trials):
        acquisition_values(History(objectives=OBJECTIVES, trials=tuple(trials)), left)
    assert seen[1][1][best, 1] < 0.7 * seen[0][1][best, 1], "how far the guess may be off"


def test_gains_are_measured_from_the_worst_that_was_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    domain, seen = table_domain(), []
    told = run("random", domain, 6)
    monkeypatch.setattr(
        "nas.engine.acquisition.expected_hypervolume_improvement",
        lambda *args: seen.append(args) or np.zeros(len(args[0])),
    )
    points = domain.listed()
    acquisition_values(History(objectives=OBJECTIVES, trials=tuple(told)), points)
    dearest = max(point.costs["macs"] for point in points)
    # the cost comes first, the guess last
    assert seen[0][3].tolist() == pytest.approx([-math.log(dearest), min(trial.values[0] or 0 for trial in told)])


def test_the_default_takes_the_point_with_the_largest_expected_gain() -> None:
    domain = table_domain()
    history = History(objectives=OBJECTIVES, trials=tuple(run("ehvi", domain, 9)))
    left = [point for point in domain.listed() if point.key not in history.seen]
    proposal = STRATEGIES.get("ehvi")(history, domain, seed=0)
    assert proposal is not None and proposal.params == left[int(np.argmax(acquisition_values(history, left)))].params


def test_exact_points_fit_the_budget_and_are_new() -> None:
    everything = tiny_domain().listed() or ()
    limit = float(np.median([point.costs["macs"] for point in everything])) / 1e9
    domain = tiny_domain(limit)
    fits = [point for point in domain.listed() or () if point.feasible]
    history = History(objectives=OBJECTIVES, trials=(known(0, fits[0]),))
    found = exact([SearchCandidate(point=point, origin="x") for point in everything], history, domain)
    assert [drawn.point.key for drawn in found] == [point.key for point in fits[1:]]


def test_tpe_and_neighbours_take_turns_where_the_surrogate_is_not_trusted() -> None:
    domain, rng = table_domain(), np.random.default_rng(0)
    told = [
        Observation(**{**vars(each), "values": (float(rng.random()), each.values[1])})
        for each in run("random", domain, 29)
    ]
    origins = []
    for number in (24, 26, 27, 28):
        history = History(objectives=OBJECTIVES, trials=tuple(told[:number]))
        if not surrogate_correlation(history).trusted:
            proposal = STRATEGIES.get("ehvi")(history, domain, seed=number)
            origins.append((number % 4 == 0, None if proposal is None else proposal.origin))
    assert set(origins) == {(True, "tpe"), (False, "neighbour")}


def test_the_winner_of_a_tournament_is_the_fittest_of_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    domain, parents = table_domain(), []
    told = [
        Observation(**{**vars(each), "values": (0.9 if number in (2, 12) else 0.1, 1e6 if number in (2, 12) else 1e9)})
        for number, each in enumerate(run("random", domain, 20))
    ]
    monkeypatch.setattr("nas.engine.strategies.evolution.CROSSOVER_SHARE", 0.0)
    monkeypatch.setattr("nas.engine.strategies.evolution.POPULATION", 10)
    monkeypatch.setattr("nas.engine.strategies.evolution.TOURNAMENT", 10)
    monkeypatch.setattr(
        "nas.engine.strategies.evolution.mutate",
        lambda space, params, rng: parents.append(params) or mutate(space, params, rng),
    )
    proposal = STRATEGIES.get("evolution")(History(objectives=OBJECTIVES, trials=tuple(told)), domain, seed=0)
    assert proposal is not None and proposal.origin == "neighbour"
    assert all(params == told[12].params for params in parents)


def test_a_shadow_knows_the_states_and_the_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    domain, shadows = table_domain(), []
    told = run("random", domain, POPULATION + 3)
    told.append(Observation(**{**vars(told[0]), "number": 90, "state": "pending", "values": (None, 1e8)}))
    told.append(Observation(**{**vars(told[1]), "number": 91, "state": "rejected", "values": (None, 1e8)}))
    told.append(Observation(**{**vars(told[2]), "number": 92, "state": "failed", "values": (None, 1e8)}))

    def spied(*args: Any, **settings: Any) -> SamplerStudy:
        shadows.append(SamplerStudy(*args, **settings))
        return shadows[-1]

    monkeypatch.setattr("nas.engine.strategies.nsga2.SamplerStudy", spied)
    STRATEGIES.get("nsga2")(History(objectives=OBJECTIVES, trials=tuple(told)), domain, seed=0)
    trials = shadows[0].trials[: POPULATION + 5]
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * (POPULATION + 3) + ["RUNNING", "PRUNED"]
    generations = [trial.system_attrs.get(GENERATION) for trial in trials]
    assert generations == [0] * POPULATION + [1] * 3 + [None] * 2
