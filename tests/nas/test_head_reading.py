"""Boxes of any bins, of joint and separate branches: PyTorch, ONNX with decoded outputs and the board script agree."""

from __future__ import annotations

import json
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nas.exporters.entry_files import description
from nas.exporters.onnx_model import OnnxOptions, difference, run_onnx, write_onnx
from search_space import DESIGNS, Detector, lower
from search_space.plain import Options
from trainers.detect import evaluation_mode
from trainers.heads import DetectionLimits, head_training

RAW, DECODED = OnnxOptions(), OnnxOptions(form="decoded")
CASES: dict[str, dict[str, Any]] = {
    "16": {"tower_convs": 1},
    "4": {"bins": 4},
    "1": {"bins": 1},
    "16 joint": {"branches": "joint", "tower_convs": 1},
    "4 joint": {"bins": 4, "branches": "joint"},
    "1 joint": {"bins": 1, "branches": "joint"},
    "1 without towers": {"bins": 1, "tower_convs": 0, "predictor_kernel": 3},
    "1 shared": {"bins": 1, "branches": "joint", "head_stem": 16, "head_weights": "shared"},
    "4 shared": {"bins": 4, "head_stem": 16, "head_weights": "shared", "box_branch": "depthwise"},
}


def lively(given: dict[str, Any]) -> Detector:
    """A detector at 64x64 px with scores and batch statistics that differ from cell to cell and level to level."""
    design = DESIGNS.get("yolov8n-p2-nop5").architecture.resized((64, 64))
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    detector = Detector(
        lower(replace(design, head=replace(design.head, options=Options(given))), num_classes=3)
    ).requires_grad_(False)
    for name, module in detector.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=generator)  # type: ignore[operator, union-attr]
            module.running_var.uniform_(0.5, 1.5, generator=generator)  # type: ignore[operator, union-attr]
        if name.endswith("logits"):
            module.weight.normal_(0, 0.08, generator=generator)  # type: ignore[operator, union-attr]
            module.bias[-3:] = 0.0  # type: ignore[index, operator]
    return detector.eval()


@pytest.mark.slow(but=("4 joint", "1 shared"))
@pytest.mark.parametrize("case", CASES)
def test_all_readers_agree(case: str, kit: ModuleType) -> None:
    detector = lively(CASES[case])
    image = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    training = head_training(detector)
    with evaluation_mode(detector):
        maps = detector(torch.from_numpy(image))
        boxes, scores = (each[0].numpy() for each in training.table(maps, detector.input_hw))
    files = write_onnx(detector, RAW)
    assert difference(detector, files, RAW, image) < 1e-4
    outputs = run_onnx(files["model.onnx"], {"image": image})
    described = json.loads(json.dumps(description(detector, ("a", "b", "c"), RAW)))
    assert described["reg_max"] == CASES[case].get("bins", 16)
    found = kit.table(outputs, described)
    decoded = run_onnx(write_onnx(detector, DECODED)["model.onnx"], {"image": image})
    for each in (found, (decoded[0][0], decoded[1][0])):
        assert np.abs(each[0] - boxes).max() < 1e-3 * max(1.0, np.abs(boxes).max())
        assert np.abs(each[1] - scores).max() < 1e-4


@pytest.mark.parametrize("case", CASES)
def test_the_script_keeps_the_boxes_that_detection_keeps(case: str, kit: ModuleType) -> None:
    detector, generator = lively(CASES[case]), torch.Generator().manual_seed(0)
    bins, hws = detector.reg_max, ((16, 16), (8, 8), (4, 4))
    maps = [2 * torch.randn(1, 4 * bins + 3, *hw, generator=generator) for hw in hws]
    limits = DetectionLimits(score_threshold=0.3, iou_threshold=0.5, one_class=True)
    ((boxes, scores, labels),) = head_training(detector).read(maps, limits, detector.input_hw)
    described = description(detector, ("a", "b", "c"), RAW)
    found = kit.detections([each.numpy() for each in maps], described, threshold=0.3, iou=0.5)
    assert len(found[0]) == len(boxes) > 3 and found[2].tolist() == labels.tolist()
    assert np.allclose(found[1], scores.numpy(), atol=1e-4) and np.allclose(found[0], boxes.numpy(), atol=1e-2)
