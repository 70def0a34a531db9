"""Writes the table of axes in docs/search-space.md. Run `python docs/generate_axes.py` in the project folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from search_space import Axis, SearchSpace
from search_space.point import optional_axes

PAGE = Path(__file__).with_name("search-space.md")
BEGIN = "<!-- axes: written by docs/generate_axes.py -->"
END = "<!-- end of axes -->"


def table() -> str:
    """Returns the axes as a Markdown table; equal axes of several levels share a row."""
    lines = ["| axis | choices | meaning |", "|---|---|---|"]
    axes = (*SearchSpace().axes, *optional_axes())
    groups = groupby(axes, key=lambda axis: (_stem(axis.name), axis.choices))
    lines += [_line(list(axes)) for _, axes in groups]
    return "\n".join(lines)


def _stem(name: str) -> str:
    return (
        re.sub(r"_p\d$", "", name) if re.search(r"^(stride|downsample|unit_downsample|attention)_p\d$", name) else name
    )


def _line(axes: list[Axis]) -> str:
    first = axes[0]
    name, doc = f"`{first.name}`", first.doc
    if len(axes) > 1:
        name += f" … `{axes[-1].name[-2:]}`"
        doc = doc.replace(f"level P{first.name[-1]}", "each level")
    named = f"; by name: {', '.join(map(_code, first.by_name))}" if first.by_name else ""
    return f"| {name} | {', '.join(_choices(first))}{named} | {doc} |"


def _code(choice: object) -> str:
    return f"`{choice}`" if isinstance(choice, str) else str(choice)


def _choices(axis: Axis) -> Iterator[str]:
    if not axis.ordered or len(axis.choices) < 20:
        yield from (_code(choice) for choice in axis.choices if choice not in axis.by_name)
        return
    even = [choice for choice in axis.choices if int(choice) % 32 == 0]
    yield f"{min(even)} to {max(even)} in steps of 32"
    yield from (str(choice) for choice in axis.choices if choice not in even)


def page(text: str) -> str:
    """Returns the page with a new table."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE}")
