"""Tables of the commands: no cell is cut; columns that do not fit are hidden, the least important first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Literal

import click

from nas.commands.display import counted
from nas.commands.options import shows_all_columns
from nas.commands.screen import Screen
from results.visible import visible

if TYPE_CHECKING:
    from rich.table import Table

GAP = 2
"""Blanks between two columns."""
MIN_TEXT_WIDTH = 24
"""Characters that a column of sentences keeps where its words allow it; a narrower one is hard to read."""
TRAILING_BLANKS = re.compile(r" +((?:\x1b\[[\d;]*m)*)$")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        title: With the unit of its numbers; it may break between words.
        justify: The side on which the cells are flush; numbers are flush right.
        priority: 0 is never hidden. Of the others the largest number is hidden first, of equal ones the rightmost.
        is_name: Whether the title is a name as well, which does not break.
        is_text: Whether the cells are sentences, which may break between words where the terminal is narrow.
    """

    title: str
    _: KW_ONLY
    justify: Literal["left", "right"] = "left"
    priority: int = 0
    is_name: bool = False
    is_text: bool = False


def numbers(title: str, *, priority: int = 0) -> Column:
    """Returns a column of numbers."""
    return Column(title, justify="right", priority=priority)


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, has_titles: bool = True) -> None:
    """Prints a table, as wide as the terminal allows; all of it with `--wide` and where the output is no terminal.

    Where columns were hidden, a line below the table says how many.

    Args:
        columns: From left to right.
        rows: A cell a column. A row of one cell is a heading of the rows below it, an empty one a blank line.
        has_titles: Whether the titles are printed.
    """
    screen = Screen()
    width = None if shows_all_columns() or not screen.is_terminal else screen.width
    cells = [[visible(cell) for cell in row] for row in rows]
    shown = fitting(columns, cells, width)
    for line in lay_out(columns, cells, shown=shown, width=width, has_titles=has_titles):
        click.echo(line)
    if len(shown) < len(columns):
        click.echo(f"{counted(len(columns) - len(shown), 'column')} hidden; --wide shows all")


def fitting(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """Returns the indices of the columns that are shown on `width` characters; None is room for all."""
    shown = list(range(len(columns)))
    needed = [_least_width(column, cells) for column, cells in zip(columns, _by_column(columns, rows), strict=True)]
    while width is not None and sum(needed[index] + GAP for index in shown) - GAP > width:
        hideable = [index for index in shown if columns[index].priority > 0]
        if not hideable:
            break
        shown.remove(max(hideable, key=lambda index: (columns[index].priority, index)))
    return shown


def lay_out(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    shown: Sequence[int],
    width: int | None,
    has_titles: bool = True,
) -> list[str]:
    """Returns a table as lines without trailing blanks.

    Args:
        columns: All of them.
        rows: As of `print_table`, without control characters.
        shown: The indices of the columns that are shown.
        width: Characters of a line; None for as many as the table takes.
        has_titles: Whether the titles are the first line.
    """
    chosen = [columns[index] for index in shown]
    cells = [[row[index] for index in shown] if len(row) == len(columns) else list(row) for row in rows]
    widths = _widths(chosen, cells, width, has_titles=has_titles)
    lines, table = [], _empty(chosen, widths, has_titles=has_titles)
    for index, row in enumerate(cells):
        if len(row) == len(chosen):
            table.add_row(*row)
            continue
        lines += [*_lines(table, widths), *[""] * (index > 0), *row]
        table = _empty(chosen, widths, has_titles=False)
    return [*lines, *_lines(table, widths)]


def _widths(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None, *, has_titles: bool
) -> list[int]:
    """Returns the width of each column: the least one, and room that is left for titles first, then for sentences."""
    from rich.cells import cell_len

    by_column = _by_column(columns, rows)
    least = [_least_width(*each, has_titles=has_titles) for each in zip(columns, by_column, strict=True)]
    titles = [cell_len(column.title) if has_titles else 0 for column in columns]
    whole = [max(title, *map(cell_len, cells), 0) for title, cells in zip(titles, by_column, strict=True)]
    if width is None:
        return whole
    left = width - sum(least) - GAP * (len(columns) - 1)
    for are_texts in (False, True):
        for index, column in enumerate(columns):
            if column.is_text is are_texts:
                more = max(0, min(left, whole[index] - least[index]))
                least[index] += more
                left -= more
    return least


def _least_width(column: Column, cells: Sequence[str], *, has_titles: bool = True) -> int:
    """Returns the width below which a column would cut a cell, or a word of its title or of a sentence."""
    from rich.cells import cell_len

    title = [column.title] if column.is_name else column.title.split()
    longest = max((cell_len(word) for word in title), default=0) if has_titles else 0
    whole = max(map(cell_len, cells), default=0)
    if column.is_text:
        words = max((cell_len(word) for cell in cells for word in cell.split()), default=0)
        whole = min(whole, max(words, MIN_TEXT_WIDTH))
    return max(longest, whole)


def _by_column(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Returns the cells of each column; headings are none."""
    return [[row[index] for row in rows if len(row) == len(columns)] for index in range(len(columns))]


def _empty(columns: Sequence[Column], widths: Sequence[int], *, has_titles: bool) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), show_header=has_titles)
    for column, width in zip(columns, widths, strict=True):
        table.add_column(column.title, justify=column.justify, width=width)
    return table


def _lines(table: Table, widths: Sequence[int]) -> list[str]:
    """Returns the lines of a table whose columns have `widths`, styled where the output is a terminal."""
    if not table.row_count and not table.show_header:
        return []
    screen = Screen(width=sum(widths) + GAP * len(widths))
    with screen.capture() as captured:
        screen.print(table, crop=False)
    return [TRAILING_BLANKS.sub(r"\1", line) for line in captured.get().splitlines()]
