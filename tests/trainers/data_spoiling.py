"""Ways to spoil the small data sets, one defect at a time."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.trainers.data_sets import (
    coco_content,
    labelme_content,
    labelme_shape,
    voc_object,
    voc_text,
    write_coco_set,
    write_json,
    write_labelme,
    write_labelme_set,
    write_mot_set,
    write_uavdt_set,
    write_vid_set,
    write_visdrone_set,
    write_voc_set,
    write_yolo_set,
)

A = "images/a.png"
LABELS = "labels/a.txt"
GOOD = "0 0.25 0.5 0.2 0.4\n"
WRITE: dict[str, Callable[[Path], Path]] = {
    "coco": write_coco_set,
    "yolo": write_yolo_set,
    "visdrone": write_visdrone_set,
    "voc": write_voc_set,
    "visdrone-vid": write_vid_set,
    "uavdt": write_uavdt_set,
    "mot": write_mot_set,
    "labelme": write_labelme_set,
}
TEXTS = {"visdrone-vid": "annotations/a.txt", "uavdt": "GT/a_gt_whole.txt", "mot": "a/gt/gt.txt"}
"""The text of the first sequence, by format."""


@dataclass(frozen=True)
class Case:
    """One defect in a small data set, and where the check must find it."""

    format: str
    spoil: Callable[[Path], object]
    kind: str
    file: str
    """End of the path of the file."""
    line: int | None
    num_boxes: int = 6
    """What is left of the six boxes, where one is added and left out again."""
    error: str | None = None
    """What opening it says, where it cannot be opened."""
    unreadable: int = 0
    """Images that can be opened but not read."""


def label(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / LABELS).write_text(f"{GOOD}1 0.6 0.3 0.3 0.3\n{text}\n")


def line(text: str) -> Callable[[Path], object]:
    lines = f"10,10,10,20,1,1,0,0\n{text}\n30,5,20,20,1,4,0,0\n"
    return lambda folder: (folder / "annotations" / "a.txt").write_text(lines)


def node(text: str, *, name: str = "a.png", **options: Any) -> Callable[[Path], object]:
    both = f"{voc_object('person', 10, 10, 20, 30)}\n{text}\n{voc_object('car', 30, 5, 50, 25)}"
    return lambda folder: (folder / "Annotations" / "a.xml").write_text(voc_text(name, both, **options))


def added(format: str, *lines: str) -> Callable[[Path], object]:
    """Adds lines to the text of the first sequence, from line 3 on."""

    def spoil(folder: Path) -> None:
        path = folder / TEXTS[format]
        path.write_text(path.read_text() + "".join(f"{line}\n" for line in lines))

    return spoil


def shape(label: object, *points: object, kind: object = "rectangle", **fields: object) -> Callable[[Path], object]:
    """Adds a shape to the first labelme file, on line 4."""
    added_shape = labelme_shape(label, *points, kind=kind, **fields)
    return lambda folder: write_labelme(folder / "a.json", labelme_with(added_shape))


def labelme_with(*shapes: object, **fields: object) -> dict[str, object]:
    """Returns the first labelme file with more shapes and other fields."""
    both = labelme_shape("person", [10, 10], [20, 30]), labelme_shape("car", [50, 25], [30, 5])
    return labelme_content("a.png", *both, *shapes, **fields)


def coco(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        content = coco_content()
        change(content)
        write_json(folder / "set.json", content)

    return spoil


def annotation(**fields: object) -> Callable[[Path], object]:
    """Adds an annotation, which stands on line 13 of the file."""
    entry = {"id": 77, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], **fields}
    return coco(lambda content: content["annotations"].append(entry))


def category(**fields: object) -> Callable[[Path], object]:
    """Adds a category, which stands on line 17 of the file."""
    return coco(lambda content: content["categories"].append(fields))


def image(**fields: object) -> Callable[[Path], object]:
    """Changes the first image, which stands on line 2 of the file."""
    return coco(lambda content: content["images"][0].update(fields))


def text(name: str, content: str | bytes) -> Callable[[Path], object]:
    raw = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / name).write_bytes(raw)


def cut(name: str, share: float) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        raw = (folder / name).read_bytes()
        (folder / name).write_bytes(raw[: int(len(raw) * share)])

    return spoil


def huge(name: str) -> Callable[[Path], object]:
    raw = bytearray(cv2.imencode(".png", np.zeros((2, 2), np.uint8))[1].tobytes())
    raw[16:24] = (90_000).to_bytes(4, "big") * 2
    raw[29:33] = zlib.crc32(raw[12:29]).to_bytes(4, "big")
    return text(name, bytes(raw))


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()


def yaml_with_list(*lines: str) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        (folder / "train.txt").write_text("\n".join(lines))
        (folder / "data.yaml").write_text("train: train.txt\nval: images\nnames: [person, car]\n")

    return spoil


def two_jsons(folder: Path) -> None:
    write_json(folder / "set_train.json", coco_content())
    other = coco_content()
    other["categories"].reverse()
    write_json(folder / "set_val.json", other)
    (folder / "set.json").unlink()


def no_objects(folder: Path) -> None:
    for path in (folder / "labels").iterdir():
        path.write_text("")
