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
    "--data",
    metavar="PATH",
    default=None,
    help="A data set in COCO, YOLO, VisDrone, TinyPerson or VOC form; default: built-in set.",
)
format_option: Callable[[Command], Command] = click.option(
    "--format",
    "data_format",
    metavar="NAME",
    default=None,
    help="Of the data set: coco, tinyperson, yolo, visdrone, voc or a plug-in's; default: found by looking.",
)
images_option: Callable[[Command], Command] = click.option(
    "--images", metavar="DIR", default=None, help="Folder of the images where they do not lie beside the annotations."
)
split_option: Callable[[Command], Command] = click.option(
    "--split", metavar="NAME", default=None, help="Which pair of annotation files to use where a folder holds several."
)


def _use_plugins(context: click.Context, option: click.Parameter, value: tuple[str, ...]) -> None:
    if value:
        from nas.plugins import use_plugins

        use_plugins(value)


plugin_option: Callable[[Command], Command] = click.option(
    "--plugin",
    multiple=True,
    is_eager=True,
    expose_value=False,
    callback=_use_plugins,
    metavar="FILE.py",
    help="Python file that registers blocks, heads, formats and the like of your own; it is run. May be repeated.",
)


def echo_json(result: Any) -> None:
    """Prints `result` as indented JSON on standard output."""
    click.echo(json.dumps(result, indent=2))
