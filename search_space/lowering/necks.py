"""Lowers the neck: from the maps of the backbone to the maps that the head reads."""

from __future__ import annotations

from collections.abc import Mapping

from search_space.architecture import Architecture
from search_space.blocks import FUSIONS, SMOOTHS, STAGES
from search_space.errors import SpaceError
from search_space.graph import Builder, Tap
from search_space.lowering.giraffe import add_giraffe
from search_space.lowering.nodes import (
    add_attention,
    add_conv,
    add_downsample,
    add_finer,
    add_fusion,
    add_pointwise,
    add_stage_block,
    add_upsample,
)
from search_space.parts import Head, Neck
from search_space.tables import scaled

Maps = dict[int, Tap]


def add_neck(builder: Builder, neck: Neck, architecture: Architecture, features: Mapping[int, Tap]) -> Maps:
    """Adds the neck; returns the maps of the head levels, finest first."""
    levels = architecture.head.levels
    features = dict(features)
    if neck.p2_source == "stem":
        width = features[2].channels
        stride = 2 ** (features[2].level - features[1].level)
        features[2] = add_conv(builder, "p2_source", features[1], width, stride=stride)
    if neck.kind == "ihp":
        return {level: _independent(builder, neck, features[level], level) for level in levels}
    if neck.kind == "giraffe":
        return add_giraffe(builder, neck, architecture.head, features)
    add = _add_fpn if neck.kind == "fpn" else _add_pan
    return add(builder, neck, architecture, features)


def _add_pan(builder: Builder, neck: Neck, architecture: Architecture, features: Mapping[int, Tap]) -> Maps:
    """Adds the top-down path, the bottom-up path, and the fusion of the finest map for the head."""
    if neck.nested == "last" and not getattr(STAGES.get(neck.block), "nests_by_level", False):
        raise SpaceError(f"neck nested 'last' needs block 'c3k2', got {neck.block!r}; use 'by_level'")
    widths = _widths(architecture, features)
    if neck.lateral:
        laterals = {
            level: add_conv(builder, f"lateral{level}", features[level], width, 1, 1) for level, width in widths.items()
        }
        features = {**features, **laterals}
    maps, skips = _add_way_down(builder, neck, widths, features)
    outputs = _add_way_up(builder, neck, architecture.head, widths, features, maps, skips)
    if neck.extra_level:
        last = max(outputs)
        outputs[last + 1] = _add_extra_level(builder, neck, maps[last], outputs[last], last + 1)
    if neck.finest_fusion != "none":
        finest = architecture.head.finest_level
        pair = (outputs[finest], features[finest])
        outputs[finest] = add_fusion(builder, f"finest{finest}_fuse", neck.finest_fusion, pair)
    return outputs


def _widths(architecture: Architecture, features: Mapping[int, Tap]) -> dict[int, int]:
    """Returns the channels of the blocks of a `pan` by level."""
    neck = architecture.neck
    assert neck is not None
    if neck.channels is None:
        return {level: features[level].channels for level in architecture.neck_levels}
    return dict(zip(architecture.neck_levels, neck.channels, strict=True))


def _add_way_down(
    builder: Builder, neck: Neck, widths: Mapping[int, int], features: Mapping[int, Tap]
) -> tuple[Maps, Maps]:
    """Adds the top-down path; returns its maps by level, and the skip connections to the bottom-up path.

    With the `published` wiring the bottom-up path takes, on level 3, the downsampled finer map of the merge there and,
    on level 4, the output of that merge before its block. These are wrong layer indices in the configuration files of
    the paper, but its counts and trained weights contain them.
    """
    trunk, finest = max(features), min(widths)
    takes_finer = bool(getattr(FUSIONS.get(neck.fusion), "takes_finer", False))
    stale = takes_finer and neck.skip_wiring == "published"
    maps = {trunk: features[trunk]}
    skips: Maps = {}
    for level in range(trunk - 1, finest - 1, -1):
        if neck.reduce:
            maps[level + 1] = add_conv(builder, f"down{level}_reduce", maps[level + 1], widths[level], 1, 1)
        inputs = _merged_down(builder, neck, maps[level + 1], features, level, widths[level])
        merged = add_fusion(builder, f"down{level}_fuse", neck.fusion, inputs)
        if stale and level in (3, 4):
            skips[level] = inputs[0] if level == 3 else merged
        repeats = _repeats_at_first(neck) if level == trunk - 1 else neck.repeats
        maps[level] = _add_block(builder, f"down{level}", neck, merged, widths[level], repeats, level)
    return maps, maps | skips


def _merged_down(
    builder: Builder, neck: Neck, coarser: Tap, features: Mapping[int, Tap], level: int, width: int
) -> tuple[Tap, ...]:
    """Returns the maps to merge on the top-down path: coarser, backbone and optionally finer map.

    Where the fusion reduces them, a 1x1 gives the coarser and the backbone map this width, and the latter comes first.
    """
    if getattr(FUSIONS.get(neck.fusion), "reduces", False):
        coarser = add_conv(builder, f"down{level}_reduce", coarser, width, 1, 1)
        lateral = add_conv(builder, f"down{level}_lateral", features[level], width, 1, 1)
        return lateral, add_upsample(builder, f"down{level}_up", neck.upsample, coarser)
    up = add_upsample(builder, f"down{level}_up", neck.upsample, coarser)
    if not getattr(FUSIONS.get(neck.fusion), "takes_finer", False):
        return up, features[level]
    below = features[level - 1]
    if getattr(FUSIONS.get(neck.fusion), "narrows_finer", False):
        below = add_conv(builder, f"down{level}_narrow", below, up.channels, 1, 1)
    finer = add_finer(builder, f"down{level}_finer", below, features[level].level)
    return finer, features[level], up


