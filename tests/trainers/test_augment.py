"""Letterboxing and augmentation: boxes must stay on their pixels."""

from __future__ import annotations

import numpy as np
import pytest

from search_space.errors import ConfigError
from search_space.input_format import FITS
from trainers.data import DataSplits
from trainers.data.augment import ImageFit, Sample, augment, clip, read_sample
from trainers.data.augmentation import Augmentation
from trainers.data.batches import BatchStream
from trainers.data.geometry import place_on_canvas


def square(size: int, box: tuple[int, int, int, int]) -> Sample:
    """A black image with one white rectangle and its box."""
    image = np.zeros((size, size, 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = 255
    boxes = np.array([box], np.float32)
    return Sample(image=image, boxes=boxes, labels=np.zeros(1, np.int64), ignored=np.zeros(1, bool))


def bright_box(image: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(image[..., 0] > 180)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("how", FITS)
@pytest.mark.parametrize("image_hw", [(256, 320), (333, 517), (1080, 1920), (50, 20)])
def test_the_way_back_to_the_image_is_exact(image_hw: tuple[int, int], how: str) -> None:
    fit = ImageFit.of(image_hw, (320, 320), how)
    boxes = np.random.default_rng(0).uniform(0, min(image_hw), (50, 4)).astype(np.float32)
    assert np.abs(fit.to_image(fit.to_input(boxes)) - boxes).max() < 1e-3
    whole = fit.to_input(np.array([[0, 0, image_hw[1], image_hw[0]]], np.float32))[0]
    assert whole.tolist() == [fit.left, fit.top, fit.left + fit.width, fit.top + fit.height]


def test_letterbox_pads_with_grey_and_keeps_the_aspect() -> None:
    fit = ImageFit.of((100, 200), (320, 320), "letterbox")
    canvas = fit.apply(np.zeros((100, 200, 3), np.uint8))
    assert (fit.height, fit.width, fit.top, fit.left) == (160, 320, 80, 0)
    assert (canvas[:80] == 114).all() and (canvas[80:240] == 0).all() and (canvas[240:] == 114).all()


@pytest.mark.parametrize("image_hw", [(100, 200), (333, 117), (96, 160)])
def test_a_stretched_image_fills_the_input_without_padding(image_hw: tuple[int, int]) -> None:
    fit = ImageFit.of(image_hw, (96, 160), "stretch")
    assert (fit.height, fit.width, fit.top, fit.left) == (96, 160, 0, 0)
    assert (fit.apply(np.full((*image_hw, 3), 7, np.uint8)) == 7).all()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, (0.0, 0.0)), (2.0, (-20.0, -30.0)), (1.0, (13.0, 7.0))])
def test_moved_boxes_lie_on_the_moved_pixels(flip: bool, scale: float, shift: tuple[float, float]) -> None:
    moved = place_on_canvas(square(64, (20, 30, 34, 38)), scale, shift, flip=flip, hw=(96, 96))
    assert np.abs(np.array(bright_box(moved.image)) - moved.boxes[0]).max() <= 0.5


def test_mosaic_boxes_lie_on_the_pixels() -> None:
    strength = Augmentation(mosaic=1.0, light=0.0, scale=0.0)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        sample = augment(
            lambda: square(64, (24, 24, 40, 40)),
            rng,
            input_hw=(64, 64),
            fit="letterbox",
            strength=strength,
            mosaic_allowed=True,
        )
        covered = np.zeros((64, 64), bool)
        for x1, y1, x2, y2 in sample.boxes.round().astype(int):
            covered[y1:y2, x1:x2] = True
        # pixels without a box are the rest of objects cut to less than a fifth
        assert not (covered & (sample.image[..., 0] < 100)).sum() > 0.1 * covered.sum()
        assert len(sample.boxes) <= 4


