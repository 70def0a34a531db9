"""Read one sequence of a video data set: its frames, and the text with the boxes of all of them."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from trainers.data.dataset import EVERY_CLASS, Record
from trainers.data.defects import SourceLocation
from trainers.data.diagnostics import Annotation, Diagnostics
from trainers.data.image_files import images_among
from trainers.data.source import fields_of, numbered_lines, read_text

MAX_FRAME = 10**9
BOX_FIELDS = 6
"""Fields of a line up to the height of the box."""
_LAST_DIGITS = re.compile(r"([0-9]{1,18})$")


class LineError(ValueError):
    """A line that cannot be used; `kind` is the kind of defect."""

    def __init__(self, message: str, kind: str = "malformed") -> None:
        super().__init__(message)
        self.kind = kind


class Category(NamedTuple):
    """What a line says about its box."""

    label: int
    """Index of the class; `EVERY_CLASS` only for an ignored region."""
    ignored: bool = False


IGNORED = Category(EVERY_CLASS, True)


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """The files of one sequence."""

    name: str
    text: Path
    """Lines `frame,id,left,top,width,height,...`."""
    frames: Path | None
    """Folder of the images; None if there is none."""
    regions: Path | None = None
    """Lines of ignored regions, if they have a file of their own."""
    stated_hw: tuple[int, int] | None = None
    """Height and width that the annotations state, if they do."""
    defect: tuple[str, SourceLocation, str] | None = None
    """Kind, location and description of a defect of the sequence itself."""


@dataclass(frozen=True, kw_only=True)
class SequenceFormat:
    """How one publisher arranges sequences and writes lines."""

    name: str
    find: Callable[[Path, Path | None], tuple[Sequence, ...]]
    """Returns the sequences in a folder, given the folder of the images if the user named one."""
    num_fields: frozenset[int]
    classes: tuple[str, ...]
    """Used unless a file of the data set lists others."""
    category: Callable[[list[float], int, bool], Category]
    """Returns the category of a line, given the number of classes and whether a file lists them; raises `LineError`."""
    class_file: str | None = None
    """Name of a file beside the text of a sequence that lists classes, in addition to `classes.txt`."""
    published_parts: Callable[[Path], dict[str, frozenset[str]]] = lambda folder: {}
    """Returns the names of the sequences of each part, if a file of the publisher states them."""
    same_frames: Callable[[str], str] = lambda name: name
    """Returns a name that is equal for sequences with the same frames."""


def frames_in(folder: Path) -> list[Path]:
    """Returns the images in a folder, sorted by name; none if it cannot be read."""
    try:
        return images_among(sorted(folder / name for name in os.listdir(folder)))
    except OSError:
        return []


@dataclass(frozen=True, kw_only=True)
class SequenceReader:
    """Reads sequences as records, one per frame."""

    style: SequenceFormat
    classes: tuple[str, ...]
    given: bool
    """Whether a file lists the classes."""
    counts: Diagnostics

    def read(self, sequence: Sequence) -> list[Record]:
        """Returns the frames of a sequence with their boxes; none if its files cannot be used."""
        location = SourceLocation(str(sequence.text), about=(sequence.text.name,))
        if sequence.defect is not None and sequence.defect[0] == "path_outside":
            self.counts.refuse(*sequence.defect)
            return []
        if sequence.defect is not None:
            self.counts.add(*sequence.defect)
        frames = self._frames(sequence)
        if not frames:
            what = f"there are no frames of the sequence {sequence.name}; give their folder with --images DIR"
            self.counts.add("label_without_image", location, what)
            return []
        found = self._lines(sequence.text, self._annotation)
        if found is None:
            return []
        shift = _shift(found, frames)
        if shift is not None:
            what = f"its lines count frames from {shift[0]}, the names of the images from {shift[1]}; rename the images"
            self.counts.add("malformed_file", location, what)
            return []
        regions = self._lines(sequence.regions, self._region) if sequence.regions is not None else {}
        if regions is None:
            return []
        for frame, ignored in regions.items():
            found[frame] = [*found.get(frame, []), *ignored]
        self.counts.num_images += len(frames.keys() | found.keys())
        for frame in sorted(found.keys() - frames.keys()):
            first, number = found[frame][0].location, len(found[frame])
            self.counts.add("missing_image", first, f"there is no image of frame {frame}, which has {number} labels")
        records = [self._record(sequence, frames[frame], found.get(frame)) for frame in sorted(frames)]
        return [record for record in records if record is not None]

    def _frames(self, sequence: Sequence) -> dict[int, Path]:
        """Returns the images by the number at the end of their names."""
        frames: dict[int, Path] = {}
        for path in frames_in(sequence.frames) if sequence.frames is not None else ():
            digits = _LAST_DIGITS.search(path.stem)
            location = SourceLocation(str(path), about=(f"{sequence.name}/{path.name}",))
            if digits is None:
                self.counts.add("malformed_image", location, "its name does not end in the number of a frame")
            elif int(digits[1]) in frames:
                other = frames[int(digits[1])].name
                self.counts.add("duplicate_image", location, f"{other} is the same frame, {int(digits[1])}")
            else:
                frames[int(digits[1])] = path
        return frames

    def _lines(
        self, path: Path, read: Callable[[list[float], SourceLocation], Annotation]
    ) -> dict[int, list[Annotation]] | None:
        """Returns the annotations of a text by frame, or None if it cannot be read."""
        text = read_text(path, self.counts)
        if text is None:
            return None
        found: dict[int, list[Annotation]] = defaultdict(list)
        for number, line in numbered_lines(text):
            location = SourceLocation(str(path), number)
            try:
                values = [float(field) for field in fields_of(line)]
            except ValueError:
                self.counts.add("malformed", location, f"not all numbers: {line[:60]!r}")
                continue
            try:
                annotation = read(values, location)
                if not (values[0].is_integer() and 0 <= values[0] <= MAX_FRAME):
                    raise LineError(f"{values[0]:g} is not the number of a frame")
            except LineError as error:
                self.counts.add(error.kind, location, str(error))
                continue
            found[int(values[0])].append(annotation)
            if annotation.ignored:
                self.counts.add("ignored", location)
        return dict(found)

    def _annotation(self, values: list[float], location: SourceLocation) -> Annotation:
        if len(values) not in self.style.num_fields:
            allowed = " or ".join(str(number) for number in sorted(self.style.num_fields))
            raise LineError(f"{len(values)} numbers; a line of {self.style.name} has {allowed}")
        category = self.style.category(values, len(self.classes), self.given)
        return Annotation(_corners(values), category.label, category.ignored, location)

    def _region(self, values: list[float], location: SourceLocation) -> Annotation:
        if len(values) < BOX_FIELDS:
            raise LineError(f"{len(values)} numbers; a line of an ignored region has at least {BOX_FIELDS}")
        return Annotation(_corners(values), EVERY_CLASS, True, location)

    def _record(self, sequence: Sequence, path: Path, annotations: list[Annotation] | None) -> Record | None:
        if annotations is None:
            location = SourceLocation(str(path), about=(f"{sequence.name}/{path.name}",))
            self.counts.add("frame_without_labels", location)
        hw = sequence.stated_hw or self.counts.size_of(path)
        return None if hw is None else self.counts.record(path, hw, annotations or (), num_classes=len(self.classes))


def _corners(values: list[float]) -> tuple[float, float, float, float]:
    x, y, width, height = values[2:BOX_FIELDS]
    return x, y, x + width, y + height


def _shift(lines: dict[int, list[Annotation]], frames: dict[int, Path]) -> tuple[int, int] | None:
    """Returns the first frames of the lines and of the images if both agree once all numbers are moved by one."""
    if not lines or len(frames) < 2:
        return None
    firsts, lasts = (min(lines), min(frames)), (max(lines), max(frames))
    by = firsts[0] - firsts[1]
    return firsts if abs(by) == 1 and lasts[0] - lasts[1] == by else None
