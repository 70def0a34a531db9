"""`nas report`: one HTML file that shows what a run found."""

from __future__ import annotations

from pathlib import Path

import click

from nas.commands.display import counted, say
from nas.commands.options import echo_json, json_option, plugin_option

DEFAULT = "report.html"


@click.command(name="report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.html", help=f"Default: {DEFAULT} in the folder of the run."
)
@click.option("--force", is_flag=True, help="Write over FILE.html even if it is no earlier report.")
@plugin_option
@json_option
def command(run: Path, out: Path | None, force: bool, as_json: bool) -> None:
    """Show what RUN found in one HTML file: the front, how the search went, which axes matter.

    The file needs no network and no server. The run may be under way; nothing of it is changed.

    \b
    Example:
      nas report runs/first --out first.html
    """
    from nas.reports.gather import gather
    from results import records
    from results.report import render
    from search_space.errors import ConfigError
    from search_space.files import write_text

    if not run.is_dir():
        raise ConfigError(f"{run} is not the folder of a run; give one that nas run wrote")
    path = run / DEFAULT if out is None else out
    check_target(path, force)
    content = gather(run)
    text = render(content)
    write_text(path, text)
    front, size = records.front(content.table)["key"].tolist(), len(text.encode())
    if as_json:
        told = {"front": front, "bytes": size, "notices": list(content.notices)}
        return echo_json({"run": str(run), "report": str(path), **records.tally(content.table), **told})
    for notice in content.notices:
        say(notice)
    say(f"{path}: {counted(len(content.table), 'trial')}, {len(front)} on the front, {size / 1e6:.2f} MB")


def check_target(path: Path, force: bool) -> None:
    """Sees before any work that the report may be written.

    Raises:
        ConfigError: If its place is taken by something else, or its folder is not there.
    """
    from results.report import is_report
    from search_space.errors import ConfigError

    if path.is_dir():
        raise ConfigError(f"--out {path} is a folder; next: --out {path / DEFAULT}")
    if not path.parent.is_dir():
        raise ConfigError(f"the folder {path.parent} of the report is not there; next: make it, or another --out")
    if path.exists() and not force and not is_report(path):
        raise ConfigError(f"{path} exists and is no earlier report; next: another --out, or --force to write over it")
