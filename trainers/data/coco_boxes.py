"""The boxes of a COCO annotation file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.data.annotation_json import AnnotationJson
from trainers.data.categories import Categories
from trainers.data.dataset import EVERY_CLASS, Boxes, Labels
from trainers.data.defects import SourceLocation
from trainers.data.diagnostics import MIN_SIDE_PX, Annotation, Corners, Diagnostics
from trainers.data.json_values import flag, number, shown_value
from trainers.data.segmentation import box_of_segmentation
from trainers.data.tinyperson import IGNORING

_IGNORING = ("ignore",)
_NUMBERS = frozenset({int, float})


def annotation_location(file: AnnotationJson, index: int, name: str) -> SourceLocation:
    """Returns the location of annotation `index`, of the image `name`."""
    entry = file.annotations[index]
    own_id = entry.get("id") if isinstance(entry, dict) else "without id"
    return file.location("annotations", index, "annotation", own_id, "at index", index, "of", name)


@dataclass(frozen=True, kw_only=True)
class BoxReader:
    """Reads the annotations of a file."""

    file: AnnotationJson
    categories: Categories
    diagnostics: Diagnostics
    every_class: bool
    """Whether ignored regions apply to every class."""
    num_classes: int
    """Classes that can have objects."""

    def plain(self, indices: Sequence[int], hw: tuple[int, int]) -> tuple[Boxes, Labels] | None:
        """Returns the boxes `(N, 4)` and labels of annotations of an image of (height, width) if nothing is to be told.

        None: there may be defects or notes, so that `read` has to look at each of them.
        """
        chosen = np.array(indices, np.int64)
        labels, corners = self._labels[chosen], self._corners[chosen]
        low, high = corners[:, :2], corners[:, 2:]
        inside = (low >= 0).all() and (low <= high - MIN_SIDE_PX).all() and (high <= (hw[1], hw[0])).all()
        if not inside or (labels < 0).any() or len(set(map(tuple, corners.tolist()))) < len(corners):
            return None
        return corners.astype(np.float32), labels

    @cached_property
    def _corners(self) -> NDArray[np.float64]:
        """`(N, 4)`: the corners of each annotation; 0 where it is not plain."""
        boxes = np.append(self.file.annotations.tables.boxes, np.zeros((1, 4)), axis=0)[self.file.annotations.rows]
        with np.errstate(over="ignore", invalid="ignore"):  # `plain` takes no box with such a corner
            return np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), axis=1)

    @cached_property
    def _labels(self) -> Labels:
        """`(N,)`: the label of each annotation; -1 where it is not plain, or its category is none or a text."""
        rows = self.file.annotations.rows
        categories, places = np.unique(self.file.annotations.tables.ids[:, 2], return_inverse=True)
        known = [self.categories.plain_label_of(each) for each in categories.tolist()]
        return np.append(np.array(known, np.int64)[places], -1)[rows]

    def read(self, index: int, image_name: str, hw: tuple[int, int]) -> Annotation | None:
        """Reads annotation `index`, of an image of (height, width), or counts it as unusable and returns None."""
        annotation = self.file.annotations[index]
        location = annotation_location(self.file, index, image_name)
        try:
            crowd = self._flag(annotation, "iscrowd", location)
            ignored = crowd
            for name in IGNORING if self.every_class else _IGNORING:
                ignored = self._flag(annotation, name, location) or ignored
        except ValueError as error:
            self.diagnostics.add("malformed", location, str(error))
            return None
        label = self.categories.label_of(annotation.get("category_id"), location, self.diagnostics)
        if label is None:
            return None
        if ignored:
            self.diagnostics.add("crowd" if crowd else "ignored", location)
        try:
            box = self._box(annotation, location, hw)
        except (ValueError, OverflowError) as error:
            self.diagnostics.add("malformed", location, str(error))
            return None
        return Annotation(box, EVERY_CLASS if ignored and self.every_class else label, ignored, location)

    def _flag(self, annotation: dict[str, Any], name: str, location: SourceLocation) -> bool:
        value = annotation.get(name, 0)
        if type(value) is int and value == 0:
            return False
        try:
            found = flag(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if isinstance(value, str):
            self.diagnostics.add("number_as_text", location)
        return found

    def _box(self, annotation: dict[str, Any], location: SourceLocation, hw: tuple[int, int]) -> Corners:
        values = annotation.get("bbox")
        if not values and annotation.get("segmentation"):
            box = box_of_segmentation(annotation["segmentation"], hw)
            self.diagnostics.add("box_of_segmentation", location)
            return box
        if not isinstance(values, list) or len(values) != 4:
            raise ValueError(f"bbox must be four numbers, got {shown_value(values)}")
        try:
            x, y, width, height = map(float if _NUMBERS.issuperset(map(type, values)) else number, values)
        except (ValueError, OverflowError):
            raise ValueError(f"bbox must be four numbers, got {shown_value(values)}") from None
        if any(isinstance(value, str) for value in values):
            self.diagnostics.add("number_as_text", location)
        return x, y, x + width, y + height
