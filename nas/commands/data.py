"""`nas data`: check a data set, or convert it to another format."""

from __future__ import annotations

import click

from nas.commands.lazy import LazyGroup

SUBCOMMANDS = {
    "check": ("data_check", "report every defect of a data set, with file and line"),
    "convert": ("data_convert", "write a data set in another format"),
}
"""By name: the module of `nas.commands` that holds the command, and what it does."""


class DataGroup(LazyGroup):
    """Imports only the command that is called."""

    known = SUBCOMMANDS


@click.group("data", cls=DataGroup)
def command() -> None:
    """Check a data set, or convert it to another format.

    Formats: COCO, YOLO, VisDrone, TinyPerson and Pascal VOC, detected or named with --format.

    \b
    Examples:
      nas data check mine
      nas data convert mine mine-coco --to coco
    """
