"""A detector with the assignment `dual` learns four images by heart and finds each object once, without NMS."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from search_space import DESIGNS, Architecture, Detector, SearchSpace
from search_space.plain import Options
from trainers import TrainConfig, fresh_detector, predict, train
from trainers.boxes import iou_matrix
from trainers.data import Dataset
from trainers.data.augmentation import Augmentation
from trainers.heads.one_to_many import one_to_many_state
from trainers.weights import read_torch

pytestmark = pytest.mark.slow

QUIET = Augmentation(flip=0, scale=0, translate=0, light=0)
CONFIG = TrainConfig(
    epochs=150,
    batch_size=4,
    learning_rate=6e-3,
    weight_decay=0.0,
    ema_decay=0.9,
    augmentation=QUIET,
    device="cpu",
    precision="float32",
)


def narrow() -> Architecture:
    """An eighth of the width of YOLOv8 with P2 and without P5, and a short joint head."""
    space = SearchSpace()
    point = space.encode(DESIGNS.get("yolov8n-p2-nop5").architecture.resized((128, 128)))
    architecture = space.decode({**point, "width": 0.125}).resized((96, 96))
    options = Options({"assignment": "dual", "branches": "joint", "tower_convs": 1, "bins": 8})
    return replace(architecture, head=replace(architecture.head, box_channels=16, options=options))


def smallest_side(boxes: np.ndarray) -> float:
    return float((boxes[:, 2:] - boxes[:, :2]).min()) if len(boxes) else 0.0


def times_found(detector: Detector, dataset: Dataset, iou_threshold: float | None) -> tuple[list[int], int]:
    """Returns how often each object is found, and the number of detections."""
    times, number = [], 0
    for index, record in enumerate(dataset.records):
        found = predict(detector, dataset.image(index), iou_threshold=iou_threshold)
        overlaps = iou_matrix(torch.from_numpy(record.boxes), torch.from_numpy(found.boxes))
        right = torch.from_numpy(record.labels)[:, None] == torch.from_numpy(found.labels)
        times += ((overlaps > 0.5) & right).sum(dim=1).tolist()
        number += len(found)
    return times, number


def test_each_object_is_found_once(shapes: Dataset, tmp_path: Path) -> None:
    largest = sorted(range(len(shapes)), key=lambda index: -smallest_side(shapes.records[index].boxes))[:4]
    four = shapes.taking(largest)
    detector = fresh_detector(narrow(), num_classes=len(four.classes), seed=0)
    result = train(detector, four, config=CONFIG, checkpoint=tmp_path / "last.pt")
    detector.load_state_dict(result.state_dict)
    times, number = times_found(detector, four, None)
    assert len(times) >= 15 and number == len(times)
    assert times == [1] * len(times), "none twice, none missed"
    detector.load_state_dict(one_to_many_state(read_torch(tmp_path / "last.pt", "checkpoint")["average"]))
    many, _ = times_found(detector, four, 1.0)
    assert max(many) > 1, "the other head needs suppression"
