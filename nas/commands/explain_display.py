"""Tables of the nodes of an architecture, and of the differences between two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nas.api.differences import field_names
from nas.commands.display import counted, say
from search_space.input_format import InputFormat
from search_space.parts import DEFAULT_ACTIVATION

if TYPE_CHECKING:
    from nas.api.differences import ArchitectureDiff, Difference
    from nas.api.explain import Explanation, NodeCount

SIZES = ("in_channels", "out_channels", "channels", "num_classes")
"""Arguments that the table leaves out, since the shapes show them."""


def print_explanation(explained: Explanation) -> None:
    """Prints the nodes of an architecture as a table, and the totals."""
    from nas.commands.table import Column, numbers, print_table

    height, width = explained.input_hw
    classes = counted(explained.num_classes, "class", "classes")
    say(f"{explained.architecture} (key {explained.key}), {classes}, input {width}x{height} (width x height)")
    if explained.tiles.count > 1:
        say(
            f"tiles: {explained.tiles.name} (columns x rows): {explained.tiles.count} passes a frame, "
            f"{explained.tiles.count * explained.macs / 1e9:.4f} GMACs; the figures here are those of one"
        )
    if explained.input_format != InputFormat():
        say(f"input format: {explained.input_format}")
    if {explained.activation, explained.head_activation} != {DEFAULT_ACTIVATION}:
        say(f"activation: {explained.activation}, head {explained.head_activation}")
    columns = (
        Column("part", priority=3),
        Column("node", is_name=True),
        Column("block", priority=2),
        Column("built with", priority=7),
        Column("from", priority=6),
        Column("output C,H,W", priority=1),
        numbers("MMACs", priority=1),
        numbers("share %", priority=4),
        numbers("params", priority=1),
        numbers("weights KiB", priority=5),
        numbers("activations KiB", priority=4),
    )
    rows: list[tuple[str, ...]] = []
    part = None
    for node in explained.nodes:
        if node.part != part and part is not None:
            rows.append(())
        cells = (node.name, node.block, _arguments(node.arguments), *_counts(node))
        rows.append(("" if node.part == part else node.part, *cells))
        part = node.part
    print_table(columns, rows)
    say(
        f"total: {explained.macs / 1e9:.4f} GMACs (fvcore's FLOPs; {explained.flops_2x / 1e9:.4f} G with a "
        f"multiply-add as two), {explained.params:,} parameters, "
        f"{explained.weight_bytes / 2**20:.2f} MiB weights, "
        f"{explained.activation_bytes / 2**20:.1f} MiB of activations written, "
        f"{explained.memory_bytes / 1e6:.2f} MB peak (32-bit floats, one image)"
    )
    if (explained.macs, explained.params) != (explained.macs_trained, explained.params_deployed):
        say(
            f"with branches that are merged when deployed: {explained.macs / 1e9:.4f} GMACs deployed, "
            f"{explained.macs_trained / 1e9:.4f} as trained; {explained.params:,} parameters as trained, "
            f"{explained.params_deployed:,} deployed"
        )
    if explained.one_to_many_params:
        trained = explained.params + explained.one_to_many_params
        say(f"training (assignment dual): {trained:,} parameters, with a second head that is not deployed")


def _arguments(arguments: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in arguments.items() if name not in SIZES)


def _counts(node: NodeCount) -> tuple[str, ...]:
    """Returns the cells from the inputs on; a node that uses another one's weights names that one."""
    return (
        ", ".join(node.inputs),
        ",".join(map(str, node.output_shape)),
        f"{node.macs / 1e6:.2f}",
        f"{node.macs_percent:.1f}",
        f"{node.params:,}" if node.shares is None else f"those of {node.shares}",
        f"{node.weight_bytes / 1024:.1f}",
        f"{node.activation_bytes / 1024:.1f}",
    )


def print_differences(result: ArchitectureDiff) -> None:
    """Prints the differences as a table, with the conditions of the count above and the total below."""
    name_a, name_b = result.architecture, result.other
    sizes = ["x".join(map(str, reversed(side.input_hw))) for side in (result.a, result.b)]
    at = f"both at {sizes[0]}" if sizes[0] == sizes[1] else f"{name_a} at {sizes[0]}, {name_b} at {sizes[1]}"
    say(f"from {name_a} to {name_b}, both for {counted(result.num_classes, 'class', 'classes')}, {at} (width x height)")
    if result.compared == "fields":
        say(f"compared field by field: {result.why_fields}")
    if not result.differences:
        say("they are the same")
        return
    _print_rows(result)
    say(
        f"MMACs and params of a line: the change if only this choice of {name_a} becomes that of {name_b}, together"
        " with the choices in the same line; the changes need not add up to the total"
    )


def _print_rows(result: ArchitectureDiff) -> None:
    from nas.commands.table import Column, numbers, print_table

    columns = (
        Column("axis" if result.compared == "axes" else "field", is_name=True),
        Column(result.architecture, is_name=True),
        Column(result.other, is_name=True),
        numbers("MMACs", priority=1),
        numbers("params", priority=1),
        Column("remark", priority=2, is_text=True),
    )
    rows: list[tuple[str, ...]] = []
    for row in result.differences:
        changes = ("", "") if row.macs is None else (f"{row.macs / 1e6:+,.2f}", f"{row.params:+,}")
        rows.append((row.name, _value(row.a), _value(row.b), *changes, _only_with(row)))
    total, sides = result.total, (result.a, result.b)
    macs = (f"{side.macs / 1e6:,.2f} MMACs" for side in sides)
    params = (f"{side.params:,} params" for side in sides)
    rows += [(), ("total", *macs, f"{total.macs / 1e6:+,.2f}", "", ""), ("", *params, "", f"{total.params:+,}", "")]
    print_table(columns, rows)


def _value(value: Any) -> str:
    """Returns one side's choice as a cell; of nested fields only how many there are."""
    if isinstance(value, Mapping):
        return "given"
    if isinstance(value, (list, tuple)):
        return f"{len(value)} of them" if field_names(value) else ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _only_with(row: Difference) -> str:
    partners = row.only_with
    if row.macs is None and len(partners) != 1:
        return f"only together with several others: {row.reason}" if partners else f"not possible: {row.reason}"
    if not partners:
        return ""
    return f"only together with {', '.join(partners)}" + ("" if row.macs is not None else ", counted there")
