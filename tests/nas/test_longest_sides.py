"""The note on boxes that are longer than what the bins of a head can express."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nas.advice.longest_sides import bins_note, longest_side_px
from search_space import Detector, lower
from search_space.designs.design import DESIGNS
from trainers.boxes import decode_boxes
from trainers.data import Record


def record(*boxes: tuple[float, float]) -> Record:
    """An image of 128x256 px with boxes of these widths and heights."""
    rows = np.array([(0, 0, *each) for each in boxes], np.float32).reshape(-1, 4)
    return Record(path=None, height=128, width=256, boxes=rows, labels=np.zeros(len(rows), np.int64))


@pytest.mark.parametrize("bins", [16, 8, 4])
def test_the_longest_side_is_that_of_the_last_bin_on_both_sides(bins: int) -> None:
    logits = torch.full((1, 4, bins), -50.0)
    logits[..., -1] = 50.0
    box = decode_boxes(logits.flatten(1), torch.tensor([[100.0, 100.0]]), torch.tensor([8.0]), bins)[0]
    assert float(box[2] - box[0]) == pytest.approx(longest_side_px(bins, (4, 8)))


@pytest.mark.parametrize(
    ("bins", "sides", "said"),
    [
        (
            4,
            ((48, 20), (20, 49), (97, 4)),
            "2 of 3 training boxes have a side above 48 px",
        ),  # 2 * 3 * 8 px
        (4, ((48, 48),), None),
        (8, ((113, 3), (112, 3)), "1 of 2 training boxes have a side above 112 px"),
        (1, ((250, 100),), None),
        (0, ((250, 100),), None),
        (4, (), None),
    ],
)
def test_boxes_are_measured_by_their_longer_side(
    bins: int, sides: tuple[tuple[float, float], ...], said: str | None
) -> None:
    note = bins_note([record(*sides), record()], bins=bins, strides=(4, 8), input_hw=(128, 256), fit="letterbox")
    assert note is None if said is None else str(note).startswith(f"note: {said}")


def test_sides_are_those_in_the_input() -> None:
    given = {"bins": 4, "strides": (4, 8)}
    assert bins_note([record((90, 60))], input_hw=(64, 128), fit="letterbox", **given) is None
    assert bins_note([record((90, 60))], input_hw=(256, 128), fit="letterbox", **given) is None
    assert "up to 120 px" in str(bins_note([record((90, 60))], input_hw=(256, 128), fit="stretch", **given))


def test_no_image_has_no_note() -> None:
    assert bins_note([], bins=4, strides=(8,), input_hw=(64, 64), fit="stretch") is None


@pytest.mark.parametrize(("design", "bins"), [("yolov8n-p2-nop5", 16), ("ssd-mobilenetv1-s1l0", 0), ("tinydet-s", 0)])
def test_detectors_know_their_bins(design: str, bins: int) -> None:
    assert Detector(lower(DESIGNS.get(design).architecture, num_classes=2)).reg_max == bins
