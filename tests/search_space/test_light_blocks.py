"""Blocks of light detectors: the counts of the authors' code, and of a detector with each of them in every stage.

The rows are those under `blocks` of light_golden.json. `MODULES` has the rows that are built, `NOT_BUILT` the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from nas.cost import cost_of
from nas.cost.counting import count_module
from search_space import DESIGNS, Architecture, Detector, lower
from search_space.blocks import DOWNSAMPLES, STAGES
from search_space.blocks.cib import CIB, C2fCIB, C2fCIBLarge
from search_space.blocks.conv import SPPF, Conv
from search_space.blocks.csp import C2f, C3k2, C3Light, SplitChain
from search_space.blocks.csp_depthwise import C3Depthwise, ChannelAttention, CSPInverted, CSPNeXt, DepthwiseInverted
from search_space.blocks.csp_depthwise import separable as yolo_separable
from search_space.blocks.gelan import GELAN
from search_space.blocks.ghost import C3Ghost, GhostBottleneck, GhostConv
from search_space.blocks.mobile import Separable
from search_space.blocks.partial import Elan7Partial, FasterNetBlock
from search_space.blocks.psa import C2PSA, C3k2Attention
from search_space.blocks.rep import RepConv
from search_space.blocks.shuffle import ShuffleUnit

ROWS = {
    row["block"]: row
    for row in json.loads((Path(__file__).parents[1] / "data" / "light_golden.json").read_text())["blocks"]
}


def halved(name: str, *channels: int) -> Callable[[], nn.Module]:
    return lambda: DOWNSAMPLES.get(name)(*channels)


MODULES: dict[str, Callable[[], nn.Module]] = {
    "SCDown(64,128,3,2)": halved("scdown", 64, 128),
    "ADown(64,128)": halved("adown", 64, 128),
    "AConv(64,128)": halved("aconv", 64, 128),
    "Conv(64,128,3,2)": halved("conv", 64, 128),
    "GhostConv(64,128,3,2)": halved("ghostconv", 64, 128),
    "GhostConv(64,64,1,1)": lambda: GhostConv(64, 64),
    "GhostBottleneck(64,64)": lambda: GhostBottleneck(64, 32, 64, cheap_kernel=5),
    "C3Ghost(64,64,1)": lambda: C3Ghost(64, 64),
    "ELAN1(32,32,32,16)": lambda: SplitChain(32, 32, 16, [Conv(16, 16, 3), Conv(16, 16, 3)]),
    "C2f(64,64,1,F)": lambda: C2f(64, 64),
    "C2fCIB(64,64,1,T,lk=F)": lambda: C2fCIB(64, 64),
    "CIB(64,64)": lambda: CIB(64),
    "C3k2(64,64,1,c3k F)": lambda: C3k2(64, 64),
    "C3k2(64,64,1,c3k T)": lambda: C3k2(64, 64, nested=True),
    "C3k2(128,128,1,attn)": lambda: C3k2Attention(128, 128, attention=True),
    "SPPF(128,128,5,3,True)": lambda: SPPF(128, 128, shortcut=True),
    "SPPELAN(128,128,64)": lambda: SPPF(128, 128),
    "PSA(128,128)": lambda: C2PSA(128),
    "C3(64,64,1,F) 1x1+3x3": lambda: C3Light(64, 64),
    "nanodet: ShuffleV2Block(116,116,1)": lambda: ShuffleUnit(116, 116),
    "nanodet: ShuffleV2Block(24,116,2)": lambda: ShuffleUnit(24, 116, 2),
    "nanodet: ShuffleV2Block(64,64,1)": lambda: ShuffleUnit(64, 64),
    "nanodet: ShuffleV2Block(64,128,2)": lambda: ShuffleUnit(64, 128, 2),
    "nanodet: GhostModule(64,64)": lambda: GhostConv(64, 64, cheap_kernel=3),
    "nanodet: GhostBottleneck(192,96,96)": lambda: GhostBottleneck(192, 96, 96),
    "nanodet: GhostBottleneck(64,64,64)": lambda: GhostBottleneck(64, 64, 64),
    "nanodet: DepthwiseConvModule(96,96,5)": lambda: yolo_separable(96, 96, 5),
    "pico: DepthwiseSeparable(64,64,k5)": lambda: Separable(64, 64, kernel=5, activation="hswish"),
    "pico: DepthwiseSeparable(64,128,s2,k5,SE)": lambda: Separable(
        64, 128, 2, kernel=5, squeeze=True, activation="hswish"
    ),
    "pico: DPModule(96,96,5)": lambda: Separable(96, 96, kernel=5, activation="hswish"),
    "RepConv(64,64)": lambda: RepConv(64, 64, identity=False),
    "RepConv(64,64,bn=True)": lambda: RepConv(64, 64),
    "damo: RepConv(64,64) train": lambda: RepConv(64, 64, identity=False),
    "RepVGGDW(64)": lambda: RepConv(64, 64, 7, groups=64, identity=False, small_kernel=3),
    "C2fCIB(64,64,1,T,lk=T)": lambda: C2fCIBLarge(64, 64),
    "RepNCSPELAN4(64,64,64,32,1)": lambda: GELAN(64, 64),
    "RepNCSPELAN4(64,64,64,32,3)": lambda: GELAN(64, 64, 3),
    "yolox: CSPLayer(64,64,1,depthwise)": lambda: C3Depthwise(64, 64),
    "yolox: CSPLayer(64,64,1)": lambda: C3Light(64, 64),
    "yolox: DWConv(64,128,3,2)": halved("depthwise", 64, 128),
    "damo: MobileV3Block(64,64)": lambda: DepthwiseInverted(64, CSPInverted.ratio * 64),
    "damo: CSPStage(64->64,n2,depthwise)": lambda: CSPInverted(64, 64, 2),
    "damo: DepthwiseConv(64,64,3,2)": halved("depthwise", 64, 64),
    "rtm: CSPLayer(64,64,1,cspnext,CA)": lambda: CSPNeXt(64, 64, attention=True),
    "rtm: CSPLayer(64,64,1,cspnext,noCA)": lambda: CSPNeXt(64, 64),
    "rtm: ChannelAttention(64)": lambda: ChannelAttention(64),
    "leaf: PConv(64,64)": lambda: Elan7Partial.layer(64),
    "leaf: GhostConv(32,64,3,2)": halved("ghostconv", 32, 64),
    "fasternet: FasterNet MLPBlock(64,n_div 4,ratio 2)": lambda: FasterNetBlock(64),
    "fasternet: FasterNet MLPBlock(32,n_div 4,ratio 2)": lambda: FasterNetBlock(32),
}
PICODET_HEAD, LEAF, YOLO12 = "part of the head of PicoDet", "of LEAF-YOLO alone, 21 ms on a Nano", "of YOLO12 alone"
NOT_BUILT = {
    "GhostBottleneck(64,128,3,2)": "no design has the strided one",
    "A2C2f(128,128,2,T,4)": YOLO12,
    "A2C2f(128,128,1,F,-1)": YOLO12,
    "pico: DPModule(96,1,5) align": PICODET_HEAD,
    "pico: PicoSE(96)": PICODET_HEAD,
    "leaf: C3_Res2Block(128,64,1)": LEAF,
    "leaf: SPPRFEM(128,256)": LEAF,
    "leaf: CoordConvATT(64,32,1,1)": LEAF,
    "yolox: Focus(3,16,3)": "a stem of YOLOX alone",
    "damo: CSPStage(64->64,n2,rep) train": "of DAMO-YOLO-T and larger models, which are not light",
}


def test_each_row_is_built_or_has_a_reason() -> None:
    assert not MODULES.keys() & NOT_BUILT.keys()
    assert MODULES.keys() | NOT_BUILT.keys() == ROWS.keys()


@pytest.mark.parametrize("name", MODULES)
def test_a_block_has_the_counts_of_the_authors_code(name: str) -> None:
    row = ROWS[name]
    with torch.device("meta"):
        count = count_module(MODULES[name](), tuple(row["input_chw"]))
    assert (count.params, count.macs_trained) == (row["params"], row["macs"])
    assert count.macs == row.get("macs_deployed", count.macs)


STAGE_COUNTS = {
    ("c2f", None): (872.58, 1_382_172),
    ("c2f_unsplit", None): (872.58, 1_382_172),
    ("elan4", 1): (666.66, 909_980),
    ("elan7", 1): (847.94, 1_319_324),
    ("gelan", 1): (960.40, 1_583_516),
    ("c2f_cib", None): (734.05, 1_053_020),
    ("c3_ghost", None): (669.22, 901_476),
    ("c3_depthwise", None): (682.10, 935_868),
    ("cspnext_plain", None): (773.39, 1_144_252),
    ("c2f_faster", None): (728.15, 1_045_052),
    ("elan7_partial", 1): (719.26, 1_022_300),
    ("elan7_gsconve1", 1): (829.75, 1_275_740),
    ("c2f_shuffle", None): (685.98, 944_812),
    ("lcnet", None): (708.61, 957_244),
}
"""Multiply-adds in millions and parameters, without the second branches of re-parameterised convolutions, of
`yolov8n-p2-nop5` with a block in all its stages, and its repeats; None: those of the design."""
DOWNSAMPLE_COUNTS = {"depthwise": 814.82, "adown": 824.87, "scdown": 837.28, "ghostconv": 841.49}
"""Multiply-adds in millions with a downsampling from P3 on and in the neck."""
PLAIN = DESIGNS.get("yolov8n-p2-nop5").architecture.resized((256, 256))


def with_block(block: str, repeats: int | None = None) -> Architecture:
    stages = tuple(replace(each, block=block, repeats=repeats or each.repeats) for each in PLAIN.backbone.stages)
    assert PLAIN.neck is not None
    return replace(
        PLAIN, backbone=replace(PLAIN.backbone, stages=stages), neck=replace(PLAIN.neck, block=block, repeats=1)
    )


@pytest.mark.parametrize(("block", "repeats"), STAGE_COUNTS)
def test_a_detector_with_a_block_in_every_stage(block: str, repeats: int | None) -> None:
    architecture = with_block(block, repeats)
    cost = cost_of(architecture, num_classes=4)
    with torch.device("meta"):
        modules = Detector(lower(architecture, num_classes=4)).modules()
    branches = sum(p.numel() for each in modules if isinstance(each, RepConv) for p in each.small.parameters())
    assert (round(cost.macs / 1e6, 2), cost.params - branches) == STAGE_COUNTS[block, repeats]


@pytest.mark.parametrize("name", DOWNSAMPLE_COUNTS)
def test_a_detector_with_a_downsampling_everywhere(name: str) -> None:
    stages = tuple(replace(each, downsample=name) if each.level > 2 else each for each in PLAIN.backbone.stages)
    assert PLAIN.neck is not None
    swapped = replace(PLAIN, backbone=replace(PLAIN.backbone, stages=stages), neck=replace(PLAIN.neck, downsample=name))
    assert round(cost_of(swapped, num_classes=4).macs / 1e6, 2) == DOWNSAMPLE_COUNTS[name]


def test_a_repeat_of_elan_is_two_convolutions() -> None:
    for name, divisor in (("elan7", 2), ("elan4", 4)):
        hidden, (one, two) = 64 // divisor, (STAGES.get(name)(64, 64, repeats) for repeats in (1, 2))
        more = sum(p.numel() for p in two.parameters()) - sum(p.numel() for p in one.parameters())
        assert more == 2 * (9 * hidden**2 + 2 * hidden) + 2 * hidden * 64


def test_elan_joins_the_last_map_first() -> None:
    block = STAGES.get("elan7")(2, 4)
    for number, name in enumerate(("bypass", "main", "chain.0", "chain.1"), start=1):
        parent, _, child = name.rpartition(".")
        setattr(block.get_submodule(parent), child, nn.Threshold(1e9, float(number)))
    block.join = nn.Identity()  # type: ignore[assignment]
    assert block(torch.zeros(1, 2, 1, 1)).flatten().tolist() == [4, 4, 3, 3, 2, 2, 1, 1]
