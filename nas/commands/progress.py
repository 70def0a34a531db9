"""The progress bar of commands that go through images, designs or replays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import TaskID

    from nas.api.result import OnProgress, ProgressUpdate


@contextmanager
def progress_bar(*, unit: str = "images", always: bool = False) -> Iterator[OnProgress]:
    """Shows tasks with their counts, rate and time left on standard error; gives the callback that moves the bar.

    Args:
        unit: what is counted, for the rate.
        always: whether to draw it where standard error is no terminal.
    """
    import sys

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from nas.commands.display import console

    terminal = console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    to_terminal = sys.stdout.isatty()  # otherwise what is piped to a file would be shown above the bar instead
    hidden = not (always or terminal.is_terminal)
    with Progress(*columns, console=terminal, transient=True, disable=hidden, redirect_stdout=to_terminal) as bar:
        tasks: dict[str, TaskID] = {}

        def show(update: ProgressUpdate) -> None:
            if update.task not in tasks:
                tasks[update.task] = bar.add_task(update.task, total=update.total, rate="")
            speed = bar.tasks[tasks[update.task]].speed
            rate = "" if speed is None else f"{speed:.1f} {unit}/s"
            bar.update(tasks[update.task], completed=update.done, total=update.total, rate=rate)

        yield show
