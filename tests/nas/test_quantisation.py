"""INT8: what is quantised and how, what is left in floats, the calibration cache, and the export."""

from __future__ import annotations

import json
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from test_export_onnx import HEADS, lively
from test_one_to_one_reading import dual
from val_predict_fakes import DATA, IMAGES, make_weights, run

import nas
from nas.exporters.onnx_model import OnnxOptions, run_onnx, write_onnx
from nas.exporters.quantisation import METHODS, QUANTISED, CalibrationRanges, NetworkParts, calibrate, quantised
from nas.exporters.quantisation_loss import PartLosses, detection_loss, kept_parts
from search_space import DESIGNS, Detector, lower
from search_space.errors import ConfigError
from trainers.detect import Detections

SIDES = {HEADS["anchor_free"]: 64, HEADS["ssd"]: 260, HEADS["two_stage"]: 128, "dual": 96, "yolo11n": 64}


@cache
def written(name: str, form: Any = "raw") -> tuple[Detector, bytes, NetworkParts]:
    side = SIDES[name]
    architecture = dual(side) if name == "dual" else DESIGNS.get(name).architecture.resized((side, side))
    torch.manual_seed(0)
    detector = lively(Detector(lower(architecture, num_classes=3)))
    model = write_onnx(detector, OnnxOptions(form=form))["model.onnx"]
    return detector, model, NetworkParts.of(model, [node.name for node in detector.graph.nodes])


def noise(name: str, count: int = 2) -> list[np.ndarray]:
    side = SIDES[name]
    return list(np.random.default_rng(0).random((count, 1, 3, side, side), dtype=np.float32))


@pytest.mark.slow(but=(HEADS["anchor_free"],))
@pytest.mark.parametrize("name", SIDES)
def test_each_convolution_is_in_one_part(name: str) -> None:
    detector, model, parts = written(name)
    graph = onnx.load_from_string(model).graph
    members = [node for nodes in parts.nodes.values() for node in nodes]
    assert len(members) == len(set(members))
    assert {node.name for node in graph.node if node.op_type == "Conv"} <= set(members)
    assert set(parts.nodes) <= {node.name for node in detector.graph.nodes} | {"first", "predictors", "attention"}
    assert {"first", "predictors"} <= set(parts.nodes) and ("attention" in parts.nodes) == (name == "yolo11n")
    assert sum(parts.mac_shares.values()) == pytest.approx(1)
    readers = {node.name for node in graph.node if node.op_type == "Conv"} & set(parts.nodes["predictors"])
    assert all(not any(other.input[0] in node.output for other in graph.node if other.op_type == "Conv")
               for node in graph.node if node.name in readers)  # fmt: skip
    assert set(parts.without(("first",))) == set(members) - set(parts.nodes["first"])


def test_decoded_outputs_have_a_part_of_their_own() -> None:
    _, model, parts = written(HEADS["anchor_free"], "decoded")
    names = {node.name: node.op_type for node in onnx.load_from_string(model).graph.node}
    assert "MatMul" in {names[node] for node in parts.nodes["decoding"]}
    assert {names[node] for node in parts.nodes["predictors"]} == {"Conv"}


def test_quantised_files_are_as_tensorrt_reads_them() -> None:
    name = HEADS["anchor_free"]
    _, model, parts = written(name)
    calibration = calibrate(model, noise(name), "minmax")
    content = quantised(model, calibration, parts.without(("predictors",)))
    loaded = onnx.load_from_string(content)
    onnx.checker.check_model(loaded, full_check=True)
    made = {output: node for node in loaded.graph.node for output in node.output}
    constants = {each.name: numpy_helper.to_array(each) for each in loaded.graph.initializer}
    for node in loaded.graph.node:
        is_quantised = node.op_type == "Conv" and node.name not in parts.nodes["predictors"]
        if node.op_type == "Conv":
            producers = [made[each].op_type if each in made else None for each in node.input[:2]]
            assert (producers == ["DequantizeLinear"] * 2) == is_quantised
        if node.op_type == "QuantizeLinear":
            scale, zero = constants[node.input[1]], constants[node.input[2]]
            assert zero.dtype == np.int8 and not zero.any()
            assert (scale.ndim == 1) == (node.input[0] in constants)
            if node.input[0] in constants:
                assert constants[node.input[0]].dtype == np.float32 and len(scale) == len(constants[node.input[0]])
    apart = [
        np.abs(a - b).max() / np.abs(b).max()
        for a, b in zip(*(run_onnx(each, {"image": noise(name)[0]}) for each in (content, model)), strict=True)
    ]
    assert 1e-5 < max(apart) < 0.3
    assert quantised(model, calibration, ()) == model


def test_the_calibration_cache_has_the_bits_of_each_scale() -> None:
    ranges = {"image": (0.0, 1.0), "a": (-2.54, 1.0), "never": (0.0, 0.0)}
    header, *lines = (
        CalibrationRanges(method="minmax", num_images=1, ranges=ranges, data=None).cache().decode().splitlines()
    )
    assert header.startswith("TRT-") and header.endswith("-EntropyCalibration2")
    assert lines[0] == "image: 3c010204"  # 1 / 127
    values = {name: struct.unpack(">f", bytes.fromhex(bits))[0] for name, bits in (each.split(": ") for each in lines)}
    assert values == pytest.approx({"image": 1 / 127, "a": 0.02}, rel=1e-6)


