"""Reader of COCO annotation files and of their TinyPerson variant."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from trainers.data.annotation_json import AnnotationJson, load_annotations
from trainers.data.categories import drop_empty_groups, read_categories
from trainers.data.coco_boxes import BoxReader, annotation_location
from trainers.data.dataset import Dataset, Record
from trainers.data.defects import BrokenFile, SourceLocation
from trainers.data.diagnostics import Diagnostics
from trainers.data.image_finder import FoundImages, find_images
from trainers.data.images import MAX_PIXELS
from trainers.data.json_pairs import Pair, choose_pair, find_pairs, jsons_in, jsons_in_parts, pair_of
from trainers.data.json_values import IdTable, is_id, number, shown_value
from trainers.data.source import TEST, ReadRequest, ReadResult, leaves_folder, posix_name
from trainers.data.tinyperson import NAME as TINYPERSON
from trainers.data.tinyperson import WindowBounds, is_tinyperson, window_of

COCO = "coco"


def find_pair_of_jsons(request: ReadRequest) -> ReadResult | None:
    """Opens a pair of annotation files in a folder, in `annotations/` or `coco/`, or in folders for train and val."""
    pairs = find_pairs(request.path) if request.path.is_dir() else ()
    return _open_pair(request, pairs) if pairs else None


def find_json(request: ReadRequest) -> ReadResult | None:
    """Opens one annotation file, with its partner if it has one; of a folder, its only annotation file."""
    path = _only_json(request) if request.path.is_dir() else request.path
    if path is None or path.suffix.lower() != ".json":
        return None
    pair = pair_of(path)
    if pair is not None:
        return _open_pair(request, (pair,))
    request.refuse_split()
    format, datasets, notices = _open_files(request, {"all": path})
    return ReadResult(format=format, datasets=datasets, source=str(path), notices=notices)


def _only_json(request: ReadRequest) -> Path | None:
    jsons = jsons_in(request.path) or jsons_in_parts(request.path)
    if len(jsons) > 1 and request.format:
        jsons = [path for path in jsons if _format(load_annotations(path)) == request.format]
    return jsons[0] if len(jsons) == 1 else None


def _format(file: AnnotationJson) -> str:
    return TINYPERSON if is_tinyperson(file) else COCO


def _open_pair(request: ReadRequest, pairs: tuple[Pair, ...]) -> ReadResult:
    pair, notices = choose_pair(pairs, request.split)
    paths = {"train": pair.train, "val": pair.val}
    if pair.test is not None and pair.test != pair.val:
        paths[TEST] = pair.test
    format, datasets, found = _open_files(request, request.wanted(paths))
    same_folder = pair.train.parent == pair.val.parent
    source = f"{pair.train} and {pair.val.name if same_folder else pair.val}"
    return ReadResult(format=format, datasets=datasets, source=source, notices=(*notices, *found))


def _open_files(request: ReadRequest, paths: dict[str, Path]) -> tuple[str, dict[str, Dataset], tuple[str, ...]]:
    """Returns the format, the data set of each annotation file, by part, and the notices.

    Raises:
        BrokenFile: the files list different categories.
    """
    files = {part: read_json(path, request) for part, path in paths.items()}
    first, *others = files.values()
    for path, other in zip(list(paths.values())[1:], others, strict=True):
        if other.dataset.classes != first.dataset.classes:
            message = f"{first.path} and {path} list different categories; use the same categories in both"
            raise BrokenFile(message, "classes_differ", path)
    groups = first.groups.intersection(*(other.groups for other in others))
    datasets, dropped = drop_empty_groups({part: file.dataset for part, file in files.items()}, groups)
    for name in dropped:
        first.diagnostics.add("empty_group", SourceLocation(str(first.path), about=("category", repr(name))))
    notices = tuple(notice for file in files.values() for notice in file.diagnostics.notices())
    return first.format, datasets, notices


class CocoFile(NamedTuple):
    """The content of one annotation file."""

    path: Path
    format: str
    dataset: Dataset
    groups: frozenset[str]
    """Classes that are the supercategory of others; no classes if they have no boxes."""
    diagnostics: Diagnostics


@dataclass(frozen=True, kw_only=True)
class ImageEntry:
    """One image of an annotation file."""

    name: str
    """With slashes; it may lead out of the data set."""
    size: tuple[int, int] | None
    window: WindowBounds | None
    location: SourceLocation
    annotations: list[int] = field(default_factory=list)
    """Indices of its annotations in the file."""


def read_json(path: Path, request: ReadRequest) -> CocoFile:
    """Reads one annotation file.

    COCO: an annotation with `iscrowd` or `ignore` is an ignored region of its class. TinyPerson: an annotation with
    `iscrowd`, `ignore` or `uncertain` is an ignored region of every class, `logo` and `in_dense_image` have no effect,
    and an image with a `corner` is a window of its file. Category ids become indices in the order of the file.

    Raises:
        DataError: the file is not a COCO file, a file name leaves the image folder and no image in it has that name,
            a category id has two names, or no image is found.
    """
    file = load_annotations(path, with_lines=request.defect_log is not None)
    format = request.format or _format(file)
    diagnostics = request.diagnostics(path.name)
    diagnostics.num_images = len(file.images)
    every_class = format == TINYPERSON
    categories = read_categories(file, diagnostics)
    entries = _entries(file, diagnostics, with_windows=every_class)
    names = tuple(dict.fromkeys(entry.name for entry in entries))
    if not names:
        raise BrokenFile(f"{path} lists no usable images; give a file that does", "empty_set", path)
    _group(file, entries, diagnostics)
    images = find_images(path, names, request.images, num_parents=4 if every_class else 2)
    boxes = BoxReader(
        file=file,
        categories=categories,
        diagnostics=diagnostics,
        every_class=every_class,
        num_classes=categories.num_objects,
    )
    records = diagnostics.distinct((_record(entry, images, boxes), entry.location) for entry in entries)
    found = Dataset(records, categories.classes)
    return CocoFile(path, format, found, categories.groups, diagnostics)


def _entries(file: AnnotationJson, diagnostics: Diagnostics, *, with_windows: bool) -> IdTable[ImageEntry]:
    entries: IdTable[ImageEntry] = IdTable()
    for index, image in enumerate(file.images):
        named = image.get("file_name") if isinstance(image, dict) else None
        location = file.location("images", index, "image", _id(image), "at index", index, "named", named)
        if not isinstance(image, dict) or not is_id(image.get("id")) or not isinstance(image.get("file_name"), str):
            diagnostics.add("malformed_image", location, "an image needs an id and a file_name")
            continue
        try:
            window = window_of(image) if with_windows else None
        except ValueError:
            diagnostics.add("malformed_image", location, "corner must be four whole numbers x1 < x2, y1 < y2")
            continue
        size = _size(image, window, location, diagnostics)
        name = posix_name(image["file_name"], location, diagnostics)
        if not entries.add(image["id"], ImageEntry(name=name, size=size, window=window, location=location)):
            diagnostics.add("duplicate_image", location, "an earlier image has the same id")
    return entries


def _id(entry: object) -> object:
    return entry.get("id") if isinstance(entry, dict) else "without id"


def _size(
    image: dict[str, Any], window: WindowBounds | None, location: SourceLocation, diagnostics: Diagnostics
) -> tuple[int, int] | None:
    if window is not None:
        return window[3] - window[1], window[2] - window[0]
    if {"height", "width"}.isdisjoint(image):
        return None
    try:
        height, width = number(image.get("height")), number(image.get("width"))
    except (ValueError, OverflowError):
        height = width = 0
    if not (1 <= height <= MAX_PIXELS and 1 <= width <= MAX_PIXELS):
        diagnostics.add("image_size", location, "height and width are not sizes in pixels; the image size is used")
        return None
    if isinstance(image["height"], str) or isinstance(image["width"], str):
        diagnostics.add("number_as_text", location)
    return int(height), int(width)


def _group(file: AnnotationJson, entries: IdTable[ImageEntry], diagnostics: Diagnostics) -> None:
    """Adds every annotation to the entry of its image."""
    seen: set[Any] = set()
    for index, (own_id, image_id) in enumerate(file.annotations.own_and_image_ids()):
        found = entries.find(image_id)
        if found is None:
            location = annotation_location(file, index, "an unknown image")
            diagnostics.add("unknown_image", location, f"no image has the id {shown_value(image_id)}")
            continue
        entry = entries[found]
        if isinstance(found, str) != isinstance(image_id, str):
            diagnostics.add("number_as_text", annotation_location(file, index, entry.name))
        if is_id(own_id) and own_id in seen:
            location = annotation_location(file, index, entry.name)
            diagnostics.add("duplicate_annotation", location, "an earlier annotation has the same id")
        elif is_id(own_id):
            seen.add(own_id)
        entry.annotations.append(index)


def _record(entry: ImageEntry, images: FoundImages, boxes: BoxReader) -> Record | None:
    diagnostics, path = boxes.diagnostics, images.paths.get(entry.name)
    if path is None:
        reason = images.reasons.get(entry.name, "")
        if leaves_folder(entry.name):
            what = f"file_name {entry.name!r} leaves the image folder; use a relative name"
            reason = reason or f"no file in {images.root} has its name"
            diagnostics.refuse("path_outside", entry.location, f"{what}, or --images DIR ({reason})")
        else:
            missing = f"there is no {entry.name} in {images.root}"
            diagnostics.add("missing_image", entry.location, f"{missing}; {reason}" if reason else missing)
        return None
    if entry.name in images.by_name:
        diagnostics.add("found_by_name", entry.location)
    hw = entry.size or diagnostics.size_of(path)
    if hw is None:
        return None
    plain = boxes.plain(entry.annotations, hw) if entry.window is None else None
    if plain is not None:
        corners, labels = plain
        return Record(path=path, height=hw[0], width=hw[1], boxes=corners, labels=labels)
    found = [boxes.read(index, entry.name, hw) for index in entry.annotations]
    annotations = [annotation for annotation in found if annotation is not None]
    return diagnostics.record(path, hw, annotations, num_classes=boxes.num_classes, window=entry.window)
