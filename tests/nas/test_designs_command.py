"""The command designs, and what stands for a design in its table."""

from __future__ import annotations

import json
import time

import pytest

from nas.cli import main
from nas.commands.designs import label, largest_deviation, main_accuracy
from search_space import DESIGNS


@pytest.fixture(scope="module")
def designs() -> dict[str, dict[str, object]]:
    """What the command lists, by name, with the seconds that it took."""
    from nas.commands.designs import listed

    started = time.process_time()
    rows = {name: listed(DESIGNS.get(name)) for name in DESIGNS}
    rows["seconds"] = {"total": time.process_time() - started}
    return rows


@pytest.mark.parametrize("name", DESIGNS.names())
def test_each_design_has_its_row(name: str, designs: dict[str, dict[str, object]]):
    row, design = designs[name], DESIGNS.get(name)
    assert (row["design"], row["paper"], row["derived"]) == (name, design.paper, design.derived)
    assert row["input_hw"] == list(design.architecture.input_hw) and row["flops_2x"] == 2 * int(str(row["macs"]))
    accuracy = row["accuracy"]
    percents = {key: figure.value for key, figure in design.published.items() if figure.unit == "%"}
    if percents:
        assert isinstance(accuracy, dict) and percents[accuracy["name"]] == accuracy["percent"]
    else:
        assert accuracy is None


def test_the_list_is_quick(designs: dict[str, dict[str, object]]):
    assert float(str(designs["seconds"]["total"])) < 10


def test_table_and_json(
    designs: dict[str, dict[str, object]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    rows = iter([designs[name] for name in DESIGNS] * 2)  # what `listed` gave above: it takes seconds
    monkeypatch.setattr("nas.commands.designs.listed", lambda design: next(rows))
    main(["designs"])
    table = capsys.readouterr().out
    main(["designs", "--json"])
    listed = json.loads(capsys.readouterr().out)["designs"]
    assert [row["design"] for row in listed] == list(DESIGNS)
    for row in listed:
        marked = f"{row['design']}*" if row["derived"] else f"{row['design']} "
        assert marked in table
    assert "34.9 % VisDrone val mAP50" in table and "+0.22 % folded parameters" in table
    assert "none published" in table and "derived here" in table


def test_the_main_accuracy_is_the_known_one_or_else_the_first():
    rows = [
        {"name": "coco_val_ap_small", "unit": "%", "published": 8.2},
        {"name": "coco_val_ap", "unit": "%", "published": 20.7},
    ]
    assert main_accuracy(rows) == {"name": "coco_val_ap", "label": "COCO val AP", "percent": 20.7}
    other = [
        {"name": "cells_test_map50", "unit": "%", "published": 1.0},
        {"name": "a_ms", "unit": "ms", "published": 2.0},
    ]
    assert main_accuracy(other) == {"name": "cells_test_map50", "label": "cells test mAP50", "percent": 1.0}
    assert main_accuracy(other[1:]) is None
    assert label("jetson_nano_postprocess_ms") == "Jetson Nano postprocess ms"


def test_a_count_that_differs_in_print_comes_before_a_larger_rounding():
    def row(name: str, deviation: float | None, as_printed: bool | None) -> dict[str, object]:
        return dict(name=name, convention=name, deviation_percent=deviation, as_printed=as_printed, reason="")

    rows = [row("rounded", -4.0, True), row("off", 0.2, False), row("accuracy", None, None)]
    largest = largest_deviation(rows)
    assert largest is not None and largest["name"] == "off"
    largest = largest_deviation(rows[:1])
    assert largest is not None and largest["name"] == "rounded"
    assert largest_deviation(rows[2:]) is None
