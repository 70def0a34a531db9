"""What the commands train, val and predict share: opening things for the user and showing how far a training is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.commands.display import say

if TYPE_CHECKING:
    from search_space import Architecture
    from trainers import TrainProgress
    from trainers.data import DataSplits


def set_threads(num_threads: int | None) -> None:
    """Limits the CPU threads of this process; None leaves all."""
    if num_threads is not None:
        import torch

        torch.set_num_threads(num_threads)


def load_architecture(name: str, input_hw: tuple[int, int] | None = None) -> Architecture:
    """Returns the architecture of a YAML file or of a design, at another input size if one is given.

    Raises:
        ConfigError: there is neither a file nor a design of that name.
    """
    from search_space import DESIGNS, Architecture
    from search_space.errors import ConfigError, nearest

    if name in DESIGNS:
        arch = DESIGNS.get(name).architecture
    elif Path(name).is_file():
        arch = Architecture.from_yaml(Path(name))
    elif Path(name).suffix.lower() in (".yaml", ".yml"):
        raise ConfigError(f"no architecture file {name}; check the path or give a design: {', '.join(DESIGNS)}")
    elif Path(name).exists() or "/" in name:
        what = "is a folder" if Path(name).is_dir() else "does not exist"
        raise ConfigError(f"{name} {what}; next: a YAML file, such as runs/NAME/front/01-KEY.yaml, or a design")
    else:
        known = ", ".join(DESIGNS)
        raise ConfigError(f"unknown design {name!r}{nearest(name, DESIGNS)}; known: {known}; or give a YAML file")
    return arch if input_hw is None else arch.resized(input_hw)


def open_for_user(
    data: str | None,
    split: str | None,
    *,
    seed: int = 0,
    data_format: str | None = None,
    images: str | None = None,
    quiet: bool = False,
) -> DataSplits:
    """Opens a data set and tells on standard error what was opened and what is remarkable about it."""
    from trainers.data import open_data

    splits = open_data(data, split=split, seed=seed, format=data_format, images=images)
    if not quiet:
        say(f"data: {splits.source}", err=True)
        for notice in splits.notices:
            say(f"note: {notice}", err=True)
    return splits


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


def plain_json(content: dict[str, Any]) -> str:
    """Returns indented JSON."""
    return json.dumps(content, indent=2) + "\n"
