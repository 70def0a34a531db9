"""The request to a writer, and functions that prepare boxes and numbers for annotation files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainers.data.dataset import Dataset, Record

Number = int | float
WHOLE_PX = 1e-3
"""A coordinate this near to a whole pixel was one before it was normalized."""


@dataclass(frozen=True, kw_only=True)
class WriteRequest:
    """The data set that a writer has to write, and the folder for it."""

    folder: Path
    datasets: dict[str, Dataset]
    """`train` and `val`, or `all`."""
    image_name: Callable[[Record], str]
    """Returns the file name for the image of a record."""
    write_image: Callable[[Record, Path], None]
    """Writes the image of a record into a folder."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, which are the same in all splits."""
        return next(iter(self.datasets.values())).classes

    @property
    def is_divided(self) -> bool:
        """Whether there are a training and a validation split."""
        return "all" not in self.datasets

    def make_folder(self, *names: str) -> Path:
        """Returns a subfolder, which is created if needed."""
        folder = self.folder.joinpath(*names)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def write_classes(self) -> None:
        """Writes `classes.txt`."""
        self.make_folder().joinpath("classes.txt").write_text("\n".join(self.classes) + "\n", encoding="utf-8")


def xywh(box: list[float]) -> tuple[Number, Number, Number, Number]:
    """Returns left, top, width and height of a box `(x1, y1, x2, y2)`; whole numbers as int."""
    x1, y1, x2, y2 = box
    return as_number(x1), as_number(y1), as_number(x2 - x1), as_number(y2 - y1)


def labelled_boxes(record: Record) -> list[tuple[list[float], int]]:
    """Returns the boxes `[x1, y1, x2, y2]` of an image with their labels."""
    return list(zip(record.boxes.tolist(), record.labels.tolist(), strict=True))


def ignored_regions(record: Record) -> list[tuple[list[float], int]]:
    """Returns the ignored regions of an image with their labels."""
    return list(zip(record.ignored.tolist(), record.ignored_labels.tolist(), strict=True))


def snap_to_pixels(box: list[float]) -> list[float]:
    """Rounds a box to whole pixels if all its coordinates are within `WHOLE_PX` of them.

    Normalized coordinates are stored with rounding errors, and tools that truncate would read 416.99999 as 416.
    """
    nearest = [float(round(value)) for value in box]
    off_px = max(abs(value - near) for value, near in zip(box, nearest, strict=True))
    return nearest if off_px < WHOLE_PX else box


def as_number(value: float) -> Number:
    """Returns a whole number as an int, so that it is written without a decimal point."""
    return int(value) if value.is_integer() else value
