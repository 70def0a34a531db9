"""Events for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nas.trackers.tracker import TrackedEnding, TrackedPart, TrackedRun, Value, flat

STEPS_PER_EVENT = 10


class TensorBoardTracker:
    """Writes events: of a training into its folder, of a search into `tensorboard/` of its folder.

    A trial is written for the tab HPARAMS, into a folder of its own.

    Raises:
        ImportError: The package tensorboard is not installed.
    """

    step_interval: int | None = STEPS_PER_EVENT

    def __init__(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer_class: Any = SummaryWriter
        self._writer: Any = None
        self._folder = ""

    def start(self, run: TrackedRun) -> str:
        """Writes the settings where the folder has no events yet."""
        folder = run.folder / "tensorboard" if run.is_search else run.folder
        self._folder = str(folder)
        if not any(folder.glob("events.out.tfevents.*")):
            self._writer = self._writer_class(self._folder)
            self._writer.add_text("settings", _table(flat(run.settings)))
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Writes scalars; after a resume, earlier events from the first step on are replaced."""
        writer = self._open(step)
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)
        if any(name.startswith("val/") for name in metrics):
            writer.flush()

    def log_part(self, part: TrackedPart) -> None:
        """Writes hyperparameters and scores."""
        params = {**part.params, "ending": part.ending.value}
        self._open(part.number).add_hparams(params, dict(part.metrics), run_name=part.name, global_step=part.number)

    def log_results(self, results: Mapping[str, Value]) -> None:
        """Writes a table."""
        self._open(None).add_text("results", _table(results.items()))

    def close(self, ending: TrackedEnding) -> None:
        """Flushes and closes the event file."""
        if self._writer is not None:
            self._writer.close()

    def _open(self, step: int | None) -> Any:
        if self._writer is None:
            self._writer = self._writer_class(self._folder, purge_step=step)
        return self._writer


def _table(rows: Iterable[tuple[str, Value]]) -> str:
    lines = (f"| {name} | {str(value).replace('|', '&#124;')} |" for name, value in rows)
    return "\n".join(("| name | value |", "|---|---|", *lines))
