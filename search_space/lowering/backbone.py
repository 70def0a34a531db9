"""Lowers the backbone: stem, stages, context, the second run of a dual path, and the extra stages."""

from __future__ import annotations

import inspect
from functools import cache

from search_space.architecture import Architecture
from search_space.blocks import DOWNSAMPLES, UNITS
from search_space.blocks.extra import stride_and_padding
from search_space.errors import SpaceError, check_known, unknown_name
from search_space.graph import IMAGE, Builder, Tap
from search_space.lowering.nodes import add_attention, add_conv, add_downsample, add_stage_block, halved
from search_space.parts import IN_UNIT, POOLS, Backbone, Extra, Stage, Unit

STEMS = ("conv", "conv_hswish", "conv_relu", "conv_bias_relu", "rep", "deep")
BEFORE_BLOCK = "sppf_before"
"""The context block between the downsampling and the block of the last stage, as in YOLOX and RTMDet."""
HALVING = "csp_sppf_half"
"""The context block with half of the channels of the last stage, as in YOLOv7-tiny."""
CONTEXTS = ("none", "sppf", "sppf_c2psa", "sppf_shortcut", "sppf_shortcut_c2psa", "csp_sppf", BEFORE_BLOCK, HALVING)
SEARCHED_CONTEXTS = ("none", "sppf", "sppf_c2psa")
"""The others are in a search where they are named."""
DUAL_PATHS = {"subsample": "subsample", "max": "max_pool", "mean": "mean_pool"}
"""Layers that halve the map for the second run of a dual path, by their name in an architecture."""


def add_backbone(builder: Builder, architecture: Architecture) -> tuple[dict[int, Tap], list[Tap]]:
    """Adds backbone and extra stages; returns the map of each level from 1 on, and those of the extra stages.

    A dual path forks after the layer whose stride is removed. The levels come from the run on the whole map, the extra
    stages follow the run on the halved map (Mudassar & Mukhopadhyay, BMVC 2019).
    """
    backbone = architecture.backbone
    fork_level = backbone.removed_levels[0] if backbone.dual_path != "none" else None
    features: dict[int, Tap] = {}
    x = end = Tap(IMAGE, 3, 0, architecture.input_hw)
    for level in range(1, backbone.coarsest_level + 1):
        entered = _enter_level(builder, backbone, level, x)
        if level == fork_level:
            end = entered
        x = features[level] = _finish_level(builder, backbone, level, entered)
    if fork_level is None:
        end = x
    else:
        end = _add_halving(builder, backbone.dual_path, end)
        end = _run_again(builder, backbone, fork_level, end)
    builder.part = "extras"
    return features, _add_extras(builder, architecture.extras, end)


def _run_again(builder: Builder, backbone: Backbone, fork_level: int, x: Tap) -> Tap:
    """Adds the second run of the layers after the fork, with shared weights; returns the map of the coarsest level."""
    builder.second_run = True
    x = _finish_level(builder, backbone, fork_level, x)
    for level in range(fork_level + 1, backbone.coarsest_level + 1):
        x = _finish_level(builder, backbone, level, _enter_level(builder, backbone, level, x))
    builder.second_run = False
    return x


def _enter_level(builder: Builder, backbone: Backbone, level: int, x: Tap) -> Tap:
    """Adds the layer that changes the resolution: the stem at level 1, the downsampling or strided unit of a stage."""
    if level == 1:
        return _add_stem(builder, backbone, x)
    stage = backbone.stages[level - 2]
    if stage.downsample in IN_UNIT:
        aligned = {"aligned": True} if stage.downsample == "aligned" and stage.stride == 2 else {}
        return _add_unit(builder, f"p{level}_unit1", _units(stage)[0], x, stride=stage.stride, **aligned)
    if stage.downsample in POOLS:
        return x if stage.stride == 1 else _add_pool(builder, f"p{level}_down", stage.downsample, x)
    if stage.stride == 1:
        if stage.downsample != "conv":
            raise SpaceError(f"P{level}: a removed stride allows only a plain downsampling, got {stage.downsample!r}")
        return add_conv(builder, f"p{level}_down", x, stage.down_channels or stage.channels, stride=1)
    check_known("downsampling", stage.downsample, (*(IN_UNIT + POOLS if stage.units else ()), *DOWNSAMPLES))
    width = x.channels if stage.units else stage.down_channels or stage.channels
    return add_downsample(builder, f"p{level}_down", stage.downsample, x, width)


def _finish_level(builder: Builder, backbone: Backbone, level: int, x: Tap) -> Tap:
    """Adds the rest of a level: units or block, attention, and at the coarsest level the context."""
    if level == 1:
        return _add_units(builder, "p1", x, backbone.stem_units, start=1)
    stage = backbone.stages[level - 2]
    name, last = f"p{level}", level == backbone.coarsest_level
    if last and backbone.context == BEFORE_BLOCK:
        x = _add_context(builder, backbone, x)
    if stage.units:
        entered = stage.downsample in IN_UNIT
        x = _add_units(builder, name, x, stage.units[entered:], start=1 + entered)
    else:
        x = add_stage_block(builder, name, stage.block, x, stage.channels, stage.repeats, level=level, in_backbone=True)
    x = add_attention(builder, name, stage.attention, x)
    return _add_context(builder, backbone, x) if last and backbone.context != BEFORE_BLOCK else x


