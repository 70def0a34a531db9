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

FRAME_OPTIONS = (
    click.option(
        "--frame", type=(int, int), default=None, metavar="H W", help="Height and width of a frame in pixels."
    ),
    click.option(
        "--tiles",
        metavar="COLUMNSxROWS",
        default=None,
        help="Cut a frame into overlapping tiles, such as 3x2; each is a pass of the network. Default: those of the "
        "architecture.",
    ),
    click.option(
        "--end-to-end",
        is_flag=True,
        help="Predict the whole time of a frame too: scaling, the network, decoding and suppression; needs --frame.",
    ),
    click.option(
        "--batch-size",
        type=int,
        default=1,
        show_default=True,
        metavar="N",
        help="Frames that go through the network together. No profile is measured above 1, so the interval is wider.",
    ),
)


def frame_options(command: Command) -> Command:
    """Adds --frame, --tiles, --end-to-end and --batch-size."""
    for option in reversed(FRAME_OPTIONS):
        command = option(command)
    return command
