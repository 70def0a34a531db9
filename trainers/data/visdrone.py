"""Reader of VisDrone-DET annotation files.

P. Zhu, L. Wen, D. Du, X. Bian, H. Fan, Q. Hu, H. Ling: Detection and Tracking Meet Drones Challenge, TPAMI 2021.
"""

from __future__ import annotations

from pathlib import Path

from trainers.data.dataset import EVERY_CLASS, Dataset, Record
from trainers.data.defects import BrokenFile, SourceLocation
from trainers.data.diagnostics import Annotation, Diagnostics
from trainers.data.other_annotations import add_without_labels
from trainers.data.part_folders import UNDIVIDED_NOTICE, FolderLayout, PartFolder, name_rank
from trainers.data.source import (
    ReadRequest,
    ReadResult,
    fields_of,
    num_fields,
    numbered_lines,
    read_names,
    read_text,
)

NAME = "visdrone"
CLASSES = (
    "pedestrian",
    "people",
    "bicycle",
    "car",
    "van",
    "truck",
    "tricycle",
    "awning-tricycle",
    "bus",
    "motor",
)
"""Categories 1 to 10. Category 11, others, is not part of the VisDrone evaluation; it is a class only if `classes.txt`
lists eleven classes."""
IGNORED_CATEGORY = 0
MIN_FIELDS = 6
MAX_FIELDS = 8
VIDEO_LINE = "frame,id,left,top,width,height,score,category,truncation,occlusion"
NEXT_STEP = (
    "open the folder that has sequences/NAME with its frames and annotations/NAME.txt, or remove the first two columns"
)


def find_visdrone(request: ReadRequest) -> ReadResult | None:
    """Opens folders `annotations/` and `images/`, directly or in folders for train and val; None if there are none."""
    found = STYLE.find(request)
    if found is None:
        return None
    parts, notices = found
    request.refuse_split()
    _refuse_videos(parts)
    diagnostics = request.diagnostics(str(request.path))
    homes = [part.files[0].parent for part in parts.values()]
    names = read_names((request.path, *homes, *(home.parent for home in homes)), diagnostics)
    diagnostics.num_images = sum(len(part.files) for part in parts.values())
    datasets = {name: _read_part(part, names or CLASSES, names is None, diagnostics) for name, part in parts.items()}
    return ReadResult(
        format=NAME,
        datasets=datasets,
        source=str(request.path),
        notices=(*notices, *diagnostics.notices()),
        undivided_notice=UNDIVIDED_NOTICE,
    )


def _refuse_videos(parts: dict[str, PartFolder]) -> None:
    """Raises BrokenFile if no file has the columns of VisDrone-DET, but some have those of VisDrone-VID."""
    seen = 0
    for file in (file for part in parts.values() for file in part.files):
        number = num_fields(file)
        if MIN_FIELDS <= number <= MAX_FIELDS:
            return
        seen = max(seen, number)
    if seen > MAX_FIELDS:
        first = next(iter(parts.values())).files[0]
        raise BrokenFile(f"{first.parent}: {_about_video(seen)}", "wrong_layout", first, 1)


def _about_video(number: int) -> str:
    return (
        f"lines of {number} numbers are those of VisDrone-VID, VisDrone-MOT or MOT ({VIDEO_LINE}); "
        f"VisDrone-DET has {MAX_FIELDS} at most; {NEXT_STEP}"
    )


def _is_annotation(path: Path) -> bool:
    """Returns whether the first line of a file is at least six comma-separated numbers."""
    return num_fields(path) >= MIN_FIELDS


STYLE = FolderLayout(suffix=".txt", annotation_folders=("annotations", "Annotations"), is_annotation=_is_annotation)


def _read_part(part: PartFolder, classes: tuple[str, ...], with_others: bool, diagnostics: Diagnostics) -> Dataset:
    images = part.images()
    image_of = {path: images.of(path) for path in part.files}
    if not any(image_of.values()):
        raise part.none_found()
    found = (
        (_record(path, image, len(classes), with_others, diagnostics), SourceLocation(str(path), about=(path.name,)))
        for path, image in image_of.items()
    )
    ranks = (name_rank(path, image) for path, image in image_of.items())
    records = diagnostics.distinct(found, ranks)
    annotated = set(image_of.values())
    for image in images.all():
        if image not in annotated:
            add_without_labels(image, diagnostics, ".txt")
    return Dataset(records, classes)


def _record(
    path: Path, image: Path | None, num_classes: int, with_others: bool, diagnostics: Diagnostics
) -> Record | None:
    if image is None:
        diagnostics.add("label_without_image", SourceLocation(str(path), about=(path.name,)), "it has no image")
        return None
    hw, text = diagnostics.size_of(image), read_text(path, diagnostics)
    if hw is None or text is None:
        return None
    lines = numbered_lines(text)
    for number, line in lines:
        count = len(fields_of(line))
        if count > MAX_FIELDS:
            diagnostics.add("malformed_file", SourceLocation(str(path), number), _about_video(count))
            return None
    annotations = [
        _read_line(line, num_classes, with_others, SourceLocation(str(path), number), diagnostics)
        for number, line in lines
    ]
    return diagnostics.record(
        image, hw, [annotation for annotation in annotations if annotation is not None], num_classes=num_classes
    )


def _read_line(
    line: str, num_classes: int, with_others: bool, location: SourceLocation, diagnostics: Diagnostics
) -> Annotation | None:
    """Reads `left,top,width,height,score,category,truncation,occlusion`, where the last two are optional."""
    try:
        values = [float(field) for field in fields_of(line)]
    except ValueError:
        diagnostics.add("malformed", location, f"not all numbers: {line[:60]!r}")
        return None
    if len(values) < MIN_FIELDS:
        diagnostics.add("malformed", location, f"{len(values)} numbers; a line has 8, at least {MIN_FIELDS}")
        return None
    x, y, width, height, score, category = values[:MIN_FIELDS]
    highest = num_classes + with_others
    if not (category.is_integer() and IGNORED_CATEGORY <= category <= highest):
        diagnostics.add("class_out_of_range", location, f"category {category:g} is not in 0 to {highest}")
        return None
    label = label_of(score, category, num_classes)
    if label == EVERY_CLASS:
        diagnostics.add("ignored", location)
    return Annotation((x, y, x + width, y + height), label, label == EVERY_CLASS, location)


def label_of(score: float, category: float, num_classes: int) -> int:
    """Returns the class index of a category, or `EVERY_CLASS` for an ignored region."""
    ignored = score == 0 or category == IGNORED_CATEGORY or category > num_classes
    return EVERY_CLASS if ignored else int(category) - 1