def _units(stage: Stage) -> tuple[Unit, ...]:
    if not stage.units:
        raise SpaceError(
            f"P{stage.level}: downsample {stage.downsample!r} needs units, but the stage has none; use 'conv'"
        )
    return stage.units


def _add_stem(builder: Builder, backbone: Backbone, x: Tap) -> Tap:
    sizes = {
        "in_channels": x.channels,
        "out_channels": backbone.stem_channels,
        "kernel_size": backbone.stem_kernel,
        "stride": backbone.stem_stride,
    }
    check_known("stem", backbone.stem, STEMS)
    output = halved(x, "stem", backbone.stem_channels, backbone.stem_stride)
    return builder.add(output, f"layer:{backbone.stem}", (x,), sizes)


def _add_units(builder: Builder, name: str, x: Tap, units: tuple[Unit, ...], start: int) -> Tap:
    for number, unit in enumerate(units, start=start):
        x = _add_unit(builder, f"{name}_unit{number}", unit, x)
    return x


def _add_unit(builder: Builder, name: str, unit: Unit, x: Tap, stride: int = 1, **options: object) -> Tap:
    """Adds one unit; raises SpaceError where its kind does not accept one of the arguments."""
    arguments = {**unit.arguments(), **({"stride": stride} if stride > 1 else {}), **options}
    known = _parameters(unit.kind)
    for argument in arguments:
        if argument not in known:
            raise SpaceError(f"unit {unit.kind!r}: {unknown_name('argument', argument, known)}")
    output = halved(x, name, unit.channels, stride)
    sizes = {"in_channels": x.channels, "out_channels": unit.channels}
    return builder.add(output, f"unit:{unit.kind}", (x,), {**sizes, **arguments})


@cache
def _parameters(kind: str) -> tuple[str, ...]:
    """Returns the names of the constructor arguments of a kind of unit."""
    return tuple(inspect.signature(UNITS.get(kind)).parameters)


def _add_pool(builder: Builder, name: str, kind: str, x: Tap) -> Tap:
    """Adds a 2x2 pool; sides are rounded down unless it is `max_pool_ceil`."""
    round_up = int(kind == "max_pool_ceil")
    height, width = ((side + round_up) // 2 for side in x.hw)
    output = Tap(name, x.channels, x.level + 1, (height, width))
    options = {"ceil_mode": True} if round_up else {}
    return builder.add(output, f"layer:{kind.removesuffix('_ceil')}", (x,), options)


def _add_halving(builder: Builder, kind: str, x: Tap) -> Tap:
    """Adds the layer that halves the map for the second run of a dual path."""
    check_known("dual_path", kind, ("none", *DUAL_PATHS))
    if kind == "subsample":
        return builder.add(halved(x, "fork", x.channels), "layer:subsample", (x,))
    return _add_pool(builder, "fork", DUAL_PATHS[kind], x)


def _add_context(builder: Builder, backbone: Backbone, x: Tap) -> Tap:
    """Adds the context block at the coarsest level."""
    kind = backbone.context
    check_known("context", kind, CONTEXTS)
    if kind == "none":
        return x
    width = x.channels // 2 if kind == HALVING else x.channels
    sizes: dict[str, object] = {"in_channels": x.channels, "out_channels": width}
    if kind.startswith("sppf_shortcut"):
        sizes["shortcut"] = True
    block = kind if kind.startswith("csp_sppf") else "sppf"
    x = builder.add(x.renamed("context", width), f"layer:{block}", (x,), sizes)
    if not kind.endswith("c2psa"):
        return x
    arguments = {"channels": x.channels}
    if backbone.context_repeats > 1:
        arguments["repeats"] = backbone.context_repeats
    return builder.add(x.renamed("context_attention"), "layer:c2psa", (x,), arguments)


def _add_extras(builder: Builder, extras: tuple[Extra, ...], x: Tap) -> list[Tap]:
    """Adds the extra stages in order; raises ExtraTooSmall where a map is too small for the next one."""
    maps = []
    for number, extra in enumerate(extras, start=1):
        output = _extra_output(f"extra{number}", extra, x)
        arguments = {"in_channels": x.channels, "out_channels": extra.channels, "pattern": extra.pattern}
        x = builder.add(output, f"extra:{extra.kind}", (x,), arguments)
        maps.append(x)
    return maps


def _extra_output(name: str, extra: Extra, x: Tap) -> Tap:
    stride, padding = stride_and_padding(extra.pattern)
    if min(x.hw) + 2 * padding < 3:
        raise ExtraTooSmall(f"{name} (3x3 without padding) needs a map of 3x3 cells, got {x.hw[0]}x{x.hw[1]}")
    height, width = ((side + 2 * padding - 3) // stride + 1 for side in x.hw)
    return Tap(name, extra.channels, x.level + stride - 1, (height, width))


class ExtraTooSmall(SpaceError):
    """The input is too small for the extra stages."""
