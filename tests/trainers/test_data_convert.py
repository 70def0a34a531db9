"""Conversion: the same boxes come back from every format, and a folder appears whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_space.errors import ConfigError, DataError
from tests.trainers.conftest import HIT_UAV
from tests.trainers.data_sets import (
    FORMATS_FOLDER,
    IMAGES,
    NAMES,
    SETS,
    all_records,
    coco_content,
    named_boxes,
    named_regions,
    read_all,
    write_coco_set,
    write_image,
    write_images,
    write_json,
    write_yolo_set,
)
from trainers.data import FORMATS, Record, open_data
from trainers.data.check import check_data
from trainers.data.convert import convert_data
from trainers.data.format import Writer

WRITERS: dict[str, Writer] = {name: writer for name in FORMATS if (writer := FORMATS.get(name).writer) is not None}


@pytest.mark.slow
@pytest.mark.parametrize("to", WRITERS)
@pytest.mark.parametrize("name", SETS)
def test_the_fixture_goes_from_every_format_to_every_other(name: str, to: str, tmp_path: Path) -> None:
    source = open_data(FORMATS_FOLDER / SETS[name], images=IMAGES)
    done = convert_data(FORMATS_FOLDER / SETS[name], tmp_path / "out", to=to, images=IMAGES, link=True)
    target = open_data(tmp_path / "out")
    assert (done.num_images, done.num_boxes, target.format) == (23, 301, to)
    found, expected = all_records(target), all_records(source)
    assert found.keys() == expected.keys()
    for key, record in expected.items():
        assert named_boxes(found[key], target.train.classes) == named_boxes(record, source.train.classes)
        regions = [] if WRITERS[to].ignores == "never" else named_regions(record, source.train.classes)
        assert named_regions(found[key], target.train.classes) == regions
    assert target.train.classes == source.train.classes
    assert len(done.losses) == (WRITERS[to].ignores == "never" and done.num_ignored > 0)
    report = check_data(tmp_path / "out")
    assert report.defects == () and report.num_boxes == 301


def boxes(least: float) -> st.SearchStrategy[list[float]]:
    """Boxes `[x, y, width, height]` in the small images, of single-precision numbers."""

    def number(low: float, high: float) -> st.SearchStrategy[float]:
        return st.floats(low, high, width=32, allow_subnormal=False)

    return st.tuples(number(0, 50), number(0, 36), number(least, 14), number(least, 12)).map(list)


ANNOTATIONS = st.tuples(st.integers(0, 2), st.integers(1, 2), st.booleans(), boxes(0.25))


def write_random_set(folder: Path, annotations: list[tuple[int, int, bool, list[float]]]) -> Path:
    content = coco_content()
    content["annotations"] = [
        {"id": index, "image_id": image + 1, "category_id": category, "iscrowd": int(crowd), "bbox": bbox}
        for index, (image, category, crowd, bbox) in enumerate(annotations)
    ] + [{"id": -1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}]
    return write_coco_set(folder, content)


def close(one: Record, other: Record, tolerance_px: float) -> bool:
    """Tells whether two records have the same objects, in whatever order."""
    if len(one.boxes) != len(other.boxes):
        return False
    remaining = list(zip(other.boxes, other.labels, strict=True))
    for box, label in zip(one.boxes, one.labels, strict=True):
        fits = [i for i, (b, c) in enumerate(remaining) if c == label and np.abs(b - box).max() <= tolerance_px]
        if not fits:
            return False
        del remaining[fits[0]]
    return True


@pytest.mark.parametrize("to", WRITERS)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(annotations=st.lists(ANNOTATIONS, max_size=8))
def test_reading_what_was_written_gives_the_same(
    to: str, annotations: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("random")
    path = write_random_set(folder / "source", annotations)
    convert_data(path, folder / "out", to=to)
    source, target = all_records(open_data(path)), all_records(open_data(folder / "out"))
    for name, record in source.items():
        assert close(record, target[name], 1e-5 if to in ("coco", "tinyperson") else 1e-3)
        regions = record.ignored[np.lexsort(record.ignored.T)]
        found = target[name].ignored[np.lexsort(target[name].ignored.T)]
        if WRITERS[to].ignores == "class":
            assert named_regions(record, "ab") == named_regions(target[name], "ab")
        elif WRITERS[to].ignores == "all":
            assert {tuple(box) for box in found.round(3).tolist()} == {tuple(box) for box in regions.round(3).tolist()}


@pytest.mark.parametrize("to", WRITERS)
def test_both_parts_stay_apart(to: str, tmp_path: Path) -> None:
    source = open_data(HIT_UAV)
    done = convert_data(HIT_UAV, tmp_path / "out", to=to)
    target = open_data(tmp_path / "out")
    for one, other in ((source.train, target.train), (source.val, target.val)):
        assert {record.name for record in one.records} == {record.name for record in other.records}
        assert read_all(other) == len(other) and other.classes == one.classes
    assert done.num_images == 8 and check_data(tmp_path / "out").defects == ()


def test_images_are_copied_or_linked(tmp_path: Path) -> None:
    path = write_coco_set(tmp_path / "source")
    convert_data(path, tmp_path / "copied", to="yolo")
    convert_data(path, tmp_path / "linked", to="yolo", link=True)
    original = tmp_path / "source" / "images" / "a.png"
    copied, linked = (tmp_path / name / "images" / "a.png" for name in ("copied", "linked"))
    assert copied.read_bytes() == original.read_bytes() and not copied.is_symlink()
    assert linked.is_symlink() and linked.resolve() == original.resolve()


def test_an_existing_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = write_coco_set(tmp_path / "source")
    (tmp_path / "out").mkdir()
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for name in ("out", "gone"):
        with pytest.raises(ConfigError, match="exists already; give a folder that does not"):
            convert_data(path, tmp_path / name, to="coco")
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(ConfigError, match="unknown format 'kitti'.*known: coco"):
        convert_data(path, tmp_path / "new", to="kitti")


def test_a_format_that_is_only_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS._things, "voc", replace(FORMATS.get("voc"), writer=None))
    with pytest.raises(
        ConfigError, match="'voc' can be read but not written; allowed: coco, tinyperson, yolo, visdrone"
    ):
        convert_data(HIT_UAV, tmp_path / "out", to="voc")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError("disk full")])
def test_nothing_is_left_of_a_conversion_that_ends_early(
    stop: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_coco_set(tmp_path / "source")
    writer = WRITERS["voc"]

    def end_early(writing: Any) -> None:
        writer.write(writing)
        raise stop

    ending = replace(FORMATS.get("voc"), writer=replace(writer, write=end_early))
    monkeypatch.setitem(FORMATS._things, "voc", ending)
    with pytest.raises((KeyboardInterrupt, OSError)):
        convert_data(path, tmp_path / "new" / "out", to="voc")
    assert list((tmp_path / "new").iterdir()) == []
    monkeypatch.undo()
    convert_data(path, tmp_path / "new" / "out", to="voc")
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["out"]


def cut_set(folder: Path) -> Path:
    content = coco_content()
    for image, corner in zip(content["images"], ([0, 0, 52, 40], [12, 4, 64, 48], [4, 4, 60, 44]), strict=True):
        width, height = corner[2] - corner[0], corner[3] - corner[1]
        image.update(file_name="a.png", corner=corner, width=width, height=height)
    return write_coco_set(folder, content)


@pytest.mark.parametrize("to", WRITERS)
def test_windows_are_kept_or_cut_out(to: str, tmp_path: Path) -> None:
    path = cut_set(tmp_path / "source")
    source = open_data(path)
    done = convert_data(path, tmp_path / "out", to=to)
    target = open_data(tmp_path / "out")
    windows = {record.name: record for record in all_records(target).values()}
    assert len(windows) == 3
    assert len({record.path for record in windows.values()}) == (1 if WRITERS[to].keeps_windows else 3)
    assert any("cropped" in loss for loss in done.losses) != WRITERS[to].keeps_windows
    for part in (source.train, source.val):
        for index, record in enumerate(part.records):
            name = (
                record.name
                if WRITERS[to].keeps_windows
                else record.name.replace(".png@", "_").replace(",", "_") + ".png"
            )
            other = target.train if windows[name] in target.train.records else target.val
            assert (other.image(other.records.index(windows[name])) == part.image(index)).all()
            assert close(record, windows[name], 1e-3)


def test_files_of_one_name_get_names_that_differ(tmp_path: Path) -> None:
    content = coco_content()
    for seed, (image, name) in enumerate(zip(content["images"], ("x/a.png", "y/A.jpg", "x/y/a.png"), strict=True)):
        image["file_name"] = name
        write_image(tmp_path / "images" / name, seed=seed)
    write_json(tmp_path / "set.json", content)
    for to in WRITERS:
        convert_data(tmp_path / "set.json", tmp_path / to, to=to)
        target = open_data(tmp_path / to)
        stems = [record.path.stem.casefold() for record in all_records(target).values() if record.path]
        assert len(set(stems)) == 3 and sum(len(record.boxes) for record in all_records(target).values()) == 6


def test_what_the_target_cannot_hold_is_told_in_one_line_each(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"][0]["iscrowd"] = 1
    content["annotations"][1]["bbox"] = [1.5, 2.25, 7, 7]
    path = write_coco_set(tmp_path / "source", content)
    told = {to: convert_data(path, tmp_path / to, to=to).losses for to in WRITERS}
    assert told["coco"] == ()
    assert [loss.split(":")[0] for loss in told["yolo"]] == ["yolo has no ignored regions"]
    assert "ignores regions for every class: 1 " in told["visdrone"][0] and len(told["visdrone"]) == 2
    assert "1 boxes have fractional coordinates" in told["visdrone"][1] == told["visdrone"][-1]
    assert len(told["tinyperson"]) == len(told["voc"]) == 1
    assert not any("\n" in loss for losses in told.values() for loss in losses)


def rename(names: list[str]) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for category, name in zip(content["categories"], names, strict=True):
            category["name"] = name

    return change


@pytest.mark.parametrize(
    ("names", "to", "message"),
    [
        (["car", "a\nb"], "yolo", "cannot be written as a line"),
        (["car", " "], "visdrone", "cannot be written as a line"),
    ],
)
def test_class_names_that_cannot_be_written(names: list[str], to: str, message: str, tmp_path: Path) -> None:
    content = coco_content()
    rename(names)(content)
    with pytest.raises(DataError, match=message):
        convert_data(write_coco_set(tmp_path / "source", content), tmp_path / "out", to=to)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [(("person", "DontCare"), "is the name of ignored regions"), (("car", "car"), "two classes have the same name")],
)
def test_classes_that_voc_cannot_represent(names: tuple[str, ...], message: str) -> None:
    writer = FORMATS.get("voc").writer
    assert writer is not None
    with pytest.raises(DataError, match=message):
        writer.check_classes(names)


def test_equal_parts_become_one(tmp_path: Path) -> None:
    folder = write_yolo_set(tmp_path / "source")
    (folder / "data.yaml").write_text("train: images\nval: images\nnames: [person, car]\n")
    done = convert_data(folder, tmp_path / "out", to="coco")
    assert done.num_images == 3 and "written once" in done.notices[-1]
    assert [path.name for path in (tmp_path / "out" / "annotations").iterdir()] == ["instances.json"]


def test_odd_names_survive(tmp_path: Path) -> None:
    odd = ("a b.png", "é.png", "x.y.png")
    content = coco_content()
    content["categories"][0]["name"] = "<person> & 'child' é"
    write_images(tmp_path / "source" / "images")
    for image, name, stem in zip(content["images"], odd, NAMES, strict=True):
        image["file_name"] = name
        (tmp_path / "source" / "images" / f"{stem}.png").rename(tmp_path / "source" / "images" / name)
    write_json(tmp_path / "source" / "set.json", content)
    for to in WRITERS:
        convert_data(tmp_path / "source" / "set.json", tmp_path / to, to=to)
        target = open_data(tmp_path / to)
        assert all_records(target).keys() == set(odd) and target.train.classes[0] == "<person> & 'child' é"
