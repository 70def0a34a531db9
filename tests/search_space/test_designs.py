"""The named designs against golden counts, row by row of the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from nas.cost import cost_of
from nas.cost.oracle import fvcore_macs
from search_space import DESIGNS, Detector, lower
from search_space.errors import SpaceError

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "golden.json").read_text())["designs"]
ROWS = [row for row in GOLDEN if row["design"] in DESIGNS]


def test_the_small_object_family_is_there():
    names = ("yolov8n", "yolov8n-p2", "yolov8n-p2-nop5", "yolov8n-p2-nop5-bidir", "yolov8n-p2-nop5-bidir-cbam")
    assert set(names) <= {row["design"] for row in ROWS}
    assert set(DESIGNS) <= {row["design"] for row in GOLDEN}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['design']}-{row['num_classes']}")
def test_counts_are_golden(row: dict[str, object]):
    design = DESIGNS.get(str(row["design"]))
    num_classes, input_hw = int(row["num_classes"]), tuple(row["input_hw"])  # type: ignore[call-overload,arg-type]
    cost = cost_of(design.architecture, num_classes=num_classes, input_hw=input_hw)
    assert (cost.params, cost.macs) == (row["params"], row["macs"])
    if "params_conv_bn_folded" in row:
        detector = Detector(lower(design.architecture, num_classes=num_classes))
        norm_channels = sum(m.num_features for m in detector.modules() if isinstance(m, torch.nn.BatchNorm2d))
        assert cost.params - norm_channels == row["params_conv_bn_folded"]


@pytest.mark.parametrize("name", DESIGNS.names())
def test_fvcore_counts_the_same_at_its_own_size(name: str):
    design = DESIGNS.get(name)
    detector = Detector(lower(design.architecture, num_classes=design.num_classes))
    cost = cost_of(design.architecture, num_classes=design.num_classes)
    assert cost.macs == fvcore_macs(detector, (3, *design.architecture.input_hw))


@pytest.mark.parametrize("name", DESIGNS.names())
@pytest.mark.parametrize("input_hw", [(64, 64), (96, 160)])
def test_designs_run_forward_and_backward(name: str, input_hw: tuple[int, int]):
    detector = Detector(lower(DESIGNS.get(name).architecture, num_classes=3, input_hw=input_hw))
    maps = detector(torch.rand(2, 3, *input_hw))
    sum(m.square().mean() for m in maps).backward()
    assert all(parameter.grad is not None for parameter in detector.parameters())


def test_wrong_sizes_name_the_near_ones():
    with pytest.raises(SpaceError, match="nearest: 608 or 640"):
        lower(DESIGNS.get("yolov8n").architecture, num_classes=3, input_hw=(630, 640))
    with pytest.raises(SpaceError, match="num_classes must be at least 1"):
        lower(DESIGNS.get("yolov8n").architecture, num_classes=0)


def test_unknown_designs_name_the_near_ones():
    with pytest.raises(SpaceError, match="did you mean 'yolov8n-p2'"):
        DESIGNS.get("yolov8n-p3")
