"""`nas explain`: what an architecture is made of, node by node, and what each part costs."""

from __future__ import annotations

from typing import Any

import click

from nas.commands.display import counted, say
from nas.commands.options import echo_json, json_option, plugin_option

DEFAULT_CLASSES = 80
ROOM_FOR_ARGUMENTS = 150
"""Columns from which on the table also shows what blocks are built with."""
SIZES = ("in_channels", "out_channels", "channels", "num_classes")
"""Arguments that the table leaves out: the shapes tell them."""


@click.command("explain")
@click.argument("architecture", type=click.Path(), metavar="ARCH.yaml|DESIGN")
@click.option(
    "--diff", "other", metavar="ARCH.yaml|DESIGN", default=None, help="Show what differs in this one instead."
)
@click.option(
    "--num-classes", type=int, default=None, help=f"Classes; default: the design's own, else {DEFAULT_CLASSES}."
)
@click.option("--input", "input_hw", type=(int, int), default=None, metavar="H W", help="Input size in pixels.")
@plugin_option
@json_option
def command(
    architecture: str, other: str | None, num_classes: int | None, input_hw: tuple[int, int] | None, as_json: bool
) -> None:
    """Show the nodes of an architecture with their shapes, multiply-adds, parameters and bytes.

    With --diff: the axes of the search space on which two architectures differ, and what each of these choices costs.

    \b
    Examples:
      nas explain yolov8n-p2-nop5 --num-classes 4 --input 256 256
      nas explain yolov8n --diff yolov8n-p2
    """
    from nas.architectures import load_architecture
    from search_space import lower

    # With --diff the input size is an axis too: both are compared as they are and counted at the size that is given.
    arch = load_architecture(architecture, input_hw if other is None else None)
    num_classes = _num_classes(architecture, num_classes)
    if other is not None:
        return _diff(architecture, other, num_classes, input_hw, as_json)
    explained = {
        "architecture": architecture,
        "key": arch.key(),
        "num_classes": num_classes,
        "input_hw": list(arch.input_hw),
        **explain(lower(arch, num_classes=num_classes)),
    }
    return echo_json(explained) if as_json else _print(explained)


def _num_classes(architecture: str, num_classes: int | None) -> int:
    """Returns the classes to count for, telling on standard error where they are a guess."""
    from search_space import DESIGNS

    if num_classes is not None:
        return num_classes
    if architecture in DESIGNS:
        return DESIGNS.get(architecture).num_classes
    note = f"note: counted for {DEFAULT_CLASSES} classes; a run counts for those of its data: --num-classes N"
    say(note, err=True)
    return DEFAULT_CLASSES


def _diff(architecture: str, other: str, num_classes: int, input_hw: tuple[int, int] | None, as_json: bool) -> None:
    from nas.api.differences import differences, print_differences
    from nas.architectures import load_architecture

    pair = (load_architecture(architecture), load_architecture(other))
    result = differences(*pair, num_classes=num_classes, input_hw=input_hw)
    if as_json:
        return echo_json({"architecture": architecture, "other": other, **result})
    return print_differences(result, architecture, other)


def explain(graph: Any) -> dict[str, Any]:
    """Returns the totals and one row a node, JSON-ready, of a `Graph`."""
    from nas.cost import node_costs, peak_memory

    costs = list(node_costs(graph))
    nodes = [
        {
            "name": node.name,
            "part": node.part,
            "block": node.block,
            "arguments": dict(node.arguments),
            "shares": node.shares,
            "inputs": list(node.inputs),
            "stride": 2**node.level,
            "output_shape": list(count.output_shape),
            "macs": count.macs,
            "params": count.params,
            "weight_bytes": count.weight_bytes,
            "activation_bytes": count.activation_bytes,
        }
        for node, count in costs
    ]
    totals = {name: sum(row[name] for row in nodes) for name in ("macs", "params", "weight_bytes", "activation_bytes")}
    for row in nodes:
        row["macs_percent"] = 100 * row["macs"] / max(totals["macs"], 1)
    memory_bytes = peak_memory(graph, [count for _, count in costs])
    return {**totals, "memory_bytes": memory_bytes, "flops_2x": 2 * totals["macs"], "nodes": nodes}


def _print(explained: dict[str, Any]) -> None:
    from rich.table import Table

    from nas.commands.display import console

    height, width = explained["input_hw"]
    classes = counted(explained["num_classes"], "class", "classes")
    say(f"{explained['architecture']} (key {explained['key']}), {classes}, input {width}x{height} (width x height)")
    screen = console()
    with_arguments = screen.width >= ROOM_FOR_ARGUMENTS
    table = Table("part", "node", "block", *["built with"] * with_arguments, "from", "output C,H,W")
    for title in ("MMACs", "share %", "params", "weights KiB", "activations KiB"):
        table.add_column(title, justify="right")
    part = None
    for row in explained["nodes"]:
        if row["part"] != part and part is not None:
            table.add_section()
        cells = [row["name"], row["block"], *[_arguments(row["arguments"])] * with_arguments]
        table.add_row("" if row["part"] == part else row["part"], *cells, *_counts(row))
        part = row["part"]
    screen.print(table)
    say(
        f"total: {explained['macs'] / 1e9:.4f} GMACs (fvcore's FLOPs; {explained['flops_2x'] / 1e9:.4f} G with a "
        f"multiply-add as two), {explained['params']:,} parameters, "
        f"{explained['weight_bytes'] / 2**20:.2f} MiB weights, "
        f"{explained['activation_bytes'] / 2**20:.1f} MiB written as activations, "
        f"{explained['memory_bytes'] / 1e6:.2f} MB of them alive at a time (32-bit floats, one image)"
    )


def _arguments(arguments: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in arguments.items() if name not in SIZES)


def _counts(row: dict[str, Any]) -> tuple[str, ...]:
    """Returns the cells from the inputs on; a node that runs another one's weights names that one."""
    return (
        ", ".join(row["inputs"]),
        ",".join(map(str, row["output_shape"])),
        f"{row['macs'] / 1e6:.2f}",
        f"{row['macs_percent']:.1f}",
        f"{row['params']:,}" if row["shares"] is None else f"those of {row['shares']}",
        f"{row['weight_bytes'] / 1024:.1f}",
        f"{row['activation_bytes'] / 1024:.1f}",
    )
