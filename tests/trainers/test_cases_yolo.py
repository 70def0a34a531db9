"""YOLO data sets as annotation tools export them open without an option, with their boxes and class names."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from search_space.errors import DataError
from tests.trainers.data_sets import write_image
from trainers.data import open_data
from trainers.data.check import check_data
from trainers.data.convert import convert_data

CASES = Path(__file__).parent.parent / "data" / "cases"
BOX = [40, 30, 60, 40]
LINE = "1 0.3125 0.291666667 0.125 0.083333333\n"
"""`BOX` in an image of 160x120, of class 1."""
NAMES = ("car", "person")


@dataclass(frozen=True, kw_only=True)
class Export:
    """What a data set must give."""

    sizes: tuple[int, int]
    """Training and validation images."""
    classes: tuple[str, ...] = NAMES
    label: int = 1
    notes: tuple[str, ...] = ("layout",)
    words: tuple[str, ...] = ()
    """Parts of the note that says what was taken for what."""


PUBLISHED = {
    "01-yolo-keypoint-columns/01-yolo-pose": Export(
        sizes=(5, 5), classes=("face",), label=0, notes=("further_columns",)
    ),
    "01-yolo-keypoint-columns/01b-yolo-face-minus1": Export(
        sizes=(5, 5), classes=("face",), label=0, notes=("further_columns",)
    ),
    "01-yolo-keypoint-columns/51-yolo-track": Export(
        sizes=(3, 3), classes=("car",), label=0, notes=("further_columns",)
    ),
    "01-yolo-keypoint-columns/52-yolo-kpt1": Export(
        sizes=(3, 3), classes=("car",), label=0, notes=("further_columns",)
    ),
    "08-class-names-lost/05-cvat-ultralytics": Export(
        sizes=(5, 1), classes=("person", "car"), words=("all images of train.txt", "without data/", "data.yaml")
    ),
    "14-roboflow-layouts/03-roboflow-yolo": Export(
        sizes=(4, 4), words=("../train/images found at train/images", "val images of ../valid/images", "data.yaml")
    ),
    "14-roboflow-layouts/03b-roboflow-noyaml": Export(
        sizes=(4, 4), classes=("class 0", "class 1"), words=("val images in valid/images", "no file with class names")
    ),
    "16-cvat-yolo-labelimg/06-cvat-yolo11": Export(
        sizes=(5, 1), classes=("car",), label=0, words=("data/train.txt", "classes of obj.names")
    ),
    "16-cvat-yolo-labelimg/07-labelimg-yolo": Export(
        sizes=(5, 1), classes=("person", "car"), words=("beside their images", "classes of classes.txt")
    ),
    "22-names-bool/60-names-bool": Export(sizes=(5, 5), classes=("yes", "no", "on"), label=2, notes=()),
}


def assert_opens(path: Path, expected: Export) -> None:
    """Opens, checks and converts a data set, and compares every box."""
    splits, report = open_data(path), check_data(path)
    assert splits.format == report.format == "yolo" and splits.train.classes == report.classes == expected.classes
    assert (len(splits.train), len(splits.val)) == expected.sizes and report.defects == ()
    for record in (*splits.train.records, *splits.val.records):
        assert record.boxes.tolist() == [pytest.approx(BOX, abs=1e-3)] and record.labels.tolist() == [expected.label]
    assert tuple(note.kind for note in report.notes) == expected.notes
    for words in expected.words:
        (note,) = [note.first for note in report.notes if note.kind == "layout"]
        assert words in note and any(note in notice for notice in splits.notices)


@pytest.mark.parametrize("name", PUBLISHED)
def test_exports_of_annotation_tools(name: str, tmp_path: Path) -> None:
    assert_opens(CASES / name, PUBLISHED[name])
    done = convert_data(CASES / name, tmp_path / "out", to="coco")
    assert done.num_boxes == done.num_images == sum(PUBLISHED[name].sizes)
    if "all images" in str(PUBLISHED[name].words) or "beside" in str(PUBLISHED[name].words):
        return
    assert open_data(tmp_path / "out").train.classes == PUBLISHED[name].classes


def write(folder: Path, images: str, labels: str, names: tuple[str, ...] = ("a", "b")) -> None:
    """Writes images, each with the one label `LINE`."""
    for name in names:
        write_image(folder / images / f"{name}.jpg", width=160, height=120)
        (folder / labels).mkdir(parents=True, exist_ok=True)
        (folder / labels / f"{name}.txt").write_text(LINE)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def roboflow(folder: Path, yaml: str, valid: str = "valid") -> None:
    for part in ("train", valid):
        write(folder, f"{part}/images", f"{part}/labels")
    text(folder / "data.yaml", f"{yaml}\nnames: [car, person]\n")


def divided(folder: Path, train: str, val: str) -> None:
    for part in (train, val):
        write(folder, f"images/{part}", f"labels/{part}")


def darknet_roboflow(folder: Path) -> None:
    for part in ("train", "valid"):
        write(folder, part, part)
        text(folder / part / "_darknet.labels", "car\nperson\n")


def labelimg(folder: Path, *parts: str) -> None:
    for part in parts:
        write(folder, part, part)
        text(folder / part / "classes.txt", "car\nperson\n")


def cvat(folder: Path, *, valid: bool) -> None:
    content = "classes = 2\nnames = data/obj.names\nbackup = backup/\ntrain = data/train.txt\n"
    text(folder / "obj.data", content + ("valid = data/valid.txt\n" if valid else ""))
    text(folder / "obj.names", "car\nperson\n")
    for part in ("train", "valid") if valid else ("train",):
        write(folder, f"obj_{part}_data/deep", f"obj_{part}_data/deep")
        text(folder / f"{part}.txt", f"data/obj_{part}_data/deep/a.jpg\ndata/obj_{part}_data/deep/b.jpg\n")


def with_yaml(folder: Path, yaml: str) -> None:
    write(folder, "images", "labels", ("a", "b", "c"))
    text(folder / "data.yaml", yaml)


VARIANTS: dict[str, tuple[Callable[[Path], object], Export]] = {
    "roboflow, whole paths of another machine": (
        lambda f: roboflow(f, "train: /content/cars-3/train/images\nval: /content/cars-3/valid/images"),
        Export(sizes=(2, 2), words=("/content/cars-3/valid/images found at valid/images",)),
    ),
    "roboflow, name of the project before": (
        lambda f: roboflow(f, "train: cars-3/train/images\nval: cars-3/valid/images"),
        Export(sizes=(2, 2), words=("cars-3/train/images found at train/images",)),
    ),
    "windows paths": (
        lambda f: roboflow(f, "train: C:\\cars\\train\\images\nval: C:\\cars\\valid\\images"),
        Export(sizes=(2, 2), notes=("layout", "windows_path")),
    ),
    "the key valid": (
        lambda f: roboflow(f, "train: train/images\nvalid: valid/images"),
        Export(sizes=(2, 2), words=("val images of valid/images",)),
    ),
    "test in place of val": (
        lambda f: roboflow(f, "train: train/images\ntest: test/images", "test"),
        Export(sizes=(2, 2), notes=("layout",)),
    ),
    "val is empty": (lambda f: roboflow(f, "train: train/images\nval:"), Export(sizes=(1, 1), notes=("layout",))),
    "Darknet export of Roboflow": (
        darknet_roboflow,
        Export(sizes=(2, 2), words=("val images in valid", "classes of train/_darknet.labels")),
    ),
    "folders in upper case": (
        lambda f: (divided(f, "Train", "Validation"), text(f / "labels" / "classes.txt", "car\nperson\n")),
        Export(sizes=(2, 2), words=("val images in images/Validation", "classes of labels/classes.txt")),
    ),
    "a YAML with names alone": (
        lambda f: (divided(f, "train", "val"), text(f / "set.yml", "names: {0: car, 1: person}")),
        Export(sizes=(2, 2), words=("classes of set.yml",)),
    ),
    "no names at all": (
        lambda f: write(f, "images", "labels"),
        Export(sizes=(1, 1), classes=("class 0", "class 1"), words=("no file with class names",)),
    ),
    "obj.names without obj.data": (
        lambda f: (cvat(f, valid=True), (f / "obj.data").unlink()),
        Export(sizes=(2, 2), words=("val images in obj_valid_data", "classes of obj.names")),
    ),
    "a YAML without names": (
        lambda f: (with_yaml(f, "train: images\nnc: 2\n"), text(f / "obj.names", "car\nperson\n")),
        Export(sizes=(2, 1), words=("classes of obj.names",)),
    ),
    "keys in quotes": (
        lambda f: with_yaml(f, "train: images\nnames: {'0': car, '1': person}\n"),
        Export(sizes=(2, 1), words=("classes of data.yaml",)),
    ),
    "words of YAML 1.1": (
        lambda f: with_yaml(f, "train: images\nval: images\nnames: [Off, 1.10, null, 2024-01-01, y, TRUE]\n"),
        Export(sizes=(3, 3), classes=("Off", "1.10", "null", "2024-01-01", "y", "TRUE"), notes=()),
    ),
    "words of YAML 1.1 in a table": (
        lambda f: with_yaml(f, "train: images\nval: images\nnames:\n  0: no\n  1: 0x1F\n  2: ' a '\n"),
        Export(sizes=(3, 3), classes=("no", "0x1F", "a"), notes=()),
    ),
    "CVAT with a validation list": (
        lambda f: cvat(f, valid=True),
        Export(sizes=(2, 2), words=("val images of data/valid.txt", "classes of obj.names")),
    ),
    "LabelImg in folders of parts": (
        lambda f: labelimg(f, "train", "val"),
        Export(sizes=(2, 2), words=("val images in val", "classes of train/classes.txt")),
    ),
    "LabelImg below a folder called images": (
        lambda f: labelimg(f / "images", "."),
        Export(sizes=(1, 1), words=("label files beside their images",)),
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_exports(name: str, tmp_path: Path) -> None:
    build, expected = VARIANTS[name]
    build(tmp_path)
    assert_opens(tmp_path, expected)


def test_cvat_labels_with_images_elsewhere(tmp_path: Path) -> None:
    cvat(tmp_path / "set", valid=False)
    shutil.rmtree(tmp_path / "set" / "obj_train_data" / "deep")
    write(tmp_path / "frames", ".", "../set/obj_train_data")
    splits = open_data(tmp_path / "set" / "obj.data", images=tmp_path / "frames")
    assert [len(record.boxes) for record in (*splits.train.records, *splits.val.records)] == [1, 1]


def test_a_label_file_beside_images_that_has_no_image_is_a_defect(tmp_path: Path) -> None:
    labelimg(tmp_path, ".")
    text(tmp_path / "lost.txt", LINE)
    text(tmp_path / "notes.txt", "seen on Monday")
    (defect,) = check_data(tmp_path).defects
    assert (defect.kind, Path(defect.file).name) == ("label_without_image", "lost.txt")


@pytest.mark.parametrize("other", ["more", "valid", "val_old"])
def test_images_that_are_in_no_part_are_a_defect(other: str, tmp_path: Path) -> None:
    divided(tmp_path / "folder", "train", "val")
    labelimg(tmp_path / "beside", "train", "val", "test", other)
    for place in (f"images/{other}", "images/test"):
        write(tmp_path / "folder", place, place.replace("images", "labels"))
    for part in ("train", "val", "test", other):
        write(tmp_path / "parts", f"{part}/images", f"{part}/labels")
    for folder in ("folder", "beside", "parts"):
        (defect,) = check_data(tmp_path / folder).defects
        assert (defect.kind, Path(defect.file).name) == ("unread_folder", other)
        assert any("1 folder of images that are in no part" in each for each in open_data(tmp_path / folder).notices)


def other_names(folder: Path) -> None:
    write(folder, "images", "labels")
    text(folder / "classes.txt", "car\nperson\n")
    text(folder / "set.yaml", "names: [person, car]")


def both_above(folder: Path) -> None:
    roboflow(folder / "set", "train: ../train/images\nval: ../valid/images")
    write(folder, "train/images", "train/labels")


@pytest.mark.parametrize(
    ("build", "path", "kind", "words"),
    [
        (lambda f: with_yaml(f, "train: images\nnames: [car, van, car]"), ".", "wrong_layout", "both called 'car'"),
        (lambda f: with_yaml(f, "train: images\nnames: [car, ~]"), ".", "wrong_layout", "names must be"),
        (lambda f: with_yaml(f, "train: images\nnames: [a]\nkpt_shape: 5"), ".", "wrong_layout", "kpt_shape must be"),
        (lambda f: labelimg(f, "train") or text(f / "train" / "classes.txt", "a\na\n"), ".", "wrong_layout", "'a'"),
        (other_names, ".", "classes_differ", "give different class names"),
        (both_above, "set", "wrong_layout", "can be"),
        (lambda f: roboflow(f, "train: x/train/images\nval: x/test/images"), ".", "missing_image", "x/test/images"),
    ],
)
def test_what_can_be_read_two_ways_is_refused(
    build: Callable[[Path], object], path: str, kind: str, words: str, tmp_path: Path
) -> None:
    build(tmp_path)
    (defect,) = check_data(tmp_path / path).defects
    assert defect.kind == kind and words in defect.what
    with pytest.raises(DataError, match=words):
        open_data(tmp_path / path)
