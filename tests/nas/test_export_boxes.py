"""ONNX files with suppression inside: what they find, how they are read, and their configuration of DeepStream."""

from __future__ import annotations

import configparser
import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from test_export_onnx import HEADS, KIT, lively, made, noise
from test_one_to_one_reading import dual
from val_predict_fakes import run

from nas.exporters import deepstream
from nas.exporters.entry_files import description
from nas.exporters.onnx_model import OnnxOptions, difference, run_onnx, write_onnx
from nas.exporters.onnx_suppression import EFFICIENT, METADATA, with_suppression, without_suppression
from search_space import Detector, lower
from search_space.errors import ConfigError

DECODED, BOXES = OnnxOptions(form="decoded"), OnnxOptions(form="boxes")
CLASSES = ("a", "b;c", "Fußgänger")


@pytest.mark.slow(but=("anchor_free",))
@pytest.mark.parametrize("head", ["anchor_free", "ssd", "dual"])
def test_the_boxes_are_those_that_the_script_suppresses(head: str, kit: ModuleType) -> None:
    detector = lively(Detector(lower(dual(96), num_classes=3))) if head == "dual" else made(HEADS[head], SIDES[head])
    files, image = write_onnx(detector, BOXES), noise(detector)
    assert difference(detector, files, BOXES, image) < 1e-5
    outputs = run_onnx(files["model.onnx"], {"image": image})
    told, decoded = (json.loads(json.dumps(description(detector, CLASSES, each))) for each in (BOXES, DECODED))
    assert [list(each.shape) for each in outputs] == told["output_shapes"] and told["nms"] is False
    assert told["output_names"] == ["boxes", "scores", "labels"] and "anchors" not in told
    before = run_onnx(without_suppression(files["model.onnx"]), {"image": image})
    for threshold in (0.01, float(np.median(outputs[1][outputs[1] > 0]))):
        found, expected = (kit.detections(*each, threshold=threshold) for each in ((outputs, told), (before, decoded)))
        assert len(found[0]) > 5 and all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


SIDES = {"anchor_free": 96, "ssd": None}


def decoded_file(num_boxes: int, num_classes: int, opset: int) -> bytes:
    """A file that gives its inputs back as decoded boxes and scores."""
    shapes = {"boxes": [1, num_boxes, 4], "scores": [1, num_boxes, num_classes]}
    nodes = [helper.make_node("Identity", [f"given_{name}"], [name]) for name in shapes]
    ends = [
        [helper.make_tensor_value_info(a + n, TensorProto.FLOAT, s) for n, s in shapes.items()] for a in ("given_", "")
    ]
    graph = helper.make_graph(nodes, "g", *ends)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(model.SerializeToString())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 4), st.sampled_from([13, 18, 20]), st.integers(0, 2**32 - 1))
def test_any_table_is_suppressed_as_the_script_does(num_boxes: int, num_classes: int, opset: int, seed: int) -> None:
    kit = importlib.util.module_from_spec(importlib.util.spec_from_file_location("postprocess", KIT))  # type: ignore
    kit.__spec__.loader.exec_module(kit)  # type: ignore[union-attr]
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 50, (1, num_boxes, 2))
    boxes = np.concatenate((corners, corners + rng.uniform(-1, 30, (1, num_boxes, 2))), 2).astype(np.float32)
    scores = rng.random((1, num_boxes, num_classes), np.float32)
    file = with_suppression(decoded_file(num_boxes, num_classes, opset), "onnx", num_classes)
    outputs = run_onnx(file, {"given_boxes": boxes, "given_scores": scores})
    told = {"head": "ssd", "outputs": "boxes", "nms": False, "nms_operator": "onnx"}
    found = kit.detections(outputs, told, threshold=0.05)
    expected = kit.detections([boxes, scores], {"head": "ssd", "outputs": "decoded"}, threshold=0.05)
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def test_the_plug_in_gets_the_candidates_and_is_read(kit: ModuleType) -> None:
    content = with_suppression(decoded_file(20, 3, 13), "efficient", 3)
    graph = onnx.load_from_string(content).graph
    (node,) = [each for each in graph.node if each.op_type == "EfficientNMS_TRT"]
    settings_of = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    assert settings_of["iou_threshold"] == pytest.approx(0.6) and settings_of["score_threshold"] == pytest.approx(0.001)
    assert settings_of["background_class"] == -1 and settings_of["box_coding"] == 0
    assert settings_of["score_activation"] == 0 and settings_of["max_output_boxes"] == 20
    assert node.domain == "TRT" and tuple(node.output) == EFFICIENT == tuple(each.name for each in graph.output)
    boxes = np.array([[[0, 0, 9, 9], [1, 1, 5, 5], [7, 7, 7, 7]]], np.float32)
    outputs = [
        np.array([[2]], np.int32),
        boxes,
        np.array([[0.9, 0.2, 0.8]], np.float32),
        np.array([[2, 1, 0]], np.int32),
    ]
    told = {"head": "ssd", "outputs": "boxes", "nms": False, "nms_operator": "efficient"}
    found = kit.detections(outputs, told, threshold=0.1)
    assert found[0].tolist() == boxes[0, :2].tolist() and found[2].tolist() == [2, 1]
    assert kit.detections([np.array([[-1]], np.int32), *outputs[1:]], told)[0].shape == (0, 4)


