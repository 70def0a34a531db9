"""`nas report`: one HTML file that shows what a run found."""

from __future__ import annotations

from pathlib import Path

import click

from nas.commands.display import counted, say
from nas.commands.options import echo_json, json_option, plugin_option


@click.command(name="report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="File to write. Default: report.html in the folder of the run.",
)
@click.option("--force", is_flag=True, help="Replace FILE.html even if it is not an earlier report.")
@click.option("--no-images", is_flag=True, help="Leave out the validation images with the boxes of three members.")
@plugin_option
@json_option
def command(run: Path, out: Path | None, force: bool, no_images: bool, as_json: bool) -> None:
    """Write the results of RUN to one HTML file: the front, images with boxes, the course of the search, the axes that
    matter.

    The file needs no network and no server. The run may be under way; it is not changed.

    \b
    Example:
      nas report runs/first --out first.html
    """
    from nas.api.report import report

    written = report(run, out=out, force=force, no_images=no_images)
    if as_json:
        return echo_json(written.to_dict())
    for notice in written.notices:
        say(notice)
    trials, size = counted(written.num_trials, "trial"), f"{written.bytes / 1e6:.2f} MB"
    say(f"{written.report}: {trials}, {len(written.front)} on the front, {size}")
