"""Tables and lines of predicted latencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.commands.display import counted, say
from nas.cost.breakdown import DEAR, SIZES_SHOWN

if TYPE_CHECKING:
    from nas.api.latency import FrontLatency, LatencyPrediction, OnDevice

NODES_SHOWN = 10
WORDS = {
    "conv1x1": "1x1 convolutions",
    "conv3x3": "3x3 convolutions",
    "conv3x3s2": "3x3 convolutions with stride 2",
    "convkxk": "larger convolutions",
    "conv_transpose": "transposed convolutions",
    "dwconv": "depthwise convolutions",
    "gconv": "grouped convolutions",
    "fc": "linear layers and 1x1 convolutions of one position",
    "matmul": "matrix products",
    "act_cheap": "ReLU and similar activations",
    "act_exp": "SiLU, sigmoid and other activations with an exponential",
    "eltwise": "additions and products of maps",
    "concat": "concatenations",
    "split": "splits and slices",
    "pool": "pooling",
    "global_pool": "pooling over whole maps",
    "upsample": "upsampling",
    "norm": "normalisations that are not folded into a convolution",
    "transpose": "transpositions",
    "softmax": "softmax",
    "space_to_depth": "space to depth",
    "other": "operators of other classes",
    "start": "start-up of the network",
}
"""The operator classes in words."""


def print_architecture(result: LatencyPrediction) -> None:
    """Prints one prediction: the latency, its error, where the time is spent, and what would be faster."""
    height, width = result.input_hw
    classes = counted(result.num_classes, "class", "classes")
    say(
        f"{result.architecture} (key {result.key}), {classes}, input {width}x{height} "
        f"(width x height), {result.macs / 1e9:.4f} GMACs ({result.flops_2x / 1e9:.4f} GFLOPs with a "
        f"multiply-add as two), {result.params:,} parameters"
    )
    say(
        f"{result.latency_ms:.4g} ms predicted, not measured; {100 * result.confidence:g} % interval "
        f"{result.low_ms:.4g} to {result.high_ms:.4g} ms"
    )
    _print_device(result)
    if result.extrapolated:
        say(f"note: extrapolated: {unmeasured_text(result)}")
    _print_classes(result)
    _print_nodes(result)
    _print_faster(result)


def print_run(result: FrontLatency) -> None:
    """Prints the front of a run, accuracy beside predicted latency."""
    from nas.commands.table import Column, numbers, print_table

    classes = counted(result.num_classes, "class", "classes")
    say(f"front of {result.run}, {classes}; latencies are predicted, not measured")
    _print_device(result)
    columns = (
        Column("file in front/", is_name=True),
        Column("input px", priority=4),
        numbers("accuracy %", priority=1),
        numbers("AP50 %", priority=2),
        numbers("ms, predicted", priority=1),
        numbers(f"{100 * result.confidence:g} % interval", priority=2),
        numbers("GMACs", priority=3),
        numbers("params M", priority=3),
    )
    rows = []
    for row in result.front:
        cells = (
            row.architecture.name,
            f"{row.input_hw[1]}x{row.input_hw[0]}",
            *("-" if score is None else f"{100 * score:.1f}" for score in (row.accuracy, row.ap50)),
            f"{row.latency_ms:.4g}" + " (extrapolated)" * row.extrapolated,
            f"{row.low_ms:.4g} to {row.high_ms:.4g}",
            f"{row.macs / 1e9:.4f}",
            f"{row.params / 1e6:.3f}",
        )
        rows.append(cells)
    print_table(columns, rows)
    best = result.front[0].architecture
    say(f"next: nas latency {best} --device {result.device} --num-classes {result.num_classes}")


def _print_device(result: OnDevice) -> None:
    error, count = result.error, result.num_measured
    say(f"device: {result.device}: {result.board}, {result.runtime}, {result.precision}, batch {result.batch}")
    if error.mean_error_percent is None:
        known = "one measured network" if count else "the data sheet alone: an order of magnitude"
        say(f"error: not measured; the profile is based on {known}")
    else:
        say(
            f"error: {error.mean_error_percent:.1f} % on average of {count} measured networks "
            f"({error.held_out}), {error.within_10_percent:.0f} % of them within 10 %"
        )
    if result.notes:
        say(f"profile: {result.notes}")
    say(f"included: {result.includes}")


def unmeasured_text(result: LatencyPrediction) -> str:
    """Returns in words which operators of a network were never measured on the device."""
    never = [row for row in result.classes if row["networks_measured"] == 0]
    named = ", ".join(f"{row['class']} {100 * row['share']:.1f} %" for row in never)
    return f"{100 * result.unsupported_share:.1f} % of the time is in operators never measured on this device ({named})"


def _print_classes(result: LatencyPrediction) -> None:
    from nas.commands.table import Column, numbers, print_table

    columns = (Column("operators", is_name=True), Column("which are", is_text=True), numbers("ms"), numbers("share %"))
    rows = []
    for row in result.classes:
        name = row["class"] + " (never measured)" * (row["networks_measured"] == 0)
        rows.append((name, WORDS[row["class"]], f"{row['ms']:.3g}", f"{100 * row['share']:.1f}"))
    print_table(columns, rows)


def _print_nodes(result: LatencyPrediction) -> None:
    from nas.commands.table import Column, numbers, print_table

    say("")
    nodes = sorted(result.nodes, key=lambda row: -row["share"])[:NODES_SHOWN]
    columns = (
        Column("part", priority=3),
        Column("slowest nodes", is_name=True),
        Column("block", priority=2),
        Column("mainly", priority=1),
        numbers("ms"),
        numbers("share %", priority=1),
    )
    rows = []
    for row in nodes:
        cells = (
            row["part"],
            row["name"],
            row["block"],
            row["dearest_class"] or "",
            f"{row['ms']:.3g}",
            f"{100 * row['share']:.1f}",
        )
        rows.append(cells)
    print_table(columns, rows)
    left = len(result.nodes) - len(nodes)
    if left > 0:
        share = 1 - sum(row["share"] for row in nodes)
        say(f"the other {left} nodes and the start-up take {100 * share:.1f} %; --json lists them")


def _print_faster(result: LatencyPrediction) -> None:
    say("changes that are predicted to be faster; they also change the accuracy:")
    for line in faster_lines(result):
        say(f"  {line}")


def faster_lines(result: LatencyPrediction) -> list[str]:
    """Returns the changes that save time, one line each."""
    lines = []
    sizes = [row for row in result.faster if row["change"] == "input_size"][:SIZES_SHOWN]
    for row in sorted(sizes, key=lambda row: -row["latency_ms"]):
        height, width = row["input_hw"]
        lines.append(
            f"--input {height} {width}: {row['latency_ms']:.4g} ms, {row['saved_percent']:.0f} % less for "
            f"{row['pixels_lost_percent']:.0f} % fewer pixels"
        )
    for row in result.faster:
        if row["change"] == "activation":
            unmeasured = "" if row["both_measured"] else "; not all of these operators were measured on this device"
            lines.append(
                f"{row['from']} (SiLU and similar activations) takes {100 * row['share']:.0f} %: with ReLU instead, "
                f"{row['saved_ms']:.3g} ms less{unmeasured}"
            )
    for row in [row for row in result.classes if row["class"] not in (DEAR, "start")][:2]:
        within = [node for node in result.nodes if node["dearest_class"] == row["class"]]
        node = max(within, key=lambda node: node["ms"], default=None)
        most = "" if node is None else f"; the slowest node with them is {node['name']} ({100 * node['share']:.0f} %)"
        lines.append(f"{WORDS[row['class']]} take {100 * row['share']:.0f} %{most}")
    return lines
