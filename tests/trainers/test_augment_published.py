"""Zoom-out, IoU crop, photometric distortion, mix-up and the doubled mosaic: boxes must lie on their colors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_space.errors import ConfigError
from search_space.input_format import FITS
from tests.trainers.test_augment_boxes import PALETTE, assert_on_their_colors, colored, extent, painted
from trainers.data.augment import augment
from trainers.data.augmentation import MOSAIC_CANVASES, Augmentation
from trainers.data.color_jitter import BRIGHTNESS, distort_color, shuffle_channels
from trainers.data.compose import make_double_mosaic, mix_up
from trainers.data.crop_region import (
    CROP_ASPECT,
    CROP_IOUS,
    CROP_SIDE,
    MEAN_COLOR,
    CropRegion,
    centers_inside,
    draw_region,
    iou_crop,
    show_region,
    zoom_out,
)
from trainers.data.geometry import PAD_VALUE, Sample

STILL = Augmentation(light=0.0, flip=0.0, scale=0.0, translate=0.0)
INPUT_HW = (256, 320)
SEEDS = st.integers(0, 2**32 - 1)
SHARES = st.sampled_from((0.0, 0.5, 1.0))


def augmented(strength: Augmentation, seed: int, *, sample: Sample | None = None, fit: str = "letterbox") -> Sample:
    sample = painted((480, 640), ignored=(3, 11)) if sample is None else sample
    rng = np.random.default_rng(seed)
    return augment(lambda: sample, rng, input_hw=INPUT_HW, fit=fit, strength=strength, mosaic_allowed=True)


@pytest.mark.slow
@given(
    seed=SEEDS,
    fit=st.sampled_from(FITS),
    strength=st.builds(
        Augmentation,
        mosaic=SHARES,
        mosaic_canvas=st.sampled_from(MOSAIC_CANVASES),
        flip=SHARES,
        flip_vertical=SHARES,
        turn=SHARES,
        scale=st.sampled_from((0.0, 0.5)),
        translate=st.sampled_from((0.0, 0.1)),
        tile=SHARES,
        zoom_out=SHARES,
        zoom_out_max=st.floats(1, 4),
        iou_crop=SHARES,
        crop_first=st.booleans(),
        light=st.just(0.0),
    ),
)
def test_boxes_and_ignored_regions_lie_on_their_colors(seed: int, fit: str, strength: Augmentation) -> None:
    moved = augmented(strength, seed, fit=fit)
    assert moved.image.shape == (*INPUT_HW, 3)
    assert_on_their_colors(moved, covered=0.9, enough=0)
    assert moved.ignored[np.isin(moved.labels, (3, 11))].all()
    assert (moved.boxes >= 0).all() and (moved.boxes <= [*INPUT_HW[::-1]] * 2).all()


@pytest.mark.parametrize(
    "change",
    [
        {"zoom_out": 1.0, "zoom_out_max": 2.0},
        {"iou_crop": 1.0},
        {"zoom_out": 1.0, "zoom_out_max": 2.0, "iou_crop": 1.0},
        {"mosaic": 1.0, "mosaic_canvas": "double", "scale": 0.5, "translate": 0.1, "flip": 0.5},
    ],
)
def test_each_part_alone_shows_objects(change: dict[str, float]) -> None:
    shown = [augmented(replace(STILL, **change), seed) for seed in range(12)]
    for sample in shown:
        assert_on_their_colors(sample, enough=0)
    assert np.mean([(~sample.ignored).sum() for sample in shown]) > 4
    assert len({sample.image.tobytes() for sample in shown}) > 4
    assert {sample.boxes.dtype for sample in shown} == {np.dtype(np.float32)}


def test_settings_that_are_off_draw_nothing() -> None:
    """The random numbers that follow, and so the images, are those of a training without these settings."""
    sample, strength = painted((480, 640)), Augmentation(mosaic=0.5, hue=0.1, saturation=0.3)
    changed = replace(strength, zoom_out_max=2.0, crop_first=True, distort_hue=0.2, close_mosaic=3.0)
    for seed in range(4):
        one, other = augmented(strength, seed, sample=sample), augmented(changed, seed, sample=sample)
        assert np.array_equal(one.image, other.image)
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    assert distort_color(sample.image, rng, chance=0.0, hue=0.1) is sample.image
    assert shuffle_channels(sample.image, rng, 0.0) is sample.image
    draw_region(sample, rng, Augmentation())
    assert rng.bit_generator.state == before


@given(seed=SEEDS, largest=st.floats(1, 8))
def test_a_zoomed_out_canvas_contains_the_image(seed: int, largest: float) -> None:
    region = CropRegion(left=3, top=5, width=37, height=20)
    canvas = zoom_out(region, np.random.default_rng(seed), largest)
    x1, y1, x2, y2 = canvas.box
    assert x1 <= 3 and y1 <= 5 and x2 >= 40 and y2 >= 25
    assert canvas.width <= largest * 37 and canvas.height <= largest * 20


def test_zoom_out_reaches_its_largest_factor_and_every_side() -> None:
    region = CropRegion(left=0, top=0, width=100, height=100)
    drawn = [zoom_out(region, np.random.default_rng(seed), 4.0) for seed in range(300)]
    assert min(each.width for each in drawn) < 110 and max(each.width for each in drawn) > 390
    assert any(each.left == 0 for each in drawn) and any(each.left < -200 for each in drawn)


def ious(region: CropRegion, boxes: np.ndarray) -> np.ndarray:
    """Returns the IoUs, counted in pixels."""
    counted = []
    for mask_box in boxes.astype(int):
        masks = np.zeros((2, 400, 400), bool)
        for mask, (x1, y1, x2, y2) in zip(masks, (region.box, mask_box), strict=True):
            mask[y1:y2, x1:x2] = True
        counted.append((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())
    return np.array(counted)


def test_crops_have_the_drawn_iou_with_every_object() -> None:
    boxes = np.array([[60, 40, 340, 360], [100, 80, 300, 380]], np.float32)
    region = CropRegion(left=0, top=0, width=400, height=400)
    least = []
    for seed in range(150):
        crop = iou_crop(region, boxes, np.random.default_rng(seed))
        drawn = np.random.default_rng(seed).choice([1.0, *CROP_IOUS, 0.0])
        if crop != region:
            sides = np.array([crop.width, crop.height])
            assert sides.min() >= CROP_SIDE * 400 and sides.max() <= CROP_ASPECT * sides.min()
            assert min(crop.box) >= 0 and max(crop.box) <= 400
            assert centers_inside(boxes, np.array(crop.box)).any()
            least.append((drawn, ious(crop, boxes).min()))
        else:
            assert drawn in (1.0, 0.9, 0.7), "a high IoU may not be met"
    assert {drawn for drawn, _ in least} >= {0.0, *CROP_IOUS[:4]}
    assert all(iou >= drawn for drawn, iou in least if drawn < 0.7)
    assert min(iou for drawn, iou in least if drawn == 0.0) < 0.3


def test_small_objects_allow_free_crops_and_the_whole_image_only() -> None:
    sample = painted((400, 400), side=8)
    region = CropRegion(left=0, top=0, width=400, height=400)
    crops = [iou_crop(region, sample.boxes, np.random.default_rng(seed)) for seed in range(80)]
    assert 20 < sum(crop == region for crop in crops) < 60


def test_objects_whose_center_is_outside_become_ignored() -> None:
    sample = painted((384, 384), side=20)
    x1, y1 = sample.boxes[6, :2].astype(int)
    for cut, ignored in ((9, False), (11, True)):
        region = CropRegion(left=x1 + cut, top=y1 - 20, width=120, height=120)
        shown = show_region(sample, region, lambda image: image, input_hw=(120, 120), fit="letterbox")
        (row,) = np.flatnonzero(shown.labels == 6)
        assert shown.ignored[row] == ignored
        assert shown.boxes[row].tolist() == [0, 20, 20 - cut, 40] == extent(colored(shown.image, 6))


@pytest.mark.parametrize("fit", FITS)
def test_the_canvas_has_the_mean_color_and_keeps_it(fit: str) -> None:
    sample = painted((60, 100), side=6)
    region = CropRegion(left=-100, top=-60, width=300, height=180)
    shown = show_region(sample, region, lambda image: 255 - image, input_hw=(90, 150), fit=fit)
    inner = np.zeros((90, 150), bool)
    inner[30:60, 50:100] = True
    assert (shown.image[~inner] == MEAN_COLOR).all() and shown.image[30, 50].tolist() == [255, 255, 255]
    assert np.allclose(shown.boxes, sample.boxes / 2 + [50, 30, 50, 30])
    away = CropRegion(left=200, top=0, width=30, height=30)
    empty = show_region(sample, away, lambda image: image, input_hw=(90, 150), fit=fit)
    assert (empty.image == MEAN_COLOR).all() and len(empty.boxes) == len(empty.labels) == len(empty.ignored) == 0


@pytest.mark.parametrize("crop_first", [True, False])
def test_the_order_of_crop_and_zoom_out(crop_first: bool) -> None:
    """A canvas around a crop always shows it; a free crop of a canvas may show no part of an image without objects."""
    sample = replace(painted((100, 100), side=6), boxes=np.zeros((0, 4), np.float32), ignored=np.zeros(0, bool))
    strength = replace(STILL, zoom_out=1.0, iou_crop=1.0, crop_first=crop_first)
    boxes = np.array([draw_region(sample, np.random.default_rng(seed), strength).box for seed in range(200)])
    shows_image = (boxes[:, 2:] > 0).all(axis=1) & (boxes[:, :2] < 100).all(axis=1)
    assert shows_image.all() == crop_first


def test_a_canvas_around_a_crop_shows_nothing_else_of_the_image() -> None:
    sample = painted((400, 400), side=20)
    strength = replace(STILL, zoom_out=1.0, iou_crop=1.0, crop_first=True)
    partial = 0
    for seed in range(30):
        region = draw_region(sample, np.random.default_rng(seed), strength)
        shown = show_region(sample, region, lambda image: image, input_hw=(region.height, region.width), fit="stretch")
        assert region.source is not None
        left, top = region.source[0] - region.left, region.source[1] - region.top
        right, bottom = region.source[2] - region.left, region.source[3] - region.top
        outside = np.ones(shown.hw, bool)
        outside[top:bottom, left:right] = False
        assert (shown.image[outside] == MEAN_COLOR).all() and (shown.image[~outside] != MEAN_COLOR).any()
        assert (shown.boxes >= [left, top] * 2).all() and (shown.boxes <= [right, bottom] * 2).all()
        partial += region.source != (0, 0, 400, 400)
    assert partial > 5


def changed(change: Callable[[np.random.Generator], np.ndarray]) -> np.ndarray:
    return np.stack([change(np.random.default_rng(seed)) for seed in range(400)])


def test_distortion_stays_within_its_bounds() -> None:
    grey = np.full((1, 1, 3), 100, np.uint8)
    values = changed(lambda rng: distort_color(grey, rng, chance=1.0, hue=0.0)[0, 0, 0])
    low, high = (100 - BRIGHTNESS) * 0.5, (100 + BRIGHTNESS) * 1.5
    assert low - 1 <= values.min() < low + 15 and high - 15 < values.max() <= high + 1
    red = np.full((1, 1, 3), (200, 100, 100), np.uint8)
    halves = changed(lambda rng: distort_color(red, rng, chance=0.5, hue=0.05)[0, 0])
    same = (halves == (200, 100, 100)).all(axis=1).mean()
    assert 0.02 < same < 0.12, "one sixteenth"
    turned = changed(lambda rng: distort_color(PALETTE[None, :1], rng, chance=1.0, hue=0.5)[0, 0].argmax())
    assert set(turned.tolist()) == {0, 1, 2}


def test_channels_are_permuted_with_their_chance() -> None:
    image = np.full((2, 2, 3), (10, 20, 30), np.uint8)
    orders = changed(lambda rng: shuffle_channels(image, rng, 0.5)[0, 0])
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 6 and 200 < counts.max() < 260


def test_distortion_reaches_the_image_and_not_the_boxes() -> None:
    strength = replace(STILL, photometric_distort=0.5, channel_shuffle=0.5)
    plain = augmented(STILL, 1)
    others = [augmented(strength, seed) for seed in range(6)]
    assert all(np.array_equal(plain.boxes, other.boxes) for other in others)
    assert len({other.image.tobytes() for other in others}) > 4


@given(seed=SEEDS, sides=st.tuples(*[st.integers(20, 64)] * 4))
def test_the_doubled_canvas_shows_four_images_around_a_point(seed: int, sides: tuple[int, ...]) -> None:
    samples = []
    for label, side in enumerate(sides):
        image = np.full((64, side, 3) if label % 2 else (side, 80, 3), PALETTE[label], np.uint8)
        box = np.array([[0, 0, *image.shape[1::-1]]], np.float32)
        samples.append(Sample(image=image, boxes=box, labels=np.array([label]), ignored=np.array([label == 2])))
    canvas = make_double_mosaic(samples, np.random.default_rng(seed), input_hw=(64, 80))
    assert canvas.hw == (128, 160) and canvas.ignored.tolist() == [False, False, True, False]
    corners = [canvas.boxes[0, 2:], canvas.boxes[1, [0, 3]], canvas.boxes[2, [2, 1]], canvas.boxes[3, :2]]
    assert all(corner.tolist() == corners[0].tolist() for corner in corners)
    assert 40 <= corners[0][0] <= 120 and 32 <= corners[0][1] <= 96
    for label, box in enumerate(canvas.boxes):
        assert extent(colored(canvas.image, label)) == box.clip(0, [160, 128, 160, 128]).tolist()
    covered = sum(colored(canvas.image, label) for label in range(4))
    assert (canvas.image[covered == 0] == PAD_VALUE).all()


@pytest.mark.slow
def test_boxes_end_at_the_doubled_canvas() -> None:
    """At scale 0.5 the window is larger than the canvas; objects cut by the canvas do not reach into the padding."""
    whole = np.full((256, 320, 3), PALETTE[0], np.uint8)
    sample = Sample(
        image=whole,
        boxes=np.array([[0, 0, 320, 256]], np.float32),
        labels=np.zeros(1, np.int64),
        ignored=np.zeros(1, bool),
    )
    strength = replace(STILL, mosaic=1.0, mosaic_canvas="double", scale=0.5, translate=0.1)
    for seed in range(20):
        moved = augmented(strength, seed, sample=sample)
        assert_on_their_colors(moved, enough=1)
        assert (moved.boxes[:, 2:] - moved.boxes[:, :2]).min() > 0


def test_mix_up_blends_two_images_and_joins_their_boxes() -> None:
    one, other = painted((100, 160), side=6, ignored=(1,)), painted((100, 160), side=12, ignored=(2, 5))
    mixed = mix_up(one, other, np.random.default_rng(3))
    assert np.array_equal(mixed.boxes, np.concatenate((one.boxes, other.boxes)))
    assert np.flatnonzero(mixed.ignored).tolist() == [1, 22, 25]
    lit = other.image.any(axis=2) & ~one.image.any(axis=2)
    ratio = mixed.image[lit].sum() / other.image[lit].sum()
    assert 0.25 < ratio < 0.75
    expected = one.image * (1 - ratio) + other.image * ratio
    assert np.abs(expected - mixed.image).max() <= 1.5


def test_mix_up_ends_with_mosaic() -> None:
    sample, counts = painted((256, 320)), []
    for allowed in (True, False):
        rng, strength = np.random.default_rng(0), replace(STILL, mixup=1.0)
        mixed = augment(
            lambda: sample, rng, input_hw=INPUT_HW, fit="letterbox", strength=strength, mosaic_allowed=allowed
        )
        counts.append(len(mixed.boxes))
    assert counts == [40, 20]


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"mosaic_canvas": "triple"}, "mosaic_canvas"),
        ({"zoom_out_max": 0.5}, "zoom_out_max"),
        ({"close_mosaic": -1.0}, "close_mosaic"),
        ({"iou_crop": 1.5}, "iou_crop"),
    ],
)
def test_values_that_are_not_allowed(change: dict[str, float], setting: str) -> None:
    with pytest.raises(ConfigError) as error:
        Augmentation(**change)
    assert error.value.setting == setting
