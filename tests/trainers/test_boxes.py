"""Geometry against values counted by hand."""

from __future__ import annotations

import math

import pytest
import torch

from search_space.heads.nms import suppress
from trainers.boxes import anchor_grid, ciou, decode_boxes, decode_sides, flatten_maps, iou_matrix


def test_iou_of_shifted_squares() -> None:
    first = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    second = torch.tensor([[5.0, 0.0, 15.0, 10.0], [0.0, 0.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0]])
    # 50 shared of 150 covered; all of it; nothing
    assert iou_matrix(first, second)[0].tolist() == pytest.approx([50 / 150, 1.0, 0.0], abs=1e-6)


def test_ciou_subtracts_distance_and_aspect() -> None:
    square = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    shifted = torch.tensor([[5.0, 0.0, 15.0, 10.0]])
    # IoU 1/3, centres 5 apart, enclosing box 15 x 10: diagonal squared 325; equal aspect
    assert ciou(square, shifted).item() == pytest.approx(1 / 3 - 25 / 325, abs=1e-5)
    flat = torch.tensor([[0.0, 2.5, 10.0, 7.5]])
    aspect = 4 / math.pi**2 * (math.atan(2) - math.atan(1)) ** 2
    assert ciou(square, flat).item() == pytest.approx(0.5 - aspect * aspect / (0.5 + aspect), abs=1e-5)


def test_anchor_points_are_cell_centres_in_pixels() -> None:
    grid = anchor_grid(((2, 3), (1, 1)), (4, 8))
    assert grid.points.tolist() == [[2, 2], [6, 2], [10, 2], [2, 6], [6, 6], [10, 6], [4, 4]]
    assert grid.point_strides.tolist() == [4] * 6 + [8]


def test_flattened_maps_follow_the_order_of_the_points() -> None:
    level = torch.arange(12.0).reshape(1, 2, 2, 3)
    assert flatten_maps([level])[0].tolist() == [[0, 6], [1, 7], [2, 8], [3, 9], [4, 10], [5, 11]]


def test_decoding_of_sharp_and_of_even_distributions() -> None:
    logits = torch.full((1, 64), -100.0)
    for side, bin_ in enumerate((1, 2, 3, 15)):
        logits[0, side * 16 + bin_] = 100.0
    assert decode_sides(logits, 16)[0].tolist() == pytest.approx([1, 2, 3, 15], abs=1e-4)
    assert decode_sides(torch.zeros(1, 64), 16)[0].tolist() == pytest.approx([7.5] * 4)
    box = decode_boxes(logits, torch.tensor([[10.0, 20.0]]), torch.tensor([4.0]), 16)
    assert box[0].tolist() == pytest.approx([6, 12, 22, 80], abs=1e-3)


def greedy(boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, threshold: float) -> list[int]:
    kept: list[int] = []
    for index in scores.argsort(descending=True).tolist():
        rivals = [other for other in kept if labels[other] == labels[index]]
        if all(iou_matrix(boxes[index : index + 1], boxes[other : other + 1]) <= threshold for other in rivals):
            kept.append(index)
    return kept


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_suppression_equals_the_greedy_loop(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(150, 2, generator=generator) * 40
    boxes = torch.cat((corners, corners + 5 + torch.rand(150, 2, generator=generator) * 15), dim=1)
    scores = torch.rand(150, generator=generator)
    labels = torch.randint(0, 2, (150,), generator=generator)
    kept = suppress(boxes, scores, labels, iou_threshold=0.4).tolist()
    assert kept == greedy(boxes, scores, labels, 0.4)
    assert 1 < len(kept) < 150


def test_suppression_of_nothing() -> None:
    empty = torch.zeros(0)
    assert len(suppress(torch.zeros(0, 4), empty, empty, iou_threshold=0.5)) == 0


def test_suppression_keeps_a_box_whose_suppressor_is_suppressed() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [4.0, 0.0, 14.0, 10.0], [8.0, 0.0, 18.0, 10.0]])
    kept = suppress(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3), iou_threshold=0.3)
    assert kept.tolist() == [0, 2]
