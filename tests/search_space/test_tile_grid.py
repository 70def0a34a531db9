"""The tiles of a frame: the grid, its place in an architecture, and the axis that only some spaces have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_space import DESIGNS, Architecture, SearchSpace, TileGrid, lower
from search_space.errors import SpaceError
from search_space.point.tiles import GRIDS, grids_for
from trainers.tiling import Tiling

YOLOV8N = DESIGNS.get("yolov8n").architecture
CUT = replace(YOLOV8N, tiles=TileGrid.of("3x2"))
counts = st.integers(1, 6)


@given(counts, counts, st.sampled_from([0.0, 0.1, 0.2, 0.35]), st.integers(200, 4000), st.integers(200, 4000))
def test_a_grid_has_its_number_of_windows_which_cover_the_frame(
    columns: int, rows: int, overlap: float, height: int, width: int
) -> None:
    grid = TileGrid(columns=columns, rows=rows, overlap=overlap)
    tile_hw = grid.tile_hw((height, width))
    windows = Tiling(tile_hw=tile_hw, overlap=grid.overlap).windows((height, width))
    assert len(windows) == grid.count
    assert {(window.bottom - window.top, window.right - window.left) for window in windows} == {tile_hw}
    assert (windows[0].left, windows[0].top, windows[-1].right, windows[-1].bottom) == (0, 0, width, height)
    lefts = sorted({window.left for window in windows})
    assert all(after - before <= tile_hw[1] for before, after in zip(lefts, lefts[1:], strict=False))


def test_a_tile_shows_objects_larger_than_the_frame_does() -> None:
    grid = TileGrid.of("3x2")
    assert grid.tile_hw((1080, 1920)) == (600, 739)
    assert grid.magnification((1080, 1920), (640, 640)) == pytest.approx(1920 / 739)
    assert TileGrid().magnification((1080, 1920), (640, 640)) == 1.0


@pytest.mark.parametrize("name", GRIDS)
def test_a_name_is_that_of_its_grid(name: str) -> None:
    assert TileGrid.of(name).name == name and TileGrid.of(name).count == product_of(name)


def product_of(name: str) -> int:
    return int(np.prod([int(each) for each in name.split("x")]))


@pytest.mark.parametrize("name", ["0x2", "3x", "3*2", "17x1", "", "2", "-1x2", "2x2x2"])
def test_a_text_that_is_no_grid_is_refused(name: str) -> None:
    with pytest.raises(SpaceError, match="tiles"):
        TileGrid.of(name)


def test_an_overlap_is_a_share_and_means_nothing_for_one_tile() -> None:
    with pytest.raises(SpaceError, match="overlap"):
        TileGrid(columns=2, overlap=0.95)
    assert TileGrid(overlap=0.5) == TileGrid()


def test_an_architecture_without_tiles_is_written_and_identified_as_before() -> None:
    assert "tiles" not in YOLOV8N.to_dict() and YOLOV8N.key() == "b8725a86ebf9e043"
    assert replace(YOLOV8N, tiles=TileGrid.of("1")).key() == YOLOV8N.key()


def test_an_architecture_with_tiles_is_another_one_of_the_same_network() -> None:
    assert CUT.to_dict()["tiles"] == {"columns": 3, "rows": 2} and CUT.key() != YOLOV8N.key()
    assert Architecture.from_dict(CUT.to_dict()) == CUT
    cut, whole = (lower(each, num_classes=3) for each in (CUT, YOLOV8N))
    assert cut.tiles == CUT.tiles and replace(cut, tiles=TileGrid()) == whole
    assert CUT.resized((320, 320)).tiles == CUT.tiles


def test_only_a_space_that_names_tiles_has_them() -> None:
    plain = SearchSpace()
    cut = plain.narrowed({"tiles": ("1", "3x2")})
    assert "tiles" not in {axis.name for axis in plain.axes} and plain.tiles == ("1",)
    assert cut.axes[:-1] == plain.axes and cut.tiles == ("1", "3x2") and cut.fingerprint() != plain.fingerprint()
    assert "tiles.columns must be 1" in str(plain.why_not(CUT))
    for architecture in (CUT, YOLOV8N):
        point = cut.encode(architecture)
        assert point["tiles"] == architecture.tiles.name and cut.decode(point) == architecture
    assert cut.narrowed({"tiles": ("3x2",)}).tiles == ("3x2",)
    with pytest.raises(SpaceError, match="inactive"):
        plain.check(cut.encode(CUT))
    with pytest.raises(SpaceError, match="allowed: 1, 2x1"):
        plain.narrowed({"tiles": ("9x9",)})


def test_random_points_of_a_space_without_tiles_stay_as_they_were() -> None:
    plain, cut = SearchSpace(), SearchSpace().narrowed({"tiles": ("1", "2x2")})
    first, second = (space.random(np.random.default_rng(3)) for space in (plain, cut))
    assert first == {name: choice for name, choice in second.items() if name != "tiles"}


def test_frames_have_grids_of_tiles_that_are_no_longer_than_they_are() -> None:
    assert grids_for((1080, 1920)) == ("1", "2x1", "2x2", "3x2", "4x2", "3x3", "4x3")
    assert grids_for((1920, 1080)) == ("1", "1x2", "2x2", "2x3", "3x3")
    assert grids_for((2000, 2000)) == ("1", "2x2", "3x3")
