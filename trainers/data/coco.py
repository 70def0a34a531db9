"""Reader of COCO annotation files and of their TinyPerson variant."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from trainers.data.annotation_json import (
    ANNOTATION_FOLDERS,
    AnnotationJson,
    choose_pair,
    find_pairs,
    image_root,
    is_id,
    load_annotations,
    pair_of,
    test_json_beside,
)
from trainers.data.dataset import EVERY_CLASS, Dataset, Record
from trainers.data.defects import BrokenFile, SourceLocation
from trainers.data.diagnostics import Annotation, Diagnostics
from trainers.data.images import MAX_PIXELS, is_file
from trainers.data.source import TEST, ReadRequest, ReadResult, inner_name
from trainers.data.tinyperson import NAME as TINYPERSON
from trainers.data.tinyperson import WindowBounds, is_ignored, is_tinyperson, window_of

COCO = "coco"


def find_pair_of_jsons(request: ReadRequest) -> ReadResult | None:
    """Opens a pair of annotation files in a folder, in `annotations/` or in `coco/`; None if there is none."""
    pairs = find_pairs(request.path) if request.path.is_dir() else ()
    if not pairs:
        return None
    pair, notices = choose_pair(pairs, request.split)
    return _open_pair(request, pair.train, pair.val, notices)


def find_json(request: ReadRequest) -> ReadResult | None:
    """Opens one annotation file, with its partner if it has one; of a folder, its only annotation file."""
    path = _only_json(request) if request.path.is_dir() else request.path
    if path is None or path.suffix.lower() != ".json":
        return None
    pair = pair_of(path)
    if pair is not None:
        chosen, notices = choose_pair((pair,), request.split)
        return _open_pair(request, chosen.train, chosen.val, notices)
    request.refuse_split()
    read = read_json(path, request)
    return ReadResult(format=read.format, datasets={"all": read.dataset}, source=str(path), notices=read.notices)


def _only_json(request: ReadRequest) -> Path | None:
    jsons = jsons_in(request.path)
    if len(jsons) > 1 and request.format:
        jsons = [path for path in jsons if _format(load_annotations(path)) == request.format]
    return jsons[0] if len(jsons) == 1 else None


def jsons_in(folder: Path) -> list[Path]:
    """Returns the JSON files in the folders that are searched for annotations."""
    return sorted(path for name in ANNOTATION_FOLDERS for path in (folder / name).glob("*.json") if is_file(path))


def _format(file: AnnotationJson) -> str:
    return TINYPERSON if is_tinyperson(file) else COCO


def _open_pair(request: ReadRequest, train_path: Path, val_path: Path, notices: tuple[str, ...]) -> ReadResult:
    train, val = (read_json(path, request) for path in (train_path, val_path))
    if train.dataset.classes != val.dataset.classes:
        message = f"{train_path} and {val_path} list different categories; use the same categories in both"
        raise BrokenFile(message, "classes_differ", val_path)
    test_path = test_json_beside(train_path, val_path)
    test = read_json(test_path, request) if request.with_test and test_path is not None else None
    if test is not None and test.dataset.classes != train.dataset.classes:
        message = f"{train_path} and {test_path} list different categories; use the same categories in both"
        raise BrokenFile(message, "classes_differ", test_path)
    return ReadResult(
        format=train.format,
        datasets={"train": train.dataset, "val": val.dataset} | ({} if test is None else {TEST: test.dataset}),
        source=f"{train_path} and {val_path.name}",
        notices=(*notices, *train.notices, *val.notices, *(test.notices if test is not None else ())),
    )


class CocoFile(NamedTuple):
    """The content of one annotation file."""

    format: str
    dataset: Dataset
    notices: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ImageEntry:
    """One image of an annotation file."""

    name: str | None
    """None if the file is outside the data set."""
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
        DataError: the file is not a COCO file, a file name leaves the image folder, or no image is found.
    """
    file = load_annotations(path, with_lines=request.defect_log is not None)
    format = request.format or _format(file)
    diagnostics = request.diagnostics(path.name)
    diagnostics.num_images = len(file.images)
    entries = _entries(file, diagnostics, with_windows=format == TINYPERSON)
    names = [entry.name for entry in entries.values() if entry.name is not None]
    if not names:
        raise BrokenFile(f"{path} lists no usable images; give a file that does", "empty_set", path)
    root = image_root(path, names, request.images, num_parents=4 if format == TINYPERSON else 2)
    index_of = {category["id"]: index for index, category in enumerate(file.categories)}
    _group(file, entries, diagnostics)
    records = [_record(file, entry, root, index_of, diagnostics, format) for entry in entries.values()]
    classes = [str(category["name"]) for category in file.categories]
    found = Dataset([record for record in records if record is not None], classes)
    return CocoFile(format, found, diagnostics.notices())


