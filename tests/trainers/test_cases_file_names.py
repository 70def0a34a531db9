"""Images and annotations that belong together although their names differ, and images that are given twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from search_space.errors import DataError
from tests.trainers.data_sets import (
    coco_content,
    voc_object,
    voc_text,
    write_coco_set,
    write_image,
    write_json,
    write_visdrone_set,
    write_voc_set,
    write_yolo_set,
)
from trainers.data.check import DataReport, check_data
from trainers.data.convert import convert_data
from trainers.data.defects import DEFECTS, counted_note
from trainers.data.formats import read_data
from trainers.data.source import ReadRequest

CASES = Path(__file__).parent.parent / "data" / "cases"
NFC, NFD = "\u00e9t\u00e9", "e\u0301te\u0301"
WRITE: dict[str, Callable[[Path], Path]] = {
    "coco": write_coco_set,
    "yolo": write_yolo_set,
    "visdrone": write_visdrone_set,
    "voc": write_voc_set,
}


def rename(folder: Path, old: str, new: str) -> None:
    (folder / new).parent.mkdir(parents=True, exist_ok=True)
    (folder / old).rename(folder / new)


def kinds(report: DataReport) -> list[str]:
    return sorted(defect.kind for defect in report.defects)


def boxes_by_image(path: Path) -> dict[str, list[list[float]]]:
    """Returns the boxes of each image, by file name."""
    datasets = read_data(ReadRequest(path=path)).datasets.values()
    return {record.name: record.boxes.round(3).tolist() for dataset in datasets for record in dataset.records}


@pytest.mark.parametrize(
    ("case", "num_images", "num_boxes", "defects"),
    [
        ("04-one-picture-two-records/stale-filename", 3, 3, ["filename_differs"] * 2),
        ("04-one-picture-two-records/repeated-filename", 3, 3, ["filename_differs"]),
        ("04-one-picture-two-records/coco", 4, 4, ["duplicate_image"] * 4),
        ("09-endings-dropped", 10, 10, []),
        ("18-nfd-names/coco", 2, 2, []),
        ("18-nfd-names/yolo", 2, 2, []),
        ("20-voc-jpg-xml", 2, 2, []),
    ],
)
def test_the_cases(case: str, num_images: int, num_boxes: int, defects: list[str], tmp_path: Path) -> None:
    report = check_data(CASES / case)
    assert (report.num_images, report.num_boxes, kinds(report)) == (num_images, num_boxes, defects)
    done = convert_data(CASES / case, tmp_path / "out", to="yolo")
    assert (done.num_images, done.num_boxes) == (num_images, num_boxes)
    assert bool(done.notices) == bool(defects)
    again = check_data(tmp_path / "out")
    assert (again.num_images, again.num_boxes, again.defects, again.notes) == (num_images, num_boxes, (), report.notes)


def test_each_annotation_file_keeps_its_own_image() -> None:
    found = boxes_by_image(CASES / "04-one-picture-two-records" / "stale-filename")
    assert found == {"0.jpg": [[40, 30, 60, 40]], "1.jpg": [[41, 30, 61, 40]], "2.jpg": [[42, 30, 62, 40]]}


def voc_twice(folder: Path) -> None:
    shutil.copy(folder / "Annotations" / "a.xml", folder / "Annotations" / "a.png.xml")


def voc_other_names(folder: Path) -> None:
    for name in "abc":
        rename(folder, f"Annotations/{name}.xml", f"Annotations/x{name}.xml")
    shutil.copy(folder / "Annotations" / "xa.xml", folder / "Annotations" / "xd.xml")


def visdrone_twice(folder: Path) -> None:
    shutil.copy(folder / "annotations" / "a.txt", folder / "annotations" / "a.png.txt")


def yolo_folders(folder: Path) -> None:
    (folder / "data.yaml").write_text("train: [images, images/.]\nval: images\nnames: [person, car]\n")


def yolo_two_label_files(folder: Path) -> None:
    shutil.copy(folder / "labels" / "a.txt", folder / "labels" / "a.png.txt")


def coco_twice(name: str, **fields: object) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        content = coco_content()
        content["images"].append({"id": 9, "file_name": name, "width": 64, "height": 48, **fields})
        content["annotations"].append({"id": 9, "image_id": 9, "category_id": 1, "bbox": [1, 1, 9, 9]})
        write_json(folder / "set.json", content)

    return spoil


@pytest.mark.parametrize(
    ("format", "spoil", "defects"),
    [
        ("voc", voc_twice, ["duplicate_image"]),
        ("voc", voc_other_names, ["duplicate_image"]),
        ("visdrone", visdrone_twice, ["duplicate_image"]),
        ("yolo", yolo_folders, ["duplicate_image"] * 3),
        ("yolo", yolo_two_label_files, ["label_without_image"]),
        ("coco", coco_twice("a.png"), ["duplicate_image"]),
        ("coco", coco_twice("./a.png"), ["duplicate_image"]),
        ("coco", coco_twice(".\\a.png"), ["duplicate_image"]),
    ],
)
def test_a_second_record_of_an_image_is_a_defect(
    format: str, spoil: Callable[[Path], object], defects: list[str], tmp_path: Path
) -> None:
    WRITE[format](tmp_path)
    spoil(tmp_path)
    report = check_data(tmp_path)
    assert (report.num_images, report.num_boxes, kinds(report)) == (3, 6, defects)
    notices = read_data(ReadRequest(path=tmp_path)).notices
    words = DEFECTS[defects[0]]
    assert any(each in notice for each in (words, counted_note(1, words)) for notice in notices)


def test_windows_of_one_file_are_images_of_their_own(tmp_path: Path) -> None:
    write_coco_set(tmp_path)
    coco_twice("a.png", corner=[0, 0, 32, 24])(tmp_path)
    assert kinds(check_data(tmp_path)) == []
    content = json.loads((tmp_path / "set.json").read_text())
    content["images"].append({"id": 10, "file_name": "a.png", "corner": [0, 0, 32, 24]})
    write_json(tmp_path / "set.json", content)
    assert kinds(check_data(tmp_path)) == ["duplicate_image"]


def test_the_filename_decides_between_images_of_one_stem(tmp_path: Path) -> None:
    write_voc_set(tmp_path)
    write_image(tmp_path / "JPEGImages" / "a.bmp", seed=7)
    assert set(boxes_by_image(tmp_path)) == {"a.png", "b.png", "c.png"} and not check_data(tmp_path).defects


@pytest.mark.parametrize("name", ["a.png.xml", "a.jfif.xml", "a.jpg.xml"])
def test_annotation_files_with_two_endings(name: str, tmp_path: Path) -> None:
    write_voc_set(tmp_path)
    image = Path(name).stem
    rename(tmp_path, "Annotations/a.xml", f"Annotations/{name}")
    rename(tmp_path, "JPEGImages/a.png", f"JPEGImages/{image}")
    text = voc_text("", voc_object("car", 1, 2, 9, 9))
    (tmp_path / "Annotations" / name).write_text(text)
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("b\nc.png\n")
    (lists / "val.txt").write_text("a\n")
    assert boxes_by_image(tmp_path)[image] == [[1, 2, 9, 9]] and not check_data(tmp_path).defects


@pytest.mark.parametrize("format", ["yolo", "visdrone"])
def test_label_files_with_two_endings(format: str, tmp_path: Path) -> None:
    WRITE[format](tmp_path)
    folder = "labels" if format == "yolo" else "annotations"
    for name in "abc":
        rename(tmp_path, f"{folder}/{name}.txt", f"{folder}/{name}.png.txt")
    report = check_data(tmp_path)
    assert (report.num_images, report.num_boxes, report.defects, report.notes) == (3, 6, (), ())


@pytest.mark.parametrize("forms", [(NFC, NFD), (NFD, NFC)], ids=["NFD on disk", "NFC on disk"])
@pytest.mark.parametrize("format", WRITE)
def test_names_in_another_unicode_form(format: str, forms: tuple[str, str], tmp_path: Path) -> None:
    said, stored = forms
    WRITE[format](tmp_path)
    images = "JPEGImages" if format == "voc" else "images"
    rename(tmp_path, f"{images}/a.png", f"{images}/{stored}.png")
    rename(tmp_path, f"{images}/b.png", f"{images}/{stored} b.png")
    if format == "coco":
        content = coco_content()
        content["images"][0]["file_name"], content["images"][1]["file_name"] = f"{said}.png", f"{said} b.png"
        write_json(tmp_path / "set.json", content)
    else:
        folder, suffix = {"yolo": ("labels", "txt"), "visdrone": ("annotations", "txt"), "voc": ("Annotations", "xml")}[
            format
        ]
        rename(tmp_path, f"{folder}/a.{suffix}", f"{folder}/{said}.{suffix}")
        rename(tmp_path, f"{folder}/b.{suffix}", f"{folder}/{said} b.{suffix}")
    report = check_data(tmp_path)
    notes = {note.kind for note in report.notes} - {"filename_missing"}
    assert (report.num_images, report.num_boxes, report.defects, notes) == (3, 6, (), set())


def test_folders_and_lists_in_another_unicode_form(tmp_path: Path) -> None:
    write_yolo_set(tmp_path)
    for kind in ("images", "labels"):
        for path in list((tmp_path / kind).iterdir()):
            rename(tmp_path, f"{kind}/{path.name}", f"{kind}/{NFD if kind == 'images' else NFC}/{path.name}")
    (tmp_path / "list.txt").write_text(f"images/{NFC}/a.png\nimages/{NFC}/b.png\n", encoding="utf-8")
    text = f"train: list.txt\nval: images/{NFC}\nnames: [person, car]\n"
    (tmp_path / "data.yaml").write_text(text, encoding="utf-8")
    report = check_data(tmp_path)
    assert (report.num_images, report.num_boxes, report.defects, report.notes) == (3, 6, (), ())


def test_the_exact_name_counts_first(tmp_path: Path) -> None:
    write_yolo_set(tmp_path)
    rename(tmp_path, "images/a.png", f"images/{NFC}.png")
    rename(tmp_path, "images/b.png", f"images/{NFD}.png")
    rename(tmp_path, "labels/a.txt", f"labels/{NFC}.txt")
    (tmp_path / "labels" / "b.txt").unlink()
    found = boxes_by_image(tmp_path)
    assert len(found[f"{NFC}.png"]) == 2 and found[f"{NFD}.png"] == []


@pytest.mark.parametrize("to", ["coco", "yolo", "visdrone", "voc"])
def test_conversion_leaves_out_wrong_sizes(to: str, tmp_path: Path) -> None:
    case = CASES / "03-convert-keeps-wrong-size"
    assert kinds(check_data(case)) == ["image_size"] * 2
    with pytest.raises(DataError, match="2 of 2 images have another size than their annotations state"):
        convert_data(case, tmp_path / "none", to=to)
    assert not (tmp_path / "none").exists()
    shutil.copytree(case, tmp_path / "set")
    good = tmp_path / "set" / "Annotations" / "0.xml"
    good.write_text(good.read_text().replace("<width>120</width><height>160", "<width>160</width><height>120"))
    done = convert_data(tmp_path / "set", tmp_path / "out", to=to)
    assert done.num_images == done.num_boxes == 1 and "the annotation says 120x160" in "".join(done.notices)
    assert boxes_by_image(tmp_path / "out") == {"0.jpg": [[100, 30, 120, 40]]}
    assert not check_data(tmp_path / "out").defects


@pytest.mark.parametrize("size", [(48, 64), (640, 480), (63, 48)])
def test_sizes_in_json_are_compared_in_conversion(size: tuple[int, int], tmp_path: Path) -> None:
    content = coco_content()
    content["images"][1].update(width=size[0], height=size[1])
    write_coco_set(tmp_path / "set", content)
    done = convert_data(tmp_path / "set", tmp_path / "out", to="yolo")
    assert done.num_images == 2 and any("b.png: the annotation says" in notice for notice in done.notices)


def test_conversion_leaves_out_what_cannot_be_read(tmp_path: Path) -> None:
    write_coco_set(tmp_path / "set")
    (tmp_path / "set" / "images" / "a.png").write_bytes(b"no image")
    done = convert_data(tmp_path / "set", tmp_path / "out", to="yolo")
    assert done.num_images == 2 and any("cannot be decoded" in notice for notice in done.notices)


SAVED = {"a": "JPEG", "a.jfif": "JPEG", "a.mpo": "MPO", "a.PGM": "PPM", "a.jp2": "JPEG2000", "a.dib": "BMP"}


@pytest.mark.parametrize("name", SAVED)
@pytest.mark.parametrize("format", ["yolo", "visdrone", "voc", "coco"])
def test_images_are_recognized_by_content(format: str, name: str, tmp_path: Path) -> None:
    WRITE[format](tmp_path / "set")
    folder = tmp_path / "set" / ("JPEGImages" if format == "voc" else "images")
    with PIL.Image.open(folder / "a.png") as image:
        image.convert("L" if SAVED[name] == "PPM" else "RGB").save(folder / name, SAVED[name])
    (folder / "a.png").unlink()
    if format == "coco":
        content = coco_content()
        content["images"][0]["file_name"] = name
        write_json(tmp_path / "set" / "set.json", content)
    report = check_data(tmp_path / "set")
    assert (report.num_images, report.num_boxes, report.defects) == (3, 6, ())
    assert convert_data(tmp_path / "set", tmp_path / "out", to="voc").num_boxes == 6
    written = {path.suffix for path in (tmp_path / "out" / "JPEGImages").glob("a.*")}
    assert written == {{"PPM": ".pgm", "JPEG2000": ".jp2", "BMP": ".bmp"}.get(SAVED[name], ".jpg")}


HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(64)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.heic", HEIC, "unreadable_image"),
        ("a.tga", bytes(64), "label_without_image"),
        ("a.jfif", b"", "label_without_image"),
        ("a", b"some text", "label_without_image"),
    ],
)
@pytest.mark.parametrize("beside", [False, True], ids=["labels", "beside"])
def test_a_label_that_loses_its_image_is_a_defect(
    name: str, content: bytes, kind: str, beside: bool, tmp_path: Path
) -> None:
    write_yolo_set(tmp_path)
    (tmp_path / "images" / "a.png").unlink()
    (tmp_path / "images" / name).write_bytes(content)
    if beside:
        for path in (tmp_path / "labels").iterdir():
            shutil.move(path, tmp_path / "images" / path.name)
        (tmp_path / "images" / "notes.txt").write_text("made in May\n")
        rename(tmp_path, "images", "all")
        (tmp_path / "data.yaml").write_text("train: all\nval: all\nnames: [person, car]\n")
    report = check_data(tmp_path)
    assert (report.num_images, report.num_boxes, kinds(report)) == (2, 4, [kind])
    if kind == "label_without_image":
        assert f"{name} is no image that can be read" in report.defects[0].what


def test_labels_in_a_subfolder_without_images_are_defects(tmp_path: Path) -> None:
    write_yolo_set(tmp_path)
    for kind in ("images/more/x.exr", "labels/more/x.txt"):
        (tmp_path / kind).parent.mkdir()
        (tmp_path / kind).write_text("0 0.5 0.5 0.1 0.1\n")
    assert [(defect.kind, Path(defect.file).name) for defect in check_data(tmp_path).defects] == [
        ("label_without_image", "x.txt")
    ]


def test_a_raw_file_beside_a_jpeg_is_no_second_image(tmp_path: Path) -> None:
    write_yolo_set(tmp_path)
    shutil.copy(tmp_path / "images" / "a.png", tmp_path / "images" / "a.dng")
    report = check_data(tmp_path)
    assert (report.num_images, report.num_boxes, report.defects) == (3, 6, ())
