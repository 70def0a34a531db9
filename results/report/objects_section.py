"""The objects of the data against the levels of the front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from results.report.content import Content, ObjectSizes
from results.report.payload import Members, strides
from results.report.text import escape, paragraph, section, table


def objects_section(content: Content, members: Members) -> str:
    """Returns the section on the objects of the data."""
    title = "Sizes of the objects against the levels"
    if not isinstance(content.boxes, ObjectSizes):
        return section(title, paragraph(content.boxes))
    boxes = content.boxes
    rows = [row for row in members.front.to_dict("records") if row["key"] in boxes.counts]
    if not rows:
        return section(title, paragraph("There is no member of the front yet whose levels could be compared."))
    names = [f"{rank:02d}-{row['key']}" for rank, row in enumerate(rows, 1)]
    listed = "".join(
        f'<option value="{escape(r["key"])}">{escape(n)}</option>' for r, n in zip(rows, names, strict=True)
    )
    caption = (
        f"Boxes of {boxes.source}, {boxes.num_boxes:,} in all, by their side (the root of their area) in pixels of the "
        "member's input, against the strides of the levels that carry a head: a cell of a level is one stride wide."
    )
    lines = [_cells(boxes, row, name) for row, name in zip(rows, names, strict=True)]
    titles = (
        "member",
        "#input px",
        "levels",
        "#median side px",
        "#under 1 cell of the finest",
        "#1 to 2 cells",
        "#2 cells or more",
    )
    return section(
        title,
        f'<figure><figcaption>{escape(caption)}</figcaption><div class="controls"><label>member: '
        f'<select id="pick-member" autocomplete="off">{listed}</select></label></div>'
        '<div class="plot" id="boxes"></div><p id="boxes-said"></p></figure>',
        table(titles, lines, label="What the levels of each member see"),
    )


def _cells(boxes: ObjectSizes, row: Mapping[Any, Any], name: str) -> tuple[str, ...]:
    key = row["key"]
    shares = (f"{100 * share:.1f} %" for share in boxes.shares_by_cells[key])
    levels = " ".join(level for level, _ in strides(row))
    size = f"{row['input_width']}x{row['input_height']}"
    return (f'<span class="key">{escape(name)}</span>', size, escape(levels), f"{boxes.median_px[key]:.1f}", *shares)
