"""Writer and registration of the VisDrone format."""

from __future__ import annotations

from trainers.data.format import FORMATS, Format, Writer, check_class_names
from trainers.data.visdrone import CLASSES, IGNORED_CATEGORY, NAME, find_visdrone
from trainers.data.writing import WriteRequest, ignored_regions, labelled_boxes, snap_to_pixels, xywh


def write_visdrone(request: WriteRequest) -> None:
    """Writes `PART/images` and `PART/annotations`, and `classes.txt` unless the classes are those of VisDrone."""
    for part, dataset in request.datasets.items():
        names = [part] if request.is_divided else []
        images, annotations = request.make_folder(*names, "images"), request.make_folder(*names, "annotations")
        for record in dataset.records:
            request.write_image(record, images)
            lines = [_visdrone_line(box, 1, label + 1) for box, label in labelled_boxes(record)]
            lines += [_visdrone_line(box, 0, IGNORED_CATEGORY) for box, _ in ignored_regions(record)]
            (annotations / request.image_name(record)).with_suffix(".txt").write_text("".join(lines))
    if request.classes != CLASSES:
        request.write_classes()


def _visdrone_line(box: list[float], score: int, category: int) -> str:
    return ",".join(str(value) for value in (*xywh(snap_to_pixels(box)), score, category, 0, 0)) + "\n"


FORMATS.add(
    NAME,
    Format(
        readers=(find_visdrone,),
        looks="annotations/ with VisDrone's txt files",
        writer=Writer(write=write_visdrone, ignores="all", whole_pixels=True, check_classes=check_class_names),
    ),
)
