"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

json_option: Callable[[Command], Command] = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON, integers unrounded."
)
data_option: Callable[[Command], Command] = click.option(
    "--data", metavar="PATH", default=None, help="YOLO folder or data YAML, COCO folder or json; default: built-in set."
)
split_option: Callable[[Command], Command] = click.option(
    "--split", metavar="NAME", default=None, help="Which pair of annotation files to use where a folder holds several."
)


def echo_json(result: Any) -> None:
    """Prints `result` as indented JSON on standard output."""
    click.echo(json.dumps(result, indent=2))
