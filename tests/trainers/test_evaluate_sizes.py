"""Bins of object size and the average precision in them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from search_space.errors import ConfigError, DataError
from trainers.data import Record
from trainers.precision import match_sizes, measure, score_fields
from trainers.sizes import FIXED, SizeBin, size_bins


def record_of(sides: list[float]) -> Record:
    """Squares in a row; each is found exactly by `all_found`."""
    corners = np.cumsum([0.0, *(side + 5 for side in sides)])[:-1]
    boxes = np.array([[x, 0, x + side, side] for x, side in zip(corners, sides, strict=True)], np.float32)
    return Record(path=None, height=999, width=9999, boxes=boxes.reshape(-1, 4), labels=np.zeros(len(sides), np.int64))


def objects_in(text: str, sides: list[float]) -> dict[str, float]:
    record = record_of(sides)
    found = [(record.boxes, np.linspace(1, 0.5, len(sides)), record.labels)]
    bins = size_bins(text, [record])
    fields = score_fields(measure(match_sizes([record], found, ["a"], bins)), ["a"])["bins"]
    assert all(entry["ap"] == 1.0 for entry in fields.values() if entry["num_objects"])
    assert all(math.isnan(entry["ap"]) for entry in fields.values() if not entry["num_objects"])
    return {name: entry["num_objects"] for name, entry in fields.items()}


def test_bins_of_tinyperson() -> None:
    sides = [1.0, 2.5, 7, 9, 15, 25, 40]
    wanted = {"all": 6, "tiny": 4, "tiny1": 2, "tiny2": 1, "tiny3": 1, "small": 1}
    assert objects_in("tinyperson", sides) == wanted
    assert size_bins("tinyperson", ()).extra_ious == (0.25,)


def test_bins_of_coco_hold_both_ends() -> None:
    assert objects_in("coco", [31.0, 32.0, 96.0, 97.0]) == {"small": 2, "medium": 2, "large": 2}


def test_edges_put_each_object_into_one_bin() -> None:
    wanted = {"0-8": 1, "8-16": 2, "16-32": 1, "32-inf": 2}
    assert objects_in("0,8,16,32,inf", [7.0, 8.0, 15.0, 16.0, 32.0, 200.0]) == wanted
    assert objects_in("8,16", [7.0, 8.0, 16.0]) == {"8-16": 1}
    fields = size_bins("8,16", ()).bins[0]
    assert fields.low_px == 8 and fields.high_px == 16
    assert size_bins("8,inf", ()).bins[0].high_px == math.inf


@pytest.mark.parametrize(("text", "number"), [("quantiles", 4), ("quantiles:2", 2), ("quantiles:5", 5)])
def test_quantiles_hold_as_many_objects_each(text: str, number: int) -> None:
    sides = np.random.default_rng(0).uniform(5, 50, 100).tolist()
    counts = objects_in(text, sides)
    assert len(counts) == number and sum(counts.values()) == 100
    assert max(counts.values()) - min(counts.values()) <= 2
    edges = [edge for name in counts for edge in name.split("-")]
    assert all(len(edge.partition(".")[2]) <= 1 for edge in edges), "names say what the edges are"


def test_quantiles_of_equal_objects_are_joined() -> None:
    assert objects_in("quantiles", [10.0] * 5) == {"0-10": 0, "10-inf": 5}


def test_thresholds_of_tinyperson_are_reported_by_bin() -> None:
    record = record_of([10.0])
    found = [(record.boxes * np.float32([1, 1, 1, 0.3]), np.array([0.9]), np.array([0]))]  # IoU 0.3
    fields = score_fields(measure(match_sizes([record], found, ["a"], FIXED["tinyperson"])), ["a"])
    entry = fields["bins"]["tiny2"]
    assert (entry["ap25"], entry["ap50"], entry["ap75"], entry["ap"]) == (1.0, 0.0, 0.0, 0.0)
    assert fields["ap"] == 0.0, "the extra threshold is not in COCO's mean"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("koko", "unknown size bins 'koko'; did you mean 'coco'"),
        ("8", "unknown size bins '8'"),
        ("0,8,x", "are not numbers"),
        ("0,nan,8", "are not numbers"),
        ("8,4", "increasing"),
        ("8,8", "increasing"),
        ("-1,4", "increasing"),
        ("inf,inf", "increasing"),
        ("quantiles:1", "whole number from 2 to 20"),
        ("quantiles:21", "whole number from 2 to 20"),
        ("quantiles:x", "whole number from 2 to 20"),
    ],
)
def test_what_is_no_bin_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        size_bins(text, [record_of([5.0])])


def test_quantiles_need_objects() -> None:
    with pytest.raises(DataError, match="there are no objects"):
        size_bins("quantiles", [record_of([])])
    with pytest.raises(DataError, match="there are no objects"):
        size_bins("quantiles", [])


def test_a_bin_must_rise() -> None:
    with pytest.raises(ConfigError, match="must rise"):
        SizeBin(name="a", low=4, high=4)
