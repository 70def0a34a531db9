"""The two-stage head by hand: which anchors and boxes count, the hardest of them, soft-NMS, and what is read."""

from __future__ import annotations

from math import log

import pytest
import torch
import torch.nn.functional as F
from head_cases import objects, small_detector
from torch import Tensor

from search_space.heads.anchors import rpn_anchors
from search_space.heads.nms import soft_suppress, suppress
from search_space.heads.proposals import rank_candidates
from trainers.assigners import Objects
from trainers.boxes import iou_matrix
from trainers.heads import DetectionLimits, head_training
from trainers.heads.anchor_matching import NOTHING as NONE
from trainers.heads.anchor_matching import to_exclusive, to_inclusive
from trainers.heads.region_loss import RegionLoss, sample_rows
from trainers.heads.roi_loss import RoICandidates, RoILoss, roi_candidates
from trainers.heads.two_stage import TwoStageTraining

NOTHING = objects()
LOSS = RegionLoss(strides=(8, 16), anchor_scale=2.0)
ANCHORS = to_exclusive(torch.cat((rpn_anchors((8, 8), 8, 2.0), rpn_anchors((4, 4), 16, 2.0))))
"""Of an input of 64x64 px: squares of 16 and 32 px, and as much area in the aspects 1:2 and 2:1."""
SQUARE = (3 * 8 + 3) * 3 + 1
"""The square anchor of row 3, column 3 of the fine map: 20, 20, 36, 36."""


def maps(fill: float = 0.0) -> list[Tensor]:
    return [torch.full((1, 15, 8, 8), fill), torch.full((1, 15, 4, 4), fill)]


def sampled(wanted: Objects, ignored: Objects = NOTHING, loss: RegionLoss = LOSS) -> tuple[Tensor, Tensor]:
    """Rows of all anchors that are sampled, and what each learns."""
    anchors, inside = loss._anchors(maps())
    rows, learned = loss._sample(anchors[inside], wanted.boxes, ignored, 0)
    return inside[rows], learned


def test_the_anchor_of_the_tests() -> None:
    assert ANCHORS[SQUARE].tolist() == [20, 20, 36, 36]


def test_anchors_that_cross_the_border_are_neither() -> None:
    anchors, inside = LOSS._anchors(maps())
    assert torch.equal(anchors, ANCHORS)
    crossing = [row for row, (x1, y1, x2, y2) in enumerate(ANCHORS.tolist()) if x1 < 0 or y1 < 0 or x2 > 64 or y2 > 64]
    assert 0 < len(crossing) < len(ANCHORS)
    assert sorted([*crossing, *inside.tolist()]) == list(range(len(ANCHORS)))


def test_positives_and_negatives_by_their_overlap() -> None:
    many = RegionLoss(strides=(8, 16), anchor_scale=2.0, num_samples=10_000)
    wanted = objects((20, 20, 36, 38, 0, 0))
    rows, learned = sampled(wanted, loss=many)
    overlap = iou_matrix(ANCHORS, wanted.boxes)[:, 0]
    _, inside = many._anchors(maps())
    assert set(rows[learned == 0].tolist()) == {row for row in inside.tolist() if overlap[row] >= 0.5}
    assert set(rows[learned == NONE].tolist()) == {row for row in inside.tolist() if overlap[row] < 0.3}
    assert any(0.3 <= overlap[row] < 0.5 for row in inside.tolist())  # those are neither


def test_the_best_anchors_of_an_object_are_positive_from_03_on() -> None:
    between = objects((24, 20, 40, 36, 0, 0))  # half way between two squares: 12 of 20 px
    assert SQUARE in sampled(between)[0][sampled(between)[1] == 0].tolist()
    small = objects((24, 24, 32.8, 32.8, 0, 0))  # 77 of 256 px in the square
    rows, learned = sampled(small)
    assert rows[learned == 0].tolist() == [SQUARE]
    tiny = objects((24, 24, 32, 32, 0, 0))  # 64 of 256
    assert (sampled(tiny)[1] == NONE).all()


def test_ties_all_learn_the_object() -> None:
    rows, learned = sampled(objects((23.5, 23.5, 40.5, 40.5, 0, 0)))
    best = iou_matrix(ANCHORS, torch.tensor([[23.5, 23.5, 40.5, 40.5]]))[:, 0]
    ties = (best == best.max()).nonzero()[:, 0].tolist()
    assert len(ties) > 1 and 0.3 < best.max() < 0.5
    assert sorted(rows[learned == 0].tolist()) == ties


