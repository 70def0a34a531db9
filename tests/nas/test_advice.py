"""Sizes, levels and the advice on a space: by hand, against the heads' own rules, and for any boxes at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.advice.advice import advise
from nas.advice.box_sizes import EDGES_PX, box_sizes, histogram, num_under
from nas.advice.contents import contents
from nas.advice.levels import LEVELS, least_seen_px, num_seen, num_served, serving_level
from nas.engine.narrowing import parse_narrowing, with_defaults
from search_space import SearchSpace
from search_space.errors import DataError
from search_space.heads.anchors import ssd_anchors
from trainers.assigners import points_inside
from trainers.boxes import anchor_grid, iou_matrix
from trainers.data import Dataset, Record, open_data
from trainers.data.geometry import ImageFit

DATA = Path(__file__).parents[1] / "data" / "hit_uav"


def record(sides: Sequence[float], hw: tuple[int, int] = (256, 320), label: int = 0) -> Record:
    """An image with square boxes of these sides in its corner."""
    boxes = np.array([[0, 0, side, side] for side in sides], np.float32).reshape(-1, 4)
    return Record(path=None, height=hw[0], width=hw[1], boxes=boxes, labels=np.full(len(sides), label, np.int64))


def advised(records: Sequence[Record], **narrowing: tuple[Any, ...]) -> dict[str, tuple[Any, ...]]:
    return {item.topic: item.choices for item in advise(records, narrowing).items}


def test_sides_are_square_roots_of_areas_scaled_by_the_letterbox() -> None:
    boxes = np.array([[10, 10, 20, 50], [0, 0, 8, 8]], np.float32)
    wide = Record(path=None, height=320, width=640, boxes=boxes, labels=np.zeros(2, np.int64))
    sizes = box_sizes([record([6.0]), record([]), wide])
    assert sizes.original.tolist() == [6, 20, 8]
    assert sizes.at(320).tolist() == [6, 10, 4]  # 320x256 stays as it is, 640x320 shrinks by two
    assert dict(zip(sizes.hws, sizes.num_images, strict=True)) == {(256, 320): 2, (320, 640): 1}
    assert sizes.long_side_px == 320
    assert num_under(sizes.at(320)) == {8: 2, 16: 3, 32: 3}
    assert num_under(np.array([8.0, 7.9, 16, 32])) == {8: 1, 16: 2, 32: 3}


@pytest.mark.parametrize("input_px", [128, 300, 352, 1280])
def test_the_detector_sees_the_same_sizes(input_px: int) -> None:
    records = open_data(DATA).train.records
    seen = []
    for each in records:
        boxes = ImageFit.of((each.height, each.width), (input_px, input_px), "letterbox").to_input(each.boxes)
        seen.append(np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1)))
    np.testing.assert_allclose(box_sizes(records).at(input_px), np.concatenate(seen), rtol=1e-4)


def test_an_edge_of_the_histogram_belongs_to_the_upper_bin() -> None:
    bins = {each.low_px: each.num_boxes for each in histogram(np.array([0.5, 4, 7.99, 8, 256, 9999]))}
    assert [low for low in bins] == list(EDGES_PX)
    assert {low: count for low, count in bins.items() if count} == {0: 1, 4: 1, 6: 1, 8: 1, 256: 2}


def test_no_box_is_an_error() -> None:
    with pytest.raises(DataError, match="check the labels"):
        box_sizes([record([])])


def test_contents() -> None:
    dataset = Dataset(
        [record([]), record([]), record([5] * 3), record([5], label=1), record([5] * 101)], ["a", "b", "c"]
    )
    part = contents("train", dataset)
    assert (part.num_images, part.num_boxes, part.num_empty, part.num_crowded) == (5, 105, 2, 1)
    assert part.by_class == {"a": 104, "b": 1, "c": 0}
    assert part.objects == {"median": 1, "p90": 101, "p99": 101, "max": 101}


def test_a_level_serves_boxes_of_three_cells_as_the_anchors_of_ssd_heads_do() -> None:
    anchors = ssd_anchors("by_cell", [(512 // 2**level,) * 2 for level in LEVELS], (512, 512)) * 512
    squares = {float(side) for side, height in anchors[:, 2:].tolist() if side == height}
    assert {3.0 * 2**level for level in LEVELS} <= squares


@given(st.floats(1, 3000))
def test_a_side_belongs_to_the_one_level_whose_anchor_matches_it(side: float) -> None:
    box = torch.tensor([[-side, -side, side, side]], dtype=torch.float64) / 2
    halves = torch.tensor([3.0 * 2**level / 2 for level in LEVELS], dtype=torch.float64)[:, None]
    overlaps = iou_matrix(torch.cat((-halves, -halves, halves, halves), dim=1), box)[:, 0]
    level = int(serving_level(np.array([side]))[0])
    assert overlaps[LEVELS.index(level)] == overlaps.max()
    if 9 < side < 256:
        assert overlaps.max() >= 0.5 - 1e-9 and (overlaps > 0.5 + 1e-9).sum() <= 1


@given(st.sampled_from(LEVELS), st.floats(0, 64), st.floats(0, 64))
def test_a_level_that_sees_a_box_has_four_anchor_points_in_it(level: int, x: float, y: float) -> None:
    side, stride = least_seen_px(level), 2**level
    grid = anchor_grid(((256 // stride + 4,) * 2,), (stride,))
    exact = torch.tensor([[x, y, x + side, y + side]], dtype=torch.float64)
    assert len(points_inside(exact, grid)[1]) == 4
    assert num_seen(np.array([side, side - 0.01]))[level] == 1


@given(st.lists(st.floats(0.1, 2000), min_size=1, max_size=50))
def test_every_box_is_served_once(sides: list[float]) -> None:
    assert sum(num_served(np.array(sides)).values()) == len(sides)


@pytest.mark.parametrize(
    ("side", "level"), [(1, 2), (8.48, 2), (8.49, 3), (16.9, 3), (17, 4), (33.9, 4), (34, 5), (68, 6), (999, 6)]
)
def test_levels_by_hand(side: float, level: int) -> None:
    """Twice the cells of P2 from 3 / sqrt(2) * 4 = 8.485 px on are P3's."""
    assert math.isclose(3 / math.sqrt(2) * 4, 8.485, abs_tol=1e-3)
    assert serving_level(np.array([2 * side]))[0] == level


