"""Each object has a color of its own: after any augmentation its box must lie on its color."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from search_space.input_format import FITS
from trainers.data.augment import augment
from trainers.data.augmentation import Augmentation
from trainers.data.color_jitter import jitter_color
from trainers.data.compose import window
from trainers.data.copy_paste import MAX_HIDDEN, paste_copies
from trainers.data.geometry import MIN_VISIBLE, Sample, crop, flip_sample, rotate

SHADES = [(a, b) for a in (0, 100, 200) for b in (0, 100, 200)]
PALETTE = np.array([color for a, b in SHADES for color in ((250, a, b), (a, 250, b), (a, b, 250))], np.uint8)
"""Blended with black, none looks like another."""
QUIET = Augmentation(light=0.0)


def painted(hw: tuple[int, int], *, side: int = 24, ignored: tuple[int, ...] = ()) -> Sample:
    """A black image with a grid of squares, each of its own color, which is also its label."""
    image = np.zeros((*hw, 3), np.uint8)
    gap = (hw[0] // 5, hw[1] // 6)
    corners = [
        (gap[1] * (column + 1) - side // 2, gap[0] * (row + 1) - side // 2) for row in range(4) for column in range(5)
    ]
    for label, (x, y) in enumerate(corners):
        image[y : y + side, x : x + side] = PALETTE[label]
    boxes = np.array([(x, y, x + side, y + side) for x, y in corners], np.float32)
    labels = np.arange(len(boxes))
    return Sample(image=image, boxes=boxes, labels=labels, ignored=np.isin(labels, ignored))


def colored(image: np.ndarray, label: int) -> np.ndarray:
    """Returns where an image shows the color of a label, but for pixels blended at its edge."""
    return np.asarray(np.abs(image.astype(np.int16) - PALETTE[label]).max(axis=2) <= 12)


def extent(mask: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(mask)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def assert_on_their_colors(sample: Sample, *, covered: float = 0.97, enough: int = 3) -> None:
    """Boxes are filled with their color, which is nowhere else; pixels at their edges are left out."""
    checked = 0
    for label in range(20):
        mask = colored(sample.image, label)
        alone = mask.copy()
        for box in sample.boxes[sample.labels == label]:
            x1, y1, x2, y2 = np.rint(box + [2, 2, -2, -2]).astype(int)
            inner = mask[y1:y2, x1:x2]
            if min(x2 - x1, y2 - y1) >= 4:
                assert inner.mean() >= covered, (label, box)
                checked += 1
            alone[max(0, y1 - 3) : y2 + 3, max(0, x1 - 3) : x2 + 3] = False
        assert alone.sum() == 0, f"{label} is seen where it has no box"
    assert checked >= enough


EVERYTHING = Augmentation(
    mosaic=0.5, flip=0.5, flip_vertical=0.5, turn=0.7, scale=0.3, translate=0.2, tile=0.5, copy_paste=0.3, light=0.0
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("hw", [(480, 640), (200, 900)])
@pytest.mark.parametrize("fit", FITS)
def test_boxes_lie_on_their_colors(seed: int, hw: tuple[int, int], fit: str) -> None:
    sample = painted(hw)
    rng = np.random.default_rng(seed)
    moved = augment(lambda: sample, rng, input_hw=(320, 384), fit=fit, strength=EVERYTHING, mosaic_allowed=True)
    assert moved.image.shape == (320, 384, 3)
    assert_on_their_colors(moved, covered=0.7, enough=1)  # a copy may hide a tenth, perhaps at one corner


@pytest.mark.slow
@pytest.mark.parametrize(
    "strength",
    [
        replace(QUIET, flip=1.0, scale=0.0, translate=0.0),
        replace(QUIET, flip_vertical=1.0, flip=0.0, scale=0.0, translate=0.0),
        replace(QUIET, turn=1.0, flip=0.0, scale=0.0, translate=0.0),
        replace(QUIET, tile=1.0, scale=0.0, flip=1.0, flip_vertical=1.0),
        replace(QUIET, copy_paste=1.0, scale=0.0, translate=0.0),
    ],
)
def test_each_part_alone_moves_boxes_and_pixels_alike(strength: Augmentation) -> None:
    sample = painted((384, 384))
    for seed in range(6):
        rng = np.random.default_rng(seed)
        moved = augment(
            lambda: sample, rng, input_hw=(256, 256), fit="letterbox", strength=strength, mosaic_allowed=True
        )
        assert_on_their_colors(moved, covered=0.7 if strength.copy_paste else 0.97)
        assert not np.array_equal(moved.image[:, :, 0], sample.image[:256, :256, 0])


@pytest.mark.parametrize("quarters", range(5))
def test_turned_by_quarters(quarters: int) -> None:
    sample = painted((100, 160), side=6)
    turned = rotate(sample, quarters)
    assert turned.hw == ((160, 100) if quarters % 2 else (100, 160))
    assert all(extent(colored(turned.image, label)) == turned.boxes[label].tolist() for label in range(20))
    back = rotate(turned, 4 - quarters % 4)
    assert np.array_equal(back.image, sample.image) and np.array_equal(back.boxes, sample.boxes)


@pytest.mark.parametrize(("horizontal", "vertical"), [(True, False), (False, True), (True, True)])
def test_mirrored(horizontal: bool, vertical: bool) -> None:
    mirrored = flip_sample(painted((100, 160), side=6), horizontal=horizontal, vertical=vertical)
    assert all(extent(colored(mirrored.image, label)) == mirrored.boxes[label].tolist() for label in range(20))


def test_a_window_keeps_the_scale_and_mostly_holds_objects() -> None:
    one = painted((2000, 3000), side=20)
    one = replace(one, boxes=one.boxes[:1], labels=one.labels[:1], ignored=one.ignored[:1])
    with_object = 0
    for seed in range(60):
        part = window(one, np.random.default_rng(seed), input_hw=(256, 320), fit="letterbox", jitter=0.0)
        assert part.hw == (256, 320)
        with_object += len(part.boxes)
        for box in part.boxes:
            assert extent(colored(part.image, 0)) == box.tolist()
            whole = box.min() > 0 and box[2] < 320 and box[3] < 256
            assert not whole or (box[2:] - box[:2]).tolist() == [20, 20]
    assert 40 <= with_object <= 57, "four fifths, and hardly ever by chance"
    sizes = {"input_hw": (99, 99), "fit": "letterbox", "jitter": 0.5}
    assert {window(one, np.random.default_rng(seed), **sizes).hw for seed in range(9)} == {(99, 99)}


def test_windows_lie_anywhere_about_their_object() -> None:
    one = painted((1000, 1000), side=20)
    one = replace(one, boxes=one.boxes[7:8], labels=one.labels[7:8], ignored=one.ignored[7:8])
    sizes = {"input_hw": (200, 200), "fit": "letterbox", "jitter": 0.0}
    parts = [window(one, np.random.default_rng(seed), **sizes) for seed in range(80)]
    x1 = np.array([part.boxes[0, 0] for part in parts if len(part.boxes)])
    assert x1.min() < 20 and x1.max() > 160 and len(set(x1.tolist())) > 30


@pytest.mark.parametrize(("image_hw", "expected"), [((100, 3000), (100, 320)), ((2000, 200), (256, 200))])
def test_a_window_is_no_larger_than_the_image(image_hw: tuple[int, int], expected: tuple[int, int]) -> None:
    sample = painted(image_hw, side=6)
    for fit, hw in (("letterbox", expected), ("stretch", (256, 320))):
        assert window(sample, np.random.default_rng(0), input_hw=(256, 320), fit=fit, jitter=0.0).hw == hw


def test_a_huge_object_does_not_leave_the_window_empty() -> None:
    sample = painted((900, 900), side=20)
    sample = replace(
        sample, boxes=np.array([[100, 100, 800, 800]], np.float32), labels=np.zeros(1, int), ignored=np.zeros(1, bool)
    )
    for seed in range(20):
        part = window(sample, np.random.default_rng(seed), input_hw=(128, 128), fit="letterbox", jitter=0.0)
        assert len(part.boxes) == 1 or seed


def test_an_image_within_the_input_is_never_tiled() -> None:
    sample = painted((200, 300))
    tiled, whole = (
        augment(
            lambda: sample,
            np.random.default_rng(1),
            input_hw=(320, 320),
            fit="letterbox",
            strength=replace(QUIET, tile=tile, scale=0.0, translate=0.0, flip=0.0),
            mosaic_allowed=False,
        )
        for tile in (1.0, 0.0)
    )
    assert np.array_equal(tiled.image, whole.image)


def test_objects_cut_by_a_window_become_ignored() -> None:
    sample = painted((384, 384), side=20)
    x1, y1 = sample.boxes[6, :2].astype(int)
    part = crop(sample, (x1 + 17, y1 - 50), (100, 100))  # leaves 3 of 20 px
    (row,) = np.flatnonzero(part.labels == 6)
    assert part.ignored[row] and part.boxes[row].tolist() == [0, 50, 3, 70] and MIN_VISIBLE > 3 / 20


@pytest.mark.slow
def test_copies_are_new_objects_and_hide_nothing() -> None:
    sample = painted((320, 384), side=16, ignored=(3, 11))
    for seed in range(10):
        pasted = paste_copies(sample, np.random.default_rng(seed), 1.0)
        added = pasted.boxes[20:]
        assert np.array_equal(pasted.boxes[:20], sample.boxes) and not pasted.ignored[20:].any()
        assert 10 <= len(added) <= 18 and set(pasted.labels[20:]) <= set(range(20)) - {3, 11}
        sides = added[:, 2:] - added[:, :2]
        assert (sides >= 16 * 0.75).all() and (sides <= 16 * 1.25).all() and len(np.unique(sides.round(1))) > 3
        assert added.min() >= 0 and (added[:, 2:] <= [384, 320]).all()
        assert_on_their_colors(pasted, covered=0.7, enough=28)
        for index, box in enumerate(pasted.boxes[:20]):
            shared = np.minimum(box[2:], added[:, 2:]) - np.maximum(box[:2], added[:, :2])
            limit = 0 if sample.ignored[index] else MAX_HIDDEN * 256
            assert (shared.clip(0).prod(axis=1) <= limit + 1e-3).all()


def test_copies_have_soft_edges() -> None:
    """From black ground onto grey: in between lie greys that are in neither."""
    sample = painted((320, 384), side=16)
    sample.image[:, 192:][(sample.image[:, 192:] == 0).all(axis=2)] = 60
    before = sample.image.copy()
    pasted = paste_copies(sample, np.random.default_rng(0), 1.0)
    grey = np.ptp(pasted.image.astype(int), axis=2) == 0
    levels = np.unique(pasted.image[grey][:, 0])
    assert {20, 40} <= set(levels.tolist()) and np.array_equal(sample.image, before)


@pytest.mark.parametrize("change", ["large", "tiny", "cut", "covered", "ignored", "none"])
def test_only_whole_small_objects_apart_from_others_are_copied(change: str) -> None:
    sample = painted((320, 384), side={"large": 34, "tiny": 2}.get(change, 16))
    boxes, ignored = sample.boxes[:1], np.zeros(1, bool)
    if change == "cut":
        sample = crop(sample, (int(boxes[0, 0]) + 4, 0), (320, 300))
        boxes = sample.boxes[:1]
    if change in ("covered", "ignored"):
        boxes = np.concatenate((boxes, boxes + 10))
        ignored = np.array([False, change == "ignored"])
    labels = np.zeros(len(boxes), np.int64)
    pasted = paste_copies(replace(sample, boxes=boxes, labels=labels, ignored=ignored), np.random.default_rng(0), 1.0)
    assert len(pasted.boxes) - len(boxes) == (1 if change == "none" else 0)


def test_no_place_no_copy() -> None:
    sample = painted((320, 384), side=16)
    all_ignored = np.array([[0, 0, 384, 60], [0, 70, 384, 320]], np.float32)
    free = replace(
        sample,
        boxes=np.concatenate((sample.boxes[:5] + np.array([0, 1, 0, 1], np.float32) * 0, all_ignored)),
        labels=np.zeros(7, np.int64),
        ignored=np.arange(7) >= 5,
    )
    assert len(paste_copies(free, np.random.default_rng(0), 1.0).boxes) == 7


def test_color_changes_hue_but_not_grey() -> None:
    image = painted((100, 100), side=8).image
    grey = np.repeat(image[:, :, :1], 3, axis=2)
    varied = [jitter_color(image, np.random.default_rng(seed), hue=0.1, saturation=0.5) for seed in range(3)]
    assert all(not np.array_equal(each, image) for each in varied) and not np.array_equal(varied[0], varied[1])
    assert np.array_equal(jitter_color(grey, np.random.default_rng(0), hue=0.1, saturation=0.5), grey)
    assert jitter_color(image, np.random.default_rng(0), hue=0, saturation=0) is image
    red = np.full((2, 2, 3), (250, 0, 0), np.uint8)
    turned = [jitter_color(red, np.random.default_rng(seed), hue=0.5, saturation=0.0)[0, 0] for seed in range(20)]
    assert min(color[0] for color in turned) < 60 and all(color.max() >= 248 for color in turned)


def test_augmentation_is_a_function_of_the_generator() -> None:
    sample = painted((480, 640))
    strength = replace(EVERYTHING, light=0.2, hue=0.05, saturation=0.3)

    def made(seed: int) -> Sample:
        return augment(
            lambda: sample,
            np.random.default_rng(seed),
            input_hw=(320, 384),
            fit="letterbox",
            strength=strength,
            mosaic_allowed=True,
        )

    for seed in range(8):
        one, other = made(seed), made(seed)
        assert np.array_equal(one.image, other.image) and np.array_equal(one.boxes, other.boxes)
    assert not np.array_equal(made(0).image, made(1).image)
