"""Curves, the best F1 and the confusion matrix, against plain counting."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.ap_agreement import Case, large_case, random_case
from trainers.confusion import confuse
from trainers.curves import Curve, all_curves, curve
from trainers.data import Record
from trainers.matching import Matches
from trainers.precision import match_sizes, measure

CLASSES = ("a", "b", "c", "d", "e")


def matches_of(case: Case) -> Matches:
    return match_sizes(case.records, case.found, CLASSES[: case.num_classes])


def counted_at(matches: Matches, threshold: float, label: int | None) -> tuple[int, int, int]:
    """Right and wrong detections and objects, one by one."""
    right = wrong = 0
    for index, score in enumerate(matches.scores):
        if score >= threshold and matches.counted[0, 0, index] and label in (None, matches.labels[index]):
            right += bool(matches.right[0, 0, index])
            wrong += not matches.right[0, 0, index]
    return right, wrong, sum(label in (None, there) for there in matches.object_labels)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("label", [None, 0])
def test_the_best_f1_is_that_of_all_thresholds(seed: int, label: int | None) -> None:
    matches = matches_of(random_case(seed))
    best = curve(matches, label).best_f1()
    scores = {}
    for threshold in sorted(set(matches.scores.tolist()), reverse=True):
        right, wrong, objects = counted_at(matches, threshold, label)
        scores[threshold] = 2 * right / (right + wrong + objects) if objects else math.nan
    values = [value for value in scores.values() if value > 0]
    if not values:
        assert math.isnan(best.score_threshold) and (best.f1 == 0 or math.isnan(best.f1))
        return
    assert best.f1 == pytest.approx(max(values))
    assert scores[best.score_threshold] == pytest.approx(max(values))
    right, wrong, objects = counted_at(matches, best.score_threshold, label)
    assert (best.precision, best.recall) == (pytest.approx(right / (right + wrong)), pytest.approx(right / objects))


def test_the_curve_at_thresholds_is_what_counting_gives() -> None:
    matches = matches_of(large_case(4, seed=3))
    thresholds = np.array([0.0, 0.3, 0.5, 0.95, 1.0])
    precision, recall, f1 = curve(matches).at(thresholds)
    for index, threshold in enumerate(thresholds):
        right, wrong, objects = counted_at(matches, threshold, None)
        assert recall[index] == pytest.approx(right / objects)
        assert f1[index] == pytest.approx(2 * right / (right + wrong + objects))
        if right + wrong:
            assert precision[index] == pytest.approx(right / (right + wrong))
        else:
            assert math.isnan(precision[index])


def test_detections_of_equal_score_are_reported_together() -> None:
    record = Record(path=None, height=99, width=99, boxes=boxes((0, 0, 10, 10)), labels=np.array([0]))
    rows = boxes((0, 0, 10, 10), (50, 50, 60, 60), (70, 70, 80, 80))
    found = [(rows, np.array([0.5, 0.5, 0.25]), np.zeros(3, int))]
    both = curve(match_sizes([record], found, CLASSES[:1]))
    assert both.scores.tolist() == [0.5, 0.25] and both.precision.tolist() == [0.5, pytest.approx(1 / 3)]
    best = both.best_f1()
    assert (best.score_threshold, best.precision, best.f1) == (0.5, 0.5, pytest.approx(2 / 3))
    assert both.at(np.array([0.25, 0.26, 0.5]))[0].tolist() == [pytest.approx(1 / 3), 0.5, 0.5]


def test_the_curve_of_a_class_averages_to_its_ap50() -> None:
    matches = matches_of(large_case(20, seed=1))
    averages = measure(matches)
    for label, each in enumerate(all_curves(matches, CLASSES)[1:]):
        assert each.at_recalls.mean() == pytest.approx(averages.mean(iou=0.5, label=label))


def test_a_class_that_is_not_there_has_no_f1() -> None:
    matches = matches_of(large_case(2, seed=1))
    empty = Curve(
        name="x", num_objects=0, scores=np.ones(1), precision=np.zeros(1), recall=np.zeros(1), at_recalls=np.zeros(101)
    )
    assert math.isnan(empty.best_f1().f1)
    never_found = Case(
        records=large_case(2, seed=1).records,
        found=((np.zeros((0, 4)), np.zeros(0), np.zeros(0, int)),) * 2,
        num_classes=5,
    )
    best = curve(matches_of(never_found)).best_f1()
    assert best.f1 == 0 and math.isnan(best.score_threshold)
    assert curve(matches_of(never_found)).at(np.array([0.5]))[1].tolist() == [0]
    assert curve(matches).best_f1().f1 > 0.5


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_confusion_by_hand() -> None:
    """a: found, taken for b, missed; b: found twice; two detections on nothing, one below the score, one ignored."""
    record = Record(
        path=None,
        height=200,
        width=200,
        boxes=boxes((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10), (60, 0, 70, 10)),
        labels=np.array([0, 0, 0, 1]),
        ignored=boxes((100, 100, 150, 150)),
    )
    rows = [
        ((0, 0, 10, 10), 0.9, 0),
        ((20, 0, 30, 9), 0.8, 1),
        ((60, 0, 70, 10), 0.7, 1),
        ((60, 0, 70, 9), 0.6, 1),
        ((0, 50, 10, 60), 0.5, 0),
        ((40, 0, 50, 10), 0.1, 0),
        ((110, 110, 120, 120), 0.9, 0),
    ]
    found = [(boxes(*(row[0] for row in rows)), np.array([row[1] for row in rows]), np.array([row[2] for row in rows]))]
    confusion = confuse(match_sizes([record], found, CLASSES[:2]), CLASSES[:2], score_threshold=0.3)
    assert confusion.names == ("a", "b", "background")
    assert confusion.counts.tolist() == [[1, 1, 1], [0, 1, 0], [1, 1, 0]]


def test_a_class_taken_for_another_needs_the_same_image() -> None:
    there = Record(path=None, height=99, width=99, boxes=boxes((0, 0, 10, 10)), labels=np.array([0]))
    nothing = Record(path=None, height=99, width=99, boxes=boxes(), labels=np.zeros(0, int))
    found = [(boxes(), np.zeros(0), np.zeros(0, int)), (boxes((0, 0, 10, 10)), np.array([0.9]), np.array([1]))]
    confusion = confuse(match_sizes([there, nothing], found, CLASSES[:2]), CLASSES[:2], score_threshold=0.3)
    assert confusion.counts.tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("seed", range(10))
def test_confusion_counts_every_object_and_every_detection_once(seed: int) -> None:
    matches = matches_of(random_case(seed))
    names = CLASSES[: matches.num_classes]
    confusion = confuse(matches, names, score_threshold=0.4)
    counts = confusion.counts
    objects = np.bincount(matches.object_labels, minlength=len(names))
    reported = matches.counted[0, 0] & (matches.scores >= 0.4)
    detections = np.bincount(matches.labels[reported], minlength=len(names))
    assert counts[:-1].sum(axis=1).tolist() == objects.tolist()
    assert counts[:, :-1].sum(axis=0).tolist() == detections.tolist()
    right = matches.right[0, 0] & reported
    assert np.diag(counts)[:-1].tolist() == np.bincount(matches.labels[right], minlength=len(names)).tolist()
    assert counts[-1, -1] == 0
