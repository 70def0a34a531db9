"""The section on the sizes of the objects, compared with the levels of the front."""

from __future__ import annotations

from results import records
from results.export import member_name
from results.report.content import Content, ObjectSizes
from results.report.payload import Members
from results.report.text import escape, paragraph, section, table
from results.trial import Trial


def objects_section(content: Content, members: Members) -> str:
    """Returns the section on the objects of the data."""
    title = "Sizes of the objects against the levels"
    if not isinstance(content.boxes, ObjectSizes):
        return section(title, paragraph(content.boxes))
    boxes = content.boxes
    compared = [trial for trial in records.trials_of(members.front) if trial.key in boxes.counts]
    if not compared:
        return section(title, paragraph("The front has no member yet whose levels could be compared."))
    names = [member_name(rank, trial.key) for rank, trial in enumerate(compared, 1)]
    listed = "".join(
        f'<option value="{escape(trial.key)}">{escape(name)}</option>'
        for trial, name in zip(compared, names, strict=True)
    )
    caption = (
        f"Boxes of {boxes.source}, {boxes.num_boxes:,} in all, by their side (the root of their area) in pixels of the "
        "member's input, against the strides of the levels that carry a head: a cell of a level is one stride wide."
    )
    lines = [_cells(boxes, trial, name) for trial, name in zip(compared, names, strict=True)]
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


def _cells(boxes: ObjectSizes, trial: Trial, name: str) -> tuple[str, ...]:
    shares = (f"{100 * share:.1f} %" for share in boxes.shares_by_cells[trial.key])
    size = f"{trial.input_width}x{trial.input_height}"
    median = f"{boxes.median_px[trial.key]:.1f}"
    return (f'<span class="key">{escape(name)}</span>', size, escape(" ".join(trial.levels)), median, *shares)
