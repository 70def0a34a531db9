"""Detectors with re-parameterised convolutions and other activations: training, and weights of other detectors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from search_space import DESIGNS, Architecture
from search_space.deployed import deployed
from trainers import TrainConfig, fresh_detector, train
from trainers.data import Dataset
from trainers.weight_transfer import transfer_weights
from trainers.weights import Weights

DESIGN = DESIGNS.get("yolov8n-p2-nop5").architecture.resized((64, 64))
CLASSES = ("person", "car", "dog")
MARK = 7.0
"""A value that no initial weight has."""


def with_rep(width: float = 1.0, repeats: int = 2) -> Architecture:
    """Returns the design with `rep` stages at a width and depth."""
    stages = tuple(
        replace(stage, block="rep", repeats=repeats, channels=int(stage.channels * width))
        for stage in DESIGN.backbone.stages
    )
    return replace(DESIGN, backbone=replace(DESIGN.backbone, stages=stages))


def marked(architecture: Architecture) -> Weights:
    state = fresh_detector(architecture, num_classes=3, seed=0).state_dict()
    same = {name: torch.full_like(value, int(MARK)) for name, value in state.items()}
    return Weights(architecture=architecture.to_dict(), classes=CLASSES, state=same)


def test_the_weights_of_all_branches_come_along() -> None:
    child = fresh_detector(with_rep(repeats=3), num_classes=3, seed=1)
    transfer_weights(child, marked(with_rep(0.5)))
    state = child.state_dict()
    tensors = {name: value for name, value in state.items() if name.startswith("blocks.p3_block.layers.")}
    assert {name.split(".")[3] for name in tensors} == {"0", "1", "2"}
    assert {name.split(".")[4] for name in tensors} == {"wide", "small", "identity"}
    for name, value in tensors.items():
        if value.ndim:
            half = len(value) // 2
            kept = value[:half, :half] if value.ndim == 4 else value[:half]
            assert (kept == MARK).all() and not (value[half:] == MARK).any(), name


def test_weights_of_another_activation_do_not_come_along() -> None:
    relu, mixed = replace(DESIGN, activation="relu"), replace(DESIGN, activation="relu", head_activation="silu")
    child = fresh_detector(relu, num_classes=3, seed=1)
    assert not any(each.parameters for each in transfer_weights(child, marked(DESIGN)).values())
    child = fresh_detector(mixed, num_classes=3, seed=1)
    came = {name for name, each in transfer_weights(child, marked(DESIGN)).items() if each.parameters}
    assert came == {"head2", "head3", "head4"}
    own = transfer_weights(child, marked(mixed))
    assert all(each.parameters == each.num_parameters for each in own.values())


@pytest.mark.parametrize("activation", ["relu", "hardswish"])
def test_a_trained_detector_is_the_same_when_deployed(shapes: Dataset, activation: str) -> None:
    detector = fresh_detector(replace(with_rep(), activation=activation), num_classes=len(shapes.classes), seed=0)
    result = train(detector, shapes, config=TrainConfig(epochs=0.5, batch_size=4, seed=1))
    detector.load_state_dict(result.state_dict)
    detector.eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for merged, trained in zip(deployed(detector)(images), detector(images), strict=True):
            assert torch.isfinite(trained).all()
            assert (merged - trained).abs().max() < 1e-4 * trained.abs().max()
