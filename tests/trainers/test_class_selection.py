"""Selecting and merging the classes of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_sets import FORMATS_FOLDER, IMAGES, SETS, coco_content, write_coco_set
from hypothesis import given, settings
from hypothesis import strategies as st

from search_space.errors import ConfigError, DataError
from trainers.data import Dataset, Record, open_data
from trainers.data.check import check_data
from trainers.data.class_selection import ClassSelection, select_classes
from trainers.data.convert import convert_data
from trainers.data.dataset import EVERY_CLASS

KNOWN = ("car", "bus", "truck", "person, sitting")
BOXES = np.array([[0, 0, 9, 9], [10, 10, 19, 19], [20, 20, 29, 29], [30, 30, 39, 39]], np.float32)


def record(labels: list[int], ignored_labels: tuple[int, ...] = ()) -> Record:
    """Returns an image with a box for each label, and the same boxes ignored for other ones."""
    return Record(
        path=Path("a.png"),
        height=64,
        width=64,
        boxes=BOXES[: len(labels)],
        labels=np.array(labels, np.int64),
        ignored=BOXES[: len(ignored_labels)],
        ignored_labels=np.array(ignored_labels, np.int64),
    )


def selected(selection: ClassSelection, *records: Record) -> tuple[Dataset, tuple[str, ...]]:
    found = select_classes({"all": Dataset(records or (record([0, 1, 2, 3]),), KNOWN)}, selection)
    return found.datasets["all"], found.notices


@pytest.mark.parametrize(
    ("options", "classes", "labels"),
    [
        ({"classes": "truck,car"}, ("truck", "car"), [1, 0]),
        ({"classes": ["car ", " truck"]}, ("car", "truck"), [0, 1]),
        ({"classes": "bus,person, sitting"}, ("bus", "person, sitting"), [0, 1]),
        ({"merge": "vehicle=car,truck"}, ("vehicle", "bus", "person, sitting"), [0, 1, 0, 2]),
        ({"merge": "bus=truck"}, ("car", "bus", "person, sitting"), [0, 1, 1, 2]),
        ({"merge": {"x": ["car"], "y": "bus,truck"}}, ("x", "y", "person, sitting"), [0, 1, 1, 2]),
        ({"merge": ["a=person, sitting,bus"]}, ("car", "a", "truck"), [0, 1, 2, 1]),
        ({"merge": "vehicle=car,bus", "classes": "truck,vehicle"}, ("truck", "vehicle"), [1, 1, 0]),
        ({}, KNOWN, [0, 1, 2, 3]),
    ],
)
def test_labels_follow_the_names(options: dict[str, Any], classes: tuple[str, ...], labels: list[int]) -> None:
    dataset, _ = selected(ClassSelection.of(**options))
    assert dataset.classes == classes and dataset.records[0].labels.tolist() == labels


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": "car,buss"}, "unknown class 'buss'; did you mean 'bus'; known: car, bus, truck, person, sitting"),
        ({"merge": "v=car,lorry"}, "--merge v: unknown class 'lorry'; known: car, bus"),
        ({"merge": "v=car,bus", "classes": "car"}, "car is merged into v; next: --classes with v in its place"),
        ({"merge": "v=car,bus", "classes": "truck"}, "--merge v has no effect"),
        ({"merge": ["v=car,bus", "w=bus,truck"]}, "--merge w: bus is in v already"),
        ({"merge": ["v=car", "v=bus"]}, "--merge v is given twice"),
        ({"classes": " , "}, "names no class"),
    ],
)
def test_what_the_data_does_not_have_is_an_error_that_lists_what_it_has(options: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError) as caught:
        selected(ClassSelection.of(**options))
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("merge", ["car,bus", "=car", "v=", "v= , ", "v\n=car"])
def test_a_merge_has_a_name_and_classes(merge: str) -> None:
    with pytest.raises(ConfigError, match="NAME=CLASS,CLASS"):
        ClassSelection.of(merge=merge)


@pytest.mark.parametrize("options", [{"other_classes": "drop"}, {"other_classes": "ignore", "merge": "v=car,bus"}])
def test_other_classes_are_background_or_ignored_and_need_classes(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="--other-classes"):
        ClassSelection.of(**options)


def test_other_classes_become_background_or_ignored_regions() -> None:
    image = record([0, 1, 2], ignored_labels=(1, EVERY_CLASS, 0))
    dataset, notices = selected(ClassSelection.of("car"), image)
    found = dataset.records[0]
    assert found.boxes.tolist() == BOXES[:1].tolist()
    assert found.ignored.tolist() == BOXES[1:3].tolist() and found.ignored_labels.tolist() == [EVERY_CLASS, 0]
    assert notices == ("other classes, background: bus, truck, person, sitting; boxes: 2",)
    dataset, notices = selected(ClassSelection.of("car", other_classes="ignore"), image)
    found = dataset.records[0]
    assert found.boxes.tolist() == BOXES[:1].tolist()
    regions = sorted(zip(found.ignored[:, 0].tolist(), found.ignored_labels.tolist(), strict=True))
    assert regions == [(0, EVERY_CLASS), (10, EVERY_CLASS), (20, EVERY_CLASS), (20, 0)]
    assert notices == ("other classes, ignored regions: bus, truck, person, sitting; boxes: 2",)


def test_boxes_that_coincide_after_a_merge_count_once_and_are_told() -> None:
    twice = Record(path=None, height=64, width=64, boxes=BOXES[[0, 0, 1]], labels=np.array([0, 1, 1]))
    dataset, notices = selected(ClassSelection.of(merge="v=car,bus"), twice)
    assert dataset.records[0].boxes.tolist() == BOXES[:2].tolist() and dataset.records[0].labels.tolist() == [0, 0]
    assert notices == ("class v is car, bus", "boxes of merged classes that coincide with another and are kept once: 1")


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), max_size=4),
    kept=st.lists(st.sampled_from(("car", "bus", "truck")), min_size=1, unique=True),
    others=st.sampled_from(("background", "ignore")),
)
def test_no_box_is_lost_or_invented(labels: list[int], kept: list[str], others: str) -> None:
    dataset, _ = selected(ClassSelection.of(kept, other_classes=others), record(labels))
    found = dataset.records[0]
    names = [dataset.classes[label] for label in found.labels]
    assert names == [KNOWN[label] for label in labels if KNOWN[label] in kept]
    expected = len(labels) - len(names) if others == "ignore" else 0
    assert len(found.ignored) == expected and (found.ignored_labels == EVERY_CLASS).all()


@pytest.mark.parametrize("name", SETS)
def test_every_format_is_opened_checked_and_converted_with_a_selection(name: str, tmp_path: Path) -> None:
    path = FORMATS_FOLDER / SETS[name]
    person, car = ("pedestrian", "car") if name == "visdrone" else ("Person", "Car")
    selection = ClassSelection.of((f"{car},both"), {"both": [person, "bicycle" if name == "visdrone" else "Bicycle"]})
    splits = open_data(path, images=IMAGES, selection=selection)
    assert splits.train.classes == splits.val.classes == (car, "both")
    report = check_data(path, images=IMAGES, selection=selection)
    assert report.num_boxes_by_class == {car: 50, "both": 36 + 207} and report.defects == ()
    done = convert_data(path, tmp_path / "out", to="yolo", images=IMAGES, selection=selection)
    assert done.num_boxes == 50 + 36 + 207
    assert any("boxes: 8" in notice for notice in done.notices)
    assert open_data(tmp_path / "out").train.classes == (car, "both")


def test_the_built_in_set_has_classes_to_select() -> None:
    splits = open_data(None, selection=ClassSelection.of("frame"))
    assert splits.val.classes == ("frame",) and splits.val.image(0).shape == (160, 160, 3)


def test_a_selection_without_boxes_cannot_be_trained_on(tmp_path: Path) -> None:
    content = coco_content()
    content["categories"].append({"id": 3, "name": "boat"})
    with pytest.raises(DataError, match=r"no boxes of its classes \(boat\)"):
        open_data(write_coco_set(tmp_path, content), selection=ClassSelection.of("boat"))
