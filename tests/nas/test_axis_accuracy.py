"""The comparison of trainings that differ in one axis: its rows, its input, and its table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from benchmarks import axis_accuracy, cells
from search_space import SearchSpace
from search_space.errors import BudgetError


@pytest.mark.parametrize(
    ("row", "axes"),
    [
        ("base", set()),
        ("joint", {"branches", "box_channels", "box_branch"}),
        ("joint1", {"branches", "box_channels", "box_branch", "tower_convs"}),
        ("bins1", {"bins"}),
        ("relu", {"activation", "head_activation"}),
        ("rep", {"block", "neck_block"}),
    ],
)
def test_a_row_differs_from_the_design_in_its_axes_alone(row: str, axes: set[str]) -> None:
    space = SearchSpace()
    base, changed = (space.encode(axis_accuracy.variant(each, 192)) for each in ("base", row))
    assert {name for name in {*base, *changed} if base.get(name) != changed.get(name)} == axes


def test_the_last_row_has_all_changes() -> None:
    point = SearchSpace().encode(axis_accuracy.variant("all", 192))
    for _, changes in axis_accuracy.ROWS.values():
        assert point.items() >= {**changes, "tower_convs": 1}.items()


def test_the_input_is_the_largest_at_which_the_design_fits() -> None:
    assert axis_accuracy.base_side(0.5, 4) == 192
    costs = {side: axis_accuracy.costs(axis_accuracy.variant("base", side), 4)["gmacs"] for side in (192, 224)}
    assert costs[192] <= 0.5 < costs[224]
    assert axis_accuracy.base_side(costs[224], 4) == 224
    with pytest.raises(BudgetError, match="0.001 GMACs"):
        axis_accuracy.base_side(0.001, 4)


def cell(row: str, seed: int, ap: float) -> dict[str, Any]:
    architecture = axis_accuracy.variant(row, 192)
    scores = {"ap50": 2 * ap, "ap": ap, "ap_small": ap / 2}
    speeds = {"training_images_per_cpu_second": 8.0, "detection_images_per_cpu_second": 20.0, "cpu_seconds": 100.0}
    return {"budget_gmacs": 0.5, **axis_accuracy.costs(architecture, 4), **scores, **speeds, "seed": seed}


def test_the_table_has_means_and_deviations_of_the_cells_there_are(tmp_path: Path) -> None:
    for row, seed, ap in (("base", 0, 0.2), ("base", 1, 0.22), ("rep", 0, 0.3)):
        cells.write_cell(tmp_path, row, seed, cell(row, seed, ap))
    options = argparse.Namespace(out=tmp_path, seeds=[0, 1, 2], rows=list(axis_accuracy.ROWS))
    heading, rule, base, rep = axis_accuracy.table(options).splitlines()
    assert len({line.count("|") for line in (heading, rule, base, rep)}) == 1
    assert base.startswith("| as it is | 2 | 0.491 |") and "| 42.00 ± 2.83 | 21.00 ± 1.41 | 10.50 ± 0.71 |" in base
    assert rep.startswith("| re-parameterised stages (over the budget) | 1 | 0.560 |") and "± 0.00" in rep


def test_cells_that_have_ended_are_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells.write_cell(tmp_path, "base", 0, {})
    asked: list[list[str]] = []
    monkeypatch.setattr(
        "subprocess.run", lambda command, **how: asked.append([*command[-3:], how["env"]["OMP_NUM_THREADS"]])
    )
    cells.run_cells("script.py", argparse.Namespace(out=tmp_path, seeds=[0, 1], rows=["base", "rep"], jobs=1))
    assert asked == [["--cell", *each, "1"] for each in (("rep", "0"), ("base", "1"), ("rep", "1"))]


def test_a_folder_holds_one_comparison(tmp_path: Path) -> None:
    settings = {"data": "d", "split": None, "epochs": 2.0, "budget_gflops": 0.5, "out": tmp_path}
    axis_accuracy.check_same(argparse.Namespace(**settings))
    axis_accuracy.check_same(argparse.Namespace(**settings))
    with pytest.raises(SystemExit, match="another --out"):
        axis_accuracy.check_same(argparse.Namespace(**{**settings, "epochs": 3.0}))
