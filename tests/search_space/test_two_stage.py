"""The two-stage head: proposals and position-sensitive features against loops and values counted by hand."""

from __future__ import annotations

from math import floor

import pytest
import torch
from torch import Tensor

from nas.cost.counting import count_module
from nas.cost.oracle import fvcore_macs
from search_space.errors import SpaceError
from search_space.heads.anchors import rpn_anchors
from search_space.heads.box_coding import clip, decode
from search_space.heads.proposals import Proposals, propose
from search_space.heads.ps_roi_align import assign_levels, ps_roi_align
from search_space.heads.roi import RoIHead
from search_space.heads.rpn import RPNLevel

TINYDET_M = (4, 8, 16, 32, 64)


def random_maps(channels: int, side: int, strides: tuple[int, ...], *, seed: int, batch: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, channels, side // s, side // s, generator=generator) for s in strides]


# Region-proposal head


def test_rpn_of_tinydet():
    level = RPNLevel(245)
    assert sum(parameter.numel() for parameter in level.parameters()) == 7610
    x = torch.randn(2, 245, 4, 6)
    hidden = level.smooth(x).relu()
    output = level(x)
    assert output.shape == (2, 15, 4, 6)
    assert torch.equal(output[:, :3], level.objectness(hidden))
    assert torch.equal(output[:, 3:], level.box_offsets(hidden))


def test_rpn_starts_small_and_without_bias():
    level = RPNLevel(245)
    for name, parameter in level.named_parameters():
        expected = 0.0 if name.endswith("bias") else 0.01
        assert parameter.std().item() == pytest.approx(expected, rel=0.15), name
        assert abs(parameter.mean().item()) < 0.002, name


@pytest.mark.parametrize("channels, groups", [(245, 49), (98, 49), (240, 1), (70, 7)])
def test_rpn_groups_divide_the_channels(channels: int, groups: int):
    assert RPNLevel(channels).smooth.pointwise.groups == groups


# Proposals


def quiet_map(rows: int, columns: int) -> Tensor:
    level = torch.zeros(1, 15, rows, columns)
    level[:, :3] = -5
    return level


def test_a_proposal_is_its_anchor_moved_by_its_own_offsets():
    level = quiet_map(4, 4)
    level[0, 1, 2, 1] = 5  # anchor 1 of row 2, column 1: a square of 36 px around (23.5, 39.5)
    level[0, 3 + 4 * 1, 2, 1] = 0.25
    first = propose([level], (16,), anchor_scale=2.25, num_proposals=3)[0, 0]
    assert first.tolist() == pytest.approx([6 + 9, 22, 41 + 9, 57], abs=1e-4)


def overlap(first: Tensor, second: Tensor) -> float:
    """The IoU of two boxes in inclusive pixels."""
    width = min(first[2], second[2]) - max(first[0], second[0]) + 1
    height = min(first[3], second[3]) - max(first[1], second[1]) + 1
    common = max(float(width), 0) * max(float(height), 0)
    areas = [float((box[2] - box[0] + 1) * (box[3] - box[1] + 1)) for box in (first, second)]
    return common / (sum(areas) - common)


def proposals_by_loop(maps: list[Tensor], strides: tuple[int, ...], scale: float, count: int, candidates: int) -> list:
    """One box at a time, for the first image."""
    side = maps[0].shape[2] * strides[0]
    kept: list[tuple[float, list[float]]] = []
    gone: list[tuple[float, list[float]]] = []
    for level, stride in zip(maps, strides, strict=True):
        scored = []
        for index, anchor in enumerate(rpn_anchors((level.shape[2], level.shape[3]), stride, scale)):
            cell, a = divmod(index, 3)
            row, column = divmod(cell, level.shape[3])
            box = decode(level[0, 3 + 4 * a : 7 + 4 * a, row, column], anchor)
            scored.append((float(level[0, a, row, column].sigmoid()), clip(box, (side, side))))
        scored.sort(key=lambda pair: -pair[0])
        stay: list[Tensor] = []
        for score, box in scored[:candidates]:
            suppressed = any(overlap(box, better) > 0.7 for better in stay)
            (gone if suppressed else kept).append((score, box.tolist()))
            if not suppressed:
                stay.append(box)
    ranked = [*sorted(kept, key=lambda pair: -pair[0]), *sorted(gone, key=lambda pair: -pair[0])]
    return [ranked[index % len(ranked)][1] for index in range(count)]


@pytest.mark.parametrize("count", [20, 60, 200])
def test_proposals_equal_the_loop(count: int):
    strides = (16, 32)
    maps = random_maps(15, 96, strides, seed=1)
    for level in maps:
        level[:, 3:] *= 0.3
    found = propose(maps, strides, anchor_scale=4.0, num_proposals=count, num_candidates=50)
    expected = proposals_by_loop(maps, strides, 4.0, count, 50)
    assert found.shape == (1, count, 4)
    assert found[0].tolist() == [pytest.approx(box, abs=1e-3) for box in expected]


def test_proposals_of_one_level_do_not_overlap():
    boxes = propose(random_maps(15, 256, (16,), seed=2), (16,), anchor_scale=3.2, num_proposals=40)[0]
    assert max(overlap(boxes[i], boxes[j]) for i in range(40) for j in range(i)) <= 0.7
    assert boxes.min() >= 0 and boxes.max() <= 255


def test_too_few_proposals_are_made_up_with_the_suppressed_then_repeated():
    level = torch.zeros(1, 15, 1, 1)
    level[0, :3, 0, 0] = torch.tensor([1.0, 3.0, 2.0])
    # The square and its two halves: all anchors are brought to the tall one, so that one of three stays.
    level[0, 3:, 0, 0] = torch.tensor([0, 0, -0.6931, 0.6931, 0, 0, -0.3466, 0.3466, 0, 0, 0, 0])
    padded = Proposals((64,), 0.5, 7)(level)[0]
    assert padded.shape == (7, 4)
    best_first = [propose([level], (64,), anchor_scale=0.5, num_proposals=1)[0, 0].tolist()]
    assert padded[0].tolist() == best_first[0]
    assert padded[3:6].tolist() == padded[:3].tolist() and padded[6].tolist() == padded[0].tolist()
    squares = decode(level[0, 3:, 0, 0].reshape(3, 4), rpn_anchors((1, 1), 64, 0.5))
    assert torch.allclose(padded[:3], squares[[1, 2, 0]], atol=1e-3)


def test_what_stays_comes_before_better_boxes_that_went():
    level = quiet_map(1, 8)
    level[0, 1, 0, :] = torch.tensor([-9.0, 9, -9, -9, -9, -9, -9, 1])
    level[0, 0, 0, 1] = 8
    level[0, 3:7, 0, 1] = torch.tensor([0, 0, -0.3466, 0.3466])  # the flat anchor of the same cell, made square
    boxes = propose([level], (16,), anchor_scale=1.0, num_proposals=2)[0]
    assert boxes[:, 0].tolist() == [16, 112]


def test_levels_do_not_suppress_each_other():
    fine, coarse = quiet_map(2, 2), quiet_map(1, 1)
    fine[0, 1, 0, 0], coarse[0, 1, 0, 0] = 5, 4
    coarse[0, 7:11, 0, 0] = torch.tensor([-0.25, -0.25, -0.6931, -0.6931])  # onto the first cell of the fine map
    boxes = propose([fine, coarse], (32, 64), anchor_scale=1.0, num_proposals=2)[0]
    assert overlap(boxes[0], boxes[1]) > 0.95


def test_proposals_are_the_same_each_time_and_for_each_image_alone():
    maps = random_maps(15, 128, TINYDET_M, seed=3, batch=2)
    module = Proposals(TINYDET_M, 3.2, 100)
    first = module(*maps)
    assert first.shape == (2, 100, 4)
    assert torch.equal(first, module(*maps))
    assert torch.equal(first[1:], module(*[level[1:] for level in maps]))
    assert not torch.equal(first[0], first[1])


def test_equal_scores_keep_the_order_of_the_anchors():
    boxes = propose([torch.zeros(1, 15, 4, 4)], (16,), anchor_scale=1.0, num_proposals=6)[0]
    assert torch.equal(boxes, clip(rpn_anchors((4, 4), 16, 1.0)[:6], (64, 64)))


def test_maps_that_are_not_numbers_give_boxes_inside_the_image():
    maps = [level * torch.nan for level in random_maps(15, 64, (8, 16), seed=4)]
    boxes = Proposals((8, 16), 2.0, 10)(*maps)
    assert RoIHead(49, 2, (8,), 20.0)(boxes, torch.zeros(1, 49, 8, 8)).isfinite().all()


def test_no_proposals_is_an_error():
    with pytest.raises(SpaceError, match="at least 1 proposal, got 0"):
        Proposals((8,), 2.0, 0)


# Position-sensitive RoI align


def align(level: Tensor, *box: float, bins: int = 1) -> list[float]:
    boxes, levels = torch.tensor([[box]]), torch.zeros(1, 1, dtype=torch.long)
    found: list[float] = ps_roi_align([level], boxes, levels, strides=(1,), bins=bins)[0, 0].tolist()
    return found


def ramp(rows: int, columns: int) -> Tensor:
    """A map whose value at (y, x) is 10 y + x."""
    return (torch.arange(rows)[:, None] * 10.0 + torch.arange(columns))[None, None]


def test_a_bin_is_the_maximum_of_samples_at_its_quarters():
    # samples at 0.5 and 1.5 each way: the largest is 10 * 1.5 + 1.5, their mean would be 11
    assert align(ramp(4, 4), 0, 0, 2, 2) == pytest.approx([16.5])


def test_a_box_is_at_least_a_tenth_of_a_cell():
    assert align(ramp(4, 4), 1, 1, 1, 1) == pytest.approx([10 * 1.075 + 1.075])


def test_corners_are_divided_by_the_stride_alone():
    boxes, levels = torch.tensor([[[0.0, 0.0, 16.0, 16.0]]]), torch.zeros(1, 1, dtype=torch.long)
    assert ps_roi_align([ramp(4, 4)], boxes, levels, strides=(8,), bins=1).item() == pytest.approx(16.5)


@pytest.mark.parametrize(
    "start, size, expected",
    [
        (-1.5, 2, -1),  # samples at -1 and 0: a cell outside still reads the border
        (-1.625, 2, 0),  # samples at -1.125 and -0.125: the first is outside, and 0 is more than -1
        (2.25, 1, -1),  # samples at 2.5 and 3: the number of cells is the last inside
        (2.5, 1, 0),  # samples at 2.75 and 3.25
        (-9, 2, 0),
    ],
)
@pytest.mark.parametrize("axis", ["x", "y"])
def test_borders(start: float, size: float, expected: float, axis: str):
    box = (start, 0.5, start + size, 1.5) if axis == "x" else (0.5, start, 1.5, start + size)
    rows, columns = (9, 3) if axis == "x" else (3, 9)
    assert align(-torch.ones(1, 1, rows, columns), *box) == [expected]


def test_samples_outside_read_the_nearest_cell():
    assert align(ramp(3, 3), 1.75, 0, 2.75, 2) == pytest.approx([10 * 1.5 + 2])  # x at 2 and 2.5, y at 0.5 and 1.5
    assert align(-ramp(3, 3), -1, -1, 1, 1) == pytest.approx([0])  # -0.5 is read as 0


def test_bins_read_their_own_channels():
    level = ramp(5, 5) + 100 * torch.arange(8.0)[None, :, None, None]
    expected = [
        100 * ((plane * 2 + i) * 2 + j) + 10 * (2 * i + 1.5) + 2 * j + 1.5
        for plane in range(2)
        for i in range(2)
        for j in range(2)
    ]
    assert align(level, 0, 0, 4, 4, bins=2) == pytest.approx(expected)


def read_cell(level: Tensor, y: float, x: float) -> float:
    rows, columns = level.shape
    if y < -1 or y > rows or x < -1 or x > columns:
        return 0.0
    y, x = max(y, 0.0), max(x, 0.0)
    y0, x0 = floor(y), floor(x)
    y1, x1 = y0 + 1, x0 + 1
    if y0 >= rows - 1:
        y = y0 = y1 = rows - 1
    if x0 >= columns - 1:
        x = x0 = x1 = columns - 1
    top = float(level[y0, x0]) * (1 - (x - x0)) + float(level[y0, x1]) * (x - x0)
    bottom = float(level[y1, x0]) * (1 - (x - x0)) + float(level[y1, x1]) * (x - x0)
    return top * (1 - (y - y0)) + bottom * (y - y0)


def align_by_loop(level: Tensor, box: list[float], stride: int, bins: int) -> list[float]:
    x1, y1, x2, y2 = (value / stride for value in box)
    width, height = max(x2 - x1, 0.1) / bins, max(y2 - y1, 0.1) / bins
    found = []
    for channel, plane in enumerate(level):
        i, j = divmod(channel % (bins * bins), bins)
        points = [(y1 + (i + v) * height, x1 + (j + u) * width) for v in (0.25, 0.75) for u in (0.25, 0.75)]
        found.append(max(read_cell(plane, y, x) for y, x in points))
    return found


def test_features_equal_the_loop():
    strides, bins = (4, 8, 16), 3
    maps = random_maps(2 * bins * bins, 64, strides, seed=5, batch=2)
    maps = [level[..., : level.shape[3] // 2] for level in maps]  # an oblong map
    generator = torch.Generator().manual_seed(6)
    corners = torch.rand(2, 30, 2, generator=generator) * 90 - 20
    boxes = torch.cat((corners, corners + torch.rand(2, 30, 2, generator=generator) * 50 - 5), dim=-1)
    levels = torch.randint(0, 3, (2, 30), generator=generator)
    found = ps_roi_align(maps, boxes, levels, strides=strides, bins=bins)
    for image in range(2):
        for index in range(30):
            level = int(levels[image, index])
            expected = align_by_loop(maps[level][image], boxes[image, index].tolist(), strides[level], bins)
            assert found[image, index].tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "base_size, num_levels, thresholds", [(30, 2, (60,)), (22.4, 3, (44.8, 89.6)), (35.8, 3, (71.6, 143.2))]
)
def test_levels_change_at_the_published_sizes(base_size: float, num_levels: int, thresholds: tuple[float, ...]):
    for level, side in enumerate(thresholds):
        sides = torch.tensor([side - 0.01, side + 0.01])
        boxes = torch.stack((sides * 0, sides * 0, sides - 1, sides - 1), dim=-1)  # the last pixel belongs to the box
        assert assign_levels(boxes, base_size, num_levels).tolist() == [level, level + 1]
        boxes = torch.stack((sides * 0, sides * 0, sides * 2 - 1, sides / 2 - 1), dim=-1)  # the area decides
        assert assign_levels(boxes, base_size, num_levels).tolist() == [level, level + 1]
    extremes = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 9999.0, 9999.0]])
    assert assign_levels(extremes, base_size, num_levels).tolist() == [0, num_levels - 1]


