"""Boxes drawn on images, for `predict` and for the report of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

from results.visible import visible

if TYPE_CHECKING:
    import numpy as np

    from trainers import Detections

Color = tuple[int, int, int]
COLORS: Sequence[Color] = (
    *((230, 60, 60), (60, 160, 240), (70, 200, 90)),
    *((250, 190, 40), (190, 90, 220), (60, 210, 210)),
)
"""RGB, by the class."""
FONT_SCALE = 0.35
"""Of the text, at a line of one pixel."""
BOLD_FONT_SCALE = 0.45
EDGE: Color = (25, 25, 25)
"""Of bold boxes."""


class LineStyle(str, Enum):
    """How the outline of a box is drawn."""

    SOLID = "solid"
    DASHED = "dashed"
    DOTTED = "dotted"


PATTERNS: Mapping[LineStyle, tuple[int, int]] = MappingProxyType({LineStyle.DASHED: (4, 3), LineStyle.DOTTED: (1, 2)})
"""Lengths of a dash and of the gap after it, in widths of the line."""


@dataclass(frozen=True, kw_only=True)
class DrawnBox:
    """A box on an image."""

    corners: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the image."""
    color: Color
    """RGB."""
    text: str = ""
    """Above the upper left corner; OpenCV's font has ASCII only."""
    line: LineStyle = LineStyle.SOLID

    def scaled(self, gain: float) -> DrawnBox:
        """Returns the box on an image that is `gain` times as large."""
        x1, y1, x2, y2 = self.corners
        return replace(self, corners=(gain * x1, gain * y1, gain * x2, gain * y2))


def draw(image: np.ndarray, found: Detections, classes: Sequence[str]) -> np.ndarray:
    """Returns an image `(H, W, 3)` uint8 RGB with the boxes, classes and scores of detections."""
    return draw_boxes(
        image,
        (
            DrawnBox(
                corners=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                color=COLORS[int(label) % len(COLORS)],
                text=f"{visible(classes[label])} {score:.2f}",
            )
            for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True)
        ),
    )


def draw_boxes(image: np.ndarray, boxes: Iterable[DrawnBox], *, bold: bool = False) -> np.ndarray:
    """Returns a copy of an image with boxes.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        boxes: The later ones lie above the earlier ones.
        bold: Two pixels wide with a dark edge, around the pixels of the box, for pictures that are shown small; else
            lines are about a thousandth of the longer side.
    """
    canvas: np.ndarray = image.copy()
    width = 2 if bold else max(1, round(max(image.shape[:2]) / 1000))
    for box in boxes:
        x1, y1, x2, y2 = map(round, box.corners)
        if bold:
            x1, y1, x2, y2 = x1 - 2, y1 - 2, x2 + 2, y2 + 2
            _outline(canvas, (x1, y1, x2, y2), replace(box, color=EDGE, line=LineStyle.SOLID), width + 2)
        _outline(canvas, (x1, y1, x2, y2), box, width)
        place = (x1, max(y1 - 3, 8))
        if bold:
            _write(canvas, box.text, place, EDGE, scale=BOLD_FONT_SCALE, width=3)
            _write(canvas, box.text, place, box.color, scale=BOLD_FONT_SCALE, width=1)
        else:
            _write(canvas, box.text, place, box.color, scale=FONT_SCALE * width, width=width)
    return canvas


def _write(canvas: np.ndarray, text: str, place: tuple[int, int], color: Color, *, scale: float, width: int) -> None:
    import cv2

    if text:
        cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, color, width, cv2.LINE_AA)


def _outline(canvas: np.ndarray, corners: tuple[int, int, int, int], box: DrawnBox, width: int) -> None:
    import cv2

    if box.line is LineStyle.SOLID:
        cv2.rectangle(canvas, corners[:2], corners[2:], box.color, width)
    else:
        for start, end in _dashes(corners, PATTERNS[box.line], width):
            cv2.line(canvas, start, end, box.color, width)


def _dashes(
    corners: tuple[int, int, int, int], pattern: tuple[int, int], width: int
) -> Iterable[tuple[tuple[int, int], tuple[int, int]]]:
    """Yields the start and the end of each dash, side by side."""
    x1, y1, x2, y2 = corners
    dash, period = pattern[0] * width, sum(pattern) * width
    for first in range(x1, x2 + 1, period):
        last = min(first + dash - 1, x2)
        yield from (((first, y), (last, y)) for y in (y1, y2))
    for first in range(y1, y2 + 1, period):
        last = min(first + dash - 1, y2)
        yield from (((x, first), (x, last)) for x in (x1, x2))
