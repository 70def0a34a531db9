"""The command designs, and what stands for a design in its table."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from nas.api.designs import (
    DesignTable,
    LargestDeviation,
    ReportedAccuracy,
    label,
    largest_deviation,
    list_designs,
    main_accuracy,
)
from nas.api.reproduce import PublishedFigure
from nas.cli import main
from search_space import DESIGNS


@pytest.fixture(scope="module")
def designs() -> DesignTable:
    """What the command lists, within seconds."""
    started = time.process_time()
    table = list_designs()
    assert time.process_time() - started < 10
    return table


@pytest.mark.parametrize("name", DESIGNS.names())
def test_each_design_has_its_row(name: str, designs: DesignTable):
    (row,) = (each for each in designs.designs if each.design == name)
    design = DESIGNS.get(name)
    assert (row.paper, row.derived) == (design.paper, design.derived)
    assert row.input_hw == design.architecture.input_hw and row.flops_2x == 2 * row.macs
    percents = {key: figure.value for key, figure in design.published.items() if figure.unit == "%"}
    if percents:
        assert row.accuracy is not None and percents[row.accuracy.name] == row.accuracy.percent
    else:
        assert row.accuracy is None


def test_table_and_json(designs: DesignTable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("nas.api.designs.list_designs", lambda _: designs)  # it takes seconds
    main(["designs"])
    table = capsys.readouterr().out
    main(["designs", "--json"])
    rows = json.loads(capsys.readouterr().out)["designs"]
    assert [row["design"] for row in rows] == list(DESIGNS)
    for row in rows:
        marked = f"{row['design']}*" if row["derived"] else f"{row['design']} "
        assert marked in table
    assert "34.9 % VisDrone val mAP50" in table and "+0.22 % folded parameters" in table
    assert "none published" in table and "derived here" in table
    assert "input of tinydet-s, tinydet-m, tinydet-l: RGB, 0 to 1, minus 0.485, 0.456, 0.406" in table
    assert "letterboxed" not in table
    found = {row["design"]: row["input_format"] for row in rows}
    assert found["yolov8n"]["fit"] == "letterbox" and found["ssd-vgg16"]["mean"] == [103.94, 116.78, 123.68]


def _figure(name: str, unit: str = "%", published: float = 1.0, **fields: Any) -> PublishedFigure:
    return PublishedFigure(
        name=name, unit=unit, published=published, **{"num_classes": None, "reason": "", "note": "", **fields}
    )


def test_the_main_accuracy_is_the_known_one_or_else_the_first():
    rows = [_figure("coco_val_ap_small", published=8.2), _figure("coco_val_ap", published=20.7)]
    assert main_accuracy(rows) == ReportedAccuracy(name="coco_val_ap", label="COCO val AP", percent=20.7)
    other = [_figure("cells_test_map50"), _figure("a_ms", "ms")]
    assert main_accuracy(other) == ReportedAccuracy(name="cells_test_map50", label="cells test mAP50", percent=1.0)
    assert main_accuracy(other[1:]) is None
    assert label("jetson_nano_postprocess_ms") == "Jetson Nano postprocess ms"


def test_a_count_that_differs_in_print_comes_before_a_larger_rounding():
    def row(name: str, deviation: float | None, as_printed: bool | None) -> PublishedFigure:
        return _figure(name, convention=name, deviation_percent=deviation, as_printed=as_printed)

    rows = [row("rounded", -4.0, True), row("off", 0.2, False), row("accuracy", None, None)]
    largest = largest_deviation(rows)
    assert isinstance(largest, LargestDeviation) and largest.name == "off"
    largest = largest_deviation(rows[:1])
    assert largest is not None and largest.name == "rounded"
    assert largest_deviation(rows[2:]) is None
