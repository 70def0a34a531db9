"""The options that cut images into slices, shared by val and predict."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nas.commands.display import say

if TYPE_CHECKING:
    from trainers.data import Dataset
    from trainers.tiling import Tiling

DEFAULT_OVERLAP = 0.2

Command = TypeVar("Command", bound=Callable[..., Any])

OPTIONS = (
    click.option(
        "--tile",
        metavar="SIZE",
        default=None,
        help="Look at overlapping slices of SIZE pixels of the image, HxW or one number; off by default.",
    ),
    click.option(
        "--overlap",
        type=float,
        default=None,
        help=f"Share of a slice that its neighbour sees too.  [default: {DEFAULT_OVERLAP}]",
    ),
    click.option("--tile-whole", is_flag=True, help="Look at the whole image as one more slice."),
)


def tiling_options(command: Command) -> Command:
    """Adds --tile, --overlap and --tile-whole."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def tiling_of(tile: str | None, overlap: float | None, tile_whole: bool) -> Tiling | None:
    """Returns the tiling that was asked for.

    Raises:
        ConfigError: the size is no size, or another option was given without it.
    """
    from search_space.errors import ConfigError
    from trainers.tiling import Tiling

    if tile is None:
        for option, given in (("--tile-whole", tile_whole), ("--overlap", overlap is not None)):
            if given:
                raise ConfigError(f"{option} needs --tile SIZE; give the size of a slice in pixels, such as --tile 640")
        return None
    sides = tile.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise ConfigError(f"--tile {tile} is no size; give pixels as one number or as HxW, such as 640 or 512x640")
    shared = DEFAULT_OVERLAP if overlap is None else overlap
    return Tiling(tile_hw=(int(sides[0]), int(sides[-1])), overlap=shared, whole=tile_whole)


def note_small_images(option: str, which: str, dataset: Dataset, tile_hw: tuple[int, int]) -> None:
    """Tells on standard error that an option does nothing where no image is larger than a window `(H, W)`."""
    if not any(record.height > tile_hw[0] or record.width > tile_hw[1] for record in dataset.records):
        say(f"note: {option} does nothing here: no {which} image is larger than {tile_hw[1]}x{tile_hw[0]} px", err=True)
