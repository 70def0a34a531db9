"""Writers of the five formats: each writes the annotations of a data set and says where its images go."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trainers.data import coco, tinyperson, visdrone, voc, yolo
from trainers.data.dataset import EVERY_CLASS, Dataset, Record
from trainers.data.images import ImageError, image_header

Number = int | float
TINY = "tiny"
YOLO_DIGITS = 10
WHOLE_PX = 1e-3
"""A corner this near to a whole pixel was one before it was normalised."""


@dataclass(frozen=True, kw_only=True)
class Writing:
    """One data set on its way to a folder."""

    folder: Path
    datasets: dict[str, Dataset]
    """`train` and `val`, or `all`."""
    name_of: Callable[[Record], str]
    """Returns the file name under which the image of a record is written."""
    put: Callable[[Record, Path], None]
    """Writes the image of a record into a folder."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, the same in all parts."""
        return next(iter(self.datasets.values())).classes

    @property
    def is_divided(self) -> bool:
        """Whether there are a training and a validation part."""
        return "all" not in self.datasets

    def place(self, *names: str) -> Path:
        """Returns a folder in the folder, made where it does not exist."""
        place = self.folder.joinpath(*names)
        place.mkdir(parents=True, exist_ok=True)
        return place

    def write_classes(self) -> None:
        """Writes `classes.txt`."""
        self.place().joinpath("classes.txt").write_text("\n".join(self.classes) + "\n", encoding="utf-8")


def sides(box: list[float]) -> tuple[Number, Number, Number, Number]:
    """Returns left, top, width and height of a box `(x1, y1, x2, y2)`, whole numbers where they are."""
    x1, y1, x2, y2 = box
    return number(x1), number(y1), number(x2 - x1), number(y2 - y1)


def marked(record: Record) -> list[tuple[list[float], int]]:
    """Returns the boxes `[x1, y1, x2, y2]` of an image with their labels."""
    return list(zip(record.boxes.tolist(), record.labels.tolist(), strict=True))


def regions(record: Record) -> list[tuple[list[float], int]]:
    """Returns the ignored regions of an image with their labels."""
    return list(zip(record.ignored.tolist(), record.ignored_labels.tolist(), strict=True))


def whole(box: list[float]) -> list[float]:
    """Returns a box whose corners are all whole pixels but for the rounding of a normalised form as whole pixels.

    Other tools cut the fraction off, and 416.99999 would lose a pixel.
    """
    nearest = [float(round(value)) for value in box]
    off_px = max(abs(value - near) for value, near in zip(box, nearest, strict=True))
    return nearest if off_px < WHOLE_PX else box


def number(value: float) -> Number:
    """Returns a whole number as an int, so that it is written without a point."""
    return int(value) if value.is_integer() else value


def write_coco(writing: Writing) -> None:
    """Writes `annotations/instances_PART.json` and `images/PART`; a region for every class is a crowd of each."""
    num_classes = len(writing.classes)

    def crowds(label: int) -> list[dict[str, Any]]:
        labels = range(num_classes) if label == EVERY_CLASS else (label,)
        return [{"category_id": each + 1, "iscrowd": 1} for each in labels]

    _write_json(writing, "instances", {"iscrowd": 0}, crowds)


def write_tinyperson(writing: Writing) -> None:
    """Writes `annotations/tiny_PART.json` and `images/PART`; a window becomes an image with a `corner`."""
    marks = {"iscrowd": 0, **dict.fromkeys((*tinyperson.IGNORING, *tinyperson.KEEPING), False)}

    def ignoring(label: int) -> list[dict[str, Any]]:
        return [{"category_id": max(label, 0) + 1, **marks, "ignore": True}]

    _write_json(writing, TINY, marks, ignoring)


def _write_json(
    writing: Writing, stem: str, plain: dict[str, Any], ignoring: Callable[[int], list[dict[str, Any]]]
) -> None:
    categories = [{"id": index, "name": name} for index, name in enumerate(writing.classes, 1)]
    for part, dataset in writing.datasets.items():
        folder = writing.place("images", *([part] if writing.is_divided else []))
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for image_id, record in enumerate(dataset.records, 1):
            writing.put(record, folder)
            images.append(_image_entry(record, image_id, writing.name_of(record), with_corner=stem == TINY))
            marks = [(box, {"category_id": label + 1, **plain}) for box, label in marked(record)]
            marks += [(box, entry) for box, label in regions(record) for entry in ignoring(label)]
            for box, entry in marks:
                x, y, width, height = sides(box)
                where = {"id": len(annotations) + 1, "image_id": image_id, "bbox": [x, y, width, height]}
                corners = [x, y, x, y + height, x + width, y + height, x + width, y]
                annotations.append({**where, "area": width * height, "segmentation": [corners], **entry})
        content = {"images": images, "annotations": annotations, "categories": categories}
        path = writing.place("annotations") / (f"{stem}_{part}.json" if writing.is_divided else f"{stem}.json")
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _image_entry(record: Record, image_id: int, name: str, *, with_corner: bool) -> dict[str, Any]:
    entry = {"id": image_id, "file_name": name, "width": record.width, "height": record.height}
    if record.window is None or not with_corner:
        return entry
    return {**entry, tinyperson.CORNER: list(record.window)}


