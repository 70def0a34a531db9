"""`nas reproduce`: rebuild a published design, count it, and put the published figures beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from nas.commands.options import echo_json, json_option, plugin_option

if TYPE_CHECKING:
    from nas.cost.conventions import Convention
    from search_space import Architecture, Design

NOT_MEASURED = "not measured"
EQUAL_AS_PRINTED = "equal as printed"
QUICK_GMACS = 20
"""Up to here a real run of a detector takes seconds and little memory."""
MULTIPLES = {1e6: "M", 1e9: "G"}
"""What a count is printed as a multiple of."""


@click.command("reproduce")
@click.argument("name", metavar="[DESIGN]", required=False)
@click.option("--all", "all_designs", is_flag=True, help="All designs, one row a published count.")
@click.option("--num-classes", type=int, default=None, help="Classes; default: what the published counts are for.")
@click.option("--input", "input_hw", type=(int, int), default=None, metavar="H W", help="Input size in pixels.")
@click.option(
    "--check-fvcore/--no-check-fvcore",
    default=None,
    help=f"Run the built detector under fvcore and compare; default: one design of up to {QUICK_GMACS} GMACs.",
)
@plugin_option
@json_option
def command(
    name: str | None,
    all_designs: bool,
    num_classes: int | None,
    input_hw: tuple[int, int] | None,
    check_fvcore: bool | None,
    as_json: bool,
) -> None:
    """Rebuild a published design and compare its counts with the published figures.

    Each figure is compared in its own convention, derived from the rebuilt detector. Accuracy and latency do not follow
    from a count: they are shown as published.

    \b
    Examples:
      nas reproduce sodet-s
      nas reproduce --all --json
    """
    from search_space import DESIGNS

    if (name is None) != all_designs:
        raise click.UsageError(f"give either the name of a design or --all; designs: {', '.join(DESIGNS)}")
    if name is not None:
        reproduced = reproduce(DESIGNS.get(name), num_classes, input_hw, check_fvcore=check_fvcore)
        return echo_json(reproduced) if as_json else _print(reproduced)
    if num_classes is not None or input_hw is not None:
        raise click.UsageError("--all compares each design as published; leave --num-classes and --input out")
    designs = (reproduce(DESIGNS.get(each), check_fvcore=bool(check_fvcore)) for each in DESIGNS)
    rows = [row for reproduced in designs for row in summary_rows(reproduced)]
    return echo_json({"rows": rows}) if as_json else _print_all(rows)


def reproduce(
    design: Design,
    num_classes: int | None = None,
    input_hw: tuple[int, int] | None = None,
    *,
    check_fvcore: bool | None = False,
) -> dict[str, Any]:
    """Builds a design and returns its counts and the published figures, JSON-ready; integers are exact.

    `fvcore_macs` is None unless asked for: it takes a real run of the detector. With `check_fvcore` None it is there
    where that is quick. `params_conv_bn_folded` is None where the papers of its kind do not fold.
    """
    from nas.cost import node_costs
    from nas.cost.conventions import dfl_constants, params_folded
    from search_space import lower

    num_classes = design.num_classes if num_classes is None else num_classes
    architecture = design.architecture if input_hw is None else design.architecture.resized(input_hw)
    graph = lower(architecture, num_classes=num_classes)
    parts: dict[str, dict[str, Any]] = {}
    for node, count in node_costs(graph):
        part = parts.setdefault(node.part, {"part": node.part, "macs": 0, "flops_2x": 0, "params": 0})
        part["macs"] += count.macs
        part["flops_2x"] += 2 * count.macs
        part["params"] += count.params
    totals = {name: sum(part[name] for part in parts.values()) for name in ("params", "macs", "flops_2x")}
    constants = dfl_constants(architecture)
    if check_fvcore is None:
        check_fvcore = totals["macs"] <= QUICK_GMACS * 1e9
    return {
        "design": design.name,
        "paper": design.paper,
        "citation": design.citation,
        "derived": design.derived,
        "num_classes": num_classes,
        "input_hw": list(architecture.input_hw),
        **totals,
        "params_conv_bn_folded": params_folded(architecture, num_classes) if constants else None,
        "dfl_constants": constants,
        "fvcore_macs": _fvcore_macs(graph) if check_fvcore else None,
        "parts": list(parts.values()),
        "published": published_rows(design, architecture, num_classes),
        "notes": design.notes,
    }


def _fvcore_macs(graph: Any) -> int:
    from nas.cost.oracle import fvcore_macs
    from search_space import Detector

    return fvcore_macs(Detector(graph), (3, *graph.input_hw))


def published_rows(design: Design, architecture: Architecture, num_classes: int) -> list[dict[str, Any]]:
    """Returns one row a published figure, with our count in its convention where it is one that can be counted.

    Counts depend on classes and input. At the design's own ones every figure is compared, each for the classes that it
    is published for; otherwise only those are that are published for just these classes and this input.
    """
    from nas.cost.conventions import convention_of

    rows = []
    for name, figure in design.published.items():
        published_for = figure.num_classes or design.num_classes
        as_published = architecture == design.architecture and num_classes in (published_for, design.num_classes)
        convention = convention_of(name, design.published)
        rows.append(
            {
                "name": name,
                "published": figure.value,
                "unit": figure.unit,
                "num_classes": figure.num_classes if convention is None else published_for,
                **_compared(design, name, convention, published_for, as_published),
                "note": figure.note,
            }
        )
    return rows


def _compared(
    design: Design, name: str, convention: Convention | None, num_classes: int, as_published: bool
) -> dict[str, Any]:
    """Returns our count of a figure with the deviation and its reason, or why there is none."""
    keys = ("convention", "convention_sentence", "multiple_of", "count", "ours", "deviation_percent", "as_printed")
    empty = dict.fromkeys(keys)
    if convention is None:
        return {**empty, "reason": NOT_MEASURED}
    named = dict(zip(keys, (convention.name, convention.sentence, convention.unit), strict=False))
    if not as_published:
        height, width = design.architecture.input_hw
        return {**empty, **named, "reason": f"not compared: published for {num_classes} classes at {width}x{height}"}
    figure = design.published[name]
    count = convention.count(design.architecture, num_classes)
    ours = count / convention.unit
    as_printed = round(ours, num_decimals(figure.value)) == figure.value
    return {
        **named,
        "count": count,
        "ours": ours,
        "deviation_percent": 100 * (ours / figure.value - 1),
        "as_printed": as_printed,
        "reason": EQUAL_AS_PRINTED if as_printed else figure.note or design.notes or "not explained",
    }


def num_decimals(value: float) -> int:
    """Returns how many digits a figure is printed with after its decimal point."""
    return len(f"{value:.12g}".partition(".")[2])


def summary_rows(reproduced: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns one row for each published count of a design, or one that says that there is none."""
    design = {name: reproduced[name] for name in ("design", "input_hw")}
    fvcore = reproduced["fvcore_macs"]
    design["fvcore_equal"] = None if fvcore is None else fvcore == reproduced["macs"]
    keys = (
        "num_classes",
        "published",
        "ours",
        "count",
        "unit",
        "convention",
        "multiple_of",
        "deviation_percent",
        "as_printed",
        "reason",
    )
    rows = [
        {**design, "figure": row["name"], **{key: row[key] for key in keys}}
        for row in reproduced["published"]
        if row["convention"] is not None
    ]
    none = {**dict.fromkeys(keys), "num_classes": reproduced["num_classes"], "reason": "none published"}
    return rows or [{**design, "figure": None, **none}]


