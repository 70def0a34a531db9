"""`nas inspect DATA`: what a data set requires of a detector."""

from __future__ import annotations

from typing import Any

import click

from nas.commands.options import common_options, echo_json, layout_options, range_option


@click.command("inspect")
@click.argument("data", type=click.Path(), metavar="DATA")
@layout_options
@range_option
@common_options
def command(data: str, as_json: bool, **options: Any) -> None:
    """Show what the data set at DATA requires of a detector, before a search.

    Shows the size of the boxes at each input size and the pyramid levels that they need, finds images that appear in
    two parts of the data set, and suggests options for `nas run`. The advice follows the rules of docs/inspect.md; it
    is not measured. `nas run --auto` applies it.

    \b
    Example:
      nas inspect hit-uav --split block
    """
    from nas.api.inspect import inspect
    from nas.commands.display import notify
    from nas.commands.inspect_display import print_report
    from nas.commands.progress import progress_bar
    from trainers.data.class_selection import ClassSelection
    from trainers.settings import format_value

    with progress_bar() as on_progress:
        result = inspect(data, on_notice=notify, on_progress=on_progress, **options)
    if as_json:
        echo_json(result.to_dict())
    else:
        given = (("--format", options["format"]), ("--images", options["images"]), ("--split", options["split"]))
        selection = ClassSelection.of(options["classes"], options["merge"], options["other_classes"])
        places = (word for pair in given if pair[1] is not None for word in pair)
        same_data = ["--data", data, *places, *selection.words()]
        if options["range"] is not None:
            same_data += ["--range", *map(format_value, options["range"])]
        print_report(result.report, same_data)
