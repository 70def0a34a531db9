"""How the commands print lines and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from results.visible import visible_lines
from search_space.errors import counted as counted

if TYPE_CHECKING:
    from rich.console import Console


def console(*, stderr: bool = False) -> Console:
    """Returns a console that prints names as they are, with their control characters spelt out."""
    from nas.commands.screen import Screen

    return Screen(stderr=stderr)


def notify(notice: str | None) -> None:
    """Prints a notice on standard error; None is no notice."""
    if notice is not None:
        say(notice, err=True)


def say(text: object, *, err: bool = False) -> None:
    """Prints lines in which others may have named things, with their control characters spelt out."""
    click.echo(visible_lines(text), err=err)
