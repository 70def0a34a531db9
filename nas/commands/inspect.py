"""`nas inspect DATA`: what a data set says before anything is searched."""

from __future__ import annotations

from typing import Any

import click

from nas.commands.options import (
    echo_json,
    format_option,
    images_option,
    json_option,
    plugin_option,
    split_option,
    wide_option,
)


@click.command("inspect")
@click.argument("data", type=click.Path(), metavar="DATA")
@images_option
@format_option
@split_option
@plugin_option
@wide_option
@json_option
def command(data: str, as_json: bool, **options: Any) -> None:
    """Analyse the boxes and images of a data set before a search.

    Shows the sizes of the boxes at each input size and the pyramid levels that they need, finds near-duplicate images
    in different parts of the data set, and ends with advice as options for `nas run`. The advice follows rules of thumb
    (docs/inspect.md), not measurements. `nas run --auto` applies it.

    \b
    Example:
      nas inspect hit-uav --split block
    """
    from nas.api.inspect import inspect
    from nas.commands.display import notify
    from nas.commands.inspect_display import print_report
    from nas.commands.progress import progress_bar

    with progress_bar() as on_progress:
        result = inspect(data, on_notice=notify, on_progress=on_progress, **options)
    if as_json:
        echo_json(result.to_dict())
    else:
        given = (("--format", options["format"]), ("--images", options["images"]), ("--split", options["split"]))
        same_data = ["--data", data, *(word for pair in given if pair[1] is not None for word in pair)]
        print_report(result.report, same_data)
