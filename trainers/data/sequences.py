"""Read data sets of videos: a folder of frames and one text file for each sequence."""

from __future__ import annotations

import filecmp
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from search_space.errors import shortened
from trainers.data.dataset import EVERY_CLASS, Dataset, Record
from trainers.data.defects import BrokenFile, SourceLocation
from trainers.data.diagnostics import Annotation, Diagnostics
from trainers.data.images import IMAGE_SUFFIXES
from trainers.data.part_folders import part_of
from trainers.data.source import (
    ReadRequest,
    ReadResult,
    fields_of,
    is_inside,
    last_fifth,
    leaves_folder,
    numbered_lines,
    read_names,
    read_text,
)

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


def find_sequences(request: ReadRequest, style: SequenceFormat) -> ReadResult | None:
    """Opens a folder of sequences; None if there are none.

    A set without a split is divided by whole sequences: neighbouring frames are near copies.

    Raises:
        BrokenFile: two sequences list different classes.
    """
    parts = _parts(request, style) if request.path.is_dir() else {}
    if not parts:
        return None
    request.refuse_split()
    diagnostics = request.diagnostics(str(request.path))
    every = tuple(each for sequences in parts.values() for each in sequences)
    parts = _without_copies(parts, style, diagnostics)
    names = _class_names(request.path, every, style, diagnostics)
    reader = _SequenceReader(style=style, classes=names or style.classes, given=names is not None, counts=diagnostics)
    read = {part: {each.name: reader.read(each) for each in sequences} for part, sequences in parts.items()}
    if request.images is None:
        _note_unlabelled(request.path, every, diagnostics)
    notices: tuple[str, ...] = ()
    undivided = ""
    if set(read) == {"all"}:
        read, notices, undivided = _divide(read["all"], str(request.path))
    elif "val" not in read:
        read = {"train": read["train"], "val": read["test"]}
        notices = (f"{request.path} has no val part: its test part is used for validation",)
    datasets: dict[str, Dataset] = {
        part: Dataset([record for records in read[part].values() for record in records], reader.classes)
        for part in read
        if part != "test"
    }
    return ReadResult(
        format=style.name,
        datasets=datasets,
        source=str(request.path),
        notices=(*notices, *diagnostics.notices()),
        undivided_notice=undivided,
    )


def subfolders(folder: Path) -> tuple[Path, ...]:
    """Returns the folders in a folder, sorted."""
    try:
        return tuple(sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()))
    except OSError:
        return ()


def first_folder(folders: Iterable[Path]) -> Path | None:
    """Returns the first of the folders that exists."""
    return next((folder for folder in folders if folder.is_dir()), None)


def _parts(request: ReadRequest, style: SequenceFormat) -> dict[str, tuple[Sequence, ...]]:
    """Returns the sequences by part, or all as `all`; empty if there are none."""
    folders = subfolders(request.path)
    in_folders = {folder: style.find(folder, request.images) for folder in folders}
    parts: dict[str, tuple[Sequence, ...]] = {}
    for folder, found in in_folders.items():
        part = part_of(folder.name)
        if part is not None and found:
            parts[part] = (*parts.get(part, ()), *found)
    if "train" in parts and len(parts) > 1:
        return parts
    directly = style.find(request.path, request.images)
    every = {each.text: each for found in (*in_folders.values(), directly) for each in found}
    sequences = tuple(sorted(every.values(), key=lambda each: (each.name, str(each.text))))
    stated = style.published_parts(request.path)
    parts = {part: tuple(each for each in sequences if each.name in names) for part, names in stated.items()}
    if parts.get("train") and any(parts.get(part) for part in ("val", "test")):
        return {part: found for part, found in parts.items() if found}
    return {"all": sequences} if sequences else {}


def _without_copies(
    parts: dict[str, tuple[Sequence, ...]], style: SequenceFormat, diagnostics: Diagnostics
) -> dict[str, tuple[Sequence, ...]]:
    """Returns one of the sequences with the same frames, the first by name; the others are counted."""
    kept: dict[str, Sequence] = {}
    copies = []
    for each in sorted((each for found in parts.values() for each in found), key=lambda each: each.name):
        first = kept.setdefault(style.same_frames(each.name), each)
        if first.name != each.name:
            copies.append(each)
            location = SourceLocation(str(each.text), about=(each.name,))
            same = _same_text(each.text, first.text)
            what = f"it has the frames of {first.name}, but other labels; keep one of them"
            diagnostics.add("sequence_copy" if same else "duplicate_image", location, "" if same else what)
    left = {part: tuple(each for each in found if each not in copies) for part, found in parts.items()}
    return {part: found for part, found in left.items() if found}


