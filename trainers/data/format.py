"""The registry of data set formats, and what a format declares: its readers and its writer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from search_space.errors import DataError
from search_space.registry import Registry

if TYPE_CHECKING:
    from trainers.data.source import ReadRequest, ReadResult
    from trainers.data.writing import WriteRequest

Reader = Callable[["ReadRequest"], "ReadResult | None"]
"""Returns the data set at the path of a request, or None if the path holds nothing in this format; raises DataError if
it does, but cannot be used."""


def check_class_names(classes: tuple[str, ...]) -> None:
    """Raises DataError if a class name cannot be a line of a text file."""
    for name in classes:
        if not name or name != name.strip() or not name.isprintable():
            raise DataError(f"class {name!r} cannot be written as a line of classes.txt; rename it")


@dataclass(frozen=True, kw_only=True)
class Writer:
    """How data sets are written in a format. The user is told what the format cannot represent."""

    write: Callable[[WriteRequest], None]
    """Writes the annotations and, by `WriteRequest.write_image`, the images into an existing empty folder."""
    ignores: Literal["never", "all", "class"] = "never"
    """Ignored regions: not supported, only for all classes together, or also for single classes."""
    states_sizes: bool = False
    """Whether annotations include the image size."""
    keeps_windows: bool = False
    """Whether an image can be a window of a file."""
    whole_pixels: bool = False
    """Whether other readers of the format may truncate fractional coordinates."""
    check_classes: Callable[[tuple[str, ...]], None] = lambda classes: None
    """Raises DataError for class names that the format cannot represent."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format. To detect a format, the first readers of all formats are tried, then the second ones, and so on."""

    readers: tuple[Reader, ...]
    """The most specific first."""
    looks: str = ""
    """What the readers look for in a folder, for the message that nothing was found."""
    writer: Writer | None = None
    """None if the format is read-only."""


FORMATS: Registry[Format] = Registry("format", modules=("trainers.data.formats",))
