"""labelme data sets: one JSON file for each image."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_space.errors import DataError
from tests.trainers.data_sets import (
    labelme_content,
    labelme_shape,
    named_boxes,
    named_regions,
    write_coco_set,
    write_image,
    write_labelme,
    write_labelme_set,
    write_yolo_set,
)
from tests.trainers.data_spoiling import Case, cut, labelme_with, remove, shape, text
from trainers.data import open_data
from trainers.data.check import check_data
from trainers.data.convert import convert_data
from trainers.data.defects import BrokenFile

CASE = Path(__file__).parent.parent / "data" / "cases" / "17-labelme" / "18-labelme"
NAN = float("nan")


@pytest.mark.parametrize(("path", "num_images"), [(CASE, 2), (CASE / "1.json", 1)])
def test_a_labelme_data_set_is_read_and_converted(path: Path, num_images: int, tmp_path: Path) -> None:
    report, splits = check_data(path), open_data(path)
    assert (report.format, report.num_images, report.defects, report.notes) == ("labelme", num_images, (), ())
    assert named_boxes(splits.train.records[0], splits.train.classes) == [("Car", (40, 30, 60, 40))]
    assert convert_data(path, tmp_path / "out", to="yolo").num_boxes == num_images
    assert open_data(tmp_path / "out").train.classes == ("car",)


def test_a_named_format_that_is_not_there_says_what_is() -> None:
    with pytest.raises(DataError, match="no coco data set found in .*18-labelme; it looks like labelme"):
        open_data(CASE, format="coco")
    with pytest.raises(DataError, match="no voc data set found in .*; it looks like labelme"):
        open_data(CASE, format="voc")


@pytest.mark.parametrize("write", [write_coco_set, write_yolo_set])
def test_other_data_sets_are_not_taken_for_labelme(write: Callable[[Path], Path], tmp_path: Path) -> None:
    write(tmp_path)
    assert check_data(tmp_path).format != "labelme"
    with pytest.raises(DataError, match="no labelme data set found"):
        open_data(tmp_path, format="labelme")


BOXES: dict[str, tuple[Callable[[Path], object], tuple[float, ...]]] = {
    "rectangle from the other corner": (shape("bus", [9, 8], [1, 2]), (1, 2, 9, 8)),
    "rectangle of four points": (shape("bus", [1, 2], [9, 2], [9, 8], [1, 8]), (1, 2, 9, 8)),
    "polygon": (shape("bus", [5, 1], [9, 4], [2, 8.5], kind="polygon"), (2, 1, 9, 8.5)),
    "circle": (shape("bus", [10, 10], [13, 14], kind="circle"), (5, 5, 15, 15)),
    "mask": (shape("bus", [1, 2], [9, 8], kind="mask", mask="iVBO"), (1, 2, 9, 8)),
    "rotated rectangle": (shape("bus", [5, 1], [9, 5], [5, 9], [1, 5], kind="rotation"), (1, 1, 9, 9)),
    "numbers as text": (shape("bus", ["1", "2"], ["9.5", "8"]), (1, 2, 9.5, 8)),
}


@pytest.mark.parametrize("name", BOXES)
def test_the_box_of_a_shape(name: str, tmp_path: Path) -> None:
    add, expected = BOXES[name]
    add(write_labelme_set(tmp_path))
    report, splits = check_data(tmp_path), open_data(tmp_path)
    assert ("bus", expected) in named_boxes(splits.train.records[0], splits.train.classes)
    assert report.defects == () and report.num_boxes == 7


def test_files_of_the_first_versions_have_polygons_without_a_type(tmp_path: Path) -> None:
    write_labelme_set(tmp_path)
    old = {"label": "car", "points": [[1, 1], [9, 1], [5, 7]], "line_color": None, "fill_color": None}
    (tmp_path / "a.json").write_text(json.dumps({"shapes": [old], "imagePath": "a.png", "imageData": None}))
    assert named_boxes(open_data(tmp_path).train.records[0], ("car",)) == [("Car", (1, 1, 9, 7))]


def test_outlines_of_one_group_are_one_object(tmp_path: Path) -> None:
    folder = write_labelme_set(tmp_path)
    outlines = [
        labelme_shape(label, [x, 1], [x + 4, 1], [x, 5], kind="polygon", group_id=group)
        for label, x, group in (("car", 1, 1), ("car", 11, 1), ("car", 21, None), ("bus", 31, 1), ("car", 41, 2))
    ]
    both = [labelme_shape("bus", [1, x], [5, x + 5], group_id=3) for x in (20, 30)]
    write_labelme(folder / "a.json", labelme_content("a.png", *outlines, *both))
    report, splits = check_data(folder), open_data(folder)
    found = named_boxes(splits.train.records[0], splits.train.classes)
    assert found == [
        ("Car", (1, 1, 15, 5)),
        ("Car", (21, 1, 25, 5)),
        ("Car", (41, 1, 45, 5)),
        ("bus", (1, 20, 5, 25)),
        ("bus", (1, 30, 5, 35)),
        ("bus", (31, 1, 35, 5)),
    ]
    assert [(note.kind, note.count) for note in report.notes] == [("grouped", 1), ("polygon", 5)]


@pytest.mark.parametrize("name", ["__ignore__", "ignore", "DontCare", "ignored region"])
def test_shapes_that_are_ignored_regions(name: str, tmp_path: Path) -> None:
    shape(name, [1, 1], [9, 9])(write_labelme_set(tmp_path))
    report, splits = check_data(tmp_path), open_data(tmp_path)
    assert splits.train.classes == ("car", "person") and report.num_ignored == 1 and not report.defects
    assert named_regions(splits.train.records[0], ()) == [("*", (1, 1, 9, 9))]
    assert [note.kind for note in report.notes] == ["ignored"]


@pytest.mark.parametrize("name", ["labels.txt", "classes.txt"])
def test_a_list_of_labels_gives_the_order(name: str, tmp_path: Path) -> None:
    write_labelme_set(tmp_path)
    (tmp_path / name).write_text("__ignore__\n_background_\nperson\n")
    report, splits = check_data(tmp_path), open_data(tmp_path)
    assert splits.train.classes == ("person",) and report.num_boxes == 3
    assert [(each.kind, each.line) for each in report.defects] == [("unknown_category", 3)] * 3


def test_a_list_of_labels_with_a_name_twice_is_refused(tmp_path: Path) -> None:
    write_labelme_set(tmp_path)
    (tmp_path / "labels.txt").write_text("car\nperson\ncar\n")
    with pytest.raises(BrokenFile, match="both called 'car'") as caught:
        open_data(tmp_path)
    assert (caught.value.defect.kind, caught.value.defect.line) == ("wrong_layout", 3)


DEFECTS: dict[str, Case] = {
    "no label": Case("labelme", shape(None, [1, 1], [9, 9]), "malformed", "a.json", 4),
    "a lone surrogate": Case("labelme", shape("\ud800", [1, 1], [9, 9]), "malformed", "a.json", 4),
    "a point": Case("labelme", shape("car", [5, 5], kind="point"), "malformed", "a.json", 4),
    "a line": Case("labelme", shape("car", [5, 5], [9, 9], kind="line"), "malformed", "a.json", 4),
    "an unknown type": Case("labelme", shape("car", [5, 5], [9, 9], kind=["x"]), "malformed", "a.json", 4),
    "one corner": Case("labelme", shape("car", [5, 5]), "malformed", "a.json", 4),
    "a word": Case("labelme", shape("car", [5, "x"], [9, 9]), "malformed", "a.json", 4),
    "a truth value": Case("labelme", shape("car", [True, 5], [9, 9]), "malformed", "a.json", 4),
    "a number too large": Case("labelme", shape("car", [5, 10**400], [9, 9]), "malformed", "a.json", 4),
    "three coordinates": Case("labelme", shape("car", [5, 5, 5], [9, 9]), "malformed", "a.json", 4),
    "no numbers": Case("labelme", shape("car", [NAN, 5], [9, 9]), "not_a_number", "a.json", 4),
    "no area": Case("labelme", shape("car", [5, 5], [5, 9]), "zero_size", "a.json", 4),
    "outside": Case("labelme", shape("car", [70, 5], [80, 9]), "outside_image", "a.json", 4),
    "partly outside": Case("labelme", shape("car", [60, 5], [80, 9]), "partly_outside", "a.json", 4, num_boxes=7),
    "twice": Case("labelme", shape("person", [20, 30], [10, 10]), "duplicate_box", "a.json", 4),
    "no shape": Case("labelme", text("a.json", '{"shapes": [\n5]}'), "malformed", "a.json", 2, 4),
    "no JSON": Case("labelme", cut("a.json", 0.9), "malformed_file", "a.json", 4, 4),
    "too deep": Case("labelme", text("a.json", '{"shapes": [' + "[" * 9000), "malformed_file", "a.json", None, 4),
    "another JSON": Case("labelme", text("a.json", "[1]"), "malformed_file", "a.json", None, 4),
    "shapes twice": Case(
        "labelme", text("a.json", '{"shapes": [], "shapes": []}'), "malformed_file", "a.json", None, 4
    ),
    "no image": Case("labelme", remove("a.png"), "missing_image", "a.json", None, 4),
    "a cut image": Case("labelme", cut("a.png", 0.7), "truncated_image", "a.png", None, 4),
    "another size": Case(
        "labelme", lambda f: write_labelme(f / "a.json", labelme_with(imageWidth=65)), "image_size", "a.png", None, 4
    ),
    "a size in words": Case(
        "labelme", lambda f: write_labelme(f / "a.json", labelme_with(imageHeight="tall")), "image_size", "a.json", None
    ),
    "a copy": Case(
        "labelme", lambda f: shutil.copy(f / "a.json", f / "a (copy).json"), "duplicate_image", "a (copy).json", None
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_told_with_file_and_line(name: str, tmp_path: Path) -> None:
    case = DEFECTS[name]
    case.spoil(write_labelme_set(tmp_path))
    report = check_data(tmp_path)
    assert [(each.kind, each.line) for each in report.defects] == [(case.kind, case.line)]
    assert report.defects[0].file.endswith(case.file) and report.defects[0].what
    assert report.num_boxes == case.num_boxes
    splits = open_data(tmp_path)
    assert case.kind in ("truncated_image", "image_size") or splits.notices


def moved(folder: Path, image_path: str) -> Path:
    """Moves the images to `images/` and the files to `labels/`, with an `imagePath` for the image of each."""
    write_labelme_set(folder / "set")
    for part, suffix in (("images", ".png"), ("labels", ".json")):
        (folder / "set" / part).mkdir()
        for name in "abc":
            os.rename(folder / "set" / f"{name}{suffix}", folder / "set" / part / f"{name}{suffix}")
    for name in "abc":
        content = labelme_content(image_path.format(name=name), labelme_shape("car", [1, 1], [9, 9]))
        write_labelme(folder / "set" / "labels" / f"{name}.json", content)
    return folder / "set"


@pytest.mark.parametrize(
    "image_path",
    ["{name}.png", "../images/{name}.png", "..\\images\\{name}.png", "/home/me/{name}.png", "C:\\{name}.png", ""],
)
def test_images_in_a_folder_of_their_own(image_path: str, tmp_path: Path) -> None:
    folder = moved(tmp_path, image_path)
    report = check_data(folder)
    assert (report.num_images, report.num_boxes, report.defects) == (3, 3, ())
    for path, images in ((folder / "labels", None), (folder / "labels" / "b.json", folder / "images")):
        records = open_data(path, images=images).train.records
        assert records and all(record.path.parent == folder / "images" for record in records if record.path)


@pytest.mark.parametrize("image_path", ["../../x.png", "/etc/x.png", "..\\..\\x.png", "labels/../../../x.png"])
def test_an_image_path_leads_nowhere_else(image_path: str, tmp_path: Path) -> None:
    folder = write_labelme_set(tmp_path / "one" / "set")
    write_image(tmp_path / "x.png")
    (folder / "a.png").unlink()
    write_labelme(folder / "a.json", labelme_content(image_path, labelme_shape("car", [1, 1], [9, 9])))
    report = check_data(folder)
    assert [each.kind for each in report.defects] == ["path_outside"] and report.num_images == 2
    records = (*open_data(folder).train.records, *open_data(folder).val.records)
    assert all(record.path is not None and record.path.is_relative_to(folder) for record in records)


def test_the_name_of_the_file_wins_over_its_image_path(tmp_path: Path) -> None:
    folder = write_labelme_set(tmp_path)
    write_labelme(folder / "a.json", labelme_content("b.png", labelme_shape("car", [1, 1], [9, 9])))
    write_labelme(folder / "c.json", labelme_content("old.png", labelme_shape("car", [1, 1], [9, 9])))
    report = check_data(folder)
    assert [(each.kind, each.file[-6:]) for each in report.defects] == [("filename_differs", "a.json")]
    assert [note.kind for note in report.notes] == ["filename_missing"] and report.num_images == 3
    assert len(open_data(folder).train.records[0].boxes) == 1


def test_labels_that_were_converted_to_yolo_win(tmp_path: Path) -> None:
    folder = write_yolo_set(tmp_path / "set")
    for name in "abc":
        write_labelme(folder / "labels" / f"{name}.json", labelme_content(f"{name}.png"))
    assert open_data(folder).format == "yolo"
    write_labelme_set(tmp_path / "flat")
    (tmp_path / "flat" / "a.txt").write_text("notes of the annotator")
    assert open_data(tmp_path / "flat").format == "labelme"


@pytest.mark.parametrize("place", ["", "images", "annotations"])
def test_train_and_val_in_folders(place: str, tmp_path: Path) -> None:
    for part in ("train", "val"):
        write_labelme_set(tmp_path / place / part)
    splits = open_data(tmp_path)
    assert (len(splits.train), len(splits.val), splits.format) == (3, 3, "labelme") and splits.notices == ()


def test_a_large_image_before_the_shapes_is_no_hindrance(tmp_path: Path) -> None:
    folder = write_labelme_set(tmp_path)
    for name in "abc":
        content = {"imageData": "A" * 200_000, **labelme_content(f"{name}.png", labelme_shape("car", [1, 1], [9, 9]))}
        (folder / f"{name}.json").write_text(json.dumps(content | {"imageData": "A" * 200_000}))
    assert (check_data(folder).format, check_data(folder).num_boxes) == ("labelme", 3)


LEAF = st.one_of(st.none(), st.booleans(), st.integers(-5, 70), st.floats(), st.just(10**400), st.text(max_size=3))
POINTS = st.one_of(LEAF, st.lists(st.one_of(LEAF, st.lists(LEAF, min_size=2, max_size=2)), max_size=4))
SHAPES = st.one_of(
    LEAF,
    st.builds(
        labelme_shape,
        st.one_of(LEAF, st.sampled_from(["car", "ignore"])),
        *[st.lists(st.integers(0, 40), min_size=2, max_size=2)] * 3,
        kind=st.one_of(LEAF, st.sampled_from(["rectangle", "polygon", "circle", "line"])),
    ),
    st.builds(lambda points: {**labelme_shape("car"), "points": points}, POINTS),
)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(shapes=st.lists(SHAPES, max_size=6))
def test_every_shape_is_a_label_or_a_defect(shapes: list[object], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = write_labelme_set(tmp_path_factory.mktemp("set"))
    (folder / "a.json").write_text(json.dumps(labelme_content("a.png", *shapes)))
    report = check_data(folder)
    dropped = sum(each.kind not in ("partly_outside", "empty_set") for each in report.defects)
    assert len(shapes) == report.num_boxes - 4 + report.num_ignored + dropped
