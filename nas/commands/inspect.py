"""`nas inspect DATA`: what a data set says before anything is searched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from nas.commands.options import echo_json, format_option, images_option, json_option, plugin_option, split_option

if TYPE_CHECKING:
    from nas.advice.leaks import Leaks
    from nas.advice.thumbnails import Gallery
    from trainers.data import DataSplits, Record


@click.command("inspect")
@click.argument("data", type=click.Path(), metavar="DATA")
@images_option
@format_option
@split_option
@plugin_option
@json_option
def command(data: str, images: str | None, data_format: str | None, split: str | None, as_json: bool) -> None:
    """Say what the data set at DATA asks of a detector, before anything is searched.

    Shows how large its boxes are at each input size and which pyramid levels they need, looks for images of one part
    that show what another part shows, and ends with options for `nas run`. That is advice by rules, told in
    docs/inspect.md, and no measurement: `nas run --auto` follows it.

    \b
    Example:
      nas inspect hit-uav --split block
    """
    from pathlib import Path

    from nas.advice.inspection import make_report
    from nas.advice.testing_part import find_test_part
    from nas.api.opening import open_for_user
    from nas.commands.display import notify
    from nas.commands.inspect_display import print_report
    from trainers.data.source import ReadRequest

    splits = open_for_user(data, split, data_format=data_format, images=images, on_notice=notify)
    request = ReadRequest(path=Path(data), split=split, images=None if images is None else Path(images))
    report = make_report(splits, _leaks(splits, find_test_part(splits, request)))
    if as_json:
        echo_json({"data": data, "source": splits.source, "format": splits.format, **report.to_dict()})
    else:
        print_report(report, _options(data, data_format, images, split))


def _options(data: str, data_format: str | None, images: str | None, split: str | None) -> list[str]:
    """Returns the options by which the other commands open the same data."""
    given = (("--format", data_format), ("--images", images), ("--split", split))
    return ["--data", data, *(word for option, value in given if value is not None for word in (option, value))]


def _leaks(splits: DataSplits, test: tuple[Record, ...]) -> Leaks:
    """Reads all images once and compares the parts with each other."""
    from nas.advice.leaks import find_leaks, num_comparisons
    from nas.advice.thumbnails import gallery

    parts = {"train": splits.train.records, "val": splits.val.records, **({"test": test} if test else {})}
    with _bar("reading images", sum(map(len, parts.values()))) as on_image:
        galleries: list[Gallery] = [gallery(name, records, on_image) for name, records in parts.items()]
    with _bar("comparing images", num_comparisons(galleries)) as on_image:
        return find_leaks(galleries, on_image)


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Shows a bar with rate and time left on standard error where that is a terminal; gives what moves it by one."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from nas.commands.display import console

    terminal = console(stderr=True)
    rate = TextColumn("{task.description}")
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task("", total=total)

        def advance() -> None:
            speed = bar.tasks[0].speed
            bar.update(task, advance=1, description="" if speed is None else f"{speed:.0f} images/s")

        yield advance
