"""The loop with a real detector of each kind of head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from search_space import DESIGNS, InputFormat
from search_space.errors import ConfigError
from search_space.input_format import FITS
from trainers import HEAD_TRAINING, TrainConfig, TrainProgress, TrainResult, fresh_detector, train
from trainers.data import Dataset, DataSplits
from trainers.data.augmentation import Augmentation
from trainers.data.dataset import no_boxes, no_labels
from trainers.data.geometry import PAD_VALUE
from trainers.steps import prepare_run

SMALL = {"anchor_free": ("yolov8n", 64), "ssd": ("ssd-mobilenetv1", 160), "two_stage": ("tinydet-s", 128)}
CONFIG = TrainConfig(epochs=12 / 24, batch_size=4, accumulate=2, seed=3)


def run(head: str, dataset: Dataset, *, until: int = 99, **more: object) -> tuple[list[float], TrainResult | None]:
    """Trains three steps, or until it is interrupted; returns the losses."""
    design, side = SMALL[head]
    architecture = DESIGNS.get(design).architecture.resized((side, side))
    losses: list[float] = []

    def note(progress: TrainProgress) -> None:
        losses.append(progress.loss)
        if progress.step == until:
            raise KeyboardInterrupt

    settings = {name: more.pop(name) for name in ("batch_size", "accumulate", "num_readers") if name in more}
    config = replace(CONFIG, **settings)  # type: ignore[arg-type]
    try:
        detector = fresh_detector(architecture, num_classes=3, seed=1)
        return losses, train(detector, dataset, config=config, on_step=note, **more)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        return losses, None


def test_every_head_is_tried() -> None:
    assert set(SMALL) == set(HEAD_TRAINING)


@pytest.mark.slow
@pytest.mark.parametrize("head", SMALL)
def test_repeated_with_other_readers_and_resumed_to_the_bit(head: str, shapes: Dataset, tmp_path: Path) -> None:
    whole, first = run(head, shapes)
    begun, _ = run(head, shapes, until=2, checkpoint=tmp_path / "last.pt", num_readers=3)
    rest, second = run(head, shapes, checkpoint=tmp_path / "last.pt", resume=True)
    assert len(whole) == 3 and begun + rest == whole
    assert first is not None and second is not None
    assert all(torch.equal(value, second.state_dict[name]) for name, value in first.state_dict.items())


@pytest.mark.slow
@pytest.mark.parametrize("head", SMALL)
def test_every_weight_has_a_gradient_even_without_objects(head: str, shapes: Dataset) -> None:
    """What several processes rely on: each waits for the others' gradient of every weight."""
    design, side = SMALL[head]
    records = [replace(record, boxes=no_boxes(), labels=no_labels()) for record in shapes.records]
    empty = Dataset(records, shapes.classes, reader=shapes._reader)
    detector = fresh_detector(DESIGNS.get(design).architecture.resized((side, side)), num_classes=3, seed=1)
    run = prepare_run(detector, empty, None, replace(CONFIG, accumulate=1), None, None)
    run.add_gradients(run.stream.parts(0)[0], 0, 0)
    assert [name for name, value in detector.named_parameters() if value.grad is None] == []


def test_maps_of_one_cell_need_two_images(shapes: Dataset) -> None:
    with pytest.raises(ConfigError, match="need 2 or more images per part"):
        run("ssd", shapes, batch_size=1, accumulate=1)


@pytest.mark.parametrize("fit", FITS)
def test_training_images_are_fitted_as_the_input_format_says(fit: str, hit_uav: DataSplits) -> None:
    architecture = replace(DESIGNS.get("yolov8n").architecture, input_hw=(96, 32), input_format=InputFormat(fit=fit))
    quiet = Augmentation(flip=0.0, scale=0.0, translate=0.0, light=0.0)
    config = replace(CONFIG, augmentation=quiet, accumulate=1, epochs=1.0)
    run = prepare_run(fresh_detector(architecture, num_classes=4, seed=1), hit_uav.train, None, config, None, None)
    images = run.stream.parts(0)[0].images
    padded = bool((images[:, :, :20] == PAD_VALUE).all() and (images[:, :, -20:] == PAD_VALUE).all())
    assert images.shape[2:] == (96, 32) and padded == (fit == "letterbox")
