"""The axis of the tiles that a frame is cut into. A space has it only where it is asked for by name."""

from __future__ import annotations

from search_space.architecture import Architecture
from search_space.axis import Axis, Params, Point
from search_space.tile_grid import TileGrid

WHOLE = "1"
GRIDS = (WHOLE, "2x1", "1x2", "2x2", "3x2", "2x3", "4x2", "3x3", "4x3")
LONGER = 1.01
"""A tile may be this much longer, relative to its shorter side, than the frame, because sides are whole pixels."""


def axes() -> tuple[Axis, ...]:
    """Returns the axis of the tiles."""
    return (
        Axis(
            name="tiles",
            choices=GRIDS,
            formerly=WHOLE,
            doc="columns x rows of overlapping tiles that a frame is cut into, each a pass of the network; only in a "
            "search that names it, by `--frame` or `--choices tiles=1,2x1`",
        ),
    )


def grids_for(frame_hw: tuple[int, int]) -> tuple[str, ...]:
    """Returns the grids whose tiles are no longer, relative to their shorter side, than a frame of `(H, W)`."""
    longest = LONGER * max(frame_hw) / min(frame_hw)
    tiles = {name: TileGrid.of(name).tile_hw(frame_hw) for name in GRIDS}
    return tuple(name for name, hw in tiles.items() if max(hw) / min(hw) <= longest)


def decode(params: Point) -> TileGrid:
    """Returns the tiles of a point."""
    return TileGrid.of(str(params.get("tiles", WHOLE)))


def read(architecture: Architecture) -> Params:
    """Returns the choice of an architecture."""
    return {"tiles": architecture.tiles.name}
