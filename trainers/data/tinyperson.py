"""The TinyPerson extensions of COCO annotation files.

X. Yu, Y. Gong, N. Jiang, Q. Ye, Z. Han: Scale Match for Tiny Person Detection, WACV 2020.
"""

from __future__ import annotations

from typing import Any

from trainers.data.annotation_json import AnnotationJson
from trainers.data.images import MAX_PIXELS

NAME = "tinyperson"
IGNORING = ("ignore", "uncertain")
"""Flags that make an annotation an ignored region of every class."""
KEEPING = ("logo", "in_dense_image")
"""Flags without effect: a person on a logo and a person in a dense image are persons."""
CORNER = "corner"

WindowBounds = tuple[int, int, int, int]


def is_tinyperson(file: AnnotationJson) -> bool:
    """Returns whether a file has TinyPerson flags on an annotation, or the `corner` of an image window."""
    flags = {"uncertain", *KEEPING}
    return any(isinstance(entry, dict) and CORNER in entry for entry in file.images) or any(
        isinstance(entry, dict) and not flags.isdisjoint(entry) for entry in file.annotations
    )


def window_of(entry: dict[str, Any]) -> WindowBounds | None:
    """Returns the window `(x1, y1, x2, y2)` of the file that an image entry describes; None is the whole file.

    Raises:
        ValueError: the corner is not four whole numbers that span a window.
    """
    corner = entry.get(CORNER)
    if corner is None:
        return None
    if not isinstance(corner, (list, tuple)) or len(corner) != 4:
        raise ValueError
    try:
        x1, y1, x2, y2 = (int(value) for value in corner)
    except (TypeError, OverflowError):
        raise ValueError from None
    if not (0 <= x1 < x2 <= MAX_PIXELS and 0 <= y1 < y2 <= MAX_PIXELS):
        raise ValueError
    return x1, y1, x2, y2