def test_samples_are_256_and_half_positive_at_most() -> None:
    large = RegionLoss(strides=(8, 16), anchor_scale=2.0, num_samples=8)
    everywhere = objects(*((x, y, x + 16, y + 16, 0, 0) for x in range(4, 48, 8) for y in range(4, 48, 8)))
    rows, learned = sampled(everywhere, loss=large)
    assert len(rows) == len(set(rows.tolist())) == 8 and int((learned != NONE).sum()) == 4
    rows, learned = sampled(objects((20, 20, 36, 36, 0, 0)), loss=large)
    assert len(rows) == 8 and int((learned != NONE).sum()) < 4
    assert LOSS.num_samples == 256 and LOSS.positive_share == 0.5


def test_the_draw_follows_the_seed() -> None:
    mask = torch.arange(100) % 2 == 0
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = sample_rows(mask, 10)
        torch.manual_seed(3)
        assert torch.equal(first, sample_rows(mask, 10))
        assert not torch.equal(first, sample_rows(mask, 10))
    assert mask[first].all() and len(set(first.tolist())) == 10
    assert torch.equal(sample_rows(mask, 50), mask.nonzero()[:, 0])


@pytest.mark.parametrize("label", [-1, 0])
def test_anchors_in_ignored_regions_are_no_negatives(label: int) -> None:
    rows, _ = sampled(NOTHING)
    region = objects((0, 0, 40, 64, label, 0))
    left, _ = sampled(NOTHING, region)
    inside = ((ANCHORS[:, 2].clamp(max=40) - ANCHORS[:, 0]) / (ANCHORS[:, 2] - ANCHORS[:, 0])) >= 0.5
    assert inside[rows].any() and not inside[left].any()
    wanted = objects((20, 20, 36, 36, 0, 0))
    rows, learned = sampled(wanted, region)
    assert SQUARE in rows[learned == 0].tolist()


def test_region_loss_by_hand() -> None:
    level_maps = maps()
    wanted = objects((20, 20, 36, 36, 0, 0))
    rows, learned = sampled(wanted)
    objectness, box = LOSS(level_maps, wanted, NOTHING)
    assert objectness.item() == pytest.approx(log(2), rel=1e-5)
    errors = torch.zeros(())
    for row in rows[learned == 0]:
        x1, y1, x2, y2 = ANCHORS[row].tolist()
        width, height = x2 - x1, y2 - y1
        offsets = [(28 - (x1 + x2) / 2) / width, (28 - (y1 + y2) / 2) / height, log(16 / width), log(16 / height)]
        errors = errors + sum(9 * abs(e) ** 2 / 2 if abs(e) < 1 / 9 else abs(e) - 1 / 18 for e in offsets)
    assert box.item() == pytest.approx(errors.item() / len(rows), rel=1e-4)


