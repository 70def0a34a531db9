"""Designs that a search has by name only: SSDs beside those of the paper, and YOLOv7-tiny with an anchor-free head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from short_training import assert_learns

from nas.cost import Budget, cost_of, node_costs
from nas.cost.latency import load_model
from nas.engine.domain import CostedDomain
from nas.engine.fastest_starts import fastest_starts
from nas.engine.narrowing import with_defaults
from nas.exporters.onnx_model import OnnxOptions, difference, write_onnx
from search_space import DESIGNS, Architecture, Detector, SearchSpace, lower
from search_space.blocks import STAGES
from search_space.blocks.gsconv import GSConvE1
from search_space.errors import SpaceError
from trainers import fresh_detector

SPACE = SearchSpace()
NAMES = [name for name in DESIGNS if DESIGNS.get(name).by_name]
TINY = "sn2-yolov7-tiny-af"
MAPS = {
    "ssd-mobilenetv1-s1l4": (38, 19, 10, 5, 3, 2),
    "ssd-mobilenetv1-s1l6": (38, 19, 10, 5, 3, 2),
    "ssd-mobilenetv1-s2l0-6": (75, 38, 19, 10, 5, 3),
    "ssd-mobilenetv1-size512": (32, 16, 8, 4, 2, 1),
}
"""Sides of the six maps of each SSD at its own input."""
UNSTRIDED = {"s1l4": {4}, "s1l6": {6}, "s2l0-6": {0, 6}, "size512": set()}
"""Layers of MobileNetV1 whose stride each name says to be removed."""
LAYERS = ((32, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Channels and stride of each layer of MobileNetV1."""
EXTRAS = (512, 256, 256, 128)


def architecture_of(name: str) -> Architecture:
    return DESIGNS.get(name).architecture


def test_they_are_the_ssds_and_yolov7_tiny():
    assert set(NAMES) == {*MAPS, TINY}
    assert [name for name in NAMES if DESIGNS.get(name).derived] == [TINY]


