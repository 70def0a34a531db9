"""The same boxes from five formats, and the meaning of flags in each format."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from search_space.errors import ConfigError, DataError
from tests.trainers.data_sets import (
    FORMATS_FOLDER,
    IMAGES,
    SETS,
    all_records,
    coco_content,
    named_boxes,
    named_regions,
    read_all,
    voc_object,
    voc_text,
    write_coco_set,
    write_images,
    write_json,
    write_visdrone_set,
    write_voc_set,
    write_yolo_set,
)
from tests.trainers.data_spoiling import WRITE
from trainers.data import FORMATS, DataSplits, open_data
from trainers.data.annotation_json import entry_lines
from trainers.data.convert import convert_data
from trainers.data.images import read_image


@pytest.fixture(scope="module")
def opened() -> dict[str, DataSplits]:
    return {name: open_data(FORMATS_FOLDER / path, images=IMAGES) for name, path in SETS.items()}


def test_every_format_has_a_fixture() -> None:
    unwritten = {name for name in FORMATS if FORMATS.get(name).writer is None}
    assert unwritten <= {*SETS, *WRITE} <= set(FORMATS), "what is written is read again in test_data_convert"


@pytest.mark.parametrize("name", WRITE)
def test_a_small_set_is_found_and_converted(name: str, tmp_path: Path) -> None:
    path = WRITE[name](tmp_path / "set")
    splits = open_data(path)
    assert (splits.format, len(splits.train), len(splits.val)) == (name, 2, 1)
    assert open_data(path, format=name).train.fingerprint() == splits.train.fingerprint()
    boxes = [sorted(map(tuple, record.boxes.tolist())) for record in (*splits.train.records, *splits.val.records)]
    assert boxes == [[(10, 10, 20, 30), (30, 5, 50, 25)]] * 3 or name == "yolo"
    done = convert_data(path, tmp_path / "out", to="coco")
    assert (done.from_format, done.num_images, done.num_boxes) == (name, 3, 6)


@pytest.mark.parametrize("name", WRITE)
@pytest.mark.parametrize("other", FORMATS.names())
def test_a_small_set_is_no_other_format(name: str, other: str, tmp_path: Path) -> None:
    path = WRITE[name](tmp_path)
    if name == other or {name, other} == {"coco", "tinyperson"}:
        return
    with pytest.raises(DataError, match=f"no {other} data set|in the format {other}|of VisDrone-VID|has no boxes"):
        open_data(path, format=other)


@pytest.mark.parametrize("name", SETS)
def test_the_same_boxes_and_classes_from_five_formats(name: str, opened: dict[str, DataSplits]) -> None:
    assert opened[name].format == name
    found, expected = all_records(opened[name]), all_records(opened["coco"])
    assert found.keys() == expected.keys() and len(found) == 23
    classes, coco_classes = opened[name].train.classes, opened["coco"].train.classes
    for key, record in expected.items():
        assert named_boxes(found[key], classes) == named_boxes(record, coco_classes)
        assert (found[key].height, found[key].width) == (512, 640)
    assert sum(len(record.boxes) for record in found.values()) == 301


@pytest.mark.parametrize("name", SETS)
def test_the_same_ignored_regions_from_four_formats(name: str, opened: dict[str, DataSplits]) -> None:
    regions = [each for record in all_records(opened[name]).values() for each in named_regions(record, ())]
    expected = [("*", (353, 253, 387, 278)), ("*", (566, 35, 633, 89)), ("*", (591, 435, 625, 496))]
    assert sorted(regions) == ([] if name == "yolo" else expected)


@pytest.mark.parametrize("name", SETS)
def test_a_named_format_is_read_as_the_one_found(name: str, opened: dict[str, DataSplits]) -> None:
    named = open_data(FORMATS_FOLDER / SETS[name], images=IMAGES, format=name)
    assert named.train.fingerprint() == opened[name].train.fingerprint()
    assert read_all(named.val) == len(named.val)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("other", SETS)
def test_another_format_than_the_one_there_is_refused_or_agrees(name: str, other: str) -> None:
    if name == other or {name, other} == {"coco", "tinyperson"}:  # one is a dialect of the other
        return
    with pytest.raises(DataError, match=f"no {other} data set|give a data set in the format {other}"):
        open_data(FORMATS_FOLDER / SETS[name], images=IMAGES, format=other)


def test_unknown_formats_name_the_near_ones() -> None:
    with pytest.raises(
        ConfigError, match="unknown format 'vizdrone'; did you mean 'visdrone' or 'visdrone-vid'; known: coco, "
    ):
        open_data(FORMATS_FOLDER / "visdrone", format="vizdrone")


def test_the_named_format_chooses_among_jsons() -> None:
    assert open_data(FORMATS_FOLDER, format="tinyperson").format == "tinyperson"
    assert open_data(FORMATS_FOLDER, format="coco").format == "coco"
    with pytest.raises(DataError, match="2 other json files"):
        open_data(FORMATS_FOLDER)


def test_the_folder_of_images_is_asked_for(tmp_path: Path) -> None:
    for name, path in SETS.items():
        source = FORMATS_FOLDER / path
        copy = tmp_path / name / path
        copy.parent.mkdir()
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)
        with pytest.raises(DataError, match="give the folder with --images DIR|does not exist in|no data set found"):
            open_data(copy)
        assert len(all_records(open_data(copy, images=IMAGES))) == 23
    for wrong in (tmp_path / "nowhere", FORMATS_FOLDER / "README.md"):
        with pytest.raises(DataError, match="no folder of images|is not a folder"):
            open_data(FORMATS_FOLDER / "coco.json", images=wrong)


def test_visdrone_marks(tmp_path: Path) -> None:
    folder = write_visdrone_set(tmp_path)
    lines = [
        "1,1,9,9,1,1,0,0,",
        "20,1,9,9,0,4,0,0",
        "1,20,9,9,1,0,0,0",
        "20,20,9,9,1,11,0,0",
        "40, 20, 9, 9, 1, 10,0,0",
    ]
    (folder / "annotations" / "a.txt").write_text("\r\n".join(lines) + "\r\n\r\n")
    splits = open_data(folder)
    record = all_records(splits)["a.png"]
    assert named_boxes(record, splits.train.classes) == [("Person", (1, 1, 10, 10)), ("motor", (40, 20, 49, 29))]
    assert [label for label, _ in named_regions(record, splits.train.classes)] == ["*", "*", "*"]
    assert len(splits.train.classes) == 10 and splits.train.classes[0] == "pedestrian"


def test_visdrone_with_classes_of_its_own(tmp_path: Path) -> None:
    folder = write_visdrone_set(tmp_path)
    (folder / "classes.txt").write_text("one\ntwo\nthree\nfour\n")
    (folder / "annotations" / "a.txt").write_text("1,1,9,9,1,4,0,0\n20,20,9,9,1,5,0,0\n")
    splits = open_data(folder)
    assert splits.train.classes == ("one", "two", "three", "four")
    assert all_records(splits)["a.png"].labels.tolist() == [3]
    assert "1 with a class id out of range" in splits.notices[-1]


def tiny_content() -> dict[str, list[dict[str, object]]]:
    content = coco_content()
    for annotation in content["annotations"]:
        annotation.update(ignore=False, uncertain=False, logo=False, in_dense_image=False)
    return content


def test_tinyperson_marks(tmp_path: Path) -> None:
    content = tiny_content()
    for annotation, mark in zip(
        content["annotations"], ("ignore", "uncertain", "logo", "in_dense_image"), strict=False
    ):
        annotation[mark] = True
    splits = open_data(write_coco_set(tmp_path, content))
    records = all_records(splits)
    assert splits.format == "tinyperson"
    assert len(records["a.png"].boxes) == 0 and len(records["b.png"].boxes) == 2
    assert records["a.png"].ignored_labels.tolist() == [-1, -1]


def test_tinyperson_cuts_are_windows_of_their_file(tmp_path: Path) -> None:
    content = tiny_content()
    for image, corner in zip(content["images"], ([0, 0, 40, 48], [24, 0, 64, 48], [10, 8, 50, 40]), strict=True):
        image.update(file_name="a.png", corner=corner, width=corner[2] - corner[0], height=corner[3] - corner[1])
    splits = open_data(write_coco_set(tmp_path, content))
    whole = read_image(tmp_path / "images" / "a.png")
    records = (*splits.train.records, *splits.val.records)
    assert [record.window for record in records] == [(0, 0, 40, 48), (24, 0, 64, 48), (10, 8, 50, 40)]
    assert len({record.key for record in records}) == 3
    assert (splits.val.image(0) == whole[8:40, 10:50]).all() and splits.val.image(0).shape == (32, 40, 3)
    assert (splits.train.image(1) == whole[:, 24:]).all() and (splits.train.image(0) == whole[:, :40]).all()
    assert records[0].boxes.max() == 40  # the box at 30..50 ends with its window
    content["images"][0]["corner"] = [30, 0, 70, 48]
    write_json(tmp_path / "set.json", content)
    with pytest.raises(DataError, match=r"the window \(30, 0, 70, 48\) does not fit into the file of 64x48"):
        open_data(tmp_path / "set.json").train.image(0)


def test_tinyperson_comes_with_a_test_set_for_val(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_images(tmp_path / part)
        write_json(tmp_path / f"tiny_set_{part}.json", tiny_content())
    splits = open_data(tmp_path)
    assert (len(splits.train), len(splits.val)) == (
        3,
        3,
    ) and "tiny_set_test.json is used for validation" in splits.notices[0]
    assert splits.val.records[0].path == tmp_path / "test" / "a.png"


@pytest.mark.parametrize(
    ("database", "expected", "num_ignored"),
    [("The VOC2007 Database", (9, 9, 20, 30), 1), ("Unknown", (10, 10, 20, 30), 1), ("mine", (10, 10, 20, 30), 0)],
)
def test_voc_origin_and_difficult(tmp_path: Path, database: str, expected: tuple[int, ...], num_ignored: int) -> None:
    folder = write_voc_set(tmp_path)
    objects = voc_object("person", 10, 10, 20, 30) + voc_object("car", 30, 5, 50, 25, difficult=1)
    (folder / "Annotations" / "a.xml").write_text(voc_text("a.png", objects, database=database))
    splits = open_data(folder)
    record = all_records(splits)["a.png"]
    assert splits.train.classes == ("car", "person")
    assert ("person", expected) in named_boxes(record, splits.train.classes)
    assert [name for name, _ in named_regions(record, splits.train.classes)] == ["Car"] * num_ignored
    assert len(record.boxes) == 2 - num_ignored


def test_voc_regions_names_and_sizes(tmp_path: Path) -> None:
    folder = write_voc_set(tmp_path)
    text = voc_text(
        "moved-elsewhere.png", voc_object("dontcare", 1, 1, 9, 9) + voc_object("bus", 1, 1, 5, 5), size="0,0"
    )
    (folder / "Annotations" / "a.xml").write_text(text)
    splits = open_data(folder)
    record = all_records(splits)["a.png"]  # found by the name of its annotation file
    assert (record.height, record.width) == (48, 64) and record.ignored_labels.tolist() == [-1]
    assert splits.train.classes == ("bus", "car", "person")
    (folder / "classes.txt").write_text("person\ncar\n")
    splits = open_data(folder)
    assert splits.train.classes == ("person", "car") and "1 of an unknown class" in "".join(splits.notices)


@pytest.mark.parametrize("val", ["val", "test"])
def test_voc_lists_of_its_parts(tmp_path: Path, val: str) -> None:
    folder = write_voc_set(tmp_path)
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nb\n")
    (lists / f"{val}.txt").write_text("c  1\nnowhere\n")
    splits = open_data(folder)
    assert [record.name for record in splits.val.records] == ["c.png"] and len(splits.train) == 2
    assert any("is used for validation" in notice for notice in splits.notices) == (val == "test")
    (lists / "train.txt").write_text("../../secret\n")
    with pytest.raises(DataError, match="lies outside the data set"):
        open_data(folder)


ENTITIES = '<!DOCTYPE annotation [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>\n'
OUTSIDE = '<!DOCTYPE annotation [<!ENTITY a SYSTEM "file:///etc/hostname">]>\n'


@pytest.mark.parametrize("head", [ENTITIES, OUTSIDE, "<!DOCTYPE annotation>\n"])
def test_xml_with_a_document_type_is_left_out_unread(tmp_path: Path, head: str) -> None:
    folder = write_voc_set(tmp_path)
    (folder / "Annotations" / "a.xml").write_text(
        head + voc_text("a.png", voc_object("&b;" if "b;" in head else "x", 1, 1, 9, 9))
    )
    splits = open_data(folder)
    assert all_records(splits).keys() == {"b.png", "c.png"} and splits.train.classes == ("car", "person")
    assert "1 of 3 images have an annotation file that cannot be read" in splits.notices[-1]


LAYOUTS = {
    "visdrone, folders of the publisher": ("visdrone", ("Set-DET-{part}/annotations", "Set-DET-{part}/images")),
    "visdrone, divided folders": ("visdrone", ("annotations/{part}", "images/{part}")),
    "voc, divided folders": ("voc", ("Annotations/{part}", "JPEGImages/{part}")),
    "voc, images beside": ("voc", ("{part}", "{part}")),
    "voc, one folder of images": ("voc", ("Annotations/{part}", "JPEGImages")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path: Path, layout: str) -> None:
    name, folders = LAYOUTS[layout]
    source = tmp_path / "source"
    (write_visdrone_set if name == "visdrone" else write_voc_set)(source)
    for part, stems in (("train", "ab"), ("val", "c")):
        annotations, images = (tmp_path / "set" / folder.format(part=part) for folder in folders)
        for folder in (annotations, images):
            folder.mkdir(parents=True, exist_ok=True)
        for stem in stems:
            shutil.copy(next(source.glob(f"?*s/{stem}.[tx]*")), annotations)
            shutil.copy(next(source.glob(f"*mages/{stem}.png")), images)
    splits = open_data(tmp_path / "set")
    assert splits.format == name
    assert [len(part) for part in (splits.train, splits.val)] == [2, 1]
    assert read_all(splits.train) == 2 and sum(len(record.boxes) for record in splits.train.records) == 4


def test_yolo_labels_with_images_elsewhere(tmp_path: Path) -> None:
    folder = write_yolo_set(tmp_path / "set")
    shutil.move(folder / "images", tmp_path / "pictures")
    images = tmp_path / "pictures"
    expected = {name: 2 for name in ("a.png", "b.png", "c.png")}
    splits = open_data(folder, images=images)
    assert {name: len(record.boxes) for name, record in all_records(splits).items()} == expected
    (folder / "list.txt").write_text("images/a.png\r\n./images/b.png\n")
    (folder / "data.yaml").write_text("train: list.txt\nval: images/\nnames: [person, car]\n")
    splits = open_data(folder, images=images)
    assert {name: len(record.boxes) for name, record in all_records(splits).items()} == expected


def test_lists_may_name_files_inside_in_any_way(tmp_path: Path) -> None:
    folder = write_yolo_set(tmp_path)
    (folder / "lists").mkdir()
    (folder / "lists" / "train.txt").write_text(f"{folder}/images/a.png\n../images/b.png\n")
    (folder / "data.yaml").write_text("train: lists/train.txt\nval: images/c.png\nnames: [person, car]\n")
    splits = open_data(folder)
    assert [record.name for record in splits.train.records] == ["a.png", "b.png"] and splits.notices == ()
    assert all(len(record.boxes) == 2 for record in splits.train.records)


@pytest.mark.parametrize(
    ("name", "content"), [("a.txt", "0 0.5 0.5 0.1 0.1"), ("a.txt", "1,2,3"), ("a.xml", "<project/>")]
)
def test_folders_of_other_files_are_no_data_sets(tmp_path: Path, name: str, content: str) -> None:
    write_images(tmp_path / "images")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / name).write_text(content)
    with pytest.raises(DataError, match="no data set found"):
        open_data(tmp_path)


def test_text_files_with_marks_and_windows_line_ends(tmp_path: Path) -> None:
    folder = write_yolo_set(tmp_path)
    clean = open_data(folder).train.fingerprint()
    labels = folder / "labels" / "a.txt"
    text = labels.read_text()
    labels.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert open_data(folder).train.fingerprint() == clean
    labels.write_text(text, encoding="utf-16")
    assert open_data(folder).train.fingerprint() == clean


def test_lines_of_entries() -> None:
    text = '\n{"a": {"annotations": [1]}, "images": [\n1, {"b": [\n2]},\n\n 3 ] ,\n "annotations":[], "c": [4\n]}'
    assert entry_lines(text) == {"images": [3, 3, 6], "annotations": [], "c": [7]}
    assert entry_lines("{}") == {} and entry_lines('{"a": []}') == {"a": []}


def test_boxes_given_twice_count_once(tmp_path: Path) -> None:
    folder = write_yolo_set(tmp_path)
    (folder / "labels" / "a.txt").write_text("0 0.25 0.5 0.2 0.4\n" * 3 + "1 0.25 0.5 0.2 0.4\n")
    splits = open_data(folder)
    assert all_records(splits)["a.png"].labels.tolist() == [0, 1] and "2 given twice" in splits.notices[-1]
