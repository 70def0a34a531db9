"""Video data sets: VisDrone-VID, UAVDT and MOT, each with a folder of frames and one text for each sequence."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_space.errors import DataError
from tests.trainers.data_sets import (
    named_regions,
    read_all,
    write_image,
    write_mot_set,
    write_uavdt_set,
    write_vid_set,
    write_visdrone_set,
)
from trainers.data import Dataset, open_data
from trainers.data.check import check_data
from trainers.data.convert import convert_data
from trainers.data.defects import BrokenFile

CASES = Path(__file__).parent.parent / "data" / "cases" / "05-visdrone-video-lines"
BOX = (40.0, 30.0, 60.0, 40.0)
SMALL = (100.0, 70.0, 112.0, 80.0)


def sequences(dataset: Dataset) -> list[str]:
    """Returns the names of the folders of frames, in order and once each."""
    return list(dict.fromkeys(record.path.parent.name for record in dataset.records if record.path is not None))


def labelled(dataset: Dataset) -> list[list[tuple[str, tuple[float, ...]]]]:
    """Returns the boxes of each frame with the names of their classes."""
    return [
        [(dataset.classes[label], tuple(box)) for box, label in zip(r.boxes.tolist(), r.labels.tolist(), strict=True)]
        for r in dataset.records
    ]


@pytest.mark.parametrize(
    ("name", "format", "num_train", "frame"),
    [
        ("11-visdrone-vid", "visdrone-vid", 2, [("car", BOX), ("pedestrian", SMALL)]),
        ("11c-uavdt", "uavdt", 2, [("car", BOX)]),
        ("11d-mot", "mot", 2, [("pedestrian", BOX)]),
    ],
)
def test_a_video_data_set_is_read(
    name: str, format: str, num_train: int, frame: list[tuple[str, tuple[float, ...]]], tmp_path: Path
) -> None:
    report, splits = check_data(CASES / name), open_data(CASES / name)
    assert (report.format, report.defects, report.notes, splits.format) == (format, (), (), format)
    frames = [*labelled(splits.train), *labelled(splits.val)]
    assert frames == [frame] * report.num_images and report.num_boxes == len(frame) * report.num_images
    assert len(splits.train) == num_train and read_all(splits.val) == len(splits.val) >= 1
    done = convert_data(CASES / name, tmp_path / "out", to="coco")
    assert (done.from_format, done.num_boxes, done.num_images) == (format, report.num_boxes, report.num_images)


def with_columns(folder: Path, *lines: str) -> Path:
    """Writes a VisDrone-DET set whose files have these lines."""
    write_visdrone_set(folder)
    for path in (folder / "annotations").iterdir():
        path.write_text("".join(f"{line}\n" for line in lines))
    return folder


VIDEO_LINES = {
    "case": lambda folder: CASES / "11b-visdrone-vid-split",
    "nine columns": lambda folder: with_columns(folder, "1,2,10,10,9,9,1,4,0"),
    "a trailing comma": lambda folder: with_columns(folder, "1,2,10,10,9,9,1,4,0,0,"),
    "blank lines first": lambda folder: with_columns(folder, "", "  ", "1,2,10,10,9,9,1,4,0,0"),
    "no frames": lambda folder: shutil.rmtree(write_vid_set(folder) / "sequences") or folder,
}


@pytest.mark.parametrize("name", VIDEO_LINES)
def test_lines_of_a_video_in_a_still_data_set_are_one_defect(name: str, tmp_path: Path) -> None:
    folder = VIDEO_LINES[name](tmp_path / "set")
    report = check_data(folder)
    assert [defect.kind for defect in report.defects] == ["wrong_layout"] and report.num_boxes == 0
    assert "VisDrone-VID" in report.defects[0].what and "MOT" in report.defects[0].what
    with pytest.raises(BrokenFile, match="VisDrone-VID") as caught:
        open_data(folder)
    assert caught.value.defect.kind == "wrong_layout"
    with pytest.raises(BrokenFile):
        convert_data(folder, tmp_path / "out", to="yolo")
    assert not (tmp_path / "out").exists()


def test_a_single_file_with_lines_of_a_video_is_left_out(tmp_path: Path) -> None:
    folder = write_visdrone_set(tmp_path)
    (folder / "annotations" / "b.txt").write_text("10,10,10,20,1,1,0,0\n1,2,10,10,9,9,1,4,0,0\n1,3,10,10,9,9,1,4,0,0\n")
    report = check_data(folder)
    assert [(defect.kind, defect.line) for defect in report.defects] == [("malformed_file", 2)]
    assert (report.num_images, report.num_boxes) == (2, 4)
    assert "b.png" not in {record.name for record in open_data(folder).train.records}


def test_marks_of_visdrone_vid(tmp_path: Path) -> None:
    folder = write_vid_set(tmp_path)
    lines = ["1,5,1,1,9,9,0,4,0,0", "1,6,1,20,9,9,1,0,0,0", "1,7,20,20,9,9,1,11,0,0", "1,8,50,40,20,20,1,9,1,0,"]
    (folder / "annotations" / "a.txt").write_text("\n".join(lines))
    report, record = check_data(folder), open_data(folder).train.records[0]
    assert record.boxes.tolist() == [[50, 40, 64, 48]] and record.labels.tolist() == [8]
    assert [name for name, _ in named_regions(record, ())] == ["*"] * 3
    assert [defect.kind for defect in report.defects] == ["partly_outside"] and report.num_ignored == 3
    assert [(note.kind, note.count) for note in report.notes] == [("ignored", 3)]
    (folder / "classes.txt").write_text("".join(f"c{number}\n" for number in range(11)))
    assert open_data(folder).train.records[0].labels.tolist() == [10, 8]


LAYOUTS: dict[str, tuple[str, ...]] = {
    "train and val": ("VisDrone2019-VID-train", "VisDrone2019-VID-val", "VisDrone2019-VID-test-dev"),
    "train and test": ("VisDrone2019-MOT-train", "VisDrone2019-MOT-test-dev"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_published_parts_of_visdrone_vid(layout: str, tmp_path: Path) -> None:
    for name in LAYOUTS[layout]:
        write_vid_set(tmp_path / name)
    splits, folder = open_data(tmp_path), LAYOUTS[layout][1]
    assert (len(splits.train), len(splits.val)) == (3, 3)
    assert check_data(tmp_path).num_images == 3 * len(LAYOUTS[layout])
    assert {record.path.parents[2].name for record in splits.val.records if record.path} == {folder}
    assert any("its test part is used for validation" in notice for notice in splits.notices) == ("test" in folder)
    assert open_data(tmp_path / LAYOUTS[layout][0]).format == "visdrone-vid"


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(frames=st.lists(st.integers(1, 4), min_size=2, max_size=7))
def test_frames_of_a_sequence_stay_together(frames: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("set")
    (folder / "annotations").mkdir()
    for index, number in enumerate(frames):
        for frame in range(1, number + 1):
            write_image(folder / "sequences" / f"s{index}" / f"{frame:07d}.png")
        lines = "".join(f"{frame},0,10,10,10,20,1,1,0,0\n" for frame in range(1, number + 1))
        (folder / "annotations" / f"s{index}.txt").write_text(lines)
    splits = open_data(folder)
    train, val = sequences(splits.train), sequences(splits.val)
    assert not set(train) & set(val) and sorted(train + val) == [f"s{index}" for index in range(len(frames))]
    assert len(splits.train) + len(splits.val) == sum(frames)
    assert val == [f"s{index}" for index in range(len(frames))][-max(1, len(frames) // 5) :]
    verb = "is" if len(val) == 1 else "are"
    assert f"{verb} the val split: {', '.join(val)}" in splits.notices[0]
    convert_data(folder, folder / "out", to="yolo")
    converted = open_data(folder / "out")
    assert (len(converted.train), len(converted.val)) == (len(splits.train), len(splits.val))


def test_converted_frames_are_named_by_their_sequence(tmp_path: Path) -> None:
    for name in ("MOT20-01", "MOT20-02", "MOT20-03"):
        shutil.copytree(CASES / "11d-mot" / "MOT20-01", tmp_path / "set" / name)
    convert_data(tmp_path / "set", tmp_path / "out", to="yolo")
    found = {path.stem for path in (tmp_path / "out" / "images").rglob("*.jpg")}
    assert found == {f"MOT20-0{sequence}_00000{frame}" for sequence in (1, 2, 3) for frame in (1, 2, 3)}


def test_a_sequence_is_a_data_set_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "MOT20-01"
    shutil.copytree(CASES / "11d-mot" / "MOT20-01", folder)
    assert check_data(folder).num_boxes == 3
    monkeypatch.chdir(folder)
    splits = open_data(".")
    assert (splits.format, len(splits.train), len(splits.val)) == ("mot", 2, 1) and "MOT20-01" in splits.notices[0]
    os.rename(folder / "img1", tmp_path / "frames")
    assert check_data(folder, images=tmp_path / "frames").num_boxes == 3


def test_the_last_of_many_sequences_are_named_by_their_ends(tmp_path: Path) -> None:
    for index in range(25):
        write_image(tmp_path / "sequences" / f"s{index:02d}" / "0000001.png")
        path = tmp_path / "annotations" / f"s{index:02d}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("1,0,10,10,10,20,1,1,0,0\n")
    notice = open_data(tmp_path).notices[0]
    assert "5 of 25 sequences are the val split: the last by name, s20 to s24" in notice


def test_a_single_sequence_says_that_its_frames_are_in_both_parts() -> None:
    splits = open_data(CASES / "11c-uavdt")
    assert "a single sequence, M0101" in splits.notices[0] and "scores are too high" in splits.notices[0]


def test_ignored_regions_of_uavdt(tmp_path: Path) -> None:
    folder = write_uavdt_set(tmp_path)
    (folder / "GT" / "a_gt_ignore.txt").write_text("1,-1,1,40,20,20,1,-1,-1\n1,-1,2\n")
    (folder / "GT" / "b_gt_whole.txt").write_text("1,1,10,10,10,20,1,1,4\n1,1,10,10,10,20,1,1,2\n")
    report, train = check_data(folder), open_data(folder).train
    assert named_regions(train.records[0], ()) == [("*", (1, 40, 21, 48))] and len(train.records[0].boxes) == 2
    assert [(each.kind, each.line) for each in report.defects if each.kind != "partly_outside"] == [
        ("malformed", 2),
        ("class_out_of_range", 1),
    ]
    assert train.classes == ("car", "truck", "bus") and train.records[1].labels.tolist() == [1]


def test_uavdt_as_it_is_published(tmp_path: Path) -> None:
    write_uavdt_set(tmp_path / "UAV-benchmark-M")
    (tmp_path / "UAV-benchmark-MOTD_v1.0").mkdir()
    shutil.move(tmp_path / "UAV-benchmark-M" / "GT", tmp_path / "UAV-benchmark-MOTD_v1.0")
    assert sequences(open_data(tmp_path).val) == ["c"]
    for part, name in (("train", "b"), ("train", "c"), ("test", "a")):
        path = tmp_path / "M_attr" / part / f"{name}_attr.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("0,1,0")
    splits = open_data(tmp_path)
    assert (sequences(splits.train), sequences(splits.val)) == (["b", "c"], ["a"])
    assert "its test part is used for validation" in splits.notices[0]
    found = open_data(tmp_path / "UAV-benchmark-MOTD_v1.0", images=tmp_path / "UAV-benchmark-M")
    assert len(found.train) + len(found.val) == 3


def gt(*lines: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "a" / "gt" / "gt.txt").write_text("".join(f"{line}\n" for line in lines))


def with_labels(folder: Path) -> None:
    for name in "abc":
        (folder / name / "gt" / "labels.txt").write_text("cat\ndog\nperson\n")


MOT_LINES: dict[str, tuple[str, int, int, bool]] = {
    "a pedestrian": ("1,1,10,10,9,9,1,1,1", 1, 0, False),
    "not considered": ("1,1,10,10,9,9,0,1,1", 0, 1, False),
    "a person on a vehicle": ("1,1,10,10,9,9,1,2,1", 0, 1, False),
    "a static person": ("1,1,10,10,9,9,0,7,0.3", 0, 1, False),
    "a reflection": ("1,1,10,10,9,9,1,12,1", 0, 1, False),
    "an unknown category": ("1,1,10,10,9,9,1,14,1", 0, 0, True),
    "eight columns": ("1,1,10,10,9,9,1,1", 0, 0, True),
    "MOT15": ("1,1,10,10,9,9,1,-1,-1,-1", 1, 0, False),
    "MOT15, not considered": ("1,1,10,10,9,9,0,-1,-1,-1", 0, 1, False),
    "ten columns with a category": ("1,1,10,10,9,9,1,3,0.8,-1", 0, 1, False),
    "ten columns with coordinates": ("1,1,10,10,9,9,1,2,-7.5,0", 0, 0, True),
}


@pytest.mark.parametrize("name", MOT_LINES)
def test_lines_of_mot(name: str, tmp_path: Path) -> None:
    line, num_boxes, num_ignored, is_defect = MOT_LINES[name]
    gt(line)(write_mot_set(tmp_path))
    report, splits = check_data(tmp_path), open_data(tmp_path)
    assert (report.num_boxes, report.num_ignored, len(report.defects)) == (4 + num_boxes, num_ignored, is_defect)
    assert splits.train.classes == ("pedestrian",) and splits.train.records[0].ignored_labels.tolist() in ([], [-1])


def test_mot_of_cvat_lists_its_classes(tmp_path: Path) -> None:
    with_labels(write_mot_set(tmp_path))
    gt("1,1,10,10,9,9,1,2,0.86", "1,2,30,10,9,9,0,3,1", "1,3,10,30,9,9,1,3,1,-1", "1,3,10,30,9,9,1,4,1")(tmp_path)
    report, splits = check_data(tmp_path), open_data(tmp_path)
    assert splits.train.classes == ("cat", "dog", "person")
    assert splits.train.records[0].labels.tolist() == [1, 2] and len(splits.train.records[0].ignored) == 1
    assert [(each.kind, each.line) for each in report.defects] == [("class_out_of_range", 4)]
    (tmp_path / "c" / "gt" / "labels.txt").write_text("cat\nperson\n")
    assert [each.kind for each in check_data(tmp_path).defects] == ["classes_differ"]
    for name in "abc":
        (tmp_path / name / "gt" / "labels.txt").write_text("cat\ndog\ncat\n")
    assert [(each.kind, each.line) for each in check_data(tmp_path).defects] == [("wrong_layout", 3)]


def test_copies_of_a_mot17_sequence_are_read_once(tmp_path: Path) -> None:
    for number in ("02", "04"):
        for detector in ("DPM", "FRCNN", "SDP"):
            source = CASES / "11d-mot" / "MOT20-01"
            shutil.copytree(source, tmp_path / "train" / f"MOT17-{number}-{detector}")
    splits, report = open_data(tmp_path), check_data(tmp_path)
    assert {record.path.parents[1].name for record in splits.train.records if record.path} == {"MOT17-02-DPM"}
    assert {record.path.parents[1].name for record in splits.val.records if record.path} == {"MOT17-04-DPM"}
    assert [(note.kind, note.count) for note in report.notes] == [("sequence_copy", 4)] and not report.defects
    (tmp_path / "train" / "MOT17-02-SDP" / "gt" / "gt.txt").write_text("1,1,40,30,20,10,1,1,1\n")
    assert [each.kind for each in check_data(tmp_path).defects] == ["duplicate_image"]


def test_the_folder_and_the_size_of_seqinfo(tmp_path: Path) -> None:
    folder = write_mot_set(tmp_path)
    for name in "abc":
        (folder / name / "img1").rename(folder / name / "frames")
        (folder / name / "seqinfo.ini").write_text("[Sequence]\r\nimDir = frames\r\nimWidth=64\r\nimHeight=48\r\n")
    assert check_data(folder).num_images == 3 and check_data(folder).defects == ()
    (folder / "a" / "seqinfo.ini").write_text("imDir=frames\nimWidth=65\nimHeight=48\n")
    assert [(each.kind, each.file[-12:]) for each in check_data(folder).defects] == [("image_size", "s/000001.png")]
    (folder / "a" / "seqinfo.ini").write_text("imDir=frames\nimWidth=many\nimHeight=48\n")
    assert [each.file[-13:] for each in check_data(folder).defects] == ["a/seqinfo.ini"]
    (folder / "a" / "seqinfo.ini").write_text(f"imDir={'9' * 400}\n")  # longer than a file name can be
    assert [each.kind for each in check_data(folder).defects] == ["label_without_image"]
    (folder / "a" / "seqinfo.ini").write_text("imDir=frames\n")
    assert check_data(folder).num_boxes == 6


@pytest.mark.parametrize("place", ["../../secret", "/etc", "C:\\x", "..\\..\\secret", "a\0b"])
def test_seqinfo_leads_nowhere_else(place: str, tmp_path: Path) -> None:
    folder = write_mot_set(tmp_path / "x" / "set")
    write_image(tmp_path / "secret" / "000001.png")
    (folder / "a" / "seqinfo.ini").write_text(f"imDir={place}\n")
    report = check_data(folder)
    assert [each.kind for each in report.defects] == ["path_outside"] and report.num_images == 2
    with pytest.raises(DataError, match="leaves the folder of the sequence"):
        open_data(folder)


def frames_from_zero(folder: Path) -> None:
    for number in (0, 1, 2):
        write_image(folder / "sequences" / "a" / f"{number:07d}.png")
    lines = "".join(f"{number},0,10,10,10,20,1,1,0,0\n" for number in (1, 2, 3))
    (folder / "annotations" / "a.txt").write_text(lines)


FRAMES: dict[str, tuple[str, Callable[[Path], object], int]] = {
    "no image of a frame": (
        "missing_image",
        lambda folder: (folder / "annotations" / "a.txt").write_text("7,0,1,1,9,9,1,1,0,0\n1,0,1,1,9,9,1,1,0,0\n"),
        5,
    ),
    "no frames": ("label_without_image", lambda folder: shutil.rmtree(folder / "sequences" / "a"), 4),
    "one number twice": ("duplicate_image", lambda folder: write_image(folder / "sequences/a/1.png"), 6),
    "no number": ("malformed_image", lambda folder: write_image(folder / "sequences/a/cover.png"), 6),
    "counted from zero": ("malformed_file", frames_from_zero, 4),
    "half a frame": (
        "malformed",
        lambda folder: (folder / "annotations" / "a.txt").write_text("1.5,0,1,1,9,9,1,1,0,0\n"),
        4,
    ),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_that_do_not_fit_their_lines(name: str, tmp_path: Path) -> None:
    kind, spoil, num_boxes = FRAMES[name]
    spoil(write_vid_set(tmp_path))
    report = check_data(tmp_path)
    assert [each.kind for each in report.defects] == [kind] and report.num_boxes == num_boxes
    assert sum(len(boxes) for part in (open_data(tmp_path).train, open_data(tmp_path).val) for boxes in labelled(part))


WORDS = st.sampled_from("1|2|3|0|-1|0.5|nan|inf|1e999|60|9|4|11|12|a|".split("|"))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(st.lists(WORDS, min_size=9, max_size=10), max_size=8), data=st.data())
def test_every_line_is_a_label_or_a_defect(
    lines: list[list[str]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write = data.draw(st.sampled_from([write_vid_set, write_uavdt_set, write_mot_set]))
    folder = write(tmp_path_factory.mktemp("set"))
    path = next(path for path in folder.rglob("*.txt") if path.name in ("a.txt", "a_gt_whole.txt", "gt.txt"))
    path.write_text("\n".join(",".join(line) for line in lines))
    report = check_data(folder)
    missing = sum(int(each.what.split()[-2]) for each in report.defects if each.kind == "missing_image")
    dropped = sum(each.kind not in ("missing_image", "partly_outside", "empty_set") for each in report.defects)
    assert len(lines) == report.num_boxes - 4 + report.num_ignored + missing + dropped
