"""Readers: the same boxes from every format, and a clear answer to every kind of bad data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from search_space.errors import DataError
from tests.trainers.conftest import HIT_UAV
from trainers.data import DataSplits, open_data, read_image, read_rgb
from trainers.data.dataset import image_size
from trainers.data.synthetic import synthetic_splits


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """A writable copy of the COCO form."""
    for name in ("images", "annotations"):
        shutil.copytree(HIT_UAV / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """A writable copy of the YOLO form."""
    for name in ("images", "labels"):
        shutil.copytree(HIT_UAV / name, tmp_path / name)
    shutil.copy(HIT_UAV / "data.yaml", tmp_path)
    return tmp_path


def edit(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


TRAIN = "annotations/instances_train.json"


def test_yolo_and_coco_give_the_same_boxes(hit_uav: DataSplits) -> None:
    yolo = open_data(HIT_UAV / "data.yaml")
    assert yolo.train.classes == hit_uav.train.classes == ("Person", "Car", "Bicycle", "OtherVehicle")
    for one, other in ((yolo.train, hit_uav.train), (yolo.val, hit_uav.val)):
        records = {record.name: record for record in other.records}
        assert len(one) == len(other) > 0
        for record in one.records:
            same = records[record.name]
            assert np.abs(record.boxes - same.boxes).max(initial=0) < 1e-3
            assert (record.labels == same.labels).all() and (record.height, record.width) == (256, 320)


def test_crowds_given_once_a_class_are_one_region(hit_uav: DataSplits) -> None:
    regions = [record.ignored_labels.tolist() for record in hit_uav.train.records if len(record.ignored)]
    assert regions == [[-1], [-1]]


def test_folder_without_yaml_is_read_by_its_layout(yolo: Path) -> None:
    (yolo / "data.yaml").unlink()
    splits = open_data(yolo)
    assert (len(splits.train), len(splits.val)) == (6, 2)
    assert splits.train.classes[0] == "class 0"


def test_flat_folder_is_split_and_says_so(tmp_path: Path) -> None:
    for name in ("images", "labels"):
        for part in ("train", "val"):
            shutil.copytree(HIT_UAV / name / part, tmp_path / name, dirs_exist_ok=True)
    splits = open_data(tmp_path)
    assert (len(splits.train), len(splits.val)) == (7, 1)
    assert "last 1 of 8 images by name are the val split" in splits.notices[0]
    assert splits.val.fingerprint() == open_data(tmp_path).val.fingerprint()


def test_train_equal_to_val_is_allowed_with_a_notice(yolo: Path) -> None:
    (yolo / "data.yaml").write_text("train: images/train\nval: images/train\nnames: [a, b, c, d]\n")
    splits = open_data(yolo)
    assert len(splits.train) == len(splits.val) == 6 and "same images" in splits.notices[0]


def test_yaml_with_list_files(yolo: Path) -> None:
    images = sorted((yolo / "images" / "train").iterdir())
    (yolo / "train.txt").write_text("\n".join(f"./images/train/{path.name}" for path in images[:4]))
    (yolo / "data.yaml").write_text("path: .\ntrain: train.txt\nval: [images/val]\nnames: {0: a, 1: b, 2: c, 3: d}\n")
    assert len(open_data(yolo).train) == 4


def test_bad_yolo_lines_are_counted_in_one_notice(yolo: Path) -> None:
    label = next((yolo / "labels" / "train").glob("0_100*.txt"))
    good = label.read_text()
    bad = "9 0.5 0.5 0.1 0.1\n1 0.5 0.5 0 0.1\n1 1.5 0.5 0.1 0.1\nhello\n1 0.5 0.5\n1 nan 0.5 0.1 0.1\n-1 .5 .5 .1 .1\n"
    label.write_text(good + bad + "1 0.98 0.5 0.2 0.1\n")
    splits = open_data(yolo)
    (notice,) = splits.notices
    assert "7 labels left out (" in notice and "2 with a class id out of range" in notice
    assert "1 boxes clipped" in notice and "line 3" in notice
    record = next(record for record in splits.train.records if record.name.startswith("0_100"))
    assert len(record.boxes) == 3 and record.boxes[-1, 2] == 320


def test_yolo_polygon_becomes_its_bounding_box(yolo: Path) -> None:
    label = next((yolo / "labels" / "train").glob("1_130_40*.txt"))
    label.write_text("2 0.1 0.25 0.2 0.5 0.15 0.75\n")
    record = next(record for record in open_data(yolo).train.records if record.name.startswith("1_130_40"))
    assert record.boxes[0].tolist() == pytest.approx([32, 64, 64, 192]) and record.labels.tolist() == [2]


def test_bad_coco_annotations_are_counted_in_one_notice(coco: Path) -> None:
    def spoil(content: dict[str, Any]) -> None:
        base = {"image_id": 1, "category_id": 2, "iscrowd": 0}
        for bbox in ([5, 5, 0, 5], [400, 10, 5, 5], [1, 2, 3], None, [310, 10, 30, 10]):
            content["annotations"].append({**base, "id": 1000, "bbox": bbox})
        content["annotations"].append({**base, "id": 1001, "bbox": [1, 1, 9, 9], "category_id": 77})
        content["annotations"].append({**base, "id": 1002, "bbox": [1, 1, 9, 9], "image_id": 77})

    before = open_data(coco).train
    edit(coco / TRAIN, spoil)
    splits = open_data(coco)
    (notice,) = splits.notices
    assert "6 labels left out" in notice and "1 of an unknown class" in notice and "1 boxes clipped" in notice
    assert len(splits.train.records[0].boxes) == len(before.records[0].boxes) + 1


def test_sparse_category_ids_and_ignore_flags(coco: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        for category in content["categories"]:
            category["id"] *= 10
        for annotation in content["annotations"]:
            annotation["category_id"] *= 10
            if annotation["category_id"] == 10:
                annotation["ignore"] = 1

    before = open_data(coco).train
    for part in ("train", "val"):
        edit(coco / f"annotations/instances_{part}.json", change)
    after = open_data(coco).train
    assert after.classes == before.classes  # a class that is only ever ignored stays a class
    for old, new in zip(before.records, after.records, strict=True):
        assert new.labels.tolist() == [label for label in old.labels.tolist() if label != 0]
        assert len(new.ignored) == len(old.ignored) + (old.labels == 0).sum()


def test_missing_images_are_left_out_until_none_is_left(coco: Path) -> None:
    next((coco / "images" / "train").glob("1_60_30*")).unlink()
    splits = open_data(coco)
    assert len(splits.train) == 5 and "1 of 6 images are missing" in splits.notices[0]
    shutil.rmtree(coco / "images")
    with pytest.raises(DataError, match="none of its images was found.*searched"):
        open_data(coco)


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/passwd"])
def test_file_names_must_stay_in_the_folder(coco: Path, name: str) -> None:
    edit(coco / TRAIN, lambda content: content["images"][0].update(file_name=name))
    with pytest.raises(DataError, match="leaves the image folder"):
        open_data(coco)


def test_several_pairs_are_chosen_by_name(coco: Path) -> None:
    for part in ("train", "val"):
        shutil.copy(coco / f"annotations/instances_{part}.json", coco / f"annotations/block_{part}.json")
    splits = open_data(coco)
    assert "block_train.json" in splits.source and "block, instances" in splits.notices[0]
    assert "instances_train.json" in open_data(coco, split="instances").source
    with pytest.raises(DataError, match="did you mean 'block'"):
        open_data(coco, split="blok")


def test_a_json_brings_its_partner_or_is_split(coco: Path) -> None:
    assert len(open_data(coco / "annotations/instances_val.json").train) == 6
    (coco / "annotations/instances_val.json").unlink()
    splits = open_data(coco / TRAIN)
    assert (len(splits.train), len(splits.val)) == (5, 1) and "has no val file" in splits.notices[0]


def test_empty_sets_are_refused(coco: Path) -> None:
    edit(coco / TRAIN, lambda content: content.update(annotations=[]))
    with pytest.raises(DataError, match="no boxes"):
        open_data(coco)
    edit(coco / TRAIN, lambda content: content.update(images=[]))
    with pytest.raises(DataError, match="lists no usable images"):
        open_data(coco)


@pytest.mark.parametrize("text", ["{", "[]", '{"images": []}', '{"images": [], "annotations": [], "categories": [{}]}'])
def test_files_that_are_not_coco_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match="a.json"):
        open_data(tmp_path / "a.json")


def test_nothing_to_be_found_lists_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="looked for .*train.*json.*YAML.*images/ with labels/"):
        open_data(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        open_data(tmp_path / "nowhere")
    with pytest.raises(DataError, match="has only one"):
        open_data(None, split="block")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [a]\n", "lacks train and val"),
        ("train: nowhere\nval: images/val\n", "'nowhere' does not exist"),
        ("train: [\n", "not YAML"),
        ("train: images/train\nval: images/val\nnames: 3\n", "names must be"),
        ("train: labels\nval: images/val\n", "no images in its train split"),
    ],
)
def test_bad_data_yaml(yolo: Path, text: str, message: str) -> None:
    (yolo / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=message):
        open_data(yolo / "data.yaml")


def test_grey_16_bit_and_alpha_images(tmp_path: Path) -> None:
    deep = np.array([[0, 257, 65535]], np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    assert read_image(tmp_path / "deep.png").tolist() == [[0, 1, 255]]
    assert read_rgb(tmp_path / "deep.png").shape == (1, 3, 3)
    blue_green_red_alpha = np.array([[[10, 20, 30, 0]]], np.uint8)
    cv2.imwrite(str(tmp_path / "alpha.png"), blue_green_red_alpha)
    assert read_rgb(tmp_path / "alpha.png").tolist() == [[[30, 20, 10]]]
    assert image_size(tmp_path / "deep.png") == (1, 3)


def test_unreadable_and_missing_images_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"not an image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name in ("bad.jpg", "empty.jpg"):
        with pytest.raises(DataError, match=f"cannot decode image .*{name}.*replace or remove"):
            read_image(tmp_path / name)
    with pytest.raises(DataError, match="cannot read image .*none.jpg: No such file"):
        read_image(tmp_path / "none.jpg")


def test_an_image_of_another_size_than_annotated_is_refused(coco: Path) -> None:
    edit(coco / TRAIN, lambda content: content["images"][0].update(width=640))
    dataset = open_data(coco).train
    with pytest.raises(DataError, match="says 640x256.*file is 320x256"):
        dataset.image(0)


def test_fingerprint_changes_with_boxes_only(coco: Path, hit_uav: DataSplits) -> None:
    assert open_data(coco).train.fingerprint() == hit_uav.train.fingerprint()
    edit(coco / TRAIN, lambda content: content["annotations"][0]["bbox"].__setitem__(0, 3.0))
    assert open_data(coco).train.fingerprint() != hit_uav.train.fingerprint()


def test_limited_takes_evenly_spaced_images(hit_uav: DataSplits) -> None:
    few = hit_uav.train.limited(3)
    assert [hit_uav.train.records.index(record) for record in few.records] == [0, 2, 5]
    assert hit_uav.train.limited(99) is hit_uav.train


def test_builtin_set_is_repeatable_and_its_boxes_are_tight() -> None:
    train, val = synthetic_splits(seed=1, num_train=5, num_val=2)
    again, _ = synthetic_splits(seed=1, num_train=5, num_val=2)
    assert train.fingerprint() == again.fingerprint() != val.fingerprint()
    assert (train.image(4) == again.image(4)).all() and not (train.image(0) == val.image(0)).all()
    sides = np.concatenate([record.boxes[:, 2:] - record.boxes[:, :2] for record in train.records])
    assert sides.min() >= 5 and sides.max() <= 20
    assert "built-in synthetic set" in open_data(None).source
