"""The parts of a data set: a test part beside train and val, and all images together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from data_sets import coco_content, labelme_content, labelme_shape, write_image

from search_space.errors import ConfigError, DataError
from trainers.data import open_data
from trainers.data.check import check_data
from trainers.data.convert import convert_data

PARTS = {"train": ("a", "b"), "val": ("c",), "test": ("d", "e", "f")}
VISDRONE_LINE = "10,10,12,14,1,4,0,0\n"
YOLO_LINE = "1 0.5 0.5 0.25 0.25\n"
VOC = (
    "<annotation><size><width>64</width><height>48</height></size><object><name>car</name><bndbox><xmin>9</xmin>"
    "<ymin>9</ymin><xmax>30</xmax><ymax>30</ymax></bndbox></object></annotation>"
)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def yolo_yaml(folder: Path) -> None:
    yolo_folder(folder)
    content = {part: f"images/{part}" for part in PARTS} | {"names": ["person", "car"]}
    write(folder / "data.yaml", yaml.safe_dump(content))


def yolo_folder(folder: Path) -> None:
    write(folder / "classes.txt", "person\ncar\n")
    for part, names in PARTS.items():
        for name in names:
            write_image(folder / "images" / part / f"{name}.png")
            write(folder / "labels" / part / f"{name}.txt", YOLO_LINE)


def coco(folder: Path) -> None:
    for part, names in PARTS.items():
        content = coco_content()
        images = [{**content["images"][0], "id": index, "file_name": f"{name}.png"} for index, name in enumerate(names)]
        boxes = [{**content["annotations"][0], "id": index, "image_id": index} for index, _ in enumerate(names)]
        write(
            folder / "annotations" / f"instances_{part}.json",
            json.dumps({**content, "images": images, "annotations": boxes}),
        )
        for name in names:
            write_image(folder / "images" / part / f"{name}.png")


def visdrone(folder: Path) -> None:
    (folder / "VisDrone2019-DET-test-challenge" / "images").mkdir(parents=True)
    for part, names in PARTS.items():
        place = folder / f"VisDrone2019-DET-{'test-dev' if part == 'test' else part}"
        for name in names:
            write_image(place / "images" / f"{name}.png")
            write(place / "annotations" / f"{name}.txt", VISDRONE_LINE)


def voc_lists(folder: Path) -> None:
    for part, names in PARTS.items():
        write(folder / "ImageSets" / "Main" / f"{part}.txt", "\n".join(names))
        for name in names:
            write_image(folder / "JPEGImages" / f"{name}.png")
            write(folder / "Annotations" / f"{name}.xml", VOC)


def voc_folders(folder: Path) -> None:
    for part, names in PARTS.items():
        for name in names:
            write_image(folder / part / f"{name}.png")
            write(folder / part / f"{name}.xml", VOC)


def yolo_in_part_folders(folder: Path) -> None:
    write(folder / "classes.txt", "person\ncar\n")
    for part, names in PARTS.items():
        for name in names:
            write_image(folder / part / "images" / f"{name}.png")
            write(folder / part / "labels" / f"{name}.txt", YOLO_LINE)


def yolo_beside(folder: Path) -> None:
    write(folder / "classes.txt", "person\ncar\n")
    for part, names in PARTS.items():
        for name in names:
            write_image(folder / part / f"{name}.png")
            write(folder / part / f"{name}.txt", YOLO_LINE)


def coco_in_part_folders(folder: Path) -> None:
    coco(folder)
    for part in PARTS:
        (folder / "images" / part).rename(folder / part)
        (folder / "annotations" / f"instances_{part}.json").rename(folder / part / "_annotations.coco.json")


def labelme(folder: Path) -> None:
    for part, names in PARTS.items():
        for name in names:
            write_image(folder / part / f"{name}.png")
            content = labelme_content(f"{name}.png", labelme_shape("car", [10, 10], [20, 30]))
            write(folder / part / f"{name}.json", json.dumps(content))


def visdrone_vid(folder: Path) -> None:
    for part, names in PARTS.items():
        place = folder / f"VisDrone2019-VID-{'test-dev' if part == 'test' else part}"
        for name in names:
            write_image(place / "sequences" / name / f"{name}1.png")
            write(place / "annotations" / f"{name}.txt", "1,0,10,10,10,20,1,4,0,0\n")


LAYOUTS = {
    each.__name__: each
    for each in (
        yolo_yaml,
        yolo_folder,
        yolo_in_part_folders,
        yolo_beside,
        coco,
        coco_in_part_folders,
        labelme,
        visdrone,
        visdrone_vid,
        voc_lists,
        voc_folders,
    )
}
layouts = pytest.mark.parametrize("make", LAYOUTS.values(), ids=LAYOUTS)


def names_of(folder: Path, part: str) -> list[str]:
    splits = open_data(folder, with_test=True)
    return [record.name[0] for record in splits.part(part).records]


@layouts
def test_each_format_has_a_test_part_beside_train_and_val(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path)
    assert {part: tuple(names_of(tmp_path, part)) for part in PARTS} == PARTS
    assert names_of(tmp_path, "all") == ["a", "b", "c", "d", "e", "f"]
    splits = open_data(tmp_path)  # a training does not read it
    assert splits.test is None and [len(splits.train), len(splits.val)] == [2, 1]
    with pytest.raises(DataError, match="there is no test part; next: --part val, or all"):
        splits.part("test")


@layouts
def test_the_check_and_the_conversion_have_the_test_part_too(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "set")
    report = check_data(tmp_path / "set")
    assert (report.num_images, report.num_boxes, report.defects) == (6, 6, ())
    for number, to in enumerate(("coco", "yolo", "visdrone", "voc")):
        done = convert_data(tmp_path / "set", tmp_path / f"out{number}", to=to)
        assert (done.num_images, done.num_boxes) == (6, 6)
        assert names_of(tmp_path / f"out{number}", "test") == ["d", "e", "f"]


def test_a_test_part_that_cannot_be_read_is_told_and_left_out(tmp_path: Path) -> None:
    yolo_yaml(tmp_path / "set")
    shutil.rmtree(tmp_path / "set" / "images" / "test")
    (defect,) = check_data(tmp_path / "set").defects
    assert defect.kind == "missing_image" and "images/test" in defect.what
    done = convert_data(tmp_path / "set", tmp_path / "out", to="coco")
    assert done.num_images == 3 and any("the test part is left out: " in notice for notice in done.notices)
    assert len(open_data(tmp_path / "set").train) == 2
    with pytest.raises(DataError, match="images/test"):
        open_data(tmp_path / "set", with_test=True)


def test_a_file_of_the_test_part_that_cannot_be_opened_is_a_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coco(tmp_path)
    read_bytes = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "instances_test.json":
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    report = check_data(tmp_path)
    assert [(each.kind, each.line) for each in report.defects] == [("malformed_file", None)]
    assert "instances_test.json: Permission denied" in report.defects[0].what
    assert report.num_images_by_part == {"train": 2, "val": 1}


def test_a_test_part_that_only_the_data_yaml_names_is_no_defect(tmp_path: Path) -> None:
    yolo_yaml(tmp_path)
    for name in ("images", "labels"):
        shutil.rmtree(tmp_path / name / "test")
    splits = open_data(tmp_path, with_test=True)
    assert splits.test is None and any("there is no test part at images/test" in each for each in splits.notices)
    assert check_data(tmp_path).defects == ()


def test_a_test_part_without_labels_is_no_defect_and_is_not_evaluated_on(tmp_path: Path) -> None:
    coco(tmp_path / "set")
    path = tmp_path / "set" / "annotations" / "instances_test.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))
    assert check_data(tmp_path / "set").defects == ()
    done = convert_data(tmp_path / "set", tmp_path / "out", to="yolo")
    assert done.num_images == 3 and any("3 images have no boxes" in notice for notice in done.notices)
    with pytest.raises(DataError, match="the test part has no boxes in 3 images"):
        names_of(tmp_path / "set", "test")
    assert names_of(tmp_path / "set", "all") == ["a", "b", "c"]


def test_an_undivided_set_is_whole_as_all(tmp_path: Path) -> None:
    visdrone(tmp_path / "set")
    place = tmp_path / "set" / "VisDrone2019-DET-test-dev"
    assert names_of(place, "val") == ["f"] and names_of(place, "all") == ["d", "e", "f"]


def test_the_built_in_set_has_neither() -> None:
    splits = open_data(None)
    for part in ("all", "test"):
        with pytest.raises(DataError, match="next: "):
            splits.part(part)
    with pytest.raises(ConfigError, match="unknown part 'tset'; did you mean 'test'"):
        splits.part("tset")
