"""Reader of Pascal VOC annotation files.

M. Everingham, L. Van Gool, C. Williams, J. Winn, A. Zisserman: The Pascal Visual Object Classes (VOC) Challenge,
IJCV 2010.
"""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from trainers.data.dataset import EVERY_CLASS, Dataset, Record
from trainers.data.defects import BrokenFile, SourceLocation
from trainers.data.diagnostics import Annotation, Corners, Diagnostics
from trainers.data.file_names import NameTable, normalized
from trainers.data.ignored_names import is_ignored_name
from trainers.data.images import MAX_PIXELS, is_file
from trainers.data.json_values import flag
from trainers.data.part_folders import (
    PART_NAMES,
    UNDIVIDED_NOTICE,
    FolderLayout,
    PartFolder,
    label_stems,
    name_rank,
    names_by_part,
    used_parts,
)
from trainers.data.source import (
    MAX_TEXT_BYTES,
    TEST,
    ReadRequest,
    ReadResult,
    leaves_folder,
    numbered_lines,
    posix_name,
    read_names,
    read_text,
)

NAME = "voc"
_ROOT = re.compile(rb"<annotation[\s/>]")
ORIGINAL = "the voc"
"""Start of `database` in the original data sets. Only there, pixels are counted from 1 and xmax, ymax are inclusive."""
NO_DATABASE = frozenset({"", "unknown", "unspecified"})
"""Placeholder values of `database` and `difficult`. With another database, flags have the meaning of that data set."""
CLASS_FLAGS = ("-1", "0", "1")
"""After the name of an image in a list of a class: it has no such object, a difficult one, or one."""
CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, kw_only=True)
class VocObject:
    """One box with its name."""

    name: str
    box: Corners
    ignored: bool
    line: int | None

    @property
    def every_class(self) -> bool:
        """Whether it is an ignored region of every class."""
        return is_ignored_name(self.name)


@dataclass(frozen=True, kw_only=True)
class VocFile:
    """The content of one annotation file."""

    path: Path
    filename: str
    hw: tuple[int, int] | None
    objects: tuple[VocObject, ...]


def find_voc(request: ReadRequest) -> ReadResult | None:
    """Opens folders of XML files with their images; None if there are none."""
    found = STYLE.find(request)
    if found is None:
        return None
    parts, notices = found
    diagnostics = request.diagnostics(str(request.path))
    if "all" in parts:
        parts, notices = _by_lists(parts["all"], request, diagnostics)
    request.refuse_split()
    homes = [part.files[0].parent for part in parts.values()]
    names = read_names((request.path, *homes, *(home.parent for home in homes)), diagnostics)
    diagnostics.num_images = sum(len(part.files) for part in parts.values())
    described = {name: _describe_all(part, diagnostics) for name, part in parts.items()}
    classes = names or _names_in(each for name, files in described.items() if name != TEST for each in files)
    for name in sorted({each.name for files in described.values() for file in files for each in file.objects}):
        if is_ignored_name(name) and name not in classes:
            diagnostics.add("ignored_class", SourceLocation(str(request.path), about=("class", repr(name))))
    datasets = {name: _read_part(parts[name], files, classes, diagnostics) for name, files in described.items()}
    source, every = str(request.path), (*notices, *diagnostics.notices())
    return ReadResult(format=NAME, datasets=datasets, source=source, notices=every, undivided_notice=UNDIVIDED_NOTICE)


