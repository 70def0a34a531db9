"""Logs of a training: history.csv and results.png."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from search_space.errors import ConfigError
from search_space.files import write_bytes, write_text

History = Sequence[Mapping[str, float]]

SCHEDULE = ("epoch", "step", "learning_rate", "loss")
SCORES = ("ap", "ap50", "ap_small", "accuracy")


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
