"""Boxes on images: where their pixels are, and how the lines differ."""

from __future__ import annotations

import numpy as np
import pytest

from nas.box_drawing import COLORS, EDGE, DrawnBox, LineStyle, draw, draw_boxes
from trainers import Detections

RED = (250, 10, 10)


def canvas() -> np.ndarray:
    return np.full((60, 80, 3), 200, np.uint8)


def is_color(image: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return (image == np.array(color, np.uint8)).all(axis=2)


def test_a_detection_is_an_outline_in_the_color_of_its_class() -> None:
    image = canvas()
    found = Detections(
        boxes=np.array([[10.2, 20.4, 40.6, 50.0]], np.float32), scores=np.array([0.5]), labels=np.array([1])
    )
    drawn = is_color(draw(image, found, ("a", "b")), COLORS[1])
    for row, column in ((20, 10), (20, 41), (50, 10), (50, 41), (35, 10), (50, 25)):
        assert drawn[row, column]
    assert not drawn[21:50, 11:41].any() and not drawn[51:].any() and (image == 200).all()
    assert (draw(image, found, ("a", "b"))[8:20, 10:60] != 200).any(), "class and score are above"


@pytest.mark.parametrize(
    ("line", "ratio"), [(LineStyle.SOLID, 1.0), (LineStyle.DASHED, 4 / 7), (LineStyle.DOTTED, 1 / 3)]
)
def test_lines_differ_by_their_gaps(line: LineStyle, ratio: float) -> None:
    box = DrawnBox(corners=(10, 10, 72, 52), color=RED, line=line)
    side = is_color(draw_boxes(canvas(), [box]), RED)[10, 10:73]
    assert side[0] and side.mean() == pytest.approx(ratio, abs=0.03)


def test_bold_boxes_have_a_dark_edge_and_leave_the_object_free() -> None:
    box = DrawnBox(corners=(20, 20, 40, 40), color=RED, line=LineStyle.SOLID)
    drawn = draw_boxes(canvas(), [box], bold=True)
    assert (drawn[22:39, 22:39] == 200).all() and is_color(drawn, RED).any() and is_color(drawn, EDGE).any()
    dashed = draw_boxes(canvas(), [DrawnBox(corners=box.corners, color=RED, line=LineStyle.DASHED)], bold=True)
    assert is_color(dashed, RED).sum() < 0.8 * is_color(drawn, RED).sum()
    assert is_color(dashed, EDGE).sum() > is_color(drawn, EDGE).sum(), "the gaps are dark"


def test_a_box_on_a_larger_image() -> None:
    box = DrawnBox(corners=(1, 2, 3, 4), color=RED, text="x")
    assert box.scaled(2.5) == DrawnBox(corners=(2.5, 5.0, 7.5, 10.0), color=RED, text="x")
