"""A search trains with the assignment `many` unless it is told otherwise; its starts are changed alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nas.cost import Budget
from nas.engine.domain import CostedDomain
from nas.engine.narrowing import Narrowing, with_defaults
from nas.engine.starts import starting_points
from search_space import DESIGNS, Architecture, SearchSpace
from search_space.plain import Options


def dual() -> Architecture:
    architecture = DESIGNS.get("yolov8n").architecture
    head = replace(architecture.head, options=Options({"assignment": "dual", "bins": 8}))
    return replace(architecture, head=head)


@pytest.mark.parametrize(
    ("narrowing", "expected"),
    [({}, ("many",)), ({"assignment": ("dual",)}, ("dual",)), ({"assignment": ("many", "dual")}, ("many", "dual"))],
)
def test_many_alone_is_searched_by_default(narrowing: Narrowing, expected: tuple[str, ...]) -> None:
    assert SearchSpace().narrowed(with_defaults(narrowing)).axis("assignment").choices == expected


def test_a_dual_design_starts_with_many_where_dual_is_not_searched() -> None:
    domain = CostedDomain(SearchSpace().narrowed(with_defaults({})), Budget(gmacs=100.0), num_classes=4)
    starts, notices = starting_points(domain, {"yolov10n": dual()})
    assert starts[0].candidate.architecture == replace(dual(), head=replace(dual().head, options=Options({"bins": 8})))
    assert notices == ["the search starts with yolov10n with the assignment many"]


def test_a_dual_design_stays_where_dual_is_searched() -> None:
    space = SearchSpace().narrowed(with_defaults({"assignment": ("many", "dual")}))
    starts, notices = starting_points(CostedDomain(space, Budget(gmacs=100.0), num_classes=4), {"yolov10n": dual()})
    assert starts[0].candidate.architecture == dual() and notices == []
