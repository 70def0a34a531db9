"""`nas explain`: what an architecture is made of, node by node, and what each part costs."""

from __future__ import annotations

from typing import Any

import click

from nas.commands.options import echo_json, json_option

DEFAULT_CLASSES = 80


@click.command("explain")
@click.argument("architecture", metavar="ARCH.yaml|DESIGN")
@click.option(
    "--num-classes", type=int, default=None, help=f"Classes; default: the design's own, else {DEFAULT_CLASSES}."
)
@click.option("--input", "input_hw", type=(int, int), default=None, metavar="H W", help="Input size in pixels.")
@json_option
def command(architecture: str, num_classes: int | None, input_hw: tuple[int, int] | None, as_json: bool) -> None:
    """Show the nodes of an architecture with their shapes, multiply-adds, parameters and bytes.

    Example: nas explain yolov8n-p2-nop5 --num-classes 4 --input 256 256
    """
    from nas.commands.training import load_architecture
    from search_space import DESIGNS, lower

    arch = load_architecture(architecture, input_hw)
    if num_classes is None:
        num_classes = DESIGNS.get(architecture).num_classes if architecture in DESIGNS else DEFAULT_CLASSES
        if architecture not in DESIGNS:
            note = f"note: counted for {num_classes} classes; a run counts for those of its data: --num-classes N"
            click.echo(note, err=True)
    explained = {
        "architecture": architecture,
        "key": arch.key(),
        "num_classes": num_classes,
        "input_hw": list(arch.input_hw),
        **explain(lower(arch, num_classes=num_classes)),
    }
    if as_json:
        echo_json(explained)
    else:
        _print(explained)


def explain(graph: Any) -> dict[str, Any]:
    """Returns the totals and one row a node, JSON-ready, of a `Graph`."""
    from nas.cost import node_costs

    nodes = [
        {
            "name": node.name,
            "block": node.block,
            "inputs": list(node.inputs),
            "stride": 2**node.level,
            "output_shape": list(count.output_shape),
            "macs": count.macs,
            "params": count.params,
            "weight_bytes": count.weight_bytes,
            "activation_bytes": count.activation_bytes,
        }
        for node, count in node_costs(graph)
    ]
    totals = {name: sum(row[name] for row in nodes) for name in ("macs", "params", "weight_bytes", "activation_bytes")}
    return {**totals, "flops_2x": 2 * totals["macs"], "nodes": nodes}


def _print(explained: dict[str, Any]) -> None:
    from rich.table import Table

    from nas.commands.display import console

    height, width = explained["input_hw"]
    click.echo(
        f"{explained['architecture']} (key {explained['key']}), {explained['num_classes']} classes, "
        f"input {width}x{height} (width x height)"
    )
    table = Table("node", "block", "from", "output C,H,W")
    for title in ("MMACs", "share %", "params", "weights KiB", "activations KiB"):
        table.add_column(title, justify="right")
    for row in explained["nodes"]:
        table.add_row(
            row["name"],
            row["block"],
            ", ".join(row["inputs"]),
            ",".join(map(str, row["output_shape"])),
            f"{row['macs'] / 1e6:.2f}",
            f"{100 * row['macs'] / max(explained['macs'], 1):.1f}",
            f"{row['params']:,}",
            f"{row['weight_bytes'] / 1024:.1f}",
            f"{row['activation_bytes'] / 1024:.1f}",
        )
    console().print(table)
    click.echo(
        f"total: {explained['macs'] / 1e9:.4f} GMACs (fvcore's FLOPs; {explained['flops_2x'] / 1e9:.4f} G with a "
        f"multiply-add as two), {explained['params']:,} parameters, "
        f"{explained['weight_bytes'] / 2**20:.2f} MiB weights, "
        f"{explained['activation_bytes'] / 2**20:.1f} MiB written as activations (32-bit floats, one image)"
    )
