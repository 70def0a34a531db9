"""Average precision against pycocotools used directly, and the way from maps to detections."""

from __future__ import annotations

import contextlib
import io
import json
from math import isnan
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn

from search_space import InputFormat, TileGrid
from search_space.errors import DataError
from tests.trainers.conftest import HIT_UAV, tiny_detector
from trainers import Score, evaluate, predict
from trainers.data import Dataset, Record, open_data
from trainers.evaluation import detect_dataset
from trainers.precision import average_precision
from trainers.sizes import size_bins


def direct_stats(truth: Path, results: list[dict[str, object]]) -> np.ndarray:
    """The twelve COCO figures, computed from files as the tool's manual has it."""
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO(str(truth))
        evaluation = COCOeval(ground_truth, ground_truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.asarray(evaluation.stats)


def noisy_detections(dataset: Dataset, seed: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    found = []
    for record in dataset.records:
        near = record.boxes + rng.normal(0, 1.5, record.boxes.shape)
        stray = rng.uniform(0, 200, (15, 2))
        in_regions = record.ignored * 0.9
        boxes = np.concatenate((near, np.concatenate((stray, stray + 12), axis=1), in_regions)).astype(np.float32)
        labels = np.concatenate((record.labels, rng.integers(0, 4, len(boxes) - len(record.labels))))
        found.append((boxes, rng.random(len(boxes)).astype(np.float32), labels))
    return found


def as_results(dataset: Dataset, found: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[dict[str, object]]:
    return [
        {
            "image_id": image + 1,
            "category_id": int(label) + 1,
            "bbox": [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])],
            "score": float(score),
        }
        for image, (boxes, scores, labels) in enumerate(found)
        for box, score, label in zip(boxes, scores, labels, strict=True)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_score_equals_pycocotools_with_crowds(seed: int) -> None:
    train = open_data(HIT_UAV).train
    found = noisy_detections(train, seed)
    score = Score(**average_precision(train.records, found, train.classes))
    stats = direct_stats(HIT_UAV / "annotations" / "instances_train.json", as_results(train, found))
    got = [score.ap, score.ap50, score.ap_small, score.ap_medium, score.ap_large]
    wanted = [stats[0], stats[1], stats[3], stats[4], stats[5]]
    assert [0.0 if isnan(value) else value for value in got] == pytest.approx(np.maximum(wanted, 0), abs=1e-9)
    assert 0.05 < score.ap < 0.95
    assert any(len(record.ignored) for record in train.records)


def test_crowds_of_one_class_count_for_that_class_only(tmp_path: Path) -> None:
    truth = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 100}],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10], "area": 100, "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [0, 0, 10, 10], "area": 100, "iscrowd": 0},
            {"id": 3, "image_id": 1, "category_id": 1, "bbox": [50, 50, 40, 40], "area": 1600, "iscrowd": 1},
        ],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    record = Record(
        path=Path("a.jpg"),
        height=100,
        width=100,
        boxes=np.array([[0, 0, 10, 10]] * 2, np.float32),
        labels=np.array([0, 1]),
        ignored=np.array([[50, 50, 90, 90]], np.float32),
        ignored_labels=np.array([0]),
    )
    boxes = np.array([[0, 0, 10, 10]] * 2 + [[60, 60, 80, 80]] * 2, np.float32)
    found = [(boxes, np.array([0.5, 0.5, 0.9, 0.9]), np.array([0, 1, 0, 1]))]
    score = Score(**average_precision([record], found, ("a", "b")))
    results = as_results(Dataset([record], ("a", "b")), found)
    assert score.ap == pytest.approx(direct_stats(tmp_path / "truth.json", results)[0])
    assert score.per_class["a"]["ap"] == pytest.approx(1.0)
    assert score.per_class["b"]["ap"] == pytest.approx(0.5)


def test_nothing_found_is_zero_and_nothing_to_find_is_nan() -> None:
    empty = (np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0, np.int64))
    records = open_data(HIT_UAV).val.records
    score = Score(**average_precision(records, [empty] * len(records), ("a", "b", "c", "d")))
    assert score.ap == 0 and score.ap50 == 0 and isnan(score.ap_large)
    bare = [Record(path=None, height=9, width=9, boxes=np.zeros((0, 4), np.float32), labels=np.zeros(0, np.int64))]
    assert isnan(average_precision(bare, [empty], ("a",))["ap"])


def test_accuracy_weighs_small_objects_where_there_are_some() -> None:
    assert Score(ap=0.3, ap50=0.6, ap_small=0.2).accuracy == pytest.approx(0.4)
    assert Score(ap=0.3, ap50=0.6).accuracy == 0.6


class Oracle(nn.Module):
    """Says at each point near (30, 20) in input pixels, whatever the image, that there is a 16 x 8 px object."""

    input_format, tiles = InputFormat(), TileGrid()

    def __init__(self) -> None:
        super().__init__()
        self.strides, self.reg_max, self.num_classes, self.input_hw = (4,), 16, 2, (64, 64)
        self.head, self.one_to_one = "anchor_free", False
        self.corner, self.second_class = (4, 7), -30.0
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        maps = torch.full((len(images), 66, 16, 16), -30.0)
        row, column = self.corner  # (4, 7): centre (30, 18)
        maps[:, 65, row, column] = 3.0
        maps[:, 64, row, column] = self.second_class
        for side, cells in enumerate((2, 1, 2, 1)):
            maps[:, side * 16 + cells, row, column] = 30.0
        return [maps]