def write_yolo(writing: Writing) -> None:
    """Writes `images/PART`, `labels/PART` and `data.yaml`; a set that is not divided gets `classes.txt` instead."""
    for part, dataset in writing.datasets.items():
        names = [part] if writing.is_divided else []
        images, labels = writing.place("images", *names), writing.place("labels", *names)
        for record in dataset.records:
            writing.put(record, images)
            lines = [_yolo_line(record, box, label) for box, label in marked(record)]
            (labels / writing.name_of(record)).with_suffix(".txt").write_text("".join(lines))
    if not writing.is_divided:
        writing.write_classes()
        return
    content = {**{part: f"images/{part}" for part in writing.datasets}, "names": dict(enumerate(writing.classes))}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (writing.place() / "data.yaml").write_text(text, encoding="utf-8")


def _yolo_line(record: Record, box: list[float], label: int) -> str:
    x1, y1, x2, y2 = box
    height, width = record.height, record.width
    values = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    return " ".join((str(label), *(f"{value:.{YOLO_DIGITS}f}" for value in values))) + "\n"


def write_visdrone(writing: Writing) -> None:
    """Writes `PART/images` and `PART/annotations`, and `classes.txt` where the classes are not VisDrone's."""
    for part, dataset in writing.datasets.items():
        names = [part] if writing.is_divided else []
        images, annotations = writing.place(*names, "images"), writing.place(*names, "annotations")
        for record in dataset.records:
            writing.put(record, images)
            lines = [_visdrone_line(box, 1, label + 1) for box, label in marked(record)]
            lines += [_visdrone_line(box, 0, visdrone.IGNORED_CATEGORY) for box, _ in regions(record)]
            (annotations / writing.name_of(record)).with_suffix(".txt").write_text("".join(lines))
    if writing.classes != visdrone.CLASSES:
        writing.write_classes()


def _visdrone_line(box: list[float], score: int, category: int) -> str:
    return ",".join(str(value) for value in (*sides(whole(box)), score, category, 0, 0)) + "\n"


def write_voc(writing: Writing) -> None:
    """Writes `Annotations`, `JPEGImages`, `classes.txt` and, for each part, `ImageSets/Main/PART.txt`.

    Pixels are counted from 0. A region ignored for every class is an object named DontCare; one that is ignored for a
    single class is a difficult object of it.
    """
    annotations, images = writing.place("Annotations"), writing.place("JPEGImages")
    for part, dataset in writing.datasets.items():
        stems = []
        for record in dataset.records:
            writing.put(record, images)
            path = Path(writing.name_of(record))
            stems.append(path.stem)
            tree = ElementTree.ElementTree(_voc_tree(record, path.name, writing.classes))
            ElementTree.indent(tree)
            tree.write(annotations / f"{path.stem}.xml", encoding="utf-8")
        if writing.is_divided:
            path = writing.place("ImageSets", "Main") / f"{part}.txt"
            path.write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")
    writing.write_classes()


def _voc_tree(record: Record, name: str, classes: tuple[str, ...]) -> ElementTree.Element:
    root = ElementTree.Element("annotation")
    _add(root, filename=name)
    _add(_add(root, size=None), width=record.width, height=record.height, depth=_channels(record))
    for box, label in marked(record):
        _add_object(root, box, classes[label], difficult=0)
    for box, label in regions(record):
        every = label == EVERY_CLASS
        _add_object(root, box, "DontCare" if every else classes[label], difficult=0 if every else 1)
    return root


def _add_object(root: ElementTree.Element, box: list[float], name: str, *, difficult: int) -> None:
    node = _add(root, object=None)
    _add(node, name=name, truncated=0, difficult=difficult)
    corners = (number(value) for value in whole(box))
    _add(_add(node, bndbox=None), **dict(zip(voc.CORNERS, corners, strict=True)))


def _add(parent: ElementTree.Element, **values: object) -> ElementTree.Element:
    """Adds one element for each value and returns the last one."""
    for tag, value in values.items():
        child = ElementTree.SubElement(parent, tag)
        child.text = None if value is None else str(value)
    return child


def _channels(record: Record) -> int:
    try:
        return image_header(record.path).channels if record.path is not None else 3
    except ImageError:
        return 3


WRITERS: dict[str, Callable[[Writing], None]] = {
    coco.COCO: write_coco,
    yolo.NAME: write_yolo,
    visdrone.NAME: write_visdrone,
    tinyperson.NAME: write_tinyperson,
    voc.NAME: write_voc,
}
"""By the name of the format."""
