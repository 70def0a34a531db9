"""Anchors and box coding against published tables and values counted by hand."""

from __future__ import annotations

import math

import pytest
import torch

from search_space.errors import SpaceError
from search_space.heads.anchors import SSD_ANCHORS, AnchorScheme, anchors_per_cell, rpn_anchors, rpn_base_anchors
from search_space.heads.anchors import ssd_anchors as anchors_of
from search_space.heads.box_coding import MAX_LOG_SCALE, clip, decode, encode

TINYDET_SCALES = {"S": 2.25, "M": 3.2, "L": 5.12}
TINYDET = {
    ("S", 8): ((-9, -2, 16, 9), (-5, -5, 12, 12), (-2, -9, 9, 16)),
    ("S", 16): ((-17, -5, 32, 20), (-10, -10, 25, 25), (-5, -17, 20, 32)),
    ("S", 32): ((-35, -9, 66, 40), (-20, -20, 51, 51), (-9, -35, 40, 66)),
    ("S", 64): ((-70, -19, 133, 82), (-40, -40, 103, 103), (-19, -70, 82, 133)),
    ("M", 4): ((-7, -3, 10, 6), (-4, -4, 7, 7), (-3, -7, 6, 10)),
    ("M", 8): ((-14, -5, 21, 12), (-9, -9, 16, 16), (-5, -14, 12, 21)),
    ("M", 16): ((-28, -10, 43, 25), (-18, -18, 33, 33), (-10, -28, 25, 43)),
    ("M", 32): ((-56, -20, 87, 51), (-35, -35, 66, 66), (-20, -56, 51, 87)),
    ("M", 64): ((-113, -40, 176, 103), (-70, -70, 133, 133), (-40, -113, 103, 176)),
    ("L", 4): ((-12, -5, 15, 8), (-8, -8, 11, 11), (-5, -12, 8, 15)),
    ("L", 8): ((-25, -10, 32, 17), (-16, -16, 23, 23), (-10, -25, 17, 32)),
    ("L", 16): ((-50, -21, 65, 36), (-33, -33, 48, 48), (-21, -50, 36, 65)),
    ("L", 32): ((-100, -42, 131, 73), (-66, -66, 97, 97), (-42, -100, 73, 131)),
    ("L", 64): ((-200, -84, 263, 147), (-132, -132, 195, 195), (-84, -200, 147, 263)),
}

SSD_MAPS = {
    "mobilenetv1": ((19, 10, 5, 3, 2, 1), 2990),
    "mobilenetv1-s1l0": ((38, 19, 10, 5, 3, 1), 11638),
    "mobilenetv1-s1l0-dualpath": ((38, 19, 5, 3, 2, 1), 11062),
    "mobilenetv1-s1l4": ((38, 19, 10, 5, 3, 2), 11650),
    "mobilenetv1-s2l0-6": ((75, 38, 19, 10, 5, 3), 45366),
    "mobilenetv1-size512": ((32, 16, 8, 4, 2, 1), 8180),
    "vgg16": ((38, 19, 10, 5, 3, 1), 11620),
    "vgg16-s1l2": ((75, 37, 19, 10, 5, 3), 44866),
    "vgg16-s1l2-dualpath": ((75, 37, 10, 5, 3, 1), 42754),
}


def ssd_anchors(scheme: str, side: int = 300) -> torch.Tensor:
    return anchors_of(scheme, [(rows, rows) for rows in SSD_MAPS[scheme][0]], (side, side))


def start_of_map(scheme: str, index: int) -> int:
    cells = [rows * rows for rows in SSD_MAPS[scheme][0]]
    return sum(count * k for count, k in zip(cells[:index], anchors_per_cell(scheme, 6), strict=False))


@pytest.mark.parametrize("variant, stride", TINYDET)
def test_base_anchors_are_those_of_tinydet(variant: str, stride: int):
    base = rpn_base_anchors(stride, TINYDET_SCALES[variant])
    assert base.tolist() == [list(anchor) for anchor in TINYDET[variant, stride]]


def test_rpn_anchors_run_over_rows_then_columns_then_anchors():
    anchors = rpn_anchors((2, 3), 8, 2.25)
    assert anchors.shape == (18, 4)
    assert anchors[1].tolist() == [-5, -5, 12, 12]
    assert anchors[4].tolist() == [3, -5, 20, 12]  # the second column
    assert anchors[10].tolist() == [-5, 3, 12, 20]  # the second row


