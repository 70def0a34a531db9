"""Accuracies at equal training."""

from __future__ import annotations

import pytest
from trial_fakes import make_table

from results import front
from results.levelling import levelled, levelling_factor

ROWS = [
    {"number": 0, "key": "young", "accuracy": 0.2, "ap50": 0.3, "macs": 90, "images_in_all": 1000},
    {"number": 1, "key": "old", "accuracy": 0.3, "ap50": 0.4, "macs": 80, "images_in_all": 4000},
]


def test_four_times_the_images_are_worth_twice_the_accuracy() -> None:
    assert levelling_factor(4000, 1000) == 0.5
    found = levelled(make_table(ROWS))
    assert found["accuracy"].tolist() == pytest.approx([0.2, 0.15])
    assert found["ap50"].tolist() == pytest.approx([0.3, 0.2])
    assert found["macs"].tolist() == [90, 80] and found["images_in_all"].tolist() == [1000, 4000]


def test_a_detector_does_not_come_first_for_its_age() -> None:
    table = make_table(ROWS)
    assert front(table)["key"].tolist() == ["old"]
    assert front(levelled(table))["key"].tolist() == ["young", "old"]


def test_a_table_without_inheritance_is_left_as_it_is() -> None:
    table = make_table([{key: value for key, value in row.items() if key != "images_in_all"} for row in ROWS])
    assert levelled(table) is table
