"""The activation of a network: what its convolutions have, unless a block fixes another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from torch import nn

from search_space.blocks.conv import Conv
from search_space.blocks.rep import RepConv
from search_space.errors import check_known
from search_space.parts import DEFAULT_ACTIVATION

NETWORK_ACTIVATIONS: Mapping[str, Callable[..., nn.Module]] = {
    DEFAULT_ACTIVATION: nn.SiLU,
    "relu": nn.ReLU,
    "leaky_relu": partial(nn.LeakyReLU, 0.1),
    "hardswish": nn.Hardswish,
}
"""The activations of a network by name."""
SLOPES = {"relu": 0.0, "leaky_relu": 0.1}
"""Slope below zero of the rectifiers."""


def set_activation(block: nn.Module, name: str) -> None:
    """Replaces, in place, each attribute `activation` that is a SiLU in a block; other activations are fixed and stay.

    Convolutions before a rectifier are initialised by He's normal distribution over the fan-out (He et al., ICCV 2015).

    Raises:
        SpaceError: There is no such activation.
    """
    check_known("activation", name, NETWORK_ACTIVATIONS)
    if name == DEFAULT_ACTIVATION:
        return
    for module in list(block.modules()):
        silu = getattr(module, "activation", None)
        if isinstance(silu, nn.SiLU):
            module.activation = NETWORK_ACTIVATIONS[name](inplace=silu.inplace)
            if name in SLOPES and isinstance(module, (Conv, RepConv)):
                _init_he_normal(module, SLOPES[name])


def _init_he_normal(module: nn.Module, slope: float) -> None:
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, slope, mode="fan_out", nonlinearity="leaky_relu")
