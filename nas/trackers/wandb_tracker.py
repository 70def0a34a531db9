"""Runs in Weights & Biases."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from typing import Any

from nas.trackers.tracker import TrackedEnding, TrackedPart, TrackedRun, Value

PROJECT = "pyramidnas"
"""Unless WANDB_PROJECT is set."""


class WandbTracker:
    """Writes a run, offline into `wandb/` of the folder unless WANDB_MODE says otherwise.

    Raises:
        ImportError: The package wandb is not installed.
    """

    step_interval: int | None = None

    def __init__(self) -> None:
        import wandb

        self._wandb: Any = wandb
        self._run: Any = None

    def start(self, run: TrackedRun) -> str:
        """Begins a run with the settings, or continues it by its id."""
        found = run.tracked_id or uuid.uuid4().hex[:16]
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            dir=os.environ.get("WANDB_DIR") or str(run.folder),
            id=found,
            name=run.name,
            job_type="search" if run.is_search else "training",
            config=None if run.tracked_id else dict(run.settings),
            mode=os.environ.get("WANDB_MODE") or "offline",
            resume="allow",
            reinit="create_new",
            settings={"console": "off", "silent": True},
        )
        self._run.define_metric("*", step_metric="step")
        return found

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Writes a row of the history."""
        self._run.log({**metrics, "step": step})

    def log_part(self, part: TrackedPart) -> None:
        """Writes a row of the history; the names begin with `trial/`, or with the name of a finished member."""
        kind, _, _ = part.name.partition("-")
        values = {**part.params, **part.metrics, **part.notes, "ending": part.ending.value}
        self._run.log({**{f"{kind}/{name}": value for name, value in values.items()}, "step": part.number})

    def log_results(self, results: Mapping[str, Value]) -> None:
        """Writes the summary."""
        self._run.summary.update(dict(results))

    def close(self, ending: TrackedEnding) -> None:
        """Ends the session."""
        self._run.finish(exit_code=0 if ending is TrackedEnding.FINISHED else 1)
