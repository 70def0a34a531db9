"""`nas weights`: weights that others published."""

from __future__ import annotations

import click

from nas.commands.lazy import LazyGroup

SUBCOMMANDS = {"import": ("weights_import", "write a published checkpoint as a weights file")}
"""By name: the module of `nas.commands` that holds the command, and what it does."""


class WeightsGroup(LazyGroup):
    """Imports only the command that is called."""

    known = SUBCOMMANDS


@click.group("weights", cls=WeightsGroup)
def command() -> None:
    """Import weights that others published.

    \b
    Example:
      nas weights import yolov8n.pt
    """
