"""The building blocks of detectors: plain modules, registered by role and name.

A node of a graph names its block as `role:name`, for example `stage:c2f`. The interface of each role:

| role | constructor arguments | inputs |
|---|---|---|
| layer | any | one map |
| unit | `in_channels, out_channels`, plus its own; a stage can be a list of units | one map |
| stage | `in_channels, out_channels, repeats`, plus the result of `options(in_backbone, level)` | one map |
| transform | `in_channels, out_channels, stride` | one map |
| downsample | `in_channels, out_channels`; `channel_factor` multiplies `out_channels` | one map, halves it |
| upsample | none, or `channels` where the class attribute `takes_channels` is true | one map, doubles it |
| fusion | `in_channels`, a tuple; `output_channels(in_channels)` gives its output channels | maps, the lateral last |
| smooth | `channels, groups` | one map |
| attention | `channels` | one map |
| extra | `in_channels, out_channels, pattern` | one map, shrinks it |
| head | see `search_space.heads` | one map, or several |
"""

from __future__ import annotations

from torch import nn

from search_space.blocks.registries import (
    ATTENTIONS,
    DOWNSAMPLES,
    EXTRAS,
    FUSIONS,
    HEADS,
    LAYERS,
    SMOOTHS,
    STAGES,
    TRANSFORMS,
    UNITS,
    UPSAMPLES,
    named_only,
)
from search_space.registry import Registry

from search_space.blocks import attention, conv, csp, downsample, elan, extra, fusion, gsconv  # noqa: F401  isort: skip
from search_space.blocks import mobile, pooling, psa, rep, smooth, upsample, vgg  # noqa: F401  isort: skip
from search_space.blocks import cib, csp_depthwise, downsample_light, gelan, ghost, partial, shuffle  # noqa: F401  isort: skip

ROLES: dict[str, Registry[type[nn.Module]]] = {
    "layer": LAYERS,
    "stage": STAGES,
    "downsample": DOWNSAMPLES,
    "upsample": UPSAMPLES,
    "fusion": FUSIONS,
    "attention": ATTENTIONS,
    "head": HEADS,
    "unit": UNITS,
    "transform": TRANSFORMS,
    "smooth": SMOOTHS,
    "extra": EXTRAS,
}


def find_block(block: str) -> type[nn.Module]:
    """Returns the class of `role:name`; raises SpaceError if there is none."""
    role, _, name = block.partition(":")
    return ROLES[role].get(name)


__all__ = [
    "ATTENTIONS",
    "DOWNSAMPLES",
    "EXTRAS",
    "FUSIONS",
    "HEADS",
    "LAYERS",
    "ROLES",
    "SMOOTHS",
    "STAGES",
    "TRANSFORMS",
    "UNITS",
    "UPSAMPLES",
    "find_block",
    "named_only",
]
