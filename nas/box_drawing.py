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
FONT_SCALE = 0.4
"""Of the text, at a line of one pixel."""
BOLD_FONT_SCALE = 0.45
EDGE: Color = (25, 25, 25)
"""Of bold boxes."""
BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)


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
    """On a background of the color, above the box; OpenCV's font has ASCII only."""
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
        if box.text:
            scale, thickness = (BOLD_FONT_SCALE, 1) if bold else (FONT_SCALE * width, width)
            _label(canvas, box, (x1, y1, y2), scale=scale, thickness=thickness)
    return canvas


def _label(canvas: np.ndarray, box: DrawnBox, edges: tuple[int, int, int], *, scale: float, thickness: int) -> None:
    """Writes the text of a box on a background of its color: above the box, below it where there is no room above.

    Args:
        canvas: `(H, W, 3)`, drawn on.
        box: Whose text is written.
        edges: The left, upper and lower edge of what was drawn, in pixels.
        scale: Of the font.
        thickness: Of its strokes, in pixels.
    """
    import cv2

    left, top, bottom = edges
    font, margin = cv2.FONT_HERSHEY_SIMPLEX, 1 + thickness
    (width, height), below = cv2.getTextSize(box.text, font, scale, thickness)
    width, height = width + 2 * margin, height + below + 2 * margin
    x = max(0, min(left, canvas.shape[1] - width))
    y = top - height if top >= height else min(bottom + 1, canvas.shape[0] - height)
    y = max(0, y)
    cv2.rectangle(canvas, (x, y), (x + width - 1, y + height - 1), box.color, cv2.FILLED)
    place = (x + margin, y + height - margin - below)
    cv2.putText(canvas, box.text, place, font, scale, _readable_on(box.color), thickness, cv2.LINE_AA)


def _readable_on(color: Color) -> Color:
    """Returns black or white, whichever has more contrast with a color (luma of Rec. 601)."""
    red, green, blue = color
    return BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > 127 else WHITE


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
