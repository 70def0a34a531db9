"""Ids, numbers and flags that are text in a JSON file, categories that occur twice, and boxes without bbox."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_masks

from search_space.errors import DataError
from tests.trainers.data_sets import HEIGHT, WIDTH, coco_content, write_coco_set
from trainers.data import open_data
from trainers.data.check import DataReport, check_data
from trainers.data.json_values import IdTable, flag, number
from trainers.data.segmentation import box_of_segmentation

Change = Callable[[dict[str, Any]], object]
BOXES = {"person": 3, "car": 3}


def checked(folder: Path, change: Change) -> DataReport:
    """Returns the report of the small set, changed; it has three images with a person and a car each."""
    content = coco_content()
    change(content)
    return check_data(write_coco_set(folder, content))


def each(name: str, key: str, convert: Callable[[Any], object]) -> Change:
    """Changes one field of all entries of a list."""
    return lambda content: [entry.update({key: convert(entry[key])}) for entry in content[name]]


def first(**fields: object) -> Change:
    """Changes the first annotation, a person."""
    return lambda content: content["annotations"][0].update(fields)


SAME = {
    "category ids of annotations": each("annotations", "category_id", str),
    "category ids of categories": each("categories", "id", str),
    "image ids of annotations": each("annotations", "image_id", lambda value: f"{value}.0"),
    "image ids of images": each("images", "id", lambda value: f"{value:06}"),
    "widths": each("images", "width", str),
    "boxes": each("annotations", "bbox", lambda box: [str(value) for value in box]),
    "crowds": each("annotations", "iscrowd", str),
    "crowds in words": each("annotations", "iscrowd", lambda value: str(bool(value))),
}


@pytest.mark.parametrize("name", SAME)
def test_text_that_is_the_same_number_means_the_same(name: str, tmp_path: Path) -> None:
    report = checked(tmp_path, SAME[name])
    assert (report.num_boxes_by_class, report.num_ignored, report.defects) == (BOXES, 0, ())
    ((kind, count),) = [(note.kind, note.count) for note in report.notes]
    assert kind == "number_as_text" and count == (3 if name == "widths" else 6)


@pytest.mark.parametrize("key", ["iscrowd", "ignore"])
@pytest.mark.parametrize(("value", "ignored"), [("1", 1), ("true", 1), (1.0, 1), (True, 1), ("0", 0), (None, 0)])
def test_flags(key: str, value: object, ignored: int, tmp_path: Path) -> None:
    report = checked(tmp_path, first(**{key: value}))
    assert (report.num_ignored, report.num_boxes, report.defects) == (ignored, 6 - ignored, ())


def test_flags_of_tinyperson(tmp_path: Path) -> None:
    report = checked(tmp_path, each("annotations", "iscrowd", lambda _: 0))
    flagged = checked(tmp_path, lambda content: [first(uncertain="0")(content), first(ignore="0", logo="1")(content)])
    assert flagged.format == "tinyperson" and flagged.num_boxes == report.num_boxes and flagged.num_ignored == 0


MALFORMED = {
    "a crowd of 2": (first(iscrowd=2), "iscrowd: a flag must be 0 or 1, got 2"),
    "a crowd of yes": (first(iscrowd="yes"), 'got "yes"'),
    "an empty flag": (first(ignore=""), 'ignore: a flag must be 0 or 1, got ""'),
    "a box of digits": (first(bbox="1234"), 'got "1234"'),
    "a box of words": (first(bbox=["1", "2", "3", "x"]), 'got ["1", "2", "3", "x"]'),
    "a number with an underscore": (first(bbox=[1, 2, 3, "1_0"]), '"1_0"'),
    "a table": (first(bbox={"1": 1, "2": 2, "3": 3, "4": 4}), "bbox must be four numbers"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_neither_is_a_defect(name: str, tmp_path: Path) -> None:
    change, what = MALFORMED[name]
    report = checked(tmp_path, change)
    (defect,) = report.defects
    assert defect.kind == "malformed" and what in defect.what and report.num_boxes == 5


def test_an_unknown_id_is_shown_with_quotes_if_it_is_text(tmp_path: Path) -> None:
    report = checked(tmp_path, lambda c: [first(category_id="7")(c), c["annotations"][1].update(image_id="x")])
    assert [(defect.kind, defect.what.rpartition(" ")[2]) for defect in report.defects] == [
        ("unknown_image", '"x"'),
        ("unknown_category", '"7"'),
    ]


whole = st.integers(-(10**9), 10**9)


@given(ids=st.lists(whole, unique=True, min_size=1), as_text=st.booleans())
def test_every_id_is_found_as_text_and_as_number(ids: list[int], as_text: bool) -> None:
    table: IdTable[int] = IdTable()
    for value in ids:
        assert table.add(str(value) if as_text else value, value)
    for value in ids:
        assert all(table[table.find(key)] == value for key in (value, str(value), float(value), f" {value}.00"))
    assert table.find(max(ids) + 1) is table.find(f"{max(ids)}x") is table.find(True) is table.find([1]) is None


def test_an_id_is_not_guessed_between_text_and_number() -> None:
    table: IdTable[str] = IdTable()
    assert table.add(1, "number") and table.add("1", "text") and not table.add(1, "again")
    assert (table[table.find(1)], table[table.find("1")], table.find("01")) == ("number", "text", None)


@given(st.one_of(st.text(), st.floats(), st.integers(), st.lists(st.integers()), st.booleans(), st.none()))
def test_values_are_read_or_refused(value: Any) -> None:
    for read in (flag, number):
        try:
            assert isinstance(read(value), (bool, float))
        except (ValueError, OverflowError):
            assert value not in (0, 1, None) or read is number


# categories
def add_category(**fields: object) -> Change:
    return lambda content: content["categories"].append(fields)


TWICE = {
    "the same id and name": (add_category(id=2, name="car"), ["duplicate_category"], BOXES),
    "one name, two ids": (
        lambda c: [add_category(id=3, name="car")(c), first(category_id=3)(c)],
        ["duplicate_category"],
        {"person": 2, "car": 4},
    ),
    "one id, two names": (
        add_category(id=2, name="van"),
        ["ambiguous_category", *["unknown_category"] * 3],
        {"person": 3, "car": 0},
    ),
    "three names of an unused id": (
        lambda c: [add_category(id=9, name=name)(c) for name in "xyz"],
        ["ambiguous_category"] * 2,
        {**BOXES, "x": 0},
    ),
}


@pytest.mark.parametrize("name", TWICE)
def test_categories_given_twice(name: str, tmp_path: Path) -> None:
    change, kinds, boxes = TWICE[name]
    report = checked(tmp_path, change)
    assert [defect.kind for defect in report.defects] == kinds and report.num_boxes_by_class == boxes
    assert all("twice" in defect.what for defect in report.defects if defect.kind != "unknown_category")
    if "ambiguous_category" in kinds:
        with pytest.raises(DataError, match="occurs twice, for"):
            open_data(tmp_path / "set.json")
    else:
        assert open_data(tmp_path / "set.json").train.classes == tuple(boxes)


GROUPS: dict[str, tuple[Change, dict[str, int], int]] = {
    "without boxes": (lambda c: None, BOXES, 1),
    "with a box": (first(category_id=0), {"things": 1, "person": 2, "car": 3}, 0),
    "with a crowd": (first(category_id=0, iscrowd=1), {"things": 0, "person": 2, "car": 3}, 0),
    "with a supercategory": (
        lambda c: c["categories"][0].update(supercategory="all"),
        {"things": 0, "person": 3, "car": 3},
        0,
    ),
    "of its own name": (lambda c: None, {"car": 3, "person": 3}, 0),
    "of its own name, last": (lambda c: c["categories"].append(c["categories"].pop(0)), BOXES, 0),
}


@pytest.mark.parametrize("name", GROUPS)
def test_a_category_that_only_groups_others_is_no_class(name: str, tmp_path: Path) -> None:
    change, boxes, num_groups = GROUPS[name]
    top = "car" if name.startswith("of its own name") else "things"

    def grouped(content: dict[str, Any]) -> None:
        for entry in content["categories"]:
            entry["supercategory"] = top
        content["categories"].insert(0, {"id": 0, "name": top, "supercategory": "none"})
        change(content)

    report = checked(tmp_path, grouped)
    assert report.defects == () and report.num_boxes_by_class == boxes
    assert sum(note.count for note in report.notes if note.kind == "empty_group") == num_groups


# boxes of segmentations
masks = st.tuples(st.integers(1, 30), st.integers(1, 30), st.floats(0, 1), st.integers(0, 10**6))


@given(masks)
def test_masks_have_the_box_of_their_pixels(drawn: tuple[int, int, float, int]) -> None:
    height, width, share, seed = drawn
    pixels = np.asfortranarray(np.random.default_rng(seed).random((height, width)) < share, np.uint8)
    encoded = coco_masks.encode(pixels)["counts"].decode()
    flat = pixels.flatten(order="F").tolist()
    runs = [0] * flat[0] + [len(list(run)) for _, run in groupby(flat)]
    rows, columns = np.nonzero(pixels)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else (0, 0, 0, 0)
    for counts in (encoded, runs):
        assert box_of_segmentation({"size": [height, width], "counts": counts}, (height, width)) == box


SQUARE = [10, 10, 20, 10, 20, 30, 10, 30]
SEGMENTATIONS: dict[str, tuple[object, tuple[float, ...] | None]] = {
    "a polygon": ([SQUARE], (10, 10, 20, 30)),
    "a flat polygon": (SQUARE, (10, 10, 20, 30)),
    "two polygons": ([SQUARE, [1, 2, 3, 2, 2, 5]], (1, 2, 20, 30)),
    "a polygon as text": ([[str(value) for value in SQUARE]], (10, 10, 20, 30)),
    "a mask": ({"size": [HEIGHT, WIDTH], "counts": [HEIGHT + 2, 3, HEIGHT * (WIDTH - 1) - 5]}, (1, 2, 2, 5)),
    "two points": ([[1, 2, 3, 4]], None),
    "half a point": ([[*SQUARE, 1]], None),
    "no numbers": ([[1, 2, 3, 4, 5, None]], None),
    "a mask of another size": ({"size": [WIDTH, HEIGHT], "counts": [WIDTH * HEIGHT - 3, 3]}, None),
    "a mask with too few pixels": ({"size": [HEIGHT, WIDTH], "counts": [1, 3]}, None),
    "a mask that ends early": ({"size": [HEIGHT, WIDTH], "counts": "o"}, None),
    "a mask in another encoding": ({"size": [HEIGHT, WIDTH], "counts": "é"}, None),
    "a mask with negative runs": ({"size": [HEIGHT, WIDTH], "counts": [-1, 1, HEIGHT * WIDTH]}, None),
    "a word": ("polygon", None),
    "nothing": ([], None),
}


@pytest.mark.parametrize("bbox", [None, []])
@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_the_box_of_a_segmentation(name: str, bbox: object, tmp_path: Path) -> None:
    segmentation, box = SEGMENTATIONS[name]
    report = checked(tmp_path, first(bbox=bbox, segmentation=segmentation))
    if box is None:
        assert [defect.kind for defect in report.defects] == ["malformed"] and report.num_boxes == 5
        return
    assert report.defects == () and [note.kind for note in report.notes] == ["box_of_segmentation"]
    splits = open_data(tmp_path / "set.json")
    assert splits.train.records[0].boxes[0].tolist() == list(box)
