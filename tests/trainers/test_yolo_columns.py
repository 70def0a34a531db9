"""Lines of YOLO labels with more columns are boxes or polygons where that can be told, and defects elsewhere."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainers.data_sets import write_image
from trainers.data import open_data
from trainers.data.check import check_data
from trainers.data.yolo_columns import ColumnCounts, ColumnLayout

BOX = "0 0.3125 0.291666667 0.125 0.083333333"
CORNERS = [40, 30, 60, 40]
FACE = "0.275 0.275 0.3375 0.275 0.30625 0.29 0.28125 0.315 0.33125 0.315"
SEEN = "0.275 0.275 2 0.3375 0.275 1 0.3 0.29 0"
FOUND = "0.275 0.275 0.9 0.3375 0.275 0.95 0.30625 0.29 0.7 0.28125 0.315 0.2 0.33125 0.315 0.5"
RECTANGLE = "0.25 0.25 0.375 0.25 0.375 0.333333333 0.25 0.333333333"
TURNED = "0.3125 0.25 0.375 0.291666667 0.3125 0.333333333 0.25 0.291666667"
OUTLINE = "0.25 0.27 0.3 0.25 0.35 0.25 0.375 0.27 0.35 0.333333333 0.3 0.333333333"
BOTH = "0.3 0.3 0.2 0.2 0.32 0.28"
"""A box with a landmark in it, or a triangle."""


def write(folder: Path, lines: tuple[str, ...], kpt_shape: str | None) -> Path:
    for index, line in enumerate(lines):
        write_image(folder / "images" / f"{index}.jpg", width=160, height=120)
        (folder / "labels").mkdir(exist_ok=True)
        (folder / "labels" / f"{index}.txt").write_text(f"{line}\n")
    shape = "" if kpt_shape is None else f"kpt_shape: {kpt_shape}\n"
    (folder / "data.yaml").write_text(f"train: images\nval: images\nnames: [face, car]\n{shape}")
    return folder


@pytest.mark.parametrize(
    ("lines", "kpt_shape", "note"),
    [
        ((BOX, BOX), "[5, 2]", ""),
        ((f"{BOX} {FACE}", BOX), "[5, 2]", "further_columns"),
        ((f"{BOX} {FACE}",), None, "further_columns"),
        ((f"{BOX} {SEEN}",), "[3, 3]", "further_columns"),
        ((f"{BOX} {SEEN}",), None, "further_columns"),
        ((f"{BOX} 0.9 0.9",), "[1, 2]", "further_columns"),
        ((f"{BOX} 0.3 0.3 2",), None, "further_columns"),
        ((f"{BOX} 0 0 0 0 0.3 0.3",), None, "further_columns"),
        ((f"{BOX} 0.87",) * 2, None, "further_columns"),
        ((f"{BOX} 17",) * 2, None, "further_columns"),
        ((f"{BOX} 0.87 1", f"{BOX} 0.9 2"), None, "further_columns"),
        ((f"{BOX} 1 0.87", f"{BOX} 12 0.9"), None, "further_columns"),
        ((f"{BOX} {FACE}", f"{BOX} {' '.join(['-1'] * 10)}"), None, "further_columns"),
        ((f"{BOX} {FACE} 0.9", f"{BOX} {FACE} 0.4"), None, "further_columns"),
        ((f"{BOX} {FOUND} 0.9 1", f"{BOX} {FOUND} 0.4 7"), None, "further_columns"),
        ((f"0 {RECTANGLE}",), None, "polygon"),
        ((f"0 {TURNED}",), None, "polygon"),
        ((f"0 {OUTLINE}",), None, "polygon"),
        ((f"0 {RECTANGLE}", BOX), None, "polygon"),
        ((f"0 {RECTANGLE}",), "[0, 2]", "polygon"),
        ((f"0 {OUTLINE}", f"0 {RECTANGLE}"), None, "polygon"),
    ],
)
def test_more_columns_give_the_same_box(
    lines: tuple[str, ...], kpt_shape: str | None, note: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, lines, kpt_shape)
    report = check_data(folder)
    assert report.defects == () and {found.kind for found in report.notes} == ({note} if note else set())
    for record in open_data(folder).train.records:
        assert record.boxes.tolist() == [pytest.approx(CORNERS, abs=1e-3)]


@pytest.mark.parametrize(
    ("lines", "kpt_shape", "kind"),
    [
        ((f"0 {BOTH}",) * 3, None, "ambiguous"),
        ((BOX, BOX, f"0 {BOTH}"), None, "ambiguous"),
        ((f"{BOX} 0.87 1",) * 3, None, "ambiguous"),
        ((f"{BOX} {FACE} 0.3",), "[5, 2]", "malformed"),
        ((f"0 {RECTANGLE}",), "[5, 2]", "malformed"),
        ((f"{BOX} {SEEN}",), "[3, 2]", "malformed"),
        ((f"{BOX} 0.5", BOX, BOX), None, "malformed"),
        ((f"{BOX} 88.5",) * 3, None, "malformed"),
        ((f"0 {RECTANGLE} 0.5",), "[0, 2]", "malformed"),
        ((f"{BOX} 0.9 0.9 2 0.05 0.05 2",) * 3, None, "malformed"),
        ((f"0 {RECTANGLE} 0.9 3",) * 2, "[0, 2]", "malformed"),
        (("0 40 30 60 30 60 40 40 40",) * 2, None, "malformed"),
        ((f"{BOX} 0.5", f"{BOX} 1.2", f"{BOX} -0.3"), None, "malformed"),
    ],
)
def test_lines_that_do_not_tell_are_defects(
    lines: tuple[str, ...], kpt_shape: str | None, kind: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, lines, kpt_shape)
    report = check_data(folder)
    kinds = [defect.kind for defect in report.defects if defect.kind != "empty_set"]
    assert kinds == [kind] * (len(lines) - lines.count(BOX)) and report.num_boxes == lines.count(BOX)


def test_an_outline_with_a_confidence_and_a_track_id_is_not_read_with_them_as_a_corner(tmp_path: Path) -> None:
    lines = (f"0 {OUTLINE} 0.9 1", f"0 {OUTLINE} 0.8 2", f"0 {RECTANGLE} 0.7 3")
    report = check_data(write(tmp_path, lines, None))
    kinds = [defect.kind for defect in report.defects if defect.kind != "empty_set"]
    assert kinds == ["ambiguous", "ambiguous", "malformed"] and report.num_boxes == 0


def test_a_triangle_among_other_polygons_is_one(tmp_path: Path) -> None:
    folder = write(tmp_path, (f"0 {BOTH}", f"0 {OUTLINE}", f"0 {RECTANGLE}"), None)
    report = check_data(folder)
    assert report.defects == () and report.num_boxes == 3
    boxes = [record.boxes[0].tolist() for record in open_data(folder).train.records]
    assert boxes[0] == pytest.approx([32, 24, 51.2, 36], abs=1e-3)


def pose_line(rng: Random, num: int, size: int) -> list[float]:
    """Returns a box inside the image with landmarks in it."""
    width, height = rng.uniform(0.01, 0.5), rng.uniform(0.01, 0.5)
    x, y = rng.uniform(width / 2, 1 - width / 2), rng.uniform(height / 2, 1 - height / 2)
    values = [0.0, x, y, width, height]
    for _ in range(num):
        values += [x + rng.uniform(-0.5, 0.5) * width, y + rng.uniform(-0.5, 0.5) * height]
        values += [float(rng.choice((1, 2)))] * (size == 3)
    return values


def outline(rng: Random, num: int) -> list[float]:
    """Returns a polygon whose corners go once around its center."""
    x, y, radius = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), rng.uniform(0.01, 0.1)
    angles = sorted(rng.uniform(0, math.tau) for _ in range(num))
    corners = [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]
    return [0.0, *(value for corner in corners for value in corner)]


def layout_of(lines: list[list[float]]) -> ColumnLayout:
    counts = ColumnCounts()
    for line in lines:
        counts.add(line)
    return counts.layout(None)


@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=True), st.integers(1, 40), st.integers(1, 17), st.sampled_from((2, 3)))
def test_landmarks_are_never_read_as_polygons(rng: Random, num_lines: int, num: int, size: int) -> None:
    lines = [pose_line(rng, num, size) for _ in range(num_lines)]
    columns = layout_of(lines)
    for line in lines:
        x, y, width, height = line[1:5]
        meaning = columns.read(line)
        assert meaning.kind in ("further_columns", "ambiguous")
        expected = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        assert meaning.corners in (None, expected)


def test_landmarks_at_one_point_are_no_convex_polygon() -> None:
    line = [0.0, 0.25, 0.625, 0.5, 0.25, *[0.25, 0.75] * 4]
    assert layout_of([line]).read(line).kind == "ambiguous"


@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 40), st.booleans())
def test_outlines_are_never_read_as_boxes(rng: Random, num_lines: int, vary: bool) -> None:
    lines = [outline(rng, rng.randint(3, 30) if vary else 5) for _ in range(num_lines)]
    columns = layout_of(lines)
    for line in lines:
        meaning = columns.read(line)
        assert meaning.kind in ("polygon", "ambiguous")
        assert meaning.corners in (None, (min(line[1::2]), min(line[2::2]), max(line[1::2]), max(line[2::2])))


def test_the_lines_of_real_sets_tell_what_they_are() -> None:
    rng = Random(0)
    for num, size in ((5, 2), (17, 3), (1, 3)):
        lines = [pose_line(rng, num, size) for _ in range(100)]
        assert layout_of(lines).common == "box"
    assert layout_of([outline(rng, rng.randint(3, 30)) for _ in range(100)]).common == "polygon"
    assert layout_of([outline(rng, 4) for _ in range(100)]).common == "polygon"
