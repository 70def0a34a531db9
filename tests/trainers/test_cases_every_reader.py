"""What holds for the readers of all formats: images by content, Unicode forms, one record per image, kept ranges."""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.trainers.data_sets import (
    labelme_content,
    labelme_shape,
    write_coco_set,
    write_labelme,
    write_labelme_set,
    write_mot_set,
    write_uavdt_set,
    write_vid_set,
    write_visdrone_set,
    write_voc_set,
    write_yolo_set,
)
from trainers.data import open_data
from trainers.data.check import check_data
from trainers.data.class_selection import ClassSelection
from trainers.data.convert import convert_data

WRITERS: dict[str, Callable[[Path], Path]] = {
    "coco": write_coco_set,
    "labelme": write_labelme_set,
    "yolo": write_yolo_set,
    "visdrone-vid": write_vid_set,
    "visdrone": write_visdrone_set,
    "voc": write_voc_set,
    "uavdt": write_uavdt_set,
    "mot": write_mot_set,
}
formats = pytest.mark.parametrize("name", WRITERS)


def rename(folder: Path, change: Callable[[str], str]) -> None:
    for image in sorted(folder.rglob("*.png")):
        image.rename(image.with_name(change(image.name)))


@formats
def test_images_with_another_suffix_are_found_by_content(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path)
    rename(tmp_path, lambda each: each.replace(".png", ".jpe"))
    for text in (*tmp_path.rglob("*.json"), *tmp_path.rglob("*.xml")):
        text.write_text(text.read_text().replace(".png", ".jpe"))
    report = check_data(path)
    assert (report.format, report.num_images, report.num_boxes, report.defects) == (name, 3, 6, ())


@pytest.mark.parametrize("name", ["coco", "labelme", "yolo", "visdrone", "voc"])
def test_names_in_another_unicode_form_are_found(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path)
    for text in (*tmp_path.rglob("*.json"), *tmp_path.rglob("*.xml"), *tmp_path.rglob("*.txt")):
        if text.suffix != ".txt":
            text.write_text(text.read_text().replace(".png", "é.png"))
        if name != "coco" and text.name != "classes.txt":
            text.rename(text.with_name(f"{text.stem}é{text.suffix}"))
    rename(tmp_path, lambda each: unicodedata.normalize("NFD", each.replace(".png", "é.png")))
    report = check_data(path)
    assert (report.format, report.num_images, report.num_boxes, report.defects) == (name, 3, 6, ())


@pytest.mark.parametrize("name", ["uavdt", "mot", "visdrone-vid"])
def test_frames_of_sequences_with_names_in_another_unicode_form(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path)
    for text in sorted(tmp_path.rglob("*.txt")):
        if name != "mot":
            text.rename(text.with_name(text.name.replace("a", "é", 1) if text.name.startswith("a") else text.name))
    for folder in [each for each in tmp_path.rglob("a") if each.is_dir()]:
        folder.rename(folder.with_name(unicodedata.normalize("NFD", "é")))
    report = check_data(path)
    assert (report.format, report.num_images, report.num_boxes, report.defects) == (name, 3, 6, ())


@pytest.mark.parametrize("name", ["voc", "labelme"])
def test_a_file_that_names_the_image_of_another_one_does_not_replace_its_labels(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path)
    if name == "voc":
        (tmp_path / "JPEGImages" / "a.png").unlink()
        text = tmp_path / "Annotations" / "a.xml"
        text.write_text(text.read_text().replace("a.png", "b.png").replace("<xmin>30<", "<xmin>31<"))
    else:
        (tmp_path / "a.png").unlink()
        write_labelme(tmp_path / "a.json", labelme_content("b.png", labelme_shape("car", [1, 1], [9, 9])))
    (defect,) = check_data(path).defects
    assert defect.kind == "duplicate_image" and Path(defect.file).stem == "a"
    splits = open_data(path)
    records = {record.name[0]: record for record in (*splits.train.records, *splits.val.records)}
    assert sorted(records) == ["b", "c"]
    assert sorted(map(tuple, records["b"].boxes.tolist())) == [(10, 10, 20, 30), (30, 5, 50, 25)]


def test_a_text_that_is_there_twice_is_no_second_sequence(tmp_path: Path) -> None:
    write_uavdt_set(tmp_path)
    shutil.copy(tmp_path / "GT" / "a_gt_whole.txt", tmp_path / "a_gt_whole.txt")
    report = check_data(tmp_path)
    assert (report.format, report.num_images, report.num_boxes, report.defects) == ("uavdt", 3, 6, ())
    assert [note.kind for note in report.notes] == ["sequence_copy"]


def test_texts_of_uavdt_without_their_folder_are_no_visdrone(tmp_path: Path) -> None:
    write_uavdt_set(tmp_path)
    for text in (tmp_path / "GT").iterdir():
        shutil.move(text, tmp_path / text.name)
    assert (check_data(tmp_path).format, check_data(tmp_path).num_boxes) == ("uavdt", 6)


def test_the_range_of_the_pixels_stays_with_a_test_part_and_a_selection(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        content = {
            "images": [{"id": 1, "file_name": f"{part}.png", "width": 64, "height": 48}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 10, 20]}],
            "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "ignore"}],
        }
        (tmp_path / f"{part}.json").write_text(json.dumps(content))
        pixels = np.random.default_rng(0).integers(7200, 7500, (48, 64)).astype(np.uint16)
        assert cv2.imwrite(str(tmp_path / f"{part}.png"), pixels)
    selection = ClassSelection.of("car")
    splits = open_data(tmp_path, selection=selection, with_test=True)
    assert splits.pixel_range is not None and 7199 < splits.pixel_range[0] < splits.pixel_range[1] < 7501
    for name in ("train", "val", "test", "all"):
        dataset = splits.part(name)
        assert dataset.pixel_range == splits.pixel_range and dataset.classes == ("car",)
        assert dataset.image(0).max() > 200
    assert splits.selected(ClassSelection.of(merge="vehicle=car")).val.image(0).max() > 200
    assert check_data(tmp_path, selection=selection).pixel_range == splits.pixel_range
    assert convert_data(tmp_path, tmp_path / "out", to="voc", selection=selection).num_images == 3
