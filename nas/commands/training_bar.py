"""The progress bar of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nas.commands.score_display import percent

if TYPE_CHECKING:
    from trainers import TrainProgress


@contextmanager
def training_bar() -> Iterator[Callable[[TrainProgress], None]]:
    """Shows a progress bar with rate, time left, loss and the last AP50 on standard error, from the first step on.

    Yields:
        What must be called after each step.
    """
    import time

    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        BarColumn(),
        TextColumn("{task.completed}/{task.total} steps  {task.description}"),
        TimeRemainingColumn(),
    )
    bar = Bar(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("starting", total=None)
    started, first, last_score = time.perf_counter(), None, ""

    def show(progress: TrainProgress) -> None:
        nonlocal started, first, last_score
        if first is None:
            first, started = progress.step, time.perf_counter()
            bar.start()
        if progress.val is not None:
            last_score = f"  AP50 {percent(progress.val.ap50)} %"
            mean_loss = progress.history[-1]["loss"]  # as history.csv has it
            bar.console.print(
                f"epoch {progress.epoch:.2f}  mean loss {mean_loss:.3f}  AP {percent(progress.val.ap)} %{last_score}"
                f"  AP_small {percent(progress.val.ap_small)} %"
            )
        num_images = (progress.step - first) * progress.images_seen / progress.step
        rate = f"{num_images / (time.perf_counter() - started):.1f} images/s  " if num_images else ""
        text = f"{rate}loss of the step {progress.loss:.3f}{last_score}"
        bar.update(task, total=progress.num_steps, completed=progress.step, description=text)

    try:
        yield show
    finally:
        if first is not None:
            bar.stop()
