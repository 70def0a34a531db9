"""A one-to-one head is read without NMS alike in PyTorch, in ONNX and by the script for boards; export and commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch
from test_export_onnx import lively
from val_predict_fakes import DATA, FAST, IMAGES, run

from nas.exporters.entry_files import description
from nas.exporters.kit.board import measure
from nas.exporters.onnx_model import OnnxOptions, difference, run_onnx, write_onnx
from search_space import DESIGNS, Architecture, Detector, lower
from search_space.plain import Options
from trainers import fresh_detector, load_weights, save_weights
from trainers.data import open_data
from trainers.heads import DetectionLimits, head_training

RAW, DECODED = OnnxOptions(), OnnxOptions(form="decoded")
CLASSES = ("a", "b", "c")


def dual(side: int, **options: int | str) -> Architecture:
    architecture = DESIGNS.get("yolov8n-p2-nop5").architecture.resized((side, side))
    head = replace(architecture.head, box_channels=16, options=Options({"assignment": "dual", **options}))
    return replace(architecture, head=head)


@pytest.fixture(scope="module", params=[16, 1], ids=["bins", "one bin"])
def detector(request: pytest.FixtureRequest) -> Detector:
    torch.manual_seed(0)
    return lively(Detector(lower(dual(96, bins=request.param), num_classes=3)))


def noise(detector: Detector) -> np.ndarray:
    return np.random.default_rng(0).random((2, 3, *detector.input_hw), dtype=np.float32)


def random_maps(detector: Detector, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = [(detector.input_hw[0] // stride, detector.input_hw[1] // stride) for stride in detector.strides]
    channels = 4 * detector.reg_max + detector.num_classes
    return [2 * torch.randn(1, channels, *hw, generator=generator) for hw in sizes]


@pytest.mark.parametrize("options", [RAW, DECODED], ids=["raw", "decoded"])
def test_onnx_agrees_with_pytorch(detector: Detector, options: OnnxOptions) -> None:
    assert difference(detector, write_onnx(detector, options), options, noise(detector)) < 1e-5


@pytest.mark.slow
def test_half_precision_agrees(detector: Detector) -> None:
    half = OnnxOptions(form="decoded", precision="fp16")
    assert 1e-7 < difference(detector, write_onnx(detector, half), half, noise(detector)) < 5e-2


def test_the_tail_has_no_suppression_and_no_operator_that_tensorrt_lacks(detector: Detector) -> None:
    graph = onnx.load_from_string(write_onnx(detector, DECODED)["model.onnx"]).graph
    operators = {node.op_type for node in graph.node}
    assert "TopK" in operators and not operators & {"NonMaxSuppression", "Mod", "NonZero", "Where", "Loop", "If"}
    assert [each.name for each in graph.output] == ["boxes", "scores", "labels"]


def test_a_wrong_detection_is_a_difference(detector: Detector) -> None:
    files = write_onnx(detector, DECODED)
    other = lively(Detector(detector.graph), seed=1)
    assert difference(other, files, DECODED, noise(detector)) > 1e-2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("iou", [None, 0.5])
def test_the_script_for_boards_reads_what_pytorch_reads(
    detector: Detector, kit: ModuleType, seed: int, iou: float | None
) -> None:
    maps, training = random_maps(detector, seed), head_training(detector)
    limits = DetectionLimits(score_threshold=0.3, iou_threshold=iou, one_class=True, max_detections=250)
    ((boxes, scores, labels),) = training.read(maps, limits)
    told = json.loads(json.dumps(description(detector, CLASSES, RAW)))
    found = kit.detections([each.numpy() for each in maps], told, threshold=0.3, iou=iou, most=250)
    assert len(found[0]) == len(boxes) > 50 and found[2].tolist() == labels.tolist()
    assert np.allclose(found[0], boxes.numpy(), atol=1e-3) and np.allclose(found[1], scores.numpy(), atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_script_for_boards_reads_the_tail(detector: Detector, kit: ModuleType, seed: int) -> None:
    maps, training = random_maps(detector, seed), head_training(detector)
    boxes, scores, labels, _ = training.top(maps)  # type: ignore[attr-defined]
    told = json.loads(json.dumps(description(detector, CLASSES, DECODED)))
    raw = json.loads(json.dumps(description(detector, CLASSES, RAW)))
    assert told["output_shapes"] == [list(boxes.shape), list(scores.shape), list(labels.shape)]
    tail = [each.numpy() for each in (boxes, scores, labels.float())]
    for threshold in (0.0, 0.7):
        found = kit.detections(tail, told, threshold=threshold)
        expected = kit.detections([each.numpy() for each in maps], raw, threshold=threshold)
        assert len(found[0]) == len(expected[0]) > 50
        assert all(np.allclose(a, b, atol=1e-3) for a, b in zip(found, expected, strict=True))


def test_the_tail_is_suppressed_where_that_is_asked_for(detector: Detector, kit: ModuleType) -> None:
    told = description(detector, CLASSES, DECODED)
    boxes = np.array([[[0, 0, 9, 9], [0, 0, 9, 8.5], [0, 0, 9, 9.5], [0, 0, 9, 9]]], np.float32)
    tail = [boxes, np.array([[0.9, 0.8, 0.7, 0.6]], np.float32), np.array([[1, 1, 2, 2]], np.float32)]
    kept = {iou: kit.detections(tail, told, iou=iou)[1].tolist() for iou in (None, 0.5)}
    assert kept == {None: pytest.approx([0.9, 0.8, 0.7]), 0.5: pytest.approx([0.9, 0.7])}, "one class per box"


def test_the_description_of_other_heads_is_as_ever() -> None:
    detector = fresh_detector(DESIGNS.get("yolov8n").architecture.resized((64, 64)), num_classes=3, seed=0)
    assert "nms" not in description(detector, CLASSES, RAW)


# --- commands


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of an untrained detector that finds many overlapping boxes."""
    path, architecture = tmp_path_factory.mktemp("weights") / "weights.pt", dual(64)
    classes = open_data(DATA).val.classes
    state = fresh_detector(architecture, num_classes=len(classes), seed=0).state_dict()
    for name, values in state.items():
        if name.endswith("class_logits.bias"):
            values += 7
        elif name.endswith("_logits.weight"):
            values *= 20
    save_weights(path, state, architecture.to_dict(), classes)
    return path


