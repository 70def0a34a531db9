"""Detection in slices: pictures of plain rectangles, and a detector that finds exactly these."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from search_space import InputFormat, TileGrid
from search_space.errors import ConfigError
from tests.trainers.conftest import tiny_detector
from trainers.data import Dataset, Record
from trainers.detect import Detections, detect, evaluation_mode
from trainers.evaluation import evaluate
from trainers.heads import DetectionLimits
from trainers.tiling import Tiling, Window, detect_all, merge, starts

LIMITS = DetectionLimits(score_threshold=0.05, max_detections=300)
RED, GREEN = 0, 1


class Rectangles(nn.Module):
    """Passes images on; whatever is bright in a channel is an object of that class."""

    head, input_hw, input_format, tiles = "rectangles", (64, 64), InputFormat(), TileGrid()

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.batches: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        return images


class RectanglesReading:
    """Scores rise or fall with the area, so that a part that is cut off scores less or more than the whole."""

    def __init__(self, *, large_first: bool) -> None:
        self.large_first = large_first

    def read(self, outputs: Tensor, limits: DetectionLimits, *more: object) -> list[tuple[Tensor, Tensor, Tensor]]:
        found = []
        for image in outputs.numpy():
            rows = []
            for label in (RED, GREEN):
                bright = (image[label] > 0.5).astype(np.uint8)
                for x, y, width, height, area in cv2.connectedComponentsWithStats(bright)[2][1:].tolist():
                    share = area / 10_000
                    rows.append((x, y, x + width, y + height, share if self.large_first else 1 - share, label))
            table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
            table = table[table[:, 4].argsort(descending=True, stable=True)]
            found.append((table[:, :4], table[:, 4].clamp(0.1, 0.9), table[:, 5].long()))
        return found


@pytest.fixture(params=[True, False], ids=["large-first", "small-first"])
def detector(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Rectangles:
    reading = RectanglesReading(large_first=request.param)
    monkeypatch.setattr("trainers.detect.head_training", lambda detector: reading)
    return Rectangles().eval()


def picture(hw: tuple[int, int], *boxes: tuple[int, int, int, int], label: int = RED) -> np.ndarray:
    image = np.zeros((*hw, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2, label] = 255
    return image


def found_in(detector: nn.Module, image: np.ndarray, tiling: Tiling | None, batch_size: int = 4) -> Detections:
    with evaluation_mode(detector):
        (found,) = detect_all(detector, [image], input_hw=(64, 64), limits=LIMITS, tiling=tiling, batch_size=batch_size)
    assert (np.diff(found.scores) <= 0).all()
    return found


def rows(boxes: np.ndarray) -> list[tuple[int, ...]]:
    assert np.allclose(boxes, boxes.round(), atol=1e-4), "coordinates are exact"
    return sorted(tuple(row) for row in boxes.round().astype(int).tolist())


def native(overlap: float = 0.25, *, whole: bool = False) -> Tiling:
    return Tiling(tile_hw=(64, 64), overlap=overlap, whole=whole)


@pytest.mark.parametrize("x", range(30, 80))
def test_an_object_across_the_border_of_slices_is_found_once(detector: Rectangles, x: int) -> None:
    box = (x, 20, x + 12, 32)
    assert rows(found_in(detector, picture((64, 200), box), native()).boxes) == [box]


@pytest.mark.parametrize("at", range(36, 66, 2))
def test_an_object_in_the_corner_of_four_slices_is_found_once(detector: Rectangles, at: int) -> None:
    box = (at, at, at + 14, at + 14)
    assert rows(found_in(detector, picture((112, 112), box), native()).boxes) == [box]


@pytest.mark.parametrize(
    "box", [(10, 10, 190, 30), (10, 10, 30, 190), (5, 5, 195, 195), (0, 0, 200, 200), (40, 100, 110, 160)]
)
def test_an_object_larger_than_a_slice_is_put_together(detector: Rectangles, box: tuple[int, int, int, int]) -> None:
    assert rows(found_in(detector, picture((200, 200), box), native()).boxes) == [box]


def random_boxes(rng: np.random.Generator, hw: tuple[int, int], largest: int) -> list[tuple[int, int, int, int]]:
    """Rectangles with two pixels at least between them."""
    taken, boxes = np.zeros(hw, bool), []
    for _ in range(25):
        width, height = rng.integers(3, largest, 2)
        if width >= hw[1] or height >= hw[0]:
            continue
        x, y = int(rng.integers(0, hw[1] - width)), int(rng.integers(0, hw[0] - height))
        around = taken[max(y - 2, 0) : y + height + 2, max(x - 2, 0) : x + width + 2]
        if not around.any():
            taken[y : y + height, x : x + width] = True
            boxes.append((x, y, x + int(width), y + int(height)))
    return sorted(boxes)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("largest", [16, 60], ids=["small", "large"])
def test_pictures_of_any_size_give_each_object_once(detector: Rectangles, seed: int, largest: int) -> None:
    rng = np.random.default_rng(seed)
    hw = (int(rng.integers(20, 260)), int(rng.integers(65, 260)))
    boxes = random_boxes(rng, hw, largest)
    found = found_in(detector, picture(hw, *boxes), native(float(rng.choice((0.1, 0.25, 0.5)))))
    assert rows(found.boxes) == boxes


def test_slices_are_scaled_to_the_input(detector: Rectangles) -> None:
    box = (28, 10, 40, 26)
    assert rows(found_in(detector, picture((32, 90), box), Tiling(tile_hw=(32, 32), overlap=0.5)).boxes) == [box]


def test_classes_do_not_merge(detector: Rectangles) -> None:
    image = picture((64, 120), (50, 10, 62, 22)) + picture((64, 120), (50, 10, 62, 22), label=GREEN)
    found = found_in(detector, image, native())
    assert rows(found.boxes) == [(50, 10, 62, 22)] * 2 and sorted(found.labels.tolist()) == [RED, GREEN]


@pytest.mark.parametrize("hw", [(64, 64), (40, 64), (64, 30), (17, 23), (1, 1)])
def test_an_image_no_larger_than_a_tile_is_as_without_tiling(hw: tuple[int, int]) -> None:
    detector = tiny_detector(num_classes=2, input_hw=(64, 64))
    image = np.random.default_rng(0).integers(0, 256, (*hw, 3), np.uint8)
    with evaluation_mode(detector):
        limits = DetectionLimits(score_threshold=0.0)
        (plain,) = detect(detector, [image], input_hw=(64, 64), limits=limits)
        (tiled,) = detect_all(detector, [image], input_hw=(64, 64), limits=limits, tiling=native(whole=True))
    assert len(plain) > 0
    for name in ("boxes", "scores", "labels"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(tiled, name))


def test_the_whole_image_is_one_more_slice(detector: Rectangles) -> None:
    box = (8, 8, 184, 120)
    image = picture((128, 192), box)
    found = found_in(detector, image, Tiling(tile_hw=(64, 64), overlap=0.25, whole=True))
    assert len(found) == 1 and np.allclose(found.boxes[0], box, atol=3)
    windows = native(whole=True).windows((128, 192))
    assert len(native(whole=True).windows((64, 40))) == 1, "a slice that is the whole image is not looked at twice"
    assert windows[-1] == Window(0, 0, 192, 128) and windows[:-1] == native().windows((128, 192))


def test_slices_run_in_batches(detector: Rectangles) -> None:
    found_in(detector, picture((64, 350), (1, 1, 9, 9)), native(), batch_size=3)
    assert len(native().windows((64, 350))) == 7 and detector.batches == [3, 3, 1]


@pytest.mark.parametrize("side", [64, 65, 100, 112, 113, 500, 1001])
@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.5, 0.9])
def test_slices_cover_the_side_with_the_overlap(side: int, overlap: float) -> None:
    at = starts(side, 64, overlap)
    assert at[0] == 0 and at[-1] == max(side - 64, 0)
    assert all(0 < b - a <= 64 - np.ceil(overlap * 64) + (overlap > 0.89) for a, b in zip(at, at[1:], strict=False))
    if len(at) > 2:
        fewer = np.linspace(0, side - 64, len(at) - 1)
        assert fewer[1] > 64 - np.ceil(overlap * 64), "one slice less would overlap too little"


def test_only_ends_inside_the_image_cut() -> None:
    boxes = np.array(
        [(0, 0, 9, 9), (91, 41, 100, 50), (91, 20, 100, 29), (40, 41, 49, 50), (20, 20, 29, 29)], np.float64
    )
    wanted = {(100, 50): [0, 0, 0, 0, 0], (101, 50): [0, 1, 1, 0, 0], (100, 51): [0, 1, 0, 1, 0]}
    for (width, height), cut in wanted.items():
        assert Window(0, 0, 100, 50).cuts(boxes, (height, width)).tolist() == [bool(each) for each in cut]
    assert Window(10, 10, 100, 50).cuts(boxes + 10, (50, 100)).tolist()[0]


def detections(*entries: tuple[Sequence[float], float], label: int = RED) -> Detections:
    boxes = np.array([box for box, _ in entries], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in entries], np.float32)
    return Detections(boxes=boxes, scores=scores, labels=np.full(len(entries), label, np.int64))


LEFT, RIGHT = Window(0, 0, 100, 100), Window(60, 0, 160, 100)


def test_a_whole_box_stands_for_a_cut_one_that_scores_more() -> None:
    found = merge(
        [LEFT, RIGHT], [detections(([88, 10, 100, 30], 0.9)), detections(([29, 11, 55, 31], 0.6))], (100, 160), LIMITS
    )
    assert found.boxes.tolist() == [[89, 11, 115, 31]] and found.scores.tolist() == [pytest.approx(0.9)]


def test_a_cut_box_inside_a_whole_one_is_the_same_though_their_overlap_is_small() -> None:
    cut, whole = detections(([84, 10, 100, 30], 0.5)), detections(([18, 6, 60, 36], 0.9))
    found = merge([LEFT, RIGHT], [cut, whole], (100, 160), LIMITS)
    assert found.boxes.tolist() == [[78, 6, 120, 36]]


def test_parts_are_compared_in_what_both_slices_see() -> None:
    """There the left part lies wholly inside the right one; it is two thirds of that part beyond it."""
    left, right = detections(([10, 10, 100, 30], 0.9)), detections(([0, 5, 70, 35], 0.8))
    found = merge([LEFT, RIGHT], [left, right], (100, 160), LIMITS)
    assert found.boxes.tolist() == [[10, 5, 130, 35]]


def test_the_same_place_in_two_classes_is_two() -> None:
    parts = [detections(([88, 10, 100, 30], 0.9)), detections(([29, 11, 55, 31], 0.6), label=GREEN)]
    assert merge([LEFT, RIGHT], parts, (100, 160), LIMITS).labels.tolist() == [RED, GREEN]


def test_neighbours_that_overlap_little_are_two() -> None:
    found = merge(
        [LEFT, RIGHT], [detections(([70, 10, 85, 30], 0.9)), detections(([21, 10, 36, 30], 0.6))], (100, 160), LIMITS
    )
    assert found.boxes.tolist() == [[70, 10, 85, 30], [81, 10, 96, 30]]


def test_a_small_whole_box_inside_a_large_whole_one_is_kept() -> None:
    found = merge(
        [LEFT, RIGHT], [detections(([62, 10, 96, 60], 0.9)), detections(([10, 20, 20, 30], 0.6))], (100, 160), LIMITS
    )
    assert len(found) == 2


def test_what_one_slice_reports_twice_stays_twice() -> None:
    """The detector's own suppression decides within a slice."""
    twice = detections(([10, 10, 30, 30], 0.9), ([10, 10, 30, 31], 0.8))
    assert len(merge([LEFT, RIGHT], [twice, detections()], (100, 160), LIMITS)) == 2


