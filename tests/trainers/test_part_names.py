"""Names of files and folders that mean the training, validation or test part of a data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainers.data_sets import write_visdrone_set
from trainers.data import open_data
from trainers.data.part_folders import names_by_part, part_of


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", "train"),
        ("Train", "train"),
        ("TRAINING", "train"),
        ("train2017", "train"),
        ("TrainImages", "train"),
        ("VisDrone2019-DET-train", "train"),
        ("valid", "val"),
        ("instances_Validation", "val"),
        ("imagesVal", "val"),
        ("my-VAL_2", "val"),
        ("Test", "test"),
        ("test-dev", "test"),
        ("interval", None),
        ("invalid", None),
        ("valley", None),
        ("trainval", None),
        ("train_val", None),
        ("", None),
    ],
)
def test_a_word_of_a_name_means_a_part(name: str, part: str | None) -> None:
    assert part_of(name) == part


def test_the_name_of_a_part_comes_before_longer_and_other_names() -> None:
    names = ("valid", "set-val", "val", "Val", "training", "images", "Train")
    assert names_by_part(names) == {"val": ("val", "Val", "valid", "set-val"), "train": ("Train", "training")}


@pytest.mark.parametrize("names", [("Train", "Valid"), ("training", "validation"), ("set-TRAIN", "set-VAL")])
def test_folders_of_parts_have_any_of_their_names(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in ("CONSTRAINED", "INTERVAL", "constrained", "interval"):
        (tmp_path / name).mkdir()
    for name in names:
        write_visdrone_set(tmp_path / name)
    splits = open_data(tmp_path)
    assert (len(splits.train), len(splits.val), splits.format) == (3, 3, "visdrone")
