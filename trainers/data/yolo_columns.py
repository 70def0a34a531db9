"""What the numbers of YOLO label lines mean: boxes, boxes with further columns, and polygons.

A line is `class x y width height`, relative to the image. Further numbers are landmarks, a confidence or a track id; or
all numbers after the class are the corners of a polygon or of an oriented box. `kpt_shape` of the data YAML decides it.
Without it, the lines of the data set tell together, because further columns are the same on every line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from trainers.data.diagnostics import Corners

Meaning = Literal["box", "polygon"]
Point = tuple[float, float]

BOX_COLUMNS = 5
MIN_POLYGON_COLUMNS = 7
COMMON_SHARE = 0.9
"""Columns after a box are expected if this share of all lines has the same number of columns."""
EVIDENT_SHARE = 0.2
"""A meaning is adopted for all lines if at least this share of the long lines cannot have the other one."""
OUTWEIGHS = 9
"""How many times as many lines must speak for a meaning as against it."""
BOX_MARGIN = 0.1
"""How far a box may exceed the image, relative to the image, and a landmark its box, relative to the box."""
POLYGON_MARGIN = 0.5
"""How far the corners of a polygon may exceed the image."""
MIN_LANDMARKS_WITH_SCORE = 3
"""With fewer landmarks, a confidence after them cannot be told from the coordinates of a polygon."""
MIN_CONVEX = 6
"""The size of box and at least four landmarks practically never form a convex polygon."""
MAX_SHAPES = 2_000
"""How many long lines are examined for crossing edges."""


class MeaningOfLine(NamedTuple):
    """What one label line says."""

    corners: Corners | None
    """`(x1, y1, x2, y2)` relative to the image; None if the line has no single meaning."""
    kind: str = ""
    """A key of `NOTES` or, without corners, of `DEFECTS`; empty for a plain box."""
    what: str = ""


@dataclass(frozen=True, kw_only=True)
class ColumnLayout:
    """The meaning of the columns in a data set."""

    kpt_shape: tuple[int, int] | None = None
    """Number of landmarks and of numbers for each, from the data YAML; 0 landmarks: longer lines are polygons."""
    common: Meaning | None = None
    """Meaning of lines of more than five numbers; None if the lines do not tell."""
    uniform: bool = False
    """Whether nearly all lines have the same number of columns."""
    unclear: bool = False
    """Whether many lines can be neither, so that the others may not be what they look like."""

    def read(self, values: Sequence[float]) -> MeaningOfLine:
        """Returns the box of a line of finite numbers, the class first."""
        count = len(values)
        if count == BOX_COLUMNS:
            return MeaningOfLine(_box(values))
        if self.kpt_shape is not None and self.kpt_shape[0]:
            expected = BOX_COLUMNS + self.kpt_shape[0] * self.kpt_shape[1]
            if count == expected:
                return MeaningOfLine(_box(values), "further_columns")
            what = f"{count} numbers; a line has 5, or {expected} with kpt_shape {list(self.kpt_shape)}"
            return MeaningOfLine(None, "malformed", what)
        polygon, with_box = is_polygon_count(count), is_box_with_columns(values)
        if polygon and not _is_near_image(values[1:]) and not (with_box and self.kpt_shape is None):
            return _far(values[1:])
        if self.common == "polygon" or self.kpt_shape is not None:
            return _polygon(values) if polygon else _malformed(count)
        if self.common == "box":
            return MeaningOfLine(_box(values), "further_columns") if with_box else _malformed(count)
        if polygon and not with_box and not (self.uniform or self.unclear):
            return _polygon(values)
        return _ambiguous(count) if polygon else _malformed(count)


@dataclass(kw_only=True)
class ColumnCounts:
    """Collects what the lines of a data set tell about their columns."""

    num_short: int = 0
    """Lines of at most five numbers."""
    longer: Counter[int] = field(default_factory=Counter)
    """Longer lines by number of columns."""
    only: Counter[Meaning] = field(default_factory=Counter)
    """Longer lines that have one possible meaning, by that meaning."""
    num_neither: int = 0
    """Longer lines that can be neither a box nor a polygon."""

    def add(self, values: Sequence[float]) -> None:
        """Counts a line of more than five finite numbers."""
        count = len(values)
        self.longer[count] += 1
        box, polygon = is_box_with_columns(values), is_polygon_count(count) and _is_near_image(values[1:])
        if not box and not polygon:
            self.num_neither += 1
        elif not box:
            self.only["polygon"] += 1
        elif not polygon:
            self.only["box"] += 1
        elif self.longer.total() <= MAX_SHAPES:
            likely = likely_meaning(values)
            if likely is not None:
                self.only[likely] += 1

    def layout(self, kpt_shape: tuple[int, int] | None) -> ColumnLayout:
        """Returns the meaning of the columns; the lines decide if there is no `kpt_shape`."""
        total = self.longer.total()
        if kpt_shape is not None or not total:
            return ColumnLayout(kpt_shape=kpt_shape)
        uniform = max(self.longer.values()) >= COMMON_SHARE * (total + self.num_short)
        unclear = self.num_neither * OUTWEIGHS > total
        common = None if unclear else self._common(total, uniform)
        return ColumnLayout(common=common, uniform=uniform, unclear=unclear)

    def _common(self, total: int, uniform: bool) -> Meaning | None:
        box, polygon = self.only["box"], self.only["polygon"]
        if uniform and box >= max(1, EVIDENT_SHARE * total, OUTWEIGHS * polygon):
            return "box"
        if polygon >= max(1, EVIDENT_SHARE * total, OUTWEIGHS * box):
            return "polygon"
        several = sum(is_polygon_count(count) for count in self.longer) > 1  # as only polygons have
        return "polygon" if several and not box and not uniform else None


def is_polygon_count(count: int) -> bool:
    """Returns whether a line of so many numbers can be a class and the corners of a polygon."""
    return count >= MIN_POLYGON_COLUMNS and count % 2 == 1


def is_box_with_columns(values: Sequence[float]) -> bool:
    """Returns whether a line can be a box inside the image with landmarks in it, a confidence or a track id."""
    x1, y1, x2, y2 = box = _box(values)
    if not (x1 < x2 and y1 < y2) or min(x1, y1) < -BOX_MARGIN or max(x2, y2) > 1 + BOX_MARGIN:
        return False
    rest = values[BOX_COLUMNS:]
    if _are_score_and_id(rest) or any(_are_landmarks(rest, box, size) for size in (2, 3)):
        return True
    return any(
        len(rest) - after >= MIN_LANDMARKS_WITH_SCORE * size
        and _are_landmarks(rest[:-after], box, size)
        and _are_score_and_id(rest[-after:])
        for size in (2, 3)
        for after in (1, 2)
    )


def likely_meaning(values: Sequence[float]) -> Meaning | None:
    """Returns the meaning of a line that can be both, if the other one would be a strange coincidence.

    The corners of a polygon follow its outline, so its edges do not cross; landmarks have no such order.
    """
    points = _points(values[1:])
    if points.count((0.0, 0.0)) > 1:  # landmarks that are not visible
        return "box"
    if len(points) == 4 and _is_parallelogram(points):
        return "polygon"
    if _edges_cross(points):
        return "box"
    turns = [_turn(points[index - 2], points[index - 1], points[index]) for index in range(len(points))]
    corners = [turn for turn in turns if turn]
    return "polygon" if len(corners) >= MIN_CONVEX and len(set(corners)) == 1 else None


def _box(values: Sequence[float]) -> Corners:
    x, y, width, height = values[1:BOX_COLUMNS]
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _polygon(values: Sequence[float]) -> MeaningOfLine:
    xs, ys = values[1::2], values[2::2]
    return MeaningOfLine((min(xs), min(ys), max(xs), max(ys)), "polygon")


def _malformed(count: int) -> MeaningOfLine:
    what = f"{count} numbers that do not fit; a box has 5, a polygon an odd number from 7 on"
    return MeaningOfLine(None, "malformed", f"{what}, and other columns are the same on every line")


def _ambiguous(count: int) -> MeaningOfLine:
    what = f"{count} numbers are a box with further columns or a polygon; say kpt_shape: [N, D] in the data YAML"
    return MeaningOfLine(None, "ambiguous", f"{what}: N landmarks of D numbers, or [0, 2] for polygons")


def _far(coordinates: Sequence[float]) -> MeaningOfLine:
    limits = f"from {min(coordinates):g} to {max(coordinates):g}"
    return MeaningOfLine(None, "malformed", f"numbers {limits}; the coordinates of a polygon are 0 to 1 of the image")


def _are_score_and_id(rest: Sequence[float]) -> bool:
    """Returns whether numbers are a confidence, a track id or both."""
    if len(rest) == 1:
        return _is_share(rest[0]) or _is_id(rest[0])
    return len(rest) == 2 and any(_is_share(a) and _is_id(b) for a, b in (rest, rest[::-1]))


def _is_share(value: float) -> bool:
    return 0 <= value <= 1


def _is_id(value: float) -> bool:
    return value >= 0 and float(value).is_integer()


def _is_near_image(coordinates: Sequence[float]) -> bool:
    return -POLYGON_MARGIN <= min(coordinates) and max(coordinates) <= 1 + POLYGON_MARGIN


def _are_landmarks(rest: Sequence[float], box: Corners, size: int) -> bool:
    """Returns whether numbers are landmarks `x, y` or `x, y, visibility` that are in the box or not visible."""
    if len(rest) % size:
        return False
    x1, y1, x2, y2 = box
    wide, high = BOX_MARGIN * (x2 - x1), BOX_MARGIN * (y2 - y1)
    for index in range(0, len(rest), size):
        x, y, *visibility = rest[index : index + size]
        if any(not (_is_share(value) or value == 2) for value in visibility):
            return False
        unseen = (x == y == 0) or max(x, y) < 0 or 0 in visibility
        if not unseen and not (x1 - wide <= x <= x2 + wide and y1 - high <= y <= y2 + high):
            return False
    return True


def _points(coordinates: Sequence[float]) -> list[Point]:
    return list(zip(coordinates[0::2], coordinates[1::2], strict=True))


def _turn(a: Point, b: Point, c: Point) -> int:
    """Returns 1 for a turn to one side at `b`, -1 to the other, 0 for none."""
    area = (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])
    return 0 if abs(area) < 1e-9 else (1 if area > 0 else -1)


def _is_parallelogram(points: list[Point]) -> bool:
    a, b, c, d = points
    rounding = 0.004  # of corners in whole pixels
    return all(abs(a[axis] + c[axis] - b[axis] - d[axis]) <= rounding for axis in (0, 1))


def _edges_cross(points: list[Point]) -> bool:
    edges = [(points[index - 1], points[index]) for index in range(len(points))]
    for index, (a, b) in enumerate(edges):
        for c, d in edges[index + 2 : len(edges) - (index == 0)]:
            if _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0:
                return True
    return False
