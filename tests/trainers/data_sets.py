"""Small data sets that the tests of the readers, the check and the converter share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from trainers.data import Dataset, DataSplits, Record

FORMATS_FOLDER = Path(__file__).parent.parent / "data" / "formats"
SETS = {"coco": "coco.json", "yolo": "yolo", "visdrone": "visdrone", "tinyperson": "tinyperson.json", "voc": "voc_xml"}
IMAGES = FORMATS_FOLDER / "images"
FROM_VISDRONE = {"pedestrian": "Person", "bicycle": "Bicycle", "car": "Car", "truck": "OtherVehicle"}
WIDTH, HEIGHT = 64, 48
NAMES = ("a", "b", "c")


def all_records(splits: DataSplits) -> dict[str, Record]:
    """Returns the images of both parts by name."""
    return {record.name: record for part in (splits.train, splits.val) for record in part.records}


def named_boxes(record: Record, classes: Iterable[str]) -> list[tuple[str, tuple[float, ...]]]:
    """Returns the boxes of an image with the names of their classes, sorted and rounded to a thousandth of a pixel."""
    names = [FROM_VISDRONE.get(name, name) for name in classes]
    found = zip(record.boxes.tolist(), record.labels.tolist(), strict=True)
    return sorted((names[label], tuple(round(value, 3) for value in box)) for box, label in found)


def named_regions(record: Record, classes: Iterable[str]) -> list[tuple[str, tuple[float, ...]]]:
    """Returns the ignored regions in the same way; "*" stands for every class."""
    names = [*(FROM_VISDRONE.get(name, name) for name in classes), "*"]
    found = zip(record.ignored.tolist(), record.ignored_labels.tolist(), strict=True)
    return sorted((names[label], tuple(round(value, 3) for value in box)) for box, label in found)


def read_all(dataset: Dataset) -> int:
    """Decodes every image and returns how many there are."""
    return sum(dataset.image(index).shape[2] == 3 for index in range(len(dataset)))


def write_image(path: Path, *, width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> Path:
    """Writes a color image of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


def write_images(folder: Path) -> None:
    """Writes the three images of the small sets."""
    for seed, name in enumerate(NAMES):
        write_image(folder / f"{name}.png", seed=seed)


def coco_content() -> dict[str, Any]:
    """Returns a COCO file of three images with two boxes each."""
    images = [
        {"id": index, "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT}
        for index, name in enumerate(NAMES, 1)
    ]
    annotations = []
    for image in images:
        for category_id, bbox in ((1, [10, 10, 10, 20]), (2, [30, 5, 20, 20])):
            entry = {"id": len(annotations) + 1, "image_id": image["id"], "category_id": category_id, "bbox": bbox}
            annotations.append({**entry, "iscrowd": 0})
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "car"}],
    }


def write_coco_set(folder: Path, content: object | None = None) -> Path:
    """Writes `set.json`, one entry a line so that lines tell, with its images; returns the file."""
    write_images(folder / "images")
    path = folder / "set.json"
    write_json(path, coco_content() if content is None else content)
    return path


def write_json(path: Path, content: object) -> None:
    """Writes JSON with every entry of a list on a line of its own."""
    if not isinstance(content, dict):
        path.write_text(json.dumps(content))
        return
    lists = [
        f'"{key}": [\n' + ",\n".join(json.dumps(entry) for entry in entries) + "\n]" for key, entries in content.items()
    ]
    path.write_text("{" + ",\n".join(lists) + "}")


def write_yolo_set(folder: Path) -> Path:
    """Writes `images/`, `labels/` and `classes.txt`; returns the folder."""
    write_images(folder / "images")
    (folder / "labels").mkdir()
    for name in NAMES:
        (folder / "labels" / f"{name}.txt").write_text("0 0.25 0.5 0.2 0.4\n1 0.6 0.3 0.3 0.3\n")
    (folder / "classes.txt").write_text("person\ncar\n")
    return folder


def write_visdrone_set(folder: Path) -> Path:
    """Writes `images/` and `annotations/`; returns the folder."""
    write_images(folder / "images")
    (folder / "annotations").mkdir()
    for name in NAMES:
        (folder / "annotations" / f"{name}.txt").write_text("10,10,10,20,1,1,0,0\n30,5,20,20,1,4,0,0\n")
    return folder


