"""The options that cut images into slices, shared by val and predict."""

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
