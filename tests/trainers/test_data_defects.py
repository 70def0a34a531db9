"""Every kind of defect: found by the check with file and line, and no end to a training that can go on without it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from search_space.errors import DataError
from tests.trainers.data_sets import (
    coco_content,
    voc_object,
    voc_text,
    write_coco_set,
    write_image,
    write_labelme,
    write_yolo_set,
)
from tests.trainers.data_spoiling import (
    GOOD,
    LABELS,
    WRITE,
    A,
    Case,
    annotation,
    bands,
    category,
    coco,
    cut,
    huge,
    image,
    label,
    labelme_with,
    line,
    no_objects,
    node,
    other_values,
    pages,
    remove,
    text,
    two_jsons,
    yaml_with_list,
)
from trainers.data import open_data
from trainers.data.check import check_data
from trainers.data.defects import DEFECTS, counted_note

A_BOXES = 4
"""Boxes of the two other images, where the first is left out."""
CASES = {
    # labels that are left out
    "yolo, words": Case("yolo", label("hello there"), "malformed", LABELS, 3),
    "yolo, four numbers": Case("yolo", label("1 0.5 0.5 0.1"), "malformed", LABELS, 3),
    "yolo, even polygon": Case("yolo", label("1 0.1 0.1 0.2 0.2 0.3"), "malformed", LABELS, 3),
    "visdrone, words": Case("visdrone", line("1,2,x,4,1,1,0,0"), "malformed", "annotations/a.txt", 2),
    "visdrone, five fields": Case("visdrone", line("1,2,3,4,1"), "malformed", "annotations/a.txt", 2),
    "voc, no box": Case("voc", node("<object><name>car</name></object>"), "malformed", "Annotations/a.xml", 6),
    "voc, no name": Case("voc", node(voc_object("", 1, 1, 9, 9)), "malformed", "Annotations/a.xml", 6),
    "coco, three numbers": Case("coco", annotation(bbox=[1, 2, 3]), "malformed", "set.json", 13),
    "coco, a truth value": Case("coco", annotation(bbox=[True, 5, 9, 9]), "malformed", "set.json", 13),
    "coco, no bbox": Case("coco", annotation(bbox=None), "malformed", "set.json", 13),
    "coco, a number too large": Case("coco", annotation(bbox=[10**400, 1, 9, 9]), "malformed", "set.json", 13),
    "yolo, box or polygon": Case("yolo", label("1 0.3 0.3 0.1 0.1 0.3 0.32"), "ambiguous", LABELS, 3),
    "yolo, nan": Case("yolo", label("1 nan 0.5 0.1 0.1"), "not_a_number", LABELS, 3),
    "yolo, polygon with nan": Case("yolo", label("1 0.1 0.1 nan 0.2 0.3 0.3"), "not_a_number", LABELS, 3),
    "coco, infinite": Case("coco", annotation(bbox=[1, 1, float("inf"), 9]), "not_a_number", "set.json", 13),
    "voc, word": Case("voc", node(voc_object("car", 1, "x", 9, 9)), "not_a_number", "Annotations/a.xml", 6),
    "yolo, no width": Case("yolo", label("1 0.5 0.5 0 0.1"), "zero_size", LABELS, 3),
    "coco, no height": Case("coco", annotation(bbox=[5, 5, 5, 0]), "zero_size", "set.json", 13),
    "yolo, negative": Case("yolo", label("1 0.5 0.5 -0.1 0.1"), "negative_size", LABELS, 3),
    "visdrone, negative": Case("visdrone", line("9,9,5,-5,1,1,0,0"), "negative_size", "annotations/a.txt", 2),
    "voc, corners swapped": Case("voc", node(voc_object("car", 9, 9, 1, 20)), "negative_size", "Annotations/a.xml", 6),
    "yolo, outside": Case("yolo", label("1 1.5 0.5 0.1 0.1"), "outside_image", LABELS, 3),
    "coco, outside": Case("coco", annotation(bbox=[70, 1, 5, 5]), "outside_image", "set.json", 13),
    "yolo, class 2": Case("yolo", label("2 0.5 0.5 0.1 0.1"), "class_out_of_range", LABELS, 3),
    "yolo, class -1": Case("yolo", label("-1 0.5 0.5 0.1 0.1"), "class_out_of_range", LABELS, 3),
    "yolo, class 0.5": Case("yolo", label("0.5 0.5 0.5 0.1 0.1"), "class_out_of_range", LABELS, 3),
    "visdrone, class 12": Case("visdrone", line("9,9,5,5,1,12,0,0"), "class_out_of_range", "annotations/a.txt", 2),
    "coco, category": Case("coco", annotation(category_id=9), "unknown_category", "set.json", 13),
    "coco, category is a list": Case("coco", annotation(category_id=[1]), "unknown_category", "set.json", 13),
    "coco, image": Case("coco", annotation(image_id=9), "unknown_image", "set.json", 13),
    "coco, no annotation": Case("coco", coco(lambda c: c["annotations"].append(3)), "unknown_image", "set.json", 13),
    "yolo, twice": Case("yolo", label(GOOD.strip()), "duplicate_box", LABELS, 3),
    "coco, twice": Case("coco", annotation(bbox=[10, 10, 10, 20]), "duplicate_box", "set.json", 13),
    # labels that are put right
    "yolo, partly outside": Case("yolo", label("1 0.98 0.5 0.2 0.1"), "partly_outside", LABELS, 3, num_boxes=7),
    "coco, partly outside": Case("coco", annotation(bbox=[60, 1, 9, 9]), "partly_outside", "set.json", 13, num_boxes=7),
    # images that are left out
    "coco, image is missing": Case("coco", remove(A), "missing_image", "set.json", 2, A_BOXES),
    "voc, image is missing": Case(
        "voc", remove("JPEGImages/a.png"), "missing_image", "Annotations/a.xml", None, A_BOXES
    ),
    "yolo, listed image is missing": Case(
        "yolo", yaml_with_list("images/a.png", "images/x.png"), "missing_image", "train.txt", 2
    ),
    "yolo, image is text": Case("yolo", text(A, "no image"), "unreadable_image", A, None, A_BOXES),
    "coco, image is text": Case("coco", text(A, "no image"), "unreadable_image", A, None, A_BOXES, unreadable=1),
    "voc, image is empty": Case(
        "voc", text("JPEGImages/a.png", ""), "unreadable_image", "a.png", None, A_BOXES, unreadable=1
    ),
    "yolo, image is cut off": Case("yolo", cut(A, 0.7), "truncated_image", A, None, A_BOXES, unreadable=1),
    "coco, image is cut off": Case("coco", cut(A, 0.7), "truncated_image", A, None, A_BOXES, unreadable=1),
    "yolo, huge header": Case("yolo", huge(A), "huge_image", A, None, A_BOXES),
    "coco, huge header": Case("coco", huge(A), "huge_image", A, None, A_BOXES, unreadable=1),
    "coco, image without id": Case(
        "coco", coco(lambda c: c["images"].append({"file_name": "x.png"})), "malformed_image", "set.json", 5
    ),
    "voc, no xml": Case("voc", text("Annotations/a.xml", "<annotation><a>"), "malformed_file", "a.xml", None, A_BOXES),
    "voc, other xml": Case("voc", text("Annotations/a.xml", "<a/>"), "malformed_file", "a.xml", None, A_BOXES),
    "voc, entities": Case(
        "voc",
        text("Annotations/a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>'),
        "malformed_file",
        "a.xml",
        None,
        A_BOXES,
    ),
    "coco, image id twice": Case(
        "coco", coco(lambda c: c["images"].append({"id": 1, "file_name": "b.png"})), "duplicate_image", "set.json", 5
    ),
    "yolo, listed twice": Case(
        "yolo", yaml_with_list("images/a.png", "./images/a.png"), "duplicate_image", "train.txt", 2
    ),
    "coco, above": Case(
        "coco",
        image(file_name="../../etc/passwd"),
        "path_outside",
        "set.json",
        2,
        A_BOXES,
        error="leaves the image folder",
    ),
    "coco, absolute": Case(
        "coco", image(file_name="/etc/passwd"), "path_outside", "set.json", 2, A_BOXES, error="leaves the image folder"
    ),
    "coco, above in Windows": Case(
        "coco",
        image(file_name="..\\..\\x.png"),
        "path_outside",
        "set.json",
        2,
        A_BOXES,
        error="leaves the image folder",
    ),
    "coco, a drive": Case(
        "coco", image(file_name="C:\\x.png"), "path_outside", "set.json", 2, A_BOXES, error="leaves the image folder"
    ),
    "yolo, list goes above": Case(
        "yolo",
        yaml_with_list("images/a.png", "../../etc/x.png"),
        "path_outside",
        "train.txt",
        2,
        error="outside the data set",
    ),
    "yolo, list is absolute": Case(
        "yolo",
        yaml_with_list("/etc/passwd", "images/a.png"),
        "path_outside",
        "train.txt",
        1,
        error="outside the data set",
    ),
    "voc, above": Case(
        "voc",
        lambda f: [remove("JPEGImages/a.png")(f), text("Annotations/a.xml", voc_text("../a.png", ""))(f)],
        "path_outside",
        "a.xml",
        None,
        A_BOXES,
    ),
    # what is told
    "coco, annotation id twice": Case("coco", annotation(id=1), "duplicate_annotation", "set.json", 13, num_boxes=7),
    "coco, size differs": Case("coco", image(width=65), "image_size", A, None, A_BOXES, unreadable=1),
    "coco, size is a word": Case("coco", image(width="wide"), "image_size", "set.json", 2),
    "coco, size is negative": Case("coco", image(height=-48), "image_size", "set.json", 2),
    "voc, other image": Case("voc", node("", name="b.png"), "filename_differs", "Annotations/a.xml", None),
    "coco, category twice": Case("coco", category(id=2, name="car"), "duplicate_category", "set.json", 17),
    "voc, size differs": Case("voc", node("", size="65,48"), "image_size", "a.png", None, A_BOXES, unreadable=1),
    "labelme, name of another image": Case(
        "labelme",
        lambda folder: write_labelme(folder / "a.json", labelme_with(imagePath="b.png")),
        "filename_differs",
        "a.json",
        None,
    ),
    "yolo, labels of two images": Case(
        "yolo",
        lambda f: (f / "images" / "a.jpg").write_bytes((f / A).read_bytes()),
        "shared_annotation",
        LABELS,
        None,
        num_boxes=8,
    ),
    "yolo, labels of another format": Case(
        "yolo",
        lambda f: [(f / LABELS).unlink(), text("images/a.xml", voc_text("a.png", voc_object("car", 1, 1, 9, 9)))(f)],
        "unread_annotation",
        "images/a.xml",
        None,
        A_BOXES,
    ),
    "labelme, in another encoding": Case(
        "labelme",
        lambda f: (f / "a.json").write_bytes((f / "a.json").read_bytes().rstrip()[:-1] + b', "note": "\xe9"}'),
        "not_unicode",
        "a.json",
        None,
    ),
    "yolo, label without image": Case("yolo", text("labels/x.txt", GOOD), "label_without_image", "labels/x.txt", None),
    "visdrone, file without image": Case("visdrone", remove(A), "label_without_image", "a.txt", None, A_BOXES),
    "yolo, two pages": Case("yolo", pages(A), "extra_pages", A, None),
    "coco, two pages": Case("coco", pages(A), "extra_pages", A, None),
    "voc, four bands": Case("voc", bands("JPEGImages/a.png"), "extra_channels", "a.png", None),
    # what makes a set unusable
    "yolo, eight channels": Case(
        "yolo",
        text("data.yaml", "train: images\nval: images\nnames: [person, car]\nchannels: 8\n"),
        "unsupported_channels",
        "data.yaml",
        4,
        error="channels is 8, and 3 are read",
    ),
    "no json": Case("coco", text("set.json", '{\n"images": [}'), "not_json", "set.json", 2, 0, error="is not JSON"),
    "json of another kind": Case(
        "coco", text("set.json", "[]"), "wrong_layout", "set.json", None, 0, error="has no list"
    ),
    "no yaml": Case("yolo", text("data.yaml", "train: [\n"), "not_yaml", "data.yaml", 2, 0, error="is not YAML"),
    "yaml with a folder that is not there": Case(
        "yolo",
        text("data.yaml", "train: x\nval: images\n"),
        "missing_image",
        "data.yaml",
        None,
        0,
        error="'x' does not exist",
    ),
    "coco, no images": Case(
        "coco", coco(lambda c: c["images"].clear()), "empty_set", "set.json", None, 0, error="lists no usable images"
    ),
    "yolo, no objects": Case("yolo", no_objects, "empty_set", "", None, 0, error="no boxes"),
    "yolo, no images": Case(
        "yolo",
        lambda folder: [path.unlink() for path in (folder / "images").iterdir()],
        "empty_set",
        "",
        None,
        0,
        error="no images",
    ),
    "coco, category with two names": Case(
        "coco",
        coco(lambda c: c["categories"].extend([{"id": 9, "name": "x"}, {"id": 9, "name": "y"}])),
        "ambiguous_category",
        "set.json",
        18,
        error="category id 9 occurs twice, for 'x' and for 'y'",
    ),
    "coco, other classes for val": Case(
        "coco", two_jsons, "classes_differ", "set_val.json", None, 0, error="list different categories"
    ),
}


def test_every_kind_has_a_case() -> None:
    others = {"missing_label_folder", "unread_folder", "outside_range"}
    assert {case.kind for case in CASES.values()} | others == set(DEFECTS)


@pytest.mark.parametrize("name", CASES)
def test_the_check_finds_it_with_file_and_line(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    WRITE[case.format](tmp_path)
    assert check_data(tmp_path).defects == ()
    case.spoil(tmp_path)
    report = check_data(tmp_path)
    found = [(defect.kind, defect.line) for defect in report.defects if defect.kind != "image_without_labels"]
    assert (case.kind, case.line) in found and {kind for kind, _ in found} <= {case.kind, "empty_set"}
    defect = next(defect for defect in report.defects if defect.kind == case.kind)
    assert defect.file.endswith(case.file) and defect.what
    assert report.num_boxes == case.num_boxes == sum(report.num_boxes_by_class.values())


@pytest.mark.parametrize("name", CASES)
def test_opening_it_to_be_used_leaves_it_out(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    WRITE[case.format](tmp_path)
    case.spoil(tmp_path)
    if case.error is not None:
        with pytest.raises(DataError, match=case.error) as caught:
            open_data(tmp_path)
        assert "\n" not in str(caught.value)
        return
    splits = open_data(tmp_path)
    silent = case.kind == "duplicate_annotation" or case.unreadable  # the one does no harm, the other is told later
    words = DEFECTS.get(case.kind, "")
    told = (words, counted_note(1, words).removeprefix("1 "))
    assert silent or any(each in notice for each in told for notice in splits.notices)
    unreadable = 0
    for part in (splits.train, splits.val):
        for index, record in enumerate(part.records):
            try:
                assert part.image(index).shape == (record.height, record.width, 3)
            except DataError:
                unreadable += 1
    assert unreadable == case.unreadable


def test_a_missing_folder_of_labels(tmp_path: Path) -> None:
    folder = write_yolo_set(tmp_path)
    shutil.rmtree(folder / "labels")
    (folder / "data.yaml").write_text("train: images\nval: images\nnames: [person, car]\n")
    kinds = {defect.kind: defect.file for defect in check_data(folder).defects}
    assert kinds["missing_label_folder"].endswith("/labels") and "empty_set" in kinds
    (folder / "data.yaml").unlink()
    assert "missing_label_folder" in {defect.kind for defect in check_data(folder, format="yolo").defects}
    with pytest.raises(DataError, match="no boxes"):
        open_data(folder, format="yolo")


def test_an_image_outside_the_range_of_the_training_images(tmp_path: Path) -> None:
    folder = write_yolo_set(tmp_path)
    other_values(folder)
    (defect,) = check_data(folder).defects
    assert (
        defect.kind == "outside_range" and defect.file.endswith("images/c.png") and "100% of the values" in defect.what
    )
    assert [each.kind for each in check_data(folder, pixel_range=(0, 30_000)).defects] == []


def test_regions_are_counted_once_whatever_the_classes(tmp_path: Path) -> None:
    content = coco_content()
    content["categories"].append({"id": 3, "name": "bus"})
    for category_id in (1, 2):
        entry = {"id": 70 + category_id, "image_id": 1, "category_id": category_id, "bbox": [1, 1, 9, 9], "iscrowd": 1}
        content["annotations"].append(entry)
    content["annotations"].append({**entry, "id": 80, "bbox": [2, 2, 9, 9]})
    report = check_data(write_coco_set(tmp_path, content))
    assert (report.num_images, report.num_boxes, report.num_ignored) == (3, 6, 2)


def test_train_and_val_are_counted_once_where_they_are_the_same(tmp_path: Path) -> None:
    folder = write_yolo_set(tmp_path)
    (folder / "data.yaml").write_text("train: images\nval: images\nnames: [person, car]\n")
    report = check_data(folder)
    assert (report.num_images, report.num_boxes, report.defects) == (3, 6, ())


def test_a_path_with_nothing_is_an_error_and_no_report(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="no data set"):
            check_data(path)
    write_image(tmp_path / "a.png")
    with pytest.raises(DataError, match="give a COCO or TinyPerson json, a data YAML or a folder"):
        check_data(tmp_path / "a.png")
