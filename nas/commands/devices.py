"""`nas devices`: the boards that latency is predicted for, and how far off the predictions are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nas.commands.options import echo_json, json_option

if TYPE_CHECKING:
    from nas.cost.profile import Profile

CONFIDENCE = 0.9


@click.command("devices")
@json_option
def command(as_json: bool) -> None:
    """List the boards with the runtimes and precisions that latency is predicted for, and how far off that is.

    Each name works wherever a command takes --device; the bare name of a board means its usual profile.

    \b
    Example:
      nas devices
    """
    from nas.cost.profile import device_names, find_profile

    devices = [listed(find_profile(name)) for name in device_names()]
    if as_json:
        echo_json({"devices": devices})
    else:
        _print(devices)


def listed(profile: Profile) -> dict[str, Any]:
    """Returns what a profile is, what it rests on and how wrong it was on networks held out, JSON-ready."""
    from math import expm1

    from nas.cost.latency import data_sheet_error

    error = profile.error or data_sheet_error()
    # With a scale of its own for each operator class, the interval is another one for each network.
    half = None if error.class_scale else error.quantiles[CONFIDENCE]
    return {
        "name": profile.name,
        "board": profile.board,
        "runtime": profile.runtime,
        "precision": profile.precision,
        "usual": profile.usual,
        "num_measured": profile.num_measured,
        "held_out": error.figures.get("held_out"),
        "mean_error_percent": error.figures.get("mean_percent"),
        "median_error_percent": error.figures.get("median_percent"),
        "within_10_percent": error.figures.get("within_10_percent"),
        "interval_90_percent": None if half is None else [round(100 * expm1(sign * half), 1) for sign in (-1, 1)],
        "fitted_on": list(profile.fitted_on),
        "measured_classes": dict(profile.measured),
        "includes": profile.includes,
        "data_sheet_source": profile.data_sheet.source,
        "like": profile.like,
        "notes": profile.notes,
    }


def error_text(device: dict[str, Any]) -> str:
    """Returns in words how far off a profile's predictions were on networks that it was not fitted on."""
    if device["mean_error_percent"] is None:
        return "not measured"
    return f"{device['mean_error_percent']:.1f} % ({device['held_out']})"


def _print(devices: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from nas.commands.display import console

    table = Table("device", "board", "runtime", "precision")
    table.add_column("fitted on", justify="right")
    table.add_column("mean error, held out")
    table.add_column("90 % interval", justify="right")
    board = None
    for device in devices:
        if board not in (None, device["board"]):
            table.add_section()
        board, count, interval = device["board"], device["num_measured"], device["interval_90_percent"]
        table.add_row(
            device["name"] + "*" * device["usual"],
            device["board"],
            device["runtime"],
            device["precision"],
            f"{count} networks" if count else "data sheet only",
            error_text(device),
            "by network" if interval is None else f"{interval[0]:+.0f} to {interval[1]:+.0f} %",
        )
    console().print(table)
    click.echo("* the one that the bare name of its board means, such as --device jetson-nano")
    click.echo(
        "Errors are of networks left out of the fit; of few networks they are a rough guide. "
        "Narrow them on your board: nas latency calibrate"
    )
