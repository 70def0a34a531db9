"""`nas latency ARCH|DESIGN|RUN`: the predicted latency of a detector, or of the front of a run, on a board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nas.commands.latency_options import confidence_option, device_option, frame_options, precision_option
from nas.commands.options import common_options, complete, echo_json, input_option, num_classes_option
from search_space.errors import ConfigError, nearest


@click.command("latency")
@click.argument("architecture", type=click.Path(), metavar="ARCH.yaml|DESIGN|RUN", shell_complete=complete("design"))
@device_option
@precision_option
@input_option
@num_classes_option
@confidence_option
@frame_options
@common_options
def command(architecture: str, as_json: bool, **options: Any) -> None:
    """Predict the latency of an architecture, a design or the front of a run on a board, with its interval.

    \b
    Examples:
      nas latency yolov8n-p2 --device jetson-nano
      nas latency runs/a --device orin-nano --frame 1080 1920 --end-to-end
    """
    from nas.api.latency import LatencyPrediction, latency
    from nas.commands.display import notify
    from nas.commands.latency_display import print_architecture, print_run

    _refuse_near_subcommand(architecture)
    result = latency(architecture, on_notice=notify, **options)
    if as_json:
        echo_json(result.to_dict())
    elif isinstance(result, LatencyPrediction):
        print_architecture(result)
    else:
        print_run(result)


def _refuse_near_subcommand(architecture: str) -> None:
    """Raises ConfigError for a word that is nearly a subcommand, and neither a file nor nearly a design."""
    from nas.commands.latency import PREDICT, SUBCOMMANDS
    from search_space import DESIGNS

    near = nearest(architecture, [name for name in SUBCOMMANDS if name != PREDICT])
    if near and not nearest(architecture, DESIGNS) and not Path(architecture).exists():
        raise ConfigError(f"unknown command or design {architecture!r}{near}; see nas latency --help")
