"""A detector whose architecture has tiles is trained, scored and run on tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from search_space import DESIGNS, Detector, TileGrid
from trainers import fresh_detector
from trainers.data import Dataset, Record
from trainers.data.augmentation import Augmentation
from trainers.data.batches import BatchStream
from trainers.data.compose import tile_of, tile_window
from trainers.data.geometry import Sample
from trainers.detect import evaluation_mode
from trainers.evaluation import detect_dataset
from trainers.heads import DetectionLimits
from trainers.tiling import Tiling, detect_all, windows_of

GRID = TileGrid.of("2x2")
HW = (120, 200)
LIMITS = DetectionLimits(score_threshold=0.0, max_detections=50)


@pytest.fixture
def cut() -> Detector:
    architecture = DESIGNS.get("yolov8n-p2-nop5").architecture.resized((64, 64))
    return fresh_detector(replace(architecture, tiles=GRID), num_classes=1, seed=0)


def picture(hw: tuple[int, int] = HW) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*hw, 3)).astype(np.uint8)


def test_only_an_image_larger_than_the_input_is_cut() -> None:
    assert tile_of(GRID, HW, (64, 64)) == GRID.tile_hw(HW)
    assert tile_of(GRID, (64, 64), (64, 64)) is None and tile_of(GRID, (64, 65), (64, 64)) is not None
    assert tile_of(TileGrid(), HW, (64, 64)) is None


def test_a_detector_with_tiles_finds_what_it_finds_in_these_slices(cut: Detector) -> None:
    tiling = Tiling(tile_hw=GRID.tile_hw(HW), overlap=GRID.overlap)
    assert len(windows_of(cut, HW, cut.input_hw)) == 4
    with evaluation_mode(cut):
        ours = detect_all(cut, [picture()], input_hw=cut.input_hw, limits=LIMITS)[0]
        slices = detect_all(cut, [picture()], input_hw=cut.input_hw, limits=LIMITS, tiling=tiling)[0]
    np.testing.assert_array_equal(ours.boxes, slices.boxes)
    np.testing.assert_array_equal(ours.scores, slices.scores)
    whole = Detector(replace(cut.graph, tiles=TileGrid()))
    whole.load_state_dict(cut.state_dict())
    with evaluation_mode(whole):
        other = detect_all(whole, [picture()], input_hw=cut.input_hw, limits=LIMITS)[0]
    assert not np.array_equal(ours.boxes, other.boxes)


def one_image(hw: tuple[int, int] = HW) -> Dataset:
    boxes = np.array([[90, 50, 110, 70]], np.float32)
    record = Record(path=None, height=hw[0], width=hw[1], boxes=boxes, labels=np.zeros(1, np.int64))
    return Dataset((record,), ("a",), reader=lambda _: picture(hw))


def test_a_data_set_is_scored_in_tiles(cut: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    forward = Detector.forward
    monkeypatch.setattr(
        Detector, "forward", lambda self, images: (batches.append(len(images)), forward(self, images))[1]
    )
    detect_dataset(cut, one_image())
    assert sum(batches) == 4


def test_a_window_shows_an_object_as_a_tile_does() -> None:
    """A tile of 67x112 px in an input of 64x64: a box of 20 px has 11 px, where the whole image gives it 6."""
    sample = Sample(
        image=picture(),
        boxes=np.array([[90, 50, 110, 70]], np.float32),
        labels=np.zeros(1, np.int64),
        ignored=np.zeros(1, bool),
    )
    tile_hw = GRID.tile_hw(HW)
    rng = np.random.default_rng(1)
    found = [tile_window(sample, rng, tile_hw, input_hw=(64, 64), fit="letterbox", jitter=0.0) for _ in range(40)]
    whole = [each.boxes[0] for each in found if len(each.boxes) and np.ptp(each.boxes[0, [0, 2]]) > 1]
    sides = [np.ptp(box[[0, 2]]) for box in whole]
    assert len(whole) > 20 and np.median(sides) == pytest.approx(20 * 64 / tile_hw[1], rel=0.02)
    assert {each.image.shape[:2] for each in found} == {(round(tile_hw[0] * 64 / tile_hw[1]), 64)}


@pytest.mark.parametrize(("tiles", "side"), [(GRID, 20 * 64 / 112), (TileGrid(), 20 * 64 / 200)])
def test_a_training_sees_tiles(tiles: TileGrid, side: float) -> None:
    plain = Augmentation(mosaic=0.0, scale=0.0, translate=0.0, flip=0.0)
    stream = BatchStream(
        dataset=one_image(),
        input_hw=(64, 64),
        fit="letterbox",
        batch_size=1,
        num_steps=12,
        seed=0,
        strength=plain,
        tiles=tiles,
    )
    boxes = [stream.batch(step).objects.boxes for step in range(12)]
    widths = [float(box[0, 2] - box[0, 0]) for box in boxes if len(box)]
    assert np.median(widths) == pytest.approx(side, rel=0.05)
