"""`nas.engine.utility`: values as utilities, and the floors of costs."""

from __future__ import annotations

import math

import pytest

from nas.cost import Budget
from nas.engine.objectives import objectives
from nas.engine.utility import LEAST_OF_BUDGET, floors_of, known_utilities, utilities

WANTED = objectives(("accuracy", "macs", "latency"))


def test_costs_count_by_their_negative_logarithm_down_to_the_floor() -> None:
    floors = floors_of(Budget(gmacs=1.0, latency_ms=20.0).limits())
    assert floors == {"macs": LEAST_OF_BUDGET * 1e9, "latency_ms": LEAST_OF_BUDGET * 20}
    at_floor = utilities(WANTED, (0.5, LEAST_OF_BUDGET * 1e9, LEAST_OF_BUDGET * 20), floors)
    assert utilities(WANTED, (0.5, 1.0, 0.001), floors).tolist() == at_floor.tolist()
    above = utilities(WANTED, (0.5, 5e8, 10.0), floors)
    assert above.tolist() == [0.5, pytest.approx(-math.log(5e8)), pytest.approx(-math.log(10))]
    assert utilities(WANTED, (0.5, 5e8, 10.0)).tolist() == above.tolist()


def test_accuracies_of_points_are_not_known() -> None:
    found = known_utilities(WANTED, {"macs": 1e6, "latency_ms": 3.0, "input_px": 64.0}, {"macs": 1e7})
    assert (
        math.isnan(found[0]) and found[1] == pytest.approx(-math.log(1e7)) and found[2] == pytest.approx(-math.log(3))
    )


def test_only_limited_costs_have_floors() -> None:
    assert floors_of({}) == {}
    assert floors_of(Budget(params_m=2.0, memory_mb=8.0).limits()) == {
        "params": LEAST_OF_BUDGET * 2e6,
        "memory_bytes": LEAST_OF_BUDGET * 8e6,
    }
