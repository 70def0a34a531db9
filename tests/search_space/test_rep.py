"""Re-parameterised convolutions, and the deployed form of blocks and detectors."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nas.cost import cost_of
from nas.cost.counting import count_module
from nas.cost.latency import load_model
from search_space import DESIGNS, Architecture, Detector, SearchSpace, lower
from search_space.blocks.conv import Conv
from search_space.blocks.rep import RepConv, RepStage, StridedRepConv
from search_space.deployed import deployed
from search_space.errors import SpaceError

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "light_golden.json").read_text())
BLOCKS = {
    "RepConv(64,64)": lambda: RepConv(64, 64, identity=False),
    "RepConv(64,64,bn=True)": lambda: RepConv(64, 64),
    "damo: RepConv(64,64) train": lambda: RepConv(64, 64, identity=False),
    "RepVGGDW(64)": lambda: RepConv(64, 64, 7, groups=64, identity=False, small_kernel=3),
}
"""The rows of `blocks` in light_golden.json that this file covers."""


def with_statistics(module: nn.Module, seed: int = 0) -> nn.Module:
    """Gives all batch norms random weights and statistics."""
    generator = torch.Generator().manual_seed(seed)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None and norm.running_var is not None
            for tensor in (norm.weight.data, norm.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            for tensor in (norm.bias.data, norm.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return module.eval()


def apart(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().max() / second.abs().max())


@pytest.mark.parametrize("name", BLOCKS)
def test_counts_are_those_of_the_authors(name: str) -> None:
    row: dict[str, Any] = next(row for row in GOLDEN["blocks"] if row["block"] == name)
    count = count_module(BLOCKS[name](), tuple(row["input_chw"]))
    assert (count.params, count.macs_trained) == (row["params"], row["macs"])
    if "macs_deployed" in row:
        assert (count.params_deployed, count.macs) == (row["params_deployed"], row["macs_deployed"])


@settings(max_examples=40, deadline=None)
@given(
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernels=st.sampled_from([(1, 1), (3, 1), (5, 3), (7, 3)]),
    stride=st.integers(1, 2),
    groups=st.integers(1, 3),
    identity=st.booleans(),
    sides=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_the_merged_convolution_is_the_same_function(
    channels: tuple[int, int],
    kernels: tuple[int, int],
    stride: int,
    groups: int,
    identity: bool,
    sides: tuple[int, int],
) -> None:
    ins, outs = (groups * each for each in channels)
    block = with_statistics(RepConv(ins, outs, kernels[0], stride, groups, identity, kernels[1]))
    x = torch.randn(2, ins, *sides, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        exact = deepcopy(block).double()
        assert apart(block.merged()(x), block(x)) < 1e-4
        assert apart(exact.merged()(x.double()), exact(x.double())) < 1e-12


@pytest.mark.parametrize(("stride", "outs", "identity"), list(product((1, 2), (4, 6), (True, False))))
def test_the_third_branch_is_there_where_shapes_agree(stride: int, outs: int, identity: bool) -> None:
    block = RepConv(4, outs, stride=stride, identity=identity)
    assert (block.identity is not None) == (identity and stride == 1 and outs == 4)


@pytest.mark.parametrize("kernels", [(2, 1), (3, 2), (3, 5)])
def test_kernels_that_cannot_be_centred_are_refused(kernels: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="kernels must be odd"):
        RepConv(4, 4, kernels[0], small_kernel=kernels[1])


def test_the_deployed_form_is_a_copy_in_which_everything_is_merged() -> None:
    original = with_statistics(nn.Sequential(Conv(3, 4), nn.ModuleDict({"a": RepConv(4, 4)})["a"]))
    before = deepcopy(original.state_dict())
    random_state = torch.get_rng_state()
    form = deployed(original)
    assert torch.equal(torch.get_rng_state(), random_state), "no random numbers are drawn"
    x = torch.randn(1, 3, 5, 5)
    with torch.no_grad():
        assert apart(form(x), original(x)) < 1e-4
    assert [type(each) for each in form[1]] == [nn.Conv2d, nn.SiLU] and form[0] is not original[0]
    assert all(torch.equal(value, before[name]) for name, value in original.state_dict().items())
    assert isinstance(original[1], RepConv) and not any(isinstance(each, RepConv) for each in form.modules())


def test_what_has_nothing_to_merge_is_its_own_deployed_form() -> None:
    plain = Conv(3, 4)
    assert deployed(plain) is plain and isinstance(deployed(RepConv(4, 4)), nn.Sequential)


REFERENCE = DESIGNS.get("yolov8n-p2-nop5").architecture.resized((256, 256))


def with_rep(architecture: Architecture, **backbone: Any) -> Architecture:
    """Returns an architecture with the stage block `rep` everywhere, and other changes of the backbone."""
    assert architecture.neck is not None
    stages = tuple(replace(stage, block="rep") for stage in architecture.backbone.stages)
    return replace(
        architecture,
        backbone=replace(architecture.backbone, stages=stages, **backbone),
        neck=replace(architecture.neck, block="rep"),
    )


def everywhere() -> Architecture:
    """Returns the reference with `rep` as stem, downsampling and block."""
    made = with_rep(REFERENCE, stem="rep")
    stages = tuple(replace(stage, downsample="rep") for stage in made.backbone.stages)
    assert made.neck is not None
    neck = replace(made.neck, downsample="rep")
    return replace(made, backbone=replace(made.backbone, stages=stages), neck=neck)


def test_rep_in_every_stage_of_the_reference() -> None:
    """The figures of the network with merged branches; its parameters with two more a channel for a batch norm."""
    architecture = with_rep(REFERENCE)
    cost = cost_of(architecture, num_classes=4)
    graph = lower(architecture, num_classes=4)
    merged = [each for each in Detector(graph).modules() if isinstance(each, RepConv)]
    channels = sum(each.wide.conv.out_channels for each in merged)
    assert (cost.macs, cost.params_deployed + channels) == (996_311_040, 1_663_580)
    assert cost.macs_trained > cost.macs
    assert load_model("jetson-nano").latency(graph).latency_ms == pytest.approx(8.61, abs=0.005)
    assert load_model("orin-nano").latency(graph).latency_ms == pytest.approx(1.203, abs=0.0005)


YOLOV6 = {
    "stem": (RepConv(3, 16, stride=2), (3, 640, 640), 448, 44_236_800),
    "P2": (nn.Sequential(StridedRepConv(16, 32), RepStage(32, 32, 2)), (16, 320, 320), 23_136, 589_824_000),
    "P3": (nn.Sequential(StridedRepConv(32, 64), RepStage(64, 64, 4)), (32, 160, 160), 166_208, 1_061_683_200),
    "P4": (nn.Sequential(StridedRepConv(64, 128), RepStage(128, 128, 6)), (64, 80, 80), 959_360, 1_533_542_400),
}
"""Parts of YOLOv6-N with the parameters and multiply-adds of the deployed network at 640x640."""


@pytest.mark.parametrize("name", YOLOV6)
def test_parts_of_yolov6(name: str) -> None:
    module, shape, params, macs = YOLOV6[name]
    count = count_module(deepcopy(module).to("meta"), shape)
    assert (count.params_deployed, count.macs) == (params, macs)


@pytest.mark.parametrize("activation", ["silu", "relu"])
def test_a_detector_computes_the_same_when_deployed(activation: str) -> None:
    torch.manual_seed(0)
    graph = lower(replace(everywhere(), activation=activation).resized((64, 64)), num_classes=4)
    original = with_statistics(Detector(graph))
    form = deployed(original)
    assert not any(isinstance(each, RepConv) for each in form.modules())
    assert sum(value.numel() for value in form.parameters()) == cost_of(everywhere(), num_classes=4).params_deployed
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for merged, trained in zip(form(images), original(images), strict=True):
            assert apart(merged, trained) < 1e-4


def test_rep_is_a_point_of_the_space() -> None:
    space = SearchSpace()
    params = space.encode(everywhere())
    assert (params["stem"], params["block"], params["neck_block"]) == ("rep",) * 3 and "stem_kernel" not in params
    assert params["downsample_p3"] == params["downsample_neck"] == "rep"
    assert space.decode(params) == everywhere()


def test_a_stem_with_an_even_kernel_cannot_have_branches() -> None:
    graph = lower(with_rep(REFERENCE, stem="rep", stem_kernel=6), num_classes=4)
    with pytest.raises(SpaceError, match="'stem' cannot be layer:rep.*kernels must be odd"):
        Detector(graph)
