"""From a YOLO-style architecture to its graph: stem, stages, SPPF, the way down, the way up, a head a level."""

from __future__ import annotations

from collections.abc import Mapping

from search_space.architecture import Architecture, Backbone, Head, Neck
from search_space.blocks import FUSIONS, HEADS, STAGES
from search_space.blocks.downsample import output_channels
from search_space.errors import SpaceError
from search_space.graph import IMAGE, LOWERINGS, Builder, Graph, Tap
from search_space.heads.anchor_free import CLASS_TOWERS, REG_MAX, class_channels


@LOWERINGS.register("yolo")
def lower_yolo(architecture: Architecture, num_classes: int) -> Graph:
    """Returns the graph of a YOLO-style architecture."""
    builder = Builder()
    features = add_backbone(builder, architecture.backbone)
    if architecture.neck is None:
        maps = {architecture.head.finest_level: features[architecture.head.finest_level]}
    else:
        maps = add_neck(builder, architecture.neck, architecture.head, features)
    heads = add_heads(builder, architecture.head, maps, num_classes)
    strides = tuple(2**head.level for head in heads)
    outputs = tuple(head.name for head in heads)
    return Graph(tuple(builder.nodes), outputs, strides, num_classes, architecture.input_hw)


def add_backbone(builder: Builder, backbone: Backbone) -> dict[int, Tap]:
    """Adds stem, stages and SPPF; returns the map of each level from 1, the coarsest after SPPF."""
    x = Tap(IMAGE, 3, 0)
    x = add_conv(builder, "stem", x, backbone.stem_channels)
    features = {1: x}
    for stage in backbone.stages:
        x = add_downsample(builder, f"p{stage.level}_down", stage.downsample, x, stage.channels)
        x = add_stage(builder, f"p{stage.level}", stage.block, x, stage.channels, stage.repeats, in_backbone=True)
        x = features[stage.level] = add_attention(builder, f"p{stage.level}", stage.attention, x)
    context = Tap("context", x.channels, x.level)
    features[x.level] = builder.add(context, "layer:sppf", (x,), in_channels=x.channels, out_channels=x.channels)
    return features


def add_neck(builder: Builder, neck: Neck, head: Head, features: Mapping[int, Tap]) -> dict[int, Tap]:
    """Adds the way down to the finest head level and the way up to the coarsest; returns the head's maps by level.

    On the way up, each level merges the map below with the level's own map from the way down. With the `published`
    wiring it takes, on level 3, the map brought down for the merge there and, on level 4, that merge before its block:
    stale indices in the paper's configuration files, which its counts and its trained weights contain.
    """
    takes_finer = bool(getattr(FUSIONS.get(neck.fusion), "takes_finer", False))
    trunk = max(features)
    maps = {trunk: features[trunk]}
    skips: dict[int, Tap] = {}
    for level in range(trunk - 1, head.finest_level - 1, -1):
        up = add_upsample(builder, f"down{level}_up", neck.upsample, maps[level + 1])
        inputs: tuple[Tap, ...] = (up, features[level])
        if takes_finer:
            finer = features[level - 1]
            brought_down = add_conv(builder, f"down{level}_finer", finer, finer.channels)
            inputs = (brought_down, features[level], up)
            if level == 3:
                skips[3] = brought_down
        merged = add_fusion(builder, f"down{level}_fuse", neck.fusion, inputs)
        if level == 4:
            skips[4] = merged
        maps[level] = add_neck_block(builder, f"down{level}", neck, merged, features[level].channels)
    if neck.skip_wiring == "repaired" or not takes_finer:
        skips = {}
    outputs = {head.finest_level: maps[head.finest_level]}
    for level in range(head.finest_level + 1, head.coarsest_level + 1):
        below = outputs[level - 1]
        width = int(below.channels * (neck.last_downsample_width if level == head.coarsest_level else 1))
        assert neck.downsample is not None
        x = add_downsample(builder, f"up{level}_down", neck.downsample, below, width)
        x = add_fusion(builder, f"up{level}_fuse", neck.fusion, (x, skips.get(level, maps[level])))
        outputs[level] = add_neck_block(builder, f"up{level}", neck, x, features[level].channels)
    return outputs


def add_heads(builder: Builder, head: Head, maps: Mapping[int, Tap], num_classes: int) -> list[Tap]:
    """Adds a head on each level, finest first; the width of the class branches follows from the finest level."""
    if head.class_branch not in CLASS_TOWERS:
        raise SpaceError(f"unknown class_branch {head.class_branch!r}; known: {', '.join(CLASS_TOWERS)}")
    HEADS.get(head.kind)
    branches = {
        "box_channels": head.box_channels,
        "class_channels": class_channels(maps[head.finest_level].channels, num_classes),
        "num_classes": num_classes,
    }
    return [
        builder.add(
            Tap(f"head{level}", 4 * REG_MAX + num_classes, level),
            f"head:{head.kind}",
            (maps[level],),
            in_channels=maps[level].channels,
            **branches,
            stride=2**level,
            class_branch=head.class_branch,
        )
        for level in head.levels
    ]


def add_conv(builder: Builder, name: str, x: Tap, channels: int) -> Tap:
    """Adds a 3x3 `Conv` of stride 2."""
    output = Tap(name, channels, x.level + 1)
    sizes = {"in_channels": x.channels, "out_channels": channels, "kernel_size": 3, "stride": 2}
    return builder.add(output, "layer:conv", (x,), **sizes)


def add_downsample(builder: Builder, name: str, kind: str, x: Tap, channels: int) -> Tap:
    """Adds the downsampling `kind`; it may give more channels than it is asked for."""
    output = Tap(name, output_channels(kind, channels), x.level + 1)
    return builder.add(output, f"downsample:{kind}", (x,), in_channels=x.channels, out_channels=channels)


def add_upsample(builder: Builder, name: str, kind: str, x: Tap) -> Tap:
    """Adds the upsampling `kind`."""
    return builder.add(Tap(name, x.channels, x.level - 1), f"upsample:{kind}", (x,))


def add_fusion(builder: Builder, name: str, kind: str, maps: tuple[Tap, ...]) -> Tap:
    """Adds the fusion `kind` of maps of one level."""
    in_channels = tuple(tap.channels for tap in maps)
    channels = FUSIONS.get(kind).output_channels(in_channels)  # type: ignore[attr-defined]
    return builder.add(Tap(name, channels, maps[-1].level), f"fusion:{kind}", maps, in_channels=in_channels)


def add_stage(builder: Builder, name: str, kind: str, x: Tap, channels: int, repeats: int, *, in_backbone: bool) -> Tap:
    """Adds the stage block `kind`, with the options that follow from its place."""
    cls = STAGES.get(kind)
    options = cls.options(in_backbone, x.level) if hasattr(cls, "options") else {}
    output = Tap(f"{name}_block", channels, x.level)
    sizes = {"in_channels": x.channels, "out_channels": channels, "repeats": repeats}
    return builder.add(output, f"stage:{kind}", (x,), **sizes, **options)


def add_attention(builder: Builder, name: str, kind: str, x: Tap) -> Tap:
    """Adds the attention `kind`, or nothing where it is `none`."""
    if kind == "none":
        return x
    output = Tap(f"{name}_attention", x.channels, x.level)
    return builder.add(output, f"attention:{kind}", (x,), channels=x.channels)


def add_neck_block(builder: Builder, name: str, neck: Neck, x: Tap, channels: int) -> Tap:
    """Adds the neck's block and attention after a merge."""
    x = add_stage(builder, name, neck.block, x, channels, neck.repeats, in_backbone=False)
    return add_attention(builder, name, neck.attention, x)