def test_region_loss_reads_each_anchor_at_its_place() -> None:
    """A detector that says what is wanted has no loss; a detector that says it one cell further has."""
    wanted = objects((22, 20, 38, 36, 0, 0))
    rows, learned = sampled(wanted)
    positive = rows[learned == 0]
    assert SQUARE in positive.tolist()
    level_maps = maps()
    for level in level_maps:
        level[:, :3] = -30.0
    fine, coarse = positive[positive < 192], positive[positive >= 192] - 192
    for level, size, found in ((level_maps[0], 8, fine), (level_maps[1], 4, coarse)):
        start = 0 if size == 8 else 192
        for row in found.tolist():
            cell, anchor = divmod(row, 3)
            x1, y1, x2, y2 = ANCHORS[start + row].tolist()
            moved = ((30 - (x1 + x2) / 2) / (x2 - x1), (28 - (y1 + y2) / 2) / (y2 - y1))
            offsets = (*moved, log(16 / (x2 - x1)), log(16 / (y2 - y1)))
            level[0, anchor, cell // size, cell % size] = 30.0
            level[0, 3 + 4 * anchor : 7 + 4 * anchor, cell // size, cell % size] = torch.tensor(offsets)
    assert sum(part.item() for part in LOSS(level_maps, wanted, NOTHING)) < 1e-6
    shifted = [level.roll(1, dims=3) for level in level_maps]
    objectness, box = LOSS(shifted, wanted, NOTHING)
    assert objectness > 0.1 and box > 1e-3


def pool_of(boxes: Tensor, wanted: Objects, ignored: Objects = NOTHING) -> RoICandidates:
    return roi_candidates(to_inclusive(boxes), wanted, ignored, 0, num_classes=2, iou=0.5)


def test_a_pool_begins_with_the_objects() -> None:
    wanted = objects((0, 0, 10, 10, 1, 0), (20, 20, 40, 40, 0, 0), (5, 5, 9, 9, 0, 1))
    boxes = torch.tensor([[0.0, 0, 10, 12], [20, 20, 40, 28], [22, 20, 42, 40]])
    found = pool_of(boxes, wanted)
    assert torch.equal(found.boxes, torch.cat((wanted.boxes[:2], boxes)))
    assert found.found.objects.tolist() == [0, 1, 0, NONE, 1]
    assert torch.allclose(found.targets[:2], torch.zeros(2, 4), atol=1e-6) and not found.targets[3].any()
    expected = torch.tensor([[0.0, -1 / 12 / 0.1, 0, log(10 / 12) / 0.2], [-2 / 20 / 0.1, 0, 0, 0]])
    assert torch.allclose(found.targets[[2, 4]], expected, atol=1e-4)


def test_two_objects_at_one_place_are_both_learned() -> None:
    found = pool_of(torch.zeros(0, 4), objects((0, 0, 10, 10, 1, 0), (0, 0, 10, 10, 0, 0)))
    assert found.found.objects.tolist() == [0, 1]


def stage_of(hardness: Tensor, boxes: Tensor) -> Tensor:
    """A second stage: the first class of the box whose x1 is n is likelier than the background by `hardness[n]`."""
    logits = torch.zeros(*boxes.shape[:2], 3 + 4)
    logits[..., 1] = hardness[boxes[..., 0].long()]
    return logits


def crowd(num_positive: int, num_negative: int) -> RoICandidates:
    """One object of the first class, boxes on it, and boxes far away; the x1 of each is its number."""
    x = torch.arange(float(1 + num_positive + num_negative))
    boxes = torch.stack((x, x, x + 5000, x + 5000), dim=1)
    boxes[1 + num_positive :, 1::2] += 20_000
    return pool_of(boxes[1:], objects((*boxes[0].tolist(), 0, 0)))


def test_the_hardest_of_both_kinds_are_learned_512_in_all() -> None:
    crowded = crowd(300, 900)
    assert int(crowded.found.positive.sum()) == 301
    hardness = torch.randn(1201, generator=torch.Generator().manual_seed(0))
    rows, *_ = RoILoss()._hardest(lambda boxes: stage_of(hardness, boxes), [crowded])
    positive = rows[crowded.found.positive[rows]]
    negative = rows[~crowded.found.positive[rows]]
    assert len(positive) == 128 and len(negative) == 384
    # A positive is hard where the first class is unlikely, a negative where it is likely.
    assert set(positive.tolist()) == set(hardness[:301].argsort()[:128].tolist())
    assert set(negative.tolist()) == set((301 + hardness[301:].argsort(descending=True)[:384]).tolist())


def test_negatives_fill_up_for_missing_positives() -> None:
    few = crowd(9, 900)
    rows, *_ = RoILoss()._hardest(lambda boxes: stage_of(torch.zeros(910), boxes), [few])
    assert len(rows) == 512 and int(few.found.positive[rows].sum()) == 10
    small = crowd(3, 7)
    rows, *_ = RoILoss()._hardest(lambda boxes: stage_of(torch.zeros(11), boxes), [small])
    assert len(rows) == 11


def test_roi_loss_by_hand() -> None:
    """Images of different size, one without objects: sums over all boxes, divided by how many they are."""
    wanted = objects((0, 0, 10, 10, 1, 0))
    first = pool_of(torch.tensor([[0.0, 0, 10, 12], [50, 50, 60, 60]]), wanted)
    second = roi_candidates(
        to_inclusive(torch.tensor([[50.0, 50, 60, 60]])), wanted, NOTHING, 1, num_classes=2, iou=0.5
    )

    given: list[Tensor] = []

    def stage(boxes: Tensor) -> Tensor:
        given.append(boxes)
        outputs = torch.zeros(*boxes.shape[:2], 7)
        outputs[..., 2] = 1.0
        outputs[..., -1] = 0.5
        return outputs

    classes, box = RoILoss()(stage, [first, second])
    assert [0.0, 0, 9, 9] in given[-1][0].tolist()  # by its first and last pixel, as proposals come
    logits = torch.tensor([0.0, 0, 1])
    entropies = [F.cross_entropy(logits, torch.tensor(target)).item() for target in (2, 2, 0, 0)]
    assert classes.item() == pytest.approx(sum(entropies) / 4, rel=1e-5)
    far = abs(0.5 - log(10 / 12) / 0.2) - 0.5
    assert box.item() == pytest.approx((0.5 * 0.5**2 + far + 0.5 * (1 / 12 / 0.1) ** 2) / 4, rel=1e-4)


def test_boxes_in_ignored_regions_are_no_negatives() -> None:
    wanted = objects((0, 0, 10, 10, 0, 0))
    boxes = torch.tensor([[0.0, 0, 10, 11], [30, 30, 40, 40], [60, 60, 70, 70]])
    hardness = torch.zeros(80)
    found = pool_of(boxes, wanted, objects((0, 0, 50, 50, -1, 0)))
    rows, *_ = RoILoss()._hardest(lambda given: stage_of(hardness, given), [found])
    assert sorted(rows.tolist()) == [0, 1, 3]
    of_a_class = pool_of(boxes, wanted, objects((0, 0, 50, 50, 1, 0)))
    entropies = of_a_class.entropy(torch.zeros(4, 7))
    assert entropies.tolist() == pytest.approx([log(3), log(3), log(2), log(3)])


def scalar_soft_nms(boxes: list[list[float]], scores: list[float], threshold: float, least: float) -> list[float]:
    """Bodla et al.'s pseudo-code with the linear rule."""
    left, final = dict(enumerate(scores)), [0.0] * len(scores)
    while left:
        best = max(left, key=lambda index: left[index])
        score = left.pop(best)
        if score < least:
            break
        final[best] = score
        for index in left:
            overlap = iou_matrix(torch.tensor([boxes[best]]), torch.tensor([boxes[index]])).item()
            if overlap > threshold:
                left[index] *= 1 - overlap
    return final


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5])
def test_soft_nms_equals_the_loop(threshold: float) -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(2, 40, 2, generator=generator) * 30
    boxes = torch.cat((low, low + 5 + 20 * torch.rand(2, 40, 2, generator=generator)), dim=2)
    scores = torch.rand(2, 40, 3, generator=generator)
    found = soft_suppress(boxes, scores, iou_threshold=threshold, least_score=0.05)
    for image in range(2):
        for label in range(3):
            expected = scalar_soft_nms(boxes[image].tolist(), scores[image, :, label].tolist(), threshold, 0.05)
            assert found[image, :, label].tolist() == pytest.approx(expected, abs=1e-4)
    assert (found == 0).any() and (found >= 0.05).any()


