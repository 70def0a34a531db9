"""Options that the subcommands of `nas latency` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from nas.commands.options import complete_device

Command = TypeVar("Command", bound=Callable[..., Any])

device_option: Callable[[Command], Command] = click.option(
    "--device",
    metavar="NAME|PROFILE.yaml",
    required=True,
    shell_complete=complete_device,
    help="Board or profile from nas devices, or a YAML file.",
)
precision_option: Callable[[Command], Command] = click.option(
    "--precision",
    metavar="NAME",
    default=None,
    help="Precision of the profile, such as fp16. Default: that of the board's default profile.",
)
confidence_option: Callable[[Command], Command] = click.option(
    "--confidence", type=float, default=0.9, show_default=True, help="Confidence level of the prediction interval."
)
