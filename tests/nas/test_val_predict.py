"""The commands val and predict, run through the entry point."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from val_predict_fakes import DATA, FAST, IMAGES, make_weights, predict, run

from nas.weights_path import weights_file
from trainers import evaluate, load_weights
from trainers import predict as predict_objects
from trainers.data import Dataset, open_data, read_rgb
from trainers.sizes import size_bins
from trainers.tiling import Tiling


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def data(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures with some of what the untrained detector finds in them as objects, so that scores are above 0."""
    folder = tmp_path_factory.mktemp("data") / "found"
    shutil.copytree(DATA, folder)
    detector = load_weights(weights).detector()
    annotations = folder / "annotations" / "instances_val.json"
    content = json.loads(annotations.read_text())
    categories, content["annotations"] = [each["id"] for each in content["categories"]], []
    for image in content["images"]:
        pixels = read_rgb(folder / "images" / "val" / Path(image["file_name"]).name)
        found = predict_objects(detector, pixels, score_threshold=0.0, max_detections=40)
        for (x1, y1, x2, y2), label in list(zip(found.boxes.tolist(), found.labels, strict=True))[::3]:
            if label == 1:  # one class does not occur
                continue
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "category_id": categories[label]}
            content["annotations"].append(
                {"id": len(content["annotations"]) + 1, "image_id": image["id"], "iscrowd": 0, **box}
            )
    annotations.write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven frames of 80x48 pixels."""
    path = tmp_path_factory.mktemp("videos") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (80, 48))
    for number in range(7):
        writer.write(np.full((48, 80, 3), 30 * number, np.uint8))
    writer.release()
    return path


def val(weights: Path, data: Path, capsys: pytest.CaptureFixture[str], *more: object) -> dict[str, Any]:
    assert run("val", weights, "--data", data, "--json", *FAST, *more) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_val_reports_what_evaluate_returns(weights: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = val(weights, data, capsys, "--bins", "quantiles:2", "--bootstrap", 30)
    dataset = open_data(data).val
    score = evaluate(load_weights(weights).detector(), dataset, bins=size_bins("quantiles:2", dataset.records))
    assert report["score"]["ap"] == score.ap > 0.1 and report["score"]["recall"] == score.recall
    assert list(report["score"]["bins"]) == list(score.bins)
    missing = [name for name, entry in score.per_class.items() if math.isnan(entry["ap"])]
    assert missing and all(report["score"]["per_class"][name]["ap"] is None for name in missing)
    assert report["intervals"]["resamples"] == 30 and report["intervals"]["confidence"] == 0.95
    names = set(report["intervals"]["values"])
    assert {"ap", "ap50", "ap_small", "accuracy", "class Car"} | {f"bin {name}" for name in score.bins} <= names
    assert report["confusion"]["names"][-1] == "background"
    assert set(report["best_f1"]) == set(dataset.classes)
    assert sum(map(sum, report["confusion"]["counts"][:-1])) == score.num_objects


def test_val_takes_limits_and_drops_ignored_regions(
    weights: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(*more: object) -> dict[str, Any]:
        score: dict[str, Any] = val(weights, data, capsys, "--bootstrap", 0, *more)["score"]
        return score

    plain = found()
    assert found("--score", 0.001, "--iou", 0.6, "--max-per-class", 100, "--ignored", "ignore") == plain
    assert found("--score", 1.0)["recall"] == 0 < plain["recall"]
    assert found("--max-per-class", 1)["recall"] < plain["recall"]
    assert found("--soft-nms")["ap"] != plain["ap"]
    monkeypatch.setattr(Dataset, "without_ignored", lambda self: self.taking([0]))
    assert found("--ignored", "drop")["num_images"] == 1 < found("--ignored", "ignore")["num_images"]


@pytest.mark.slow
def test_val_in_slices(weights: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = val(weights, data, capsys, "--tile", "96x128", "--overlap", 0.1, "--tile-whole", "--bootstrap", 0)
    tiling = Tiling(tile_hw=(96, 128), overlap=0.1, whole=True)
    score = evaluate(load_weights(weights).detector(), open_data(data).val, tiling=tiling)
    assert report["tiling"] == {"tile_hw": [96, 128], "overlap": 0.1, "whole": True}
    assert run("val", weights, "--data", data, "--tile", 5000, "--bootstrap", 0, *FAST) == 0
    assert "note: --tile has no effect: no val image is larger than 5000x5000 px" in capsys.readouterr().err
    assert report["score"]["ap"] == score.ap > 0.01 and report["score"]["f1"] == score.f1
    assert score.ap != evaluate(load_weights(weights).detector(), open_data(data).val).ap
    assert report["intervals"] is None


def test_val_writes_curves(weights: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = val(weights, data, capsys, "--curves", tmp_path / "curves", "--bootstrap", 0)
    written = {path.name for path in (tmp_path / "curves").iterdir()}
    assert {"precision_recall.csv", "thresholds.csv", "confusion.csv"} <= written
    assert {Path(path).name for path in report["curves"]} == written
    rows = list(csv.DictReader((tmp_path / "curves" / "thresholds.csv").open()))
    assert {row["class"] for row in rows} == {"all", *open_data(DATA).val.classes}


def test_val_prints_tables(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("val", weights, "--data", DATA, "--bins", "tinyperson", "--bootstrap", 20, *FAST) == 0
    printed = capsys.readouterr().out
    for text in (
        "AP_small %",
        "recall %",
        "P %",
        "R %",
        "tiny1",
        "AP25 %",
        "95 %",
        "object / detected as",
        "variation between trainings",
        "best F1",
    ):
        assert text in printed


def test_val_counts_images_that_cannot_be_read(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(DATA, tmp_path / "data")
    (tmp_path / "data" / "images" / "val" / IMAGES[0].name).write_bytes(b"no image")
    arguments = ("val", weights, "--data", tmp_path / "data", "--bootstrap", 0, *FAST)
    assert run(*arguments, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["score"]["num_unreadable"] == 1 and IMAGES[0].name in report["unreadable"][0]
    assert run(*arguments) == 0
    assert "1 of 2 images could not be read" in capsys.readouterr().out


def test_val_takes_folders_of_weights(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("front", "weights"):
        (tmp_path / "run" / name).mkdir(parents=True)
    shutil.copy(weights, tmp_path / "run" / "weights" / "abc.pt")
    (tmp_path / "run" / "front" / "01-abc.yaml").touch()
    (tmp_path / "run" / "front" / "02-def.yaml").touch()
    wanted = tmp_path / "run" / "weights" / "abc.pt"
    assert weights_file(tmp_path / "run") == weights_file(tmp_path / "run" / "front" / "01-abc.yaml") == wanted
    assert weights_file(weights.parent) == weights_file(weights) == weights
    first, second = (val(each, DATA, capsys, "--bootstrap", 0)["score"] for each in (weights.parent, tmp_path / "run"))
    assert first == second
    untrained = tmp_path / "run" / "front" / "02-def.yaml"
    assert run("val", untrained, "--data", DATA) == 2
    assert f"without trained weights; next: nas train {untrained}" in capsys.readouterr().err
    assert run("val", tmp_path / "run" / "front", "--data", DATA) == 2
    assert "is a folder without weights: no training, run or export; give one" in capsys.readouterr().err


def test_predict_takes_folders_and_leaves_broken_pictures_out(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    shutil.copytree(IMAGES[0].parent, folder)
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "notes.txt").write_text("not looked at")
    assert predict(weights, tmp_path / "out", folder, "--json") == 0
    printed = capsys.readouterr()
    entries = json.loads(printed.out)
    assert [Path(entry["image"]).name for entry in entries] == [path.name for path in IMAGES]
    assert all(set(entry) == {"image", "picture", "detections"} and len(entry["detections"]) == 5 for entry in entries)
    notes = [line for line in printed.err.splitlines() if line.startswith("note:")]
    assert len(notes) == 2 and "broken.mp4" in notes[0] and "broken.png" in notes[1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{path.stem}.png" for path in IMAGES]
    assert predict(weights, tmp_path / "again", folder, "--no-pictures") == 0
    assert "broken.png: left out" in capsys.readouterr().out and not (tmp_path / "again").exists()


def frames_of(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    capture.release()
    return frames


def test_predict_writes_a_video(weights: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(weights, tmp_path, video, "--batch", 3, "--json") == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["frame"] for entry in entries] == [1, 2, 3, 4, 5, 6, 7]
    assert {entry["image"] for entry in entries} == {str(video)}
    (written,) = tmp_path.iterdir()
    assert str(written) == entries[0]["picture"] and written.stem == "clip"
    frames = frames_of(written)
    assert len(frames) == 7 and frames[0].shape == (48, 80, 3)
    assert predict(weights, tmp_path, video) == 0
    assert "clip.avi: 7 frames, " in capsys.readouterr().out


def test_predict_without_a_codec_writes_frames(
    weights: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoCodec:
        fourcc = staticmethod(lambda *letters: 0)

        def __init__(self, *settings: object) -> None:
            pass

        def isOpened(self) -> bool:  # noqa: N802  the name of OpenCV
            return False

    monkeypatch.setattr(cv2, "VideoWriter", NoCodec)
    assert predict(weights, tmp_path, video) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]
    assert sorted(path.name for path in (tmp_path / "clip").iterdir()) == [f"{n:06d}.png" for n in range(1, 8)]


def test_ctrl_c_keeps_what_is_whole(
    weights: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import trainers.tiling

    calls, real = [], trainers.tiling.detect_all

    def interrupted(*arguments: Any, **settings: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:  # one picture, then frames two by two
            raise KeyboardInterrupt
        return real(*arguments, **settings)

    monkeypatch.setattr("trainers.tiling.detect_all", interrupted)
    results = tmp_path / "results.json"
    out = tmp_path / "out"
    assert predict(weights, out, IMAGES[0], video, IMAGES[1], "--batch", 2, "--save-json", results, "--json") == 130
    assert len(json.loads(capsys.readouterr().out)) == 7, "the list so far"
    assert sorted(path.suffix for path in out.iterdir()) in ([".mp4", ".png"], [".avi", ".png"])
    assert len(frames_of(next(path for path in out.iterdir() if path.stem == "clip"))) == 6
    assert len({entry["image_id"] for entry in json.loads(results.read_text())}) == 7


def test_results_in_coco_format(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotations = DATA / "annotations" / "instances_val.json"
    results = tmp_path / "results.json"
    arguments = (*IMAGES, "--no-pictures", "--json", "--save-json", results, "--max-detections", 60)
    assert predict(weights, tmp_path, *arguments, "--ids", annotations) == 0
    entries, content = json.loads(capsys.readouterr().out), json.loads(annotations.read_text())
    made = json.loads(results.read_text())
    names = {each["id"]: Path(each["file_name"]).name for each in content["images"]}
    classes = {each["id"]: each["name"] for each in content["categories"]}
    wanted = [(Path(entry["image"]).name, each) for entry in entries for each in entry["detections"]]
    assert len(made) == len(wanted) > 20 and any(result["bbox"][0] > 20 for result in made)
    for result, (name, detection) in zip(made, wanted, strict=True):
        assert set(result) == {"image_id", "category_id", "bbox", "score"}
        assert names[result["image_id"]] == name and classes[result["category_id"]] == detection["class"]
        x, y, width, height = result["bbox"]
        assert [x, y, x + width, y + height] == pytest.approx(detection["box"], abs=0.02)
    assert predict(weights, tmp_path, *arguments) == 0
    plain = json.loads(results.read_text())
    assert {result["image_id"] for result in plain} == {path.stem for path in IMAGES}
    numbers = {name: index for index, name in enumerate(open_data(DATA).val.classes, 1)}
    detections = [each for entry in json.loads(capsys.readouterr().out) for each in entry["detections"]]
    assert [result["category_id"] for result in plain] == [numbers[each["class"]] for each in detections]


def test_predict_in_slices_finds_the_same_in_a_small_picture(
    weights: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for more in ((), ("--tile", 80), ("--tile", 40)):
        assert predict(weights, tmp_path, video, "--no-pictures", "--json", *more) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1] != found[2]


def test_pictures_of_equal_names_do_not_overwrite_each_other(weights: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(IMAGES[0], tmp_path / name / "same.jpg")
    assert predict(weights, tmp_path / "out", tmp_path / "a", tmp_path / "b") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["same-2.png", "same.png"]


def test_the_list_of_results_gets_its_folder(weights: Path, tmp_path: Path) -> None:
    results = tmp_path / "new" / "folder" / "results.json"
    assert predict(weights, tmp_path / "out", IMAGES[0], "--no-pictures", "--save-json", results) == 0
    assert len(json.loads(results.read_text())) == 5
