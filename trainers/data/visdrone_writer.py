"""The format VisDrone: its writer, and its registration."""

from __future__ import annotations

from trainers.data.format import FORMATS, Format, Writer, check_lines
from trainers.data.visdrone import CLASSES, IGNORED_CATEGORY, NAME, find_visdrone
from trainers.data.writing import Writing, marked, regions, sides, whole


def write_visdrone(writing: Writing) -> None:
    """Writes `PART/images` and `PART/annotations`, and `classes.txt` where the classes are not VisDrone's."""
    for part, dataset in writing.datasets.items():
        names = [part] if writing.is_divided else []
        images, annotations = writing.place(*names, "images"), writing.place(*names, "annotations")
        for record in dataset.records:
            writing.put(record, images)
            lines = [_visdrone_line(box, 1, label + 1) for box, label in marked(record)]
            lines += [_visdrone_line(box, 0, IGNORED_CATEGORY) for box, _ in regions(record)]
            (annotations / writing.name_of(record)).with_suffix(".txt").write_text("".join(lines))
    if writing.classes != CLASSES:
        writing.write_classes()


def _visdrone_line(box: list[float], score: int, category: int) -> str:
    return ",".join(str(value) for value in (*sides(whole(box)), score, category, 0, 0)) + "\n"


FORMATS.add(
    NAME,
    Format(
        readers=(find_visdrone,),
        looks="annotations/ with VisDrone's txt files",
        writer=Writer(write=write_visdrone, ignores="all", whole_pixels=True, check_classes=check_lines),
    ),
)
