"""Small assignments that can be followed by hand, and the treatment of ignored regions in the loss."""

from __future__ import annotations

import pytest
import torch

from trainers.assigners import Assignment, Objects, TaskAlignedAssigner, points_inside, rank_within, widen
from trainers.boxes import AnchorGrid, anchor_grid
from trainers.heads.anchor_free import AnchorFreeLoss
from trainers.losses import distribution_focal_loss, ignore_weights

GRID = anchor_grid(((4, 4), (2, 2)), (4, 8))


def objects(*rows: tuple[float, ...]) -> Objects:
    """Each row: x1, y1, x2, y2, label, image."""
    table = torch.tensor(rows).reshape(-1, 6)
    return Objects(boxes=table[:, :4], labels=table[:, 4].long(), images=table[:, 5].long())


def assign(found: Objects, *, num_images: int = 1, grid: AnchorGrid = GRID, **settings: float) -> Assignment:
    rows = num_images * len(grid)
    assigner = TaskAlignedAssigner(**settings)  # type: ignore[arg-type]
    return assigner(torch.zeros(rows, 2), torch.zeros(rows, 64), grid, found, 16)


def test_points_inside_a_box() -> None:
    owner, point = points_inside(torch.tensor([[0.0, 0.0, 7.0, 3.0], [3.0, 3.0, 9.0, 9.0]]), GRID)
    # cells of 4 px: centres 2, 6, 10, 14; cells of 8 px: centres 4, 12, numbered from 16
    assert list(zip(owner.tolist(), point.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 5), (1, 16)]


def test_an_object_without_an_anchor_point_still_gets_some() -> None:
    tiny = objects((3.5, 3.5, 4.5, 4.5, 1, 0))
    assert len(points_inside(tiny.boxes, anchor_grid(((4, 4),), (4,)))[0]) == 0
    assert widen(tiny.boxes, 8.0).tolist() == [[0.0, 0.0, 8.0, 8.0]]
    found = assign(tiny)
    assert {0, 1, 4, 5} <= set(found.anchors.tolist())


def test_without_an_extent_only_points_strictly_inside_are_taken() -> None:
    # Points at 2, 6, 10 and 14; those at 4 and 12 of the coarse level are outside or on the edge.
    found = assign(objects((2, 4, 10, 10, 0, 0)), min_extent=0.0)
    assert found.anchors.tolist() == [5]
    assert {4, 5, 16} <= set(assign(objects((2, 4, 10, 10, 0, 0)), min_extent=0.5).anchors.tolist())


def test_a_floor_lowers_the_targets_by_its_share() -> None:
    grid, wanted = anchor_grid(((4, 4),), (4,)), objects((2, 3, 10, 11, 0, 0))
    logits = torch.zeros(16, 64)
    plain = TaskAlignedAssigner()(torch.zeros(16, 1), logits, grid, wanted, 16)
    best = plain.scores.max()
    metric = 0.5**0.5 * best**6
    lowered = TaskAlignedAssigner(metric_floor=float(metric))(torch.zeros(16, 1), logits, grid, wanted, 16)
    assert best > 0 and torch.allclose(lowered.scores, plain.scores / 2)


def test_at_most_top_k_points_an_object_and_one_object_a_point() -> None:
    found = assign(objects((0, 0, 16, 16, 0, 0), (1, 1, 15, 15, 1, 0)), top_k=3)
    assert len(found.anchors) == len(set(found.anchors.tolist()))
    assert torch.bincount(found.objects, minlength=2).max() <= 3


