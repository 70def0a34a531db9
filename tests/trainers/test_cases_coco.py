"""COCO files as annotation tools export them: each opens without an option, and the check says how it was read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from search_space.errors import DataError
from trainers.data import open_data
from trainers.data.check import check_data
from trainers.data.convert import convert_data

CASES = Path(__file__).parent.parent / "data" / "cases"


@dataclass(frozen=True, kw_only=True)
class Export:
    """What the check must report of one export."""

    boxes: dict[str, int]
    num_ignored: int = 0
    parts: dict[str, int] = field(default_factory=lambda: {"all": 2})
    notes: dict[str, int] = field(default_factory=dict)
    defects: tuple[str, ...] = ()


TWO_PARTS = {"train": 2, "val": 2}
EXPORTS = {
    "06-iscrowd-text/10c-iscrowd-string": Export(boxes={"LP": 2}, notes={"number_as_text": 2}),
    "07-ids-as-text/10-category-string": Export(boxes={"LP": 2}, notes={"number_as_text": 2}),
    "07-ids-as-text/10b-image-id-string": Export(boxes={"LP": 2}, notes={"number_as_text": 2}),
    "12-category-twice/46-coco-dup-names": Export(
        boxes={"car": 1}, defects=("duplicate_category", "ambiguous_category", "unknown_category")
    ),
    "13-ignore-category/47-coco-ignored-class": Export(
        boxes={"pedestrian": 2}, num_ignored=2, notes={"ignored": 2, "ignored_class": 1}
    ),
    "14-roboflow-layouts/04-roboflow-coco": Export(
        boxes={"car": 2, "person": 2}, parts=TWO_PARTS, notes={"empty_group": 1}
    ),
    "14-roboflow-layouts/17-train-valid-json": Export(boxes={"car": 4}, parts=TWO_PARTS),
    "14-roboflow-layouts/30-cvat-subsets": Export(boxes={"car": 4}, parts=TWO_PARTS),
    "15-label-studio-paths/09-labelstudio-coco": Export(boxes={"car": 2}, notes={"found_by_name": 2}),
    "15-label-studio-paths/09b-labelstudio-coco-win": Export(
        boxes={"car": 2}, notes={"found_by_name": 2, "windows_path": 2}
    ),
    "15-label-studio-paths/09c-labelstudio-coco-img": Export(boxes={"car": 2}, notes={"found_by_name": 2}),
    "19-cvat-images-default/22-cvat-iscrowd": Export(
        boxes={"car": 0}, num_ignored=2, notes={"crowd": 2}, defects=("empty_set",)
    ),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_the_check_says_what_was_read(name: str) -> None:
    report, export = check_data(CASES / name), EXPORTS[name]
    assert report.num_boxes_by_class == export.boxes and report.classes == tuple(export.boxes)
    assert report.num_ignored == export.num_ignored and report.num_images_by_part == export.parts
    assert {note.kind: note.count for note in report.notes} == export.notes
    assert tuple(defect.kind for defect in report.defects) == export.defects


@pytest.mark.parametrize("name", [name for name, export in EXPORTS.items() if not export.defects])
def test_training_and_conversion_read_the_same(name: str, tmp_path: Path) -> None:
    export, splits = EXPORTS[name], open_data(CASES / name)
    assert splits.train.classes == tuple(export.boxes)
    records = (*splits.train.records, *splits.val.records)
    assert sum(len(record.boxes) for record in records) == sum(export.boxes.values())
    assert all(record.boxes.tolist() == [[40, 30, 60, 40]] for record in records)
    assert all(splits.train.image(index).shape == (120, 160, 3) for index in range(len(splits.train)))
    done = convert_data(CASES / name, tmp_path / "out", to="coco")
    assert (done.num_boxes, done.num_ignored) == (sum(export.boxes.values()), export.num_ignored)
    again = check_data(tmp_path / "out")
    assert (again.num_boxes_by_class, again.defects) == (export.boxes, ())
    assert again.num_images_by_part == export.parts


def test_an_id_of_two_categories_is_not_guessed(tmp_path: Path) -> None:
    path = CASES / "12-category-twice" / "46-coco-dup-names"
    with pytest.raises(DataError, match="category id 2 occurs twice, for 'car' and for 'van'"):
        open_data(path)
    with pytest.raises(DataError, match="category id 2 occurs twice"):
        convert_data(path, tmp_path / "out", to="yolo")
    assert not (tmp_path / "out").exists()


def test_crowds_are_found_in_the_folder_of_their_subset() -> None:
    path = CASES / "19-cvat-images-default" / "22-cvat-iscrowd"
    with pytest.raises(DataError, match="no boxes"):  # not that its images are missing
        open_data(path)
