"""ONNX says what PyTorch says, scales are folded where they can be, and the script for boards finds the same boxes."""

from __future__ import annotations

import json
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from nas.exporters.entry_files import description
from nas.exporters.folding import fold_scales
from nas.exporters.onnx_model import Exportable, OnnxOptions, SecondStage, difference, run_onnx, write_onnx
from search_space import DESIGNS, Detector, SearchSpace, lower
from search_space.errors import ConfigError
from search_space.input_format import FITS
from trainers.data import open_data
from trainers.data.geometry import ImageFit
from trainers.detect import evaluation_mode
from trainers.heads import DetectionLimits, head_training

KIT = Path(__file__).parents[2] / "nas" / "exporters" / "kit" / "postprocess.py"
DATA = Path(__file__).parents[1] / "data" / "hit_uav"
HEADS = {
    "anchor_free": "yolov8n-p2-nop5",
    "ssd": "ssd-mobilenetv1-s1l0",
    "two_stage": "tinydet-s",
}


def lively(detector: Detector, seed: int = 0) -> Detector:
    """Gives batch norms statistics of their own and class logits some spread, so that folding and reading are seen."""
    generator = torch.Generator().manual_seed(seed)
    for name, module in detector.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=generator)  # type: ignore[operator, union-attr]
            module.running_var.uniform_(0.5, 1.5, generator=generator)  # type: ignore[operator, union-attr]
        if name.endswith(("class_logits", "objectness")) and isinstance(module, nn.Sequential):
            module = module[-1]  # the 1x1 of a separable predictor
        if name.endswith(("class_logits", "objectness")) and module.bias is not None:
            with torch.no_grad():
                module.weight.normal_(0, 0.05, generator=generator)  # type: ignore[operator, union-attr]
                module.bias.zero_()  # type: ignore[operator, union-attr]
    return detector.eval()


def made(name: str, side: int | None = None) -> Detector:
    architecture = DESIGNS.get(name).architecture
    torch.manual_seed(0)
    if side is not None:
        architecture = architecture.resized((side, side))
    return lively(Detector(lower(architecture, num_classes=3)))


@cache
def written(name: str, options: OnnxOptions) -> tuple[Detector, dict[str, bytes]]:
    """A design and its ONNX files, which tests share; those of large inputs at 256x256."""
    detector = made(name, 256 if DESIGNS.get(name).architecture.input_hw[0] > 320 else None)
    return detector, write_onnx(detector, options)


small = cache(made)
RAW = OnnxOptions()
DECODED = {"anchor_free": OnnxOptions(form="decoded"), "ssd": OnnxOptions(form="decoded", opset=17)}


def noise(detector: Detector, count: int = 1) -> np.ndarray:
    return np.random.default_rng(0).random((count, 3, *detector.input_hw), dtype=np.float32)


@pytest.mark.slow(but=("yolov8n-p2-nop5",))
@pytest.mark.parametrize("name", ["yolov8n-p2-nop5", "sodet-s", "sn2-yolov8n", "ssd-mobilenetv1-s1l0", "tinydet-s"])
def test_onnx_agrees_with_pytorch(name: str) -> None:
    detector, files = written(name, RAW)
    assert difference(detector, files, RAW, noise(detector, 2)) < 1e-5
    operators = [node.op_type for node in onnx.load_from_string(files["model.onnx"]).graph.node]
    assert "BatchNormalization" not in operators