def test_predictions_come_back_in_the_pixels_of_the_image() -> None:
    found = predict(Oracle(), np.zeros((128, 128, 3), np.uint8))  # twice the input size
    assert found.boxes.tolist() == [pytest.approx([44, 28, 76, 44], abs=1e-3)]
    assert found.labels.tolist() == [1] and found.scores[0] == pytest.approx(1 / (1 + np.exp(-3.0)), abs=1e-5)
    assert len(predict(Oracle(), np.zeros((128, 128, 3), np.uint8), score_threshold=0.99)) == 0


def test_predictions_are_clipped_and_have_one_class_a_point() -> None:
    oracle = Oracle()
    oracle.corner, oracle.second_class = (0, 0), 2.0  # centre (2, 2): the box leaves the image on two sides
    found = predict(oracle, np.zeros((64, 64, 3), np.uint8))
    assert found.boxes.tolist() == [pytest.approx([0, 0, 10, 6], abs=1e-3)]
    assert found.labels.tolist() == [1]


def test_evaluate_scores_a_perfect_detector_and_keeps_its_mode() -> None:
    record = Record(
        path=None, height=128, width=128, boxes=np.array([[44, 28, 76, 44]], np.float32), labels=np.array([1])
    )
    dataset = Dataset([record], ("a", "b"), reader=lambda _: np.zeros((128, 128), np.uint8))
    oracle = Oracle().train()
    score = evaluate(oracle, dataset)
    assert score.ap == pytest.approx(1.0) and score.ap_small == pytest.approx(1.0) and isnan(score.per_class["a"]["ap"])
    assert oracle.training


def test_evaluation_prints_nothing(capsys: pytest.CaptureFixture[str], shapes: Dataset) -> None:
    evaluate(tiny_detector(), shapes.limited(3))
    assert capsys.readouterr() == ("", "")


def broken(numbers: set[int], dataset: Dataset) -> Dataset:
    """A data set whose images with these numbers cannot be read."""

    def read(record: Record) -> np.ndarray:
        if record.number in numbers:
            raise DataError(f"{record.name} is damaged")
        return np.zeros((record.height, record.width), np.uint8)

    return Dataset(dataset.records, dataset.classes, reader=read)


def two_images() -> Dataset:
    box = np.array([[44, 28, 76, 44]], np.float32)
    records = [
        Record(path=None, height=128, width=128, boxes=box, labels=np.array([1]), number=number) for number in (0, 1)
    ]
    return Dataset(records, ("a", "b"))


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("batch_size", [1, 8])
def test_a_broken_image_is_one_in_which_nothing_was_found(number: int, batch_size: int) -> None:
    score = evaluate(Oracle(), broken({number}, two_images()), batch_size=batch_size)
    assert score.num_unreadable == 1 and score.num_images == 2
    assert score.ap == pytest.approx(51 / 101) and score.recall == pytest.approx(0.5)
    detections = detect_dataset(Oracle(), broken({number}, two_images()), batch_size=batch_size)
    assert detections.unreadable == (f"image {number} is damaged",)
    assert [len(each) for each in detections.found] == [number, 1 - number]


def test_no_image_that_can_be_read_is_an_error() -> None:
    with pytest.raises(DataError, match="none of the 2 images can be read; first error: image 0 is damaged"):
        evaluate(Oracle(), broken({0, 1}, two_images()))
    assert evaluate(Oracle(), Dataset([], ("a", "b"))).num_images == 0


def test_a_score_is_made_again_from_its_fields() -> None:
    score = evaluate(Oracle(), broken(set(), two_images()), bins=size_bins("0,10,inf", ()))
    again = Score(**score.to_dict())
    assert again.to_dict().keys() == score.to_dict().keys() and repr(again) == repr(score)
    assert set(score.bins) == {"0-10", "10-inf"} and score.bins["10-inf"]["num_objects"] == 2
    assert score.f1 == 1.0 and 0.9 < score.f1_score_threshold < 1
    old = {"ap": 0.1, "ap50": 0.2, "ap_small": 0.1, "ap_medium": 0.1, "ap_large": 0.1, "num_images": 3, "per_class": {}}
    assert Score(**old).accuracy == pytest.approx(0.15), "a checkpoint written before has fewer fields"


def test_evaluation_is_the_same_every_time(shapes: Dataset) -> None:
    first, again = (repr(evaluate(tiny_detector(), shapes.limited(8), batch_size=3)) for _ in range(2))
    assert first == again


def test_evaluation_tells_how_far_it_is() -> None:
    told: list[int] = []
    detect_dataset(Oracle(), broken({1}, two_images()), batch_size=1, on_images=told.append)
    assert told == [1, 2]
