"""Data sets that someone made to do harm: one test for each way."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest

from search_space.errors import DataError, UserError
from tests.fuzz.data_cases import huge_png
from tests.fuzz.mutations import BOMB
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
from trainers.data import open_data, read_image
from trainers.data.check import check_data
from trainers.data.convert import convert_data
from trainers.data.formats import FORMATS

OUTSIDE = ("../../etc/passwd", "/etc/passwd", "C:\\Windows\\a.png", "..\\..\\a.png", "images/../../a.png", "a\0b.png")
SECRET = "a secret of the user"


def coco_with(folder: Path, **changes: Any) -> Path:
    """Writes a COCO set whose first image, annotation or category is changed."""
    content = coco_content()
    for name, fields in changes.items():
        content[name][0].update(fields)
    return write_coco_set(folder, content)


def kinds(path: Path) -> set[str]:
    """Returns the kinds of defects that the check finds."""
    return {defect.kind for defect in check_data(path).defects}


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_reader_leaves_its_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text(SECRET)
    coco = coco_with(tmp_path / "coco", images={"file_name": name})
    voc = write_voc_set(tmp_path / "voc")
    objects = voc_object("car", 1, 1, 9, 9)
    (voc / "Annotations" / "b.xml").write_text(voc_text(name.replace("\0", ""), objects))
    yolo = write_yolo_set(tmp_path / "yolo")
    (yolo / "list.txt").write_text(f"images/a.png\n{name}\n")
    (yolo / "data.yaml").write_text("train: list.txt\nval: images\nnames: [person, car]\n")
    for path in (coco, voc, yolo / "data.yaml"):
        report = check_data(path)
        told = {each.kind for each in report.defects} | {each.kind for each in report.notes}
        assert {"path_outside", "missing_image", "found_by_name"} & told or path is voc
        assert SECRET not in str(report)
        try:
            splits = open_data(path)
        except DataError as error:
            assert SECRET not in str(error)
            continue
        home = path if path.is_dir() else path.parent
        records = (*splits.train.records, *splits.val.records)
        assert all(record.path is not None and record.path.resolve().is_relative_to(home) for record in records)


@pytest.mark.parametrize("to", [name for name in FORMATS if FORMATS.get(name).writer is not None])
@pytest.mark.parametrize("name", ["../../evil", "/evil", "=cmd|x", "<script>", "C:\\x", "a/b", "..", "nul\\x"])
def test_the_converter_writes_nowhere_else(name: str, to: str, tmp_path: Path) -> None:
    path = coco_with(tmp_path / "in", categories={"name": name})
    os.rename(tmp_path / "in" / "images" / "a.png", tmp_path / "in" / "images" / "..png")
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = "..png"
    write_json(path, content)
    (tmp_path / "deep").mkdir()
    try:
        convert_data(path, tmp_path / "deep" / "out", to=to)
    except DataError:
        assert not list((tmp_path / "deep").iterdir())
    assert sorted(each.name for each in tmp_path.iterdir()) == ["deep", "in"]
    for each in (tmp_path / "deep").rglob("*"):
        assert each.resolve().is_relative_to(tmp_path / "deep" / "out")


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE a [<!ENTITY a "xx"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>',
        '<!DOCTYPE a [<!ENTITY c SYSTEM "{secret}">]>',
        '<!DOCTYPE a SYSTEM "{secret}"><!-- -->',
        '<!DOCTYPE a [<!ENTITY % c SYSTEM "{secret}">%c;]>',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_not_expanded(head: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    folder = write_voc_set(tmp_path / "voc")
    text = head.replace("{secret}", f"file://{tmp_path}/secret") + voc_text("a.png", voc_object("&c;", 1, 1, 9, 9))
    (folder / "Annotations" / "a.xml").write_bytes(text.encode(encoding))
    report = check_data(folder)
    assert "malformed_file" in {each.kind for each in report.defects} and SECRET not in str(report)
    assert "document type" in str(report) or encoding != "utf-8"
    open_data(folder)


@pytest.mark.slow
def test_deep_xml_is_read_or_refused(tmp_path: Path) -> None:
    folder = write_voc_set(tmp_path)
    deep = f"<annotation>{'<object>' * 50_000}{'</object>' * 50_000}</annotation>"
    (folder / "Annotations" / "a.xml").write_text(deep)
    assert "malformed" in kinds(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "expands to more than"),
        ("train: !!python/object/apply:os.system ['touch x']\nval: images", "constructor for the tag"),
        ("train: images\nval: images\ntrain: other", "'train' is given twice"),
        ("train: images\nval: images\nnames: ['\\ud800']".replace("'", '"'), "names must be a list of words"),
        ("train: images\nval: images\nnc: 100000000000", "nc must be the number of classes"),
        ("train: images\nval: images\nnc: true", "nc must be the number of classes"),
    ],
)
def test_a_hostile_data_yaml_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    folder = write_yolo_set(tmp_path)
    (folder / "data.yaml").write_text(text)
    with pytest.raises(DataError) as caught:
        open_data(folder / "data.yaml")
    assert message in str(caught.value) and "\n" not in str(caught.value) and not Path("x").exists()
    assert check_data(folder / "data.yaml").defects


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": ' + "[" * 100_000, "nested too deeply"),
        ('{"images": [' + "9" * 5000 + "]}", "a number with thousands of digits"),
        (b"\xff\xfe\xff", "is no text|not JSON"),
        (
            '{"images": [], "annotations": [], "categories": [], "images": []}',
            "has the list 'images' twice; merge them",
        ),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "\\ud800"}]}', "needs an id and a name"),
    ],
)
def test_a_hostile_json_is_one_line(text: str | bytes, message: str, tmp_path: Path) -> None:
    path = write_coco_set(tmp_path)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message) as caught:
        open_data(path)
    assert "\n" not in str(caught.value)


def test_a_list_within_another_is_no_second_one(tmp_path: Path) -> None:
    assert len(open_data(coco_with(tmp_path, images={"images": [], "annotations": {"categories": 1}})).train) == 2


@pytest.mark.parametrize(
    "value", [1e308, -1e308, 10**400, float("nan"), float("inf"), -float("inf"), "1", None, 10**30]
)
@pytest.mark.parametrize("format", ["coco", "yolo", "visdrone", "voc"])
def test_numbers_of_any_size_end_in_boxes_that_can_be_trained_on(value: object, format: str, tmp_path: Path) -> None:
    if format == "coco":
        path = coco_with(tmp_path, annotations={"bbox": [1, value, 2, value], "category_id": value})
        content = json.loads(path.read_text())
        content["annotations"][1]["bbox"] = [value] * 4
        content["images"][1].update(width=value, height=value)
        write_json(path, content)
    elif format == "yolo":
        path = write_yolo_set(tmp_path)
        (path / "labels" / "a.txt").write_text(
            f"{value} 0.5 0.5 0.1 0.1\n0 {value} 0.5 0.5 {value}\n0 0.5 0.5 0.1 0.1\n"
        )
    elif format == "visdrone":
        path = write_visdrone_set(tmp_path)
        line = f"{value},{value},9,9,1,1,0,0\n1,1,{value},9,1,{value},0,0\n1,1,9,9,1,1,0,0\n"
        (path / "annotations" / "a.txt").write_text(line)
    else:
        path = write_voc_set(tmp_path)
        text = voc_text("a.png", voc_object("car", 1, value, value, 9), size=f"{value},{value}")
        (path / "Annotations" / "a.xml").write_text(text)
    for record in (*(splits := open_data(path)).train.records, *splits.val.records):
        assert np.isfinite(record.boxes).all() and (record.boxes >= 0).all() and (record.boxes <= 64).all()
    assert check_data(path).defects


@pytest.mark.parametrize("corner", [[0, 0, 10**400, 10], [0, 0, float("inf"), 1], [0, 0, 10**30, 10**30], "abcd", [1]])
def test_windows_of_any_size_are_left_out(corner: object, tmp_path: Path) -> None:
    path = coco_with(tmp_path, images={"corner": corner}, annotations={"uncertain": False})
    assert "malformed_image" in kinds(path) and len(open_data(path).train.fingerprint()) == 16


def test_a_file_name_of_any_bytes_has_a_fingerprint(tmp_path: Path) -> None:
    folder = write_yolo_set(tmp_path)
    os.rename(os.fsencode(folder / "images" / "a.png"), os.fsencode(folder) + b"/images/\xff.png")
    splits = open_data(folder)
    assert len(splits.train.fingerprint()) == len(splits.val.fingerprint()) == 16


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    folder = write_yolo_set(tmp_path)
    for name in ("data.yaml", "a.json", "pipe_train.json", "pipe_val.json", "labels/b.txt", "images/d.png"):
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
    (folder / "set.yaml").write_text("train: data.yaml\nval: images\n")
    with pytest.raises(DataError, match="does not exist"):
        open_data(folder / "set.yaml")


def test_links_are_followed_to_images_alone(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    folder = write_yolo_set(tmp_path / "yolo")
    elsewhere = write_image(tmp_path / "elsewhere.png")
    for name, target in (("a", tmp_path / "secret"), ("b", elsewhere)):
        (folder / "images" / f"{name}.png").unlink()
        (folder / "images" / f"{name}.png").symlink_to(target)
    convert_data(folder, tmp_path / "out", to="yolo")
    written = [each for each in (tmp_path / "out").rglob("*") if each.is_file()]
    assert not any(each.is_symlink() or SECRET.encode() in each.read_bytes() for each in written)
    assert sorted(each.name for each in written if each.suffix == ".png") == ["b.png", "c.png"]


@pytest.mark.parametrize("side", [100_000, 2**31 - 1, 0])
def test_an_image_that_says_it_is_huge_takes_no_memory(side: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(huge_png(side, side))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert ";" in str(caught.value) and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_odd_images_are_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    frames = [PIL.Image.new("P", (20, 10), number) for number in range(30)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    try:
        assert read_image(path).shape[:2] == (10, 20)
    except UserError as error:
        assert ";" in str(error)
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((4, 5, 4), 65535, np.uint16))
    assert (read_image(tmp_path / "deep.png", None, (0, 65535)) == 255).all()


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"utf-16"])
def test_marks_and_line_ends_change_no_box(mark: bytes, tmp_path: Path) -> None:
    folder = write_yolo_set(tmp_path)
    path = folder / "labels" / "a.txt"
    text = path.read_text().replace("\n", "\r\n")
    path.write_bytes(text.encode("utf-16") if mark == b"utf-16" else mark + text.encode())
    assert [len(record.boxes) for record in open_data(folder).train.records] == [2, 2]
