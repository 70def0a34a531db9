"""Loading, predicting and evaluating from Python: arrays, drawings, and the objects that stand for weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow
from val_predict_fakes import DATA, IMAGES, make_weights

import nas
from nas.api.load import LoadedDetector
from nas.api.predict import Prediction, PredictionList
from nas.api.result import ProgressUpdate
from search_space.errors import ConfigError, DataError
from trainers.data import read_rgb

QUICK = {"score": 0.0, "max_detections": 5, "threads": 1}


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> LoadedDetector:
    loaded = nas.load(make_weights(tmp_path_factory.mktemp("weights")).parent)
    assert isinstance(loaded, LoadedDetector)
    return loaded


@pytest.fixture(scope="module")
def predictions(detector: LoadedDetector) -> PredictionList:
    return nas.predict(detector, IMAGES[0], **QUICK)


def test_a_loaded_detector_knows_what_it_is(detector: LoadedDetector) -> None:
    assert detector.input_hw == (64, 64) and detector.num_classes == len(detector.classes) > 1
    assert detector.architecture.key() == nas.load(detector.weights).architecture.key()  # type: ignore[union-attr]
    assert nas.explain(detector).num_classes == detector.num_classes
    assert not detector.module().training


def test_load_tells_architectures_from_weights(tmp_path: Path, detector: LoadedDetector) -> None:
    path = tmp_path / "a.yaml"
    detector.architecture.to_yaml(path)
    assert nas.load(path) == detector.architecture
    assert nas.load("yolov8n") == nas.DESIGNS.get("yolov8n").architecture
    with pytest.raises(ConfigError, match="yolov8n"):
        nas.load("yolo8n")
    with pytest.raises(ConfigError, match=r"none\.pt"):
        nas.load(tmp_path / "none.pt")


def test_an_array_is_found_like_its_file(detector: LoadedDetector, predictions: PredictionList) -> None:
    array = read_rgb(IMAGES[0])
    (found,) = detector.predict(array, **QUICK)
    assert found.detections == predictions[0].detections and len(found.detections) == 5
    assert found.image is None and predictions[0].image == IMAGES[0]
    assert len(nas.predict(detector, [array, str(IMAGES[1])], **QUICK)) == 2


def test_a_prediction_is_drawn(predictions: PredictionList) -> None:
    (prediction,) = predictions
    drawn = prediction.draw()
    assert isinstance(drawn, pillow.Image) and (np.asarray(drawn) != prediction.pixels()).any()
    assert prediction._repr_png_().startswith(b"\x89PNG")
    assert list(predictions.frame["class"]) == [each.class_name for each in prediction.detections]
    assert "<table" in (predictions._repr_html_() or "")


def test_no_detection_is_a_table_without_rows(detector: LoadedDetector) -> None:
    frame = detector.predict(IMAGES[0], score=1.0, threads=1).frame
    assert len(frame) == 0 and list(frame) == ["image", "frame", "class", "score", "x1", "y1", "x2", "y2"]


def test_frames_of_a_video_are_read_again(detector: LoadedDetector, tmp_path: Path) -> None:
    import cv2

    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (80, 48))
    for number in range(3):
        writer.write(np.full((48, 80, 3), 80 * number, np.uint8))
    writer.release()
    updates: list[ProgressUpdate] = []
    found = nas.predict(detector, path, batch=2, on_progress=updates.append, **QUICK)
    assert [each.frame for each in found] == [1, 2, 3] and abs(int(found[2].pixels().mean()) - 160) < 5
    assert [each.done for each in updates] == [2, 3] and updates[-1].total == 3


@pytest.mark.parametrize(
    "array", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((0, 8, 3), np.uint8), 3]
)
def test_what_is_no_image_is_refused(array: Any, detector: LoadedDetector) -> None:
    with pytest.raises(DataError):
        nas.predict(detector, array)


@pytest.mark.parametrize("given", [3, None, {"architecture": 3}])
def test_what_is_no_architecture_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="cannot be"):
        nas.explain(given)


@pytest.mark.parametrize("option", [{"score": 1.5}, {"iou": -1.0}, {"batch": 0}, {"max_detections": 0}, {"threads": 0}])
def test_numbers_out_of_range_are_refused(option: dict[str, float], detector: LoadedDetector) -> None:
    with pytest.raises(ConfigError):
        nas.predict(detector, IMAGES[0], **option)  # type: ignore[arg-type]


def test_an_evaluation_has_scores_and_progress(detector: LoadedDetector) -> None:
    updates: list[ProgressUpdate] = []
    notices: list[str] = []
    result = detector.evaluate(
        data=DATA, part="train", bootstrap=10, threads=1, on_progress=updates.append, on_notice=notices.append
    )
    assert result.score.num_images == updates[-1].done == updates[-1].total and notices[0].startswith("data: ")
    assert list(result.frame.index) == ["all", *detector.classes] and result.curves is None
    assert result.to_dict()["intervals"]["resamples"] == 10
    with pytest.raises(ConfigError, match="unknown part"):
        detector.evaluate(data=DATA, part="tests")


def test_what_was_not_trained_has_no_weights() -> None:
    class Untrained:
        weights = None

    with pytest.raises(ConfigError, match="no weights"):
        nas.predict(Untrained(), IMAGES[0])


def test_a_folder_of_one_image_is_an_entry(predictions: PredictionList) -> None:
    assert isinstance(predictions[0], Prediction) and len(predictions) == 1
    entry = predictions[0].to_dict()
    assert entry["image"] == str(IMAGES[0]) and set(entry["detections"][0]) == {"class", "score", "box"}