def _entries(file: AnnotationJson, diagnostics: Diagnostics, *, with_windows: bool) -> dict[Any, ImageEntry]:
    entries: dict[Any, ImageEntry] = {}
    for index, image in enumerate(file.images):
        named = image.get("file_name") if isinstance(image, dict) else None
        location = file.location("images", index, "image", _id(image), "at index", index, "named", named)
        if not isinstance(image, dict) or not is_id(image.get("id")) or not isinstance(image.get("file_name"), str):
            diagnostics.add("malformed_image", location, "an image needs an id and a file_name")
            continue
        name = inner_name(image["file_name"], location, diagnostics)
        try:
            window = window_of(image) if with_windows else None
        except ValueError:
            diagnostics.add("malformed_image", location, "corner must be four whole numbers x1 < x2, y1 < y2")
            continue
        if image["id"] in entries:
            diagnostics.add("duplicate_image", location, "an earlier image has the same id")
        else:
            size = _size(image, window, location, diagnostics)
            entries[image["id"]] = ImageEntry(name=name, size=size, window=window, location=location)
    return entries


def _id(entry: object) -> object:
    return entry.get("id") if isinstance(entry, dict) else "without id"


def _size(
    image: dict[str, Any], window: WindowBounds | None, location: SourceLocation, diagnostics: Diagnostics
) -> tuple[int, int] | None:
    if window is not None:
        return window[3] - window[1], window[2] - window[0]
    if not {"height", "width"} <= image.keys():
        return None
    sides = [image["height"], image["width"]]
    if not all(isinstance(side, (int, float)) and 1 <= side <= MAX_PIXELS for side in sides):
        diagnostics.add("image_size", location, "height and width are not sizes in pixels; the image size is used")
        return None
    return int(sides[0]), int(sides[1])


def _group(file: AnnotationJson, entries: dict[Any, ImageEntry], diagnostics: Diagnostics) -> None:
    """Adds every annotation to the entry of its image."""
    seen: set[Any] = set()
    for index, annotation in enumerate(file.annotations):
        image_id = annotation.get("image_id") if isinstance(annotation, dict) else None
        entry = entries.get(image_id) if is_id(image_id) else None
        if entry is None:
            location = _annotation_location(file, index, "an unknown image")
            diagnostics.add("unknown_image", location, f"no image has the id {str(image_id)[:40]}")
            continue
        number = annotation.get("id")
        if is_id(number) and number in seen:
            location = _annotation_location(file, index, entry.name)
            diagnostics.add("duplicate_annotation", location, "an earlier annotation has the same id")
        elif is_id(number):
            seen.add(number)
        entry.annotations.append(index)


def _annotation_location(file: AnnotationJson, index: int, name: str | None) -> SourceLocation:
    return file.location(
        "annotations", index, "annotation", _id(file.annotations[index]), "at index", index, "of", name
    )


def _record(
    file: AnnotationJson, entry: ImageEntry, root: Path, index_of: dict[Any, int], diagnostics: Diagnostics, format: str
) -> Record | None:
    if entry.name is None:
        return None
    path = root / entry.name
    if not is_file(path):
        diagnostics.add("missing_image", entry.location, f"there is no {entry.name} in {root}")
        return None
    hw = entry.size or diagnostics.size_of(path)
    if hw is None:
        return None
    every_class = format == TINYPERSON
    annotations = []
    for index in entry.annotations:
        location = _annotation_location(file, index, entry.name)
        annotation = _annotation(file.annotations[index], location, index_of, diagnostics, every_class)
        if annotation is not None:
            annotations.append(annotation)
    return diagnostics.record(path, hw, annotations, num_classes=len(index_of), window=entry.window)


def _annotation(
    annotation: dict[str, Any],
    location: SourceLocation,
    index_of: dict[Any, int],
    diagnostics: Diagnostics,
    every_class: bool,
) -> Annotation | None:
    crowd = bool(annotation.get("iscrowd"))
    ignored = crowd or (is_ignored(annotation) if every_class else bool(annotation.get("ignore")))
    if ignored:
        diagnostics.add("crowd" if crowd else "ignored", location)
    category = annotation.get("category_id")
    label = index_of.get(category) if is_id(category) else None
    if label is None:
        diagnostics.add("unknown_category", location, f"no category has the id {str(category)[:40]}")
        return None
    try:
        if any(isinstance(value, bool) for value in annotation["bbox"]):
            raise TypeError
        x, y, width, height = (float(value) for value in annotation["bbox"])
    except (KeyError, TypeError, ValueError, OverflowError):
        diagnostics.add("malformed", location, f"bbox must be four numbers, got {str(annotation.get('bbox'))[:60]}")
        return None
    return Annotation(
        (x, y, x + width, y + height), EVERY_CLASS if ignored and every_class else label, ignored, location
    )
