"""Writer and registration of the YOLO format."""

from __future__ import annotations

import yaml

from trainers.data.dataset import Record
from trainers.data.format import FORMATS, Format, Writer, check_class_names
from trainers.data.writing import WriteRequest, labelled_boxes
from trainers.data.yolo import NAME, find_yolo

YOLO_DIGITS = 10


def write_yolo(request: WriteRequest) -> None:
    """Writes `images/PART`, `labels/PART` and `data.yaml`; a data set without a split gets `classes.txt` instead."""
    for part, dataset in request.datasets.items():
        names = [part] if request.is_divided else []
        images, labels = request.make_folder("images", *names), request.make_folder("labels", *names)
        for record in dataset.records:
            request.write_image(record, images)
            lines = [_yolo_line(record, box, label) for box, label in labelled_boxes(record)]
            (labels / request.image_name(record)).with_suffix(".txt").write_text("".join(lines))
    if not request.is_divided:
        request.write_classes()
        return
    content = {**{part: f"images/{part}" for part in request.datasets}, "names": dict(enumerate(request.classes))}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (request.make_folder() / "data.yaml").write_text(text, encoding="utf-8")


def _yolo_line(record: Record, box: list[float], label: int) -> str:
    x1, y1, x2, y2 = box
    height, width = record.height, record.width
    values = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    return " ".join((str(label), *(f"{value:.{YOLO_DIGITS}f}" for value in values))) + "\n"


FORMATS.add(
    NAME,
    Format(
        readers=(find_yolo,),
        looks="a data YAML, obj.data, images/ with labels/, YOLO labels beside images",
        writer=Writer(write=write_yolo, check_classes=check_class_names),
    ),
)