def _macs_of_ssd(name: str, num_classes: int) -> int:
    """Returns the multiply-adds of an SSD from its layers: 3x3 or depthwise 3x3 and 1x1, extra stages, predictors."""
    side, channels, total = architecture_of(name).input_hw[0], 3, 0
    unstrided = UNSTRIDED[name.removeprefix("ssd-mobilenetv1-")]
    for layer, (width, stride) in enumerate(LAYERS):
        side = -(-side // (1 if layer in unstrided else stride))
        total += side**2 * (9 * channels * width if layer == 0 else 9 * channels + channels * width)
        channels = width
    for width in EXTRAS:
        entered, side = side, -(-side // 2)
        total += entered**2 * channels * width + side**2 * (9 * width + width**2)
        channels = width
    widths, anchors = (512, 1024, *EXTRAS), (6, 6, 6, 6, 4 if name.endswith("512") else 6, 4)
    per_anchor = 4 + num_classes + 1
    return total + sum(
        size**2 * 9 * width * count * per_anchor for size, width, count in zip(MAPS[name], widths, anchors, strict=True)
    )


def _params_of_ssd(name: str, num_classes: int) -> int:
    """Returns the closed form of the counts of all SSDs on MobileNetV1: backbone, gains, extra stages, predictors."""
    widths, anchors = (512, 1024, *EXTRAS), (6, 6, 6, 6, 4 if name.endswith("512") else 6, 4)
    heads = sum(count * (9 * width + 1) for width, count in zip(widths, anchors, strict=True))
    return 3_206_976 + 512 + 1_180_544 + (4 + num_classes + 1) * heads


@pytest.mark.parametrize("num_classes", [20, 80])
@pytest.mark.parametrize("name", MAPS)
def test_the_counts_of_the_ssds_are_those_of_their_layers(name: str, num_classes: int):
    cost = cost_of(architecture_of(name), num_classes=num_classes)
    assert (cost.params, cost.macs) == (_params_of_ssd(name, num_classes), _macs_of_ssd(name, num_classes))


@pytest.mark.parametrize("name", MAPS)
def test_the_maps_of_the_ssds(name: str):
    graph = lower(architecture_of(name), num_classes=1)
    shapes = {node.name: count.output_shape for node, count in node_costs(graph)}
    assert tuple(shapes[output][1] for output in graph.outputs) == MAPS[name]


def test_the_counts_of_yolov7_tiny_are_exact():
    """Backbone and neck as built from the paper's file, head as in closed form; that file itself has an anchor head."""
    for num_classes, head in ((20, (755_196, 1_490_227_200)), (80, (897_648, 1_810_636_800))):
        cost = cost_of(architecture_of(TINY), num_classes=num_classes)
        assert (cost.params, cost.macs) == (4_391_184 + head[0], 5_012_300_800 + head[1])


def test_yolov7_tiny_merges_reduced_maps_and_skips_unreduced_ones():
    nodes = {node.name: node for node in lower(architecture_of(TINY), num_classes=1).nodes}
    assert nodes["down4_fuse"].inputs == ("down4_lateral", "down4_up")
    assert nodes["down4_lateral"].inputs == ("p4_block",) and nodes["down4_up"].inputs == ("down4_reduce",)
    assert nodes["down4_reduce"].inputs == ("context",) and nodes["down3_reduce"].inputs == ("down4_block",)
    assert nodes["up4_fuse"].inputs == ("up4_down", "down4_block")
    assert nodes["up5_fuse"].inputs == ("up5_down", "context")
    channels = [dict(nodes[name].arguments)["out_channels"] for name in ("up4_down", "up5_down", "context")]
    assert channels == [128, 256, 256]


def test_the_pools_are_those_of_five_nine_and_thirteen():
    detector = Detector(lower(architecture_of(TINY).resized((64, 64)), num_classes=1)).eval()
    context = next(module for module in detector.modules() if type(module).__name__ == "HalvingCSPSPPF")
    x, seen = torch.rand(1, 512, 20, 20), []
    context.leave.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        context(x)
        entered = context.enter(x)
    pools = [torch.nn.functional.max_pool2d(entered, size, 1, size // 2) for size in (13, 9, 5)]
    assert torch.equal(seen[0], torch.cat((*pools, entered), dim=1))


def test_the_neck_block_has_a_gsconv_first_in_each_repeat():
    block = STAGES.get("elan7_gsconve1")(16, 16, repeats=2)
    assert [isinstance(layer, GSConvE1) for layer in block.chain] == [True, False, True, False]
    with pytest.raises(SpaceError, match="divisible by 2, got 5"):
        STAGES.get("elan7_gsconve1")(16, 10)


def test_a_search_has_the_parts_of_yolov7_tiny_by_name():
    searched = SPACE.narrowed(with_defaults({}))
    for axis, choice in SPACE.encode(architecture_of(TINY)).items():
        by_name = axis in ("downsample_p3", "downsample_p4", "downsample_p5", "neck_block", "context", "fusion")
        assert (choice in searched.axis(axis).choices) != by_name, axis


def test_a_wide_neck_after_the_halving_context_is_another_detector():
    params = SPACE.encode(architecture_of(TINY))
    wide = SPACE.decode({**params, "neck_width": 1.0})
    assert wide.neck is not None and wide.neck.channels == (128, 256, 512)
    assert SPACE.encode(wide) == {**params, "neck_width": 1.0}


def test_a_max_pool_may_come_before_any_stage_of_blocks():
    design = architecture_of("yolov8n")
    stages = tuple(replace(stage, downsample="max_pool") for stage in design.backbone.stages)
    pooled = replace(design, backbone=replace(design.backbone, stages=stages))
    assert SPACE.decode(SPACE.encode(pooled)) == pooled
    blocks = [node.block for node in lower(pooled, num_classes=1).nodes]
    assert blocks.count("layer:max_pool") == 4 and blocks.count("layer:conv") < len(blocks)


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps_on_one_batch_reduce_the_loss(name: str) -> None:
    assert_learns(fresh_detector(architecture_of(name).resized((64, 64)), num_classes=3, seed=0))


def test_onnx_agrees():
    detector = fresh_detector(architecture_of(TINY).resized((64, 64)), num_classes=3, seed=0).eval()
    images = np.random.default_rng(0).random((2, 3, 64, 64), dtype=np.float32)
    assert difference(detector, write_onnx(detector, OnnxOptions()), OnnxOptions(), images) < 1e-4


def test_no_search_starts_with_them_unless_they_are_named(monkeypatch: pytest.MonkeyPatch):
    space = SPACE.narrowed(with_defaults({"head": ("ssd",), "anchors": SPACE.axis("anchors").choices}))
    domain = CostedDomain(space, Budget(latency_ms=1000), num_classes=4, device=load_model("jetson-nano"))
    monkeypatch.setattr("nas.engine.fastest_starts.REFERENCES", {})
    names = [name for name in DESIGNS if architecture_of(name).head.kind == "ssd"]
    few = {name: DESIGNS.get(name) for name in names}
    assert set(MAPS) < set(few)
    monkeypatch.setattr("nas.engine.fastest_starts.DESIGNS", few)
    found, _ = fastest_starts(domain, count=len(few), wanted_side=320)
    assert "ssd-mobilenetv1-s1l0" in found and not set(found) & set(NAMES)
