"""Zen-score: the sensitivity of the features of an untrained detector to a small change of its input."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from search_space import Detector
from trainers.assigners import Objects
from trainers.proxies.proxy import proxy

STEP = 1e-2
"""Size of the perturbation relative to the input; both are Gaussian noise."""
REPEATS = 4
TINY = 1e-12
"""Lower bound of the deviations: a constant map has deviation 0, which has no logarithm."""
HEAD = "head:"
"""Prefix of the block names of heads in a graph."""


@proxy("zen", min_images=2)
@torch.no_grad()
def zen(detector: Detector, images: Tensor, objects: Objects) -> float:
    """Returns log E|f(x + step) - f(x)| + the sum over batch norms of log deviation: Lin et al., ICCV 2021.

    f are the inputs of the head on all levels. Weights and the inputs of the first layer are Gaussian noise; inputs
    have the shape of `images`, `(B, 3, H, W)`. The second term compensates the division by batch norm. Unlike the
    paper, skip connections are kept, because blocks of any kind may contain them.
    """
    redraw(detector.train())
    read_by_head = head_inputs(detector)
    changes, log_deviations = [], []
    for _ in range(REPEATS):
        noise = torch.randn_like(images)
        with norm_deviations(detector) as deviations:
            before = detector.maps(detector.convert.inverse(noise), read_by_head)
        moved = noise + STEP * torch.randn_like(images)
        after = detector.maps(detector.convert.inverse(moved), read_by_head)
        changes.append(_distance(before, after) / STEP)
        log_deviations.append(sum(math.log(deviation) for deviation in deviations))
    return math.log(sum(changes) / REPEATS) + sum(log_deviations) / REPEATS


def redraw(detector: nn.Module) -> None:
    """Reinitializes all weights: convolutions and linear layers from N(0, 1), norms to one, biases to zero."""
    for module in detector.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim > 1:
                nn.init.normal_(parameter)
            elif name == "weight" and isinstance(module, _BatchNorm):
                nn.init.ones_(parameter)
            elif name == "bias":
                nn.init.zeros_(parameter)


def head_inputs(detector: Detector) -> tuple[str, ...]:
    """Returns the distinct names of the nodes that are inputs of the head."""
    heads = [node for node in detector.graph.nodes if node.block.startswith(HEAD)]
    inside = {node.name for node in heads}
    return tuple(dict.fromkeys(name for node in heads for name in node.inputs if name not in inside))


@contextmanager
def norm_deviations(detector: nn.Module) -> Iterator[list[float]]:
    """While active, collects the deviation of the input of each batch norm, a root mean square over channels."""
    found: list[float] = []

    def read(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        maps = inputs[0].double().transpose(0, 1).flatten(1)
        found.append(max(TINY, float(maps.var(dim=1, correction=0).mean().sqrt())))

    norms = [module for module in detector.modules() if isinstance(module, _BatchNorm)]
    handles = [norm.register_forward_pre_hook(read) for norm in norms]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _distance(before: list[Tensor], after: list[Tensor]) -> float:
    squares = [(a - b).double().square().flatten(1).sum(dim=1) for a, b in zip(after, before, strict=True)]
    return float(torch.stack(squares).sum(dim=0).sqrt().mean())
