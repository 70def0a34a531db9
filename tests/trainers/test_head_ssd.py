"""The SSD head by hand: which anchors learn what, which negatives count, and what a map says."""

from __future__ import annotations

from math import log

import pytest
import torch
import torch.nn.functional as F
from head_cases import objects, small_detector
from torch import Tensor

from search_space.heads.anchors import ssd_anchors
from trainers.assigners import Objects
from trainers.boxes import coverage_matrix, iou_matrix
from trainers.heads import DetectionLimits, head_training
from trainers.heads.anchor_matching import from_offsets, ignored_classes, match_anchors, to_offsets
from trainers.heads.ssd import MultiboxLoss, SSDTraining, _anchor_boxes

ROW = torch.tensor(
    [[0.0, 0, 10, 10], [10, 0, 20, 10], [20, 0, 30, 10], [30, 0, 40, 10], [40, 0, 50, 10], [50, 0, 60, 10]]
)
"""Six anchors side by side."""
NOTHING = objects()


def owners(*boxes: tuple[float, ...], least: float = 0.0, all_ties: bool = False) -> list[int]:
    found = match_anchors(ROW, torch.tensor(boxes).reshape(-1, 4), positive=0.5, least=least, all_ties=all_ties)
    assert torch.equal(found.positive, found.objects >= 0)
    return found.objects.tolist()


def test_overlaps_by_hand() -> None:
    first, second = torch.tensor([[0.0, 0, 4, 4], [0, 0, 2, 2]]), torch.tensor([[2.0, 2, 6, 6], [0, 0, 4, 2]])
    assert torch.allclose(iou_matrix(first, second), torch.tensor([[4 / 28, 0.5], [0, 0.5]]))
    assert torch.allclose(coverage_matrix(first, second), torch.tensor([[0.25, 0.5], [0, 1]]))
    assert iou_matrix(first, second[:0]).shape == (2, 0)


def test_anchors_learn_what_they_overlap_by_half() -> None:
    assert owners((0, 0, 10, 15)) == [0, -1, -1, -1, -1, -1]  # 100 of 150
    assert owners((0, 0, 12, 10), (11, 0, 21, 10)) == [0, 1, -1, -1, -1, -1]
    half, better = (
        torch.tensor([[0.0, 0, 10, 10]]),
        torch.tensor([[0.0, 0, 20, 12]]),
    )  # IoUs of exactly 0.5 and of 5 / 6
    assert match_anchors(
        torch.cat((half, better)), torch.tensor([[0.0, 0, 20, 10]]), positive=0.5
    ).objects.tolist() == [0, 0]


def test_the_best_anchor_learns_an_object_at_any_overlap() -> None:
    assert owners((21, 1, 22, 2)) == [-1, -1, 0, -1, -1, -1]
    assert owners((8, 0, 22, 10)) == [-1, 0, -1, -1, -1, -1]  # 100 of 140, and 20 of 220 on both sides
    assert owners((15, 0, 25, 10), least=0.4) == [-1] * 6  # 50 of 150


def test_of_equally_good_anchors_one_learns_an_object_or_all() -> None:
    assert owners((15, 0, 25, 10), least=0.3) == [-1, 0, -1, -1, -1, -1]
    assert owners((15, 0, 25, 10), least=0.3, all_ties=True) == [-1, 0, 0, -1, -1, -1]


def test_the_best_of_several_objects_learns_the_last_or_with_all_ties_the_one_it_overlaps_most() -> None:
    rows = (21, 1, 22, 2), (22, 2, 26, 6), (23, 2, 25, 4)
    assert owners(*rows) == [-1, -1, 2, -1, -1, -1]
    assert owners(*rows, all_ties=True) == [-1, -1, 1, -1, -1, -1]


def test_the_best_anchor_of_an_object_goes_before_a_greater_overlap_of_another() -> None:
    # Anchor 1 overlaps object 0 by 0.6, but is all that object 1 has; object 0 keeps anchor 0.
    assert owners((1, 0, 18, 10), (12, 0, 13, 1)) == [0, 1, -1, -1, -1, -1]


