"""Variants of faulty data sets, as further tools write them: nothing is read wrongly or lost without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from search_space.errors import DataError
from tests.trainers.data_sets import (
    coco_content,
    labelme_content,
    labelme_shape,
    voc_object,
    voc_text,
    write_coco_set,
    write_images,
    write_labelme,
    write_voc_set,
    write_yolo_set,
)
from trainers.data import open_data
from trainers.data.check import check_data
from trainers.data.pixel_layout import pixel_layout


def kinds(path: Path) -> list[str]:
    return [each.kind for each in check_data(path).defects]


def notes(path: Path) -> set[str]:
    return {each.kind for each in check_data(path).notes}


# names of classes


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("person\n\ncar\n", 2, "line 2 is empty"),
        ("\nperson\ncar\n", 1, "line 1 is empty"),
        ("person\r\n  \r\ncar", 2, "line 2 is empty"),
    ],
)
def test_an_empty_line_does_not_shift_the_ids(content: str, line: int, words: str, tmp_path: Path) -> None:
    (write_yolo_set(tmp_path) / "classes.txt").write_text(content)
    (defect,) = check_data(tmp_path).defects
    assert (defect.kind, defect.line) == ("wrong_layout", line) and words in defect.what
    with pytest.raises(DataError, match=words):
        open_data(tmp_path)


def test_empty_lines_at_the_end_are_no_names(tmp_path: Path) -> None:
    (write_yolo_set(tmp_path) / "classes.txt").write_text("person\ncar\n\n\n")
    assert kinds(tmp_path) == [] and open_data(tmp_path).train.classes == ("person", "car")


def data_yaml(folder: Path, content: str) -> None:
    (folder / "classes.txt").unlink()
    (folder / "data.yaml").write_text(f"train: images\nval: images\n{content}")


def darknet(folder: Path, count: str) -> None:
    (folder / "train.txt").write_text("images/a.png\nimages/b.png\n")
    (folder / "obj.data").write_text(f"classes = {count}\ntrain = train.txt\nnames = classes.txt\n")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda f: data_yaml(f, "nc: 3\nnames: [person, car]\n"), "nc is 3, but names has 2"),
        (lambda f: data_yaml(f, "nc: 1\nnames: {0: person, 1: car}\n"), "nc is 1, but names has 2"),
        (lambda f: darknet(f, "80"), "classes = 80"),
        (lambda f: data_yaml(f, "names: {1: person, 2: car}\n"), "got a table of 1, 2"),
    ],
)
def test_a_number_of_classes_that_the_names_contradict_is_refused(
    build: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    build(write_yolo_set(tmp_path))
    assert kinds(tmp_path) == ["wrong_layout"]
    with pytest.raises(DataError, match=words):
        open_data(tmp_path)


@pytest.mark.parametrize("build", [lambda f: data_yaml(f, "nc: 2\nnames: [a, b]\n"), lambda f: darknet(f, "2")])
def test_a_number_of_classes_that_the_names_confirm(build: Callable[[Path], object], tmp_path: Path) -> None:
    build(write_yolo_set(tmp_path))
    assert kinds(tmp_path) == [] and len(open_data(tmp_path).train.classes) == 2


def classes_in(encoding: str) -> Callable[[Path], object]:
    return lambda folder: (write_yolo_set(folder) / "classes.txt").write_bytes("piéton\ncar\n".encode(encoding))


def labelme_in_gbk(folder: Path) -> None:
    write_images(folder)
    for name in ("a", "b", "c"):
        write_labelme(folder / f"{name}.json", labelme_content(f"{name}.png", labelme_shape("车", [1, 1], [9, 9])))
    file = folder / "a.json"
    file.write_bytes(file.read_text().replace("\\u8f66", "车").encode("gbk"))


@pytest.mark.parametrize("build", [classes_in("latin-1"), classes_in("cp1252"), labelme_in_gbk])
def test_names_in_another_encoding_are_a_defect(build: Callable[[Path], object], tmp_path: Path) -> None:
    build(tmp_path)
    assert "not_unicode" in kinds(tmp_path)
    assert any("not in UTF-8" in notice for notice in open_data(tmp_path).notices)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_names_in_unicode(encoding: str, tmp_path: Path) -> None:
    classes_in(encoding)(tmp_path)
    assert kinds(tmp_path) == [] and open_data(tmp_path).train.classes == ("piéton", "car")


def test_categories_that_differ_in_spaces_are_one_class(tmp_path: Path) -> None:
    content = coco_content()
    content["categories"].append({"id": 3, "name": "car "})
    content["annotations"][0]["category_id"] = 3
    report = check_data(write_coco_set(tmp_path, content))
    assert [each.kind for each in report.defects] == ["duplicate_category"]
    assert report.num_boxes_by_class == {"person": 2, "car": 4}


# annotations in two formats


def as_voc(path: Path, objects: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(voc_text(f"{path.stem}.png", objects))


def as_labelme(path: Path) -> None:
    write_labelme(path, labelme_content(f"{path.stem}.png", labelme_shape("car", [1, 1], [9, 9])))


CAR = voc_object("car", 1, 1, 9, 9)


@pytest.mark.parametrize(
    ("build", "file"),
    [
        (lambda f: as_voc(f / "images" / "a.xml", CAR), "a.xml"),
        (lambda f: as_voc(f / "Annotations" / "a.xml", CAR), "a.xml"),
        (lambda f: as_voc(f / "labels" / "a.png.xml", CAR), "a.png.xml"),
    ],
)
def test_labels_in_a_second_format_are_a_defect(build: Callable[[Path], object], file: str, tmp_path: Path) -> None:
    (write_yolo_set(tmp_path) / "labels" / "a.txt").unlink()
    build(tmp_path)
    (defect,) = check_data(tmp_path).defects
    assert (defect.kind, Path(defect.file).name) == ("unread_annotation", file)
    assert any("another format" in notice for notice in open_data(tmp_path).notices)


@pytest.mark.parametrize("place", ["images", "labels"])
def test_labels_beside_those_of_labelme_are_a_defect(place: str, tmp_path: Path) -> None:
    (write_yolo_set(tmp_path) / "labels" / "a.txt").unlink()
    as_labelme(tmp_path / place / "a.json")
    report = check_data(tmp_path)
    assert [(each.kind, Path(each.file).name) for each in report.defects] == [
        ("unread_annotation", "b.txt"),
        ("unread_annotation", "c.txt"),
    ]


@pytest.mark.parametrize("suffix", [".json", ".xml"])
def test_images_labelled_in_several_formats_in_one_folder(suffix: str, tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "b.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    if suffix == ".xml":
        as_voc(tmp_path / "a.xml", CAR)
    else:
        as_labelme(tmp_path / "a.json")
    (defect,) = check_data(tmp_path).defects
    assert defect.kind == "unread_annotation"


@pytest.mark.parametrize("remove", [True, False])
def test_a_second_format_without_further_objects_is_no_defect(remove: bool, tmp_path: Path) -> None:
    write_yolo_set(tmp_path)
    as_voc(tmp_path / "images" / "a.xml", "" if remove else CAR)
    if remove:
        (tmp_path / "labels" / "a.txt").unlink()
    assert kinds(tmp_path) == [] and ("image_without_labels" in notes(tmp_path)) == remove


# files that programs leave behind


@pytest.mark.parametrize(
    "file",
    [
        "images/.ipynb_checkpoints/a-checkpoint.png",
        "labels/.ipynb_checkpoints/a-checkpoint.txt",
        "images/._a.png",
        "labels/._a.txt",
        "__MACOSX/images/._a.png",
        "images/.thumbnails/a.png",
    ],
)
def test_hidden_copies_are_no_images_and_no_labels(file: str, tmp_path: Path) -> None:
    path = write_yolo_set(tmp_path) / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((tmp_path / "images" / "a.png").read_bytes() if path.suffix == ".png" else b"0 0.5 0.5 0.2 0.2\n")
    report = check_data(tmp_path)
    assert (report.num_images, report.num_boxes, report.defects) == (3, 6, ())
    assert "image_without_labels" not in notes(tmp_path)


def test_files_of_macos_are_no_annotation_files(tmp_path: Path) -> None:
    (write_voc_set(tmp_path) / "Annotations" / "._a.xml").write_bytes(b"\0\5\26\7")
    assert kinds(tmp_path) == []


# VOC and COCO


@pytest.mark.parametrize(
    ("word", "difficult"),
    [("False", 0), ("false", 0), ("0.0", 0), ("", 0), ("Unspecified", 0), ("True", 1), ("1", 1), ("1.0", 1)],
)
def test_words_of_difficult(word: str, difficult: int, tmp_path: Path) -> None:
    file = write_voc_set(tmp_path) / "Annotations" / "a.xml"
    file.write_text(file.read_text().replace("<difficult>0<", f"<difficult>{word}<", 1))
    report = check_data(tmp_path)
    assert (report.num_boxes, report.num_ignored, report.defects) == (6 - difficult, difficult, ())


def test_another_word_of_difficult_is_a_defect(tmp_path: Path) -> None:
    file = write_voc_set(tmp_path) / "Annotations" / "a.xml"
    file.write_text(file.read_text().replace("<difficult>0<", "<difficult>2<", 1))
    (defect,) = check_data(tmp_path).defects
    assert (defect.kind, defect.line) == ("malformed", 5) and 'got "2"' in defect.what


@pytest.mark.parametrize("place", ["C:\\data\\", "/home/me/", "../frames/", "\\\\server\\share\\"])
def test_a_filename_with_the_folders_of_another_machine(place: str, tmp_path: Path) -> None:
    write_voc_set(tmp_path)
    for name in ("a", "b", "c"):
        file = tmp_path / "Annotations" / f"{name}.xml"
        file.write_text(file.read_text().replace("<filename>", f"<filename>{place}"))
    report = check_data(tmp_path)
    assert (report.num_images, report.num_boxes, report.defects) == (3, 6, ())
    assert "found_by_name" in notes(tmp_path)


@pytest.mark.parametrize("side", ["width", "height"])
def test_a_size_with_one_side_is_a_defect(side: str, tmp_path: Path) -> None:
    content = coco_content()
    del content["images"][0][side]
    assert kinds(write_coco_set(tmp_path, content)) == ["image_size"]


RENAMED: dict[str, Callable[[str], str]] = {
    "capitals": str.upper,
    "a suffix in capitals": lambda name: name.replace(".png", ".PNG"),
    "a space behind": lambda name: f"{name} ",
    "an address with a query": lambda name: f"https://example.org/a/{name}?X-Amz-Date=1&path=x/y.png",
    "a bucket": lambda name: f"s3://bucket/a/{name}",
}


@pytest.mark.parametrize("name", RENAMED)
def test_names_that_tools_change_are_found(name: str, tmp_path: Path) -> None:
    content = coco_content()
    for entry in content["images"]:
        entry["file_name"] = RENAMED[name](entry["file_name"])
    path = write_coco_set(tmp_path, content)
    report = check_data(path)
    assert (report.num_images, report.num_boxes, report.defects) == (3, 6, ())
    assert {note.kind: note.count for note in report.notes} == {"found_by_name": 3}


def test_names_that_differ_in_case_alone_are_not_guessed(tmp_path: Path) -> None:
    content = coco_content()
    content["images"][0]["file_name"] = "A.PNG"
    path = write_coco_set(tmp_path, content)
    (tmp_path / "images" / "a.Png").write_bytes((tmp_path / "images" / "a.png").read_bytes())
    (defect,) = check_data(path).defects
    assert defect.kind == "missing_image" and "2 files are named" in defect.what


def test_an_image_that_is_nowhere_is_not_only_told_to_be_outside(tmp_path: Path) -> None:
    content = coco_content()
    content["images"][0]["file_name"] = "/data/upload/1/0123abcd-a.png"
    with pytest.raises(DataError, match="no file in .*images has its name"):
        open_data(write_coco_set(tmp_path, content))


def test_lists_of_images_that_were_not_exported_name_the_option(tmp_path: Path) -> None:
    darknet(write_yolo_set(tmp_path), "2")
    for name in ("a", "b", "c"):
        (tmp_path / "images" / f"{name}.png").unlink()
    with pytest.raises(DataError, match="--images DIR"):
        open_data(tmp_path)
    write_images(tmp_path / "frames" / "images")
    splits = open_data(tmp_path, images=tmp_path / "frames" / "images")
    assert [len(record.boxes) for record in splits.train.records] == [2]


# images with several pictures


@pytest.mark.parametrize("suffix", [".webp", ".png", ".gif"])
@pytest.mark.parametrize("count", [1, 3])
def test_frames_of_an_animation_are_pages(suffix: str, count: int, tmp_path: Path) -> None:
    frames = [PIL.Image.fromarray(np.full((48, 64, 3), 60 * index, np.uint8)) for index in range(count)]
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, **({"save_all": True, "append_images": frames[1:]} if count > 1 else {}))
    assert pixel_layout(path).num_pages == count
    assert [kind for kind, _ in pixel_layout(path).lost()] == ["extra_pages"] * (count > 1)
