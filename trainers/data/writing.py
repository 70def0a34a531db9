"""What every writer of a format is given, and the numbers and regions as files state them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainers.data.dataset import Dataset, Record

Number = int | float
WHOLE_PX = 1e-3
"""A corner this near to a whole pixel was one before it was normalised."""


@dataclass(frozen=True, kw_only=True)
class Writing:
    """One data set on its way to a folder."""

    folder: Path
    datasets: dict[str, Dataset]
    """`train` and `val`, or `all`."""
    name_of: Callable[[Record], str]
    """Returns the file name under which the image of a record is written."""
    put: Callable[[Record, Path], None]
    """Writes the image of a record into a folder."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, the same in all parts."""
        return next(iter(self.datasets.values())).classes

    @property
    def is_divided(self) -> bool:
        """Whether there are a training and a validation part."""
        return "all" not in self.datasets

    def place(self, *names: str) -> Path:
        """Returns a folder in the folder, made where it does not exist."""
        place = self.folder.joinpath(*names)
        place.mkdir(parents=True, exist_ok=True)
        return place

    def write_classes(self) -> None:
        """Writes `classes.txt`."""
        self.place().joinpath("classes.txt").write_text("\n".join(self.classes) + "\n", encoding="utf-8")


def sides(box: list[float]) -> tuple[Number, Number, Number, Number]:
    """Returns left, top, width and height of a box `(x1, y1, x2, y2)`, whole numbers where they are."""
    x1, y1, x2, y2 = box
    return number(x1), number(y1), number(x2 - x1), number(y2 - y1)


def marked(record: Record) -> list[tuple[list[float], int]]:
    """Returns the boxes `[x1, y1, x2, y2]` of an image with their labels."""
    return list(zip(record.boxes.tolist(), record.labels.tolist(), strict=True))


def regions(record: Record) -> list[tuple[list[float], int]]:
    """Returns the ignored regions of an image with their labels."""
    return list(zip(record.ignored.tolist(), record.ignored_labels.tolist(), strict=True))


def whole(box: list[float]) -> list[float]:
    """Returns a box whose corners are all whole pixels but for the rounding of a normalised form as whole pixels.

    Other tools cut the fraction off, and 416.99999 would lose a pixel.
    """
    nearest = [float(round(value)) for value in box]
    off_px = max(abs(value - near) for value, near in zip(box, nearest, strict=True))
    return nearest if off_px < WHOLE_PX else box


def number(value: float) -> Number:
    """Returns a whole number as an int, so that it is written without a point."""
    return int(value) if value.is_integer() else value
