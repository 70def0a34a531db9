"""`nas latency calibrate`: fits the profile of a board to latencies that the user measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.display import notify, say
from nas.commands.latency_options import device_option, precision_option
from nas.commands.options import echo_json, json_option, wide_option

if TYPE_CHECKING:
    from nas.api.calibrate import CalibrationResult


@click.command("calibrate")
@click.argument("measurements", metavar="CSV|measured.json", type=click.Path(path_type=Path))
@device_option
@precision_option
@click.option(
    "--ops",
    type=click.Path(path_type=Path),
    metavar="OPS.csv[.gz]",
    help="Table of the operators of networks named in CSV.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE.yaml",
    help="Profile to write. Default: DEVICE.calibrated.yaml.",
)
@click.option("--force", is_flag=True, help="Replace FILE.yaml if it exists.")
@click.option(
    "--keep-shipped/--only-mine",
    default=None,
    help="Fit on the shipped measurements and yours, or on yours alone, starting from the shipped constants. Default: "
    "whichever has the smaller error.",
)
@wide_option
@json_option
def command(measurements: Path, as_json: bool, **options: Any) -> None:
    """Fit the profile of a board to latencies that you measured, and show the error before and after.

    CSV has the columns model and latency_ms (milliseconds per image), and optionally input_h, input_w, num_classes and
    family (networks that are held out together). A model is a design, the path of the YAML file of an architecture, or
    a model_name of --ops; the operators of the latter determine input size and classes. The measured.json that
    board/measure.py of an export writes also has the times of scaling, decoding and suppression.

    \b
    Examples:
      nas latency calibrate mine.csv --device pi5-ort-fp32
      nas latency calibrate exported/board/measured.json --device orin-nano
    """
    from nas.api.calibrate import calibrate

    result = calibrate(measurements, on_notice=notify, **options)
    return echo_json(result.to_dict()) if as_json else print_calibration(result)


def print_calibration(result: CalibrationResult) -> None:
    """Prints the measurements with the predictions before and after, and what was written."""
    from nas.commands.table import Column, numbers, print_table

    columns = (
        Column("row", priority=3),
        Column("network", is_name=True),
        numbers("measured ms", priority=1),
        numbers("before ms", priority=2),
        numbers("error %", priority=1),
        numbers("after ms, held out", priority=2),
        numbers("error %", priority=1),
    )
    rows = []
    for row in result.rows:
        after = ["-", "-"] if row.after_ms is None else [f"{row.after_ms:.4g}", f"{row.after_percent:+.1f}"]
        cells = [f"{row.measured_ms:.4g}", f"{row.before_ms:.4g}", f"{row.before_percent:+.1f}"]
        rows.append((str(row.row), row.network, *cells, *after))
    print_table(columns, rows)
    _print_host(result)
    before, error = result.before, result.after
    say(f"before: mean error {before.mean_percent:.1f} %, maximum {before.worst_percent:.1f} %")
    if error.mean_percent is None:
        say("after: unknown, because a single network cannot be held out; next: measure another network")
    else:
        say(f"after: mean error {error.mean_percent:.1f} %, maximum {error.worst_percent:.1f} % ({error.held_out})")
    shipped = f" and the {result.num_shipped} of the shipped profile" if result.num_shipped else ""
    measured = f"{result.num_rows} measurement{'s' * (result.num_rows > 1)}"
    say(f"{result.profile} is fitted to {measured} of yours{shipped}")
    alone, together = result.only_mine_mean_percent, result.keep_shipped_mean_percent
    if alone is not None and together != alone:
        say(f"mean error of held-out networks: {alone:.1f} % with --only-mine, {together:.1f} % with --keep-shipped")
    say(f"next: nas latency yolov8n --device {result.profile}")


def _print_host(result: CalibrationResult) -> None:
    """Prints the times around the network, where there are any."""
    from nas.commands.table import Column, numbers, print_table

    names = (Column("around the network", is_name=True), Column("detector", priority=1))
    times = (numbers("measured ms"), numbers("before ms", priority=1), numbers("after ms, fitted", priority=2))
    if result.host:
        rows = [(each.part, each.model, each.measured_ms, each.before_ms, each.after_ms) for each in result.host]
        print_table((*names, *times), [(*row[:2], *(f"{ms:.4g}" for ms in row[2:])) for row in rows])