def test_the_best_detections_of_all_slices_are_kept() -> None:
    many = detections(*(([x, 50, x + 3, 53], 0.5 + x / 1000) for x in range(5, 55, 5)))
    found = merge(
        [LEFT, RIGHT], [many, detections(([90, 10, 95, 15], 0.9))], (100, 160), DetectionLimits(max_detections=4)
    )
    assert found.scores.tolist() == pytest.approx([0.9, 0.55, 0.545, 0.54])


def test_nothing_in_any_slice_is_nothing() -> None:
    found = merge([LEFT, RIGHT], [detections(), detections()], (100, 160), LIMITS)
    assert len(found) == 0 and found.boxes.shape == (0, 4)


def test_evaluation_in_slices(detector: Rectangles) -> None:
    """Scaled down to the input the small objects are gone; in slices all are found exactly."""
    boxes = np.array([(x, 37, x + 4, 42) for x in range(3, 500, 12)], np.float32)
    image = picture((80, 512), *boxes.astype(int).tolist())
    record = Record(path=None, height=80, width=512, boxes=boxes, labels=np.zeros(len(boxes), np.int64))
    dataset = Dataset([record], ("red", "green"), reader=lambda _: image)
    assert evaluate(detector, dataset).ap < 0.1
    assert evaluate(detector, dataset, tiling=native()).ap == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tile_hw": (15, 64)}, "a tile is 64x15 px"),
        ({"overlap": 1.0}, "must lie in 0..0.9"),
        ({"overlap": -0.1}, "must lie in 0..0.9"),
    ],
)
def test_a_tiling_that_cannot_be_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        Tiling(**{"tile_hw": (64, 64), **change})  # type: ignore[arg-type]
