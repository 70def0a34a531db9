"""The progress bar of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainers import TrainProgress


@contextmanager
def training_bar(num_steps: int, batch_size: int) -> Iterator[Callable[[TrainProgress], None]]:
    """Shows a progress bar with rate, time left, loss and the last AP50 on standard error; gives its callback."""
    import time

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        TextColumn("{task.completed}/{task.total} steps  {task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=num_steps)
        started, first, last_score = time.perf_counter(), None, ""

        def show(progress: Any) -> None:
            nonlocal first, last_score
            first = progress.step - 1 if first is None else first
            rate = (progress.step - first) * batch_size / (time.perf_counter() - started)
            if progress.val is not None:
                last_score = f"  AP50 {progress.val.ap50:.3f}"
                mean_loss = progress.history[-1]["loss"]  # as history.csv has it
                bar.console.print(
                    f"epoch {progress.epoch:.2f}  mean loss {mean_loss:.3f}  AP {progress.val.ap:.3f}{last_score}"
                    f"  AP_small {progress.val.ap_small:.3f}"
                )
            text = f"{rate:.1f} images/s  loss of the step {progress.loss:.3f}{last_score}"
            bar.update(task, completed=progress.step, description=text)

        yield show
