"""Read the content of labelme files: one JSON file with the shapes of one image.

K. Wada: Labelme, Image Polygonal Annotation with Python, https://github.com/wkentaro/labelme. Other programs write the
same layout, with shapes of their own.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_space.errors import is_text
from trainers.data.annotation_json import entry_lines, given_twice
from trainers.data.defects import SourceLocation
from trainers.data.diagnostics import Corners, Diagnostics
from trainers.data.ignored_names import is_ignored_name
from trainers.data.images import MAX_PIXELS
from trainers.data.json_values import number, shown_value
from trainers.data.source import MAX_TEXT_BYTES, read_text

RECTANGLE = "rectangle"
OUTLINES = {
    RECTANGLE: 2,
    "polygon": 3,
    "mask": 2,
    "rotation": 3,
    "oriented_rectangle": 3,
    "quadrilateral": 3,
}
"""Shapes of which the box is the bounding box of the points, and the least number of points."""
CIRCLE = "circle"
"""A shape of two points: the center, and one on the circle."""
_SHAPES = re.compile(rb'"shapes"\s*:\s*\[')
_HEAD_BYTES = 65_536


@dataclass(frozen=True, kw_only=True)
class LabelmeShape:
    """One shape as a box."""

    name: str
    box: Corners
    location: SourceLocation

    @property
    def ignored(self) -> bool:
        """Whether it is an ignored region of every class."""
        return is_ignored_name(self.name)


@dataclass(frozen=True, kw_only=True)
class LabelmeFile:
    """The content of one annotation file."""

    path: Path
    image_path: str
    hw: tuple[int, int] | None
    shapes: tuple[LabelmeShape, ...]


def is_labelme(path: Path) -> bool:
    """Returns whether a JSON file has a list of shapes."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            if b'"imageData"' in head and not _SHAPES.search(head) and os.fstat(file.fileno()).st_size < MAX_TEXT_BYTES:
                head += file.read()  # the image itself, as text, may stand before the shapes
    except OSError:
        return False
    return _SHAPES.search(head) is not None


def read_labelme_file(path: Path, diagnostics: Diagnostics) -> LabelmeFile | None:
    """Reads one annotation file, or counts it as unreadable and returns None."""
    location = SourceLocation(str(path), about=(path.name,))
    text = read_text(path, diagnostics)
    if text is None:
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = "it is nested too deeply" if isinstance(error, RecursionError) else f"it is not JSON: {str(error)[:80]}"
        line = getattr(error, "lineno", None)
        diagnostics.add("malformed_file", location._replace(line=line), f"{path.name} is left out: {what}")
        return None
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        diagnostics.add("malformed_file", location, "it has no list 'shapes', which every labelme file has")
        return None
    if given_twice(text, ("shapes",)):
        diagnostics.add("malformed_file", location, "it has the list 'shapes' twice; merge them")
        return None
    lines = entry_lines(text).get("shapes", []) if diagnostics.defect_log is not None else []
    shapes = content["shapes"]
    places = lines if len(lines) == len(shapes) else [None] * len(shapes)
    found = [
        (shape, _shape(shape, SourceLocation(str(path), line, ("shape", index, "of", path.name)), diagnostics))
        for index, (shape, line) in enumerate(zip(shapes, places, strict=True))
    ]
    image_path = content.get("imagePath")
    return LabelmeFile(
        path=path,
        image_path=image_path if isinstance(image_path, str) and "\0" not in image_path else "",
        hw=_size(content, location, diagnostics),
        shapes=_joined(((raw, shape) for raw, shape in found if shape is not None), diagnostics),
    )


def _size(content: dict[str, Any], location: SourceLocation, diagnostics: Diagnostics) -> tuple[int, int] | None:
    """Returns (height, width), or None if the file does not state it."""
    sides = [content.get("imageHeight"), content.get("imageWidth")]
    if sides == [None, None]:
        return None
    try:
        height, width = (int(number(side)) for side in sides)
    except (ValueError, OverflowError):
        height = width = 0
    if not (1 <= height <= MAX_PIXELS and 1 <= width <= MAX_PIXELS):
        what = "imageHeight and imageWidth are not sizes in pixels; the image size is used"
        diagnostics.add("image_size", location, what)
        return None
    return height, width


def _shape(shape: object, location: SourceLocation, diagnostics: Diagnostics) -> LabelmeShape | None:
    label = shape.get("label") if isinstance(shape, dict) else None
    name = str(label).strip() if isinstance(label, (str, int, float)) and not isinstance(label, bool) else ""
    if not isinstance(shape, dict) or not name or not is_text(name):
        diagnostics.add("malformed", location, f"a shape needs a label, got {shown_value(label)}")
        return None
    kind = shape.get("shape_type", "polygon")  # absent in files of the first versions
    if not isinstance(kind, str) or kind not in (*OUTLINES, CIRCLE):
        known = ", ".join((*OUTLINES, CIRCLE))
        diagnostics.add("malformed", location, f"a shape of type {shown_value(kind)} has no box; allowed: {known}")
        return None
    try:
        points = [(number(x), number(y)) for x, y in shape.get("points") or ()]
    except (TypeError, ValueError, OverflowError):
        diagnostics.add("malformed", location, f"points must be pairs of numbers, got {shown_value(shape['points'])}")
        return None
    least = OUTLINES.get(kind, 2)
    if len(points) < least or (kind == CIRCLE and len(points) != 2):
        diagnostics.add(
            "malformed", location, f"a {kind} of {len(points)} points; it has {least}, or more in an outline"
        )
        return None
    if kind != RECTANGLE:
        diagnostics.add("polygon", location)
    return LabelmeShape(name=name, box=_box(kind, points), location=location)


def _box(kind: str, points: list[tuple[float, float]]) -> Corners:
    """Returns the bounding box of a shape; of numbers that are not finite, only such numbers."""
    if not all(math.isfinite(value) for point in points for value in point):
        return (math.nan,) * 4
    if kind == CIRCLE:
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        return x - radius, y - radius, x + radius, y + radius
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _joined(found: Iterable[tuple[dict[str, Any], LabelmeShape]], diagnostics: Diagnostics) -> tuple[LabelmeShape, ...]:
    """Joins the outlines of one object, which have the same label and group; rectangles are objects of their own."""
    shapes: list[LabelmeShape] = []
    first: dict[tuple[str, str], int] = {}
    joined: set[int] = set()
    for raw, shape in found:
        group = raw.get("group_id")
        if group is None or raw.get("shape_type") == RECTANGLE:
            shapes.append(shape)
            continue
        index = first.setdefault((shape.name, json.dumps(group)), len(shapes))
        if index == len(shapes):
            shapes.append(shape)
            continue
        if index not in joined:
            joined.add(index)
            diagnostics.add("grouped", shape.location)
        (left, top, right, bottom), box = shapes[index].box, shape.box
        union = (min(left, box[0]), min(top, box[1]), max(right, box[2]), max(bottom, box[3]))
        whole = union if all(math.isfinite(value) for value in (*shapes[index].box, *box)) else (math.nan,) * 4
        shapes[index] = LabelmeShape(name=shape.name, box=whole, location=shapes[index].location)
    return tuple(shapes)
