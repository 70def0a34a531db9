"""The light reference designs for phones against golden counts, trained for a few steps, exported and told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nas import reproduce
from nas.cost import cost_of
from nas.engine.run_request import default_starts
from search_space import DESIGNS, Architecture, Detector, Head, Neck, SearchSpace, lower
from search_space.errors import SpaceError
from search_space.heads.gated import aligned_logits
from search_space.plain import Options

NAMES = (
    "rtmdet-tiny",
    "nanodet-plus-m",
    "nanodet-plus-m-1.5x",
    "picodet-s",
    "picodet-xs",
    "damo-yolo-ns",
    "damo-yolo-nm",
)
NOT_BUILT = {
    "yolox-nano": "its head has an objectness map and exponential sizes, no kind of head here",
    "yolox-tiny": "as yolox-nano",
    "leaf-yolo-n": "its head has the anchors of YOLOv7, no kind of head here",
    "leaf-yolo": "as leaf-yolo-n",
}
"""Designs of the file for phones and small boards that are not built, with the reason."""
GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "light_golden.json").read_text())["designs"]
ROWS = [row for row in GOLDEN if row["design"] in NAMES]
SPACE = SearchSpace()


def architecture_of(name: str, side: int = 64) -> Architecture:
    return DESIGNS.get(name).architecture.resized((side, side))


def test_each_design_has_rows_and_is_marked_as_a_reference() -> None:
    assert {row["design"] for row in ROWS} == set(NAMES)
    assert all(DESIGNS.get(name).reference for name in NAMES)
    assert NOT_BUILT.keys() <= {row["design"] for row in GOLDEN} and not NOT_BUILT.keys() & set(DESIGNS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['design']}-{row['num_classes']}-{row['input_hw'][0]}")
def test_counts_are_golden(row: dict[str, Any]) -> None:
    architecture, num_classes = DESIGNS.get(row["design"]).architecture, row["num_classes"]
    cost = cost_of(architecture, num_classes=num_classes, input_hw=tuple(row["input_hw"]))
    assert (cost.params, cost.macs) == (row["params"], row["macs"])
    with torch.device("meta"):
        modules = Detector(lower(architecture, num_classes=num_classes)).modules()
    norms = sum(module.num_features for module in modules if isinstance(module, nn.BatchNorm2d))
    assert cost.params - norms == row["params_conv_bn_folded"]


@pytest.mark.parametrize("name", NAMES)
def test_published_counts_are_compared(name: str) -> None:
    told = reproduce(name, check_fvcore=False)
    counts = {row.name: row for row in told.published if row.convention is not None}
    assert len(counts) == 2 and "coco_val_ap" in {row.name for row in told.published}
    assert all(row.as_printed or row.reason == row.note != "" for row in counts.values())
    assert all(abs(row.deviation_percent or 0) < 4.1 for row in counts.values())


def test_fvcore_counts_the_same() -> None:
    told = reproduce("picodet-xs", num_classes=4, input_hw=(256, 256), check_fvcore=True)
    assert told.fvcore_macs == told.macs == 201_777_392


def test_no_search_starts_from_a_reference_design_unless_it_is_named() -> None:
    for head in ("anchor_free", "ssd", "two_stage"):
        assert not set(default_starts({"head": (head,)})) & {*NAMES, *NOT_BUILT}
        assert all(not DESIGNS.get(name).reference for name in default_starts({"head": (head,)}))


def test_aligned_logits_are_those_of_the_root_of_both_scores() -> None:
    classes, alignment = torch.linspace(-12, 12, 30).view(1, 5, 2, 3), torch.linspace(-3, 9, 6).view(1, 1, 2, 3)
    wanted = (classes.double().sigmoid() * alignment.double().sigmoid() + 1e-9).sqrt()
    assert torch.allclose(aligned_logits(classes, alignment).double(), wanted.logit(), rtol=0, atol=2e-5)
    extreme = torch.tensor([-90.0, 90.0]).view(1, 1, 1, 2)
    assert aligned_logits(extreme, extreme).isfinite().all()


def test_the_extra_level_is_half_of_the_last_one_and_the_sum_of_two_maps() -> None:
    detector = Detector(lower(architecture_of("nanodet-plus-m", 96), num_classes=3)).eval()
    assert detector.strides == (8, 16, 32, 64)
    with torch.no_grad():
        outputs = detector(torch.rand(1, 3, 96, 96))
        lateral, output, total = detector.maps(
            torch.rand(1, 3, 96, 96), ("extra6_lateral", "extra6_output", "extra6_fuse")
        )
    assert [tuple(out.shape[2:]) for out in outputs] == [(12, 12), (6, 6), (3, 3), (2, 2)]
    assert torch.equal(total, lateral + output)


def test_the_neck_of_damo_yolo_merges_the_finer_maps_of_both_ways() -> None:
    nodes = {node.name: node.inputs for node in lower(architecture_of("damo-yolo-ns"), num_classes=3).nodes}
    merged = {name: inputs for name, inputs in nodes.items() if name.endswith("_fuse")}
    assert merged == {
        "down5_fuse": ("p5_unit3", "down5_finer"),
        "down4_fuse": ("p4_unit4", "down4_finer", "down4_up"),
        "down3_fuse": ("p3_unit2", "down3_up"),
        "up4_fuse": ("down4_block", "up4_down"),
        "up5_fuse": ("down5_block", "up5_finer", "up5_down"),
    }
    assert nodes["up5_finer"] == ("down4_block",) and nodes["up5_down"] == ("up4_block",)


def test_the_learned_scale_multiplies_boxes_only() -> None:
    detector = Detector(lower(architecture_of("damo-yolo-ns"), num_classes=3)).eval()
    images, sides = torch.rand(1, 3, 64, 64), 4 * 8
    with torch.no_grad():
        before = detector(images)[0]
        detector.blocks["head3"].box_scale.fill_(2.0)  # type: ignore[union-attr,operator]
        after = detector(images)[0]
    assert torch.allclose(after[:, :sides], 2 * before[:, :sides]) and torch.equal(after[:, sides:], before[:, sides:])


def _neck(name: str, **changes: object) -> Architecture:
    architecture = DESIGNS.get(name).architecture
    return replace(architecture, neck=replace(architecture.neck, **changes))  # type: ignore[type-var]


def test_contradictions_are_refused() -> None:
    with pytest.raises(SpaceError, match="channels of a giraffe are those of the backbone"):
        _neck("damo-yolo-ns", channels=(40, 80, 160))
    with pytest.raises(SpaceError, match="neck downsample must be set .* for a giraffe"):
        _neck("damo-yolo-ns", downsample=None)
    with pytest.raises(SpaceError, match="lateral is not used by kind 'giraffe'"):
        Neck(kind="giraffe", repeats=1, downsample="conv", lateral=True)
    picodet = DESIGNS.get("picodet-s").architecture
    assert picodet.neck is not None
    with pytest.raises(SpaceError, match="need a head up to the last backbone level, P5, got P4"):
        replace(picodet, head=replace(picodet.head, coarsest_level=4), neck=replace(picodet.neck, channels=(96, 96)))
    with pytest.raises(SpaceError, match="head_stem_kernel needs a head_stem"):
        replace(
            DESIGNS.get("yolov8n").architecture,
            head=Head(finest_level=3, coarsest_level=5, options=Options({"head_stem_kernel": 3})),
        )


def test_a_downsampling_of_even_maps_doubles_the_sides_that_an_extra_level_takes() -> None:
    assert DESIGNS.get("picodet-s").architecture.size_multiple == 32
    resized = _neck("picodet-s", downsample="depthwise").resized((96, 96))
    assert lower(resized, num_classes=1).strides[-1] == 64
    with pytest.raises(SpaceError, match="input side 416 must be a positive multiple of 64"):
        _neck("picodet-s", downsample="cdown")