@pytest.mark.parametrize(
    ("head", "nms", "told"),
    [("two_stage", None, "--outputs raw"), ("two_stage", "efficient", "--outputs raw"), ("dual", "onnx", "drop it")],
)
def test_heads_that_it_does_not_apply_to_are_refused(head: str, nms: str | None, told: str) -> None:
    detector = Detector(lower(dual(96), num_classes=3)) if head == "dual" else made(HEADS[head], 128)
    with pytest.raises(ConfigError, match=told):
        write_onnx(detector, OnnxOptions(form="boxes", nms=nms))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"nms": "onnx"}, "--outputs boxes"),
        ({"nms": "soft"}, "onnx, efficient"),
        ({"form": "boxes", "precision": "int8"}, "--outputs decoded"),
    ],
)
def test_options_that_do_not_fit_are_refused(words: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        OnnxOptions(**words)  # type: ignore[arg-type]


@pytest.mark.slow
def test_an_export_has_a_configuration_of_deepstream(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("export", "yolov8n-p2-nop5", "--input", 64, 96, "--num-classes", 2, "--outputs", "boxes")
    assert run(*words, "--nms", "efficient", "--out", tmp_path / "out") == 0
    folder = tmp_path / "out" / "yolov8n-p2-nop5"
    assert {each.name for each in folder.iterdir()} >= {"config_infer.txt", "labels.txt", "parse_boxes.cpp"}
    told = json.loads((folder / "detector.json").read_text())
    metadata = onnx.load(folder / "model.onnx").metadata_props
    assert {each.key: json.loads(each.value) for each in metadata} == {METADATA: told}
    assert "note on DeepStream: nvinfer pads" in capsys.readouterr().out


def test_the_configuration_states_the_preprocessing() -> None:
    told = {"fit": "letterbox", "input_hw": [64, 96], "classes": list(CLASSES)}
    files = deepstream.deepstream_files(told)
    read = configparser.ConfigParser()
    read.read_string(files["config_infer.txt"])
    found = dict(read["property"])
    assert float(found["net-scale-factor"]) * 255 == 1 and found["offsets"] == "0;0;0"
    assert found["model-color-format"] == "0" and found["infer-dims"] == "3;64;96" and found["network-type"] == "0"
    assert found["maintain-aspect-ratio"] == found["symmetric-padding"] == "1" and found["cluster-mode"] == "4"
    assert found["num-detected-classes"] == "3" and files["labels.txt"] == "a\nb,c\nFußgänger\n"
    assert "pads a letterboxed frame with black" in files["config_infer.txt"]
    stretched = deepstream.deepstream_files({**told, "fit": "stretch"})["config_infer.txt"]
    assert "maintain-aspect-ratio=0\n" in stretched and "symmetric" not in stretched and "black" not in stretched
    deep = {**told, "pixel_range": [7000, 8000]}
    assert deepstream.deepstream_files(deep) == {} and "8 bits" in deepstream.deepstream_notes(deep)[0]


HEADER = """// A stand-in for the header of DeepStream: the fields of its documentation that are used here.
#pragma once
#include <vector>
enum NvDsInferDataType { FLOAT = 0, HALF = 1, INT8 = 2, INT32 = 3 };
struct NvDsInferDims { unsigned numDims; unsigned d[8]; unsigned numElements; };
struct NvDsInferLayerInfo { NvDsInferDataType dataType; NvDsInferDims inferDims; const char* layerName; void* buffer; };
struct NvDsInferNetworkInfo { unsigned width, height, channels; };
struct NvDsInferObjectDetectionInfo { unsigned classId; float left, top, width, height, detectionConfidence; };
typedef NvDsInferObjectDetectionInfo NvDsInferParseObjectInfo;
struct NvDsInferParseDetectionParams { unsigned numClassesConfigured; std::vector<float> perClassPreclusterThreshold; };
#define CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(f) static_assert(sizeof(&f) > 0, "")
"""
PROGRAM = """#include <cstdio>
#include "parse_boxes.cpp"
int main(int count, char**) {
    float boxes[] = {-5, 1, 20, 9, 3, 3, 8, 60, 1, 1, 2, 2, 0, 0, 0, 0};
    float scores[] = {0.9f, 0.5f, 0.2f, 0}, labels[] = {1, 0, 1, 0};
    int whole[] = {1, 0, 1, 0}, number = 1;
    bool plug_in = count > 1;
    std::vector<NvDsInferLayerInfo> layers = {
        {FLOAT, {1, {4}, 4}, plug_in ? "detection_scores" : "scores", scores},
        {plug_in ? INT32 : FLOAT, {1, {4}, 4}, plug_in ? "detection_classes" : "labels",
         plug_in ? (void*)whole : (void*)labels},
        {FLOAT, {2, {4, 4}, 16}, plug_in ? "detection_boxes" : "boxes", boxes}};
    if (plug_in) layers.push_back({INT32, {1, {1}, 1}, "num_detections", &number});
    std::vector<NvDsInferParseObjectInfo> objects;
    if (!NvDsInferParseBoxes(layers, {96, 48, 3}, {2, {0.3f, 0.3f}}, objects)) return 1;
    for (auto& each : objects)
        std::printf("%u %g %g %g %g %g\\n", each.classId, each.left, each.top, each.width, each.height,
                    each.detectionConfidence);
}
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_the_parser_hands_over_what_is_above_the_threshold(tmp_path: Path) -> None:
    (tmp_path / "nvdsinfer_custom_impl.h").write_text(HEADER)
    (tmp_path / "main.cpp").write_text(PROGRAM)
    shutil.copy(KIT.parent / "deepstream" / "parse_boxes.cpp", tmp_path)
    words = ["g++", "-std=c++14", "-Wall", "-Werror", "-I.", "main.cpp", "-o", "main"]
    subprocess.run(words, cwd=tmp_path, check=True)
    found = [
        subprocess.run([str(tmp_path / "main"), *more], capture_output=True, text=True, check=True).stdout.splitlines()
        for more in ([], ["plug-in"])
    ]
    assert found == [["1 0 1 20 8 0.9", "0 3 3 5 45 0.5"], ["1 0 1 20 8 0.9"]]
