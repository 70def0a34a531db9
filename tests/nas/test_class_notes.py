"""What users are told where weights are for other classes than the data."""

from __future__ import annotations

import pytest

from nas.api.class_notes import class_lists, other_classes, taken_in_order
from search_space.errors import shortened
from trainers import Weights
from trainers.weights import numbered_classes


def of(*classes: str) -> Weights:
    return Weights(architecture={}, classes=classes, state={})


def test_long_lists_are_shortened_to_four_names() -> None:
    assert shortened(("a", "b", "c", "d")) == "a, b, c, d"
    assert shortened(("a", "b", "c", "d", "e")) == "a, b, c, d and 1 more"
    assert shortened(()) == ""


def test_lists_of_equal_lengths_name_the_first_difference() -> None:
    same = ("a", "b", "c", "d")
    lists = class_lists((*same, "e"), (*same, "f"))
    assert lists == (
        "is for 5 classes (a, b, c, d and 1 more), the data has 5 (a, b, c, d and 1 more); number 5 is e, not f"
    )
    assert class_lists(("a", "b"), ("a",)) == "is for 2 classes (a, b), the data has 1 (a)"


def test_only_weights_without_names_take_the_classes_in_order() -> None:
    assert taken_in_order("W", of(*numbered_classes(2)), ("a", "b")) is not None
    assert taken_in_order("W", of("a", "b"), ("b", "a")) is None
    assert taken_in_order("W", of(*numbered_classes(3)), ("a", "b")) is None
    assert taken_in_order("W", of(*numbered_classes(2)), numbered_classes(2)) is None


@pytest.mark.parametrize(
    ("weights", "data", "end"),
    [
        (("a", "b"), ("a", "b"), None),
        (("a", "b"), ("b", "x", "y"), "from random weights start those without a counterpart: x, y"),
        (("Car", "b"), ("b", "car"), "all are among those"),
        (numbered_classes(3), ("a", "b"), "what belongs to one class starts from random weights"),
        (numbered_classes(2), ("a", "b"), "those of the data are taken in their order"),
    ],
)
def test_the_note_says_which_classes_have_no_counterpart(
    weights: tuple[str, ...], data: tuple[str, ...], end: str | None
) -> None:
    note = other_classes("W", of(*weights), data)
    assert note is end if end is None else str(note).startswith("note: W ") and str(note).endswith(end)
