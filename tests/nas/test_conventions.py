"""Our counts in the conventions of the papers, against figures that were counted without this code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from nas.cost import cost_of
from nas.cost.conventions import (
    CONVENTIONS,
    convention_of,
    dfl_constants,
    flops_2x,
    macs_with_conv_bias,
    params_folded,
    params_folded_published,
    params_published,
    ultralytics_flops,
    ultralytics_flops_folded,
)
from search_space import DESIGNS, Architecture, Detector, lower

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "golden.json").read_text())["designs"]
FOLDED_ROWS = [row for row in GOLDEN if "params_conv_bn_folded" in row]

FOLDED_WITH_CONSTANTS = {
    ("sn2-yolov8n", 20): 2_964_236,
    ("sn2-yolov8n", 80): 3_106_592,
    ("sn2-yolov5n", 20): 2_914_140,
    ("sn2-yolov5n", 80): 3_056_496,
    ("yolov5n-ihp", 20): 3_853_468,
    ("yolov5n-ihp", 80): 3_995_824,
    ("yolov8n-sni", 80): 3_151_904,
    ("yolov8n-gsconv", 80): 3_062_144,
    ("yolov8n-esd1", 80): 3_151_904,
    ("yolov8n-esd2", 80): 3_213_344,
    ("syolo", 20): 57_233_036,
    ("syolo", 80): 57_256_256,
}
"""Measured on the authors' own code after its folding pass."""

ULTRALYTICS = {
    "sodet-s": (16.343, 16.060),
    "sodet-m": (50.155, 49.624),
    "sodet-l": (182.079, 180.904),
    "yolov8n": (8.204, 8.095),
    "yolov8n-p2": (11.387, 11.216),
    "yolov8n-p2-nop5": (11.099, 10.930),
    "yolov8n-p2-nop5-bidir": (11.590, 11.415),
    "yolov8n-p2-nop5-bidir-cbam": (11.676, 11.501),
}
"""GFLOPs for 10 classes as Ultralytics' own hooks count them, plain and folded."""


def _design(name: str) -> tuple[Architecture, int]:
    return DESIGNS.get(name).architecture, DESIGNS.get(name).num_classes


@pytest.mark.parametrize("row", FOLDED_ROWS, ids=lambda row: row["design"])
def test_folded_parameters_are_golden(row: dict[str, object]):
    architecture, num_classes = _design(str(row["design"]))
    assert num_classes == row["num_classes"]
    assert params_folded(architecture, num_classes) == row["params_conv_bn_folded"]


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: f"{row['design']}-{row['num_classes']}")
def test_constants_are_those_of_published_counts(row: dict[str, object]):
    architecture, _ = _design(str(row["design"]))
    assert dfl_constants(architecture) == row["dfl_constants"]


@pytest.mark.parametrize(("name", "num_classes"), FOLDED_WITH_CONSTANTS)
def test_folded_parameters_of_more_designs(name: str, num_classes: int):
    counted = params_folded_published(DESIGNS.get(name).architecture, num_classes)
    assert counted == FOLDED_WITH_CONSTANTS[name, num_classes]


def test_a_norm_outside_a_conv_does_not_fold():
    """EAFusion has the only one: folding all norms would give its 64 channels away."""
    architecture, num_classes = _design("sodet-s")
    norms = [
        m for m in Detector(lower(architecture, num_classes=num_classes)).modules() if isinstance(m, nn.BatchNorm2d)
    ]
    all_folded = params_published(architecture, num_classes) - sum(norm.num_features for norm in norms)
    assert params_folded_published(architecture, num_classes) == all_folded + 64


@pytest.mark.slow
@pytest.mark.parametrize("name", ULTRALYTICS)
def test_ultralytics_operations(name: str):
    counted = [count(*_design(name)) / 1e9 for count in (ultralytics_flops, ultralytics_flops_folded)]
    assert [round(gflops, 3) for gflops in counted] == list(ULTRALYTICS[name])


def test_ultralytics_operations_grow_with_the_area():
    architecture, num_classes = _design("sodet-s")
    part = architecture.resized((160, 320))
    assert ultralytics_flops(architecture, num_classes) == 8 * ultralytics_flops(part, num_classes)


def test_average_pools_count_one_operation_an_output():
    """ESD-I adds two pools of each map to the strided convolution; only the average is counted."""
    plain, pooled = (ultralytics_flops(DESIGNS.get(name).architecture, 80) for name in ("yolov8n", "yolov8n-esd1"))
    assert pooled - plain == 2 * (64 * 40 * 40 + 128 * 20 * 20)


def test_syolo_prints_the_folded_count():
    architecture, num_classes = _design("syolo")
    published = DESIGNS.get("syolo").published
    assert convention_of("ultralytics_gflops", published) is CONVENTIONS["ultralytics_gflops_folded"]
    assert round(ultralytics_flops_folded(architecture, num_classes) / 1e9, 1) == 142.5
    assert round(ultralytics_flops(architecture, num_classes) / 1e9, 1) == 143.1
    assert flops_2x(architecture, num_classes) == 142_451_302_400
    assert convention_of("ultralytics_gflops", ("params_m",)) is CONVENTIONS["ultralytics_gflops"]
    assert convention_of("coco_ap", published) is None


@pytest.mark.parametrize(
    ("name", "expected"), [("tinydet-s", 495_044_963), ("tinydet-m", 990_630_491), ("tinydet-l", 2_426_763_800)]
)
def test_convolution_biases_count_one_addition_an_output(name: str, expected: int):
    assert macs_with_conv_bias(*_design(name)) == expected


def test_counting_leaves_the_detector_alone():
    """Folding is done on a copy without weights; the counts after it are those before it."""
    architecture, num_classes = _design("yolov8n")
    before = cost_of(architecture, num_classes=num_classes)
    ultralytics_flops_folded(architecture, num_classes)
    assert cost_of(architecture, num_classes=num_classes) == before
    assert torch.get_default_device() == torch.device("cpu")


@pytest.mark.parametrize("count", [convention.count for convention in CONVENTIONS.values()], ids=list(CONVENTIONS))
def test_counts_are_whole_numbers(count: Callable[[Architecture, int], int]):
    architecture = DESIGNS.get("yolov8n-p2-nop5").architecture.resized((96, 160))
    assert isinstance(count(architecture, 3), int) and count(architecture, 3) > 0
