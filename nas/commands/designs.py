"""`nas designs`: the published designs with their counts and what their papers report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nas.commands.display import say
from nas.commands.options import common_options, complete, echo_json
from search_space.input_format import InputFormat

if TYPE_CHECKING:
    from nas.api.designs import DesignTable, LargestDeviation, ListedDesign


@click.command("designs")
@click.argument("design", metavar="[NAME]", required=False, shell_complete=complete("design"))
@common_options
def command(design: str | None, as_json: bool) -> None:
    """List the published designs: their cost, the accuracy that they report, and how far our counts deviate.

    Every command that takes an architecture accepts these names. With a NAME, also prints where the design is from, and
    the recipe by which its authors train it.

    \b
    Examples:
      nas designs
      nas designs tinydet-m
    """
    from nas.api.designs import list_designs

    table = list_designs(design)
    if as_json:
        return echo_json(table.to_dict())
    print_designs(table)
    if design is not None:
        print_origin(table.designs[0])


def print_designs(designs: DesignTable) -> None:
    """Prints the designs as a table, grouped by paper."""
    from nas.commands.table import Column, numbers, print_table

    columns = (
        Column("design", is_name=True),
        Column("classes", priority=4),
        Column("input px", priority=3),
        numbers("GMACs", priority=1),
        numbers("GFLOPs 2x", priority=5),
        numbers("params M", priority=1),
        Column("published accuracy", priority=2),
        Column("counts against the published", priority=6),
    )
    rows: list[tuple[str, ...]] = []
    paper = None
    for row in designs.designs:
        if row.paper != paper:
            paper = row.paper
            rows.append((paper,))
        height, width = row.input_hw
        accuracy = row.accuracy
        cells = (
            row.design + "*" * row.derived,
            str(row.num_classes),
            f"{width}x{height}",
            f"{row.macs / 1e9:.3f}",
            f"{row.flops_2x / 1e9:.3f}",
            f"{row.params / 1e6:.3f}",
            "-" if accuracy is None else f"{accuracy.percent:.1f} % {accuracy.label}",
            deviation_text(row.deviation),
        )
        rows.append(cells)
    print_table(columns, rows)
    say("GMACs are fvcore's FLOPs; 2x counts a multiply-add as two. Accuracies are the papers', none is ours.")
    for text, names in _input_formats(designs).items():
        say(f"input of {', '.join(names)}: {text}")
    if any(row.derived for row in designs.designs):
        say("* derived here from a paper's ablation; no file of it was published")


def print_origin(design: ListedDesign) -> None:
    """Prints where a design is from, and the recipe by which its authors train it."""
    from nas.commands.recipe_display import print_recipe

    say(f"source: {design.citation}")
    if design.notes:
        say(f"note: {design.notes.strip()}")
    if design.weights:
        check = f"nas reproduce {design.design} --weights FILE --data PATH"
        say(f"weights: published at {design.weights}; {check} checks the accuracy")
    say(f"picture: nas explain {design.design} --picture {design.design}.svg")
    if design.recipe is None:
        say("recipe: none is known; nas train uses its defaults")
        return
    print_recipe(design.recipe)
    say(f"next: nas train {design.design} --recipe paper --data PATH")


def _input_formats(designs: DesignTable) -> dict[str, list[str]]:
    """Returns the names of the designs by their input format, without the default one."""
    found: dict[str, list[str]] = {}
    for row in designs.designs:
        if row.input_format != InputFormat():
            found.setdefault(str(row.input_format), []).append(row.design)
    return found


def deviation_text(deviation: LargestDeviation | None) -> str:
    """Returns the largest deviation in words."""
    if deviation is None:
        return "none published"
    if deviation.as_printed:
        return "equal as printed"
    return f"{deviation.deviation_percent:+.2f} % {deviation.convention}"
