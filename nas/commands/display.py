"""How the commands print lines and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 180
"""Columns where the output is no terminal, so that files and pipes get whole cells."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Returns a number with its noun, `1 box` or `2 boxes`."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def console(*, stderr: bool = False) -> Console:
    """Returns a console that is as wide as the terminal, or wide enough for every table where there is none.

    Square brackets in names are printed as they are.
    """
    from rich.console import Console

    terminal = Console(stderr=stderr, highlight=False, markup=False, soft_wrap=False)
    return (
        terminal if terminal.is_terminal else Console(stderr=stderr, highlight=False, markup=False, width=PLAIN_WIDTH)
    )
