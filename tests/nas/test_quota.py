"""The quota: with inheritance, some points are not derived from the front."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from strategy_fakes import LARGE, OBJECTIVES, known, table_domain

from nas.cost import Budget
from nas.engine.domain import CostedDomain
from nas.engine.history import History, Observation
from nas.engine.strategies import STRATEGIES
from nas.engine.strategies.ehvi import DERIVED
from nas.engine.variation import random_feasible

AGES = {"age_images": 1000, "inherited_share": 0.5}


def proposed(trials: list[Observation], domain: CostedDomain, latest: tuple[str, str], **ages: float) -> str:
    """Returns the origin of the next point after two points of these origins."""
    last = [replace(each, origin=origin) for each, origin in zip(trials[-2:], latest, strict=True)]
    told = tuple(replace(each, **ages) for each in (*trials[:-2], *last))
    found = STRATEGIES.get("ehvi")(History(objectives=OBJECTIVES, trials=told), domain, seed=3)
    assert found is not None and domain.consider(found.params).key not in {each.key for each in told}
    return found.origin


@pytest.fixture(scope="module")
def large() -> tuple[list[Observation], CostedDomain]:
    domain, rng = CostedDomain(LARGE, Budget(gmacs=0.5), num_classes=3), np.random.default_rng(0)
    told: list[Observation] = []
    while len(told) < 9:
        found = random_feasible(domain, rng, seen={each.key for each in told})
        assert found is not None
        told.append(known(len(told), found))
    return told, domain


def test_after_two_points_derived_from_the_front_comes_one_that_is_not(
    large: tuple[list[Observation], CostedDomain],
) -> None:
    trials, domain = large
    plain = proposed(trials, domain, ("neighbour", "crossover"))
    assert plain in DERIVED, "without inheritance"
    assert proposed(trials, domain, ("random", "neighbour"), **AGES) in DERIVED
    assert proposed(trials, domain, ("resized", "neighbour"), **AGES) in {"explored", "tpe"}


def test_in_a_listed_space_tpe_takes_the_turn_where_the_surrogate_is_not_trusted() -> None:
    domain, rng = table_domain(), np.random.default_rng(1)
    points = [domain.listed()[index] for index in rng.permutation(len(domain.listed()))[:29]]
    values = rng.random(29)
    trials = [
        replace(known(n, point), values=(float(value), point.costs["macs"]))
        for n, (point, value) in enumerate(zip(points, values, strict=True))
    ]
    assert proposed(trials, domain, ("neighbour", "neighbour")) == "neighbour"
    assert proposed(trials, domain, ("neighbour", "neighbour"), **AGES) == "tpe"