# Second stage


def test_roi_head_of_tinydet():
    head = RoIHead(245, 80, (4, 8, 16), 22.4)
    assert sum(parameter.numel() for parameter in head.parameters()) == 339029
    assert head.class_logits.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert head.box_offsets.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert head.hidden.weight.abs().max().item() == pytest.approx((6 / (245 + 1024)) ** 0.5, rel=0.01)
    assert not any(layer.bias.any() for layer in (head.hidden, head.class_logits, head.box_offsets))


def test_roi_head_puts_classes_before_the_box_and_reads_the_level_of_the_size():
    head = RoIHead(18, 2, (8, 16), 8.0, hidden=16, bins=3)
    maps = random_maps(18, 64, (8, 16), seed=7)
    boxes = torch.tensor([[[2.0, 3.0, 14.0, 15.0], [4.0, 4.0, 40.0, 50.0]]])
    output = head(boxes, *maps)
    assert output.shape == (1, 2, 2 + 1 + 4)
    for index, level in enumerate((0, 1)):
        levels = torch.full((1, 1), level)
        alone = ps_roi_align(maps, boxes[:, index : index + 1], levels, strides=(8, 16), bins=3)
        hidden = head.hidden(alone).relu()
        assert torch.allclose(output[:, index : index + 1, :3], head.class_logits(hidden), atol=1e-6)
        assert torch.allclose(output[:, index : index + 1, 3:], head.box_offsets(hidden), atol=1e-6)