def voc_text(name: str, objects: str, *, database: str = "", size: str = f"{WIDTH},{HEIGHT}") -> str:
    """Returns one VOC file."""
    width, _, height = size.partition(",")
    return (
        f"<annotation>\n<filename>{name}</filename>\n<source><database>{database}</database></source>\n"
        f"<size><width>{width}</width><height>{height}</height></size>\n{objects}\n</annotation>\n"
    )


def voc_object(name: str, *corners: object, difficult: int = 0) -> str:
    """Returns one object of a VOC file, on one line."""
    sides = "".join(
        f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=False)
    )
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{sides}</bndbox></object>"


def write_voc_set(folder: Path) -> Path:
    """Writes `JPEGImages/` and `Annotations/`; returns the folder."""
    write_images(folder / "JPEGImages")
    (folder / "Annotations").mkdir()
    objects = voc_object("person", 10, 10, 20, 30) + "\n" + voc_object("car", 30, 5, 50, 25)
    for name in NAMES:
        (folder / "Annotations" / f"{name}.xml").write_text(voc_text(f"{name}.png", objects))
    return folder


def write_vid_set(folder: Path) -> Path:
    """Writes `sequences/` and `annotations/` of VisDrone-VID, with sequences of one frame; returns the folder."""
    (folder / "annotations").mkdir(parents=True)
    for seed, name in enumerate(NAMES):
        write_image(folder / "sequences" / name / "0000001.png", seed=seed)
        lines = "1,0,10,10,10,20,1,1,0,0\n1,1,30,5,20,20,1,4,0,0\n"
        (folder / "annotations" / f"{name}.txt").write_text(lines)
    return folder


def write_uavdt_set(folder: Path) -> Path:
    """Writes `GT/` and folders of one frame each, as in UAVDT; returns the folder."""
    (folder / "GT").mkdir(parents=True)
    for seed, name in enumerate(NAMES):
        write_image(folder / name / "img000001.png", seed=seed)
        lines = "1,1,10,10,10,20,1,1,1\n1,2,30,5,20,20,1,1,3\n"
        (folder / "GT" / f"{name}_gt_whole.txt").write_text(lines)
    return folder


def write_mot_set(folder: Path) -> Path:
    """Writes folders with `img1/`, `gt/gt.txt` and `seqinfo.ini` of MOT, of one frame each; returns the folder."""
    for seed, name in enumerate(NAMES):
        write_image(folder / name / "img1" / "000001.png", seed=seed)
        (folder / name / "gt").mkdir()
        (folder / name / "gt" / "gt.txt").write_text("1,1,10,10,10,20,1,1,1\n1,2,30,5,20,20,1,1,0.5\n")
        info = f"[Sequence]\nname={name}\nimDir=img1\nseqLength=1\nimWidth={WIDTH}\nimHeight={HEIGHT}\nimExt=.png\n"
        (folder / name / "seqinfo.ini").write_text(info)
    return folder


def labelme_shape(label: object, *points: object, kind: object = "rectangle", **fields: object) -> dict[str, object]:
    """Returns one shape of a labelme file."""
    return {"label": label, "points": list(points), "group_id": None, "shape_type": kind, "flags": {}, **fields}


def labelme_content(image_path: str, *shapes: object, **fields: object) -> dict[str, object]:
    """Returns a labelme file of an image of the small sets."""
    content = {"version": "5.4.1", "flags": {}, "shapes": list(shapes), "imagePath": image_path, "imageData": None}
    return {**content, "imageHeight": HEIGHT, "imageWidth": WIDTH, **fields}


def write_labelme(path: Path, content: dict[str, object]) -> None:
    """Writes a labelme file with every shape on a line of its own; the first is on line 2."""
    shapes = content["shapes"]
    assert isinstance(shapes, list)
    lines = "[\n" + ",\n".join(json.dumps(shape) for shape in shapes) + "\n]"
    path.write_text(json.dumps({**content, "shapes": "?"}).replace('"?"', lines, 1))


def write_labelme_set(folder: Path) -> Path:
    """Writes images with a labelme file beside each; returns the folder."""
    write_images(folder)
    shapes = labelme_shape("person", [10, 10], [20, 30]), labelme_shape("car", [50, 25], [30, 5])
    for name in NAMES:
        write_labelme(folder / f"{name}.json", labelme_content(f"{name}.png", *shapes))
    return folder
