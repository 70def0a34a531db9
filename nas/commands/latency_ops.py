"""`nas latency predict-ops`: the latency of any networks whose operators are listed in a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.display import console, notify, say
from nas.commands.latency_options import confidence_option, device_option, precision_option
from nas.commands.options import echo_json, json_option

if TYPE_CHECKING:
    from nas.api.latency import OpsLatency


@click.command("predict-ops")
@click.argument("ops", metavar="OPS.csv[.gz]", type=click.Path(path_type=Path))
@device_option
@precision_option
@confidence_option
@json_option
def command(ops: Path, as_json: bool, **options: Any) -> None:
    """Predict the latency of every network in a table of operators, one row an operator, of any framework.

    Columns and types of operators are in docs/latency.md; an unknown type counts as never measured.

    \b
    Example:
      nas latency predict-ops ops.csv.gz --device pi4-ort-fp32 --json
    """
    from nas.api.latency import predict_ops

    result = predict_ops(ops, on_notice=notify, **options)
    return echo_json(result.to_dict()) if as_json else print_networks(result)


def print_networks(result: OpsLatency) -> None:
    """Prints the networks with their predicted latencies as a table."""
    from rich.table import Table

    table = Table("network")
    for title in ("ms, predicted", f"{100 * result.confidence:g} % interval", "never measured"):
        table.add_column(title, justify="right")
    for row in result.models:
        table.add_row(
            row.model_name,
            f"{row.latency_ms:.4g}",
            f"{row.low_ms:.4g} to {row.high_ms:.4g}",
            f"{100 * row.unsupported_share:.1f} %{' (extrapolated)' if row.extrapolated else ''}",
        )
    console().print(table)
    say(f"predicted for {result.includes}")
