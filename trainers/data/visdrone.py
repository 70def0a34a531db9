"""Reader of VisDrone-DET annotation files.

P. Zhu, L. Wen, D. Du, X. Bian, H. Fan, Q. Hu, H. Ling: Detection and Tracking Meet Drones Challenge, TPAMI 2021.
"""

from __future__ import annotations

from pathlib import Path

from trainers.data.dataset import EVERY_CLASS, Dataset, Record
from trainers.data.defects import SourceLocation
from trainers.data.diagnostics import Annotation, Diagnostics
from trainers.data.part_folders import UNDIVIDED_NOTICE, FolderLayout, PartFolder
from trainers.data.source import ReadRequest, ReadResult, numbered_lines, read_names, read_text

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


def find_visdrone(request: ReadRequest) -> ReadResult | None:
    """Opens folders `annotations/` and `images/`, directly or in folders for train and val; None if there are none."""
    parts = STYLE.find(request.path, request.images) if request.path.is_dir() else None
    if parts is None:
        return None
    request.refuse_split()
    diagnostics = request.diagnostics(str(request.path))
    homes = [part.files[0].parent for part in parts.values()]
    names = read_names((request.path, *homes, *(home.parent for home in homes)), diagnostics)
    diagnostics.num_images = sum(len(part.files) for part in parts.values())
    datasets = {name: _read_part(part, names or CLASSES, names is None, diagnostics) for name, part in parts.items()}
    return ReadResult(
        format=NAME,
        datasets=datasets,
        source=str(request.path),
        notices=diagnostics.notices(),
        undivided_notice=UNDIVIDED_NOTICE,
    )


def _is_annotation(path: Path) -> bool:
    """Returns whether the first line of a file is at least six comma-separated numbers."""
    try:
        with path.open("rb") as file:
            fields = file.readline(1000).removeprefix(b"\xef\xbb\xbf").decode().strip().rstrip(",").split(",")
        return len([float(field) for field in fields]) >= MIN_FIELDS
    except (OSError, ValueError):
        return False


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
    records = diagnostics.distinct(found)
    annotated = set(image_of.values())
    for image in images.all():
        if image not in annotated:
            diagnostics.add("image_without_labels", SourceLocation(str(image), about=(image.name,)))
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
    fields = [field.strip() for field in line.rstrip(", ").split(",")]
    try:
        values = [float(field) for field in fields]
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
    ignored = score == 0 or category == IGNORED_CATEGORY or category > num_classes
    if ignored:
        diagnostics.add("ignored", location)
    return Annotation((x, y, x + width, y + height), EVERY_CLASS if ignored else int(category) - 1, ignored, location)
