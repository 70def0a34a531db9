"""The request to a reader and its result, and functions that read text files and check file names."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from search_space.errors import DataError
from trainers.data.class_selection import ClassSelection
from trainers.data.dataset import Dataset
from trainers.data.defects import BrokenFile, SourceLocation
from trainers.data.diagnostics import DefectLog, Diagnostics
from trainers.data.image_files import images_among
from trainers.data.pixel_range import PixelRange

Item = TypeVar("Item")

SAME_IMAGES = "train and val have the same images"
"""In a notice of a data set in which they do."""
TEST = "test"
"""Name of the part that training and search never use."""
MAX_TEXT_BYTES = 64_000_000
"""Larger files are not accepted as the annotation file of an image."""
_LINE_END = re.compile(r"\r\n|\n|\r")
_DRIVE = re.compile(r"^[A-Za-z]:")


@dataclass(frozen=True, kw_only=True)
class ReadRequest:
    """What a reader has to open."""

    path: Path
    split: str | None = None
    """Which pair of annotation files, if a folder has several."""
    images: Path | None = None
    """Folder of the images, if it cannot be found from the annotations."""
    format: str | None = None
    """The format that the user named; None if it has to be detected."""
    selection: ClassSelection = ClassSelection()
    """The classes to use; `read_data` applies it to what a reader returns."""
    with_test: bool = False
    """Whether a test part beside `train` and `val` is read too."""
    defect_log: DefectLog | None = None
    pixel_range: PixelRange | None = None
    """The values that become 0 and 255 in images of more than 8 bits; None: those of the training images."""

    def diagnostics(self, source: str) -> Diagnostics:
        """Returns the defect counter of one source."""
        return Diagnostics(source=source, defect_log=self.defect_log)

    def wanted(self, parts: dict[str, Item]) -> dict[str, Item]:
        """Returns the parts that are to be read: `test` only if it is asked for."""
        return parts if self.with_test else {name: part for name, part in parts.items() if name != TEST}

    def refuse_split(self) -> None:
        """Raises DataError if a split is requested from a data set that has only one."""
        if self.split is not None:
            raise DataError(f"split {self.split!r} was requested, but {self.path} has only one; omit --split")


@dataclass(frozen=True, kw_only=True)
class ReadResult:
    """The data set that a reader opened."""

    format: str
    datasets: dict[str, Dataset]
    """`train` and `val`, with `test` if it was asked for and there is one; or `all` if the data set has no split."""
    source: str
    """What was opened, for messages."""
    notices: tuple[str, ...] = ()
    undivided_notice: str = "{source} has no val file: the last {num_val} of {num_images} images are the val split"
    """The notice for a data set without a split."""


def last_fifth(items: tuple[Item, ...]) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Splits off the last fifth of the items, at least one; a single item is in both parts."""
    num_val = max(1, len(items) // 5)
    return (items[:-num_val], items[-num_val:]) if len(items) > 1 else (items, items)


def read_text(path: Path, diagnostics: Diagnostics) -> str | None:
    """Returns the text of an annotation file, or counts it as unreadable and returns None.

    A byte order mark (UTF-8 or UTF-16) is handled and removed; bytes that are not UTF-8 are counted as a defect and
    become question marks.
    """
    location = SourceLocation(str(path), about=(path.name,))
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            diagnostics.add("malformed_file", location, f"{path} is larger than {MAX_TEXT_BYTES:,} bytes")
            return None
        raw = path.read_bytes()
    except OSError as error:
        diagnostics.add("malformed_file", location, f"cannot read {path}: {error.strerror}")
        return None
    if b"\r\n" in raw:
        diagnostics.add("carriage_return", location)
    marked = raw.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if marked:
        diagnostics.add("byte_order_mark", location)
    encoding = "utf-8-sig" if raw.startswith(codecs.BOM_UTF8) or not marked else "utf-16"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        diagnostics.add("not_unicode", location, f"{path.name} is not in UTF-8; save it in UTF-8")
        return raw.decode(encoding, errors="replace")


def numbered_lines(text: str) -> list[tuple[int, str]]:
    """Returns the non-blank lines, stripped, with their 1-based numbers."""
    lines = enumerate(_LINE_END.split(text), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def num_fields(path: Path) -> int:
    """Returns the number of fields in the first line of a text if they all are numbers, and 0 otherwise."""
    try:
        with path.open("rb") as file:
            line = next((each for each in iter(lambda: file.readline(1000), b"") if each.strip()), b"")
        return len([float(field) for field in fields_of(line.removeprefix(b"\xef\xbb\xbf").decode())])
    except (OSError, ValueError):
        return 0


def fields_of(line: str) -> list[str]:
    """Returns the comma-separated fields of a line; a trailing comma is accepted."""
    return [field.strip() for field in line.strip().rstrip(", ").split(",")]


def read_names(folders: Iterable[Path], diagnostics: Diagnostics) -> tuple[str, ...] | None:
    """Returns the class names of the first `classes.txt` in the folders, one per line, or None.

    Raises:
        BrokenFile: a name is given twice, or a line before the last name is empty.
    """
    path = next((folder / "classes.txt" for folder in folders if os.path.isfile(folder / "classes.txt")), None)
    return read_names_file(path, diagnostics) if path else None


def read_names_file(path: Path, diagnostics: Diagnostics) -> tuple[str, ...] | None:
    """Returns the class names in a file, one per line, or None if there are none.

    Raises:
        BrokenFile: a name is given twice, or a line before the last name is empty: the ids of the names after it would
            depend on whether it counts.
    """
    lines = numbered_lines(read_text(path, diagnostics) or "")
    empty = next((index for index, (number, _) in enumerate(lines, 1) if number != index), None)
    if empty is not None:
        message = f"{path}: line {empty} is empty, and the line of a name is the id of its class; remove it or name it"
        raise BrokenFile(message, "wrong_layout", path, empty)
    return distinct_names([line for _, line in lines], path, [number for number, _ in lines]) or None


def distinct_names(names: Sequence[str], path: Path, lines: Sequence[int] | None = None) -> tuple[str, ...]:
    """Returns class names unchanged.

    Raises:
        BrokenFile: a name is given twice.
    """
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if first.setdefault(name, index) != index:
            message = f"{path}: classes {first[name]} and {index} are both called {name[:60]!r}; give each its own name"
            raise BrokenFile(message, "wrong_layout", path, lines[index] if lines else None)
    return tuple(names)


def posix_name(name: str, location: SourceLocation, diagnostics: Diagnostics) -> str:
    """Returns a file name with backslashes replaced by slashes, and counts a note."""
    if "\\" not in name:
        return name
    diagnostics.add("windows_path", location, f"{name!r} is read as a path")
    return name.replace("\\", "/")


def inner_name(name: str, location: SourceLocation, diagnostics: Diagnostics) -> str | None:
    """Returns a file name that stays inside the image folder; otherwise counts a defect and returns None.

    For readers of plug-ins that have no other way to find an image.

    Raises:
        BrokenFile: the name leaves the folder, and the data set is opened for use.
    """
    turned = posix_name(name, location, diagnostics)
    if leaves_folder(turned):
        diagnostics.refuse("path_outside", location, f"file_name {name!r} leaves the image folder; use a relative name")
        return None
    return turned


def leaves_folder(name: str) -> bool:
    """Returns whether a file name, with slashes, could leave the folder that it is relative to."""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or _DRIVE.match(name) is not None


def is_inside(path: Path, folders: Iterable[Path]) -> bool:
    """Returns whether a path is inside one of the folders; symbolic links are not followed."""
    absolute = Path(os.path.abspath(path))
    return any(absolute.is_relative_to(os.path.abspath(folder)) for folder in folders)


def listed_images(folder: Path) -> tuple[Path, ...]:
    """Returns the image files in a folder and its subfolders, sorted, without those in hidden folders."""
    found: list[Path] = []
    for place, inside, names in os.walk(folder):
        inside[:] = [name for name in inside if not name.startswith(".")]
        found += (Path(place, name) for name in names)
    return tuple(sorted(images_among(found)))


def subfolders(folder: Path) -> tuple[Path, ...]:
    """Returns the folders in a folder, sorted; none if it cannot be read."""
    try:
        return tuple(sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()))
    except OSError:
        return ()
