"""`nas val` and `nas predict` run an exported ONNX file and find what PyTorch finds, for every head."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from test_export_onnx import HEADS, lively
from test_one_to_one_reading import dual
from val_predict_fakes import DATA, FAST, IMAGES, make_weights, run

import nas
from nas.exporters.onnx_detector import OnnxDescription, OnnxDetector, model_in
from search_space import DESIGNS, Architecture, Detector, lower
from search_space.errors import ConfigError
from trainers import save_weights
from trainers.data import open_data
from trainers.detect import Detections, detect, evaluation_mode
from trainers.heads import DetectionLimits

CLASSES = open_data(DATA).val.classes
CASES = {
    "anchor_free": (HEADS["anchor_free"], 64, "raw"),
    "anchor_free decoded": (HEADS["anchor_free"], 64, "decoded"),
    "dual": ("dual", 96, "raw"),
    "dual decoded": ("dual", 96, "decoded"),
    "ssd": (HEADS["ssd"], 260, "raw"),
    "ssd decoded": (HEADS["ssd"], 260, "decoded"),
    "two_stage": (HEADS["two_stage"], 128, "raw"),
}
LIMITS = {
    "as in nas val": DetectionLimits(score_threshold=0.001, max_detections=100),
    "as in nas predict": DetectionLimits(score_threshold=0.1, one_class=True),
    "soft": DetectionLimits(score_threshold=0.05, iou_threshold=0.4, soft_nms=True, max_per_class=5),
}


def architecture_of(name: str, side: int) -> Architecture:
    return dual(side) if name == "dual" else DESIGNS.get(name).architecture.resized((side, side))


@cache
def detector_of(name: str, side: int) -> Detector:
    torch.manual_seed(0)
    return lively(Detector(lower(architecture_of(name, side), num_classes=len(CLASSES))))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Returns the folder of a case, which is exported once."""

    @cache
    def of(case: str) -> Path:
        name, side, form = CASES[case]
        folder = tmp_path_factory.mktemp("exported")
        detector, architecture = detector_of(name, side), architecture_of(name, side)
        save_weights(folder / "weights.pt", detector, architecture.to_dict(), CLASSES)
        architecture.to_yaml(folder / "architecture.yaml")
        (member,) = nas.export(
            folder / "architecture.yaml", out=folder / "out", weights=folder / "weights.pt", outputs=form
        ).front
        return member.path.parent

    return of


def pictures() -> list[np.ndarray]:
    data = open_data(DATA).val
    return [data.image(index) for index in range(2)]


def assert_same(found: Detections, wanted: Detections) -> None:
    """Holds that two lists of detections are the same, but for a few of nearly equal scores."""
    assert len(found) > 0 and abs(len(found) - len(wanted)) <= 0.1 * len(wanted)
    num_same = 0
    for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True):
        apart = np.abs(wanted.boxes - box).max(axis=1) + 1e3 * np.abs(wanted.scores - score)
        num_same += apart[wanted.labels == label].min(initial=9.0) < 1
    assert num_same >= 0.8 * len(found), num_same / len(found)


@pytest.mark.slow(but=("as in nas val-anchor_free", "as in nas val-dual decoded"))
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("limits", LIMITS)
def test_onnx_finds_what_pytorch_finds(case: str, limits: str, exported: Any) -> None:
    name, side, form = CASES[case]
    if limits == "soft" and case == "dual decoded":
        pytest.skip("the graph has chosen 300 boxes before suppression")
    network, runner = detector_of(name, side), OnnxDetector(exported(case) / "model.onnx")
    assert runner.input_hw == (side, side) and runner.fit == network.input_format.fit
    with evaluation_mode(network):
        wanted = detect(network, pictures(), input_hw=(side, side), limits=LIMITS[limits])
    found = detect(runner, pictures(), input_hw=(side, side), limits=LIMITS[limits])
    for pair in zip(found, wanted, strict=True):
        assert_same(*pair)


