"""Writer and registration of the Pascal VOC format."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from search_space.errors import DataError
from trainers.data.dataset import EVERY_CLASS, Record
from trainers.data.format import FORMATS, Format, Writer, check_class_names
from trainers.data.ignored_names import is_ignored_name
from trainers.data.images import ImageError, image_header
from trainers.data.voc import CORNERS, NAME, find_voc
from trainers.data.writing import WriteRequest, as_number, ignored_regions, labelled_boxes, snap_to_pixels


def write_voc(request: WriteRequest) -> None:
    """Writes `Annotations`, `JPEGImages`, `classes.txt` and, for each split, `ImageSets/Main/PART.txt`.

    Pixel coordinates start at 0. An ignored region of every class is an object named DontCare; one of a single class
    is a difficult object of that class.
    """
    annotations, images = request.make_folder("Annotations"), request.make_folder("JPEGImages")
    for part, dataset in request.datasets.items():
        stems = []
        for record in dataset.records:
            request.write_image(record, images)
            path = Path(request.image_name(record))
            stems.append(path.stem)
            tree = ElementTree.ElementTree(_voc_tree(record, path.name, request.classes))
            ElementTree.indent(tree)
            tree.write(annotations / f"{path.stem}.xml", encoding="utf-8")
        if request.is_divided:
            path = request.make_folder("ImageSets", "Main") / f"{part}.txt"
            path.write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")
    request.write_classes()


def _voc_tree(record: Record, name: str, classes: tuple[str, ...]) -> ElementTree.Element:
    root = ElementTree.Element("annotation")
    _add(root, filename=name)
    _add(_add(root, size=None), width=record.width, height=record.height, depth=_channels(record))
    for box, label in labelled_boxes(record):
        _add_object(root, box, classes[label], difficult=0)
    for box, label in ignored_regions(record):
        every = label == EVERY_CLASS
        _add_object(root, box, "DontCare" if every else classes[label], difficult=0 if every else 1)
    return root


def _add_object(root: ElementTree.Element, box: list[float], name: str, *, difficult: int) -> None:
    node = _add(root, object=None)
    _add(node, name=name, truncated=0, difficult=difficult)
    corners = (as_number(value) for value in snap_to_pixels(box))
    _add(_add(node, bndbox=None), **dict(zip(CORNERS, corners, strict=True)))


def _add(parent: ElementTree.Element, **values: object) -> ElementTree.Element:
    """Adds one element per value and returns the last one."""
    for tag, value in values.items():
        child = ElementTree.SubElement(parent, tag)
        child.text = None if value is None else str(value)
    return child


def _channels(record: Record) -> int:
    try:
        return image_header(record.path).channels if record.path is not None else 3
    except ImageError:
        return 3


def check_classes(classes: tuple[str, ...]) -> None:
    """Raises DataError for names that are not unique, or that VOC files use for ignored regions."""
    check_class_names(classes)
    for name in classes:
        if is_ignored_name(name):
            raise DataError(f"class {name!r} is the name of ignored regions in the format {NAME}; rename it")
    if len(set(classes)) < len(classes):
        raise DataError(
            f"two classes have the same name, which {NAME} cannot represent: {', '.join(classes)}; rename one"
        )


FORMATS.add(
    NAME,
    Format(
        readers=(find_voc,),
        looks="XML files of VOC",
        writer=Writer(
            write=write_voc, ignores="class", states_sizes=True, whole_pixels=True, check_classes=check_classes
        ),
    ),
)
