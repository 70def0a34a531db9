"""Tables and lines of predicted latencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.commands.display import counted, say
from nas.cost.breakdown import DEAR, SIZES_SHOWN, START, CheaperActivation, SmallerInput

if TYPE_CHECKING:
    from nas.api.latency import FrontLatency, LatencyPrediction, OnDevice

NODES_SHOWN = 10
CLASS_TITLES = {
    "conv1x1": "1x1 convolutions",
    "conv3x3": "3x3 convolutions",
    "conv3x3s2": "3x3 convolutions with stride 2",
    "convkxk": "larger convolutions",
    "conv_transpose": "transposed convolutions",
    "dwconv": "depthwise convolutions",
    "gconv": "grouped convolutions",
    "fc": "linear layers and 1x1 convolutions on 1x1 maps",
    "matmul": "matrix products",
    "act_cheap": "ReLU and similar activations",
    "act_exp": "SiLU, sigmoid and other activations with an exponential",
    "eltwise": "element-wise additions and products",
    "concat": "concatenations",
    "split": "splits and slices",
    "pool": "pooling",
    "global_pool": "global pooling",
    "upsample": "upsampling",
    "norm": "normalisations that are not folded into a convolution",
    "transpose": "transpositions",
    "softmax": "softmax",
    "space_to_depth": "space to depth",
    "other": "other operators",
    "start": "start of the network",
}
"""Names of the operator classes in tables and sentences."""
UNLIKE_TEXT = (
    "the composition (shares of the time by class of operators) is unlike that of every measured family of networks, "
    "so the interval is that of families never measured; measure one such network for nas latency calibrate"
)


def print_architecture(result: LatencyPrediction) -> None:
    """Prints one prediction: the latency, its error, the time by operator class and node, and speedups."""
    height, width = result.input_hw
    classes = counted(result.num_classes, "class", "classes")
    say(
        f"{result.architecture} (key {result.key}), {classes}, input {width}x{height} "
        f"(width x height), {result.macs / 1e9:.4f} GMACs ({result.flops_2x / 1e9:.4f} GFLOPs with a "
        f"multiply-add as two), {result.params:,} parameters"
    )
    one = "" if result.per_frame is None else " for one pass of the network at batch 1,"
    say(
        f"{result.latency_ms:.4g} ms{one} predicted, not measured; {100 * result.confidence:g} % interval "
        f"{result.low_ms:.4g} to {result.high_ms:.4g} ms"
    )
    _print_frame(result)
    _print_device(result)
    if result.extrapolated:
        say(f"note: extrapolated: {unmeasured_text(result)}")
    if result.unlike_measured:
        say(f"note: {UNLIKE_TEXT}")
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
    asked = result.front[0].per_frame
    frame_columns = () if asked is None else (numbers(f"ms per {asked.name}", priority=1),)
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
            *([] if row.per_frame is None else [f"{row.per_frame.latency_ms:.4g}"]),
        )
        rows.append(cells)
    print_table((*columns, *frame_columns), rows)
    if unlike := sum(row.unlike_measured for row in result.front):
        say(f"note: {unlike} of {len(result.front)}: {UNLIKE_TEXT}")
    best = result.front[0].architecture
    say(f"next: nas latency {best} --device {result.device} --num-classes {result.num_classes}")


def _print_frame(result: LatencyPrediction) -> None:
    """Prints the time of a frame part by part, where it was asked for."""
    from nas.commands.table import Column, numbers, print_table

    if (asked := result.per_frame) is None:
        return
    interval = numbers(f"{100 * result.confidence:g} % interval")
    rows = [
        (each.part, f"{each.latency_ms:.4g}", f"{each.low_ms:.4g} to {each.high_ms:.4g}", each.basis)
        for each in (*asked.parts, asked.whole)
    ]
    print_table((Column(f"per {asked.name}", is_name=True), numbers("ms"), interval, Column("basis")), rows)
    for line in asked.lines:
        say(line)


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
    say(f"includes: {result.includes}")


def unmeasured_text(result: LatencyPrediction) -> str:
    """Returns a text that names the operators of a network that were never measured on the device."""
    never = [each for each in result.classes if each.networks_measured == 0]
    named = ", ".join(f"{each.operator_class} {100 * each.share:.1f} %" for each in never)
    return f"{100 * result.unsupported_share:.1f} % of the time is in operators never measured on the device ({named})"


def _print_classes(result: LatencyPrediction) -> None:
    from nas.commands.table import Column, numbers, print_table

    columns = (
        Column("operators", is_name=True),
        Column("description", is_text=True),
        numbers("ms"),
        numbers("share %"),
    )
    rows = []
    for each in result.classes:
        name = each.operator_class + " (never measured)" * (each.networks_measured == 0)
        rows.append((name, CLASS_TITLES[each.operator_class], f"{each.ms:.3g}", f"{100 * each.share:.1f}"))
    print_table(columns, rows)


def _print_nodes(result: LatencyPrediction) -> None:
    from nas.commands.table import Column, numbers, print_table

    say("")
    nodes = sorted(result.nodes, key=lambda node: -node.share)[:NODES_SHOWN]
    columns = (
        Column("part", priority=3),
        Column("slowest nodes", is_name=True),
        Column("block", priority=2),
        Column("mainly", priority=1),
        numbers("ms"),
        numbers("share %", priority=1),
    )
    rows = [
        (node.part, node.name, node.block, node.dearest_class or "", f"{node.ms:.3g}", f"{100 * node.share:.1f}")
        for node in nodes
    ]
    print_table(columns, rows)
    left = len(result.nodes) - len(nodes)
    if left > 0:
        share = 1 - sum(node.share for node in nodes)
        say(f"the other {left} nodes and the start take {100 * share:.1f} %; --json lists them")


def _print_faster(result: LatencyPrediction) -> None:
    say("predicted speedups, which change the accuracy too:")
    for line in faster_lines(result):
        say(f"  {line}")


def faster_lines(result: LatencyPrediction) -> list[str]:
    """Returns the changes that save time, one line each."""
    lines = []
    sizes = [each for each in result.faster if isinstance(each, SmallerInput)][:SIZES_SHOWN]
    for smaller in sorted(sizes, key=lambda each: -each.latency_ms):
        height, width = smaller.input_hw
        lines.append(
            f"--input {height} {width}: {smaller.latency_ms:.4g} ms, {smaller.saved_percent:.0f} % less for "
            f"{smaller.pixels_lost_percent:.0f} % fewer pixels"
        )
    for cheaper in (each for each in result.faster if isinstance(each, CheaperActivation)):
        caveat = "" if cheaper.both_measured else "; not all of these operators were measured on the device"
        lines.append(
            f"{cheaper.from_class} takes {100 * cheaper.share:.0f} %: ReLU instead of SiLU and similar activations "
            f"saves {cheaper.saved_ms:.3g} ms{caveat}"
        )
    for each in [each for each in result.classes if each.operator_class not in (DEAR, START)][:2]:
        within = [node for node in result.nodes if node.dearest_class == each.operator_class]
        node = max(within, key=lambda node: node.ms, default=None)
        most = "" if node is None else f"; the slowest node with them is {node.name} ({100 * node.share:.0f} %)"
        lines.append(f"{CLASS_TITLES[each.operator_class]} take {100 * each.share:.0f} %{most}")
    return lines
