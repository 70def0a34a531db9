"""`nas devices`: the boards that latency is predicted for, and the error of the predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nas.commands.display import say
from nas.commands.options import echo_json, json_option, wide_option

if TYPE_CHECKING:
    from nas.api.devices import DeviceTable


@click.command("devices")
@wide_option
@json_option
def command(as_json: bool) -> None:
    """List the boards, with runtime and precision, that latency is predicted for, and the error of the predictions.

    Every --device option accepts these names. The name of a board alone means its usual profile.

    \b
    Example:
      nas devices
    """
    from nas.api.devices import list_devices

    table = list_devices()
    return echo_json(table.to_dict()) if as_json else print_devices(table)


def print_devices(devices: DeviceTable) -> None:
    """Prints the devices as a table, grouped by board."""
    from nas.commands.table import Column, numbers, print_table

    columns = (
        Column("device", is_name=True),
        Column("board", is_name=True),
        Column("runtime", priority=3),
        Column("precision", priority=4),
        numbers("fitted on", priority=2),
        numbers("mean error", priority=1),
        Column("held out", priority=5),
        numbers("90 % interval", priority=1),
    )
    rows: list[tuple[str, ...]] = []
    board = None
    for device in devices.devices:
        if board not in (None, device.board):
            rows.append(())
        board, count, interval = device.board, device.num_measured, device.interval_90_percent
        cells = (
            device.name + "*" * device.usual,
            device.board,
            device.runtime,
            device.precision,
            f"{count} networks" if count else "data sheet only",
            "-" if device.mean_error_percent is None else f"{device.mean_error_percent:.1f} %",
            device.held_out or "-",
            "by network" if interval is None else f"{interval[0]:+.0f} to {interval[1]:+.0f} %",
        )
        rows.append(cells)
    print_table(columns, rows)
    say("* default profile of its board: --device jetson-nano means jetson-nano-trt-fp16")
    say(
        "Errors are those of networks held out of the fit; with few networks they are rough. "
        "To lower them, calibrate on your own board: nas latency calibrate"
    )
