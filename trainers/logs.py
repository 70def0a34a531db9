"""Logs of a training: history.csv, results.png and TensorBoard events."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search_space.errors import ConfigError
from search_space.files import write_bytes, write_text

History = Sequence[Mapping[str, float]]

SCHEDULE = ("epoch", "step", "learning_rate", "loss")
SCORES = ("ap", "ap50", "ap_small", "accuracy")
STEPS_PER_EVENT = 10


def history_csv(history: History) -> str:
    """Returns the rows of a history as CSV; values that were not measured are empty."""
    names = column_names(history)
    lines = [",".join(f"{row[name]:.6g}" if name in row else "" for name in names) for row in history]
    return "\n".join((",".join(names), *lines)) + "\n"


def column_names(history: History) -> tuple[str, ...]:
    """Returns the columns of a history: the schedule, the loss and its parts, the scores."""
    parts = dict.fromkeys(name for row in history for name in row if name.startswith("loss_"))
    return (*SCHEDULE, *parts, *SCORES)


def write_history(folder: Path, history: History) -> None:
    """Writes history.csv atomically."""
    write_text(folder / "history.csv", history_csv(history))


def draw_history(folder: Path, history: History) -> None:
    """Writes results.png: loss and its parts, learning rate and scores over the epochs.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("results.png needs matplotlib; install it with pip install 'pyramidnas[train]'") from None
    figure = Figure(figsize=(12, 3.5), layout="constrained")
    parts = [name for name in column_names(history) if name.startswith("loss")]
    panels = (("loss", parts), ("learning rate", ["learning_rate"]), ("score", list(SCORES)))
    for axes, (title, names) in zip(figure.subplots(1, 3), panels, strict=True):
        for name in names:
            rows = [row for row in history if name in row]
            axes.plot([row["epoch"] for row in rows], [row[name] for row in rows], marker=".", label=name)
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    write_bytes(folder / "results.png", content.getvalue())


class EventLog:
    """Writes TensorBoard events: loss, its parts and learning rate every ten steps, and the scores of evaluations.

    Args:
        folder: of the event files.

    Raises:
        ConfigError: the package tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError(
                "--tensorboard needs the package tensorboard; install it with pip install 'pyramidnas[train]'"
            ) from None
        self._folder = folder
        self._writer_class: Any = SummaryWriter
        self._writer: Any = None

    def add(self, step: int, train: Mapping[str, float], scores: Mapping[str, float] | None) -> None:
        """Logs the losses and the learning rate of a step (1-based), and the scores if there was an evaluation.

        After a resume, earlier events from this step on are replaced.
        """
        if self._writer is None:
            self._writer = self._writer_class(str(self._folder), purge_step=step)
        if step % STEPS_PER_EVENT == 0 or scores is not None:
            for name, value in train.items():
                self._writer.add_scalar(f"train/{name}", value, step)
        if scores is not None:
            for name, value in scores.items():
                self._writer.add_scalar(f"val/{name}", value, step)
            self._writer.flush()

    def close(self) -> None:
        """Flushes and closes the event file."""
        if self._writer is not None:
            self._writer.close()