def _is_annotation(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _ROOT.search(file.read(2000)) is not None
    except OSError:
        return False


STYLE = FolderLayout(suffix=".xml", annotation_folders=("Annotations", "annotations"), is_annotation=_is_annotation)


def _by_lists(
    part: PartFolder, request: ReadRequest, diagnostics: Diagnostics
) -> tuple[dict[str, PartFolder], tuple[str, ...]]:
    """Splits a folder by the lists in `ImageSets/Main` that mean train and val, or test if there is no val."""
    lists = part.files[0].parent.parent / "ImageSets" / "Main"
    used, notices = used_parts(_lists_in(lists), request, lists)
    if "train" not in used:
        return {"all": part}, ()
    by_stem = NameTable((stem, path) for path in part.files for stem in label_stems(path))
    parts = {}
    for name, path in used.items():
        files = []
        for number, line in numbered_lines(read_text(path, diagnostics) or ""):
            location, stem = SourceLocation(str(path), number), line.split()[0]
            listed = by_stem.get(line) or by_stem.get(stem) or by_stem.get(os.path.splitext(stem)[0])
            if listed is not None:
                files.append(listed)
            elif leaves_folder(stem):
                diagnostics.refuse(
                    "path_outside", location, f"{stem!r} lies outside the data set; use the name of an image"
                )
            else:
                diagnostics.add("missing_image", location, f"there is no annotation file {stem}.xml")
        if not files:
            raise BrokenFile(f"{path} lists no image of {part.files[0].parent}; list image names", "empty_set", path)
        parts[name] = PartFolder(files=tuple(dict.fromkeys(files)), folders=part.folders)
    return parts, notices


def _lists_in(folder: Path) -> dict[str, Path]:
    """Returns the list of each part.

    Besides `train.txt`, such as `Train.txt` or `set_train.txt`, but not `car_train.txt` of the original data sets,
    which states for one class in which images it is.
    """
    paths = {path.stem: path for path in folder.glob("*") if path.suffix.lower() == ".txt" and is_file(path)}
    lists = [name for name, path in paths.items() if name in PART_NAMES or not _is_class_list(path)]
    return {part: paths[names[0]] for part, names in names_by_part(lists).items()}


def _is_class_list(path: Path) -> bool:
    lines = numbered_lines(read_text(path, Diagnostics(source="")) or "")
    return bool(lines) and all(len(words := line.split()) == 2 and words[1] in CLASS_FLAGS for _, line in lines)


def _describe_all(part: PartFolder, diagnostics: Diagnostics) -> list[VocFile]:
    found = [read_voc_file(path, diagnostics) for path in part.files]
    return [each for each in found if each is not None]


def _names_in(described: Iterable[VocFile]) -> tuple[str, ...]:
    """Returns the names of the objects, sorted."""
    return tuple(sorted({each.name for file in described for each in file.objects if not each.every_class}))


def parse_xml(raw: bytes) -> tuple[ElementTree.Element, list[int]]:
    """Returns the root of an XML text and the lines on which its objects begin.

    A document type declaration is refused before anything is expanded, so that there are no entities.

    Raises:
        ValueError: the text is not XML, or declares a document type.
    """
    lines: list[int] = []

    def refuse(*_: object) -> None:
        raise ValueError("it declares a document type, which is not allowed in annotation files")

    def note(name: str, _: object) -> None:
        if name == "object":
            lines.append(guard.CurrentLineNumber)

    try:
        guard = expat.ParserCreate()
        guard.StartDoctypeDeclHandler = refuse
        guard.StartElementHandler = note
        guard.Parse(raw, True)
        return ElementTree.fromstring(raw), lines
    except (expat.ExpatError, ElementTree.ParseError, LookupError) as error:
        raise ValueError(f"it is not XML: {error}") from None


def read_voc_file(path: Path, diagnostics: Diagnostics) -> VocFile | None:
    """Reads one annotation file, or counts it as unreadable and returns None."""
    location = SourceLocation(str(path), about=(path.name,))
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise ValueError(f"it is larger than {MAX_TEXT_BYTES:,} bytes")
        root, lines = parse_xml(path.read_bytes())
    except (OSError, ValueError) as error:
        diagnostics.add("malformed_file", location, f"{path.name} is left out: {error}")
        return None
    if root.tag != "annotation":
        diagnostics.add("malformed_file", location, f"the outermost element is {root.tag[:40]!r}, not 'annotation'")
        return None
    database = (root.findtext("source/database") or "").strip().casefold()
    one_based = database.startswith(ORIGINAL)
    if one_based:
        diagnostics.add("one_based", location)
    nodes = list(root.iter("object"))
    locations = (
        [SourceLocation(str(path), line) for line in lines] if len(lines) == len(nodes) else [location] * len(nodes)
    )
    objects = [_object(node, where, database, diagnostics) for node, where in zip(nodes, locations, strict=True)]
    return VocFile(
        path=path,
        filename=(root.findtext("filename") or "").strip(),
        hw=_size(root, location, diagnostics),
        objects=tuple(each for each in objects if each is not None),
    )


def _size(root: ElementTree.Element, location: SourceLocation, diagnostics: Diagnostics) -> tuple[int, int] | None:
    """Returns (height, width), or None if the file does not state it or states 0."""
    words = [root.findtext(f"size/{side}") for side in ("height", "width")]
    try:
        height, width = (int(float(word or 0)) for word in words)
    except (ValueError, OverflowError):
        height = width = -1
    if height == width == 0:
        return None
    if not (1 <= height <= MAX_PIXELS and 1 <= width <= MAX_PIXELS):
        diagnostics.add("image_size", location, "height and width are not sizes in pixels; the image size is used")
        return None
    return height, width


def _object(
    node: ElementTree.Element, location: SourceLocation, database: str, diagnostics: Diagnostics
) -> VocObject | None:
    name = (node.findtext("name") or "").strip()
    words = [node.findtext(f"bndbox/{side}") for side in CORNERS]
    if not name or None in words:
        diagnostics.add("malformed", location, "an object needs a name and a bndbox with xmin, ymin, xmax and ymax")
        return None
    try:
        x1, y1, x2, y2 = (float(word or "") for word in words)
    except ValueError:
        diagnostics.add("not_a_number", location, f"the corners {words} are not all numbers")
        return None
    first = 1 if database.startswith(ORIGINAL) else 0
    word = (node.findtext("difficult") or "").strip()
    try:
        difficult = word.casefold() not in NO_DATABASE and flag(word)
    except ValueError as error:
        diagnostics.add("malformed", location, f"difficult: {error}")
        return None
    ignored = difficult and (bool(first) or database in NO_DATABASE)
    if difficult:
        diagnostics.add("difficult" if ignored else "difficult_kept", location)
    return VocObject(name=name, box=(x1 - first, y1 - first, x2, y2), ignored=ignored, line=location.line)


def _read_part(
    part: PartFolder, described: list[VocFile], classes: tuple[str, ...], diagnostics: Diagnostics
) -> Dataset:
    images = part.images()
    found = [(file, images.of(file.path, _last_name(file)) or images.named(_last_name(file))) for file in described]
    if not any(image for _, image in found) and not any(images.of(path) for path in part.files):
        raise part.none_found()
    index_of = {name: index for index, name in enumerate(classes)}
    records = (
        (_record(file, image, index_of, diagnostics), SourceLocation(str(file.path), about=(file.path.name,)))
        for file, image in found
    )
    for file, image in found:
        _compare_names(file, image, images.named(_last_name(file)), diagnostics)
    ranks = (name_rank(file.path, image) for file, image in found)
    return Dataset(diagnostics.distinct(records, ranks), classes)


def _last_name(file: VocFile) -> str:
    return file.filename.replace("\\", "/").rpartition("/")[2]


def _compare_names(file: VocFile, image: Path | None, named: Path | None, diagnostics: Diagnostics) -> None:
    """Counts an annotation file whose `<filename>` is not that of the image with the name of the file."""
    name, location = _last_name(file), SourceLocation(str(file.path), about=(file.path.name,))
    if not name or image is None or named == image:
        return
    if named is not None:
        text = f"its filename is {name!r}, an image that exists; {image.name} is used, which has the name of the file"
        diagnostics.add("filename_differs", location, text)
    elif normalized(os.path.splitext(name)[0]) not in map(normalized, (*label_stems(file.path), image.stem)):
        diagnostics.add("filename_missing", location)


def _record(file: VocFile, image: Path | None, index_of: dict[str, int], diagnostics: Diagnostics) -> Record | None:
    location = SourceLocation(str(file.path), about=(file.path.name,))
    name = posix_name(file.filename, location, diagnostics)
    if image is None and leaves_folder(name):
        diagnostics.add(
            "path_outside", location, f"filename {name!r} leaves the image folder; use a name without folders"
        )
        return None
    if leaves_folder(name):
        diagnostics.add("found_by_name", location)
    if image is None:
        diagnostics.add("missing_image", location, f"there is no image {name or file.path.stem}")
        return None
    hw = file.hw or diagnostics.size_of(image)
    if hw is None:
        return None
    annotations = [
        _annotation(each, SourceLocation(str(file.path), each.line), index_of, diagnostics) for each in file.objects
    ]
    return diagnostics.record(
        image, hw, [annotation for annotation in annotations if annotation is not None], num_classes=len(index_of)
    )


def _annotation(
    each: VocObject, location: SourceLocation, index_of: dict[str, int], diagnostics: Diagnostics
) -> Annotation | None:
    if each.every_class:
        diagnostics.add("ignored", location)
        return Annotation(each.box, EVERY_CLASS, True, location)
    if each.name not in index_of:
        diagnostics.add("unknown_category", location, f"{each.name[:40]!r} is not a known class")
        return None
    return Annotation(each.box, index_of[each.name], each.ignored, location)
