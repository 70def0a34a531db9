"""Strategies: what holds for each that is registered, and what each is for."""

from __future__ import annotations

import warnings
from itertools import islice
from typing import Any

import numpy as np
import pytest
from search_fakes import NUM_CLASSES, SMALL, small_space
from strategy_fakes import BUDGET, LARGE, OBJECTIVES, TABLE, known, run, table_domain, tiny_domain

from nas.cost import Budget
from nas.engine.acquisition import acquisition_values, surrogate_correlation
from nas.engine.candidates import MAX_SIZES, SearchCandidate, dissimilar, of_tpe, sized
from nas.engine.domain import CostedDomain, Domain, all_points, count_points, side_of
from nas.engine.history import History, Observation
from nas.engine.objectives import objective, objectives
from nas.engine.proposal import Proposal, uses_surrogate
from nas.engine.strategies import STRATEGIES, has_surrogate
from nas.engine.strategies.evolution import crowding, fitness_order
from nas.engine.strategies.nsga2 import POPULATION
from nas.engine.variation import any_new, farthest, fit_input, resizes, walked
from search_space import SearchSpace
from search_space.errors import ConfigError, SpaceError


@pytest.mark.slow
@pytest.mark.parametrize("name", STRATEGIES.names())
def test_every_strategy_proposes_new_points_of_a_conditional_space(name: str) -> None:
    domain = table_domain()
    told = run(name, domain, 30)
    assert len(told) == 30 and len({trial.params["family"] for trial in told}) >= 3
    assert len({trial.params["input_size"] for trial in told}) >= 4
    history = History(objectives=OBJECTIVES, trials=tuple(told))
    assert STRATEGIES.get(name)(history, domain, seed=7) == STRATEGIES.get(name)(history, table_domain(), seed=7)


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_every_strategy_tries_all_of_a_tiny_space_and_ends(name: str) -> None:
    everything = [point for point in tiny_domain().listed() or ()]
    limit = float(np.median([point.costs["macs"] for point in everything])) / 1e9
    domain = tiny_domain(limit)
    feasible = {point.key for point in domain.listed() or () if point.feasible}
    assert 0 < len(feasible) < len(everything)
    assert {trial.key for trial in run(name, domain, len(everything) + 1)} == feasible


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "grid"])
def test_every_strategy_keeps_a_tight_budget_in_a_large_space(name: str) -> None:
    domain = CostedDomain(LARGE, Budget(gmacs=0.05), num_classes=NUM_CLASSES)
    assert domain.listed() is None
    number = {"ehvi": 7, "tpe": 12}.get(name, 6)
    told = run(name, domain, number)
    assert len(told) == number and len({trial.params["backbone"] for trial in told}) > 1


@pytest.mark.slow
@pytest.mark.parametrize("name", STRATEGIES.names())
def test_every_strategy_keeps_to_a_narrowed_space(name: str) -> None:
    kept = {"topology": ("none", "pan"), "input_size": (128, 160), "width": (0.25,), "depth": (0.33, 0.67)}
    if name == "grid":
        kept = {**{axis.name: axis.choices[:1] for axis in small_space().axes}, **kept}
    domain = CostedDomain(SearchSpace().narrowed({**SMALL, **kept}), BUDGET, num_classes=NUM_CLASSES)
    told = run(name, domain, 8)
    assert {side_of(trial.params) for trial in told} == {128, 160}
    for trial in told:
        assert all(trial.params[axis] in choices for axis, choices in kept.items() if axis in trial.params)


