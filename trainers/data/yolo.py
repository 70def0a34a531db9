"""Reader of YOLO label files."""

from __future__ import annotations

import math
from itertools import chain
from pathlib import Path

from trainers.data.dataset import Dataset, Record
from trainers.data.defects import SourceLocation
from trainers.data.diagnostics import Annotation, Diagnostics
from trainers.data.other_annotations import add_without_labels
from trainers.data.source import ReadRequest, ReadResult, numbered_lines, read_text
from trainers.data.yolo_columns import BOX_COLUMNS, ColumnCounts, ColumnLayout
from trainers.data.yolo_files import DATA_SUFFIX, find_darknet, find_yaml, layout_from_darknet, layout_from_yaml
from trainers.data.yolo_labels import check_label_folders, find_label_files
from trainers.data.yolo_layout import (
    YoloLayout,
    layout_beside,
    layout_from_folder,
    layout_from_part_folders,
)
from trainers.data.yolo_names import MAX_CLASSES, YAML_SUFFIXES

NumberedLines = list[tuple[int, str]]

NAME = "yolo"
NO_FOLDERS = "{source} has no train and val part: the last {num_val} of {num_images} images by name are the val split"


def find_yolo(request: ReadRequest) -> ReadResult | None:
    """Opens a data YAML, an `obj.data`, or a folder with one of them or with images and labels; else returns None."""
    diagnostics = request.diagnostics(f"labels of {request.path}")
    layout = _layout_of(request, diagnostics)
    if layout is None:
        return None
    request.refuse_split()
    taken = f"{request.path}: {', '.join(layout.taken)}"
    if layout.taken:
        words = [f"{each}," for each in layout.taken[:-1]] + [layout.taken[-1]]
        diagnostics.add("layout", SourceLocation(str(request.path), about=tuple(words)))
    datasets = read_yolo(layout, diagnostics)
    return ReadResult(
        format=NAME,
        datasets=datasets,
        source=str(request.path),
        notices=(*((taken,) if layout.taken else ()), *layout.notices, *diagnostics.notices()),
        undivided_notice=NO_FOLDERS,
    )


def _layout_of(request: ReadRequest, diagnostics: Diagnostics) -> YoloLayout | None:
    path = request.path
    if not path.is_dir():
        if path.suffix.lower() in YAML_SUFFIXES:
            return layout_from_yaml(path, request, diagnostics)
        return layout_from_darknet(path, request, diagnostics) if path.suffix.lower() == DATA_SUFFIX else None
    yaml_path = find_yaml(path)
    if yaml_path is not None:
        return layout_from_yaml(yaml_path, request, diagnostics)
    data_path = find_darknet(path)
    if data_path is not None:
        return layout_from_darknet(data_path, request, diagnostics)
    tried = (layout_from_folder, layout_from_part_folders, layout_beside)
    return next((layout for each in tried if (layout := each(request, diagnostics)) is not None), None)


def read_yolo(layout: YoloLayout, diagnostics: Diagnostics) -> dict[str, Dataset]:
    """Reads the labels of every split; an image without a label file has no objects.

    Label files with lines of more than five numbers are read last, when all such lines have been seen: together they
    tell what their columns mean (see `ColumnCounts`).
    """
    images = tuple(dict.fromkeys(chain.from_iterable(layout.parts.values())))
    diagnostics.num_images = len(images)
    labels = find_label_files(images, layout.label_path)
    counts, plain = ColumnCounts(), ColumnLayout()
    records: dict[Path, Record | None] = {}
    later: dict[Path, tuple[Path, tuple[int, int]]] = {}
    for image in images:
        records[image] = None
        hw, text = diagnostics.size_of(image), _label_text(image, labels[image], diagnostics)
        if hw is None or text is None:
            continue
        path, lines = labels[image], numbered_lines(text)
        if path is not None and _count_columns(lines, counts):
            later[image] = path, hw
        else:
            records[image] = _record(image, hw, path, lines, layout, plain, diagnostics)
    columns, quiet = counts.layout(layout.kpt_shape), Diagnostics(source="")
    for image, (path, hw) in later.items():
        lines = numbered_lines(read_text(path, quiet) or "")
        records[image] = _record(image, hw, path, lines, layout, columns, diagnostics)
    check_label_folders(labels, layout.label_path, diagnostics)
    classes = layout.classes
    if classes is None:
        highest = max((int(record.labels.max(initial=0)) for record in records.values() if record), default=0)
        classes = tuple(f"class {index}" for index in range(highest + 1))
    return {
        name: Dataset([record for image in part if (record := records[image])], classes)
        for name, part in layout.parts.items()
    }


def _label_text(image: Path, labels: Path | None, diagnostics: Diagnostics) -> str | None:
    """Returns the labels of an image, or None if the file cannot be read."""
    if labels is not None:
        return read_text(labels, diagnostics)
    add_without_labels(image, diagnostics, ".txt")
    return ""


def _count_columns(lines: NumberedLines, counts: ColumnCounts) -> bool:
    """Counts the columns of every line; returns whether a line has more than those of a box."""
    longer = False
    for _, line in lines:
        if len(line.split()) <= BOX_COLUMNS:
            counts.num_short += 1
            continue
        longer = True
        values = _numbers(line)
        if values is not None and all(map(math.isfinite, values)):
            counts.add(values)
    return longer


def _numbers(line: str) -> list[float] | None:
    try:
        return [float(word) for word in line.split()]
    except ValueError:
        return None


def _record(
    path: Path,
    hw: tuple[int, int],
    labels: Path | None,
    lines: NumberedLines,
    layout: YoloLayout,
    columns: ColumnLayout,
    diagnostics: Diagnostics,
) -> Record:
    num_classes = MAX_CLASSES if layout.classes is None else len(layout.classes)
    annotations = [
        _read_line(line, num_classes, hw, columns, SourceLocation(str(labels), number), diagnostics)
        for number, line in lines
    ]
    return diagnostics.record(path, hw, [annotation for annotation in annotations if annotation is not None])


def _read_line(
    line: str,
    num_classes: int,
    hw: tuple[int, int],
    columns: ColumnLayout,
    location: SourceLocation,
    diagnostics: Diagnostics,
) -> Annotation | None:
    values = _numbers(line)
    if values is None:
        diagnostics.add("malformed", location, f"not all numbers: {line[:60]!r}")
        return None
    if len(values) < BOX_COLUMNS:
        what = f"{len(values)} numbers; a box has 5, a polygon an odd number from 7 on"
        diagnostics.add("malformed", location, what)
        return None
    if not (0 <= values[0] < num_classes and values[0].is_integer()):
        known = f"0 to {num_classes - 1}"
        diagnostics.add("class_out_of_range", location, f"class {values[0]:g} is not in {known}")
        return None
    if not all(math.isfinite(value) for value in values):
        diagnostics.add("not_a_number", location, f"values that are not numbers: {line[:60]!r}")
        return None
    meaning = columns.read(values)
    if meaning.kind:
        diagnostics.add(meaning.kind, location, meaning.what)
    if meaning.corners is None:
        return None
    x1, y1, x2, y2 = meaning.corners
    height, width = hw
    return Annotation((x1 * width, y1 * height, x2 * width, y2 * height), int(values[0]), False, location)
