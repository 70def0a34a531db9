"""The annotations of a COCO file: those without anything special are stored as rows of tables, to save memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

_PLAIN_KEYS = frozenset({"id", "image_id", "category_id", "bbox", "iscrowd", "area", "segmentation"})
"""An annotation with another key is stored as it is."""
_NUMBERS = {int, float}
_INT64 = range(-(2**63), 2**63)


class Row(int):
    """Stands for a plain annotation in a list: the row of the tables that it is stored in."""

    __slots__ = ()


class PlainTables:
    """Ids, image ids, categories and boxes of plain annotations.

    Plain is an annotation with whole numbers as ids, a `bbox` of four numbers and no flag that is set.
    """

    def __init__(self) -> None:
        self._ids = array("q")
        """Three of each annotation: its own, that of its image, that of its category."""
        self._boxes = array("d")

    def stored(self, entry: dict[str, Any]) -> dict[str, Any] | Row:
        """Stores an object of a JSON file if it is a plain annotation and returns its row, otherwise the object."""
        box = entry.get("bbox")
        if type(box) is not list or len(box) != 4 or not _NUMBERS.issuperset(map(type, box)):
            return entry
        ids = (entry.get("id"), entry.get("image_id"), entry.get("category_id"))
        if not all(type(each) is int and each in _INT64 for each in ids) or not _PLAIN_KEYS.issuperset(entry):
            return entry
        crowd = entry.get("iscrowd", 0)
        if type(crowd) is not int or crowd != 0:
            return entry
        try:
            corners = array("d", box)
        except OverflowError:  # a whole number that no float can hold
            return entry
        row = Row(len(self._boxes) // 4)
        self._ids.extend(ids)  # type: ignore[arg-type]
        self._boxes.extend(corners)
        return row

    def entry(self, row: Row) -> dict[str, Any]:
        """Returns the annotation of a row, without what a reader does not need."""
        own, image, category = self._ids[3 * row : 3 * row + 3]
        return {
            "id": own,
            "image_id": image,
            "category_id": category,
            "bbox": self._boxes[4 * row : 4 * row + 4].tolist(),
        }

    @property
    def ids(self) -> NDArray[np.int64]:
        """`(N, 3)`: the id of each annotation, of its image and of its category."""
        return np.frombuffer(self._ids, np.int64).reshape(-1, 3) if self._ids else np.zeros((0, 3), np.int64)

    @property
    def boxes(self) -> NDArray[np.float64]:
        """`(N, 4)`: left, top, width and height of each annotation."""
        return np.frombuffer(self._boxes, np.float64).reshape(-1, 4) if self._boxes else np.zeros((0, 4))


class AnnotationList(Sequence[Any]):
    """The entries of a list of annotations, as `json` returns them.

    Args:
        entries: the entries; `Row`s stand for those in the tables.
        tables: of the file.
    """

    def __init__(self, entries: Sequence[Any], tables: PlainTables) -> None:
        self.entries, self.tables = entries, tables

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return AnnotationList(self.entries[index], self.tables)
        entry = self.entries[index]
        return self.tables.entry(entry) if type(entry) is Row else entry

    def own_and_image_ids(self) -> Iterator[tuple[Any, Any]]:
        """Yields the id of each annotation and that of its image; None where it has none."""
        ids = self.tables.ids[:, :2].tolist()
        for entry in self.entries:
            if type(entry) is Row:
                yield ids[entry]
            else:
                yield (entry.get("id"), entry.get("image_id")) if isinstance(entry, dict) else (None, None)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """`(N,)`: the row of each annotation in the tables; -1: it is not there."""
        return np.array([entry if type(entry) is Row else -1 for entry in self.entries], np.int64)