def test_objects_outside_of_all_anchors_and_no_objects_have_none() -> None:
    assert owners((100, 100, 110, 110)) == [-1] * 6
    assert owners() == [-1] * 6
    assert match_anchors(ROW[:0], ROW, positive=0.5).objects.shape == (0,)


def test_offsets_by_hand() -> None:
    reference = torch.tensor([[10.0, 20, 30, 60]])
    moved = torch.tensor([[14.0, 20, 34, 60]])
    assert torch.allclose(to_offsets(moved, reference), torch.tensor([[4 / 20 / 0.1, 0, 0, 0]]), atol=1e-5)
    grown = torch.tensor([[0.0, 0, 40, 80]])
    assert torch.allclose(to_offsets(grown, reference), torch.tensor([[0, 0, log(2) / 0.2, log(2) / 0.2]]), atol=1e-5)
    assert torch.allclose(to_offsets(grown, reference, (1, 1, 1, 1)), torch.tensor([[0, 0, log(2), log(2)]]), atol=1e-5)


def test_from_offsets_is_the_inverse() -> None:
    low = torch.rand(50, 2, generator=torch.Generator().manual_seed(0)) * 100
    sizes = torch.rand(2, 50, 2, generator=torch.Generator().manual_seed(1)) * 50 + 0.5
    boxes, references = torch.cat((low, low + sizes[0]), dim=1), torch.cat((low + 3, low + 3 + sizes[1]), dim=1)
    assert torch.allclose(from_offsets(to_offsets(boxes, references), references), boxes, atol=1e-3)


def logits_of(hardness: list[float]) -> Tensor:
    """Logits `(1, 6, 3)` of anchors whose first class is that much likelier than the background."""
    table = torch.zeros(1, len(hardness), 3)
    table[0, :, 1] = torch.tensor(hardness)
    return table


def entropy(hardness: float, target: int) -> float:
    return F.cross_entropy(torch.tensor([0.0, hardness, 0.0]), torch.tensor(target)).item()


def multibox(hardness: list[float], wanted: Objects, ignored: Objects = NOTHING) -> dict[str, float]:
    offsets = torch.zeros(1, 6, 4)
    loss = MultiboxLoss()(offsets, logits_of(hardness), ROW, wanted, ignored)
    return {name: part.item() for name, part in loss.parts.items()}


def test_three_negatives_a_positive_the_hardest_ones() -> None:
    found = multibox([1.0, 5.0, 2.0, 4.0, 3.0, 0.0], objects((0, 0, 10, 10, 1, 0)))
    assert found["box"] == pytest.approx(0, abs=1e-6)
    expected = entropy(1.0, 2) + entropy(5.0, 0) + entropy(4.0, 0) + entropy(3.0, 0)
    assert found["classes"] == pytest.approx(expected, rel=1e-5)


def test_both_parts_are_divided_by_the_positives() -> None:
    found = multibox([0.0] * 6, objects((0, 0, 10, 10, 0, 0), (30, 0, 40, 12, 0, 0)))
    assert found["classes"] == pytest.approx(6 * log(3) / 2, rel=1e-5)  # 2 positives and the 4 others
    offsets = (0.1 / 0.1, log(1.2) / 0.2)  # the centre a tenth of the height lower, the height 1.2 times
    assert found["box"] == pytest.approx((0.5 * offsets[0] ** 2 + 0.5 * offsets[1] ** 2) / 2, rel=1e-4)


def test_one_of_two_equally_good_anchors_is_a_positive() -> None:
    found = multibox([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], objects((15, 0, 25, 10, 1, 0)))
    expected = entropy(2.0, 2) + entropy(6.0, 0) + entropy(5.0, 0) + entropy(4.0, 0)
    assert found["classes"] == pytest.approx(expected, rel=1e-5)


def test_negatives_are_counted_for_each_image() -> None:
    logits = torch.cat((logits_of([9.0] * 6), logits_of([0.0] * 6)))
    wanted = objects((0, 0, 10, 10, 0, 1))
    loss = MultiboxLoss()(torch.zeros(2, 6, 4), logits, ROW, wanted, NOTHING)
    assert loss.parts["classes"].item() == pytest.approx(4 * log(3), rel=1e-5)  # the empty image teaches nothing


