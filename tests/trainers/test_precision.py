"""Average precision against pycocotools on random detection sets."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.ap_agreement import COCO_BINS, Case, by_us, large_case, largest_difference, random_case
from trainers.data import Record
from trainers.matching import COCO_IOUS, match
from trainers.precision import average_precision
from trainers.sizes import EVERY_SIZE, size_bins


@pytest.mark.slow
def test_random_sets_agree_with_pycocotools() -> None:
    cases = [random_case(seed) for seed in range(150)]
    assert max(largest_difference(case) for case in cases) < 1e-9
    averages = np.concatenate([by_us(case, COCO_BINS, COCO_IOUS).average.ravel() for case in cases])
    assert np.isnan(averages).any(), "some class or size has no object"
    known = averages[~np.isnan(averages)]
    assert (known == 0).any() and (known > 0.99).any() and ((known > 0.1) & (known < 0.9)).sum() > 100


@pytest.mark.slow
def test_other_sizes_and_thresholds_agree_too() -> None:
    bins = (EVERY_SIZE, *size_bins("tinyperson", ()).bins, *size_bins("0,10,24,inf", ()).bins)
    ious = (0.25, 0.5, 0.75, 1.0)
    assert max(largest_difference(random_case(seed), bins, ious) for seed in range(1000, 1030)) < 1e-9


def test_a_set_as_large_as_a_real_one_agrees() -> None:
    assert largest_difference(large_case(25, seed=1)) < 1e-9


def test_a_hundred_detections_of_a_class_count_and_the_next_does_not() -> None:
    def found_at(place: int) -> float:
        boxes = np.tile(np.float32([0, 0, 10, 10]), (120, 1))
        boxes[np.arange(120) != place] += 100
        record = Record(path=None, height=300, width=300, boxes=boxes[[place]], labels=np.array([0]))
        case = Case(records=(record,), found=((boxes, np.linspace(1, 0.1, 120), np.zeros(120, int)),), num_classes=1)
        assert largest_difference(case) < 1e-12
        return by_us(case, COCO_BINS, COCO_IOUS).mean()

    assert found_at(99) == pytest.approx(0.01)
    assert found_at(100) == 0


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_of_equal_scores_the_earlier_image_comes_first() -> None:
    there = Record(path=None, height=50, width=50, boxes=boxes((0, 0, 10, 10)), labels=np.array([0]))
    empty = Record(path=None, height=50, width=50, boxes=boxes(), labels=np.zeros(0, int))
    hit = (boxes((0, 0, 10, 10)), np.array([0.5]), np.array([0]))
    assert average_precision([there, empty], [hit, hit], ["a"])["ap"] == 1.0
    assert average_precision([empty, there], [hit, hit], ["a"])["ap"] == 0.5


@pytest.mark.parametrize(("left_first", "num_found"), [(True, 2), (False, 1)])
def test_of_equally_near_objects_the_later_is_taken(left_first: bool, num_found: int) -> None:
    left, right, between = (0, 0, 10, 10), (4, 0, 14, 10), (2, 0, 12, 10)
    there = boxes(left, right) if left_first else boxes(right, left)
    record = Record(path=None, height=50, width=50, boxes=there, labels=np.array([0, 0]))
    found = (boxes(between, left), np.array([0.9, 0.8]), np.array([0, 0]))
    case = Case(records=(record,), found=(found,), num_classes=1)
    assert largest_difference(case) < 1e-12
    assert by_us(case, COCO_BINS, (0.5,)).recall[0, 0, 0] == num_found / 2


def test_an_ignored_region_takes_any_number_of_detections() -> None:
    record = Record(
        path=None,
        height=50,
        width=50,
        boxes=boxes((0, 0, 10, 10)),
        labels=np.array([0]),
        ignored=boxes((20, 0, 40, 20)),
        ignored_labels=np.array([-1]),
    )
    inside = boxes((0, 0, 10, 10), (22, 2, 26, 6), (22, 2, 26, 6), (30, 10, 34, 14))
    found = [(inside, np.array([0.1, 0.9, 0.8, 0.7]), np.zeros(4, int))]
    assert average_precision([record], found, ["a"])["ap"] == 1.0
    outside = [(inside + np.float32([0, 20, 0, 20]), *found[0][1:])]
    assert average_precision([record], outside, ["a"])["ap"] == 0.0


def test_an_object_of_another_size_is_neither_right_nor_wrong() -> None:
    record = Record(
        path=None, height=99, width=99, boxes=boxes((0, 0, 10, 10), (0, 0, 60, 60)), labels=np.array([0, 0])
    )
    found = [(boxes((0, 0, 60, 60), (0, 0, 10, 10)), np.array([0.9, 0.5]), np.array([0, 0]))]
    fields = average_precision([record], found, ["a"])
    assert fields["ap_small"] == 1.0 and fields["ap_medium"] == 1.0 and math.isnan(fields["ap_large"])
    assert fields["num_objects"] == 2 and fields["recall"] == 1.0


def test_recall_is_the_share_of_objects_found_over_all_thresholds() -> None:
    record = Record(
        path=None, height=99, width=99, boxes=boxes((0, 0, 100, 10), (0, 50, 10, 60)), labels=np.zeros(2, int)
    )
    found = [(boxes((0, 0, 72, 10)), np.array([0.9]), np.array([0]))]  # IoU 0.72: right up to 0.70
    fields = average_precision([record], found, ["a"])
    assert fields["recall"] == pytest.approx(0.5 * 5 / 10)
    assert fields["ap50"] == pytest.approx(51 / 101) and fields["ap75"] == 0.0


def test_no_image_and_no_object_are_no_error() -> None:
    assert math.isnan(average_precision([], [], ["a"])["ap"])
    assert average_precision([], [], ["a"])["num_images"] == 0
    record = Record(path=None, height=9, width=9, boxes=boxes(), labels=np.zeros(0, int))
    found = (boxes((0, 0, 5, 5)), np.array([0.5]), np.array([0]))
    fields = average_precision([record], [found], ["a"])
    assert math.isnan(fields["ap"]) and math.isnan(fields["recall"]) and fields["num_objects"] == 0


def test_matches_tell_which_object_was_found() -> None:
    first = Record(
        path=Path("a"), height=50, width=50, boxes=boxes(), labels=np.zeros(0, int), ignored=boxes((0, 0, 5, 5))
    )
    second = Record(
        path=Path("b"), height=50, width=50, boxes=boxes((0, 0, 10, 10), (20, 20, 30, 30)), labels=np.array([0, 0])
    )
    found = [
        (boxes((0, 0, 5, 5)), np.array([0.7]), np.array([0])),
        (boxes((20, 20, 30, 30), (20, 20, 30, 29), (0, 0, 10, 9)), np.array([0.8, 0.9, 0.3]), np.array([0, 0, 0])),
    ]
    matches = match([first, second], found, num_classes=1, bins=COCO_BINS, ious=(0.5, 0.95))
    assert matches.scores.tolist() == [0.9, 0.8, 0.7, 0.3]
    assert matches.objects.tolist() == [[1, -1, -1, 0], [-1, 1, -1, -1]]
    assert matches.object_images.tolist() == [1, 1]
    assert matches.counted[0].tolist() == [[True, True, False, True]] * 2
    with pytest.raises(KeyError):
        matches.at_iou(0.6)
