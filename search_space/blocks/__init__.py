"""The building blocks of detectors: plain modules, each written once, found by role and name.

A node of a graph names its block as `role:name`, for example `stage:c2f`. What each role is built with:

| role | built with | called with |
|---|---|---|
| layer | its own arguments | one map |
| unit | `in_channels, out_channels`, plus arguments of its own; several make a plain stage | one map |
| stage | `in_channels, out_channels, repeats`, plus what its `options(in_backbone, level)` returns | one map |
| transform | `in_channels, out_channels, stride` | one map |
| downsample | `in_channels, out_channels`; gives `output_channels(out_channels)` channels | one map, halves it |
| upsample | nothing; `sni` also `factor` | one map, doubles it |
| fusion | `in_channels`, a tuple; gives `output_channels(in_channels)` channels | the maps, the lateral one last |
| smooth | `channels, groups` | one map |
| attention | `channels` | one map |
| extra | `in_channels, out_channels, pattern` | one map, shrinks it |
| head | see `search_space.heads` | one map, or as the head says |
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
)
from search_space.registry import Registry

from search_space.blocks import attention, conv, csp, downsample, elan, extra, fusion, gsconv  # noqa: F401  isort: skip
from search_space.blocks import mobile, pooling, psa, smooth, upsample, vgg  # noqa: F401  isort: skip

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
    """Returns the class that a node's `role:name` stands for; raises SpaceError if there is none."""
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
]
