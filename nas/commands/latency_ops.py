"""`nas latency predict-ops`: the latency of any networks whose operators are listed in a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nas.commands.display import say
from nas.commands.latency_options import confidence_option, device_option, open_device, precision_option
from nas.commands.options import echo_json, json_option


@click.command("predict-ops")
@click.argument("ops", metavar="OPS.csv[.gz]", type=click.Path(path_type=Path))
@device_option
@precision_option
@confidence_option
@json_option
def command(ops: Path, device: str, precision: str | None, confidence: float, as_json: bool) -> None:
    """Predict the latency of every network in a table of operators, one row an operator, of any framework.

    Columns and types of operators are in docs/latency.md; a type that is not known there counts as never measured.

    \b
    Example:
      nas latency predict-ops ops.csv.gz --device pi4-ort-fp32 --json
    """
    model = open_device(device, precision, confidence)
    models = predictions(ops, model)
    _tell_unknown(ops)
    if as_json:
        return echo_json({"device": model.profile.name, "confidence": confidence, "models": models})
    return _print(models, model.profile, confidence)


def predictions(ops: Path, model: Any) -> list[dict[str, Any]]:
    """Returns one row a network of a table of operators, in the table's order, JSON-ready."""
    from nas.cost.operators import read_operators
    from nas.cost.terms import network_terms

    names, operators = read_operators(ops)
    terms = network_terms(operators, model.profile.rules, len(names))
    predicted = model.predict(terms)
    fields = ("latency_ms", "low_ms", "high_ms", "unsupported_share")
    columns = [getattr(predicted, field).tolist() for field in fields]
    return [
        {"model_name": name, **dict(zip(fields, values, strict=True)), "extrapolated": predicted[index].extrapolated}
        for index, (name, *values) in enumerate(zip(names, *columns, strict=True))
    ]


def _tell_unknown(ops: Path) -> None:
    """Says on standard error which types of operators are of no class."""
    from nas.cost.operators import CLASS_OF, CONVOLUTIONS, unknown_types

    if unknown := unknown_types(ops):
        names = ", ".join(f"{name} ({count} rows)" for name, count in unknown.items())
        known = ", ".join((*CONVOLUTIONS, *CLASS_OF))
        say(f"note: op_type {names} count as operators that were never measured; known: {known}", err=True)


def _print(models: list[dict[str, Any]], profile: Any, confidence: float) -> None:
    from rich.table import Table

    from nas.commands.display import console

    table = Table("network")
    for title in ("ms, predicted", f"{100 * confidence:g} % interval", "never measured"):
        table.add_column(title, justify="right")
    for row in models:
        table.add_row(
            row["model_name"],
            f"{row['latency_ms']:.4g}",
            f"{row['low_ms']:.4g} to {row['high_ms']:.4g}",
            f"{100 * row['unsupported_share']:.1f} %{' (extrapolated)' if row['extrapolated'] else ''}",
        )
    console().print(table)
    say(f"predicted for {profile.board}, {profile.runtime}, {profile.precision}, batch 1: {profile.includes}")
