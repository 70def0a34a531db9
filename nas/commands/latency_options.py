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
    help="Profile, board or YAML file of a profile; nas devices lists profiles and boards.",
)
precision_option: Callable[[Command], Command] = click.option(
    "--precision",
    metavar="NAME",
    default=None,
    help="Precision, such as fp32, fp16 or int8. Default: the usual one of the board.",
)
confidence_option: Callable[[Command], Command] = click.option(
    "--confidence",
    type=float,
    default=0.9,
    show_default=True,
    help="Probability that the interval contains the measured latency.",
)
