"""The surrogate, and the expected gain in hypervolume."""

from __future__ import annotations

import numpy as np
import pytest

from nas.engine.hypervolume_improvement import expected_hypervolume_improvement
from nas.engine.objectives import objectives
from nas.engine.surrogate import describe, fit
from nas.engine.utility import known_utilities, utilities
from results.pareto import hypervolume
from results.ranking import kendall_tau


def points(number: int, seed: int = 0) -> list[tuple[dict[str, str], dict[str, float]]]:
    rng = np.random.default_rng(seed)
    return [
        ({"block": str(rng.choice(["a", "b"]))}, {"macs": float(10 ** rng.uniform(7, 9)), "input_px": 320.0})
        for _ in range(number)
    ]


def truth(each: tuple[dict[str, str], dict[str, float]]) -> float:
    return float(np.tanh(np.log10(each[1]["macs"]) - 8) + 0.5 * (each[0]["block"] == "b"))


def test_a_smooth_function_of_cost_and_choice_is_recovered() -> None:
    everything = points(60)
    features, values = describe(everything), np.array([truth(each) for each in everything])
    process = fit(features[:25], values[:25])
    mean, deviation = process.predict(features[25:])
    assert np.abs(mean - values[25:]).max() < 0.15 and (deviation > 0).all()
    assert np.abs(mean - values[25:]).mean() < 0.03
    assert kendall_tau(process.left_out().tolist(), values[:25].tolist()) > 0.85


def test_leaving_one_out_is_as_if_it_had_never_been_seen() -> None:
    features, values = describe(points(12)), np.array([truth(each) for each in points(12)])
    process = fit(features, values)
    rest = np.arange(1, 12)
    without = type(process)(**{**vars(process), "seen": features[rest], "values": values[rest]})
    assert process.left_out()[0] == pytest.approx(without.predict(features[:1])[0][0], rel=1e-6)


def test_what_was_seen_is_known_better_than_what_was_not() -> None:
    features, values = describe(points(20)), np.array([truth(each) for each in points(20)])
    process = fit(features[:10], values[:10])
    _, before = process.predict(features[10:])
    mean, after = process.also(features[10:], values[10:]).predict(features[10:])
    assert (after < before).all() and np.abs(mean - values[10:]).max() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("num_objectives", [2, 3])
def test_the_expected_gain_is_that_of_many_draws(num_objectives: int) -> None:
    rng = np.random.default_rng(num_objectives)
    front, reference = rng.uniform(0, 1, (6, num_objectives)), np.zeros(num_objectives)
    mean = rng.uniform(0.2, 1.1, (5, num_objectives))
    deviation = np.zeros_like(mean)
    deviation[:, -1] = 0.3
    if num_objectives == 3:
        deviation[2:, 1] = 0.2
    found = expected_hypervolume_improvement(mean, deviation, front, reference)
    maximise = (True,) * num_objectives
    before = hypervolume(front, reference, maximise)
    for each in range(len(mean)):
        draws = rng.normal(mean[each], deviation[each], (1500, num_objectives))
        gains = [hypervolume(np.vstack([front, draw]), reference, maximise) - before for draw in draws]
        assert found[each] == pytest.approx(np.mean(gains), abs=4 * np.std(gains) / np.sqrt(1500) + 1e-9)


def test_a_known_point_gains_exactly_what_it_adds() -> None:
    front, reference = np.array([[1.0, 3.0], [2.0, 2.0]]), np.zeros(2)
    mean = np.array([[3.0, 1.0], [1.0, 1.0], [1.5, 4.0], [-1.0, 9.0]])
    gains = expected_hypervolume_improvement(mean, np.zeros_like(mean), front, reference)
    assert gains.tolist() == pytest.approx([1.0, 0.0, 2.0, 0.0])
    many = np.repeat(mean, 100, axis=0)
    assert expected_hypervolume_improvement(many, np.zeros_like(many), front, reference).tolist() == pytest.approx(
        gains.repeat(100)
    )


def test_the_size_of_the_input_is_a_cost_and_no_choice() -> None:
    costs = {"macs": 1e8, "input_px": 128.0}
    features = describe([({"block": "a", "input_size": 128}, costs), ({"block": "b", "free_input_size": 160}, costs)])
    assert features.choices.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_costs_are_gained_by_their_logarithm_and_what_is_unknown_stays_so() -> None:
    both = objectives(("accuracy", "macs"))
    assert utilities(both, (0.25, np.e**3)).tolist() == pytest.approx([0.25, -3.0])
    assert np.isfinite(utilities(both, (0.0, 0.0))).all() and np.isnan(known_utilities(both, {"macs": 1.0})[0])
