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


def frame_options(command: Command) -> Command:
    """Adds --frame, --tiles, --end-to-end and --batch-size."""
    helps = {
        "--batch-size": "Frames that go through the network together; above 1 it was never measured: a wider interval.",
        "--end-to-end": "The whole time of a frame too: scaling, network, decoding, suppression; needs --frame.",
        "--tiles": "Cut a frame into overlapping tiles, such as 3x2, each a pass. Default: those of the architecture.",
        "--frame": "Height and width of a frame in pixels.",
    }
    forms: dict[str, dict[str, Any]] = {
        "--batch-size": {"type": int, "default": 1, "show_default": True, "metavar": "N"},
        "--end-to-end": {"is_flag": True},
        "--tiles": {"default": None, "metavar": "COLUMNSxROWS"},
        "--frame": {"type": (int, int), "default": None, "metavar": "H W"},
    }
    for name, form in forms.items():
        command = click.option(name, help=helps[name], **form)(command)
    return command
