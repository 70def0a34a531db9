"""What is no defect but good to know is noted by the check, and read as it should be."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest

from tests.trainers.data_sets import coco_content, voc_object, write_image, write_json, write_labelme
from tests.trainers.data_spoiling import (
    GOOD,
    LABELS,
    WRITE,
    A,
    Case,
    annotation,
    category,
    coco,
    image,
    label,
    labelme_with,
    line,
    node,
    remove,
    text,
    yaml_with_list,
)
from trainers.data import open_data
from trainers.data.check import check_data
from trainers.data.convert import convert_data
from trainers.data.defects import NOTES


def backslashes(folder: Path) -> None:
    content = coco_content()
    for entry in content["images"]:
        entry["file_name"] = f"images/{entry['file_name']}"
    content["images"][0]["file_name"] = "images\\a.png"
    write_json(folder / "set.json", content)


def grouped(folder: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        for entry in content["categories"]:
            entry["supercategory"] = "things"
        content["categories"].append({"id": 0, "name": "things", "supercategory": "none"})

    coco(change)(folder)


def grey(folder: Path) -> None:
    (folder / A).write_bytes(cv2.imencode(".png", np.zeros((48, 64), np.uint8))[1].tobytes())


def deep(folder: Path) -> None:
    (folder / A).write_bytes(cv2.imencode(".png", np.zeros((48, 64, 3), np.uint16))[1].tobytes())


def turned_as_stored(folder: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.new("RGB", (64, 48), "red").save(folder / A, "JPEG", exif=exif)


def landmarks(folder: Path) -> None:
    (folder / LABELS).write_text("0 0.25 0.5 0.2 0.4 0.25 0.5\n1 0.6 0.3 0.3 0.3\n")
    (folder / "data.yaml").write_text("kpt_shape: [1, 2]\ntrain: images\nval: images\nnames: [person, car]\n")


def beside(folder: Path) -> None:
    for path in [*(folder / "images").iterdir(), *(folder / "labels").iterdir()]:
        path.rename(folder / path.name)
    for name in ("images", "labels"):
        (folder / name).rmdir()


NOTE_CASES: dict[str, tuple[str, Case]] = {
    name: (kind, Case(format, spoil, "", "", None, num_boxes))
    for name, (kind, format, spoil, num_boxes) in {
        "greyscale": ("greyscale", "yolo", grey, 6),
        "16 bits": ("deep_pixels", "yolo", deep, 6),
        "orientation": ("orientation", "coco", turned_as_stored, 6),
        "crowd": ("crowd", "coco", annotation(iscrowd=1), 6),
        "difficult": ("difficult", "voc", node(voc_object("car", 1, 1, 9, 9, difficult=1)), 6),
        "difficult elsewhere": (
            "difficult_kept",
            "voc",
            node(voc_object("car", 1, 1, 9, 9, difficult=1), database="mine"),
            7,
        ),
        "ignored": ("ignored", "visdrone", line("9,9,9,9,0,0,0,0"), 6),
        "polygon": ("polygon", "yolo", label("1 0.1 0.1 0.3 0.1 0.2 0.4"), 7),
        "landmarks": ("further_columns", "yolo", landmarks, 6),
        "label files beside": ("layout", "yolo", beside, 6),
        "backslashes": ("windows_path", "coco", backslashes, 6),
        "backslashes in a list": ("windows_path", "yolo", yaml_with_list("images\\a.png"), 6),
        "a flag in text": ("number_as_text", "coco", annotation(iscrowd="0"), 7),
        "a polygon without bbox": (
            "box_of_segmentation",
            "coco",
            annotation(bbox=None, segmentation=[[1, 1, 9, 9, 1, 9]]),
            7,
        ),
        "a category of ignored regions": ("ignored_class", "coco", category(id=3, name="ignored regions"), 6),
        "a category above others": ("empty_group", "coco", grouped, 6),
        "an image in another folder": ("found_by_name", "coco", image(file_name="upload/4/a.png"), 6),
        "byte order mark": ("byte_order_mark", "yolo", text(LABELS, b"\xef\xbb\xbf" + GOOD.encode()), 5),
        "byte order mark of json": (
            "",
            "coco",
            lambda f: text("set.json", b"\xef\xbb\xbf" + (f / "set.json").read_bytes())(f),
            6,
        ),
        "line ends": ("carriage_return", "yolo", text(LABELS, GOOD.replace("\n", "\r\n")), 5),
        "no label file": ("image_without_labels", "yolo", remove(LABELS), 4),
        "no annotation file": ("image_without_labels", "visdrone", remove("annotations/a.txt"), 4),
        "missing filename": ("filename_missing", "voc", node("", name="old.png"), 6),
        "counted from 1": ("one_based", "voc", node("", database="The VOC2012 Database"), 6),
        "sequence without a text": (
            "sequence_without_labels",
            "mot",
            lambda folder: write_image(folder / "d" / "img1" / "000001.png"),
            6,
        ),
        "sequence of another detector": (
            "sequence_copy",
            "mot",
            lambda folder: [shutil.copytree(folder / "c", folder / f"d-{name}") for name in ("DPM", "SDP")],
            8,
        ),
        "frame without a line": (
            "frame_without_labels",
            "visdrone-vid",
            lambda folder: write_image(folder / "sequences" / "a" / "0000002.png"),
            6,
        ),
        "name of a missing image": (
            "filename_missing",
            "labelme",
            lambda folder: write_labelme(folder / "a.json", labelme_with(imagePath="x.png")),
            6,
        ),
        "empty label file": ("", "yolo", text(LABELS, ""), 4),
    }.items()
}


@pytest.mark.parametrize(("to", "num_losses"), [("yolo", 1), ("visdrone", 1), ("voc", 0)])
def test_converting_what_is_annotated_as_stored_says_where_that_is_lost(
    tmp_path: Path, to: str, num_losses: int
) -> None:
    WRITE["coco"](tmp_path / "set")
    turned_as_stored(tmp_path / "set")
    losses = convert_data(tmp_path / "set", tmp_path / "out", to=to).losses
    assert sum("1 JPEGs are annotated without their EXIF rotation" in loss for loss in losses) == num_losses


def test_every_note_has_a_case() -> None:
    cases = {kind for kind, _ in NOTE_CASES.values()} - {""}
    elsewhere = {"grouped", "missing_part"}  # in test_cases_labelme and test_parts_of_yaml
    assert cases | elsewhere == set(NOTES)


@pytest.mark.parametrize("name", NOTE_CASES)
def test_what_is_no_defect_is_noted(name: str, tmp_path: Path) -> None:
    kind, case = NOTE_CASES[name]
    WRITE[case.format](tmp_path)
    case.spoil(tmp_path)
    report = check_data(tmp_path)
    assert report.defects == () and report.num_boxes == case.num_boxes
    assert {note.kind for note in report.notes} == ({kind} if kind else set())
    assert all(note.count == 1 and note.first for note in report.notes)
    splits = open_data(tmp_path)
    assert all(splits.train.image(index).ndim == 3 for index in range(len(splits.train)))
    assert any("backslashes" in notice for notice in splits.notices) == (kind == "windows_path")