def _repeats_at_first(neck: Neck) -> int:
    """Returns the repeats at the first merge of the top-down path; SYOLO has fewer there."""
    return 1 if getattr(STAGES.get(neck.block), "lighter_first_merge", False) else neck.repeats


def _add_way_up(
    builder: Builder,
    neck: Neck,
    head: Head,
    widths: Mapping[int, int],
    features: Mapping[int, Tap],
    maps: Mapping[int, Tap],
    skips: Mapping[int, Tap],
) -> Maps:
    """Adds the bottom-up path; returns the maps of the head levels."""
    trunk = max(features)
    outputs = {head.finest_level: maps[head.finest_level]}
    for level in head.levels[1:]:
        below = outputs[level - 1]
        assert neck.downsample is not None
        last = level == head.coarsest_level
        width = _downsampled_width(neck, below.channels, widths[level], last=last)
        kind = neck.last_downsample if last and neck.last_downsample is not None else neck.downsample
        x = add_downsample(builder, f"up{level}_down", kind, below, width)
        inputs: tuple[Tap, ...] = (x, skips[level])
        fusion = neck.fusion
        if neck.cross_layer != "none" and level < trunk:
            inputs, fusion = (x, skips[level], features[level]), neck.cross_layer
        x = add_fusion(builder, f"up{level}_fuse", fusion, inputs)
        outputs[level] = _add_block(builder, f"up{level}", neck, x, widths[level], neck.repeats, level, last=last)
    return outputs


def _add_extra_level(builder: Builder, neck: Neck, coarsest: Tap, output: Tap, level: int) -> Tap:
    """Adds the level after the last one: downsampled, the coarsest map of the way down plus the coarsest output."""
    assert neck.downsample is not None
    pair = tuple(
        add_downsample(builder, f"extra{level}_{name}", neck.downsample, x, output.channels)
        for name, x in (("lateral", coarsest), ("output", output))
    )
    return add_fusion(builder, f"extra{level}_fuse", "add", pair)


def _downsampled_width(neck: Neck, below: int, level_width: int, *, last: bool) -> int:
    """Returns the channels of a downsampling on the bottom-up path, rounded to multiples of 4 where reduced."""
    if neck.downsample_to == "level":
        return level_width
    return scaled(below, neck.last_downsample_width, least=4) if last else below


def _add_block(
    builder: Builder, name: str, neck: Neck, x: Tap, channels: int, repeats: int, level: int, *, last: bool = False
) -> Tap:
    """Adds the block and the attention of the neck after a merge; `last` is that of the bottom-up path."""
    nested = last if neck.nested == "last" else None
    kind = neck.last_block if last and neck.last_block is not None else neck.block
    x = add_stage_block(builder, name, kind, x, channels, repeats, level=level, in_backbone=False, nested=nested)
    return add_attention(builder, name, neck.attention, x)


def _independent(builder: Builder, neck: Neck, x: Tap, level: int) -> Tap:
    """Adds transform and block of one level of an independent hierarchy pyramid (IHP, SN2-YOLO)."""
    sizes = {"in_channels": x.channels, "out_channels": x.channels}
    name = f"level{level}"
    x = builder.add(x.renamed(f"{name}_transform"), f"transform:{neck.transform}", (x,), sizes)
    return _add_block(builder, name, neck, x, x.channels, neck.repeats * max(1, min(level, 5) - 2), level)


def _add_fpn(builder: Builder, neck: Neck, architecture: Architecture, features: Mapping[int, Tap]) -> Maps:
    """Adds lateral 1x1 convolutions, the top-down path, and a smoothing convolution per head level (TinyDet).

    A 1x1 convolution restores the width after a fusion that changes it.
    """
    assert neck.channels is not None
    width, levels, trunk = neck.channels[0], architecture.head.levels, max(features)
    laterals = {
        level: add_pointwise(builder, f"lateral{level}", features[level], width)
        for level in range(levels[0], trunk + 1)
    }
    maps = {trunk: laterals[trunk]}
    for level in range(trunk - 1, levels[0] - 1, -1):
        finer = {level - 1: features[level - 1], level: laterals[level]}
        x = add_fusion(
            builder, f"down{level}_fuse", neck.fusion, _merged_down(builder, neck, maps[level + 1], finer, level, width)
        )
        maps[level] = x if x.channels == width else add_pointwise(builder, f"down{level}_width", x, width)
    SMOOTHS.get(neck.smooth)
    groups = neck.groups or (1,) * len(levels)
    return {
        level: _add_smooth(builder, neck, maps[level], f"smooth{level}", number)
        for level, number in zip(levels, groups, strict=True)
    }


def _add_smooth(builder: Builder, neck: Neck, x: Tap, name: str, groups: int) -> Tap:
    options = {} if groups == 1 else {"groups": groups}
    smooth = builder.add(x.renamed(name), f"smooth:{neck.smooth}", (x,), {"channels": x.channels, **options})
    return add_attention(builder, name, neck.attention, smooth)
