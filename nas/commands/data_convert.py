"""`nas data convert PATH OUT --to FORMAT`: a data set in another format."""

from __future__ import annotations

from typing import Any

import click

from nas.commands.display import counted, say
from nas.commands.options import complete, echo_json, json_option, layout_options, plugin_option, range_option


@click.command("convert")
@click.argument("path", type=click.Path(), metavar="PATH")
@click.argument("out", type=click.Path(), metavar="OUT")
@click.option(
    "--to",
    metavar="NAME",
    required=True,
    shell_complete=complete("output format"),
    help="Format to write: coco, tinyperson, yolo, visdrone, voc or that of a plug-in.",
)
@click.option("--copy/--link", default=True, help="Copy the images (default), or create links to them.")
@layout_options
@range_option
@plugin_option
@json_option
def command(path: str, out: str, as_json: bool, **options: Any) -> None:
    """Write the data set at PATH to the folder OUT in another format.

    OUT must not exist; it is written atomically. Training and validation parts stay separate. A warning names each
    kind of data that the format cannot represent.

    \b
    Example:
      nas data convert hit-uav hit-uav-yolo --to yolo
    """
    from dataclasses import asdict

    from nas.api.data import convert_data

    done = convert_data(path, out, **options)
    for notice in done.notices:
        say(f"note: {notice}", err=True)
    for loss in done.losses:
        say(f"warning: {loss}", err=True)
    if as_json:
        echo_json({**asdict(done), "out": out})
    else:
        say(
            f"{done.source} ({done.from_format}) -> {out} ({done.to_format}): {counted(done.num_images, 'image')}, "
            f"{counted(done.num_boxes, 'box', 'boxes')}, {counted(done.num_ignored, 'ignored region')}"
        )
