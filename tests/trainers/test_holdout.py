"""`trainers.data.holdout`: the part of the validation images that decides nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainers.data.dataset import Dataset, Record, no_boxes, no_labels
from trainers.data.holdout import NUM_RUNS, divide


def numbered(count: int) -> Dataset:
    records = [
        Record(path=None, height=8, width=8, boxes=no_boxes(), labels=no_labels(), number=n) for n in range(count)
    ]
    return Dataset(records, ["a"])


@given(st.integers(2, 700))
def test_parts_are_disjoint_whole_and_of_equal_size(count: int) -> None:
    parts = divide(numbered(count))
    chosen = [[record.number for record in part.records] for part in parts]
    assert sorted([*chosen[0], *chosen[1]]) == list(range(count))
    assert abs(len(chosen[0]) - len(chosen[1])) <= NUM_RUNS // 2


def test_neighbouring_images_stay_together() -> None:
    selection = [record.number for record in divide(numbered(100)).selection.records]
    assert selection == [n for n in range(100) if n // 10 % 2 == 0]
