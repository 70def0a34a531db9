"""What is known of a format of data sets: how it is found and read, and how it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from search_space.errors import DataError
from search_space.registry import Registry

if TYPE_CHECKING:
    from trainers.data.source import Parts, Request
    from trainers.data.writing import Writing

Reader = Callable[["Request"], "Parts | None"]
"""Returns what lies at the path of a request, or None where nothing of its format does; raises DataError where it is
of the format and cannot be used."""


def check_lines(classes: tuple[str, ...]) -> None:
    """Raises DataError where the name of a class cannot be a line of a text file."""
    for name in classes:
        if not name or name != name.strip() or not name.isprintable():
            raise DataError(f"class {name!r} cannot be written as a line of classes.txt; rename it")


@dataclass(frozen=True, kw_only=True)
class Writer:
    """How data sets are written in a format. What it cannot hold is told to the user, and left out or cut out."""

    write: Callable[[Writing], None]
    """Writes the annotations, and by `Writing.put` the images, into a folder that is there and empty."""
    ignores: Literal["never", "all", "class"] = "never"
    """Whether it holds no ignored regions, only such that hold for all classes, or those of single classes as well."""
    states_sizes: bool = False
    """Whether the annotations state the size of an image."""
    keeps_windows: bool = False
    """Whether an image may be a window of a file."""
    whole_pixels: bool = False
    """Whether other tools that read the format may cut fractions of a pixel off."""
    check_classes: Callable[[tuple[str, ...]], None] = lambda classes: None
    """Raises DataError for names of classes that it cannot hold."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format. A data set whose format is not named is shown to the first readers of all, then to the second."""

    readers: tuple[Reader, ...]
    """The surest first."""
    looks: str = ""
    """What they look for in a folder, for a user whose folder holds nothing."""
    writer: Writer | None = None
    """None where nothing is converted into it."""


FORMATS: Registry[Format] = Registry("format", modules=("trainers.data.formats",))