def test_small_boxes_need_fine_levels_and_have_no_reason_for_coarse_ones() -> None:
    advice = advise([record([9.0] * 80 + [20.0] * 19 + [40.0])])
    found = {item.topic: item for item in advice.items}
    assert found["input_size"].choices == tuple(range(160, 321, 32))  # half of 320 px, where all are seen
    assert found["head_levels"].choices == ("P2-P2", "P2-P3")
    assert [each.level for each in advice.levels if not each.reason] == [4, 5, 6]
    assert "P5 serves 0.0 % of the boxes at most and is not needed" in found["head_levels"].reason
    assert "p6" not in found and "tiling" not in found


def test_a_span_has_to_serve_nine_tenths_of_the_boxes() -> None:
    boxes = [record([9.0] * 85 + [20.0] * 10 + [40.0] * 5)]
    assert advised(boxes, input_size=(320,)) == {"head_levels": ("P2-P3", "P2-P4")}


def test_large_boxes_need_no_fine_level() -> None:
    found = advised([record([200.0, 250.0, 300.0] * 9, hw=(480, 640))])
    assert found["head_levels"] == ("P4-P4", "P4-P5", "P5-P5") and "p6" not in found
    assert found["input_size"] == tuple(range(128, 641, 32))


def test_p6_is_left_out_where_p5_stays() -> None:
    boxes = [record([10.0] * 30 + [50.0] * 30 + [80.0] * 30, hw=(640, 640))]
    found = advised(boxes, input_size=(640,))
    assert found == {"head_levels": ("P2-P5",), "p6": ("no",)}
    assert advised(boxes, input_size=(640,), p6=("yes",)) == {"head_levels": ("P2-P5",)}
    assert advised(boxes, input_size=(640,), head_levels=("P2-P4",)) == {}


def test_one_size_of_boxes_and_one_input_leave_one_level() -> None:
    assert advised([record([12.0])], input_size=(320,)) == {"head_levels": ("P2-P2",)}


def test_tiny_objects_of_large_images_want_windows() -> None:
    found = {item.topic: item for item in advise([record([14.0] * 50, hw=(1080, 1920))]).items}
    assert found["tiling"].flags == ("--tile-chance", "0.5", "--eval-tile")
    side = found["tiling"].numbers["input_px"]
    assert found["tiling"].numbers["under_whole"] == float(14 * side / 1920 < 8) == 1.0
    assert found["tiling"].numbers["under_in_windows"] == 0.0
    assert found["input_size"].choices[-1] == 1280
    assert "tiling" not in advised([record([200.0] * 50, hw=(1080, 1920))])


def test_inputs_that_blow_images_up_end_at_twice_their_size() -> None:
    assert advised([record([2.0] * 9)])["input_size"][-1] == 640


def test_the_finest_level_that_the_user_allows_decides_what_is_seen() -> None:
    boxes = [record([9.0] * 9, hw=(640, 640))]
    assert advised(boxes)["input_size"][-1] == 640  # 8 px at 576 px, but the images are larger
    assert advised(boxes, head_levels=("P3-P4", "P4-P5"))["input_size"][-1] == 1152  # 16 px


def test_nothing_is_said_of_the_levels_of_ssd_heads() -> None:
    assert set(advised([record([9.0] * 9)], head=("anchor_free", "ssd"))) == {"input_size"}


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    sides=st.lists(st.floats(0.2, 3000), min_size=1, max_size=30),
    hw=st.tuples(st.integers(16, 5000), st.integers(16, 5000)),
    fixed=st.sampled_from(([], ["input_size=640"], ["head_levels=P3-P5"], ["p6=yes"], ["head=two_stage"])),
)
def test_flags_are_valid_whatever_the_boxes_are(sides: list[float], hw: tuple[int, int], fixed: list[str]) -> None:
    mine = parse_narrowing(SearchSpace(), fixed, [])
    items = [item for item in advise([record(sides, hw=hw)], mine).items if item.choices]
    assert not {item.topic for item in items} & set(mine)
    fixes = [item.flags[1] for item in items if item.flags[0] == "--fix"]
    choices = [item.flags[1] for item in items if item.flags[0] == "--choices"]
    read = parse_narrowing(SearchSpace(), [*fixed, *fixes], choices)
    assert read == {**mine, **{item.topic: item.choices for item in items}}
    space = SearchSpace().narrowed(with_defaults(read))
    point = space.random(np.random.default_rng(0))
    assert space.encode(space.decode(point)) == point
    assert all("%" in item.reason for item in items)
