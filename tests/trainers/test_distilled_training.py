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

STILL = Augmentation(scale=0.0, translate=0.0, light=0.0)
CONFIG = TrainConfig(epochs=2, augmentation=STILL, batch_size=8, precision="float32", num_readers=1)


def run(images: Dataset, teacher: Weights | None = None, config: TrainConfig = CONFIG, **more: Any) -> TrainResult:
    detector = fresh_detector(SMALL, num_classes=len(images.classes), seed=1)
    return train(detector, images, config=config, teacher=teacher, **more)


def same(one: TrainResult, other: TrainResult) -> bool:
    return all(torch.equal(value, other.state_dict[name]) for name, value in one.state_dict.items())


@pytest.fixture(scope="module")
def teacher(shapes: Dataset) -> Weights:
    """The small detector, trained for longer than the others."""
    start = fresh_detector(SMALL, num_classes=3, seed=7)
    result = train(start, shapes, config=replace(CONFIG, epochs=30, seed=3))
    return Weights(architecture=SMALL.to_dict(), classes=tuple(shapes.classes), state=result.state_dict)


def difference(result: TrainResult, teacher: Weights, images: Dataset) -> tuple[float, float]:
    """Returns the mean differences of scores and of box logits at the confident places of the teacher."""
    student = fresh_detector(SMALL, num_classes=3, seed=0)
    student.load_state_dict(result.state_dict)
    pixels = torch.stack(
        [torch.nn.functional.interpolate(_pixels(images, index), (64, 96))[0] for index in range(len(images))]
    )
    one, other = (_table(each, pixels) for each in (student.eval(), teacher.detector()))
    rows = other[:, 64:].sigmoid().amax(dim=1) >= 0.1
    assert int(rows.sum()) > 20
    first, second = one[rows], other[rows]
    scores = (first[:, 64:].sigmoid() - second[:, 64:].sigmoid()).abs().mean()
    return float(scores), float((first[:, :64].softmax(1) - second[:, :64].softmax(1)).abs().mean())


def _pixels(images: Dataset, index: int) -> Tensor:
    return torch.from_numpy(images.image(index)).permute(2, 0, 1)[None].float() / 255


@torch.no_grad()
def _table(detector: Detector, pixels: Tensor) -> Tensor:
    return torch.cat([each.flatten(2).transpose(1, 2) for each in detector(pixels)], dim=1).flatten(0, 1)


def test_a_taught_detector_comes_nearer_to_its_teacher(teacher: Weights, shapes: Dataset) -> None:
    config = replace(CONFIG, epochs=12)
    alone, taught = run(shapes, None, config), run(shapes, teacher, config)
    pairs = zip(difference(taught, teacher, shapes), difference(alone, teacher, shapes), strict=True)
    assert all(with_teacher < 0.9 * without for with_teacher, without in pairs)
    assert alone.teacher_seconds == 0 < taught.teacher_seconds < taught.seconds
    assert {"loss_distilled_classes", "loss_distilled_boxes"} <= taught.history[-1].keys() - alone.history[-1].keys()


def test_a_teacher_without_weight_changes_nothing(teacher: Weights, shapes: Dataset) -> None:
    config = replace(CONFIG, augmentation=Augmentation(mosaic=0.5))
    silent = replace(config, distillation=DistillationOptions(distill_weight=0.0))
    assert same(run(shapes, None, config), run(shapes, teacher, silent)), "order, augmentation, statistics of the maps"
    assert not same(run(shapes, None, config), run(shapes, teacher, config))


def test_the_cache_changes_nothing(teacher: Weights, shapes: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = run(shapes, teacher)
    monkeypatch.setattr(trainers.teacher.Teacher, "_kept", lambda self, image: self._predicted(image)[0])
    assert same(kept, run(shapes, teacher))


def test_a_resumed_training_has_the_same_teacher_and_the_same_end(
    teacher: Weights, shapes: Dataset, tmp_path: Path
) -> None:
    def stop(progress: TrainProgress) -> None:
        if progress.step == 4:
            raise StopTraining

    whole, path = run(shapes, teacher), tmp_path / "last.pt"
    stopped = run(shapes, teacher, on_step=stop, checkpoint=path)
    assert stopped.stopped
    for other, words in ((None, "not with no teacher"), (weights_of(classes=tuple(shapes.classes)), "the teacher ")):
        with pytest.raises(ConfigError, match=words):
            run(shapes, other, checkpoint=path, resume=True)
    resumed = run(shapes, teacher, checkpoint=path, resume=True)
    assert same(whole, resumed) and resumed.teacher_seconds > stopped.teacher_seconds > 0


def test_a_teacher_cannot_join_later(teacher: Weights, shapes: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    run(shapes, checkpoint=path)
    with pytest.raises(ConfigError, match="trained with no teacher"):
        run(shapes, teacher, checkpoint=path, resume=True)
