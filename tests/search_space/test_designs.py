"""The named designs against golden counts, row by row of the file."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nas.cost import cost_of, node_costs
from nas.cost.oracle import fvcore_macs
from search_space import DESIGNS, Architecture, Detector, SearchSpace, lower
from search_space.errors import SpaceError
from search_space.heads.anchors import anchors_per_cell

SPACE = SearchSpace()
ROWS = json.loads((Path(__file__).parents[1] / "data" / "golden.json").read_text())["designs"]


def test_each_design_has_a_row_or_is_derived():
    with_row = {row["design"] for row in ROWS}
    assert with_row <= set(DESIGNS)
    designs = [DESIGNS.get(name) for name in DESIGNS]
    assert {each.name for each in designs if not (each.derived or each.reference or each.by_name)} <= with_row


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['design']}-{row['num_classes']}")
def test_counts_are_golden(row: dict[str, object]):
    architecture = DESIGNS.get(str(row["design"])).architecture
    num_classes, input_hw = int(row["num_classes"]), tuple(row["input_hw"])  # type: ignore[call-overload,arg-type]
    cost = cost_of(architecture, num_classes=num_classes, input_hw=input_hw)
    assert (cost.params, cost.macs) == (row["params"], row["macs"])
    graph = lower(architecture, num_classes=num_classes, input_hw=input_hw)
    parts: dict[str, Counter[str]] = {"macs": Counter(), "params": Counter()}
    for node, count in node_costs(graph):
        parts["macs"][node.part] += count.macs
        parts["params"][node.part] += count.params
    for kind, found in parts.items():
        assert dict(found) == row.get(f"{kind}_by_part", dict(found))
    if "anchors_total" in row:
        sides = {node.name: count.output_shape[1:] for node, count in node_costs(graph)}
        cells = [sides[name][0] * sides[name][1] for name in graph.outputs]
        per_cell = anchors_per_cell(graph.head.anchors, len(cells))
        assert sum(number * anchors for number, anchors in zip(cells, per_cell, strict=True)) == row["anchors_total"]


def _takes(architecture: Architecture, side: int) -> bool:
    try:
        lower(architecture, num_classes=1, input_hw=(side, side))
        return True
    except SpaceError:
        return False


def _sizes(architecture: Architecture) -> list[tuple[int, int]]:
    """The smallest square input a design takes, and one that is as high and wider by the least possible."""
    sides = (side for side in range(64, 1281, max(architecture.size_multiple, 4)) if _takes(architecture, side))
    first, second = next(sides), next(sides)
    return [(first, first), (first, second)]


@pytest.mark.slow(but=("yolov8n-p2-nop5",))
@pytest.mark.parametrize("name", DESIGNS.names())
def test_designs_run_forward_and_backward_and_fvcore_counts_the_same(name: str):
    """VGG16 with an eighth of its channels: its own take half a minute."""
    architecture = DESIGNS.get(name).architecture
    point = SPACE.encode(architecture)
    if point["backbone"] == "vgg16":
        architecture = SPACE.decode({**point, "width": 0.125}).resized(architecture.input_hw)
    sizes = _sizes(architecture)
    detector = Detector(lower(architecture, num_classes=3))
    assert fvcore_macs(detector, (3, *sizes[0])) == cost_of(architecture, num_classes=3, input_hw=sizes[0]).macs
    outputs = _run(detector, architecture, sizes[1])
    torch.stack([out.square().mean() for out in outputs if out.requires_grad]).sum().backward()
    assert all(parameter.grad is not None for parameter in detector.parameters())


def _run(detector: Detector, architecture: Architecture, input_hw: tuple[int, int]) -> list[torch.Tensor]:
    """Runs a detector in its trained form on one image; the outputs must have the shapes that were counted."""
    for module in detector.train().modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # one image has no statistics on a map of one cell
            module.eval()
    outputs = detector(torch.rand(1, 3, *input_hw))
    graph = lower(architecture, num_classes=3, input_hw=input_hw)
    counted = {node.name: count.output_shape for node, count in node_costs(graph)}
    assert [tuple(out.shape[1:]) for out in outputs] == [counted[output] for output in graph.outputs]
    return outputs


@pytest.mark.parametrize("name", DESIGNS.names())
def test_wrong_sizes_name_the_near_ones(name: str):
    architecture = DESIGNS.get(name).architecture
    step, side = architecture.size_multiple, architecture.input_hw[0]
    if step > 1:
        with pytest.raises(SpaceError, match=f"nearest: {side} or {side + step}"):
            lower(architecture, num_classes=3, input_hw=(side + 1, side))
        assert _takes(architecture, side) and _takes(architecture, side + step)
        return
    with pytest.raises(SpaceError, match="(nearest: |smallest square input is )") as refused:
        lower(architecture, num_classes=3, input_hw=(31, 31) if _takes(architecture, 32) else (40, 40))
    smallest = int(re.findall(r"(?:nearest: |input is )(\d+)", str(refused.value))[0])
    assert _takes(architecture, smallest) and not _takes(architecture, smallest - 1)


@pytest.mark.parametrize(
    ("name", "smallest"),
    [
        ("ssd-mobilenetv1", 32),
        ("ssd-mobilenetv1-s1l0", 257),
        ("ssd-mobilenetv1-s1l0-dualpath", 32),
        ("ssd-vgg16", 268),
        ("ssd-vgg16-s1l2", 32),
        ("ssd-vgg16-s1l2-dualpath", 267),  # every second row of 267 is 134 rows: one more than pooling gives
    ],
)
def test_smallest_inputs_of_ssd(name: str, smallest: int):
    architecture = DESIGNS.get(name).architecture
    assert _takes(architecture, smallest) and not _takes(architecture, smallest - 1)


@pytest.mark.parametrize("name", ["ssd-mobilenetv1", "ssd-vgg16"])
def test_removing_a_stride_and_a_second_path_leave_the_parameters(name: str):
    architecture = DESIGNS.get(name).architecture
    backbone = architecture.backbone
    params = cost_of(architecture, num_classes=20).params
    for level in range(2, 6):
        stages = tuple(replace(s, stride=1) if s.level == level else s for s in backbone.stages)
        removed = replace(architecture, backbone=replace(backbone, stages=stages))
        dual = replace(removed, backbone=replace(removed.backbone, dual_path="subsample"))
        assert cost_of(removed, num_classes=20).params == cost_of(dual, num_classes=20).params == params
        assert cost_of(removed, num_classes=20).macs > cost_of(architecture, num_classes=20).macs


@pytest.mark.slow
def test_the_second_path_of_mobilenet_is_the_plain_network():
    """A stride-2 convolution is a stride-1 convolution of which every second row and column is kept."""
    plain = DESIGNS.get("ssd-mobilenetv1").architecture
    dual = DESIGNS.get("ssd-mobilenetv1-s1l0-dualpath").architecture
    dual = replace(dual, head=plain.head)
    detectors = [Detector(lower(each, num_classes=2, input_hw=(160, 160))).double() for each in (plain, dual)]
    images = torch.rand(4, 3, 160, 160, dtype=torch.float64)
    with torch.no_grad():
        for norm in detectors[0].modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.momentum = 1.0  # so that one run gives statistics with which no signal fades
        detectors[0].train()(images)
        detectors[1].load_state_dict(detectors[0].state_dict())
        expected, found = (detector.eval()(images) for detector in detectors)
    for level in range(2, 6):
        assert torch.allclose(found[level], expected[level], atol=1e-9)
        assert expected[level].std() > 0.01
    assert found[0].shape[2] == 2 * expected[0].shape[2]


def test_unknown_designs_name_the_near_ones():
    with pytest.raises(SpaceError, match="did you mean 'yolov8n-p2'"):
        DESIGNS.get("yolov8n-p3")
    with pytest.raises(SpaceError, match="num_classes must be at least 1"):
        lower(DESIGNS.get("yolov8n").architecture, num_classes=0)
