"""Nodes used by several parts of a detector. Each function adds one node and returns its output map."""

from __future__ import annotations

from search_space.blocks import ATTENTIONS, FUSIONS, STAGES, UPSAMPLES
from search_space.blocks.downsample import output_channels
from search_space.errors import check_known
from search_space.graph import Builder, Tap


def halved(tap: Tap, name: str, channels: int, stride: int = 2) -> Tap:
    """Returns the output map of a padded convolution with this stride: sides are rounded up."""
    if stride == 1:
        return tap.renamed(name, channels)
    height, width = tap.hw
    return Tap(name, channels, tap.level + 1, ((height + 1) // 2, (width + 1) // 2))


def doubled(tap: Tap, name: str) -> Tap:
    """Returns a map of twice the size."""
    return Tap(name, tap.channels, tap.level - 1, (2 * tap.hw[0], 2 * tap.hw[1]))


def add_conv(builder: Builder, name: str, x: Tap, channels: int, stride: int = 2, kernel_size: int = 3) -> Tap:
    """Adds a `Conv`, by default 3x3 with stride 2."""
    sizes = {"in_channels": x.channels, "out_channels": channels, "kernel_size": kernel_size, "stride": stride}
    return builder.add(halved(x, name, channels, stride), "layer:conv", (x,), sizes)


def add_pointwise(builder: Builder, name: str, x: Tap, channels: int) -> Tap:
    """Adds a plain 1x1 convolution with bias."""
    output = x.renamed(name, channels)
    return builder.add(output, "layer:pointwise", (x,), {"in_channels": x.channels, "out_channels": channels})


def add_downsample(builder: Builder, name: str, kind: str, x: Tap, channels: int) -> Tap:
    """Adds the downsampling `kind`, which may give a multiple of `channels`."""
    output = halved(x, name, output_channels(kind, channels))
    sizes = {"in_channels": x.channels, "out_channels": channels}
    return builder.add(output, f"downsample:{kind}", (x,), sizes)


def add_upsample(builder: Builder, name: str, kind: str, x: Tap) -> Tap:
    """Adds the upsampling `kind`, which keeps the channels."""
    arguments = {"channels": x.channels} if getattr(UPSAMPLES.get(kind), "takes_channels", False) else {}
    return builder.add(doubled(x, name), f"upsample:{kind}", (x,), arguments)


def add_fusion(builder: Builder, name: str, kind: str, maps: tuple[Tap, ...]) -> Tap:
    """Adds the fusion `kind` of maps of equal size, the lateral map last."""
    in_channels = tuple(tap.channels for tap in maps)
    channels = FUSIONS.get(kind).output_channels(in_channels)  # type: ignore[attr-defined]
    output = maps[-1].renamed(name, channels)
    return builder.add(output, f"fusion:{kind}", maps, {"in_channels": in_channels})


def add_stage_block(
    builder: Builder,
    name: str,
    kind: str,
    x: Tap,
    channels: int,
    repeats: int,
    *,
    level: int,
    in_backbone: bool,
    nested: bool | None = None,
) -> Tap:
    """Adds the stage block `kind`, with the options for its level and part; `nested` overrides that option."""
    cls = STAGES.get(kind)
    options = cls.options(in_backbone, level) if hasattr(cls, "options") else {}
    if nested is not None:
        options = {**options, "nested": nested}
    output = x.renamed(f"{name}_block", channels)
    sizes = {"in_channels": x.channels, "out_channels": channels, "repeats": repeats}
    return builder.add(output, f"stage:{kind}", (x,), {**sizes, **options})


def add_attention(builder: Builder, name: str, kind: str, x: Tap) -> Tap:
    """Adds the attention `kind`, or nothing where it is `none`."""
    if kind == "none":
        return x
    check_known("attention", kind, ("none", *ATTENTIONS))
    return builder.add(x.renamed(f"{name}_attention"), f"attention:{kind}", (x,), {"channels": x.channels})


def add_finer(builder: Builder, name: str, finer: Tap, level: int) -> Tap:
    """Adds a 3x3 `Conv` that downsamples a finer map to `level`, log2 of the stride; channels are kept."""
    return add_conv(builder, name, finer, finer.channels, stride=2 ** (level - finer.level))
