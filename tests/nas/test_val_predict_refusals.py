"""What val and predict refuse: inputs that would be written over, places that cannot be written, other files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import pytest
from val_predict_fakes import DATA, FAST, IMAGES, make_weights, predict, run

from trainers import load_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights"))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["folder", "link", "save-json", "ids", "weights"])
def test_no_input_is_ever_written_over(
    how: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures, annotations = tmp_path / "pictures", tmp_path / "ids.json"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "a.png"), cv2.imread(str(IMAGES[0])))
    shutil.copy(weights, tmp_path / "own.pt")
    classes = [{"id": number, "name": name} for number, name in enumerate(load_weights(weights).classes)]
    annotations.write_text(json.dumps({"images": [{"id": 1, "file_name": "a.png"}], "categories": classes}))
    (tmp_path / "linked").symlink_to(pictures)
    save = ("--no-pictures", "--save-json")
    more = {
        "folder": ("--out", pictures),
        "link": ("--out", tmp_path / "linked"),
        "save-json": (*save, pictures / "a.png"),
        "ids": (*save, annotations, "--ids", annotations),
        "weights": (*save, tmp_path / "own.pt"),
    }[how]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert run("predict", tmp_path / "own.pt", pictures, *FAST, *more) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "would be written over" in error and "give another --" in error
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("command", ["val", "predict", "predict --save-json"])
def test_a_folder_that_cannot_be_written_is_told_before_the_work(
    command: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    wrong = tmp_path / "file" / "folder"
    arguments = {
        "val": ("val", weights, "--data", DATA, "--curves", wrong),
        "predict": ("predict", weights, IMAGES[0], "--out", wrong),
        "predict --save-json": ("predict", weights, IMAGES[0], "--no-pictures", "--save-json", wrong / "r.json"),
    }[command]
    monkeypatch.setattr("trainers.detect.detect", None)
    monkeypatch.setattr("trainers.tiling.detect", None)
    assert run(*arguments, *FAST) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if not line.startswith("data:"))
    assert f"cannot write to the folder {wrong} of --" in line and "give another --" in line


@pytest.mark.parametrize(
    "content", [b"not weights", b"\x80\x02}q\x00.", b"\x80\x04\x95\x0c", b"\xff\xd8\xff\xe0", b"0" * 600, b"(lp0\n."]
)
@pytest.mark.parametrize("command", ["val", "predict", "train"])
def test_other_files_given_as_weights_are_refused(
    command: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pt").write_bytes(content)
    pretrained = ("train", "yolov8n-p2-nop5", "--data", DATA, "--input", 64, 64, "--pretrained", "w.pt")
    arguments = {"val": ("val", "w.pt"), "predict": ("predict", "w.pt", IMAGES[0]), "train": pretrained}[command]
    assert run(*arguments) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("nas: error: w.pt ") and "; next: " in line
    assert [path.name for path in tmp_path.iterdir()] == ["w.pt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("val", "W", "--data", DATA, "--overlap", 0.3), "--overlap needs --tile"),
        (("predict", "W", IMAGES[0], "--overlap", 0.3), "--overlap needs --tile"),
        (("val", "W", "--images", "x"), "--images x needs a data set; add --data"),
        (("val", "W", "--format", "coco"), "--format coco needs a data set"),
        (("val", "W", "--data", DATA, "--seed", -1), "-1 is not in the range"),
        (("val", "W", "--data", DATA, "--input", 1000000, 1000000), "input side 1000000 must be at most 8192"),
        (("val", "W", "--data", DATA, "--bins", "koko"), "unknown size bins 'koko'; did you mean 'coco'"),
        (("val", "W", "--data", DATA, "--bins", "quantiles:1"), "whole number from 2 to 20"),
        (("val", "W", "--data", DATA, "--tile", "x"), "--tile x is no size"),
        (("val", "W", "--data", DATA, "--tile", "8"), "a tile is 8x8 px"),
        (("val", "W", "--data", DATA, "--tile-whole"), "--tile-whole needs --tile"),
        (("val", "W", "--data", DATA, "--input", 65, 64), "multiple of"),
        (("val", "W"), "same classes"),
        (("predict", "W", "nowhere.jpg"), "cannot read image nowhere.jpg"),
        (("predict", "W", "nowhere.mp4"), "nowhere.mp4"),
        (("predict", "W", "."), "has no pictures or videos"),
        (("predict", "W", IMAGES[0], "--ids", "x.json"), "give --save-json FILE too"),
        (("predict", "W", IMAGES[0], "--save-json", "r.json", "--ids", "x.json"), "is no COCO annotation file"),
        (("predict", "W", IMAGES[0], "--device", "tpu9"), "unknown device 'tpu9'"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    arguments: tuple[object, ...],
    message: str,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*(weights if each == "W" else each for each in arguments)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith(("data:", "note:"))]
    assert len(lines) == 1 and message in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_a_broken_video_is_told_before_anything_is_written(
    weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    assert predict(weights, tmp_path / "out", IMAGES[0], tmp_path / "bad.mp4") == 2
    assert "cannot read a frame of the video" in capfd.readouterr().err and not (tmp_path / "out").exists()