def test_clipping_ignores_slivers_and_drops_what_is_outside() -> None:
    boxes = [
        [90, 10, 200, 20],
        [95, 10, 200, 20],
        [95, 10, 200, 20],
        [10, 10, 11, 30],
        [112, 0, 120, 9],
        [-9, 0, 0.3, 9],
    ]
    sample = Sample(
        image=np.zeros((100, 112, 3), np.uint8),
        boxes=np.array(boxes, np.float32),
        labels=np.arange(6),
        ignored=np.array([False, False, True, False, False, False]),
    )
    # 22 of 110 px seen: a fifth, an object; 17 of 105: ignored; ignored already; one pixel wide: ignored; two outside
    left = clip(sample)
    assert left.labels.tolist() == [0, 1, 2, 3] and left.ignored.tolist() == [False, True, True, True]
    assert left.boxes[:2].tolist() == [[90, 10, 112, 20], [95, 10, 112, 20]]


def test_ignored_regions_reach_the_batch(hit_uav: DataSplits) -> None:
    strength = Augmentation(flip=0.0, scale=0.0, translate=0.0, light=0.0)
    stream = BatchStream(
        dataset=hit_uav.train,
        input_hw=(256, 320),
        fit="letterbox",
        batch_size=6,
        num_steps=1,
        seed=0,
        strength=strength,
    )
    batch = stream.batch(0)
    assert len(batch.objects) == sum(len(record.boxes) for record in hit_uav.train.records)
    assert len(batch.ignored) == sum(len(record.ignored) for record in hit_uav.train.records) == 2
    first = read_sample(hit_uav.train, 0).image.transpose(2, 0, 1)
    assert any(np.array_equal(image.numpy(), first) for image in batch.images)


def test_threads_and_start_do_not_change_the_batches(hit_uav: DataSplits) -> None:
    stream = BatchStream(
        dataset=hit_uav.train,
        input_hw=(128, 160),
        fit="letterbox",
        batch_size=2,
        num_steps=6,
        seed=5,
        strength=Augmentation(mosaic=0.5),
    )
    alone = [stream.batch(step) for step in range(6)]
    threaded = list(stream.read(num_threads=2))
    later = list(stream.read(4))
    assert len(threaded) == 6 and len(later) == 2
    for one, (other,) in zip(alone + alone[4:], threaded + later, strict=True):
        assert (one.images == other.images).all() and (one.objects.boxes == other.objects.boxes).all()
    assert not (alone[0].images == alone[3].images).all()


@pytest.mark.parametrize(
    ("end", "mosaics"),
    [
        ({"mosaic_until": 0.5}, 2),
        ({"mosaic_until": 1.0, "close_mosaic": 1.0}, 3),
        ({"mosaic_until": 0.5, "close_mosaic": 3.0}, 1),
    ],
)
def test_each_step_draws_anew_and_mosaics_end_in_time(hit_uav: DataSplits, end: dict[str, float], mosaics: int) -> None:
    one = hit_uav.train.limited(1)
    strength = Augmentation(mosaic=1.0, flip=0.0, scale=0.0, translate=0.0, light=0.0, **end)
    stream = BatchStream(
        dataset=one, input_hw=(256, 320), fit="letterbox", batch_size=1, num_steps=4, seed=0, strength=strength
    )
    images = [stream.batch(step).images[0].numpy() for step in range(4)]
    original = one.image(0).transpose(2, 0, 1)
    assert [np.array_equal(image, original) for image in images] == [step >= mosaics for step in range(4)]
    assert mosaics == 1 or not np.array_equal(images[0], images[1])


def test_an_epoch_shows_every_image_once(hit_uav: DataSplits) -> None:
    strength = Augmentation(flip=0.0, scale=0.0, translate=0.0, light=0.0)
    stream = BatchStream(
        dataset=hit_uav.train,
        input_hw=(256, 320),
        fit="letterbox",
        batch_size=2,
        num_steps=6,
        seed=5,
        strength=strength,
    )
    seen = [image.numpy().tobytes() for step in range(3) for image in stream.batch(step).images]
    assert len(set(seen)) == len(hit_uav.train) == 6


def test_strength_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="flip is 2"):
        Augmentation(flip=2.0)
