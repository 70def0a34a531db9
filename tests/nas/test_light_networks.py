"""Small networks that have every stage block, downsampling and context between them: counts, gradients and export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice

import numpy as np
import pytest
import torch
from torch import nn

from nas.cost import cost_of
from nas.cost.oracle import fvcore_macs
from nas.exporters.onnx_model import OnnxOptions, difference, write_onnx
from search_space import DESIGNS, Architecture, Detector, SearchSpace, lower
from search_space.blocks import DOWNSAMPLES, STAGES
from search_space.lowering.backbone import CONTEXTS

PLAIN = DESIGNS.get("yolov8n-p2-nop5").architecture.resized((64, 64))
PLACES = len(PLAIN.backbone.stages) + 1
NUMBERS = range(max(-(-len(STAGES.names()) // PLACES), len(CONTEXTS)))


def taken(names: Sequence[str], number: int) -> tuple[str, ...]:
    """The names for the places of one network: the stages of the backbone, then the neck."""
    return tuple(islice(cycle(names), number * PLACES, (number + 1) * PLACES))


def network(number: int) -> Architecture:
    blocks, halvings = (taken(registry.names(), number) for registry in (STAGES, DOWNSAMPLES))
    stages = zip(PLAIN.backbone.stages, blocks[:-1], halvings[:-1], strict=True)
    backbone = replace(
        PLAIN.backbone,
        stages=tuple(replace(each, block=block, downsample=halving) for each, block, halving in stages),
        context=CONTEXTS[number % len(CONTEXTS)],
    )
    assert PLAIN.neck is not None
    return replace(PLAIN, backbone=backbone, neck=replace(PLAIN.neck, block=blocks[-1], downsample=halvings[-1]))


def lcnet() -> Architecture:
    space = SearchSpace()
    given = {"backbone": "lcnet", "head_levels": "P3-P5", "topology": "pan", "input_size": 128, "width": 0.25}
    return space.decode(space.completed(given, lambda axis: axis.choices[0])).resized((64, 64))


def test_the_networks_have_every_block() -> None:
    for registry in (STAGES, DOWNSAMPLES):
        assert {name for number in NUMBERS for name in taken(registry.names(), number)} == set(registry)


@pytest.mark.slow(but=("0",))
@pytest.mark.parametrize("number", [*NUMBERS, "lcnet"])
def test_a_network_of_light_blocks(number: int | str) -> None:
    architecture = network(number) if isinstance(number, int) else lcnet()
    torch.manual_seed(0)
    detector = Detector(lower(architecture, num_classes=3))
    cost = cost_of(architecture, num_classes=3)
    assert cost.macs == fvcore_macs(detector, (3, 64, 64))
    assert cost.params == sum(parameter.numel() for parameter in detector.parameters())
    torch.stack([out.square().mean() for out in detector(torch.rand(2, 3, 64, 64))]).sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in detector.parameters())
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    images = np.random.default_rng(0).random((2, 3, 64, 64), dtype=np.float32)
    detector.eval()
    assert difference(detector, write_onnx(detector, OnnxOptions()), OnnxOptions(), images) < 1e-4
