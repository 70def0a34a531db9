"""Lowers the neck of DAMO-YOLO, whose merges also take the finer maps (Xu et al., 2022, GiraffeNeckV2)."""

from __future__ import annotations

from collections.abc import Mapping

from search_space.graph import Builder, Tap
from search_space.lowering.nodes import add_attention, add_downsample, add_fusion, add_stage_block, add_upsample
from search_space.parts import Head, Neck

Maps = dict[int, Tap]


def add_giraffe(builder: Builder, neck: Neck, head: Head, features: Mapping[int, Tap]) -> Maps:
    """Adds the neck; returns the maps of the head levels, finest first.

    On the way down a level merges the map of the backbone, the finer one and the coarser result; on the way up the
    result of the way down and the finer results of both ways. Channels are those of the backbone.
    """
    finest, trunk = head.finest_level, max(features)
    downs: Maps = {}
    for level in range(trunk, finest - 1, -1):
        inputs = [features[level]]
        if level > finest:
            inputs.append(_finer(builder, neck, features[level - 1], f"down{level}_finer"))
        if level < trunk:
            inputs.append(add_upsample(builder, f"down{level}_up", neck.upsample, downs[level + 1]))
        downs[level] = _merge(builder, neck, f"down{level}", inputs, features[level].channels, level)
    outputs = {finest: downs[finest]}
    for level in head.levels[1:]:
        inputs = [downs[level]]
        if level - 1 > finest:
            inputs.append(_finer(builder, neck, downs[level - 1], f"up{level}_finer"))
        inputs.append(_finer(builder, neck, outputs[level - 1], f"up{level}_down"))
        outputs[level] = _merge(builder, neck, f"up{level}", inputs, features[level].channels, level)
    return outputs


def _finer(builder: Builder, neck: Neck, finer: Tap, name: str) -> Tap:
    assert neck.downsample is not None
    return add_downsample(builder, name, neck.downsample, finer, finer.channels)


def _merge(builder: Builder, neck: Neck, name: str, inputs: list[Tap], channels: int, level: int) -> Tap:
    x = add_fusion(builder, f"{name}_fuse", "concat", tuple(inputs))
    x = add_stage_block(builder, name, neck.block, x, channels, neck.repeats, level=level, in_backbone=False)
    return add_attention(builder, name, neck.attention, x)
