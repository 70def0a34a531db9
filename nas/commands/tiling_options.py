"""The options that cut images into tiles, shared by val and predict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from nas.api.tiling import DEFAULT_OVERLAP

Command = TypeVar("Command", bound=Callable[..., Any])

OPTIONS = (
    click.option(
        "--tile",
        metavar="SIZE",
        default=None,
        help="Detect in overlapping tiles of the image. SIZE in pixels: HxW or one number. Default: no tiles.",
    ),
    click.option(
        "--overlap",
        type=float,
        default=None,
        help=f"Overlap of neighbouring tiles, as a share of a tile.  [default: {DEFAULT_OVERLAP}]",
    ),
    click.option("--tile-whole", is_flag=True, help="Detect in the whole image too."),
)


def tiling_options(command: Command) -> Command:
    """Adds --tile, --overlap and --tile-whole."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
