"""Training of the options of the anchor-free head: direct distances, steps on one batch, weights of other heads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from head_cases import objects, small_architecture
from torch import nn

from search_space import Architecture, Detector, lower
from search_space.plain import Options
from trainers import fresh_detector
from trainers.assigners import Objects
from trainers.averaging import WeightAverage
from trainers.boxes import anchor_grid, decode_boxes
from trainers.heads import DetectionLimits, head_training
from trainers.heads.anchor_free import AnchorFreeLoss
from trainers.losses import distance_loss, distribution_focal_loss
from trainers.weight_transfer import count_transfer, transfer_weights, weight_shapes
from trainers.weights import Weights

STEM = {"head_stem": 24}
CASES: dict[str, dict[str, Any]] = {
    "tower_convs 1": {"tower_convs": 1},
    "tower_convs 0": {"tower_convs": 0},
    "predictor_kernel 3": {"tower_convs": 0, "predictor_kernel": 3},
    "tower_kernel 5": {"tower_kernel": 5},
    "box_branch depthwise": {"box_branch": "depthwise"},
    "branches joint": {"branches": "joint"},
    "bins 8": {"bins": 8},
    "bins 4": {"bins": 4},
    "bins 1": {"bins": 1},
    "bins 1, joint": {"bins": 1, "branches": "joint", "tower_convs": 1},
    "head_stem": STEM,
    "head_weights shared": {**STEM, "head_weights": "shared"},
    "shared, joint": {"branches": "joint", "head_weights": "shared"},
}
WANTED = objects((10, 12, 34, 30, 0, 0), (50, 20, 64, 44, 2, 0), (4, 4, 20, 24, 1, 1))
NONE = objects()


def architecture(given: dict[str, Any]) -> Architecture:
    """A detector with maps at the strides 8 and 16 of one width, and options of its head."""
    plain = small_architecture("anchor_free")
    towers = {"box_channels": 64, "class_branch": "plain"} if given.get("tower_convs") == 0 else {}
    return replace(plain, head=replace(plain.head, options=Options(given), **towers))


def detector_with(given: dict[str, Any], seed: int = 0) -> Detector:
    return fresh_detector(architecture(given), num_classes=3, seed=seed)


@pytest.mark.slow(but=("tower_convs 0", "bins 1", "branches joint", "head_weights shared"))
@pytest.mark.parametrize("case", CASES)
def test_one_batch_is_learned(case: str) -> None:
    detector = detector_with(CASES[case]).train()
    training = head_training(detector)
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-2)
    totals = []
    for _ in range(50):
        loss = training.loss(detector, images, WANTED, NONE)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        totals.append(float(loss.total.detach()))
    assert np.isfinite(totals).all() and totals[-1] < 0.5 * totals[0]
    assert all(value.grad is not None for value in detector.parameters())


def test_direct_distances_are_decoded_as_they_are() -> None:
    points, strides = torch.tensor([[20.0, 12.0]]), torch.tensor([8.0])
    boxes = decode_boxes(torch.tensor([[1.5, -0.25, 40.0, 0.5]]), points, strides, 1)
    assert boxes.tolist() == [[8.0, 14.0, 340.0, 16.0]]


def test_the_distance_loss_is_a_share_of_the_image() -> None:
    found = distance_loss(
        torch.tensor([[2.0, 2, 2, 2]]), torch.tensor([[1.0, 4, 2, 2.5]]), torch.tensor([8.0]), (64, 96)
    )
    assert torch.allclose(found, torch.tensor([[8 / 96, 16 / 64, 0, 4 / 64]]))


@pytest.mark.parametrize("bins", [16, 8, 4])
def test_the_target_of_a_distribution_ends_before_the_last_bin(bins: int) -> None:
    logits = torch.randn(1, 4, bins, generator=torch.Generator().manual_seed(0))
    far, last = (distribution_focal_loss(logits, torch.full((1, 4), value)) for value in (1e3, bins - 1.01))
    assert torch.equal(far, last)


def maps_of(bins: int, distance: float) -> list[torch.Tensor]:
    """Two levels that predict the same distance to each side everywhere, and no class."""
    return [torch.cat((torch.full((1, 4 * bins, *hw), distance), torch.full((1, 2, *hw), -6.0)), 1) for hw in HWS]


HWS = ((8, 12), (4, 6))


def test_a_head_of_one_bin_has_an_absolute_error_in_place_of_the_distribution_loss() -> None:
    wanted = objects((8, 8, 56, 24, 0, 0))
    loss = AnchorFreeLoss(strides=(8, 16), reg_max=1)
    parts = loss(maps_of(1, 2.0), wanted, NONE).parts
    assert set(parts) == {"box", "distance", "classes"}
    found = loss.assigner(*split(maps_of(1, 2.0)), anchor_grid(HWS, (8, 16)), wanted, 1)
    error = 0.0
    grid = anchor_grid(HWS, (8, 16))
    for row, score in zip(found.anchors.tolist(), found.scores.tolist(), strict=True):
        (x, y), stride = grid.points[row].tolist(), float(grid.point_strides[row])
        sides = (x - 8, y - 8, 56 - x, 24 - y)
        off = [abs(2 * stride - side) / size for side, size in zip(sides, (96, 64, 96, 64), strict=True)]
        error += score * sum(off) / 4
    assert error > 0
    assert float(parts["distance"]) == pytest.approx(1.5 * error / max(1.0, float(found.scores.sum())), rel=1e-5)


def split(maps: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    table = torch.cat([each.permute(0, 2, 3, 1).flatten(0, 2) for each in maps])
    return table[:, 4:], table[:, :4]


def test_inverted_boxes_of_direct_distances_have_a_finite_loss() -> None:
    maps = [each.requires_grad_() for each in maps_of(1, -3.0)]
    loss = AnchorFreeLoss(strides=(8, 16), reg_max=1)(maps, objects((8, 8, 24, 24, 0, 0)), NONE)
    loss.total.backward()
    assert loss.total.isfinite() and all(each.grad is not None and each.grad.isfinite().all() for each in maps)


@pytest.mark.parametrize("bins", [16, 4, 1])
def test_a_box_of_known_distances_is_read(bins: int) -> None:
    detector = detector_with({"bins": bins, "branches": "joint"})
    maps = [torch.full((1, 4 * bins + 3, *hw), -9.0) for hw in HWS]
    place = maps[0][0, :, 3, 5]  # its centre is at 44, 28
    for side, cells in enumerate((1, 2, 3, 2)):
        place[side * bins + cells if bins > 1 else side] = 60.0 if bins > 1 else float(cells)
    place[-2] = 4.0
    ((boxes, scores, labels),) = head_training(detector).read(maps, DetectionLimits())
    assert labels.tolist() == [1] and scores.tolist() == pytest.approx([0.982], abs=1e-3)
    assert torch.allclose(boxes, torch.tensor([[36.0, 12, 68, 44]]), atol=1e-3)


def weights_of(given: dict[str, Any]) -> Weights:
    detector = detector_with(given, seed=1)
    return Weights(architecture=architecture(given).to_dict(), classes=("a", "b", "c"), state=detector.state_dict())


PLAIN: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("donor", "target"), [(a, b) for a in (PLAIN, *CASES.values()) for b in (PLAIN, CASES["shared, joint"])]
)
def test_weights_of_another_head_fill_what_fits(donor: dict[str, Any], target: dict[str, Any]) -> None:
    detector, given = detector_with(target), weights_of(donor)
    came = transfer_weights(detector, given)
    assert all(each.parameters <= each.num_parameters for each in came.values())
    body = [each for name, each in came.items() if not name.startswith("head")]
    assert all(each.parameters == each.num_parameters for each in body)
    shapes = [shapes_of(each) for each in (target, donor)]
    assert count_transfer(*shapes) == came


def shapes_of(given: dict[str, Any]) -> Any:
    graph = lower(architecture(given), num_classes=3)
    return weight_shapes(graph, dict(Detector(graph).blocks.items()))


@pytest.mark.parametrize("case", CASES)
def test_the_same_head_is_taken_whole(case: str) -> None:
    detector, given = detector_with(CASES[case]), weights_of(CASES[case])
    transfer_weights(detector, given)
    assert all(torch.equal(value, given.state[name]) for name, value in detector.state_dict().items())


def test_distributions_of_fewer_bins_keep_each_side() -> None:
    detector, given = detector_with({"bins": 4}), weights_of({"bins": 8})
    transfer_weights(detector, given)
    to, of = (state["blocks.head3.box_logits.weight"] for state in (detector.state_dict(), given.state))
    assert torch.equal(to.view(4, 4, -1), of.view(4, 8, -1)[:, :4])


def test_distances_and_distributions_have_no_predictor_in_common() -> None:
    detector, given = detector_with({"bins": 1}), weights_of({"bins": 8})
    before = detector.state_dict()["blocks.head3.box_logits.weight"].clone()
    transfer_weights(detector, given)
    assert torch.equal(detector.state_dict()["blocks.head3.box_logits.weight"], before)


def test_shared_towers_learn_from_all_levels_and_are_averaged_once() -> None:
    detector = detector_with(CASES["shared, joint"]).train()
    conv = detector.blocks["head3"].tower[0].conv
    training, images = head_training(detector), torch.rand(2, 3, 64, 96)
    weight = detector.blocks["head3"].tower[0].conv.weight
    coarse: Objects = objects((2, 2, 60, 60, 0, 0))
    training.loss(detector, images, coarse, NONE).total.backward()
    assert weight.grad is not None and weight.grad.any()
    before = weight.detach().clone()
    average = WeightAverage(detector, max_decay=0.5)
    with torch.no_grad():
        weight += 1.0
    average.num_updates = 100
    average.update()
    mean = average.detector.blocks["head4"].tower[0].conv
    assert isinstance(conv, nn.Conv2d) and torch.allclose(mean.weight, before + 0.5, atol=1e-6)
