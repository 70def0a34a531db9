"""Whole trainings with a teacher: nearer to it, the same with and without a cache, and resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import trainers.teacher
from search_space import Detector
from search_space.errors import ConfigError
from tests.trainers.teacher_cases import SMALL, weights_of
from trainers import Augmentation, StopTraining, TrainConfig, TrainProgress, TrainResult, Weights, fresh_detector, train
from trainers.data import Dataset
from trainers.loss_settings import DistillationOptions

ARCHITECTURE = replace(SMALL, input_hw=(160, 160))
STILL = Augmentation(scale=0.0, translate=0.0, light=0.0)
CONFIG = TrainConfig(epochs=2, augmentation=STILL, precision="float32", ema_decay=0.9, learning_rate=0.01)


def run(images: Dataset, teacher: Weights | None = None, config: TrainConfig = CONFIG, **more: Any) -> TrainResult:
    detector = fresh_detector(ARCHITECTURE, num_classes=len(images.classes), seed=1)
    return train(detector, images, config=config, teacher=teacher, **more)


def same(one: TrainResult, other: TrainResult) -> bool:
    return all(torch.equal(value, other.state_dict[name]) for name, value in one.state_dict.items())


@pytest.fixture(scope="module")
def few(shapes: Dataset) -> Dataset:
    return shapes.limited(12)


@pytest.fixture(scope="module")
def teacher(few: Dataset) -> Weights:
    """The same detector from another start, trained for longer than the others."""
    start = fresh_detector(ARCHITECTURE, num_classes=3, seed=7)
    result = train(start, few, config=replace(CONFIG, epochs=40, seed=3))
    return Weights(architecture=ARCHITECTURE.to_dict(), classes=tuple(few.classes), state=result.state_dict)


def difference(result: TrainResult, teacher: Weights, images: Dataset) -> tuple[float, float]:
    """Returns the mean differences of scores and of box distributions at the confident places of the teacher."""
    student = fresh_detector(ARCHITECTURE, num_classes=3, seed=0)
    student.load_state_dict(result.state_dict)
    stack = torch.stack([torch.from_numpy(images.image(index)) for index in range(len(images))])
    tables = [_table(each, stack.permute(0, 3, 1, 2).float() / 255) for each in (student.eval(), teacher.detector())]
    rows = tables[1][:, 64:].sigmoid().amax(dim=1) >= 0.1
    assert int(rows.sum()) > 20
    scores = [table[rows, 64:].sigmoid() for table in tables]
    boxes = [table[rows, :64].unflatten(1, (4, 16)).softmax(dim=2) for table in tables]
    return float((scores[0] - scores[1]).abs().mean()), float((boxes[0] - boxes[1]).abs().sum(dim=2).mean())


@torch.no_grad()
def _table(detector: Detector, pixels: Tensor) -> Tensor:
    return torch.cat([each.flatten(2).transpose(1, 2) for each in detector(pixels)], dim=1).flatten(0, 1)


def test_a_taught_detector_comes_nearer_to_its_teacher(teacher: Weights, few: Dataset) -> None:
    config = replace(CONFIG, epochs=12, distillation=DistillationOptions(distill_weight=5.0))
    alone, taught = run(few, None, replace(config, distillation=CONFIG.distillation)), run(few, teacher, config)
    pairs = zip(difference(taught, teacher, few), difference(alone, teacher, few), strict=True)
    assert all(with_teacher < 0.9 * without for with_teacher, without in pairs)
    assert alone.teacher_seconds == 0 < taught.teacher_seconds < taught.seconds
    assert {"loss_distilled_classes", "loss_distilled_boxes"} <= taught.history[-1].keys() - alone.history[-1].keys()


def test_a_teacher_without_weight_changes_nothing(teacher: Weights, few: Dataset) -> None:
    config = replace(CONFIG, augmentation=Augmentation(mosaic=0.5))
    silent = replace(config, distillation=DistillationOptions(distill_weight=0.0))
    assert same(run(few, None, config), run(few, teacher, silent)), "order, augmentation, statistics of the maps"
    assert not same(run(few, None, config), run(few, teacher, config))


def test_the_cache_changes_nothing(teacher: Weights, few: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = run(few, teacher)
    monkeypatch.setattr(trainers.teacher.Teacher, "_kept", lambda self, image: self._predicted(image)[0])
    assert same(kept, run(few, teacher))


def test_a_resumed_training_has_the_same_teacher_and_the_same_end(
    teacher: Weights, few: Dataset, tmp_path: Path
) -> None:
    def stop(progress: TrainProgress) -> None:
        if progress.step == 4:
            raise StopTraining

    whole, path = run(few, teacher), tmp_path / "last.pt"
    stopped = run(few, teacher, on_step=stop, checkpoint=path)
    assert stopped.stopped
    for other, words in ((None, "not with no teacher"), (weights_of(classes=tuple(few.classes)), "the teacher ")):
        with pytest.raises(ConfigError, match=words):
            run(few, other, checkpoint=path, resume=True)
    resumed = run(few, teacher, checkpoint=path, resume=True)
    assert same(whole, resumed) and resumed.teacher_seconds > stopped.teacher_seconds > 0


def test_a_teacher_cannot_join_later(teacher: Weights, few: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    run(few, checkpoint=path)
    with pytest.raises(ConfigError, match="trained with no teacher"):
        run(few, teacher, checkpoint=path, resume=True)