@pytest.mark.slow
def test_suppression_of_more_boxes_than_are_compared_at_once_equals_the_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(700, 2, generator=generator) * 100
    boxes = torch.cat((low, low + 5 + 20 * torch.rand(700, 2, generator=generator)), dim=1)
    scores = torch.rand(700, generator=generator)
    kept: list[int] = []
    overlap = iou_matrix(boxes, boxes)
    for index in scores.argsort(descending=True).tolist():
        if all(overlap[index, better] <= 0.5 for better in kept):
            kept.append(index)
    assert suppress(boxes, scores, iou_threshold=0.5).tolist() == kept


def test_proposals_of_training_are_those_that_stay() -> None:
    regions = [torch.randn(1, 15, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.3]
    (boxes, num_staying), *_ = rank_candidates(regions, (8,), anchor_scale=2.0, num_candidates=150)
    assert len(boxes) == 150 and 1 < num_staying < 150
    overlap = iou_matrix(to_exclusive(boxes), to_exclusive(boxes)).fill_diagonal_(0)
    assert overlap[:num_staying, :num_staying].max() <= 0.7
    assert (overlap[num_staying:, :num_staying].amax(dim=1) > 0.7).all()


def test_soft_nms_by_hand() -> None:
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 10], [50, 50, 60, 60]]])
    scores = torch.tensor([[[0.9], [0.8], [0.7], [0.6]]])
    found = soft_suppress(boxes, scores, iou_threshold=0.5, least_score=0.001)
    assert found[0, :, 0].tolist() == pytest.approx([0.9, 0.16, 0.0, 0.6])
    assert torch.equal(soft_suppress(boxes, scores, iou_threshold=1.0, least_score=0.001), scores)
    assert soft_suppress(boxes[:, :0], scores[:, :0], iou_threshold=0.5, least_score=0.001).shape == (1, 0, 1)
    scores[0, 0] = torch.nan
    found = soft_suppress(boxes, scores, iou_threshold=0.5, least_score=0.001)
    assert found[0, :, 0].tolist() == pytest.approx([0.0, 0.8, 0.14, 0.6])


