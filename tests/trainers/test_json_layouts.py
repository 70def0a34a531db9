"""Where the annotation files and the images of a COCO set may be, and names of ignored regions in every format."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search_space.errors import DataError
from tests.trainers.data_sets import (
    NAMES,
    coco_content,
    voc_object,
    voc_text,
    write_coco_set,
    write_image,
    write_images,
    write_visdrone_set,
    write_voc_set,
    write_yolo_set,
)
from trainers.data import open_data
from trainers.data.check import check_data
from trainers.data.ignored_names import is_ignored_name
from trainers.data.json_pairs import find_pairs


def write_part(json_path: Path, images: Path, prefix: str, rename: Callable[[str], str] = lambda name: name) -> None:
    """Writes one part: three images whose names begin with a prefix, and their annotation file."""
    content = coco_content()
    for seed, entry in enumerate(content["images"]):
        write_image(images / f"{prefix}{entry['file_name']}", seed=seed)
        entry["file_name"] = rename(f"{prefix}{entry['file_name']}")
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(content))


PAIRS = {
    "Roboflow": ("train/_annotations.coco.json", "train", "valid/_annotations.coco.json", "valid"),
    "Roboflow with test only": ("train/_annotations.coco.json", "train", "test/_annotations.coco.json", "test"),
    "capitals": ("Train/labels.json", "Train", "Validation/labels.json", "Validation"),
    "one json in each folder": ("train/train_set.json", "train", "val/boxes.json", "val/images"),
    "below annotations": ("annotations/train/a.json", "images", "annotations/val/a.json", "images"),
    "train and valid": ("train.json", "images", "valid.json", "images"),
    "train and validation": ("annotations/TRAIN.json", "images", "annotations/Validation.json", "images"),
    "training": ("coco/training.json", "training", "coco/validation.json", "validation"),
    "CVAT": ("annotations/instances_Train.json", "images/Train", "annotations/instances_Validation.json", "images/val"),
    "a year": ("annotations/boxes_train2017.json", "train2017", "annotations/boxes_valid2017.json", "val2017"),
    "without a gap": ("mytrain.json", "images", "myval.json", "images"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_are_found_with_their_images(name: str, tmp_path: Path) -> None:
    train, train_images, val, val_images = PAIRS[name]
    write_part(tmp_path / train, tmp_path / train_images, "t")
    write_part(tmp_path / val, tmp_path / val_images, "v")
    report = check_data(tmp_path)
    assert report.defects == () and report.num_images_by_part == {"train": 3, "val": 3}
    for path in (tmp_path, tmp_path / train, tmp_path / val):
        splits = open_data(path)
        assert {record.name[0] for record in splits.train.records} == {"t"}
        assert {record.name[0] for record in splits.val.records} == {"v"}
        assert any("no val file" in notice for notice in splits.notices) == ("test/" in val)


def test_images_of_the_same_names_are_those_of_their_part(tmp_path: Path) -> None:
    for part in ("Train", "Validation"):
        write_part(tmp_path / f"annotations/instances_{part}.json", tmp_path / f"images/{part}", "")
    splits = open_data(tmp_path)
    for part, records in (("Train", splits.train.records), ("Validation", splits.val.records)):
        assert {record.path.parent.name for record in records if record.path} == {part}


def test_a_part_alone_is_opened_and_a_test_part_is_no_val(tmp_path: Path) -> None:
    write_part(tmp_path / "train/_annotations.coco.json", tmp_path / "train", "t")
    assert check_data(tmp_path).num_images_by_part == {"all": 3}
    for part in ("valid", "test"):
        write_part(tmp_path / f"{part}/_annotations.coco.json", tmp_path / part, part)
    (pair,) = find_pairs(tmp_path)
    assert (pair.val.parent.name, pair.test, pair.name) == (
        "valid",
        tmp_path / "test/_annotations.coco.json",
        "annotations.coco",
    )


def test_a_group_with_boxes_in_one_part_stays_a_class_in_both(tmp_path: Path) -> None:
    for part in ("train", "valid"):
        write_part(tmp_path / part / "a.json", tmp_path / part, part)
        content = json.loads((tmp_path / part / "a.json").read_text())
        for entry in content["categories"]:
            entry["supercategory"] = "all"
        content["categories"].insert(0, {"id": 0, "name": "all"})
        if part == "valid":
            content["annotations"][0]["category_id"] = 0
        (tmp_path / part / "a.json").write_text(json.dumps(content))
    assert open_data(tmp_path).train.classes == ("all", "person", "car")


def test_jsons_that_are_no_annotations_make_no_pair(tmp_path: Path) -> None:
    write_yolo_set(tmp_path)
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "args.json").write_text("{}")
        (tmp_path / part / "empty.json").write_text("")
    assert check_data(tmp_path).format == "yolo"


SUBSETS = {
    "instances_default.json": "images/default",
    "instances_night_2.json": "images/night_2",
    "person_keypoints_default.json": "images/default",
    "instances_Default.json": "images/default",
    "instances_default.v2.json": "images/default.v2",
}


@pytest.mark.parametrize("name", SUBSETS)
def test_images_are_found_in_the_folder_of_the_subset(name: str, tmp_path: Path) -> None:
    write_part(tmp_path / "annotations" / name, tmp_path / SUBSETS[name], "")
    (tmp_path / "images" / "other").mkdir()
    report = check_data(tmp_path)
    assert (report.num_images, report.defects, report.notes) == (3, (), ())


PATHS: dict[str, Callable[[str], str]] = {
    "above": lambda name: f"../../media/upload/4/{name}",
    "absolute": lambda name: f"/label-studio/data/upload/{name}",
    "Windows": lambda name: f"C:\\media\\upload\\{name}",
    "address": lambda name: f"https://example.org/data/{name}",
    "local files": lambda name: f"/data/local-files/?d={name}",
    "quoted": lambda name: f"/data/local-files/?d=upload/{name.replace(' ', '%20')}",
    "other folder": lambda name: f"images/1/{name}",
}


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("name", PATHS)
def test_images_are_found_by_their_name(name: str, given: bool, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere" / "deep" if given else tmp_path / "images"
    write_part(tmp_path / "result.json", folder, "my ", PATHS[name])
    report = check_data(tmp_path, images=folder.parent if given else None)
    assert (report.num_images, report.defects) == (3, ())
    assert {note.kind: note.count for note in report.notes if note.kind != "windows_path"} == {"found_by_name": 3}
    assert any("found by their file name" in notice for notice in open_data(tmp_path, images=folder).notices)


def two_of_a_name(folder: Path) -> None:
    for name in ("x", "y"):
        (folder / "images" / name).mkdir()
        shutil.copy(folder / "images" / "a.png", folder / "images" / name)
    (folder / "images" / "a.png").unlink()


def named(folder: Path, **names: str) -> None:
    content = coco_content()
    for entry, name in zip(content["images"], NAMES, strict=True):
        entry["file_name"] = names.get(name, entry["file_name"])
    (folder / "set.json").write_text(json.dumps(content))


AMBIGUOUS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "two files": (lambda f: [two_of_a_name(f), named(f, a="z/a.png")], "missing_image", "2 files are named a.png"),
    "two files, from above": (
        lambda f: [two_of_a_name(f), named(f, a="../a.png")],
        "path_outside",
        "2 files are named a.png",
    ),
    "two names": (lambda f: named(f, a="1/c.png", b="2/b.png"), "missing_image", "2 images could be"),
    "only in another part": (
        lambda f: [
            (f / "images/val").mkdir(),
            (f / "images/a.png").rename(f / "images/val/a.png"),
            (f / "set.json").rename(f / "set_train.json"),
        ],
        "missing_image",
        "there is no a.png",
    ),
    "outside": (
        lambda f: [(f / "images/a.png").rename(f / "a.png"), named(f, a="../a.png")],
        "path_outside",
        "leaves the image folder",
    ),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_names_that_mean_several_files_are_not_guessed(name: str, tmp_path: Path) -> None:
    spoil, kind, what = AMBIGUOUS[name]
    write_coco_set(tmp_path)
    spoil(tmp_path)
    report = check_data(tmp_path)
    assert {defect.kind for defect in report.defects} == {kind} and what in report.defects[0].what
    assert report.num_images == 2
    if kind == "path_outside":
        with pytest.raises(DataError, match="leaves the image folder"):
            open_data(tmp_path)


def test_folders_decide_between_files_of_one_name(tmp_path: Path) -> None:
    write_coco_set(tmp_path)
    two_of_a_name(tmp_path)
    named(tmp_path, a="upload/y/a.png")
    report = check_data(tmp_path)
    assert (report.num_images, report.defects) == (3, ())
    records = (*open_data(tmp_path).train.records, *open_data(tmp_path).val.records)
    assert tmp_path / "images" / "y" / "a.png" in [record.path for record in records]


# names of ignored regions
IGNORED = (
    "ignore",
    "Ignored",
    "ignored regions",
    "ignored-regions",
    "ignore_region",
    "DontCare",
    "don't care",
    "IGNORE",
)
NOT_IGNORED = ("ignition", "care", "signore", "region", "others", "ignorant")


@pytest.mark.parametrize("name", [*IGNORED, *NOT_IGNORED])
def test_names_of_ignored_regions(name: str) -> None:
    assert is_ignored_name(name) == (name in IGNORED)


def coco_with(folder: Path, name: str) -> None:
    content = coco_content()
    content["categories"][0]["name"] = name
    write_coco_set(folder, content)


def yolo_with(folder: Path, name: str) -> None:
    (write_yolo_set(folder) / "classes.txt").write_text(f"{name}\ncar\n")


def visdrone_with(folder: Path, name: str) -> None:
    write_visdrone_set(folder)
    for path in (folder / "annotations").iterdir():
        path.write_text("10,10,10,20,1,1,0,0\n30,5,20,20,1,2,0,0\n")
    (folder / "classes.txt").write_text(f"{name}\ncar\n")


def voc_with(folder: Path, name: str) -> None:
    write_voc_set(folder)
    for path in (folder / "Annotations").iterdir():
        objects = voc_object(name, 10, 10, 20, 30) + voc_object("car", 30, 5, 50, 25)
        path.write_text(voc_text(f"{path.stem}.png", objects))


def voc_with_names(folder: Path, name: str) -> None:
    voc_with(folder, name)
    (folder / "classes.txt").write_text(f"{name}\ncar\n")


@pytest.mark.parametrize("name", IGNORED[2:7])
@pytest.mark.parametrize("write", [coco_with, yolo_with, visdrone_with, voc_with, voc_with_names])
def test_boxes_of_ignored_regions_are_none_of_a_class(
    write: Callable[[Path, str], None], name: str, tmp_path: Path
) -> None:
    write(tmp_path, name)
    report = check_data(tmp_path)
    assert (report.classes, report.num_boxes, report.num_ignored, report.defects) == (("car",), 3, 3, ())
    assert {note.kind: note.count for note in report.notes} == {"ignored": 3, "ignored_class": 1}
    splits = open_data(tmp_path)
    assert any("1 class with a name of ignored regions" in notice for notice in splits.notices)
    for record in (*splits.train.records, *splits.val.records):
        assert (record.labels.tolist(), record.ignored_labels.tolist()) == ([0], [-1])
        box = [9.6, 14.4, 22.4, 33.6] if write is yolo_with else [10, 10, 20, 30]
        assert record.ignored[0].tolist() == pytest.approx(box)


def test_a_set_of_ignored_regions_only_has_no_boxes(tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    content = coco_content()
    for entry in content["categories"]:
        entry["name"] = "ignore"
    write_coco_set(tmp_path, content)
    report = check_data(tmp_path)
    assert {defect.kind for defect in report.defects} == {"duplicate_category", "empty_set"} and report.classes == ()
