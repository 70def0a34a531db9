"""Detections sorted into found, missed and wrong, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nas.reports.box_marks import FALLBACK_SCORE, FOUND, MARKS, MISSED, WRONG, MarkedImages, mark_boxes
from trainers import Detections
from trainers.data import Dataset, Record
from trainers.evaluation import DatasetDetections

Rows = list[tuple[float, float, float, float, int, float]]
"""x1, y1, x2, y2, class, score."""


def marked(objects: list[Rows], found: list[Rows], ignored: tuple[tuple[int, ...], ...] = ()) -> MarkedImages:
    records = [
        Record(
            path=None,
            height=100,
            width=100,
            boxes=np.array([row[:4] for row in rows], np.float32).reshape(-1, 4),
            labels=np.array([row[4] for row in rows], np.int64),
            ignored=np.array(ignored, np.float32).reshape(-1, 4),
            number=number,
        )
        for number, rows in enumerate(objects)
    ]
    detections = tuple(
        Detections(
            boxes=np.array([row[:4] for row in rows], np.float32).reshape(-1, 4),
            scores=np.array([row[5] for row in rows], np.float32),
            labels=np.array([row[4] for row in rows], np.int64),
        )
        for rows in found
    )
    return mark_boxes(DatasetDetections(dataset=Dataset(records, ("a", "b")), found=detections))


def counts(found: MarkedImages) -> list[tuple[int, int, int]]:
    return [tuple(len(each[mark.title]) for mark in MARKS) for each in found.images]  # type: ignore[misc]


def test_boxes_by_hand() -> None:
    objects: list[Rows] = [[(0, 0, 20, 20, 0, 1), (50, 50, 70, 70, 1, 1)], [(10, 10, 30, 30, 0, 1)]]
    detections: list[Rows] = [
        [
            (0, 0, 20, 18, 0, 0.9),  # IoU 0.9
            (1, 0, 20, 20, 0, 0.8),  # the object is taken
            (50, 50, 70, 70, 0, 0.7),  # of the other class
        ],
        [(10, 10, 30, 30, 0, 0.6), (10, 10, 30, 19, 0, 0.2)],  # the second has IoU 0.45, and a low score
    ]
    found = marked(objects, detections)
    assert found.score_threshold == pytest.approx(0.6) and found.is_best
    assert counts(found) == [(1, 1, 2), (1, 0, 0)]
    first = found.images[0]
    assert first["found"].corners.tolist() == [[0, 0, 20, 18]]
    assert first["missed"].corners.tolist() == [[50, 50, 70, 70]] and first["missed"].labels.tolist() == [1]
    assert sorted(first["wrong"].labels.tolist()) == [0, 0]


def test_an_object_that_is_found_below_the_threshold_is_missed() -> None:
    sure: Rows = [(0, 0, 20, 20, 0, 0.9)]
    unsure: Rows = [(0, 0, 20, 20, 0, 0.1), *((40 + x, 40, 60 + x, 60, 0, 0.5) for x in range(0, 40, 4))]
    objects: list[Rows] = [[(0, 0, 20, 20, 0, 1)], [(0, 0, 20, 20, 0, 1)]]
    assert counts(marked(objects, [sure, unsure])) == [(1, 0, 0), (0, 1, 0)]


def test_a_detection_in_an_ignored_region_is_neither_found_nor_wrong() -> None:
    found = marked([[(0, 0, 20, 20, 0, 1)]], [[(0, 0, 20, 20, 0, 0.8), (60, 60, 70, 70, 0, 0.9)]], ((50, 50, 90, 90),))
    assert counts(found) == [(1, 0, 0)]


def test_without_a_right_detection_there_is_no_best_threshold() -> None:
    found = marked([[(0, 0, 20, 20, 0, 1)]], [[(60, 60, 70, 70, 0, 0.9), (80, 80, 90, 90, 0, 0.1)]])
    assert (found.score_threshold, found.is_best) == (FALLBACK_SCORE, False)
    assert counts(found) == [(0, 1, 1)]


def test_the_kinds_differ_in_more_than_colour() -> None:
    for kinds in ({mark.line for mark in MARKS}, {mark.sign for mark in MARKS}, {mark.color for mark in MARKS}):
        assert len(kinds) == 3
    drawn = marked([[(0, 0, 20, 20, 1, 1)]], [[(60, 60, 70, 70, 0, 0.9)]]).images[0]
    assert [box.text for box in drawn["missed"].drawn(("a", "b\n"))] == [f"{MISSED.sign} b\\x0a"]
    assert [box.text for box in drawn["wrong"].drawn(("a", "b"))] == [f"{WRONG.sign} a"]
    assert FOUND.hex == "#00c88c"
