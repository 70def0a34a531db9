"""Bounding boxes of COCO segmentations: polygons and run-length encoded masks."""

from __future__ import annotations

import math

import numpy as np

from trainers.data.diagnostics import Corners
from trainers.data.images import MAX_PIXELS
from trainers.data.json_values import number

_MIN_VALUES = 6
"""A polygon has at least three points."""


def box_of_segmentation(segmentation: object, hw: tuple[int, int]) -> Corners:
    """Returns the bounding box `(x1, y1, x2, y2)` in pixels of a segmentation in an image of (height, width).

    A segmentation is a list of polygons `[x, y, x, y, ...]`, one such polygon, or a mask `{"size": [height, width],
    "counts": ...}`, whose runs in column order are a list or the text of the COCO API.

    Raises:
        ValueError: it is none of these, or the mask has another size than the image.
    """
    if isinstance(segmentation, dict):
        return _box_of_mask(segmentation, hw)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("it has neither a bbox nor a segmentation")
    polygons = segmentation if isinstance(segmentation[0], list) else [segmentation]
    values: list[float] = []
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < _MIN_VALUES or len(polygon) % 2:
            raise ValueError(f"it has no bbox, and a polygon with fewer than {_MIN_VALUES // 2} points or half a point")
        values.extend(number(value) for value in polygon)
    if not all(math.isfinite(value) for value in values):
        raise ValueError("it has no bbox, and a polygon with values that are not numbers")
    xs, ys = values[0::2], values[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def _box_of_mask(mask: dict[str, object], hw: tuple[int, int]) -> Corners:
    size, counts = mask.get("size"), mask.get("counts")
    if size != list(hw):
        raise ValueError(f"it has no bbox, and a mask of the size {str(size)[:40]} in an image of {list(hw)}")
    runs = _decoded(counts) if isinstance(counts, str) else counts
    height, area = hw[0], hw[0] * hw[1]
    if not isinstance(runs, list) or not all(type(run) is int and 0 <= run <= MAX_PIXELS for run in runs):
        raise ValueError("it has no bbox, and a mask whose counts are not run lengths")
    if sum(runs) != area:
        raise ValueError(f"it has no bbox, and a mask with {sum(runs)} instead of {area} pixels")
    ends = np.cumsum(np.array(runs, np.int64))
    starts = ends - np.array(runs, np.int64)
    starts, ends = starts[1::2], ends[1::2]  # the first run is background
    starts, lasts = starts[ends > starts], ends[ends > starts] - 1
    if not len(starts):
        return 0.0, 0.0, 0.0, 0.0
    one_column = bool((starts // height == lasts // height).all())  # other runs touch the top and the bottom
    top, bottom = ((starts % height).min(), (lasts % height).max() + 1) if one_column else (0, height)
    return float(starts[0] // height), float(top), float(lasts[-1] // height + 1), float(bottom)


def _decoded(text: str) -> list[int]:
    """Returns the run lengths of the text of the COCO API: groups of 5 bits, the lowest first, from the character "0"
    on; bit 6 says that more follow. From the fourth run on, the difference to the run two before is stored.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - ord("0")
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("it has no bbox, and a mask whose counts are not in the encoding of the COCO API")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << (shift - 4) if bits & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("it has no bbox, and a mask whose counts end in the middle of a number")
    return runs
