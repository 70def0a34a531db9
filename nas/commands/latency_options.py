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
    help="Profile, bare board or file; nas devices lists them.",
)
precision_option: Callable[[Command], Command] = click.option(
    "--precision", metavar="NAME", default=None, help="fp32, fp16, int8, ...; default: the board's usual one."
)
confidence_option: Callable[[Command], Command] = click.option(
    "--confidence", type=float, default=0.9, show_default=True, help="How often the interval holds the measured time."
)
