"""What suppression and limits leave of the detections of an image, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from head_cases import objects, small_detector

from trainers.data import Dataset
from trainers.data.dataset import Record
from trainers.detect import Detections
from trainers.evaluation import DatasetDetections
from trainers.heads import HEAD_TRAINING, DetectionLimits, head_training
from trainers.heads.reading import suppressed, within_limits
from trainers.tiling import Window, merge

BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 10], [20, 0, 30, 10]])
SCORES = torch.tensor([0.9, 0.8, 0.7, 0.6])
LABELS = torch.tensor([0, 0, 1, 0])


def left(**limits: float) -> list[tuple[float, int]]:
    found = suppressed(BOXES, SCORES, LABELS, DetectionLimits(score_threshold=0.1, **limits))  # type: ignore[arg-type]
    return [(round(score, 4), label) for score, label in zip(found[1].tolist(), found[2].tolist(), strict=True)]


def test_hard_and_soft_suppression_within_a_class() -> None:
    assert left(iou_threshold=0.5) == [(0.9, 0), (0.7, 1), (0.6, 0)]
    assert left(iou_threshold=0.5, soft_nms=True) == [(0.9, 0), (0.7, 1), (0.6, 0), (0.16, 0)]  # 0.8 * (1 - 0.8)
    assert left(iou_threshold=0.85, soft_nms=True) == [(0.9, 0), (0.8, 0), (0.7, 1), (0.6, 0)]


def test_suppression_of_all_classes() -> None:
    boxes, scores, labels = BOXES[:1].repeat(3, 1), torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 1, 0])
    kept = {
        (agnostic, soft): len(
            suppressed(boxes, scores, labels, DetectionLimits(agnostic=agnostic, soft_nms=soft, iou_threshold=0.5))[1]
        )
        for agnostic in (False, True)
        for soft in (False, True)
    }
    assert kept == {(False, False): 2, (False, True): 2, (True, False): 1, (True, True): 1}


@pytest.mark.parametrize("kind", list(HEAD_TRAINING))
@pytest.mark.parametrize("soft", [False, True])
def test_boxes_of_all_classes_do_not_overlap_in_any_head(kind: str, soft: bool) -> None:
    detector = small_detector(kind).eval()
    with torch.no_grad():
        outputs = detector(torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1)))
    limits = DetectionLimits(score_threshold=0.0, iou_threshold=0.0, agnostic=True, soft_nms=soft)
    boxes, scores, _ = head_training(detector).read(outputs, limits)[0]
    each_class = head_training(detector).read(outputs, replace(limits, agnostic=False))[0]
    assert 0 < len(scores) < len(each_class[1]) and scores.sort(descending=True).values.equal(scores)
    if not soft and kind != "two_stage":  # which lowers scores
        hard = suppressed(boxes, scores, torch.zeros(len(boxes)), DetectionLimits(iou_threshold=0.0))[1]
        assert hard.equal(scores)


def test_limits_per_class_and_per_image() -> None:
    assert left(iou_threshold=0.5, max_per_class=1) == [(0.9, 0), (0.7, 1)]
    assert left(iou_threshold=0.5, max_per_class=1, max_detections=1) == [(0.9, 0)]
    rows = within_limits(torch.tensor([3, 1, 2, 0]), LABELS, DetectionLimits(max_per_class=2))
    assert rows.tolist() == [3, 1, 2]


def test_soft_suppression_of_nothing() -> None:
    found = suppressed(BOXES[:0], SCORES[:0], LABELS[:0], DetectionLimits(soft_nms=True))
    assert [len(each) for each in found] == [0, 0, 0]


@pytest.mark.parametrize("kind", list(HEAD_TRAINING))
def test_every_head_drops_candidates_before_suppression(kind: str) -> None:
    detector = small_detector(kind).eval()
    with torch.no_grad():
        outputs = detector(torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1)))
    for soft in (False, True):
        limits = [
            DetectionLimits(score_threshold=0.0, candidate_score=each, soft_nms=soft) for each in (None, 0.0, 1.0)
        ]
        as_scored, every, none = (head_training(detector).read(outputs, each)[0][1] for each in limits)
        assert len(every) and as_scored.equal(every) and not len(none)


@pytest.mark.parametrize("kind", list(HEAD_TRAINING))
def test_every_head_obeys_the_limit_per_class(kind: str) -> None:
    detector = small_detector(kind).eval()
    with torch.no_grad():
        outputs = detector(torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1)))
    for soft in (False, True):
        limits = DetectionLimits(score_threshold=0.0, max_per_class=2, soft_nms=soft)
        for boxes, scores, labels in head_training(detector).read(outputs, limits):
            assert torch.bincount(labels, minlength=3).tolist() == [2, 2, 2]
            assert len(boxes) == 6 and (scores.diff() <= 0).all()


def test_tiles_together_obey_the_limit_per_class() -> None:
    windows = [Window(0, 0, 40, 40), Window(30, 0, 70, 40)]
    found = Detections(boxes=BOXES[[0]].numpy() + 12, scores=SCORES[:1].numpy(), labels=LABELS[:1].numpy())
    for most, number in ((None, 2), (1, 1)):
        assert len(merge(windows, [found, found], (40, 70), DetectionLimits(max_per_class=most))) == number


def crowded(num_found: int, **limits: int) -> float:
    """AP50 of 150 objects of a class in one image, all of which were found."""
    corners = torch.arange(150)[:, None] * torch.tensor([10.0, 0, 10, 0]) + torch.tensor([0.0, 0, 8, 8])
    boxes, labels = corners.numpy(), objects(*((0, 0, 1, 1, 0, 0),) * 150).labels.numpy()
    record = Record(path=None, height=8, width=1500, boxes=boxes, labels=labels)
    scores = torch.linspace(1, 0.5, 150).numpy()
    found = Detections(boxes=boxes[:num_found], scores=scores[:num_found], labels=labels[:num_found])
    detections = DatasetDetections(dataset=Dataset([record], ("a",)), found=(found,), **limits)
    return detections.score(detections.match()).recall


def test_more_than_a_hundred_objects_of_a_class_count_where_the_limit_allows_it() -> None:
    assert crowded(150) == pytest.approx(100 / 150)
    assert crowded(150, max_detections=300) == 1.0
    assert crowded(90, max_detections=50) == pytest.approx(90 / 150)  # the detector applies lower limits itself


def test_a_data_set_without_its_ignored_regions() -> None:
    region = BOXES[:1].numpy()
    record = Record(path=None, height=8, width=8, boxes=region, labels=LABELS[:1].numpy(), ignored=region)
    whole = Dataset([record], ("a",))
    (found,) = whole.without_ignored().records
    assert len(found.ignored) == len(found.ignored_labels) == 0 and len(found.boxes) == 1
    assert len(whole.records[0].ignored) == 1
