"""Parts that a YOLO data set names but does not have, and a `path` that does not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainers.data_sets import write_yolo_set
from trainers.data import open_data
from trainers.data.check import check_data
from trainers.data.defects import BrokenFile

ENTRIES = {"train": "../train/images", "val": "../valid/images", "test": "../test/images"}


def write_export(folder: Path, *parts: str, **fields: object) -> Path:
    """Writes folders of parts and a data YAML that names all three; returns the YAML."""
    for part in parts:
        write_yolo_set(folder / part)
    lines = {**ENTRIES, "nc": 2, "names": "['person', 'car']", **fields}
    path = folder / "data.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
    return path


@pytest.mark.parametrize(
    "val", ["../valid/images", "valid/images", "[valid/images, more/images]", "/content/set/valid/images", "val.txt"]
)
@pytest.mark.parametrize("with_test", [False, True])
def test_a_set_with_train_only_is_divided(tmp_path: Path, val: str, with_test: bool) -> None:
    path = write_export(tmp_path, "train", val=val)
    splits = open_data(tmp_path, with_test=with_test)
    assert [record.name for record in splits.train.records] == ["a.png", "b.png"]
    assert [record.name for record in splits.val.records] == ["c.png"] and splits.test is None
    said = "\n".join(splits.notices)
    assert f"{path}: there is no val part at " in said and "valid/images" in said or "val.txt" in said
    assert (f"{path}: there is no test part at ../test/images" in said) == with_test
    assert splits.undivided_notice is not None and "the last 1 of 3 images" in splits.undivided_notice


def test_the_check_notes_the_parts_that_are_missing(tmp_path: Path) -> None:
    write_export(tmp_path, "train")
    report = check_data(tmp_path)
    (note,) = (each for each in report.notes if each.kind == "missing_part")
    assert (note.count, report.num_images_by_part, report.defects) == (2, {"all": 3}, ())
    assert "val at '../valid/images'" in note.first


def test_test_is_for_validation_if_val_does_not_exist(tmp_path: Path) -> None:
    path = write_export(tmp_path, "train", "test")
    splits = open_data(tmp_path)
    assert (len(splits.train), len(splits.val)) == (3, 3)
    assert f"{path} has no val part: test is used for validation" in splits.notices
    assert f"{path}: there is no val part at ../valid/images" in splits.notices


@pytest.mark.parametrize("parts", [("train", "valid"), ("train",)])
def test_a_missing_test_folder_alone_is_no_error(tmp_path: Path, parts: tuple[str, ...]) -> None:
    fields = {} if "valid" in parts else {"val": ""}
    write_export(tmp_path, *parts, **fields)
    assert len(open_data(tmp_path).train) == (3 if "valid" in parts else 2)


def test_a_list_of_darknet_may_be_missing(tmp_path: Path) -> None:
    write_yolo_set(tmp_path)
    (tmp_path / "train.txt").write_text("".join(f"images/{name}.png\n" for name in "abc"))
    path = tmp_path / "obj.data"
    path.write_text("classes = 2\ntrain = train.txt\nvalid = valid.txt\nnames = classes.txt\n")
    splits = open_data(tmp_path)
    assert (len(splits.train), len(splits.val)) == (2, 1)
    assert f"{path}: there is no val part at valid.txt" in splits.notices


def test_a_missing_train_part_and_an_empty_val_part_are_errors(tmp_path: Path) -> None:
    write_export(tmp_path / "a", "valid", "test")
    with pytest.raises(BrokenFile, match="train/images' does not exist in") as raised:
        open_data(tmp_path / "a")
    assert raised.value.defect.kind == "missing_image"
    write_export(tmp_path / "b", "train")
    (tmp_path / "b" / "valid" / "images").mkdir(parents=True)
    with pytest.raises(BrokenFile, match="no images in its val split") as raised:
        open_data(tmp_path / "b")
    assert raised.value.defect.kind == "empty_set"


@pytest.mark.parametrize("where", ["/datasets/cars", "../cars", "cars"])
def test_a_path_that_does_not_exist_is_named(tmp_path: Path, where: str) -> None:
    path = write_export(tmp_path, "other", path=where, train="images/x", val="images/y")
    with pytest.raises(BrokenFile) as raised:
        open_data(path)
    assert raised.value.defect.kind == "missing_image"
    assert str(raised.value) == (
        f"{path}: path is '{where}', but there is no folder {tmp_path / where}, nor is 'images/x' in {tmp_path}; "
        "next: correct path, or remove it"
    )


def test_a_path_that_exists_is_not_blamed(tmp_path: Path) -> None:
    path = write_export(tmp_path, "other", path="other", train="missing")
    with pytest.raises(BrokenFile, match=f"'missing' does not exist in {tmp_path / 'other'}; correct path"):
        open_data(path)


@pytest.mark.parametrize("part", ["valid", "val", "Validation", "images/val"])
def test_another_folder_of_val_is_not_passed_over(tmp_path: Path, part: str) -> None:
    write_export(tmp_path, "train", part, val="x/test/images")
    with pytest.raises(BrokenFile, match="'x/test/images' does not exist in"):
        open_data(tmp_path)


@pytest.mark.parametrize("part", ["vaild", "extra", "images/more"])
def test_other_folders_of_images_are_a_defect_of_the_set(tmp_path: Path, part: str) -> None:
    write_export(tmp_path, "train", part)
    (defect,) = check_data(tmp_path).defects
    assert defect.kind == "unread_folder" and defect.file == str(tmp_path / part)