@pytest.mark.parametrize("name", ["ehvi", "nsga2", "tpe"])
def test_a_strategy_that_asks_optuna_does_not_warn(name: str) -> None:
    domain = table_domain()
    told = run("random", domain, 16)
    noise = [Observation(**{**vars(trial), "values": (0.1 * (i % 3), trial.values[1])}) for i, trial in enumerate(told)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(4):
            history = History(objectives=OBJECTIVES, trials=tuple(noise[: 13 + seed % 4]))
            assert STRATEGIES.get(name)(history, domain, seed=seed) is not None
        assert next(of_tpe(history, domain, np.random.default_rng(0), 0), None) is not None


def test_the_first_generation_is_whatever_was_evaluated() -> None:
    domain = table_domain()
    told = [
        Observation(**{**vars(trial), "origin": f"design {trial.number}"})
        for trial in run("random", domain, POPULATION)
    ]
    parents = [trial.params for trial in told]

    def inherited(trials: list[Observation]) -> int:
        history, count = History(objectives=OBJECTIVES, trials=tuple(trials)), 0
        for seed in range(12):
            proposal = STRATEGIES.get("nsga2")(history, domain, seed=seed)
            assert proposal is not None
            own = {name: value for name, value in proposal.params.items() if name not in ("input_size", "family")}
            count += any(all(each.get(name) == value for name, value in own.items()) for each in parents)
        return count

    pending = [Observation(**{**vars(told[0]), "state": "pending", "values": (None, told[0].values[1])}), *told[1:]]
    assert inherited(told) > inherited(pending)
    assert POPULATION <= 12, "a run of 30 trials is to see two generations"


def test_a_network_unlike_all_that_were_tried_is_explored() -> None:
    domain = CostedDomain(LARGE, Budget(gmacs=0.2), num_classes=NUM_CLASSES)
    rng = np.random.default_rng(0)
    own = LARGE.narrowed({"backbone": ("yolov8",)})
    alike = [fit_input(domain, own.random(rng), lambda gmacs: 0) for _ in range(5)]
    told = [known(number, point) for number, point in enumerate(alike) if point is not None]
    assert len(told) == 5
    history = History(objectives=OBJECTIVES, trials=tuple(told))
    found = [drawn.point for drawn in islice(dissimilar(history, domain, rng), 2)]
    assert found[0].params["backbone"] == "mobilenetv1" and all(point.feasible for point in found)
    told += [Observation(**{**vars(each), "key": "x", "state": "failed", "values": (None, 1e8)}) for each in told]
    told.append(known(10, alike[0]))
    told += [Observation(**{**vars(each), "number": 11}) for each in told[:4]]
    proposal = STRATEGIES.get("ehvi")(History(objectives=OBJECTIVES, trials=tuple(told)), domain, seed=0)
    assert proposal is not None and proposal.origin == "explored" and proposal.params["backbone"] == "mobilenetv1"


def test_a_network_is_in_the_pool_at_a_few_sizes_only() -> None:
    domain = tiny_domain()
    points = [point for point in domain.listed() or () if point.params["width"] == 0.25]
    trials = [known(number, point) for number, point in enumerate(points)]
    drawn = SearchCandidate(point=points[0], origin="resized")
    sizes = []
    for number in range(MAX_SIZES + 1):
        history = History(objectives=OBJECTIVES, trials=tuple(trials[:number]))
        sizes.append(len(sized(history, domain, [drawn])))
    assert len(points) == 5 and sizes == [5, 4, 3, 2, 0]


def test_tpe_is_told_of_the_front_and_of_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    domain, told = table_domain(), []
    monkeypatch.setattr("nas.engine.candidates.MAX_TPE_TRIALS", 5)
    monkeypatch.setattr("nas.engine.candidates.SamplerStudy", lambda history, *rest: told.append(history) or Nothing())
    history = History(objectives=OBJECTIVES, trials=tuple(run("random", domain, 20)))
    assert next(of_tpe(history, domain, np.random.default_rng(0), 0), None) is None
    numbers = [trial.number for trial in told[0].trials]
    assert numbers == sorted({trial.number for trial in history.front} | set(range(15, 20))) and len(numbers) < 20


class Nothing:
    """A study that suggests what is no point."""

    def ask(self) -> tuple[dict[str, Any], None]:
        return {}, None

    def refuse(self, trial: None) -> None: ...


def test_a_space_that_is_not_listed_is_walked_to_its_last_point(monkeypatch: pytest.MonkeyPatch) -> None:
    domain = tiny_domain()
    keys = [point.key for point in domain.listed() or ()]
    monkeypatch.setattr("nas.engine.domain.MAX_LISTED", 9)
    domain = tiny_domain()
    assert domain.listed() is None
    monkeypatch.setattr("nas.engine.variation.random_feasible", lambda *args, **kwargs: None)
    for last in keys:
        found = any_new(domain, np.random.default_rng(0), seen=set(keys) - {last})
        assert found is not None and found.key == last
    assert any_new(domain, np.random.default_rng(0), seen=keys) is None
    orders = {tuple(p.key for p in walked(domain, np.random.default_rng(seed), seen=())) for seed in range(3)}
    assert len(orders) == 3 and all(sorted(order) == sorted(keys) for order in orders)
    assert next(walked(CostedDomain(LARGE, BUDGET, num_classes=3), np.random.default_rng(0), seen=()), None) is None


def test_a_pending_point_is_not_proposed_and_its_guess_moves_the_next() -> None:
    domain = table_domain()
    told = run("ehvi", domain, 10)
    first = STRATEGIES.get("ehvi")(History(objectives=OBJECTIVES, trials=tuple(told)), domain, seed=1)
    assert first is not None
    point = domain.consider(first.params)
    assert point is not None
    after = History(objectives=OBJECTIVES, trials=(*told, known(10, point, "pending")))
    second = STRATEGIES.get("ehvi")(after, domain, seed=1)
    assert second is not None and second.params != first.params
    left = [other for other in domain.listed() if other.key not in after.seen]
    before = acquisition_values(History(objectives=OBJECTIVES, trials=tuple(told)), left)
    with_pending = acquisition_values(after, left)
    assert with_pending.sum() < before.sum()


def test_nothing_depends_on_what_was_not_evaluated() -> None:
    domain = table_domain()
    told = run("ehvi", domain, 12)
    rest = [point for point in domain.listed() if point.key not in {trial.key for trial in told}]
    plain = History(objectives=OBJECTIVES, trials=(*told, known(12, rest[0], "failed"), known(13, rest[1], "pending")))
    garbage = [
        Observation(**{**vars(trial), "values": (9e9, trial.values[1])}) if trial.state != "evaluated" else trial
        for trial in plain.trials
    ]
    spoilt = History(objectives=OBJECTIVES, trials=tuple(garbage))
    for name in ("ehvi", "evolution", "nsga2"):
        assert STRATEGIES.get(name)(plain, domain, seed=3) == STRATEGIES.get(name)(spoilt, domain, seed=3)


def test_a_surrogate_that_ranks_poorly_is_not_trusted() -> None:
    domain = table_domain()
    told = run("random", domain, 24)
    rng = np.random.default_rng(0)
    noise = [Observation(**{**vars(trial), "values": (float(rng.random()), trial.values[1])}) for trial in told]
    good, poor = (
        surrogate_correlation(History(objectives=OBJECTIVES, trials=tuple(trials))) for trials in (told, noise)
    )
    assert good.trusted and good.tau > 0.6 and good.num_points == 24
    assert not poor.trusted and poor.tau < 0.3
    proposal = STRATEGIES.get("ehvi")(History(objectives=OBJECTIVES, trials=tuple(noise)), domain, seed=0)
    assert proposal is not None and proposal.origin in ("tpe", "neighbour")


def test_a_grid_of_a_large_space_is_refused_with_its_size() -> None:
    domain = CostedDomain(LARGE, Budget(gmacs=1.0), num_classes=NUM_CLASSES)
    with pytest.raises(SpaceError, match=r"at least 10001; allowed: 10000; next: .*--fix"):
        STRATEGIES.get("grid")(History(objectives=OBJECTIVES), domain, seed=0)


def test_points_are_counted_as_they_are_listed() -> None:
    space = tiny_domain().space
    assert count_points(space, 1000) == len(list(all_points(space))) == 10
    assert count_points(space, 3) == 4
    for params in all_points(space):
        space.check(params)


def test_resized_points_have_scaled_costs_that_are_near_the_true_ones() -> None:
    domain = tiny_domain()
    point = next(each for each in domain.listed() or () if each.costs["input_px"] == 128)
    for guess in resizes(domain.space, point):
        true = domain.consider(guess.params)
        assert true is not None and guess.costs["macs"] == pytest.approx(true.costs["macs"], rel=0.02)
        assert guess.margins["gmacs"] == pytest.approx(true.margins["gmacs"], abs=1e-3)
        assert guess.costs["params"] == true.costs["params"] and guess.costs["input_px"] == true.costs["input_px"]


def test_the_farthest_point_has_other_costs_than_all_that_are_known() -> None:
    points = sorted(TABLE.points, key=lambda point: point.costs["macs"])
    found = farthest(points[1:], [points[0].costs], np.random.default_rng(0))
    assert found is not None and found.costs["macs"] > 50 * points[0].costs["macs"]
    assert farthest([], [], np.random.default_rng(0)) is None


def test_an_input_is_fitted_in_a_table() -> None:
    point = TABLE.points[0]
    found = fit_input(table_domain(), point.params, lambda gmacs: len(gmacs) - 1)
    assert found is not None and found.params == {**point.params, "input_size": 480}


def test_the_fittest_are_on_the_front_and_have_room() -> None:
    gains = np.array([[0.0, 3.0], [1.0, 2.0], [1.1, 1.9], [3.0, 0.0], [0.0, 0.0]])
    order = fitness_order(gains)
    assert order[4] == 4 and {order[0], order[3]} == {0, 1}
    assert crowding(gains[:4])[2] == pytest.approx((3.0 - 1.0) / 3 + 2.0 / 3)


def test_objectives_are_named_as_on_the_command_line() -> None:
    assert [each.name for each in objectives(("ap-small", "latency", "memory"))] == [
        "ap_small",
        "latency_ms",
        "memory_bytes",
    ]
    assert objective("ap-8-32").name == "ap_8_32" and objective("ap_8_32").maximise
    for names, said in (
        (("macs", "params"), "is an accuracy"),
        (("accuracy",), "two or three"),
        (("accuracy", "accuracy"), "two or three"),
        (("accuracy", "mac"), "did you mean 'macs'"),
        (("accuracy", "ap-32-8"), "unknown objective"),
    ):
        with pytest.raises(ConfigError, match=said):
            objectives(names)


def test_a_strategy_declares_whether_it_has_a_surrogate() -> None:
    def plain(history: History, domain: Domain, *, seed: int) -> Proposal | None:
        return None

    assert [name for name in STRATEGIES if has_surrogate(STRATEGIES.get(name))] == ["ehvi"]
    assert not has_surrogate(plain) and has_surrogate(uses_surrogate(plain))
