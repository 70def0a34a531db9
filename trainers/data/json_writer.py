"""Writers and registration of the formats with one JSON file per split: COCO and TinyPerson."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from trainers.data import coco, tinyperson
from trainers.data.dataset import EVERY_CLASS, Record
from trainers.data.format import FORMATS, Format, Writer
from trainers.data.writing import WriteRequest, ignored_regions, labelled_boxes, xywh

TINY = "tiny"


def write_coco(request: WriteRequest) -> None:
    """Writes `annotations/instances_PART.json` and `images/PART`; a region of every class is a crowd of each."""
    num_classes = len(request.classes)

    def crowds(label: int) -> list[dict[str, Any]]:
        labels = range(num_classes) if label == EVERY_CLASS else (label,)
        return [{"category_id": each + 1, "iscrowd": 1} for each in labels]

    _write_json(request, "instances", {"iscrowd": 0}, crowds)


def write_tinyperson(request: WriteRequest) -> None:
    """Writes `annotations/tiny_PART.json` and `images/PART`; a window becomes an image with a `corner`."""
    flags = {"iscrowd": 0, **dict.fromkeys((*tinyperson.IGNORING, *tinyperson.KEEPING), False)}

    def ignoring(label: int) -> list[dict[str, Any]]:
        return [{"category_id": max(label, 0) + 1, **flags, "ignore": True}]

    _write_json(request, TINY, flags, ignoring)


def _write_json(
    request: WriteRequest, stem: str, plain: dict[str, Any], ignoring: Callable[[int], list[dict[str, Any]]]
) -> None:
    categories = [{"id": index, "name": name} for index, name in enumerate(request.classes, 1)]
    for part, dataset in request.datasets.items():
        folder = request.make_folder("images", *([part] if request.is_divided else []))
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for image_id, record in enumerate(dataset.records, 1):
            request.write_image(record, folder)
            images.append(_image_entry(record, image_id, request.image_name(record), with_corner=stem == TINY))
            boxes = [(box, {"category_id": label + 1, **plain}) for box, label in labelled_boxes(record)]
            boxes += [(box, entry) for box, label in ignored_regions(record) for entry in ignoring(label)]
            for box, entry in boxes:
                x, y, width, height = xywh(box)
                where = {"id": len(annotations) + 1, "image_id": image_id, "bbox": [x, y, width, height]}
                corners = [x, y, x, y + height, x + width, y + height, x + width, y]
                annotations.append({**where, "area": width * height, "segmentation": [corners], **entry})
        content = {"images": images, "annotations": annotations, "categories": categories}
        path = request.make_folder("annotations") / (f"{stem}_{part}.json" if request.is_divided else f"{stem}.json")
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _image_entry(record: Record, image_id: int, name: str, *, with_corner: bool) -> dict[str, Any]:
    entry = {"id": image_id, "file_name": name, "width": record.width, "height": record.height}
    if record.window is None or not with_corner:
        return entry
    return {**entry, tinyperson.CORNER: list(record.window)}


READERS = (coco.find_pair_of_jsons, coco.find_json)
FORMATS.add(
    coco.COCO,
    Format(
        readers=READERS,
        looks="*train*.json with *val*.json (here, in annotations/, in coco/, and in train/ with val/)",
        writer=Writer(write=write_coco, ignores="class", states_sizes=True),
    ),
)
FORMATS.add(
    tinyperson.NAME,
    Format(
        readers=READERS,
        writer=Writer(write=write_tinyperson, ignores="all", states_sizes=True, keeps_windows=True),
    ),
)
