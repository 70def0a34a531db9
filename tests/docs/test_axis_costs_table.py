"""The table of the costs of single changes in docs/search-space.md is what its script computes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import axis_costs
from nas.cost.latency import load_model
from nas.engine.narrowing import with_defaults
from search_space import SearchSpace

PAGE = (Path(__file__).parents[2] / "docs" / "search-space.md").read_text(encoding="utf-8")
STALE = "the table is stale; write it anew: python benchmarks/axis_costs.py --docs"


@pytest.fixture(scope="module")
def written() -> list[str]:
    """The lines of the table on the page, without heading."""
    return PAGE.partition(axis_costs.BEGIN)[2].partition(axis_costs.END)[0].strip().splitlines()[2:]


def test_the_rows_are_those_of_the_script(written: list[str]) -> None:
    computed = axis_costs.rows(["bins", "branches", "activation", "box_branch"])
    assert len(computed) == 8 and [line for line in written if line in computed] == computed, STALE
    head = axis_costs.table([]).splitlines()
    assert head[-1] == written[0] and "\n".join(head[:2]) in PAGE, STALE


def test_the_changes_are_those_of_the_axes(written: list[str]) -> None:
    searched = SearchSpace().narrowed(with_defaults({}))
    titles = sorted(str(change) for change in axis_costs.changes(searched, axis_costs.reference()))
    assert sorted(line.split(" | ")[0].removeprefix("| ") for line in written[1:]) == titles, STALE
    assert axis_costs.page(PAGE, "new").count("new\n<!-- end of axis costs -->") == 1


def test_every_change_is_another_point_of_one_axis() -> None:
    space, point = SearchSpace(), axis_costs.reference()
    searched = space.narrowed(with_defaults({}))
    found = list(axis_costs.changes(searched, point))
    assert len({space.decode(each.params) for each in found}) == len(found)
    for change in found:
        kept = {name: choice for name, choice in change.params.items() if name in point and point[name] != choice}
        assert kept == {change.axis: change.choice}, "only the one axis differs of those that both points have"
        assert axis_costs.SIDE in change.params.values() or change.axis == "input_size"
    assert {each.choice for each in found if each.axis == "input_size"} == {224, 288}
    assert not any(each.choice == "gelan" for each in found)
    named = axis_costs.changes(space, point, ["block"])
    assert any(each.choice == "gelan" for each in named)


def test_a_row_has_differences_and_the_unmeasured_shares() -> None:
    space, boards = SearchSpace(), [load_model("jetson-nano")]
    point = axis_costs.reference()
    base = axis_costs.costs(space, point, boards)
    relu = axis_costs.costs(space, {**point, "activation": "relu", "head_activation": "body"}, boards)
    assert relu.unmeasured[0] > base.unmeasured[0] and relu.milliseconds[0] < base.milliseconds[0]
    assert re.fullmatch(r"\| relu \| \+0\.0 \| \+0\.0 \| -1\.8\d \| 29 \|", axis_costs.row("relu", relu, base))
    assert axis_costs.signed(-0.001, 2) == "+0.00"
