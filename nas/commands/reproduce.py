"""`nas reproduce`: rebuild a published design, count it, and put the published figures beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nas.commands.options import echo_json, json_option

if TYPE_CHECKING:
    from search_space import Design, Detector


@click.command("reproduce")
@click.argument("name", metavar="DESIGN")
@click.option("--num-classes", type=int, default=None, help="Classes; default: what the published counts are for.")
@click.option("--input", "input_hw", type=(int, int), default=None, metavar="H W", help="Input size in pixels.")
@json_option
def command(name: str, num_classes: int | None, input_hw: tuple[int, int] | None, as_json: bool) -> None:
    """Rebuild a published design and compare its counts with the published figures.

    Example: nas reproduce yolov8n-p2-nop5
    """
    from search_space import DESIGNS

    reproduced = reproduce(DESIGNS.get(name), num_classes, input_hw)
    if as_json:
        echo_json(reproduced)
    else:
        _print(reproduced)


def reproduce(design: Design, num_classes: int | None, input_hw: tuple[int, int] | None) -> dict[str, Any]:
    """Builds a design and returns its counts, fvcore's count of the built module, and the published figures."""
    from nas.cost import cost_of
    from nas.cost.oracle import fvcore_macs
    from search_space import Detector, lower

    num_classes = design.num_classes if num_classes is None else num_classes
    size = design.architecture.input_hw if input_hw is None else input_hw
    as_published = num_classes == design.num_classes
    cost = cost_of(design.architecture, num_classes=num_classes, input_hw=size)
    detector = Detector(lower(design.architecture, num_classes=num_classes, input_hw=size))
    folded = cost.params - num_norm_channels(detector)
    return {
        "design": design.name,
        "paper": design.paper,
        "citation": design.citation,
        "num_classes": num_classes,
        "input_hw": list(size),
        "params": cost.params,
        "params_conv_bn_folded": folded,
        "macs": cost.macs,
        "flops_2x": 2 * cost.macs,
        "fvcore_macs": fvcore_macs(detector, (3, *size)),
        "published": published_rows(design, {"params_m_folded": folded / 1e6} if as_published else {}),
        "notes": design.notes,
    }


def num_norm_channels(detector: Detector) -> int:
    """Returns how many parameters go when each batch norm's scale and shift become one bias of its convolution."""
    from torch import nn

    return sum(module.num_features for module in detector.modules() if isinstance(module, nn.BatchNorm2d))


def published_rows(design: Design, counted: dict[str, float]) -> list[dict[str, Any]]:
    """Returns one row a published figure, with our count and the deviation where it is one that can be counted."""
    rows = []
    for name, figure in design.published.items():
        ours = counted.get(name)
        rows.append(
            {
                "name": name,
                "published": figure.value,
                "unit": figure.unit,
                "ours": ours,
                "deviation_percent": None if ours is None else 100 * (ours / figure.value - 1),
                "note": figure.note,
            }
        )
    return rows


def _print(reproduced: dict[str, Any]) -> None:
    from rich.table import Table

    from nas.commands.display import console

    height, width = reproduced["input_hw"]
    same = reproduced["macs"] == reproduced["fvcore_macs"]
    lines = (
        f"{reproduced['design']}: {reproduced['paper']}",
        f"{reproduced['num_classes']} classes, input {width}x{height} (width x height)",
        f"params   {reproduced['params']:,} ({reproduced['params_conv_bn_folded']:,} with batch norm folded)",
        f"MACs     {reproduced['macs']:,} (fvcore's FLOPs; {reproduced['flops_2x']:,} with a multiply-add as two)",
        f"fvcore   {reproduced['fvcore_macs']:,} on the built module: {'equal' if same else 'DIFFERENT'}",
    )
    click.echo("\n".join(lines))
    table = Table("published figure", "published", "ours", "deviation", "unit", "note")
    for row in reproduced["published"]:
        ours = "not measured" if row["ours"] is None else f"{row['ours']:.6f}"
        deviation = "" if row["ours"] is None else f"{row['deviation_percent']:+.2f} %"
        table.add_row(row["name"], f"{row['published']:g}", ours, deviation, row["unit"], row["note"])
    console().print(table)
    if reproduced["notes"]:
        click.echo(reproduced["notes"])
