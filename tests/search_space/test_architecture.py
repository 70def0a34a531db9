"""Architectures: round trips, keys, and one clear line for whatever is wrong with a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from nas.cost import cost_of
from search_space import DESIGNS, Architecture, Head, lower
from search_space.errors import SpaceError


@pytest.mark.parametrize("name", DESIGNS.names())
def test_round_trips(name: str, tmp_path: Path):
    architecture = DESIGNS.get(name).architecture
    assert Architecture.from_dict(architecture.to_dict()) == architecture
    architecture.to_yaml(tmp_path / "a.yaml")
    assert Architecture.from_yaml(tmp_path / "a.yaml") == architecture
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


def test_a_whole_number_stands_for_a_float():
    data = DESIGNS.get("tinydet-m").architecture.to_dict()
    read = Architecture.from_dict(data | {"head": data["head"] | {"anchor_scale": 8}})
    assert type(read.head.anchor_scale) is float and read.head.anchor_scale == 8


def test_keys_differ_between_designs_and_ignore_defaults():
    keys = {name: DESIGNS.get(name).architecture.key() for name in DESIGNS}
    assert len(set(keys.values())) == len(keys)
    architecture = DESIGNS.get("yolov8n").architecture
    data = architecture.to_dict()
    assert "box_channels" not in data["head"], "a default is not written"
    data["head"]["box_channels"] = 64
    assert Architecture.from_dict(data).key() == architecture.key()


EXTRA = {"channels": 256, "pattern": "S"}


def _changed(**changes: object) -> dict[str, object]:
    return DESIGNS.get("yolov8n").architecture.to_dict() | changes


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_changed(nek=None), "unknown field 'nek'; did you mean 'neck'"),
        (_changed(input_hw="640"), "input_hw is '640'; it must be a list"),
        (_changed(input_hw=[640, "640"]), r"input_hw\[1\] is '640'; it must be a whole number"),
        (_changed(input_hw=[640, True]), "is True; it must be a whole number"),
        (_changed(input_hw=[640]), "must be .height, width."),
        (_changed(input_hw=[600, 640]), "multiple of 32; nearest: 576 or 608"),
        (_changed(input_hw=[640, 16416]), "16416 must be at most "),
        (_changed(input_hw=[0, 640]), "positive multiple of 32; nearest: 32"),
        ({"input_hw": [64, 64]}, "field 'backbone' is missing"),
        ([1], "is a list; it must be a mapping with fields such as input_hw"),
    ],
)
def test_wrong_data_is_named(data: dict[str, object], message: str):
    with pytest.raises(SpaceError, match=message):
        Architecture.from_dict(data)


def _nested(design: str, part: str, **changes: object) -> dict[str, object]:
    data = DESIGNS.get(design).architecture.to_dict()
    return data | {part: data[part] | changes}


def _with_stage(design: str, index: int, **changes: object) -> dict[str, object]:
    data = DESIGNS.get(design).architecture.to_dict()
    data["backbone"]["stages"][index] |= changes
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_nested("yolov8n", "neck", kind="bifpn"), "unknown neck kind 'bifpn'.*known: pan, fpn, ihp"),
        (_nested("yolov8n", "neck", repeats=0), "repeats must be 0 for an fpn and at least 1 otherwise"),
        (_nested("yolov8n", "neck", channels=[8]), "one value for each of P3 to P5, got .8."),
        (_nested("yolov8n", "neck", downsample=None), "downsample must be set for a pan"),
        (_nested("yolov8n", "head", kind="two_stage"), "fpn neck whose width is a multiple of 49"),
        (_nested("yolov8n", "head", coarsest_level=3) | {"neck": None}, "no head uses the backbone beyond P3"),
        (_nested("yolov8n", "backbone", stem_kernel=6, stem_stride=1), "odd stem_kernel"),
        (_nested("tinydet-m", "neck", channels=[200]), "multiple of 49"),
        (_nested("tinydet-m", "neck", channels=[245, 245]), "one value in neck channels, got .245, 245."),
        (_nested("tinydet-m", "neck", finest_fusion="add"), "finest_fusion is not used by kind .fpn.*remove it"),
        (_nested("tinydet-m", "neck", transform="gsconv"), "neck transform is not used by kind .fpn."),
        (_nested("tinydet-m", "head", box_channels=32), "head box_channels is not used by kind .two_stage."),
        (_nested("tinydet-m", "head", anchor_scale=0.0), "anchor_scale must be a positive number, got 0.0"),
        (_nested("tinydet-m", "head", roi_scale=float("nan")), "roi_scale is nan; it must be a finite number"),
        (_nested("tinydet-m", "head") | {"neck": None}, "an fpn neck whose width is a multiple of 49; add the neck"),
        (_nested("yolov8n", "head", finest_level=5), "the head must start below the last backbone level"),
        (_changed(extras=[EXTRA]), "extra stages and a dual path cannot be combined with a neck"),
        (_nested("yolov8n", "backbone", stages=[]), "levels 2, 3, … without gaps, got ..$"),
        (_nested("yolov8n", "backbone", stem_stride=3), "stem_stride must be 1 or 2, got 3"),
        (_nested("yolov8n", "neck", last_downsample_width=0.0), r"last_downsample_width must be in \(0, 1\], got 0.0"),
        (_nested("yolov8n", "neck", p2_source="stem"), "p2_source 'stem' needs a head on P2"),
        (_nested("yolov8n", "neck", channels=[0, 8, 8]), "channels must be at least 1, got .0, 8, 8."),
        (_with_stage("yolov8n", 0, down_channels=0), "down_channels must be at least 1, got 0"),
        (_with_stage("ssd-mobilenetv1", 0, channels=40), "must be those of its last unit, 128, got 40"),
        (_with_stage("tinydet-m", 0, units=[{"kind": "inverted_residual", "channels": 36}]), "expanded must be"),
        (_with_stage("ssd-vgg16", 0, units=[{"kind": "conv_bias_relu", "channels": 128, "kernel": 4}]), "odd, got 4"),
        (_nested("tinydet-m", "neck", groups=[7]), "one value per head level .5., got .7."),
        (_nested("yolov8n", "backbone", dual_path="max"), "exactly one removed stride, got 0"),
        (_nested("ssd-vgg16-s1l2-dualpath", "head") | {"extras": []}, "a dual path feeds the extra stages"),
        (_with_stage("yolov8n", 3, stride=1), "the stride of P5 is removed; remove strides only up to P3"),
        (_with_stage("yolov8n", 0, stride=3), "stride must be 1 or 2, got 3"),
        (_with_stage("yolov8n", 0, repeats=0), "either repeats of at least 1 or units"),
    ],
)
def test_parts_that_contradict_each_other_are_named(data: dict[str, object], message: str):
    with pytest.raises(SpaceError, match=message):
        Architecture.from_dict(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_with_stage("yolov8n", 0, downsample="strided"), "but the stage has none; use 'conv'"),
        (_with_stage("yolov8n", 0, block="c2g"), "unknown stage block 'c2g'; did you mean 'c2f'"),
        (_with_stage("yolov8n", 0, stride=1, downsample="cdown"), "allows only a plain downsampling, got 'cdown'"),
        (_nested("yolov8n", "backbone", context="spp"), "unknown context 'spp'; did you mean 'sppf'"),
        (_nested("yolov8n", "backbone", stem="conv_rely"), "unknown stem 'conv_rely'; did you mean"),
        (_with_stage("tinydet-m", 0, downsample="strode"), "unknown downsampling 'strode'; did you mean 'strided'"),
        (_with_stage("yolov8n", 0, attention="ecaa"), "did you mean 'eca' or 'cbam'; known: none, eca"),
        (_nested("yolov8n", "head", class_branch="plane"), "did you mean 'plain'"),
        (_nested("ssd-vgg16", "head", anchors="vgg"), "did you mean 'vgg16'"),
        (_nested("ssd-vgg16-s1l2-dualpath", "backbone", dual_path="maximum"), "did you mean 'max'"),
        (
            DESIGNS.get("ssd-vgg16").architecture.to_dict() | {"extras": [{"channels": 256, "pattern": "X"}]},
            "unknown extra stage pattern 'X'; known: S, P, V",
        ),
        (
            _with_stage("ssd-mobilenetv1", 0, units=[{"kind": "separable", "channels": 128, "dilation": 2}]),
            "unknown argument 'dilation'",
        ),
    ],
)
def test_what_no_block_can_be_is_named_when_it_is_lowered(data: dict[str, object], message: str):
    with pytest.raises(SpaceError, match=message):
        lower(Architecture.from_dict(data), num_classes=3)


@pytest.mark.parametrize(
    "data",
    [
        _with_stage("yolov8n", 0, channels=1),
        _with_stage("yolov8n", 1, channels=33, block="elan"),
        _nested("yolov8n", "neck", cross_layer="eafusion"),
    ],
)
def test_what_a_block_refuses_is_one_line_that_names_the_node(data: dict[str, object]):
    architecture = Architecture.from_dict(data)
    with pytest.raises(SpaceError, match="^(node 'p|node 'up|elan|gsconve1)") as refused:
        cost_of(architecture, num_classes=3)
    assert "\n" not in str(refused.value)


def test_head_cannot_reach_below_the_backbone():
    architecture = DESIGNS.get("yolov8n").architecture
    with pytest.raises(SpaceError, match="needs P6, but the backbone ends at P5"):
        dataclasses.replace(architecture, head=Head(finest_level=3, coarsest_level=6))
    with pytest.raises(SpaceError, match="2 <= finest <= coarsest"):
        Head(finest_level=4, coarsest_level=3)


@pytest.mark.parametrize("content", ["{", "- 1", "!!python/object/apply:os.system ['true']", "\x00", "[" * 3000])
def test_wrong_files_are_named(content: str, tmp_path: Path):
    path = tmp_path / "wrong.yaml"
    path.write_text(content)
    with pytest.raises(SpaceError, match="wrong.yaml"):
        Architecture.from_yaml(path)


def test_missing_file_and_binary_file(tmp_path: Path):
    with pytest.raises(SpaceError, match="is not a file"):
        Architecture.from_yaml(tmp_path / "none.yaml")
    with pytest.raises(SpaceError, match="is not a file"):
        Architecture.from_yaml(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(SpaceError, match="not a YAML"):
        Architecture.from_yaml(tmp_path / "a.jpg")