@pytest.mark.slow(but=("1",))
@pytest.mark.parametrize("seed", range(3))
def test_random_points_agree(seed: int) -> None:
    space = SearchSpace().narrowed({"width": [0.125, 0.25], "input_size": [128, 160], "fpn_width": [49]})
    architecture = space.decode(space.random(np.random.default_rng(seed)))
    torch.manual_seed(seed)
    detector = lively(Detector(lower(architecture, num_classes=2)))
    assert difference(detector, write_onnx(detector, OnnxOptions()), OnnxOptions(), noise(detector)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("head", DECODED)
def test_decoded_outputs_are_boxes_and_scores(head: str) -> None:
    detector, files = written(HEADS[head], DECODED[head])
    assert difference(detector, files, DECODED[head], noise(detector)) < 1e-5
    boxes, scores = run_onnx(files["model.onnx"], {"image": noise(detector)})
    assert boxes.shape[2] == 4 and scores.shape[1:] == (boxes.shape[1], 3) and 0 <= scores.min() and scores.max() <= 1


def test_what_cannot_be_written_is_said() -> None:
    with pytest.raises(ConfigError, match="--outputs raw"):
        write_onnx(made("tinydet-s"), OnnxOptions(form="decoded"))
    for settings, said in (({"opset": 9}, "13 to 20"), ({"precision": "int4"}, "fp16, int8"), ({"form": "nms"}, "raw")):
        with pytest.raises(ConfigError, match=said):
            OnnxOptions(**settings)  # type: ignore[arg-type]


@pytest.mark.slow
def test_half_precision_is_half_as_large_and_takes_floats() -> None:
    detector, whole = written("yolov8n-p2-nop5", RAW)
    half = write_onnx(detector, OnnxOptions(precision="fp16"))
    assert len(half["model.onnx"]) < 0.6 * len(whole["model.onnx"])
    assert 1e-6 < difference(detector, half, OnnxOptions(precision="fp16"), noise(detector)) < 5e-2


@pytest.mark.slow
@pytest.mark.parametrize("form", ["raw", "decoded"])
@pytest.mark.parametrize("head", HEADS)
def test_the_script_for_boards_reads_every_box_of_a_real_picture(head: str, form: Any, kit: Any) -> None:
    if (head, form) == ("two_stage", "decoded"):
        pytest.skip("cannot be written")
    options = RAW if form == "raw" else DECODED[head]
    detector, files = written(HEADS[head], options)
    feed, _ = kit.prepare(open_data(str(DATA)).val.image(0), detector.input_hw)
    with evaluation_mode(detector):
        expected = head_training(detector).table(detector(torch.from_numpy(feed)), detector.input_hw)
    described = json.loads(json.dumps(description(detector, ("a", "b", "c"), options)))
    outputs = run_onnx(files["model.onnx"], {"image": feed})
    found = kit.table(
        outputs, described, lambda features: run_onnx(files["second_stage.onnx"], {"features": features})[0]
    )
    assert np.abs(found[0] - expected[0][0].numpy()).max() < 1e-3
    assert np.abs(found[1] - expected[1][0].numpy()).max() < 1e-5


def test_the_script_for_boards_prepares_a_picture_as_detection_does(kit: Any) -> None:
    picture = open_data(str(DATA)).val.image(0)
    for hw, how in product(((256, 320), (picture.shape[0], picture.shape[1]), (1024, 960)), FITS):
        feed, fit = kit.prepare(picture, hw, how)
        inside = ImageFit.of((picture.shape[0], picture.shape[1]), hw, how)
        assert np.array_equal(feed[0], inside.apply(picture).transpose(2, 0, 1).astype(np.float32) / np.float32(255))
        box = np.array([[3.0, 5.0, 200.0, 100.0]])
        assert np.allclose((box - fit["shift"]) / fit["scale"], inside.to_image(box.astype(np.float32)), atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("head", HEADS)
def test_the_script_for_boards_keeps_the_boxes_that_detection_keeps(head: str, seed: int, kit: Any) -> None:
    detector = small(HEADS[head], 128 if head == "anchor_free" else None)
    training, generator = head_training(detector), torch.Generator().manual_seed(seed)
    with evaluation_mode(detector):
        exported = Exportable(detector, OnnxOptions())(torch.zeros(1, 3, *detector.input_hw))
        maps = [2 * torch.randn(each.shape, generator=generator) for each in exported]
        outputs, second = list(maps), None
        if head == "two_stage":
            module, num_levels = SecondStage(detector), len(detector.strides)
            module.head.class_logits.weight.normal_(0, 0.05, generator=generator)
            *_, first, last = detector.graph.outputs
            proposals = detector.blocks[first](*maps[:num_levels])
            outputs = [*maps[:num_levels], proposals, detector.blocks[last](proposals, *maps[num_levels:])]

            def second(features: np.ndarray) -> np.ndarray:
                return np.asarray(module(torch.from_numpy(features)).detach().numpy())

        limits = DetectionLimits(score_threshold=0.3, iou_threshold=0.5, one_class=True)
        ((boxes, scores, labels),) = training.read(outputs, limits, detector.input_hw)
    described = description(detector, ("a", "b", "c"), OnnxOptions())
    found = kit.detections([each.numpy() for each in maps], described, threshold=0.3, iou=0.5, second_stage=second)
    assert len(found[0]) == len(boxes) > 3
    assert np.allclose(found[1], scores.numpy(), atol=1e-4) and found[2].tolist() == labels.tolist()
    assert np.allclose(found[0], boxes.numpy(), atol=1e-2)


def scaled_graph(consumer: str) -> onnx.ModelProto:
    """A map, a quarter of it, joined with another map, read by a convolution, and by an addition where asked for."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(2, 5, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Div", ["x", "four"], ["quarter"]),
        helper.make_node("Concat", ["y", "quarter"], ["joined"], axis=1),
        helper.make_node("Conv", ["joined", "weight"], ["out"]),
    ]
    outputs = ["out"]
    if consumer == "add":
        nodes.append(helper.make_node("Add", ["quarter", "quarter"], ["more"]))
        outputs.append("more")
    if consumer == "result":
        outputs.append("quarter")
    shapes = {"x": 3, "y": 2, "out": 2, "more": 3, "quarter": 3}
    info = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, c, 4, 4]) for name, c in shapes.items()}
    constants = [numpy_helper.from_array(np.float32(4), "four"), numpy_helper.from_array(weight, "weight")]
    graph = helper.make_graph(nodes, "g", [info["x"], info["y"]], [info[name] for name in outputs], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize(("consumer", "is_folded"), [("none", True), ("add", False), ("result", False)])
def test_a_scale_is_folded_only_where_convolutions_alone_read_it(consumer: str, is_folded: bool) -> None:
    model, rng = scaled_graph(consumer), np.random.default_rng(1)
    feeds = {"x": rng.random((1, 3, 4, 4), dtype=np.float32), "y": rng.random((1, 2, 4, 4), dtype=np.float32)}
    before = run_onnx(model.SerializeToString(), feeds)
    folded = fold_scales(model)
    onnx.checker.check_model(folded, full_check=True)
    assert ("Div" not in [node.op_type for node in folded.graph.node]) == is_folded
    for found, expected in zip(run_onnx(folded.SerializeToString(), feeds), before, strict=True):
        assert np.allclose(found, expected, atol=1e-6)


def test_sni_costs_nothing_once_it_is_folded() -> None:
    _, files = written("sn2-yolov8n", RAW)
    nodes = onnx.load_from_string(files["model.onnx"]).graph.node
    resized = {output for node in nodes if node.op_type == "Resize" for output in node.output}
    assert resized and not any(node.op_type in ("Mul", "Div") and set(node.input) & resized for node in nodes)
