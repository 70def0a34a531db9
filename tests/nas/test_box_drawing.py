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


@pytest.mark.parametrize("shade", [0, 127, 255])
@pytest.mark.parametrize("color", COLORS)
def test_the_text_stands_on_the_color_of_the_box(shade: int, color: tuple[int, int, int]) -> None:
    image = np.full((60, 80, 3), shade, np.uint8)
    drawn = draw_boxes(image, [DrawnBox(corners=(10, 30, 40, 50), color=color, text="car 0.50")])
    rows, columns = np.nonzero(is_color(drawn, color)[:30])
    label = drawn[rows.min() : 30, 10 : columns.max() + 1]
    assert is_color(label, color).mean() > 0.5 and 8 <= len(label) <= 20
    assert np.ptp(label @ np.array([0.299, 0.587, 0.114])) > 90, "the text contrasts with its background"
    assert (drawn[: rows.min()] == shade).all() and (drawn[32:49, 12:39] == shade).all()


@pytest.mark.parametrize(("side", "bold"), [(60, False), (60, True), (400, False), (400, True), (4000, False)])
def test_the_text_stays_in_the_image(side: int, bold: bool) -> None:
    image = np.zeros((side, side, 3), np.uint8)
    corners = (side - 12, 1, side - 2, side // 2)  # no room above, and none on the right
    drawn = draw_boxes(image, [DrawnBox(corners=corners, color=RED, text="a 0.50")], bold=bold)
    plain = draw_boxes(image, [DrawnBox(corners=corners, color=RED)], bold=bold)
    rows, columns = np.nonzero((drawn != plain).any(axis=2))
    assert rows.min() > side // 2 and columns.max() == side - 1
    assert np.ptp(rows) >= max(8, side // 100) and np.ptp(columns) > np.ptp(rows)


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
