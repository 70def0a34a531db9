"""`nas latency predict-ops`: the latency of any networks whose operators are listed in a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.display import notify, say
from nas.commands.latency_display import UNLIKE_TEXT
from nas.commands.latency_options import confidence_option, device_option, precision_option
from nas.commands.options import echo_json, json_option, wide_option

if TYPE_CHECKING:
    from nas.api.latency import OpsLatency


@click.command("predict-ops")
@click.argument("ops", metavar="OPS.csv[.gz]", type=click.Path(path_type=Path))
@device_option
@precision_option
@confidence_option
@wide_option
@json_option
def command(ops: Path, as_json: bool, **options: Any) -> None:
    """Predict the latency of every network in a table of operators, with one row per operator, of any framework.

    Columns and types of operators are in docs/latency.md. Operators of unknown types count as never measured.

    \b
    Example:
      nas latency predict-ops ops.csv.gz --device pi4-ort-fp32 --json
    """
    from nas.api.latency import predict_ops

    result = predict_ops(ops, on_notice=notify, **options)
    return echo_json(result.to_dict()) if as_json else print_networks(result)


def print_networks(result: OpsLatency) -> None:
    """Prints the networks with their predicted latencies as a table."""
    from nas.commands.table import Column, numbers, print_table

    columns = (
        Column("network", is_name=True),
        numbers("ms, predicted"),
        numbers(f"{100 * result.confidence:g} % interval", priority=1),
        numbers("never measured", priority=2),
    )
    rows = []
    for row in result.models:
        cells = (
            row.model_name,
            f"{row.latency_ms:.4g}",
            f"{row.low_ms:.4g} to {row.high_ms:.4g}",
            f"{100 * row.unsupported_share:.1f} %{' (extrapolated)' if row.extrapolated else ''}",
        )
        rows.append(cells)
    print_table(columns, rows)
    if unlike := sum(row.unlike_measured for row in result.models):
        say(f"note: {unlike} of {len(result.models)}: {UNLIKE_TEXT}")
    say(f"predicted for {result.includes}")