def test_images_of_a_batch_do_not_mix() -> None:
    found = assign(objects((0, 0, 8, 8, 0, 0), (8, 8, 16, 16, 1, 1)), num_images=2)
    assert ((found.anchors // len(GRID)) == found.objects).all()


def test_the_best_point_is_taught_the_best_overlap() -> None:
    grid = anchor_grid(((4, 4),), (4,))
    logits = torch.full((16, 64), -100.0)
    logits[5].view(4, 16)[:, 1] = 100.0  # point (6, 6) predicts 2..10
    logits[logits.eq(-100).all(dim=1)] = 0.0
    wanted = objects((2, 3, 10, 11, 0, 0))
    found = TaskAlignedAssigner()(torch.zeros(16, 1), logits, grid, wanted, 16)
    target = dict(zip(found.anchors.tolist(), found.scores.tolist(), strict=True))
    # 56 shared of 72 covered; centres 1 px apart in an outer box of 8 x 9
    assert target[5] == pytest.approx(56 / 72 - 1 / 145, abs=1e-4)
    assert all(score < 0.1 for anchor, score in target.items() if anchor != 5)


def test_no_objects() -> None:
    assert len(assign(objects()).anchors) == 0


def test_rank_within_groups() -> None:
    ranks = rank_within(torch.tensor([0, 1, 0, 1, 0]), torch.tensor([0.1, 0.5, 0.3, 0.9, 0.2]))
    assert ranks.tolist() == [2, 1, 0, 0, 1]


def test_ignored_regions_silence_their_class_only() -> None:
    logits = torch.zeros(2 * len(GRID), 2)
    weights = ignore_weights(logits, GRID, objects((0, 0, 4, 4, 1, 0), (0, 0, 4, 4, -1, 1)))
    assert (weights == 0).nonzero().tolist() == [[0, 1], [len(GRID), 0], [len(GRID), 1]]


def test_a_false_alarm_in_an_ignored_region_costs_nothing() -> None:
    maps = [torch.zeros(1, 66, 4, 4), torch.zeros(1, 66, 2, 2)]
    maps[0][0, 64:] = -20.0
    maps[1][0, 64:] = -20.0
    maps[0][0, 64, 0, 0] = 5.0
    loss = AnchorFreeLoss(strides=(4, 8), reg_max=16)
    assert loss(maps, objects(), objects()).parts["classes"] > 2
    assert loss(maps, objects(), objects((0, 0, 4, 4, -1, 0))).parts["classes"] < 1e-3


def test_an_object_in_an_ignored_region_is_still_learned() -> None:
    maps = [torch.full((1, 66, 4, 4), -9.0), torch.full((1, 66, 2, 2), -9.0)]
    loss = AnchorFreeLoss(strides=(4, 8), reg_max=16)
    wanted, everywhere = objects((0, 0, 16, 16, 0, 0)), objects((0, 0, 16, 16, -1, 0))
    assert loss(maps, wanted, everywhere).parts["classes"] > 0.5 * loss(maps, wanted, objects()).parts["classes"] > 0


def test_distribution_focal_loss_is_least_at_the_wanted_distance() -> None:
    logits = torch.full((1, 4, 16), -50.0)
    logits[..., 2] = logits[..., 3] = 0.0  # even between 2 and 3
    right = distribution_focal_loss(logits, torch.full((1, 4), 2.5))
    assert torch.allclose(right, torch.full((1, 4), 0.6931), atol=1e-3)
    assert (distribution_focal_loss(logits, torch.full((1, 4), 7.0)) > 40).all()
    assert distribution_focal_loss(logits, torch.full((1, 4), 99.0)).isfinite().all()


def test_loss_is_float32_and_has_gradients_for_bfloat16_maps() -> None:
    maps = [torch.randn(1, 66, 4, 4, dtype=torch.bfloat16, requires_grad=True), torch.randn(1, 66, 2, 2).bfloat16()]
    loss = AnchorFreeLoss(strides=(4, 8), reg_max=16)(maps, objects((1, 1, 9, 9, 0, 0)), objects())
    assert loss.total.dtype == torch.float32 and loss.parts["box"] > 0 and loss.parts["distribution"] > 0
    torch.autograd.backward(loss.total)
    assert maps[0].grad is not None and maps[0].grad.abs().sum() > 0
