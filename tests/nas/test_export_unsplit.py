"""Split-free forms: the export replaces a convolution whose output is split by two, and says the same."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from nas.exporters.folding import without_splits
from nas.exporters.onnx_model import OnnxOptions, difference, write_onnx
from search_space import DESIGNS, Detector, lower
from search_space.blocks.csp import C2f, C2fUnsplit
from search_space.blocks.split import ParallelConvs, SplitConv


def lively(module: nn.Module) -> nn.Module:
    """Gives each batch norm statistics and gains of its own, so that a row of another channel is seen."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean, 0, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(norm.running_var, 0.5, 1.5)  # type: ignore[arg-type]
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, 0, 0.2)
    return module.eval()


@pytest.fixture(params=["yolov8n-p2-nop5", "sodet-s"])
def detector(request: pytest.FixtureRequest) -> Detector:
    torch.manual_seed(0)
    made = Detector(lower(DESIGNS.get(request.param).architecture.resized((128, 128)), num_classes=3))
    lively(made)
    return made


def test_the_export_has_the_same_outputs_and_no_split(detector: Detector) -> None:
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    images = np.random.default_rng(0).random((2, 3, 128, 128), dtype=np.float32)
    files = write_onnx(detector, OnnxOptions())
    assert difference(detector, files, OnnxOptions(), images) < 1e-5
    graph = onnx.load_from_string(files["model.onnx"]).graph
    halved = [node.input[0] for node in graph.node if node.op_type in ("Split", "Slice")]
    assert not [name for name in halved if "/split/" in name]
    after = detector.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], value) for name, value in before.items())
    assert any(isinstance(module, SplitConv) for module in detector.modules())


@torch.no_grad()
def test_all_splits_of_a_detector_are_replaced(detector: Detector) -> None:
    unsplit = without_splits(detector)
    assert not any(isinstance(module, SplitConv) for module in unsplit.modules())
    images = torch.rand(2, 3, 128, 128)
    for found, expected in zip(unsplit(images), detector(images), strict=True):
        assert torch.allclose(found, expected, rtol=0, atol=1e-5)
    assert sum(p.numel() for p in unsplit.parameters()) == sum(p.numel() for p in detector.parameters())
    assert without_splits(unsplit) is unsplit


@torch.no_grad()
@pytest.mark.parametrize("shortcut", [False, True])
def test_the_block_without_split_is_c2f_with_its_rows_cut_in_two(shortcut: bool) -> None:
    torch.manual_seed(0)
    split = lively(C2f(6, 8, 2, shortcut))
    unsplit = C2fUnsplit(6, 8, 2, shortcut).eval()
    weight = split.split.conv.weight  # type: ignore[union-attr]
    halves = split.split.unsplit()  # type: ignore[operator, union-attr]
    assert isinstance(halves, ParallelConvs)
    assert torch.equal(halves.bypass.conv.weight, weight[:4]) and torch.equal(halves.first.conv.weight, weight[4:])
    parts = {f"split.{name}": value for name, value in halves.state_dict().items()}
    rest = {name: value for name, value in split.state_dict().items() if not name.startswith("split.")}
    unsplit.load_state_dict({**rest, **parts})
    x = torch.randn(2, 6, 4, 4)
    assert torch.allclose(unsplit(x), split(x), rtol=0, atol=1e-6)