@pytest.mark.parametrize("channels", [24, 48, 50, 240])
def test_channels_that_are_no_planes_are_an_error(channels: int):
    with pytest.raises(SpaceError, match=f"7x7 bins needs a multiple of 49 channels, got {channels}; .* 245"):
        RoIHead(channels, 80, (8,), 30.0)


def test_gradients_flow_to_the_maps_and_not_to_the_proposals():
    rpn = random_maps(15, 64, (8, 16), seed=8)
    maps = random_maps(49, 64, (8, 16), seed=9)
    for level in (*rpn, *maps):
        level.requires_grad_()
    proposals = Proposals((8, 16), 2.0, 30)(*rpn)
    assert not proposals.requires_grad
    RoIHead(49, 3, (8, 16), 8.0)(proposals, *maps).square().sum().backward()
    assert all(level.grad is not None and level.grad.abs().sum() > 0 for level in maps)
    assert all(level.grad is None for level in rpn)


# Costs

ROI_SHAPES = ((200, 4), (245, 80, 80), (245, 40, 40), (245, 20, 20))
COSTS = {
    # 9 + 5 of the sparse convolution and 15 of the outputs, times 245 channels and 80 * 80 cells
    "rpn": (lambda: RPNLevel(245), ((245, 80, 80),), (9 + 5 + 15) * 245 * 6400, (15, 80, 80)),
    "proposals": (
        lambda: Proposals(TINYDET_M, 3.2, 200),
        tuple((15, 320 // stride, 320 // stride) for stride in TINYDET_M),
        0,
        (200, 4),
    ),
    "roi": (lambda: RoIHead(245, 80, (4, 8, 16), 22.4), ROI_SHAPES, 67_584_000, (200, 85)),
}


@pytest.mark.parametrize("name", COSTS)
def test_counts_agree_with_fvcore(name: str):
    make, shapes, macs, output_shape = COSTS[name]
    with torch.device("meta"):
        count = count_module(make(), *shapes)
    assert (count.macs, count.output_shape) == (macs, output_shape)
    assert fvcore_macs(make(), *shapes) == macs