def test_ignored_anchors_are_no_negatives() -> None:
    wanted = objects((0, 0, 10, 10, 0, 0))
    hardness = [0.0, 9.0, 8.0, 1.0, 1.0, 1.0]
    plain = entropy(0.0, 1) + entropy(9.0, 0) + entropy(8.0, 0) + entropy(1.0, 0)
    assert multibox(hardness, wanted)["classes"] == pytest.approx(plain, rel=1e-5)
    region = objects((8, 0, 26, 10, -1, 0))  # all of anchor 1 and 6 tenths of anchor 2
    ignoring = entropy(0.0, 1) + 3 * entropy(1.0, 0)
    assert multibox(hardness, wanted, region)["classes"] == pytest.approx(ignoring, rel=1e-5)


def test_an_object_in_an_ignored_region_is_still_learned() -> None:
    found = multibox([0.0] * 6, objects((0, 0, 10, 10, 0, 0)), objects((0, 0, 60, 10, -1, 0)))
    assert found["classes"] == pytest.approx(log(3), rel=1e-5)


def test_a_region_that_is_ignored_for_a_class_silences_that_class_only() -> None:
    wanted = objects((0, 0, 10, 10, 0, 0))
    hardness = [0.0, 9.0, 1.0, 1.0, 1.0, -5.0]
    others = entropy(0.0, 1) + 3 * entropy(1.0, 0)
    found = multibox(hardness, wanted, objects((10, 0, 20, 10, 0, 0)))
    assert found["classes"] == pytest.approx(others, rel=1e-5)  # anchor 1 is now as easy as log 2
    found = multibox(hardness, wanted, objects((10, 0, 20, 10, 1, 0)))
    hard = F.cross_entropy(torch.tensor([0.0, 9.0]), torch.tensor(0)).item()
    assert found["classes"] == pytest.approx(entropy(0.0, 1) + hard + 2 * entropy(1.0, 0), rel=1e-5)


def test_ignored_classes_by_hand() -> None:
    regions = objects((0, 0, 15, 10, 1, 0), (20, 0, 60, 10, -1, 0), (0, 0, 60, 10, -1, 1))
    assert ignored_classes(ROW[:3], regions, 0, 2).tolist() == [[False, True], [False, True], [True, True]]
    assert not ignored_classes(ROW, NOTHING, 0, 2).any()


def test_a_batch_without_positives_is_0_with_gradients() -> None:
    logits = torch.randn(1, 6, 3, requires_grad=True)
    loss = MultiboxLoss()(torch.zeros(1, 6, 4), logits, ROW, NOTHING, NOTHING).total
    assert loss.item() == 0
    torch.autograd.backward(loss)
    assert logits.grad is not None and not logits.grad.any()


def ssd(num_classes: int = 3) -> SSDTraining:
    training = head_training(small_detector("ssd", num_classes))
    assert isinstance(training, SSDTraining)
    return training


