"""Tiling of images, as the user gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_space.errors import ConfigError

if TYPE_CHECKING:
    from search_space import TileGrid
    from trainers.data import Dataset
    from trainers.tiling import Tiling

DEFAULT_OVERLAP = 0.2


def tiling_of(tile: str | None, overlap: float | None, tile_whole: bool) -> Tiling | None:
    """Returns the tiling that was asked for.

    Raises:
        ConfigError: the size is invalid, or another option was given without it.
    """
    from trainers.tiling import Tiling

    if tile is None:
        for option, given in (("--tile-whole", tile_whole), ("--overlap", overlap is not None)):
            if given:
                raise ConfigError(f"{option} needs --tile SIZE; give the size of a tile in pixels, such as --tile 640")
        return None
    sides = tile.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise ConfigError(f"--tile {tile} is no size; give pixels as one number or as HxW, such as 640 or 512x640")
    shared = DEFAULT_OVERLAP if overlap is None else overlap
    return Tiling(tile_hw=(int(sides[0]), int(sides[-1])), overlap=shared, whole=tile_whole)


def grid_note(tiles: TileGrid, tiling: Tiling | None = None) -> str | None:
    """Returns a note on the tiles of a detector's architecture; None where it has none, or others are asked for."""
    if tiles.count == 1 or tiling is not None:
        return None
    return (
        f"note: pictures larger than the input are cut into {tiles.name} tiles (columns x rows), as the architecture "
        "says; --tile sets others"
    )


def small_images_note(option: str, which: str, dataset: Dataset, tile_hw: tuple[int, int]) -> str | None:
    """Returns a note that an option has no effect, if no image is larger than a tile of `tile_hw` `(H, W)`; else None.

    Args:
        option: its name, such as `--tile`.
        which: what the images are, such as `training`.
    """
    if any(record.height > tile_hw[0] or record.width > tile_hw[1] for record in dataset.records):
        return None
    return f"note: {option} has no effect: no {which} image is larger than {tile_hw[1]}x{tile_hw[0]} px"
