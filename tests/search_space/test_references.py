"""YOLOv8 and YOLO11 at their scales, and the rule of YOLO11 for nested blocks in the neck."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from nas.architectures import load_architecture
from search_space import DESIGNS, Architecture, Detector, SearchSpace, lower
from search_space.designs.references import REFERENCES
from search_space.errors import ConfigError, SpaceError

BINS = 16
"""Constants of the published heads that are no parameters of ours."""
PARAMETERS = {
    "yolov8n": 3_157_200,
    "yolov8s": 11_166_560,
    "yolov8m": 25_902_640,
    "yolov8l": 43_691_520,
    "yolov8x": 68_229_648,
    "yolo11n": 2_624_080,
    "yolo11s": 9_458_752,
    "yolo11m": 20_114_688,
    "yolo11l": 25_372_160,
    "yolo11x": 56_966_176,
}
"""Published counts at 80 classes, bins included."""
POINTS = {"yolov8n", "yolov8s", "yolov8m", "yolov8l", "yolov8x", "yolo11n", "yolo11s"}


def test_the_scales_are_those_with_a_published_count():
    assert list(REFERENCES) == list(PARAMETERS) and len(REFERENCES) == len(PARAMETERS)
    assert "yolov8z" not in REFERENCES and "yolo9n" not in REFERENCES
    assert REFERENCES["yolov8n"] == DESIGNS.get("yolov8n").architecture


@pytest.mark.parametrize("name", PARAMETERS)
def test_published_counts(name: str):
    with torch.device("meta"):
        detector = Detector(lower(REFERENCES[name], num_classes=80))
    assert sum(parameter.numel() for parameter in detector.parameters()) + BINS == PARAMETERS[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_scales_survive_files_and_points_come_back(name: str):
    architecture, space = REFERENCES[name], SearchSpace()
    assert Architecture.from_dict(architecture.to_dict()) == architecture
    assert space.contains(architecture) == (name in POINTS)
    if name in POINTS:
        assert space.decode(space.encode(architecture)) == architecture


def _nested(architecture: Architecture) -> dict[str, object]:
    nodes = lower(architecture, num_classes=1).nodes
    return {node.name: dict(node.arguments)["nested"] for node in nodes if node.block == "stage:c3k2"}


def test_yolo11n_nests_in_the_neck_in_the_last_block_only():
    neck = {"down4_block": False, "down3_block": False, "up4_block": False, "up5_block": True}
    backbone = {"p2_block": False, "p3_block": False, "p4_block": True, "p5_block": True}
    assert _nested(REFERENCES["yolo11n"]) == backbone | neck
    sodet = _nested(DESIGNS.get("sodet-s").architecture)
    assert sodet == {name: "4" in name for name in sodet}, "by level, as before"


def test_the_axis_of_nesting_exists_where_it_changes_the_detector():
    space = SearchSpace()
    assert space.encode(REFERENCES["yolo11n"])["neck_nested"] == "last"
    assert "neck_nested" not in space.encode(DESIGNS.get("sodet-s").architecture), "its last block is that of P4"
    assert "neck_nested" not in space.encode(DESIGNS.get("yolov8n").architecture)


def _with(name: str, part: str, **changes: object) -> Architecture:
    architecture = REFERENCES[name]
    changed = dataclasses.replace(getattr(architecture, part), **changes)
    return dataclasses.replace(architecture, **{part: changed})


def test_nesting_and_repeats_that_have_no_meaning_are_refused():
    with pytest.raises(SpaceError, match="nested 'last' needs block 'c3k2', got 'c2f'"):
        lower(_with("yolov8n", "neck", nested="last"), num_classes=1)
    with pytest.raises(SpaceError, match="nested 'last' needs a bottom-up path"):
        neck = dataclasses.replace(REFERENCES["yolo11n"].neck, downsample=None, channels=(64, 128))
        head = dataclasses.replace(REFERENCES["yolo11n"].head, coarsest_level=3)
        dataclasses.replace(REFERENCES["yolo11n"], neck=neck, head=head)
    with pytest.raises(SpaceError, match="unknown neck nested 'first'"):
        _with("yolo11n", "neck", nested="first")
    with pytest.raises(SpaceError, match="context_repeats 2 needs context 'sppf_c2psa', got 'sppf'"):
        _with("yolov8n", "backbone", context_repeats=2)


def test_the_scales_are_accepted_by_name():
    assert load_architecture("yolo11s") == REFERENCES["yolo11s"]
    assert load_architecture("yolov8x", (320, 640)).input_hw == (320, 640)
    with pytest.raises(ConfigError, match="did you mean 'yolo11n'"):
        load_architecture("yolo11nn")