def ours_cell(row: Mapping[str, Any]) -> str:
    """Returns our count with three digits more than the published figure has, or a dash."""
    return "-" if row["ours"] is None else f"{row['ours']:.{num_decimals(row['published']) + 3}f}"


def deviation_cell(row: Mapping[str, Any]) -> str:
    """Returns the deviation of our count in percent, or nothing."""
    return "" if row["deviation_percent"] is None else f"{row['deviation_percent']:+.2f} %"


def _print(reproduced: dict[str, Any]) -> None:
    from nas.commands.display import counted

    height, width = reproduced["input_hw"]
    derived = " (derived: an ablation of the paper, no file of it was published)" if reproduced["derived"] else ""
    click.echo(f"{reproduced['design']}: {reproduced['paper']}{derived}")
    classes = counted(reproduced["num_classes"], "class", "classes")
    click.echo(f"{classes}, input {width}x{height} (width x height)")
    _print_parts(reproduced)
    folded, constants, fvcore = (reproduced[key] for key in ("params_conv_bn_folded", "dfl_constants", "fvcore_macs"))
    if folded is not None:
        click.echo(
            f"folded   {folded:,} parameters with batch norm folded; published counts have {constants} constants more"
        )
    if fvcore is None:
        click.echo("fvcore   not run on the built module; --check-fvcore runs it")
    else:
        same = "equal" if fvcore == reproduced["macs"] else "DIFFERENT"
        click.echo(f"fvcore   {fvcore:,} on the built module: {same}")
    _print_published(reproduced["published"])
    if reproduced["notes"]:
        click.echo(reproduced["notes"])


def _print_parts(reproduced: Mapping[str, Any]) -> None:
    from rich.table import Table

    from nas.commands.display import console

    table = Table("part")
    for title in ("MACs (fvcore's FLOPs)", "multiply-add as two", "share %", "parameters"):
        table.add_column(title, justify="right")
    total = {**{key: reproduced[key] for key in ("macs", "flops_2x", "params")}, "part": "total"}
    for part in (*reproduced["parts"], total):
        share = f"{100 * part['macs'] / max(total['macs'], 1):.1f}"
        table.add_row(part["part"], f"{part['macs']:,}", f"{part['flops_2x']:,}", share, f"{part['params']:,}")
    console().print(table)


def _print_published(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from nas.commands.display import console

    if not rows:
        click.echo("no figure of it is published")
        return
    table = Table("published figure", "classes", "published", "ours", "deviation", "why", "counted as", "unit", "note")
    for row in rows:
        note = "" if row["note"] == row["reason"] else row["note"]
        unit = row["unit"] if row["multiple_of"] is None else MULTIPLES[row["multiple_of"]]
        cells = (ours_cell(row), deviation_cell(row), row["reason"], row["convention"] or "", unit, note)
        table.add_row(row["name"], str(row["num_classes"] or ""), f"{row['published']:.12g}", *cells)
    console().print(table)
    for convention, sentence in {row["convention"]: row["convention_sentence"] for row in rows}.items():
        if convention is not None:
            click.echo(f"{convention}: {sentence}")


def _print_all(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from nas.commands.display import console

    checked = rows[0]["fvcore_equal"] is not None
    table = Table(
        "design", "classes", "figure", "published", "ours", "counted as", "deviation", "why", *["fvcore"] * checked
    )
    for row in rows:
        published = "" if row["published"] is None else f"{row['published']:.12g}"
        cells = (row["figure"] or "", published, ours_cell(row), row["convention"] or "", deviation_cell(row))
        fvcore = ["equal" if row["fvcore_equal"] else "DIFFERENT"] * checked
        table.add_row(row["design"], str(row["num_classes"]), *cells, row["reason"], *fvcore)
    console().print(table)
    counts = [row["as_printed"] for row in rows if row["as_printed"] is not None]
    click.echo(f"{sum(counts)} of {len(counts)} published counts equal ours to the printed digits")