def training_of(input_hw: tuple[int, int] = (64, 96)) -> TwoStageTraining:
    training = head_training(small_detector("two_stage", num_classes=2, input_hw=input_hw))
    assert isinstance(training, TwoStageTraining)
    return training


def outputs_of(boxes: list[list[float]], logits: list[list[float]], offsets: list[list[float]]) -> list[Tensor]:
    regions = [torch.zeros(1, 15, 8, 12), torch.zeros(1, 15, 4, 6)]
    table = torch.cat((torch.tensor(logits), torch.tensor(offsets)), dim=1)
    return [*regions, to_inclusive(torch.tensor(boxes))[None], table[None]]


def test_boxes_are_moved_by_scaled_offsets_and_cut_at_the_border() -> None:
    outputs = outputs_of(
        [[10.0, 10, 30, 50], [80, 40, 96, 64]],
        [[0.0, 20, 0], [0, 0, 10]],
        [[1.0, 0, 0, log(0.5) / 0.2], [5, 5, 0, 0]],
    )
    (boxes, scores, labels), *_ = training_of().read(outputs, DetectionLimits(score_threshold=0.5))
    assert labels.tolist() == [0, 1] and (scores > 0.99).all()
    assert torch.allclose(boxes, torch.tensor([[12.0, 20, 32, 40], [88, 52, 96, 64]]), atol=1e-3)


def test_repeated_proposals_are_read_once_and_overlapping_ones_lose() -> None:
    outputs = outputs_of([[10.0, 10, 20, 20], [10, 10, 20, 20], [10, 10, 20, 18]], [[0.0, 3, 0]] * 3, [[0.0] * 4] * 3)
    chance = torch.tensor([0.0, 3, 0]).softmax(0)[1].item()
    (boxes, scores, _), *_ = training_of().read(outputs, DetectionLimits(score_threshold=0.1, iou_threshold=0.5))
    assert scores.tolist() == pytest.approx([chance, chance * 0.2]) and boxes[1, 3] == 18
    (_, scores, _), *_ = training_of().read(outputs, DetectionLimits(score_threshold=0.2, iou_threshold=0.5))
    assert scores.tolist() == pytest.approx([chance])


def test_one_class_a_place() -> None:
    outputs = outputs_of([[10.0, 10, 20, 20]], [[0.0, 2, 1]], [[0.0] * 4])
    assert len(training_of().read(outputs, DetectionLimits(score_threshold=0.05))[0][0]) == 2
    (_, _, labels), *_ = training_of().read(outputs, DetectionLimits(score_threshold=0.05, one_class=True))
    assert labels.tolist() == [0]


def test_training_proposes_itself_and_not_with_the_node() -> None:
    """So many boxes as stay, not the number that the detector has in use."""
    detector = small_detector("two_stage").train()
    calls: list[int] = []
    detector.blocks["proposals"].register_forward_hook(lambda *_: calls.append(0))
    detector.blocks["roi"].register_forward_hook(lambda _, given, __: calls.append(given[0].shape[1]))
    training = head_training(detector)
    training.loss(detector, torch.rand(1, 3, 64, 96), objects((8, 8, 40, 40, 0, 0)), NOTHING)
    assert 0 not in calls and max(calls) > 20 * 5


def test_named_maps_are_those_of_the_whole_run() -> None:
    detector = small_detector("two_stage").eval()
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    whole = detector(images)
    ran: list[str] = []
    for name, block in detector.blocks.items():
        block.register_forward_hook(lambda *_, name=name: ran.append(name))
    names = (*detector.graph.outputs[:2], "smooth3")
    found = detector.maps(images, names)
    assert len(found) == 3 and all(torch.equal(*pair) for pair in zip(found[:2], whole, strict=False))
    assert found[2].shape == (2, 49, 8, 12)
    assert "proposals" not in ran and "roi" not in ran
    assert torch.equal(detector.maps(images, ("smooth3", "stem"))[0], found[2])


def test_the_neck_starts_with_xavier_s_weights() -> None:
    detector = small_detector("two_stage")
    convolutions = [
        module
        for name in ("lateral3", "lateral4", "smooth3", "smooth4")
        for module in detector.blocks[name].modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    assert len(convolutions) == 6
    for module in convolutions:
        fans = module.weight[0].numel() + module.weight.shape[0] * module.weight[0, 0].numel()
        bound = (6 / fans) ** 0.5
        assert module.bias is not None and not module.bias.any()
        assert 0.9 * bound < module.weight.abs().max() <= bound
    assert small_detector("ssd").blocks["lateral3"].state_dict()["bias"].any()