@pytest.mark.slow(but=("percentile",))
@pytest.mark.parametrize("method", METHODS)
def test_ranges_are_measured_on_the_images(method: str) -> None:
    name = HEADS["anchor_free"]
    _, model, _ = written(name)
    found = calibrate(model, noise(name), method)
    assert found.num_images == 2
    values = np.concatenate([run_onnx(model, {"image": image})[0].ravel() for image in noise(name)])
    low, high = found.ranges["level0"]
    largest = np.abs(values).max()
    if method == "minmax":
        assert (low, high) == pytest.approx((values.min(), values.max()))
    assert 0.2 * largest < max(abs(low), abs(high)) <= 1.01 * largest
    graph = onnx.load_from_string(model).graph
    maps = {node.output[0] for node in graph.node if node.op_type in QUANTISED}
    assert maps | {"image"} <= set(found.ranges)


def detections(*rows: tuple[float, ...]) -> Detections:
    table = np.asarray(rows, np.float32).reshape(-1, 6)
    return Detections(boxes=table[:, :4], scores=table[:, 4], labels=table[:, 5].astype(np.int64))


def test_the_loss_compares_boxes_scores_and_classes() -> None:
    whole = detections((0, 0, 10, 10, 0.9, 0), (20, 20, 30, 30, 0.1, 1))
    assert detection_loss([whole], [whole]) == pytest.approx(0, abs=1e-6)
    assert detection_loss([whole], [detections()]) == pytest.approx(1)
    assert detection_loss([detections()], [whole]) == 0
    assert detection_loss([whole], [detections((0, 0, 10, 10, 0.9, 1))]) == pytest.approx(1)
    assert detection_loss([whole], [detections((0, 0, 10, 10, 0.4, 0))]) == pytest.approx(1 - 0.9 * 0.5)
    assert detection_loss([whole], [detections((0, 0, 10, 5, 0.9, 0))]) == pytest.approx(1 - 0.9 * 0.5)


def test_auto_keeps_what_loses_much_and_costs_little() -> None:
    alone = {"first": 0.02, "large": 0.05, "small": 0.001, "predictors": 0.01}
    shares = {"first": 0.1, "large": 0.6, "small": 0.001, "predictors": 0.04}
    losses = PartLosses(num_images=1, every=0.1, alone=alone, mac_shares=shares)
    assert losses.chosen() == ("first", "predictors")
    assert kept_parts("auto", alone, losses) == ("first", "predictors")
    assert kept_parts("none", alone, losses) == () and kept_parts("small, large", alone, None) == ("small", "large")
    for wrong in ("head9", "", "first,head9"):
        with pytest.raises(ConfigError, match="--keep-float"):
            kept_parts(wrong, alone, None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights"))


def test_an_export_in_int8_states_what_it_did(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("yolov8n-p2-nop5", "--input", 64, 64, "--weights", trained, "--out", tmp_path / "out", "--data", DATA)
    capsys.readouterr()
    assert run("export", *given, "--precision", "int8", "--calibration-images", 2, "--val-images", 2, "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)["front"]
    folder = tmp_path / "out" / told["name"]
    int8 = told["onnx"]["int8"]
    assert told["onnx"]["precision"] == "int8" and int8["keep_float"] == "auto"
    assert int8["calibration"]["num_images"] == 2 and int8["calibration"]["method"] == "minmax"
    assert set(int8["kept_float"]) <= set(int8["losses"]["alone"]) == set(int8["mac_shares"])
    assert sum(int8["mac_shares"][name] for name in int8["kept_float"]) <= 0.15
    for name, precision in (("model.onnx", "int8"), ("model_fp32.onnx", "fp32")):
        assert (folder / name).stat().st_size == int8["bytes"][precision] == told["onnx"]["files"][name]
        assert int8["onnxruntime_cpu_ms"][precision] > 0
    assert {"pytorch", "onnx_fp32", "onnx"} <= told["accuracy"].keys()
    assert told["accuracy"]["onnx_fp32"] == pytest.approx(told["accuracy"]["pytorch"], abs=1e-3, nan_ok=True)
    operators = {node.op_type for node in onnx.load(folder / "model.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
    known = {line.split(":")[0] for line in (folder / "calibration.cache").read_text().splitlines()[1:]}
    assert "image" in known
    card = (folder / "README.md").read_text()
    assert "ONNX, int8" in card and "quantised to INT8 (QDQ)" in card and "2 of the" in card
    assert len(nas.predict(folder, IMAGES[0], score=0.01)[0].detections) > 0


def test_python_takes_the_same_words(trained: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"input_hw": (64, 64), "weights": trained, "data": DATA, "precision": "int8"}
    given |= {"keep_float": "predictors,first", "calibration_images": 1, "val_images": 1}
    (member,) = nas.export("yolov8n-p2-nop5", out=tmp_path / "out", calibration_method="minmax", **given).front
    int8 = member.report["onnx"]["int8"]
    assert int8["kept_float"] == ["predictors", "first"] and int8["losses"] is None
    assert int8["calibration"]["num_images"] == 1
    with pytest.raises(ConfigError, match="next: --calibration-method minmax"):  # a map of these weights is constant
        nas.export("yolov8n-p2-nop5", out=tmp_path / "other", calibration_method="percentile", **given)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--precision", "int8"), "--precision int8 is calibrated on training images"),
        (("--keep-float", "none"), "are of --precision int8"),
        (("--precision", "int8", "--data", DATA, "--keep-float", "head9"), "--keep-float 'head9' names no part"),
        (
            ("--precision", "int8", "--data", DATA, "--calibration-method", "best"),
            "unknown --calibration-method",
        ),
    ],
)
def test_wrong_options_are_one_line(
    options: tuple[object, ...], said: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("yolov8n-p2-nop5", "--input", 64, 64, "--weights", trained, "--out", tmp_path / "out")
    assert run("export", *given, *options) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
