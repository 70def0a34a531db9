"""The option `assignment` of an anchor-free head: its axis, keys and counts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas import explain
from nas.cost import cost_of
from search_space import DESIGNS, Architecture, Detector, SearchSpace, lower
from search_space.errors import SpaceError
from trainers.heads.one_to_many import add_one_to_many

YOLO26_HEAD = {"class_branch": "depthwise", "box_channels": 16, "options": {"bins": 1, "assignment": "dual"}}
YOLOV10_HEAD = {"class_branch": "depthwise", "box_channels": 64, "options": {"assignment": "dual"}}
OF_DESIGN = {
    "yolo26n": ("yolov8n", YOLO26_HEAD),
    "yolo26n-p2": ("yolov8n-p2", YOLO26_HEAD),
    "yolov10n": ("yolov8n", YOLOV10_HEAD),
}
"""A design with the levels of another one, and the head of that."""
GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "light_golden.json").read_text())["designs"]
ROWS = [row for row in GOLDEN if "params_training" in row]
"""The figure that these tests cover is `params_training`; the other figures belong to the designs."""


def with_head(design: str, **changes: Any) -> Architecture:
    architecture = DESIGNS.get(design).architecture
    return replace(architecture, head=replace(architecture.head, **changes))


def test_the_key_of_an_architecture_without_the_option_is_as_ever() -> None:
    plain = DESIGNS.get("yolov8n").architecture
    many, dual = (with_head("yolov8n", options={"assignment": each}) for each in ("many", "dual"))
    assert many == plain and many.key() == plain.key() == "b8725a86ebf9e043"
    assert "assignment" not in json.dumps(many.to_dict()) and "options" not in many.to_dict()["head"]
    assert dual.key() != plain.key() and Architecture.from_dict(dual.to_dict()) == dual


def test_what_is_deployed_costs_the_same() -> None:
    costs = [cost_of(with_head("yolov8n", options=options), num_classes=7) for options in ({}, {"assignment": "dual"})]
    assert costs[0] == costs[1]


def test_the_values_are_checked() -> None:
    with pytest.raises(SpaceError, match="unknown assignment 'duel'"):
        with_head("yolov8n", options={"assignment": "duel"})


def test_the_axis_has_points_of_both_kinds_and_prefers_many() -> None:
    space, rng = SearchSpace(), np.random.default_rng(0)
    points = [space.random(rng) for _ in range(300)]
    drawn = [point["assignment"] for point in points if "assignment" in point]
    assert {point["head"] for point in points if "assignment" in point} == {"anchor_free"}
    assert 0 < drawn.count("dual") < 0.25 * len(drawn)
    point = {**next(each for each in points if "assignment" in each), "assignment": "dual"}
    assert space.encode(space.decode(point)) == point
    assert space.decode(point).head.option("assignment") == "dual"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['design']}-{row['num_classes']}")
def test_the_second_head_has_the_golden_number_of_parameters(row: dict[str, Any]) -> None:
    design, head = OF_DESIGN[row["design"]]
    architecture = with_head(design, **head)
    assert architecture.neck is not None
    levels = architecture.head.levels
    neck = replace(architecture.neck, channels=tuple(8 * 2**level for level in levels))
    told = explain(replace(architecture, neck=neck), num_classes=row["num_classes"])
    assert told.one_to_many_params == row["params_training"] - row["params"]


def test_explain_counts_what_a_training_has() -> None:
    dual = with_head("yolov8n", options={"assignment": "dual"})
    detector = Detector(lower(dual, num_classes=5))
    add_one_to_many(detector)
    told = explain(dual, num_classes=5)
    assert told.params + told.one_to_many_params == sum(value.numel() for value in detector.parameters())
    assert explain("yolov8n", num_classes=5).one_to_many_params == 0
