"""The reference designs of the YOLO family against golden counts, trained for a few steps, exported and told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nas import explain, reproduce
from nas.cost import cost_of
from nas.cost.conventions import params_folded
from nas.engine.run_request import DEFAULT_STARTS
from search_space import DESIGNS, Architecture, SearchSpace
from search_space.designs.references import REFERENCES
from search_space.errors import SpaceError

NAMES = ("yolov6-n", "yolo11n", "yolov10n", "yolo26n", "yolo26n-p2")
LIGHT = json.loads((Path(__file__).parents[1] / "data" / "light_golden.json").read_text())
ROWS = [row for row in LIGHT["designs"] if row["design"] in NAMES]
SPACE = SearchSpace()


def architecture_of(name: str, side: int = 64) -> Architecture:
    return DESIGNS.get(name).architecture.resized((side, side))


def test_no_search_starts_with_them_by_default() -> None:
    assert not any(DESIGNS.get(name).reference for names in DEFAULT_STARTS.values() for name in names)


def test_each_design_has_rows_and_is_marked_as_a_reference() -> None:
    assert {row["design"] for row in ROWS} == set(NAMES)
    assert all(DESIGNS.get(name).reference for name in NAMES)
    assert REFERENCES["yolo11n"] == DESIGNS.get("yolo11n").architecture


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['design']}-{row['num_classes']}")
def test_counts_are_golden(row: dict[str, Any]) -> None:
    architecture, num_classes = DESIGNS.get(row["design"]).architecture, row["num_classes"]
    cost = cost_of(architecture, num_classes=num_classes, input_hw=tuple(row["input_hw"]))
    assert (cost.params, cost.macs) == (row["params"], row["macs"])
    assert cost.macs_trained == row.get("macs_unmerged", row["macs"])
    assert cost.params_deployed == row.get("params_rep_merged", cost.params_deployed)
    assert params_folded(architecture, num_classes) == row["params_conv_bn_folded"]
    if "params_training" in row:
        told = explain(architecture, num_classes=num_classes)
        assert told.params + told.one_to_many_params == row["params_training"]


@pytest.mark.parametrize("name", NAMES)
def test_published_counts_are_compared(name: str) -> None:
    told = reproduce(name, check_fvcore=False)
    counts = [row for row in told.published if row.convention is not None]
    assert counts and all(row.as_printed or row.reason == row.note != "" for row in counts)
    assert all(abs(row.deviation_percent or 0) < 1.2 for row in counts)


@pytest.mark.parametrize(
    ("name", "part", "changes", "message"),
    [
        ("yolov10n", "neck", {"nested": "last"}, "nested 'last' is about a block that last_block replaces"),
        ("yolov10n", "neck", {"kind": "ihp"}, "is not used by kind 'ihp'"),
        ("yolov10n", "head", {"coarsest_level": 4}, "last_downsample needs a head on 3 levels or more, got 2"),
        ("yolov6-n", "head", {"box_channels": 32}, "box_channels is not used by head_widths 'level', got 32"),
        ("yolov6-n", "head", {"options": {"head_widths": "wide"}}, "unknown head_widths 'wide'"),
        ("yolov6-n", "head", {"options": {"head_widths": "level", "head_stem": 8}}, "head_stem is not used by"),
        ("yolov6-n", "head", {"options": {"head_widths": "level", "tower_convs": 0}}, "head_widths needs towers"),
    ],
)
def test_what_contradicts_itself_is_refused(name: str, part: str, changes: dict[str, Any], message: str) -> None:
    architecture = DESIGNS.get(name).architecture
    with pytest.raises(SpaceError, match=message):
        replace(architecture, **{part: replace(getattr(architecture, part), **changes)})


def test_a_head_may_be_as_wide_as_each_level_only_where_widths_differ() -> None:
    point = SPACE.encode(DESIGNS.get("yolov6-n").architecture)
    one_level = {**point, "head_levels": "P3-P3", "trunk_level": 5}
    same = SPACE.completed(one_level, lambda axis: axis.choices[0])
    assert "head_widths" in point and "head_widths" not in same
    assert {"box_channels", "head_stem", "head_weights"}.isdisjoint(point)


def test_the_neck_of_yolo26_is_narrower_at_p2_only() -> None:
    point = SPACE.encode(DESIGNS.get("yolo26n-p2").architecture)
    assert (point["neck_width"], point["neck_p2_width"]) == (1.0, 0.5)
    for widths in ((1.0, 1.0), (0.5, 1.0), (0.5, 0.5)):
        other = {**point, "neck_width": widths[0], "neck_p2_width": widths[1]}
        assert SPACE.encode(SPACE.decode(other)) == other
    assert "neck_p2_width" not in SPACE.encode(DESIGNS.get("yolo26n").architecture)
