"""Counts of one are in the singular, and `nas val --part test` states its images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from val_predict_fakes import DATA, FAST, make_weights, run

from nas.api.class_notes import class_lists
from tests.trainers.data_sets import coco_content, write_coco_set, write_mot_set, write_yolo_set
from trainers.data import open_data
from trainers.data.defects import NOTES, counted_note


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("empty_group", "1 category without boxes,"),
        ("ignored_class", "1 class with a name"),
        ("sequence_copy", "1 sequence with the frames"),
        ("crowd", "1 crowd box,"),
        ("greyscale", "1 greyscale image,"),
        ("orientation", "1 JPEG rotated"),
    ],
)
def test_notes_of_one_are_in_the_singular(kind: str, said: str) -> None:
    assert counted_note(1, NOTES[kind]).startswith(said)
    assert counted_note(2, NOTES[kind]) == f"2 {NOTES[kind]}"


def test_every_note_has_a_singular() -> None:
    assert [kind for kind, words in NOTES.items() if counted_note(1, words) == f"1 {words}"] == []


def test_a_note_of_one_in_the_notices_and_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = coco_content()
    content["categories"] = [{**each, "supercategory": "all"} for each in content["categories"]]
    content["categories"].append({"id": 9, "name": "all", "supercategory": "none"})
    path = write_coco_set(tmp_path, content)
    assert any(": 1 category without boxes" in notice for notice in open_data(path).notices)
    assert run("data", "check", path) == 0
    assert "note: 1 category without boxes" in capsys.readouterr().out


def test_one_sequence_is_the_val_split(tmp_path: Path) -> None:
    (notice,) = (each for each in open_data(write_mot_set(tmp_path)).notices if "val split" in each)
    assert notice.endswith("1 of 3 sequences is the val split: c")


def test_weights_of_one_class() -> None:
    assert class_lists(["car"], ["bus", "van"]) == "is for 1 class (car), the data has 2 (bus, van)"


def test_the_test_part_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("train", "valid", "test"):
        write_yolo_set(tmp_path / part)
    (tmp_path / "test" / "images" / "a.png").unlink()
    assert "3 training, 3 validation and 2 test images, 2 classes" in open_data(tmp_path, with_test=True).source
    (tmp_path / "test" / "images" / "b.png").unlink()
    assert "3 training, 3 validation and 1 test image, 2 classes" in open_data(tmp_path, with_test=True).source
    assert "3 training and 3 validation images, 2 classes" in open_data(tmp_path).source


def test_a_selection_stored_with_weights_that_does_not_suit_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = make_weights(tmp_path)
    home = tmp_path / "training"
    home.mkdir()
    shutil.copy(weights, home / "weights.pt")
    (home / "config.yaml").write_text(yaml.safe_dump({"data": str(DATA), "select_classes": ["Car"], "training": {}}))
    content = coco_content()
    content["categories"] = [{"id": 1, "name": "pedestrian"}, {"id": 2, "name": "van"}]
    path = write_coco_set(tmp_path / "set", content)
    assert run("val", home / "weights.pt", "--data", path, *FAST) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert "was trained with --classes Car, which does not suit the data (--classes: unknown class 'Car'" in line
    assert "--merge NAME=CLASS,CLASS" in line and line.endswith("with CLASS one of pedestrian, van")
    assert json.loads(path.read_text())["categories"] == content["categories"]