def test_val_takes_the_file_and_the_folder(exported: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = exported("anchor_free")
    options = ("--data", DATA, "--bootstrap", 0, "--bins", "quantiles:2", "--tile", 100, "--json", *FAST)
    reports = {}
    for place in (folder / "weights.safetensors", folder / "model.onnx", folder, folder.parent):
        capsys.readouterr()
        assert run("val", place, *options) == 0
        told = capsys.readouterr()
        reports[place] = json.loads(told.out)
        assert ("is run by ONNX Runtime" in told.err) == place.is_dir()
    torch_report, *others = reports.values()
    assert torch_report["runtime"] == "PyTorch"
    for report in others:
        assert report["weights"] == str(folder / "model.onnx")
        assert report["runtime"] == "ONNX Runtime, CPUExecutionProvider"
        assert report["score"]["num_objects"] == torch_report["score"]["num_objects"]
        assert report["score"].keys() == torch_report["score"].keys()
        assert report["score"]["ap50"] == pytest.approx(torch_report["score"]["ap50"], abs=1e-3)
        assert report["score"]["recall"] == pytest.approx(torch_report["score"]["recall"], abs=1e-2)


def test_predict_takes_the_file(exported: Any, tmp_path: Path) -> None:
    folder = exported("anchor_free")
    found = {
        place: nas.predict(folder / place, IMAGES[0], score=0.3, max_detections=5)
        for place in ("model.onnx", "weights.safetensors")
    }
    assert found["model.onnx"].weights == folder / "model.onnx"
    for each, wanted in zip(*(found[name][0].detections for name in found), strict=True):
        assert each.score == pytest.approx(wanted.score, abs=1e-4) and each.class_name in CLASSES
    assert run("predict", folder, IMAGES[0], "--out", tmp_path, *FAST) == 0 and any(tmp_path.iterdir())


def copied(folder: Path, out: Path, **changed: object) -> Path:
    """Copies an exported folder with other values in its description; returns the model."""
    described = json.loads((folder / "detector.json").read_text())
    (out / "detector.json").write_text(json.dumps({**described, **changed}))
    (out / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    return out / "model.onnx"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"classes": []}, "has no valid classes"),
        ({"classes": ["\ud800"]}, "has no valid classes"),
        ({"input_hw": [64]}, "has no valid input_hw"),
        ({"input_hw": [32, 32]}, "has other inputs or outputs than detector.json"),
        ({"output_shapes": [[1, 2, 3, 4]]}, "has other inputs or outputs than detector.json"),
        ({"fit": "crop"}, "has no valid fit"),
        ({"head": "centre"}, "has no valid head"),
        ({"reg_max": None}, "has no valid reg_max"),
        ({"reg_max": 7}, "cannot be read as detector.json says"),
        ({"pixel_range": [1]}, "has no valid pixel_range"),
        ({"suppression": {"iou": 3}}, "has no valid suppression"),
    ],
)
def test_a_wrong_description_is_one_line(
    changed: dict[str, object], said: str, exported: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = copied(exported("anchor_free"), tmp_path, **changed)
    assert run("val", model, "--data", DATA, *FAST) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert said in line and "next: export" in line


def test_what_is_missing_is_one_line(exported: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = copied(exported("two_stage"), tmp_path)
    with pytest.raises(ConfigError, match="needs second_stage.onnx beside it"):
        OnnxDetector(model)
    (tmp_path / "detector.json").write_text("[")
    with pytest.raises(ConfigError, match="is no JSON"):
        OnnxDescription.read(tmp_path / "detector.json")
    (tmp_path / "detector.json").unlink()
    assert run("val", model, "--data", DATA, *FAST) == 2
    assert "has no detector.json beside it" in capsys.readouterr().err.splitlines()[-1]
    assert model_in(model) is None and model_in(tmp_path) is None
    with pytest.raises(ConfigError, match="takes 64 64 alone"):
        nas.evaluate(exported("anchor_free"), data=DATA, input_hw=(96, 96))
    with pytest.raises(ConfigError, match="--device cpu"):
        nas.evaluate(exported("anchor_free"), data=DATA, device="cuda")


def test_a_damaged_model_is_one_line(exported: Any, tmp_path: Path) -> None:
    model = copied(exported("anchor_free"), tmp_path)
    model.write_bytes(b"no model")
    with pytest.raises(ConfigError, match="ONNX Runtime cannot open"):
        OnnxDetector(model)
    graph = onnx.load(exported("anchor_free") / "model.onnx")
    graph.graph.input[0].name = "picture"
    graph.graph.node[0].input[0] = "picture"
    onnx.save(graph, model)
    with pytest.raises(ConfigError, match="has other inputs or outputs"):
        OnnxDetector(model)


def test_weights_without_an_export_are_run_by_pytorch(tmp_path: Path) -> None:
    assert nas.evaluate(make_weights(tmp_path), data=DATA, bootstrap=0).runtime == "PyTorch"


def test_an_export_with_data_states_the_accuracy_of_the_file(
    exported: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = exported("anchor_free")
    weights = ("--weights", folder / "weights.safetensors")
    options = ("--data", DATA, "--val-images", 1, "--json")
    capsys.readouterr()
    assert run("export", folder / "architecture.yaml", *weights, "--out", tmp_path / "out", *options) == 0
    (told,) = json.loads(capsys.readouterr().out)["front"]
    assert told["accuracy"] == json.loads((tmp_path / "out" / told["name"] / "cost.json").read_text())["accuracy"]
    measured = told["accuracy"]
    assert (measured["part"], measured["num_images"]) == ("val", 1)
    assert measured["runtime"] == "ONNX Runtime, CPUExecutionProvider"
    alone = nas.evaluate(folder, data=DATA, bootstrap=0).score
    assert measured["num_images_of_part"] == alone.num_images == 2
    assert measured["onnx"]["ap50"] == pytest.approx(measured["pytorch"]["ap50"], abs=1e-3)
    card = (tmp_path / "out" / told["name"] / "README.md").read_text()
    assert "| measured | PyTorch | ONNX, fp32 |" in card and "1 evenly spaced ones of the 2 validation images" in card
    (member,) = nas.export(folder / "architecture.yaml", weights=weights[1], out=tmp_path / "all", data=DATA).front
    assert member.accuracy is not None and member.accuracy["onnx"]["ap50"] == pytest.approx(alone.ap50, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--data", DATA), "has no trained weights, so there is nothing to measure"),
        (("--val-images", 3), "--val-images is of the data that is measured on"),
        (("--data", DATA, "--format", "yaml"), "--data measures the ONNX file"),
    ],
)
def test_options_of_the_measurement_that_do_not_apply_are_one_line(
    options: tuple[object, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("export", "yolov8n-p2-nop5", "--input", 64, 64, "--out", tmp_path / "out", *options) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
