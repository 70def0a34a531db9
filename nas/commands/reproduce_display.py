"""Tables of rebuilt designs beside their published figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.api.reproduce import num_decimals
from nas.commands.display import counted, say

if TYPE_CHECKING:
    from nas.api.reproduce import CountComparison, PublishedFigure, Reproduction, ReproductionTable

MULTIPLES = {1e6: "M", 1e9: "G"}
"""Letters of what a count is a multiple of."""


def ours_cell(row: CountComparison | PublishedFigure) -> str:
    """Returns our count with three digits more than the published figure has, or a dash."""
    if row.ours is None or row.published is None:
        return "-"
    return f"{row.ours:.{num_decimals(row.published) + 3}f}"


def deviation_cell(row: CountComparison | PublishedFigure) -> str:
    """Returns the deviation of our count in percent, or nothing."""
    return "" if row.deviation_percent is None else f"{row.deviation_percent:+.2f} %"


def print_reproduction(reproduced: Reproduction) -> None:
    """Prints a rebuilt design: its counts by part, the check by fvcore, and the published figures."""
    height, width = reproduced.input_hw
    derived = " (derived: an ablation of the paper, no file of it was published)" if reproduced.derived else ""
    say(f"{reproduced.design}: {reproduced.paper}{derived}")
    say(f"{counted(reproduced.num_classes, 'class', 'classes')}, input {width}x{height} (width x height)")
    _print_parts(reproduced)
    if reproduced.params_conv_bn_folded is not None:
        say(
            f"folded   {reproduced.params_conv_bn_folded:,} parameters with batch norm folded; "
            f"published counts have {reproduced.dfl_constants} constants more"
        )
    if reproduced.fvcore_macs is None:
        say("fvcore   not run on the built module; --check-fvcore runs it")
    else:
        same = "equal" if reproduced.fvcore_macs == reproduced.macs else "DIFFERENT"
        say(f"fvcore   {reproduced.fvcore_macs:,} on the built module: {same}")
    _print_published(reproduced)
    if reproduced.notes:
        say(reproduced.notes)


def _print_parts(reproduced: Reproduction) -> None:
    from nas.commands.table import Column, numbers, print_table

    titles = ("MACs (fvcore's FLOPs)", "multiply-add as two", "share %", "parameters")
    rows = [(part.part, part.macs, part.flops_2x, part.params) for part in reproduced.parts]
    rows.append(("total", reproduced.macs, reproduced.flops_2x, reproduced.params))
    cells = [
        (name, f"{macs:,}", f"{flops_2x:,}", f"{100 * macs / max(reproduced.macs, 1):.1f}", f"{params:,}")
        for name, macs, flops_2x, params in rows
    ]
    print_table((Column("part", is_name=True), *map(numbers, titles)), cells)


def _print_published(reproduced: Reproduction) -> None:
    from nas.commands.table import Column, numbers, print_table

    rows = reproduced.published
    if not rows:
        say("no figure of it is published")
        return
    columns = (
        Column("published figure", is_name=True),
        Column("classes", priority=4),
        numbers("published"),
        numbers("ours"),
        numbers("deviation", priority=1),
        Column("why", priority=3, is_text=True),
        Column("counted as", priority=5),
        Column("unit"),
        Column("note", priority=6),
    )
    cells = []
    for row in rows:
        note = "" if row.note == row.reason else row.note
        unit = row.unit if row.multiple_of is None else MULTIPLES[row.multiple_of]
        counts = (f"{row.published:.12g}", ours_cell(row), deviation_cell(row))
        cells.append((row.name, str(row.num_classes or ""), *counts, row.reason, row.convention or "", unit, note))
    print_table(columns, cells)
    for convention, sentence in {row.convention: row.convention_sentence for row in rows}.items():
        if convention is not None:
            say(f"{convention}: {sentence}")


def print_all(reproduced: ReproductionTable) -> None:
    """Prints the published counts of all designs beside ours."""
    from nas.commands.table import Column, numbers, print_table

    rows = reproduced.rows
    checked = rows[0].fvcore_equal is not None
    columns = (
        Column("design", is_name=True),
        Column("classes", priority=5),
        Column("figure", is_name=True),
        numbers("published", priority=1),
        numbers("ours", priority=2),
        Column("counted as", priority=6),
        numbers("deviation"),
        Column("why", priority=4),
        *[Column("fvcore", priority=3)] * checked,
    )
    cells = []
    for row in rows:
        published = "none" if row.published is None else f"{row.published:.12g}"
        counts = (published, ours_cell(row), row.convention or "", deviation_cell(row))
        fvcore = ["equal" if row.fvcore_equal else "DIFFERENT"] * checked
        cells.append((row.design, str(row.num_classes), row.figure or "", *counts, row.reason, *fvcore))
    print_table(columns, cells)
    equal = [row.as_printed for row in rows if row.as_printed is not None]
    say(f"{sum(equal)} of {len(equal)} published counts equal ours to the printed digits")
