"""Data sets whose lists of parts have other names, or that lack a part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.trainers.data_sets import (
    NAMES,
    write_labelme_set,
    write_visdrone_set,
    write_voc_set,
)
from trainers.data import DataSplits, open_data
from trainers.data.check import check_data

WRITERS = {"voc": write_voc_set, "visdrone": write_visdrone_set, "labelme": write_labelme_set}
FORMATS = pytest.mark.parametrize(("format", "write"), WRITERS.items(), ids=WRITERS)


def names_of(splits: DataSplits) -> tuple[list[str], list[str]]:
    """Returns the names of the training and of the validation images, without endings."""
    train, val = ([record.name.partition(".")[0] for record in part.records] for part in (splits.train, splits.val))
    return train, val


def write_lists(folder: Path, lists: dict[str, Sequence[str]]) -> Path:
    """Writes a VOC set with lists in `ImageSets/Main`; returns the folder of the lists."""
    home = write_voc_set(folder) / "ImageSets" / "Main"
    home.mkdir(parents=True)
    for name, images in lists.items():
        (home / name).write_text("".join(f"{image}\n" for image in images))
    return home


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("Train.txt", "Validation.txt"),
        ("training.txt", "VALID.txt"),
        ("TRAIN.TXT", "Val.TXT"),
        ("drone_train.txt", "drone_validation.txt"),
        ("train2017.txt", "val2017.txt"),
    ],
)
def test_lists_of_voc_have_any_name_of_a_part(tmp_path: Path, train: str, val: str) -> None:
    write_lists(tmp_path, {train: "c", val: "ab", "default.txt": NAMES})
    assert names_of(open_data(tmp_path)) == (["c"], ["a", "b"])


@pytest.mark.parametrize("test", ["test.txt", "Test.txt", "Testing.txt"])
def test_a_list_of_test_images_is_for_validation_without_val(tmp_path: Path, test: str) -> None:
    home = write_lists(tmp_path, {"Train.txt": "c", test: "ab"})
    splits = open_data(tmp_path)
    assert names_of(splits) == (["c"], ["a", "b"])
    assert f"{home} has no val part: test is used for validation" in splits.notices


def test_a_third_list_is_the_test_part(tmp_path: Path) -> None:
    write_lists(tmp_path, {"Train.txt": "c", "Validation.txt": "b", "Test.txt": "a"})
    assert open_data(tmp_path).test is None
    test = open_data(tmp_path, with_test=True).test
    assert test is not None and [record.name for record in test.records] == ["a.png"]


def test_lists_of_one_class_are_no_parts(tmp_path: Path) -> None:
    of_class = [f"{name} {flag}" for name, flag in zip(NAMES, ("-1", " 1", " 0"), strict=True)]
    home = write_lists(tmp_path, {"car_train.txt": of_class, "car_val.txt": of_class})
    assert "all" in check_data(tmp_path).num_images_by_part
    (home / "set_train.txt").write_text("c\n")
    (home / "set_val.txt").write_text("a\nb\n")
    assert names_of(open_data(tmp_path)) == (["c"], ["a", "b"])


@FORMATS
@pytest.mark.parametrize("names", [("train", "test"), ("Training", "Testing"), ("set-train", "set-test-dev")])
def test_a_test_folder_is_for_validation_without_val(
    tmp_path: Path, format: str, write: Callable[[Path], Path], names: tuple[str, str]
) -> None:
    for name in names:
        write(tmp_path / name)
    splits = open_data(tmp_path, with_test=True)
    assert (splits.format, len(splits.train), len(splits.val), splits.test) == (format, 3, 3, None)
    assert {record.path.relative_to(tmp_path).parts[0] for record in splits.val.records if record.path} == {names[1]}
    assert f"{tmp_path} has no val part: test is used for validation" in splits.notices
    assert check_data(tmp_path).num_images_by_part == {"train": 3, "val": 3}


@FORMATS
@pytest.mark.parametrize("name", ["train", "Training", "set-TRAIN"])
def test_a_single_train_folder_is_divided(
    tmp_path: Path, format: str, write: Callable[[Path], Path], name: str
) -> None:
    write(tmp_path / name)
    splits = open_data(tmp_path)
    assert splits.format == format and names_of(splits) == (["a", "b"], ["c"])
    assert splits.undivided_notice is not None and "the last 1 of 3 images by name" in splits.undivided_notice


@pytest.mark.parametrize("parts", [("train",), ("train", "test")])
def test_folders_of_parts_may_be_in_the_folder_of_annotations(tmp_path: Path, parts: tuple[str, ...]) -> None:
    write_voc_set(tmp_path)
    for kind in ("Annotations", "JPEGImages"):
        files = sorted((tmp_path / kind).iterdir())
        for index, part in enumerate(parts):
            (tmp_path / kind / part).mkdir()
            for file in files[index :: len(parts)]:
                file.rename(tmp_path / kind / part / file.name)
    expected = (["a", "b"], ["c"]) if len(parts) == 1 else (["a", "c"], ["b"])
    assert names_of(open_data(tmp_path)) == expected


@FORMATS
def test_a_test_folder_without_annotations_is_not_used(
    tmp_path: Path, format: str, write: Callable[[Path], Path]
) -> None:
    write(tmp_path / "train")
    (tmp_path / "test" / "images").mkdir(parents=True)
    assert names_of(open_data(tmp_path)) == (["a", "b"], ["c"])