def silent_maps(input_hw: tuple[int, int] = (64, 96)) -> list[Tensor]:
    """Maps of the small detector that are sure of the background."""
    maps = [torch.zeros(1, 6 * 8, input_hw[0] // stride, input_hw[1] // stride) for stride in (8, 16)]
    for level in maps:
        level[:, 24::4] = 20.0  # six anchors' 4 offsets, then for each the background and three classes
    return maps


@pytest.mark.parametrize(("level", "row", "column", "anchor"), [(0, 0, 0, 0), (0, 3, 11, 4), (1, 2, 5, 1)])
def test_a_class_is_read_at_its_anchor(level: int, row: int, column: int, anchor: int) -> None:
    maps = silent_maps()
    maps[level][0, 24 + anchor * 4 + 2, row, column] = 40.0  # the second class
    maps[level][0, 4 * anchor, row, column] = 1.0  # a tenth of the width to the right
    (boxes, scores, labels), *_ = ssd().read(maps, DetectionLimits(score_threshold=0.5))
    stride = (8, 16)[level]
    sizes = ((8, 12), (4, 6))
    index = (0, 8 * 12 * 6)[level] + (row * sizes[level][1] + column) * 6 + anchor
    x, y, width, height = ssd_anchors("by_cell", sizes, (64, 96))[index] * torch.tensor([96.0, 64, 96, 64])
    assert (x.item(), y.item()) == pytest.approx(((column + 0.5) * stride, (row + 0.5) * stride), abs=1e-4)
    x = x + 0.1 * width
    expected = torch.stack((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    assert labels.tolist() == [1] and scores[0] > 0.99
    assert torch.allclose(boxes[0], expected, atol=1e-3)


def test_read_and_loss_agree() -> None:
    """What an object asks of its anchor is read as that object."""
    training = ssd()
    wanted = objects((20, 10, 41, 37, 2, 0))
    anchors = _anchor_boxes("by_cell", ((8, 12), (4, 6)), (64, 96), "cpu")
    found = match_anchors(anchors, wanted.boxes, positive=0.5)
    maps = silent_maps()
    offsets, logits = training._tables(maps)
    offsets[0, found.positive] = to_offsets(wanted.boxes[found.objects[found.positive]], anchors[found.positive])
    logits[0, found.positive, 3] = 50.0
    tables = [torch.split(table, [8 * 12 * 6, 4 * 6 * 6], dim=1) for table in (offsets, logits)]
    maps = [
        torch.cat([part.reshape(1, *hw, -1).permute(0, 3, 1, 2) for part in parts], dim=1)
        for hw, parts in zip(((8, 12), (4, 6)), zip(*tables, strict=True), strict=True)
    ]
    (boxes, _, labels), *_ = training.read(maps, DetectionLimits(score_threshold=0.5, iou_threshold=0.99))
    assert labels.tolist() == [2] and torch.allclose(boxes, wanted.boxes, atol=1e-2)


def test_suppression_is_within_a_class() -> None:
    maps = silent_maps()
    for anchor, (label, logit) in enumerate([(0, 30.0), (0, 29.0), (1, 28.0)]):
        maps[0][0, 24 + anchor * 4 + 1 + label, 3, 5] = logit
        maps[0][0, 4 * anchor : 4 * anchor + 4, 3, 5] = 0.0
    (_, _, labels), *_ = ssd().read(maps, DetectionLimits(score_threshold=0.5, iou_threshold=0.4))
    assert sorted(labels.tolist()) == [0, 1]
    (_, _, labels), *_ = ssd().read(maps, DetectionLimits(score_threshold=0.5, iou_threshold=1.0))
    assert sorted(labels.tolist()) == [0, 0, 1]


def test_one_class_a_place() -> None:
    maps = silent_maps()
    maps[0][0, 24 + 1, 3, 5] = maps[0][0, 24 + 2, 3, 5] = 20.0
    maps[0][0, 24 + 3, 3, 5] = 21.0
    limits = DetectionLimits(score_threshold=0.1)
    assert len(ssd().read(maps, limits)[0][0]) == 3
    (_, _, labels), *_ = ssd().read(maps, DetectionLimits(score_threshold=0.1, one_class=True))
    assert labels.tolist() == [2]


def test_anchors_follow_the_size_of_the_input() -> None:
    maps = silent_maps((128, 64))
    maps[0][0, 24 + 1, 2, 1] = 40.0
    limits = DetectionLimits(score_threshold=0.5)
    (boxes, _, _), *_ = ssd().read(maps, limits, (128, 64))
    assert torch.allclose(boxes[0], torch.tensor([0.0, 8.0, 24.0, 32.0]), atol=1e-3)  # 3 cells of 8 px at (12, 20)
    (elsewhere, _, _), *_ = ssd().read(maps, limits, (120, 60))
    assert not torch.allclose(boxes, elsewhere)


def test_a_loss_uses_the_size_of_its_images() -> None:
    detector = small_detector("ssd").eval()
    training = head_training(detector)
    images, wanted = (
        torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(0)),
        objects((8, 8, 40, 40, 0, 0)),
    )
    expected = MultiboxLoss()(
        *ssd()._tables(detector(images)),
        _anchor_boxes("by_cell", ((12, 16), (6, 8)), (96, 128), "cpu"),
        wanted,
        NOTHING,
    )
    assert training.loss(detector, images, wanted, NOTHING).total.item() == expected.total.item()
