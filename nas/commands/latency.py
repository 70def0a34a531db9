"""`nas latency`: a detector's latency on a board, and the calibration of a board."""

from __future__ import annotations

import click

from nas.commands.lazy import LazyGroup

PREDICT = "predict"
"""The subcommand to run where the first argument is not the name of one."""
SUBCOMMANDS = {
    "calibrate": ("latency_calibrate", "fit a device to latencies that you measured"),
    "predict-ops": ("latency_ops", "predict networks of other frameworks from a table of their operators"),
    PREDICT: ("latency_predict", ""),
}
"""By name: the module in `nas.commands` and the line of the help; `PREDICT` has no line."""


class LatencyGroup(LazyGroup):
    """Accepts an architecture, a design or a run in place of a subcommand; imports only the subcommand that runs."""

    known = SUBCOMMANDS

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Inserts `predict` where the first argument is not a subcommand."""
        if args and args[0] not in (*SUBCOMMANDS, *self.get_help_option_names(ctx)):
            args = [PREDICT, *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes both ways to call the command."""
        formatter.write_usage(ctx.command_path, "ARCH.yaml|DESIGN|RUN --device NAME [OPTIONS]")
        formatter.write_usage(ctx.command_path, "COMMAND [ARGS]...", prefix="       ")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options of a prediction, then the subcommands."""
        predict = self.get_command(ctx, PREDICT)
        assert predict is not None
        with formatter.section("Options of a prediction"):
            records = [each.get_help_record(ctx) for each in predict.params if isinstance(each, click.Option)]
            formatter.write_dl([record for record in records if record is not None])
        super().format_commands(ctx, formatter)


@click.group("latency", cls=LatencyGroup)
def command() -> None:
    """Predict the latency of a detector on a board without the board, or calibrate a board on your measurements.

    ARCH.yaml|DESIGN|RUN is the file of an architecture, the name of a design, or the folder of a run. For a run, the
    latency of each member of the front is predicted.

    \b
    Examples:
      nas latency yolov8n-p2 --device jetson-nano
      nas latency runs/a --device orin-nano --precision int8
      nas latency calibrate mine.csv --device pi5-ort-fp32
    """
