"""The deployed form: what is exported, counted and shown of detectors whose branches are merged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from nas.cli import main
from nas.cost.conventions import params_folded
from nas.exporters.entry import ExportEntry
from nas.exporters.entry_files import write_entry
from nas.exporters.onnx_model import OnnxOptions, difference, write_onnx
from search_space import DESIGNS, Architecture, Detector, InputFormat, lower
from search_space.blocks.activation import NETWORK_ACTIVATIONS
from search_space.blocks.rep import RepConv
from search_space.deployed import deployed
from trainers import Weights, load_weights

SILU = DESIGNS.get("yolov8n-p2-nop5").architecture.resized((64, 64))


def rep_everywhere(**fields: object) -> Architecture:
    """Returns a detector with `rep` as stem, downsampling and block, with other fields."""
    assert SILU.neck is not None
    stages = tuple(replace(stage, block="rep", downsample="rep") for stage in SILU.backbone.stages)
    return replace(
        SILU,
        backbone=replace(SILU.backbone, stages=stages, stem="rep"),
        neck=replace(SILU.neck, block="rep", downsample="rep"),
        **fields,  # type: ignore[arg-type]
    )


def lively(architecture: Architecture) -> Detector:
    torch.manual_seed(0)
    detector = Detector(lower(architecture, num_classes=3))
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return detector.eval()


def images() -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)


@pytest.mark.parametrize("name", [name for name in NETWORK_ACTIVATIONS if name != "silu"])
def test_onnx_with_each_activation_agrees(name: str) -> None:
    detector = lively(replace(SILU, activation=name))
    assert difference(detector, write_onnx(detector, OnnxOptions()), OnnxOptions(), images()) < 1e-4


FORMATS = [InputFormat(), InputFormat(channels="bgr", value_range=255, mean=(100.0, 110.0, 120.0), std=(50.0,) * 3)]


@pytest.mark.parametrize("input_format", FORMATS, ids=["rgb", "bgr"])
def test_onnx_holds_one_convolution_for_all_branches(input_format: InputFormat) -> None:
    detector = lively(rep_everywhere(input_format=input_format, activation="relu"))
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    files = write_onnx(detector, OnnxOptions())
    assert difference(detector, files, OnnxOptions(), images()) < 1e-4
    operators = [node.op_type for node in onnx.load_from_string(files["model.onnx"]).graph.node]
    convolutions = sum(isinstance(each, nn.Conv2d) for each in detector.modules())
    branches = sum(isinstance(each, RepConv) for each in detector.modules())
    assert operators.count("Conv") == convolutions - branches and "Add" not in operators
    assert all(torch.equal(value, before[name]) for name, value in detector.state_dict().items())


def test_onnx_in_half_precision_is_close() -> None:
    detector = lively(rep_everywhere())
    options = OnnxOptions(precision="fp16")
    assert difference(detector, write_onnx(detector, options), options, images()) < 2e-2


def test_an_export_keeps_the_weights_of_all_branches(tmp_path: Path) -> None:
    architecture = rep_everywhere()
    detector = lively(architecture)
    weights = Weights(architecture=architecture.to_dict(), classes=("a", "b", "c"), state=detector.state_dict())
    entry = ExportEntry(name="x", architecture=architecture, classes=weights.classes, weights=weights, origin="a test")
    report = write_entry(tmp_path, entry, formats=("yaml",), options=OnnxOptions(), device=None, images=None)
    again = load_weights(tmp_path / "weights.safetensors").detector().state_dict()
    assert all(torch.equal(value, again[name]) for name, value in detector.state_dict().items())
    assert report["macs"] < report["macs_trained"] and report["params_deployed"] < report["params"]
    assert f"{report['params']:,} as trained, {report['params_deployed']:,} deployed" in (
        tmp_path / "README.md"
    ).read_text(encoding="utf-8")


def test_explain_shows_both_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.yaml"
    rep_everywhere(activation="relu", head_activation="silu").to_yaml(path)
    main(["explain", str(path), "--num-classes", "4", "--json"])
    told = json.loads(capsys.readouterr().out)
    for name in ("macs", "macs_trained", "params", "params_deployed"):
        assert told[name] == sum(node[name] for node in told["nodes"])
    assert told["macs"] < told["macs_trained"] and told["params_deployed"] < told["params"]
    assert (told["activation"], told["head_activation"]) == ("relu", "silu")
    main(["explain", str(path), "--num-classes", "4"])
    text = " ".join(capsys.readouterr().out.split())
    assert "activation: relu, head silu" in text
    assert f"{told['params']:,} parameters as trained, {told['params_deployed']:,} deployed" in text
    main(["explain", "yolov8n"])
    assert "as trained" not in capsys.readouterr().out


def test_folded_parameters_are_those_of_the_merged_convolutions() -> None:
    """Each convolution has one bias a channel, whatever norms it was trained with."""
    with torch.device("meta"):
        detector = Detector(lower(rep_everywhere(), num_classes=4))
    convolutions = [each for each in deployed(detector).modules() if isinstance(each, nn.Conv2d)]
    expected = sum(each.weight.numel() + each.out_channels for each in convolutions)
    assert params_folded(rep_everywhere(), 4) == expected
