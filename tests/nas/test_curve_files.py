"""The files of `nas val --curves`."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.ap_agreement import Case, large_case, random_case
from nas.api.curve_files import write_curves, write_plots
from search_space.errors import ConfigError
from trainers.confusion import confuse
from trainers.curves import all_curves
from trainers.matching import Matches
from trainers.precision import match_sizes

CLASSES = ("a", "b", "c", "d", "e")


def matches_of(case: Case) -> Matches:
    return match_sizes(case.records, case.found, CLASSES[: case.num_classes])


def test_curves_are_written_as_csv(tmp_path: Path) -> None:
    matches = matches_of(large_case(10, seed=1))
    curves = all_curves(matches, CLASSES)
    paths = write_curves(tmp_path / "new", curves, confuse(matches, CLASSES, score_threshold=0.5))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)
    tables = {path.stem: list(csv.DictReader(path.open())) for path in paths}
    recalls = [row for row in tables["precision_recall"] if row["class"] == "b"]
    assert len(recalls) == 101 and recalls[7]["recall"] == "0.07"
    assert np.mean([float(row["precision"]) for row in recalls]) == pytest.approx(curves[2].at_recalls.mean(), abs=1e-6)
    thresholds = [row for row in tables["thresholds"] if row["class"] == "all"]
    assert [row["score_threshold"] for row in thresholds][:3] == ["0.00", "0.01", "0.02"]
    assert max(float(row["f1"]) for row in thresholds) == pytest.approx(curves[0].best_f1().f1, abs=0.01)
    assert thresholds[-1]["precision"] == "", "nothing scores 1, so there is no precision"
    assert [row["there"] for row in tables["confusion"]] == [*CLASSES, "background"]


def test_curves_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    matches = matches_of(random_case(1))
    names = CLASSES[: matches.num_classes]
    paths = write_plots(tmp_path, all_curves(matches, names), confuse(matches, names, score_threshold=0.5))
    assert [path.name for path in paths] == ["precision_recall.png", "thresholds.png", "confusion.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    matches = matches_of(random_case(1))
    with pytest.raises(ConfigError, match=r"pyramidnas\[plots\]"):
        write_plots(tmp_path, [], confuse(matches, CLASSES[: matches.num_classes], score_threshold=0.5))


@pytest.mark.parametrize("table", ["precision_recall", "thresholds", "confusion"])
def test_names_of_classes_are_no_formulas_in_a_table(table: str, tmp_path: Path) -> None:
    names = ("=HYPERLINK(0)", "+a", "-a", "@a", "\tx")
    matches = matches_of(large_case(2, seed=1))
    write_curves(tmp_path, all_curves(matches, names), confuse(matches, names, score_threshold=0.5))
    with (tmp_path / f"{table}.csv").open(newline="") as file:
        cells = {cell for row in csv.reader(file) for cell in row}
    assert {f"'{name}" for name in names} <= cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))]