def _same_text(one: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _class_names(
    folder: Path, sequences: tuple[Sequence, ...], style: SequenceFormat, diagnostics: Diagnostics
) -> tuple[str, ...] | None:
    """Returns the class names that files of the data set list, or None."""
    found: dict[tuple[str, ...], Path] = {}
    if style.class_file is not None:
        for path in dict.fromkeys(each.text.with_name(style.class_file) for each in sequences):
            text = read_text(path, diagnostics) if path.is_file() else None
            names = tuple(line for _, line in numbered_lines(text or ""))
            if names:
                found.setdefault(names, path)
    if len(found) > 1:
        one, other = list(found.values())[:2]
        raise BrokenFile(f"{one} and {other} list different classes; use the same in both", "classes_differ", other)
    if found:
        return next(iter(found))
    homes = dict.fromkeys(each.text.parent for each in sequences)
    return read_names((folder, *homes, *dict.fromkeys(home.parent for home in homes)), diagnostics)


def _divide(
    read: dict[str, list[Record]], source: str
) -> tuple[dict[str, dict[str, list[Record]]], tuple[str, ...], str]:
    """Returns whole sequences as `train` and `val`, with a notice; or a single one as `all`, with its notice."""
    used = tuple(name for name, records in read.items() if records)
    if len(used) < 2:
        name = "".join(used).replace("{", "{{").replace("}", "}}")
        undivided = (
            f"{{source}} has a single sequence, {name}: its last {{num_val}} of {{num_images}} frames are the val "
            "split and resemble the others, so scores are too high; add a second sequence"
        )
        return {"all": read}, (), undivided
    train, val = last_fifth(used)
    parts = {"train": {name: read[name] for name in train}, "val": {name: read[name] for name in val}}
    notice = (
        f"{source} has no train and val split: {len(val)} of {len(used)} sequences are the val split: {shortened(val)}"
    )
    return parts, (notice,), ""


def _note_unlabelled(root: Path, sequences: tuple[Sequence, ...], diagnostics: Diagnostics) -> None:
    """Notes the folders of frames beside those of the sequences that no text belongs to."""
    known = {each.frames for each in sequences}
    places: dict[tuple[Path, str], None] = {}
    for each in sequences:
        if each.frames is not None:
            own = each.frames.name == each.name
            places[each.frames.parent if own else each.frames.parent.parent, "" if own else each.frames.name] = None
    for base, inner in places:
        for folder in subfolders(base) if is_inside(base, (root,)) else ():
            place = folder / inner
            if place not in known and any(_is_frame(name) for name in _names(place)):
                diagnostics.add("sequence_without_labels", SourceLocation(str(place), about=(folder.name,)))


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _is_frame(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


@dataclass(frozen=True, kw_only=True)
class _SequenceReader:
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
        if found is None or (shift := _shift(found, frames)) is not None and self._refuse_shift(location, shift):
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

    def _refuse_shift(self, location: SourceLocation, first: tuple[int, int]) -> bool:
        what = f"its lines count frames from {first[0]}, the names of the images from {first[1]}; rename the images"
        self.counts.add("malformed_file", location, what)
        return True

    def _frames(self, sequence: Sequence) -> dict[int, Path]:
        """Returns the images by the number at the end of their names."""
        frames: dict[int, Path] = {}
        for name in _names(sequence.frames) if sequence.frames is not None else ():
            assert sequence.frames is not None
            path = sequence.frames / name
            if not _is_frame(name):
                continue
            digits = _LAST_DIGITS.search(path.stem)
            location = SourceLocation(str(path), about=(f"{sequence.name}/{name}",))
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


def is_safe_name(name: str) -> bool:
    """Returns whether a name from a file stays in the folder that it is relative to."""
    return bool(name) and "\0" not in name and not leaves_folder(name.replace("\\", "/"))
