"""`nas explain`: the nodes of an architecture with their cost, or its differences from another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nas.commands.options import common_options, complete, echo_json, input_option, num_classes_option


@click.command("explain")
@click.argument("architecture", type=click.Path(), metavar="ARCH.yaml|DESIGN", shell_complete=complete("design"))
@click.option(
    "--diff", metavar="ARCH.yaml|DESIGN", default=None, help="Show the differences from this architecture instead."
)
@num_classes_option
@input_option
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE.svg",
    help="Draw the pyramid into this file: levels, blocks, fusions and attention.",
)
@common_options
def command(architecture: str, as_json: bool, **options: Any) -> None:
    """Show the nodes of an architecture with their shapes, multiply-adds, parameters and bytes.

    With --diff: the axes of the search space on which two architectures differ, and the cost of each difference.

    \b
    Examples:
      nas explain yolov8n-p2-nop5 --num-classes 4 --input 256 256
      nas explain sodet-s --picture sodet-s.svg
      nas explain yolov8n --diff yolov8n-p2
    """
    from nas.api.explain import Explanation, explain
    from nas.commands.display import notify
    from nas.commands.explain_display import print_differences, print_explanation

    result = explain(architecture, on_notice=notify, **options)
    if as_json:
        echo_json(result.to_dict())
    elif isinstance(result, Explanation):
        print_explanation(result)
    else:
        print_differences(result)
