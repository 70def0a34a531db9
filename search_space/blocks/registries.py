"""The registries of blocks, one for each role of a block in a detector."""

from __future__ import annotations

from torch import nn

from search_space.registry import Registry

LAYERS: Registry[type[nn.Module]] = Registry("layer")
STAGES: Registry[type[nn.Module]] = Registry("stage block")
DOWNSAMPLES: Registry[type[nn.Module]] = Registry("downsampling")
UPSAMPLES: Registry[type[nn.Module]] = Registry("upsampling")
FUSIONS: Registry[type[nn.Module]] = Registry("fusion")
ATTENTIONS: Registry[type[nn.Module]] = Registry("attention")
HEADS: Registry[type[nn.Module]] = Registry("head", modules=("search_space.heads",))
UNITS: Registry[type[nn.Module]] = Registry("unit")
TRANSFORMS: Registry[type[nn.Module]] = Registry("transform")
SMOOTHS: Registry[type[nn.Module]] = Registry("smoothing")
EXTRAS: Registry[type[nn.Module]] = Registry("extra stage")


def named_only(registry: Registry[type[nn.Module]]) -> tuple[str, ...]:
    """Returns the blocks of a registry whose class attribute `by_name` is true; see `Axis.by_name`."""
    return tuple(name for name in registry if getattr(registry.get(name), "by_name", False))
