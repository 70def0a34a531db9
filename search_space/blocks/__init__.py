"""The building blocks of detectors: plain modules, each written once, found by role and name.

A node of a graph names its block as `role:name`, for example `stage:c2f`. What each role is built with:

| role | built with | called with |
|---|---|---|
| layer | its own arguments | one map |
| stage | `in_channels, out_channels, repeats`, plus what its `options(in_backbone, level)` returns | one map |
| downsample | `in_channels, out_channels`; gives `output_channels(out_channels)` channels | one map, halves it |
| upsample | nothing | one map, doubles it |
| fusion | `in_channels`, a tuple; gives `output_channels(in_channels)` channels | the maps, the lateral one last |
| attention | `channels` | one map |
| head | see `search_space.heads` | one map |
"""

from __future__ import annotations

from torch import nn

from search_space.blocks.registries import ATTENTIONS, DOWNSAMPLES, FUSIONS, HEADS, LAYERS, STAGES, UPSAMPLES
from search_space.registry import Registry

from search_space.blocks import attention, conv, csp, downsample, fusion, upsample  # noqa: F401  isort: skip
from search_space.heads import anchor_free  # noqa: F401  isort: skip

ROLES: dict[str, Registry[type[nn.Module]]] = {
    "layer": LAYERS,
    "stage": STAGES,
    "downsample": DOWNSAMPLES,
    "upsample": UPSAMPLES,
    "fusion": FUSIONS,
    "attention": ATTENTIONS,
    "head": HEADS,
}


def find_block(block: str) -> type[nn.Module]:
    """Returns the class that a node's `role:name` stands for; raises SpaceError if there is none."""
    role, _, name = block.partition(":")
    return ROLES[role].get(name)


__all__ = ["ATTENTIONS", "DOWNSAMPLES", "FUSIONS", "HEADS", "LAYERS", "ROLES", "STAGES", "UPSAMPLES", "find_block"]
