"""Options that the subcommands of `nas latency` share, and the device that they name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nas.commands.display import say
from nas.commands.options import complete_device

if TYPE_CHECKING:
    from nas.cost.latency import LatencyModel

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


def open_device(device: str, precision: str | None, confidence: float = 0.9) -> LatencyModel:
    """Returns the model of a device, telling on standard error which profile the bare name of a board means."""
    from nas.cost.latency import load_model

    model = load_model(device, precision, confidence=confidence)
    profile = model.profile
    if profile.name != device and profile.path is not None and profile.path != Path(device):
        say(f"device: {device} means {profile.name} ({profile.board}, {profile.runtime})", err=True)
    return model