def found_by(weights: Path, out: Path, *more: object) -> int:
    arguments = ("--no-pictures", "--score", 0.1, "--save-json", out)
    assert run("predict", weights, IMAGES[0], *arguments, *FAST, *more) == 0
    return len(json.loads(out.read_text()))


def test_predict_suppresses_only_where_iou_is_given(weights: Path, tmp_path: Path) -> None:
    every, suppressed = (found_by(weights, tmp_path / f"{len(more)}.json", *more) for more in ((), ("--iou", 0.4)))
    assert 0 < suppressed < every


def test_val_says_how_it_read(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for more in ((), ("--iou", 0.6)):
        capsys.readouterr()
        assert run("val", weights, "--data", DATA, "--json", "--bootstrap", 0, *FAST, *more) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert [each["iou"] for each in told] == [None, 0.6]
    assert np.sum(told[0]["confusion"]["counts"]) != np.sum(told[1]["confusion"]["counts"])


def test_val_refuses_an_iou_above_1(weights: Path) -> None:
    assert run("val", weights, "--data", DATA, "--iou", 1.5) == 2


@pytest.mark.slow
def test_an_export_is_read_without_nms_and_loads_again(
    weights: Path, tmp_path: Path, kit: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = tmp_path / "dual.yaml"
    dual(64).to_yaml(architecture)
    out = tmp_path / "out"
    assert run("export", architecture, "--weights", weights, "--out", out, "--outputs", "decoded") == 0
    (folder,) = [path.parent for path in out.glob("*/model.onnx")]
    loaded, given = load_weights(folder / "weights.safetensors"), load_weights(weights)
    assert loaded.detector().one_to_one and set(loaded.state) == set(given.state)
    assert all(torch.equal(value, given.state[name]) for name, value in loaded.state.items())
    assert not [name for name in loaded.state if name.startswith("one_to_many")]
    told = json.loads((folder / "detector.json").read_text())
    assert told["nms"] is False and told["outputs"] == "decoded"
    feed, fit = kit.prepare(open_data(DATA).val.image(0), told["input_hw"])
    outputs = run_onnx((folder / "model.onnx").read_bytes(), {"image": feed})
    assert len(kit.detections(outputs, told, fit, threshold=0.1)[0]) > 0
    assert "without NMS" in (folder / "README.md").read_text()
    options = monkeypatch.setattr("sys.argv", ["measure.py"]) or measure.arguments()
    times = measure.host_times(str(folder), told, options)
    assert times["read_outputs"]["median_ms"] > 0