@pytest.mark.parametrize(
    "strides, side, count",
    [((8, 16, 32, 64), 320, 6375), ((4, 8, 16, 32, 64), 320, 25575), ((4, 8, 16, 32, 64), 512, 65472)],
)
def test_number_of_rpn_anchors(strides: tuple[int, ...], side: int, count: int):
    assert sum(len(rpn_anchors((side // stride, side // stride), stride, 3.2)) for stride in strides) == count


@pytest.mark.parametrize("scheme", SSD_MAPS)
def test_number_of_ssd_anchors(scheme: str):
    anchors = ssd_anchors(scheme)
    assert anchors.shape == (SSD_MAPS[scheme][1], 4)
    assert 0 <= anchors.min() and anchors.max() <= 1


# Map, centre, then width and height of the cell's anchors in px of 300, by hand: s, sqrt(s * next), s * sqrt(2), ...
FIRST_OF_MAP = [
    ("mobilenetv1", 0, 8, (45, 45), (63.6396, 63.6396), (63.6396, 31.8198), (31.8198, 63.6396), (77.9423, 25.9808)),
    ("mobilenetv1", 5, 150, (270, 270), (291.6333, 291.6333), (300, 190.9188), (190.9188, 300)),
    ("mobilenetv1-s1l0", 0, 4, (10, 10), (21.2132, 21.2132), (14.1421, 7.0711), (7.0711, 14.1421), (17.3205, 5.7735)),
    ("mobilenetv1-s1l0", 5, 150, (225, 225), (246.4752, 246.4752), (300, 159.0990), (159.0990, 300)),
    ("mobilenetv1-s1l0-dualpath", 0, 4, (10, 10), (21.2132, 21.2132), (14.1421, 7.0711), (7.0711, 14.1421)),
    ("mobilenetv1-s1l0-dualpath", 2, 32, (135, 135), (155.8846, 155.8846), (190.9188, 95.4594)),
    ("vgg16", 0, 4, (30, 30), (42.4264, 42.4264), (42.4264, 21.2132), (21.2132, 42.4264), (51.9615, 17.3205)),
    ("vgg16", 5, 150, (264, 264), (288.3747, 288.3747), (300, 186.6762), (186.6762, 300)),
    ("vgg16-s1l2", 0, 2, (15, 15), (21.2132, 21.2132), (21.2132, 10.6066), (10.6066, 21.2132), (25.9808, 8.6603)),
    ("vgg16-s1l2", 5, 50, (213, 213), (237.1329, 237.1329), (300, 150.6137), (150.6137, 300)),
    ("vgg16-s1l2-dualpath", 0, 2, (15, 15), (21.2132, 21.2132), (21.2132, 10.6066), (10.6066, 21.2132)),
    ("vgg16-s1l2-dualpath", 2, 16, (111, 111), (134.0970, 134.0970), (156.9777, 78.4889)),
]


@pytest.mark.parametrize("row", FIRST_OF_MAP, ids=lambda row: f"{row[0]}-map{row[1]}")
def test_first_cell_of_a_map(row: tuple):
    scheme, index, centre, *shapes = row
    start = start_of_map(scheme, index)
    found = ssd_anchors(scheme)[start : start + len(shapes)] * 300
    for anchor, shape in zip(found.tolist(), shapes, strict=True):
        assert anchor == pytest.approx([centre, centre, *shape], abs=2e-4)


def test_ssd_anchors_run_over_rows_then_columns_then_anchors():
    anchors = ssd_anchors("mobilenetv1") * 300
    assert anchors[6, :2].tolist() == pytest.approx([24, 8])  # x moves first
    assert anchors[19 * 6, :2].tolist() == pytest.approx([8, 24])


def test_four_anchors_leave_out_the_aspect_of_three():
    start = start_of_map("vgg16", 4)
    anchors = ssd_anchors("vgg16")[start:] * 300
    assert anchors[4, 2:].tolist() == pytest.approx([213, 213])  # the next cell begins


def test_clamping_is_of_centre_and_size():
    start = start_of_map("mobilenetv1", 1)
    last = ssd_anchors("mobilenetv1")[start + 9 * 6] * 300  # the last column of 10: centre 9.5 * 32 = 304 px
    assert last.tolist() == pytest.approx([300, 16, 90, 90])  # its right edge stays outside


def test_another_input_size_scales_sizes_and_takes_equal_cells():
    anchors = ssd_anchors("mobilenetv1", side=600) * 600
    assert anchors[0].tolist() == pytest.approx([600 / 19 / 2, 600 / 19 / 2, 90, 90])


def test_anchors_keep_their_aspect_in_pixels_of_an_oblong_input():
    anchors = anchors_of("vgg16", [(2, 3)] * 6, (200, 450))  # the mean side is 300
    first = anchors[0] * torch.tensor([450, 200, 450, 200])
    assert first.tolist() == pytest.approx([75, 50, 30, 30])


def test_by_cell_serves_any_number_of_maps_and_any_input():
    assert anchors_per_cell("by_cell", 3) == (6, 6, 6)
    anchors = anchors_of("by_cell", [(80, 80), (40, 40), (20, 20)], (640, 640)) * 640
    assert len(anchors) == 6 * (6400 + 1600 + 400)
    assert anchors[0].tolist() == pytest.approx([4, 4, 24, 24])
    assert anchors[1].tolist() == pytest.approx([4, 4, math.sqrt(24 * 48), math.sqrt(24 * 48)])
    coarsest = anchors[6 * 8000 :]
    assert coarsest[0].tolist() == pytest.approx([16, 16, 96, 96])
    assert coarsest[1, 2].item() == pytest.approx(math.sqrt(96 * 192))
    last = anchors_of("by_cell", [(5, 5), (3, 3), (1, 1)], (300, 300))[-6:] * 300
    assert last[:2].tolist() == [[150, 150, 300, 300]] * 2, "the only cell is the middle, and no anchor is larger"


def test_the_scheme_for_512_px_is_used_unchanged_there():
    anchors = ssd_anchors("mobilenetv1-size512", side=512) * 512
    assert anchors[0].tolist() == pytest.approx([8, 8, 45, 45])
    assert anchors[1, 2].item() == pytest.approx(math.sqrt(45 * 133))
    assert anchors[start_of_map("mobilenetv1-size512", 3)].tolist() == pytest.approx([64, 64, 297, 297])
    assert ssd_anchors("mobilenetv1-size512")[0].tolist() == pytest.approx(anchors[0].div(512).tolist())


def test_steps_of_a_scheme_count_where_they_differ_from_the_cells():
    start = start_of_map("mobilenetv1-s1l4", 4)
    first = ssd_anchors("mobilenetv1-s1l4")[start] * 300
    assert first.tolist() == pytest.approx([50, 50, 180, 180]), "three cells of 100 px"
    last = ssd_anchors("mobilenetv1-s1l4")[-1] * 300
    assert last[:2].tolist() == pytest.approx([225, 225]), "two cells of 150 px"


def test_the_schemes_say_their_anchors_per_cell():
    assert set(SSD_ANCHORS) == {*SSD_MAPS, "by_cell"}
    assert anchors_per_cell("mobilenetv1", 6) == (6, 6, 6, 6, 4, 4)
    assert anchors_per_cell("mobilenetv1-s1l0", 6) == (6, 6, 6, 6, 6, 4)


def test_wrong_schemes_are_errors():
    with pytest.raises(SpaceError, match="'vgg16' is for 6 maps, got 4"):
        anchors_per_cell("vgg16", 4)
    with pytest.raises(SpaceError, match="did you mean 'vgg16'"):
        anchors_per_cell("vgg-16", 6)
    with pytest.raises(SpaceError, match="n \\+ 1"):
        AnchorScheme(sizes=(1, 2), steps=(1, 2), per_cell=(4, 4))
    with pytest.raises(SpaceError, match="4 or 6"):
        AnchorScheme(sizes=(1, 2), steps=(1,), per_cell=(5,))


def test_decoding_by_hand():
    reference = torch.tensor([10.0, 20.0, 29.0, 29.0])  # 20 wide and 10 high around (19.5, 24.5)
    offsets = torch.tensor([0.5, -0.5, math.log(2), 0.0])
    assert decode(offsets, reference).tolist() == pytest.approx([10, 15, 49, 24], abs=1e-5)


def test_decoding_clamps_the_sizes():
    reference = torch.tensor([0.0, 0.0, 15.0, 15.0])
    box = decode(torch.tensor([0.0, 0.0, 10.0, -10.0]), reference)
    assert (box[2] - box[0] + 1).item() == pytest.approx(1000, rel=1e-5)
    assert (box[3] - box[1] + 1).item() == pytest.approx(16 * 16 / 1000, rel=1e-5)
    assert pytest.approx(4.135, abs=1e-3) == MAX_LOG_SCALE


def test_encoding_is_the_inverse_of_decoding():
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(2, 50, 2, generator=generator, dtype=torch.float64) * 100
    boxes = torch.cat((corners, corners + torch.rand(2, 50, 2, generator=generator) * 90), dim=-1)
    assert torch.allclose(decode(encode(boxes[0], boxes[1]), boxes[1]), boxes[0])


def test_clipping_keeps_the_last_pixel_inside():
    boxes = torch.tensor([[-3.0, -4.0, 400.0, 500.0], [5.0, 6.0, 7.0, 8.0]])
    assert clip(boxes, (200, 300)).tolist() == [[0, 0, 299, 199], [5, 6, 7, 8]]
